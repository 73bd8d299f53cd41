"""`nssbackup doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from nssbackup.cli.options import Apps, Cert, Json, Profiles, Quiet, Verbose, search
from nssbackup.cli.printer import Printer
from nssbackup.cli.text import show_findings
from nssbackup.diagnosis import Case, DoctorReport, diagnose, not_located
from nssbackup.errors import NoProfileError, NoStoreError, UnreadableStoreError
from nssbackup.identity.model import Profile
from nssbackup.profiles import System, applications_named, find_profiles, resolve_profile
from nssbackup.profiles.locate import UNKNOWN_APPLICATION, unlisted_profile


def doctor(  # noqa: PLR0913 - one parameter per option
    cert: Cert = None,
    profile: Profiles = None,
    app: Apps = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Explain why a certificate can't be found or backed up, and what to do.

    No password is asked for. The exit status is 0 if a backup is possible now, otherwise the one
    that export would end with.
    """
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    report = examine(cert, profile, app, printer)
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
    cert: str | None, names: Sequence[str] | None, apps: Sequence[str] | None, printer: Printer
) -> DoctorReport:
    """Return what is found in the profiles, even if other commands can't use them."""
    try:
        found = search(names, apps, printer)
    except (NoStoreError, UnreadableStoreError):
        return diagnose(Case(_even_without_databases(names or ()), cert))
    except NoProfileError as error:
        return not_located(error)
    old = tuple(found.left_behind()) if found.everything else None
    return diagnose(Case(found.profiles, cert, old, applications_named(apps or ())))


def _even_without_databases(names: Sequence[str]) -> tuple[Profile, ...]:
    """Return the profiles and folders named, whatever is in them."""
    system = System.current()
    found: dict[Path, Profile] = {}
    for name in names:
        try:
            named = list(resolve_profile(name, system))
        except (NoStoreError, UnreadableStoreError):
            known = find_profiles(system)
            folder = Path(name).expanduser().absolute()
            named = [one for one in known if name in (one.name, one.path.name)]
            named = named or [one for one in known if one.path == folder]
            named = named or [unlisted_profile(folder, UNKNOWN_APPLICATION, system)]
        found.update({one.path: one for one in named})
    return tuple(found.values())
