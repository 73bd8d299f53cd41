"""The commands: options to values, one call of the library, one rendering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nssbackup.cli import passwords
from nssbackup.cli.output import Output

if TYPE_CHECKING:
    from nssbackup.model import Profile
    from nssbackup.pkcs12 import Destination, Format
    from nssbackup.report import VerifiedFile
    from nssbackup.secret import Secret

# Typer reads these at run time and shows them in the help. Tests hold them against the tables.
FormatName = Literal["modern", "compatible"]
DestinationName = Literal[
    "windows",
    "firefox",
    "openssl",
    "java",
    "dotnet",
    "windows-old",
    "macos",
    "ios",
    "java-old",
    "pct-safe",
    "any",
]
EngineOption = Literal["auto", "native", "nss"]

Cert = Annotated[
    str | None,
    typer.Argument(
        metavar="[CERT]",
        show_default=False,
        help="Nickname, name, e-mail, issuer, serial number or fingerprint of the certificate."
        " Default: the WIPO certificate.",
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        metavar="NAME|PATH",
        show_default=False,
        help="A profile's name or folder, or any folder with NSS databases. Repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say what is done.")]
Engine = Annotated[
    EngineOption, typer.Option("--engine", help="What reads the store.", show_default=True)
]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        show_default=False,
        help="Read the backup password from the first line of FILE; - is stdin.",
    ),
]


def profiles(json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Show which profiles there are, which is the default and which is in use."""
    from nssbackup.cli.tables import profile_table
    from nssbackup.errors import NoProfileError
    from nssbackup.inventory import primary_password_set
    from nssbackup.profiles import find_profiles
    from nssbackup.report import ProfileEntry, ProfilesReport

    output = Output(json=json, quiet=quiet, verbose=verbose)
    found = find_profiles()
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


