"""`nssbackup doctor`."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from nssbackup.cli import passwords
from nssbackup.cli.options import (
    Apps,
    Cert,
    Json,
    Profiles,
    Quiet,
    RecoveryPasswordFile,
    Verbose,
    no_recovery_password,
    search,
)
from nssbackup.cli.printer import Printer
from nssbackup.cli.text import show_findings
from nssbackup.diagnosis.doctor import diagnose, not_located
from nssbackup.diagnosis.findings import Case, DoctorReport
from nssbackup.errors import NoProfileError
from nssbackup.profiles import applications_named
from nssbackup.stores.containers import RecoveryPasswordFor


def doctor(
    cert: Cert = None,
    profile: Profiles = None,
    app: Apps = None,
    recovery_password_file: RecoveryPasswordFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Explain why a certificate can't be found or backed up, and what to do.

    No password is asked for but the recovery password of a Firefox backup. The exit status is the
    one that export would end with if nobody could
    be asked, given the passwords it needs.
    """
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    recovery = passwords.recovery_password(recovery_password_file)
    report = examine(cert, profile, app, printer, recovery)
    if json:
        printer.document(report.to_json())
    else:
        words = [
            *([cert] if cert is not None else []),
            *(word for name in profile or () for word in ("--profile", name)),
            *(word for name in app or () for word in ("--app", name)),
        ]
        show_findings(report, words, printer)
    if report.status:
        raise typer.Exit(report.status)


def examine(
    cert: str | None,
    names: Sequence[str] | None,
    apps: Sequence[str] | None,
    printer: Printer,
    recovery: RecoveryPasswordFor = no_recovery_password,
) -> DoctorReport:
    """Return what is found in the profiles, even in those that other commands can't use."""
    try:
        found = search(names, apps, printer, recovery, need_store=False)
    except NoProfileError as error:
        return not_located(error)
    old = tuple(found.left_behind()) if found.everything else None
    return diagnose(Case(found.profiles, cert, old, applications_named(apps or ())))
