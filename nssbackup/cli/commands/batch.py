"""`nssbackup batch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.cli import passwords
from nssbackup.cli.options import (
    SOME_FAILED,
    Again,
    AllIssuers,
    Apps,
    DryRun,
    Engine,
    Expired,
    ExpiringFirst,
    For,
    FormatOption,
    Json,
    NoChain,
    OnlyCerts,
    Quiet,
    Verbose,
    chosen_formats,
)
from nssbackup.cli.output import Output
from nssbackup.errors import UsageError

if TYPE_CHECKING:
    from nssbackup.batch.orders import Passwords
    from nssbackup.batch.run import BatchResult
    from nssbackup.batch.users import Places
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
_Passwords = Annotated[
    Path | None,
    typer.Option(
        "--passwords",
        metavar="CSV",
        show_default=False,
        help="A password for each backup: a table with the columns user, profile, fingerprint"
        " (one or more of them) and password.",
    ),
]
_PrimaryFile = Annotated[
    str | None,
    typer.Option(
        "--primary-password-file",
        metavar="FILE",
        show_default=False,
        help="Firefox's Primary Password, if all have the same: the first line of FILE.",
    ),
]
_Primaries = Annotated[
    Path | None,
    typer.Option(
        "--primary-passwords",
        metavar="CSV",
        show_default=False,
        help="The Primary Passwords, as a table like that of --passwords.",
    ),
]
_Escrow = Annotated[
    list[Path] | None,
    typer.Option(
        "--escrow-cert",
        metavar="FILE",
        show_default=False,
        help="Encrypt the generated passwords to this certificate (RSA), for `openssl cms"
        " -decrypt`. Repeatable: each of them can open all.",
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
    passwords_csv: _Passwords = None,
    escrow_cert: _Escrow = None,
    primary_password_file: _PrimaryFile = None,
    primary_passwords: _Primaries = None,
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
    _check_sources(
        backup={
            "--generate-passwords": generate_passwords,
            "--password-file": password_file,
            "--passwords": passwords_csv,
        },
        primary={
            "--primary-password-file": primary_password_file,
            "--primary-passwords": primary_passwords,
        },
        escrow=bool(escrow_cert),
    )
    passwords.check_one_source(
        password_file=password_file, generate=False, primary=primary_password_file
    )
    if not (roots or home or homes):
        message = "there is nothing to look into"
        hint = "name a ROOT, a home with `--home` or a folder of homes with `--homes`"
        raise UsageError(message, hint=hint)
    destination, formats = chosen_formats(for_, format_)

    from platform import node

    from nssbackup.batch.orders import Orders
    from nssbackup.batch.run import BatchOptions, run_batch
    from nssbackup.batch.users import Places
    from nssbackup.cli.progress import Progress

    given = _backup_passwords(password_file, passwords_csv, destination, talk)
    _check_apps(app)
    orders = Orders(
        folder=output.absolute(),
        host=node(),
        certificates=tuple(cert or ()),
        all_issuers=all_issuers,
        expired=expired,
        applications=tuple(app or ()),
        formats=tuple(each.name for each in formats),
        rounds=_rounds(kdf_rounds, destination, made_up=given is None),
        chain=not no_chain,
        passwords=given,
        primary=_source(
            primary_password_file,
            "--primary-password-file",
            primary_passwords,
            "--primary-passwords",
        ),
        escrow=_recipients(escrow_cert, talk),
        force=force,
        dry_run=dry_run,
        engine=engine,
    )
    places = Places(tuple(roots or ()), tuple(home or ()), tuple(homes or ()))
    with Progress(talk) as progress:
        result = run_batch(BatchOptions(places, orders, jobs, expiring), progress.watcher)
    _check_found(result, places)
    if json:
        from nssbackup.batch.report import plain

        talk.document(plain(result.report.to_json()))
    else:
        progress.summary(result, passwords_kept=given is None and not orders.escrow)
    if result.unwritten is not None:
        if not json:
            raise result.unwritten
        talk.warn(result.unwritten.message)
        raise typer.Exit(result.unwritten.exit_status)
    if result.report.failed:
        raise typer.Exit(SOME_FAILED)


def _check_sources(*, backup: dict[str, object], primary: dict[str, object], escrow: bool) -> None:
    """Refuse two sources for one password, and escrow for one that is not made up here."""
    for options in (backup, primary):
        named = [option for option, value in options.items() if value not in (None, False)]
        if len(named) > 1:
            message = f"`{named[0]}` and `{named[1]}` exclude each other"
            raise UsageError(message)
        if escrow and named and options is backup and named != ["--generate-passwords"]:
            message = f"`--escrow-cert` and `{named[0]}` exclude each other"
            raise UsageError(message, hint="a password that is given is known to whoever gave it")


def _backup_passwords(
    file: str | None, table: Path | None, destination: Destination | None, talk: Output
) -> Passwords | None:
    """The passwords of the backups, with a word on a weak one; None where they are made up."""
    from nssbackup.pkcs12 import password_warnings
    from nssbackup.secret import Secret

    found = _source(file, "--password-file", table, "--passwords")
    if isinstance(found, Secret):
        if not found:
            message = "the backup password is empty"
            raise UsageError(message, hint="Firefox and Windows can't open such a file")
        weak = passwords.weakness(found)
        for warning in (*((weak,) if weak else ()), *password_warnings(destination, found)):
            talk.warn(warning)
    elif found is not None:
        weak_ones = sum(1 for _, secret in found.rows if passwords.weakness(secret))
        if weak_ones:
            talk.warn(f"{weak_ones} of the passwords in the table are easy to guess")
    return found


def _source(
    file: str | None, file_option: str, table: Path | None, table_option: str
) -> Passwords | None:
    if file is not None:
        return passwords.read_file(file, file_option)
    if table is not None:
        from nssbackup.batch.tables import PasswordTable

        return PasswordTable.read(table, table_option)
    return None


def _check_apps(apps: list[str] | None) -> None:
    if apps:
        from nssbackup.profiles import applications_named

        applications_named(apps)


def _rounds(given: int | None, destination: Destination | None, *, made_up: bool) -> int:
    """Few rounds are enough for a password that can't be guessed; see the README."""
    from nssbackup.pkcs12 import FEWEST_ROUNDS, checked_rounds

    if given is None and made_up:
        return FEWEST_ROUNDS
    return checked_rounds(given or (destination.rounds if destination else None))


def _recipients(files: list[Path] | None, talk: Output) -> tuple[bytes, ...]:
    if not files:
        return ()
    from nssbackup.batch.vault import recipients_in

    recipients, notes = recipients_in(files)
    for note in notes:
        talk.warn(note)
    return recipients


def _check_found(result: BatchResult, places: Places) -> None:
    """Say that there was nothing to do: a night that backs nothing up should be noticed."""
    if len(result.report.items):
        return
    from nssbackup.errors import NoProfileError
    from nssbackup.identities import NoMatchError

    if not result.profiles:
        count = len(places.all)
        message = f"no profile was found under {'the root' if count == 1 else 'the roots'}"
        hint = "a folder of homes is looked into with `--homes`, a single one with `--home`"
        raise NoProfileError(message, hint=hint)
    message = f"none of the {result.profiles} profiles holds a certificate that was asked for"
    hint = "`--all-issuers` takes those of others than WIPO, `--expired` the expired ones"
    raise NoMatchError(message, (), hint=hint)