def list_identities(  # noqa: PLR0913 - one parameter an option
    cert: Cert = None,
    profile: Profiles = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show certificates of others too.")
    ] = False,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the client certificates in the profiles. No password is asked."""
    from nssbackup.cli.tables import identity_table
    from nssbackup.identities import NoMatchError, listed, matching
    from nssbackup.inventory import take_inventory
    from nssbackup.report import ListReport

    output = Output(json=json, quiet=quiet, verbose=verbose)
    inventory = take_inventory(_profiles(profile, output), engine)
    shown = listed(inventory.identities, everything=everything or cert is not None)
    if cert is not None:
        shown = matching(shown, cert)
        if not shown:
            message = f"no certificate matches `{cert}`"
            others = listed(inventory.identities, everything=True)
            raise NoMatchError(message, others)
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
    else:
        output.say("no client certificate was found; `nssbackup list --all` shows all others")


def export(  # noqa: PLR0913 - one parameter an option
    cert: Cert = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            show_default="the current folder",
            help="Where to write; .pfx is added to the name.",
        ),
    ] = "",
    profile: Profiles = None,
    for_: Annotated[
        DestinationName | None,
        typer.Option(
            "--for", show_default=False, help="Where the file will be opened: picks the format."
        ),
    ] = None,
    format_: Annotated[
        FormatName | None,
        typer.Option("--format", show_default="modern", help="How the file is encrypted."),
    ] = None,
    kdf_rounds: Annotated[
        int | None,
        typer.Option(
            "--kdf-rounds",
            metavar="N",
            show_default="600000",
            help="Rounds of key, certificates and MAC: 2048 to 600000.",
        ),
    ] = None,
    copy_to: Annotated[
        list[Path] | None,
        typer.Option(
            "--copy-to",
            metavar="FOLDER",
            show_default=False,
            help="Write a verified copy there too. Repeatable.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="TEXT",
            show_default="the nickname",
            help="What programs will call the certificate (friendlyName).",
        ),
    ] = None,
    no_chain: Annotated[
        bool, typer.Option("--no-chain", help="Leave the CA certificates out.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    password_file: PasswordFile = None,
    generate_password: Annotated[
        bool,
        typer.Option("--generate-password", help="Make a strong password up and show it once."),
    ] = False,
    primary_password_file: Annotated[
        str | None,
        typer.Option(
            "--primary-password-file",
            metavar="FILE",
            show_default=False,
            help="Read Firefox's Primary Password from the first line of FILE; - is stdin.",
        ),
    ] = None,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Back up one certificate, its private key and its chain to a verified .pfx file.

    The profile is only read, and Firefox may be running. The password of the backup is asked
    for twice.
    """
    talk = Output(json=json, quiet=quiet, verbose=verbose)
    passwords.check_one_source(
        password_file=password_file, generate=generate_password, primary=primary_password_file
    )
    destination, formats = _formats(for_, format_)

    from nssbackup.pkcs12 import Sealing, checked_rounds, password_warnings

    rounds = checked_rounds(
        destination.rounds if kdf_rounds is None and destination else kdf_rounds
    )

    def begin(password: Secret) -> Sealing:
        weak = None if generate_password else passwords.weakness(password)
        for warning in (*((weak,) if weak else ()), *password_warnings(destination, password)):
            talk.warn(warning)
        return Sealing.begin(password, formats, rounds)

    def sealing() -> Sealing:
        if begun is None:
            return begin(passwords.new_backup_password(talk.warn))
        if generate_password:
            # Before anything is written: a backup whose password got lost is none.
            talk.secret("Password of the backup", begun.password.reveal())
        return begun

    begun = None
    if generate_password:
        begun = begin(passwords.generate())
    elif password_file is not None:
        begun = begin(passwords.read_file(password_file, "--password-file"))

    # Only now, when the derivations may be running: what is loaded here takes as long as they do.
    from dataclasses import replace

    from nssbackup.cli.questions import select
    from nssbackup.cli.summaries import show_export
    from nssbackup.export import Dialogue, ExportOptions, export_identity

    report = export_identity(
        _profiles(profile, talk),
        ExportOptions(
            certificate=cert,
            output=output,
            formats=formats,
            copies=tuple(copy_to or ()),
            friendly_name=name,
            chain=not no_chain,
            replace=force,
            engine=engine,
        ),
        Dialogue(
            primary_password=passwords.primary_password(primary_password_file),
            sealing=sealing,
            select=select(talk) if passwords.is_interactive() else None,
            warn=talk.warn,
            detail=talk.detail,
        ),
    )
    if generate_password and begun is not None:
        report = replace(report, password=begun.password)
    if json:
        talk.document(report.to_json())
    else:
        show_export(report, talk)


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", show_default=False)],
    password_file: PasswordFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Open backups with their password and say what is in them and whether they would work."""
    from nssbackup.cli.summaries import show_verified
    from nssbackup.errors import QuestionError
    from nssbackup.report import VerifyReport

    talk = Output(json=json, quiet=quiet, verbose=verbose)
    if password_file is not None:
        password = passwords.read_file(password_file, "--password-file")
    elif passwords.is_interactive():
        password = passwords.ask(f"Password of {files[0].name}")
    else:
        message = "the password of the backup is needed"
        raise QuestionError(message, hint="give it with `--password-file FILE`")
    report = VerifyReport(
        tuple(_verified(file, password, ask=password_file is None) for file in files)
    )
    if json:
        talk.document(report.to_json())
    else:
        for file in report.files:
            show_verified(file, talk)
    statuses = [file.error.exit_status for file in report.files if file.error]
    if statuses:
        raise typer.Exit(statuses[0])


def _profiles(names: list[str] | None, output: Output) -> tuple[Profile, ...]:
    """The profiles that were named, or all there are."""
    from nssbackup.profiles import find_profiles, resolve_profile

    if names:
        resolved = [profile for name in names for profile in resolve_profile(name)]
        found = tuple({profile.path: profile for profile in resolved}.values())
    else:
        found = find_profiles()
    for profile in found:
        output.detail(f"profile `{profile.name}`: {profile.path} ({profile.store or 'no'} store)")
    return found


def _formats(
    for_: DestinationName | None, format_: FormatName | None
) -> tuple[Destination | None, tuple[Format, ...]]:
    from nssbackup.errors import UsageError
    from nssbackup.pkcs12 import MODERN, destination_named, format_named

    if for_ is None:
        return None, (format_named(format_) if format_ else MODERN,)
    if format_ is not None:
        message = "`--for` and `--format` exclude each other"
        raise UsageError(message, hint="`--for` picks the format by itself")
    destination = destination_named(for_)
    return destination, destination.formats


def _verified(file: Path, password: Secret, *, ask: bool) -> VerifiedFile:
    """Verify a file; on a terminal it may have a password of its own."""
    from nssbackup.errors import WrongBackupPasswordError
    from nssbackup.verify import verify_backup

    verified = verify_backup(file, password)
    for _ in range(passwords.ATTEMPTS - 1):
        if not ask or not isinstance(verified.error, WrongBackupPasswordError):
            break
        verified = verify_backup(file, passwords.ask(f"Wrong. Password of {file.name}"))
    return verified
