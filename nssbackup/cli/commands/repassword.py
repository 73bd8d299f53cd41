"""`nssbackup repassword`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import nssbackup
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
    encodable,
)
from nssbackup.cli.passwords import NewBackup
from nssbackup.cli.printer import Printer
from nssbackup.cli.questions import select_on
from nssbackup.cli.text import show_export

if TYPE_CHECKING:
    from nssbackup.identity.model import Profile

_OLD_PASSWORD_FILE = "--old-password-file"

_Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|FOLDER",
        show_default="FILE itself, which needs --force",
        help="Where to write; .pfx is added to the name.",
    ),
]
_FriendlyName = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="TEXT",
        show_default="the one in FILE",
        callback=encodable,
        help="What programs will call the certificate (friendlyName).",
    ),
]
_OldPasswordFile = Annotated[
    str | None,
    typer.Option(
        _OLD_PASSWORD_FILE,
        metavar="FILE",
        show_default=False,
        help="Read the backup's present password from the first line of FILE; - is stdin.",
    ),
]


def repassword(
    file: BackupFile,
    output: _Output = None,
    for_: For = None,
    format_: FormatOption = None,
    kdf_rounds: Rounds = None,
    copy_to: CopyTo = None,
    name: _FriendlyName = None,
    cert: CertInFile = None,
    no_chain: NoChain = False,
    force: Force = False,
    old_password_file: _OldPasswordFile = None,
    password_file: PasswordFile = None,
    generate_password: GeneratePassword = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Give a backup a new password or another format.

    The file may come from any program. You are asked for its password, then twice for the new
    one. Without --output the file itself is replaced, which needs --force; it is replaced by a
    verified file or not at all.
    """
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    passwords.check_one_source(
        password_file=password_file, generate=generate_password, primary=old_password_file
    )
    destination, formats = chosen_formats(for_, format_)
    new = NewBackup(printer, formats, destination, kdf_rounds, password_file, generate_password)
    new.start_derivations()
    options = nssbackup.RepasswordOptions(
        certificate=cert,
        output=output,
        formats=formats,
        copies=tuple(copy_to or ()),
        friendly_name=name,
        chain=not no_chain,
        replace=force,
    )
    dialogue = nssbackup.Dialogue(
        primary_password=_no_primary_password,
        pfx_writers=new.writers,
        select=select_on(printer),
        warn=printer.warn,
        detail=printer.detail,
    )
    old_password = passwords.of_backup(old_password_file, _OLD_PASSWORD_FILE, "Old password")
    report = replace(
        nssbackup.repassword_backup(file, options, old_password, dialogue), password=new.generated
    )
    if json:
        printer.document(report.to_json())
        return
    show_export(report, printer)
    if any(_is_same(path, file) for one in report.files for path in (one.path, *one.copies)):
        printer.say(f"Other copies of the old {file.name} still open with its old password.")
    else:
        printer.say(f"{file} is unchanged, and still opens with its old password.")


def _is_same(path: Path, file: Path) -> bool:
    try:
        return path.samefile(file)
    except OSError:  # one of them was removed meanwhile
        return False


def _no_primary_password(_profile: Profile, _attempt: int) -> None:
    """Return None: no profile is opened."""
