"""`nssbackup batch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.cli.options import (
    SOME_FAILED,
    Again,
    AllIssuers,
    Apps,
    DryRun,
    Engine,
    Escrow,
    Expired,
    ExpiringFirst,
    For,
    FormatOption,
    Json,
    NoChain,
    OnlyCerts,
    PasswordTableFile,
    PrimaryOfAll,
    PrimaryTableFile,
    Quiet,
    Verbose,
    chosen_formats,
)
from nssbackup.cli.output import Output
from nssbackup.cli.sources import Sources
from nssbackup.errors import UsageError

if TYPE_CHECKING:
    from nssbackup.batch.options import Roots
    from nssbackup.batch.run import BatchResult
    from nssbackup.pkcs12 import Destination

_Root = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="ROOT...",
        show_default=False,
        help="A home, a profile folder (with cert9.db or cert8.db in it), or a folder of either:"
        " told by what it holds.",
    ),
]
_Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        show_default=False,
        help="Where the backups go, in a folder for each user; made if need be. The same one every"
        " night: what has not changed is not done again.",
    ),
]
_Homes = Annotated[
    list[Path] | None,
    typer.Option(
        "--home",
        metavar="DIR",
        show_default=False,
        help="A user's home: on this computer, a share, a mounted image. Repeatable.",
    ),
]
_Parents = Annotated[
    list[Path] | None,
    typer.Option(
        "--homes",
        metavar="DIR",
        show_default=False,
        help="A folder with a home for each user, such as /home, /Users or C:\\Users. Links and"
        " what is nobody's home (Public, Shared) are left out. Repeatable.",
    ),
]
_PasswordFile = Annotated[
    str | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        show_default=False,
        help="One password for all backups: the first line of FILE; - is stdin.",
    ),
]
_Rounds = Annotated[
    int | None,
    typer.Option(
        "--kdf-rounds",
        metavar="N",
        show_default="2048 for generated passwords, else 600000",
        help="Rounds of key, certificates and MAC: 2048 to 600000.",
    ),
]


def batch(  # noqa: PLR0913 - one parameter an option
    output: _Folder,
    roots: _Root = None,
    home: _Homes = None,
    homes: _Parents = None,
    cert: OnlyCerts = None,
    all_issuers: AllIssuers = False,
    expired: Expired = False,
    app: Apps = None,
    for_: For = None,
    format_: FormatOption = None,
    kdf_rounds: _Rounds = None,
    no_chain: NoChain = False,
    generate_passwords: Annotated[
        bool,
        typer.Option(
            "--generate-passwords",
            help="A strong password for each backup, kept as --escrow-cert says, or else in"
            " FOLDER/passwords.csv. The default.",
        ),
    ] = False,
    password_file: _PasswordFile = None,
    passwords: PasswordTableFile = None,
    escrow_cert: Escrow = None,
    primary_password_file: PrimaryOfAll = None,
    primary_passwords: PrimaryTableFile = None,
    expiring: ExpiringFirst = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            min=1,
            max=1_000,
            show_default="the processors",
            help="How many processes work at the same time.",
        ),
    ] = None,
    force: Again = False,
    dry_run: DryRun = False,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Back up the certificates of many users, unattended: once, or every night.

    Homes and profiles are only read; no question is asked. What fails is a line of the report
    and stops nothing else: the status is then 3. FOLDER gets report.html, report.csv and
    report.json.
    """
    talk = Output(json=json, quiet=quiet, verbose=verbose)
    sources = Sources(
        password_file,
        passwords,
        primary_password_file,
        primary_passwords,
        generate=generate_passwords,
        escrow=bool(escrow_cert),
    )
    sources.check()
    if not (roots or home or homes):
        message = "there is nothing to look into"
        hint = "name a ROOT, a home with `--home` or a folder of homes with `--homes`"
        raise UsageError(message, hint=hint)
    destination, formats = chosen_formats(for_, format_)

    from platform import node

    from nssbackup.batch.options import BatchOptions, Roots
    from nssbackup.batch.run import run_batch
    from nssbackup.cli.progress import Progress

    given = sources.of_backups(destination, talk)
    _check_apps(app)
    options = BatchOptions(
        roots=Roots(tuple(roots or ()), tuple(home or ()), tuple(homes or ())),
        folder=output.absolute(),
        host=node(),
        certificates=tuple(cert or ()),
        all_issuers=all_issuers,
        expired=expired,
        applications=tuple(app or ()),
        formats=tuple(each.name for each in formats),
        rounds=_rounds(kdf_rounds, destination, generated=given is None),
        chain=not no_chain,
        passwords=given,
        primary=sources.of_profiles(),
        escrow=_recipients(escrow_cert, talk),
        force=force,
        dry_run=dry_run,
        engine=engine,
        jobs=jobs,
        expiring_days=expiring,
    )
    with Progress(talk) as progress:
        result = run_batch(options, progress.listener)
    _check_found(result, options.roots)
    if given is None and not options.escrow:
        progress.passwords_kept(result)
    if json:
        talk.document(result.report.to_json())
    else:
        progress.summary(result)
    if result.unwritten is not None:
        if not json:
            raise result.unwritten
        talk.warn(result.unwritten.message)
        raise typer.Exit(result.unwritten.exit_status)
    if result.report.totals["failed"]:
        raise typer.Exit(SOME_FAILED)


def _check_apps(apps: list[str] | None) -> None:
    if apps:
        from nssbackup.profiles import applications_named

        applications_named(apps)


def _rounds(given: int | None, destination: Destination | None, *, generated: bool) -> int:
    """Return the rounds: few are enough for a password that can't be guessed (SECURITY.md)."""
    from nssbackup.pkcs12 import FEWEST_ROUNDS, checked_rounds

    if given is None and generated:
        return FEWEST_ROUNDS
    if given is None and destination is not None:
        given = destination.rounds
    return checked_rounds(given)


def _recipients(files: list[Path] | None, talk: Output) -> tuple[bytes, ...]:
    if not files:
        return ()
    from nssbackup.batch.password_store import recipients_in

    recipients, notes = recipients_in(files)
    for note in notes:
        talk.warn(note)
    return recipients


def _check_found(result: BatchResult, roots: Roots) -> None:
    """Raise if there was nothing to do: a night that backs nothing up should be noticed."""
    if result.report.items:
        return
    from nssbackup.errors import NoProfileError
    from nssbackup.identity.choosing import NoMatchError

    if not result.profiles:
        under = "the root" if len(roots.all) == 1 else "the roots"
        message = f"no profile was found under {under}"
        hint = "name a folder of homes with `--homes`, a single home with `--home`"
        raise NoProfileError(message, hint=hint)
    message = f"none of the {result.profiles} profiles has a certificate that was asked for"
    hint = "`--all-issuers` takes those of other issuers than WIPO, `--expired` expired ones"
    raise NoMatchError(message, (), hint=hint)
