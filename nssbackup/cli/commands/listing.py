"""`nssbackup list`."""

from __future__ import annotations

from typing import Annotated

import typer

from nssbackup.cli.options import Apps, CertShown, Engine, Expiring, Json, Profiles, Quiet, Verbose
from nssbackup.cli.output import Output


def list_identities(  # noqa: PLR0913 - one parameter an option
    cert: CertShown = None,
    profile: Profiles = None,
    app: Apps = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also show those without their key, whoever issued them.")
    ] = False,
    expiring: Expiring = None,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the client certificates in the profiles. No password is asked."""
    from nssbackup.cli.scope import scope
    from nssbackup.cli.tables import identity_table
    from nssbackup.identity.choosing import NoMatchError, ending_within, listed, matching
    from nssbackup.report import ListReport
    from nssbackup.stores.inventory import take_inventory

    output = Output(json=json, quiet=quiet, verbose=verbose)
    looked_at = scope(profile, app, output)
    inventory = take_inventory(looked_at.profiles, engine, left_behind=looked_at.left_behind)
    shown = listed(inventory.identities, everything=everything or cert is not None)
    if cert is not None:
        shown = matching(shown, cert)
        if not shown:
            message = f"no certificate matches `{cert}`"
            others = listed(inventory.identities, everything=True)
            raise NoMatchError(message, others)
    if expiring is not None:
        shown = ending_within(shown, expiring)
    report = ListReport(shown, inventory.failures)
    for of, note in inventory.notes:
        output.warn(f"profile `{of.name}`: {note}")
    if json:
        output.document(report.to_json())
        return
    for failure in report.failures:
        output.warn(f"profile `{failure.profile.name}`: {failure.error.message}")
    if shown:
        output.table(*identity_table(shown))
    elif expiring is not None:
        output.say(f"no certificate ends within {expiring} days")
    elif everything:
        output.say("no certificate was found; `nssbackup doctor` says why")
    else:
        output.say("no client certificate was found; `nssbackup list --all` shows all others")
