"""`nssbackup export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.cli import passwords
from nssbackup.cli.options import (
    Apps,
    Cert,
    CopyTo,
    Engine,
    For,
    Force,
    FormatOption,
    FriendlyName,
    GeneratePassword,
    Json,
    PasswordFile,
    PrimaryPasswordFile,
    Profiles,
    Quiet,
    Rounds,
    Verbose,
    chosen_formats,
)
from nssbackup.cli.output import Output

if TYPE_CHECKING:
    from nssbackup.secret import Secret


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
    app: Apps = None,
    for_: For = None,
    format_: FormatOption = None,
    kdf_rounds: Rounds = None,
    copy_to: CopyTo = None,
    name: FriendlyName = None,
    no_chain: Annotated[
        bool, typer.Option("--no-chain", help="Leave the CA certificates out.")
    ] = False,
    force: Force = False,
    password_file: PasswordFile = None,
    generate_password: GeneratePassword = False,
    primary_password_file: PrimaryPasswordFile = None,
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
    destination, formats = chosen_formats(for_, format_)

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

    from nssbackup.backup import Dialogue
    from nssbackup.cli.questions import select
    from nssbackup.cli.scope import scope
    from nssbackup.cli.summaries import show_export
    from nssbackup.export import ExportOptions, export_identity

    looked_at = scope(profile, app, talk)
    report = export_identity(
        looked_at.profiles,
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
        looked_at.left_behind,
    )
    if generate_password and begun is not None:
        report = replace(report, password=begun.password)
    if json:
        talk.document(report.to_json())
    else:
        show_export(report, talk)
