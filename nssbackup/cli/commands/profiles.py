"""`nssbackup profiles`."""

from __future__ import annotations

from nssbackup.cli.options import Apps, Json, Quiet, Verbose
from nssbackup.cli.output import Output


def profiles(
    app: Apps = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> None:
    """Show which profiles there are, which is the default and which is in use."""
    from nssbackup.cli.scope import scope
    from nssbackup.cli.tables import profile_table
    from nssbackup.errors import NoProfileError
    from nssbackup.report import ProfileEntry, ProfilesReport
    from nssbackup.stores.inventory import primary_password_set

    output = Output(json=json, quiet=quiet, verbose=verbose)
    found = scope(None, app, output).profiles
    if not found:
        message = "no profile was found"
        raise NoProfileError(message, hint="name a folder with `--profile PATH` in other commands")
    report = ProfilesReport(
        tuple(ProfileEntry(profile, primary_password_set(profile)) for profile in found)
    )
    if json:
        output.document(report.to_json())
    else:
        output.table(*profile_table(report))
