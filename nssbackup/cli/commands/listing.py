"""`nssbackup profiles` and `nssbackup list`: what there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from nssbackup.cli import passwords
from nssbackup.cli.options import (
    Apps,
    CertShown,
    Engine,
    Json,
    Profiles,
    Quiet,
    RecoveryPasswordFile,
    Verbose,
    search,
)
from nssbackup.cli.printer import Printer
from nssbackup.cli.tables import identity_table, profile_table
from nssbackup.diagnosis.selection import authenticity_warnings
from nssbackup.errors import NoProfileError
from nssbackup.identity.choosing import NoMatchError, ending_within, listed, matching
from nssbackup.identity.model import Identity
from nssbackup.profiles import find_firefox_backups
from nssbackup.report import ListReport, ProfileEntry, ProfilesReport
from nssbackup.stores.inventory import primary_password_set, take_inventory

_All = Annotated[
    bool, typer.Option("--all", help="Also show those without their key, whoever issued them.")
]
_Expiring = Annotated[
    int | None,
    typer.Option(
        "--expiring",
        metavar="DAYS",
        min=0,
        show_default=False,
        help="Show only those still valid that expire within so many days. The status is 0 even"
        " if there are none.",
    ),
]


def profiles(
    app: Apps = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> None:
    """Show the profiles found, which is the default and which are in use, and Firefox's backups."""
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    found = search(None, app, printer).profiles
    backups = find_firefox_backups(found)
    if not found and not backups:
        message = "no profile was found"
        raise NoProfileError(message, hint="`nssbackup list --profile PATH` reads any folder")
    entries = (ProfileEntry(profile, primary_password_set(profile)) for profile in found)
    report = ProfilesReport(tuple(entries), backups)
    if json:
        printer.document(report.to_json())
    else:
        if found:
            printer.table(profile_table(report))
        for one in report.firefox_backups:
            printer.data(f"Firefox backup of `{one.profile}`, {one.created:%Y-%m-%d}: {one.path}")


def list_identities(
    cert: CertShown = None,
    profile: Profiles = None,
    app: Apps = None,
    everything: _All = False,
    expiring: _Expiring = None,
    recovery_password_file: RecoveryPasswordFile = None,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the client certificates in the profiles. Only a Firefox backup needs a password."""
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    found = search(profile, app, printer, passwords.recovery_password(recovery_password_file))
    inventory = take_inventory(found.profiles, engine, left_behind=found.left_behind)
    shown = _selected(inventory.identities, cert, everything=everything, expiring=expiring)
    report = ListReport(shown, inventory.failures)
    for of, note in inventory.notes:
        printer.warn(f"profile `{of.name}`: {note}")
    for identity in shown:
        for warning in authenticity_warnings(identity):
            printer.warn(f"`{identity.display_name}`: {warning}")
    if json:
        printer.document(report.to_json())
        return
    for failure in report.failures:
        printer.warn(f"profile `{failure.profile.name}`: {failure.error.message}")
    if shown:
        printer.table(identity_table(shown))
    elif expiring is not None:
        printer.say(f"no certificate expires within {expiring} days")
    elif everything:
        printer.say("no certificate was found; `nssbackup doctor` says why")
    else:
        printer.say("no client certificate was found; `nssbackup list --all` shows all others")


def _selected(
    identities: Sequence[Identity], cert: str | None, *, everything: bool, expiring: int | None
) -> tuple[Identity, ...]:
    """Return the identities to show.

    Raises:
        NoMatchError: `cert` names none of them.
    """
    shown = listed(identities, everything=everything or cert is not None)
    if cert is not None:
        found = matching(shown, cert)
        if not found:
            message = f"no certificate matches `{cert}`"
            raise NoMatchError(message, shown)
        shown = found
    return shown if expiring is None else ending_within(shown, expiring)
