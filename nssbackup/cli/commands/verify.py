"""`nssbackup verify`."""

from __future__ import annotations

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
