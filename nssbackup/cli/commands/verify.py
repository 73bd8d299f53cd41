"""`nssbackup verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.cli import passwords
from nssbackup.cli.options import Json, PasswordFile, Quiet, Verbose
from nssbackup.cli.output import Output

if TYPE_CHECKING:
    from nssbackup.report import VerifiedFile
    from nssbackup.secret import Secret


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", show_default=False, help="A .pfx or .p12 file of any program."
        ),
    ],
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
    password = None
    if password_file is not None:
        password = passwords.read_file(password_file, "--password-file")
    elif not passwords.is_interactive():
        message = "the password of the backup is needed"
        raise QuestionError(message, hint="give it with `--password-file FILE`")
    report = VerifyReport(tuple(_verified(files, password, talk)))
    if json:
        talk.document(report.to_json())
    else:
        for file in report.files:
            show_verified(file, talk)
    statuses = [file.error.exit_status for file in report.files if file.error]
    if statuses:
        raise typer.Exit(statuses[0])


def _verified(
    files: Sequence[Path], password: Secret | None, talk: Output
) -> Iterator[VerifiedFile]:
    """Verify files one after the other; None for a password that is asked for when it is needed."""
    from nssbackup.backups.verify import verify_backup

    ask = password is None
    for file in files:
        talk.detail(f"reading {file}")
        if ask and (unusable := _unusable(file)):
            yield unusable
            continue
        if password is None:
            password = passwords.ask(f"Password of {file.name}")
        verified = verify_backup(file, password)
        if ask:
            verified = _asked_again(verified)
        if verified.ok:
            talk.detail(f"opened and checked: {file}")
        yield verified


def _unusable(file: Path) -> VerifiedFile | None:
    """Why no password is worth asking for, if so: there is no such file, or it is no backup."""
    from nssbackup.backups.opening import read_pfx
    from nssbackup.errors import NssBackupError
    from nssbackup.report import VerifiedFile

    try:
        read_pfx(file)
    except NssBackupError as error:
        return VerifiedFile(file, error=error)
    return None


def _asked_again(verified: VerifiedFile) -> VerifiedFile:
    """The same, where the password was wrong with another one: each file may have its own."""
    from nssbackup.backups.verify import verify_backup
    from nssbackup.errors import WrongBackupPasswordError

    for _ in range(passwords.ATTEMPTS - 1):
        if not isinstance(verified.error, WrongBackupPasswordError):
            break
        file = verified.path
        verified = verify_backup(file, passwords.ask(f"Wrong. Password of {file.name}"))
    return verified
