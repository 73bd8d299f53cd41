"""`nssbackup repassword`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.cli import passwords
from nssbackup.cli.options import (
    BackupFile,
    CertInFile,
    CopyTo,
    For,
    Force,
    FormatOption,
    GeneratePassword,
    Json,
    NoChain,
    PasswordFile,
    Quiet,
    Rounds,
    Verbose,
    chosen_formats,
    written_in_letters,
)
from nssbackup.cli.output import Output

if TYPE_CHECKING:
    from nssbackup.identity.model import Profile

_OPTION = "--old-password-file"


def repassword(  # noqa: PLR0913 - one parameter an option
    file: BackupFile,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            show_default="FILE itself, which needs --force",
            help="Where to write; .pfx is added to the name.",
        ),
    ] = None,
    for_: For = None,
    format_: FormatOption = None,
    kdf_rounds: Rounds = None,
    copy_to: CopyTo = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="TEXT",
            show_default="the one in FILE",
            callback=written_in_letters,
            help="What programs will call the certificate (friendlyName).",
        ),
    ] = None,
    cert: CertInFile = None,
    no_chain: NoChain = False,
    force: Force = False,
    old_password_file: Annotated[
        str | None,
        typer.Option(
            _OPTION,
            metavar="FILE",
            show_default=False,
            help="Read the password that the backup has now from the first line of FILE;"
            " - is stdin.",
        ),
    ] = None,
    password_file: PasswordFile = None,
    generate_password: GeneratePassword = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Give a backup a new password or another format.

    The file may come from any program. It is opened with its password, which is asked for; the
    new password is asked for twice. Without --output the file itself is replaced, and only with
    --force: by a new one that was verified, or not at all.
    """
    talk = Output(json=json, quiet=quiet, verbose=verbose)
    passwords.check_one_source(
        password_file=password_file, generate=generate_password, primary=old_password_file
    )
    destination, formats = chosen_formats(for_, format_)

    from nssbackup.cli.sealing import BackupSealing

    sealing = BackupSealing(
        talk,
        formats,
        destination=destination,
        rounds=kdf_rounds,
        password_file=password_file,
        generate=generate_password,
    )
    sealing.begin()

    # Only now, when the derivations may be running: what is loaded here takes as long as they do.
    from dataclasses import replace

    from nssbackup.backups.repassword import RepasswordOptions, repassword_backup
    from nssbackup.backups.writing import Dialogue
    from nssbackup.cli.guided.questions import select
    from nssbackup.cli.summaries import show_export

    report = repassword_backup(
        file,
        RepasswordOptions(
            certificate=cert,
            output=output,
            formats=formats,
            copies=tuple(copy_to or ()),
            friendly_name=name,
            chain=not no_chain,
            replace=force,
        ),
        passwords.of_backup(old_password_file, _OPTION, "Old password"),
        Dialogue(
            primary_password=_no_primary_password,
            pfx_writers=sealing,
            select=select(talk) if passwords.is_interactive() else None,
            warn=talk.warn,
            detail=talk.detail,
        ),
    )
    report = replace(report, password=sealing.generated)
    if json:
        talk.document(report.to_json())
        return
    show_export(report, talk)
    if any(_is(path, file) for one in report.files for path in (one.path, *one.copies)):
        talk.say(f"Other copies of the old {file.name} still open with its old password.")
    else:
        talk.say(f"{file} is as it was, and opens with its old password.")


def _is(path: Path, file: Path) -> bool:
    try:
        return path.samefile(file)
    except OSError:  # somebody took one of them away meanwhile
        return False


def _no_primary_password(_profile: Profile, _attempt: int) -> None:
    """No profile is opened."""
