"""`nssbackup batch`."""

from __future__ import annotations

from pathlib import Path
from platform import node
from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.batch.options import BatchOptions, Roots
from nssbackup.batch.password_store import recipients_in
from nssbackup.batch.run import run_batch
from nssbackup.batch.users import normalised
from nssbackup.cli.options import (
    Apps,
    Engine,
    For,
    FormatOption,
    Json,
    NoChain,
    Quiet,
    Verbose,
    chosen_formats,
)
from nssbackup.cli.printer import Printer
from nssbackup.cli.progress import Progress
from nssbackup.cli.unattended import (
    SOME_FAILED,
    Again,
    AllIssuers,
    DryRun,
    Escrow,
    Expired,
    ExpiringFirst,
    NoEscrow,
    OnlyCerts,
    PasswordSources,
    PasswordTableFile,
    PrimaryOfAll,
    PrimaryTableFile,
)
from nssbackup.errors import NoProfileError, UsageError
from nssbackup.identity.choosing import NoMatchError
from nssbackup.pkcs12.formats import FEWEST_ROUNDS, Destination, checked_rounds
from nssbackup.profiles import applications_named

if TYPE_CHECKING:
    from nssbackup.batch.run import BatchResult

_Root = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="ROOT",
        show_default=False,
        help="A home, a profile folder (with cert9.db or cert8.db in it), or a folder of either;"
        " recognised by what is in it.",
    ),
]
_Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        show_default=False,
        help="Where the backups go, in a folder for each user; created if missing. Use the same one"
        " every night: what has not changed is not done again.",
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
        " nobody's homes (Public, Shared) are left out. Repeatable.",
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
_Generate = Annotated[
    bool,
    typer.Option(
        "--generate-passwords",
        help="A strong password for each backup, kept as --escrow-cert says, or else in"
        " FOLDER/passwords.csv. This is the default.",
    ),
]
_Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        max=1_000,
        show_default="the number of processors",
        help="How many processes work at the same time.",
    ),
]
_Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="USER", show_default=False, help="Leave this user out. Repeatable."
    ),
]
_Forget = Annotated[
    list[str] | None,
    typer.Option(
        "--forget",
        metavar="USER",
        show_default=False,
        help="No longer miss the certificates that this user had; no file is deleted. Repeatable.",
    ),
]
_Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="NAME",
        show_default="this computer's name",
        help="What the report calls the machine of these homes.",
    ),
]


def batch(
    output: _Folder,
    roots: _Root = None,
    home: _Homes = None,
    homes: _Parents = None,
    cert: OnlyCerts = None,
    all_issuers: AllIssuers = False,
    expired: Expired = False,
    app: Apps = None,
    exclude: _Exclude = None,
    forget: _Forget = None,
    host: _Host = None,
    for_: For = None,
    format_: FormatOption = None,
    kdf_rounds: _Rounds = None,
    no_chain: NoChain = False,
    generate_passwords: _Generate = False,
    password_file: _PasswordFile = None,
    passwords: PasswordTableFile = None,
    escrow_cert: Escrow = None,
    no_escrow: NoEscrow = False,
    primary_password_file: PrimaryOfAll = None,
    primary_passwords: PrimaryTableFile = None,
    expiring: ExpiringFirst = None,
    jobs: _Jobs = None,
    force: Again = False,
    dry_run: DryRun = False,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Back up the certificates of many users, unattended: once, or every night.

    Homes and profiles are only read, and no question is asked. A failure is a line of the report
    and stops nothing else; the status is then 3. FOLDER gets report.html, report.csv and
    report.json.
    """
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    sources = PasswordSources(
        password_file,
        passwords,
        primary_password_file,
        primary_passwords,
        generate=generate_passwords,
        escrow=bool(escrow_cert),
    )
    sources.check(printer)
    if not (roots or home or homes):
        message = "there is nothing to search"
        hint = "name a ROOT, a home with `--home` or a folder of homes with `--homes`"
        raise UsageError(message, hint=hint)
    destination, formats = chosen_formats(for_, format_)
    given = sources.of_backups(destination, printer)
    applications_named(app or ())  # refuses an unknown name
    options = BatchOptions(
        roots=Roots(tuple(roots or ()), tuple(home or ()), tuple(homes or ())),
        folder=normalised(output),
        host=host or node(),
        certificates=tuple(cert or ()),
        all_issuers=all_issuers,
        expired=expired,
        applications=tuple(app or ()),
        formats=tuple(each.name for each in formats),
        rounds=_rounds(kdf_rounds, destination, generated=given is None),
        chain=not no_chain,
        passwords=given,
        primary=sources.of_profiles(),
        escrow=_recipients(escrow_cert, printer),
        no_escrow=no_escrow,
        force=force,
        dry_run=dry_run,
        engine=engine,
        jobs=jobs,
        exclude=tuple(exclude or ()),
        forget=tuple(forget or ()),
        expiring_days=expiring,
    )
    with Progress(printer) as progress:
        result = run_batch(options, progress.listener)
    _check_found(result, options.roots)
    if given is None and not options.escrow:
        progress.passwords_kept(result)
    if json:
        printer.document(result.report.to_json())
    else:
        progress.summary(result)
    _check_outcome(result, printer)


def _check_outcome(result: BatchResult, printer: Printer) -> None:
    """Raise what the command ends with, unless everything went well."""
    if result.unwritten is not None:
        if not printer.json:
            raise result.unwritten
        printer.warn(result.unwritten.message)
        raise typer.Exit(result.unwritten.exit_status)
    if result.report.totals["failed"]:
        raise typer.Exit(SOME_FAILED)


def _rounds(given: int | None, destination: Destination | None, *, generated: bool) -> int:
    """Return the rounds; few are enough for a password that can't be guessed."""
    default = destination.rounds if destination else None
    if generated:
        default = FEWEST_ROUNDS
    return checked_rounds(default if given is None else given)


def _recipients(files: list[Path] | None, printer: Printer) -> tuple[bytes, ...]:
    """Return the certificates that passwords are encrypted to, as DER."""
    if not files:
        return ()
    recipients, notes = recipients_in(files)
    for note in notes:
        printer.warn(note)
    return recipients


def _check_found(result: BatchResult, roots: Roots) -> None:
    """Check that there was something to do: a night without any backup should be noticed.

    Raises:
        NoProfileError: there was no profile.
        NoMatchError: no profile has a certificate that was asked for.
    """
    if result.report.items or result.report.home_totals["gone"]:
        return
    if not result.profiles:
        under = "the root" if len(roots.all) == 1 else "the roots"
        message = f"no profile was found under {under}"
        hint = "`--homes` searches a folder of homes, `--home` a single home"
        raise NoProfileError(message, hint=hint)
    message = f"none of the {result.profiles} profiles has a certificate that was asked for"
    hint = "`--all-issuers` adds certificates not issued by WIPO, `--expired` expired ones"
    raise NoMatchError(message, (), hint=hint)
