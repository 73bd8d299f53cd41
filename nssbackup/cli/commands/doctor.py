"""`nssbackup doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nssbackup.cli.options import Apps, Cert, Json, Profiles, Quiet, Verbose
from nssbackup.cli.output import Output

if TYPE_CHECKING:
    from nssbackup.diagnosis import DoctorReport
    from nssbackup.identity.model import Profile


def doctor(  # noqa: PLR0913 - one parameter an option
    cert: Cert = None,
    profile: Profiles = None,
    app: Apps = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say why a certificate can't be found or backed up, and what to do. No password is asked.

    The exit status is 0 when a backup is possible now, else the one that export would end with.
    """
    output = Output(json=json, quiet=quiet, verbose=verbose)
    report = _report(cert, profile, app, output)
    if json:
        output.document(report.to_json())
    else:
        from nssbackup.cli.findings import show_findings

        named = [word for name in profile or () for word in ("--profile", name)]
        only = [word for name in app or () for word in ("--app", name)]
        words = (*((cert,) if cert is not None else ()), *named, *only)
        show_findings(report, words, output, quiet=quiet, verbose=verbose)
    if report.status:
        raise typer.Exit(report.status)


def _report(
    cert: str | None, names: Sequence[str] | None, apps: Sequence[str] | None, output: Output
) -> DoctorReport:
    from nssbackup.cli.scope import scope
    from nssbackup.diagnosis import Case, diagnose, not_located
    from nssbackup.errors import NoProfileError, NoStoreError, UnreadableStoreError
    from nssbackup.profiles import applications_named

    try:
        looked_at = scope(names, apps, output)
    except (NoStoreError, UnreadableStoreError):
        # What other commands can't use is what this one is for.
        return diagnose(Case(_even_without_databases(names or ()), cert))
    except NoProfileError as error:
        return not_located(error)
    old = tuple(looked_at.left_behind()) if looked_at.everything else None
    return diagnose(Case(looked_at.profiles, cert, old, applications_named(apps or ())))


def _even_without_databases(names: Sequence[str]) -> tuple[Profile, ...]:
    """The profiles and folders that were named, whatever lies in them."""
    from nssbackup.errors import NoStoreError, UnreadableStoreError
    from nssbackup.profiles import System, find_profiles, resolve_profile
    from nssbackup.profiles.locate import UNKNOWN_APPLICATION, unlisted_profile

    system = System.current()
    found: dict[Path, Profile] = {}
    for name in names:
        try:
            named = list(resolve_profile(name, system))
        except (NoStoreError, UnreadableStoreError):
            known = find_profiles(system)
            named = [one for one in known if name in (one.name, one.path.name)]
            folder = Path(name).expanduser().absolute()
            named = named or [one for one in known if one.path == folder]
            named = named or [unlisted_profile(folder, UNKNOWN_APPLICATION, system)]
        found.update({one.path: one for one in named})
    return tuple(found.values())
