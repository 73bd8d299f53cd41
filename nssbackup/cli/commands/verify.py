"""`nssbackup verify`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from nssbackup.backups.firefox_backup import verify_firefox_backup
from nssbackup.backups.opening import read_pfx
from nssbackup.backups.verify import verify_backup
from nssbackup.cli import passwords
from nssbackup.cli.options import Json, PasswordFile, Quiet, RecoveryPasswordFile, Verbose
from nssbackup.cli.printer import Printer
from nssbackup.cli.questions import is_interactive
from nssbackup.cli.text import show_verified
from nssbackup.errors import NssBackupError, QuestionError, WrongBackupPasswordError
from nssbackup.report import VerifiedFile, VerifyReport
from nssbackup.secret import Secret
from nssbackup.stores.containers import RecoveryPasswordFor, container_kind


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="A .pfx or .p12 file of any program, or a Firefox backup.",
        ),
    ],
    password_file: PasswordFile = None,
    recovery_password_file: RecoveryPasswordFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Open backups with their password, and show what is in them and whether they work."""
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    passwords.check_one_source(password_file=password_file, recovery=recovery_password_file)
    password = None
    if password_file is not None:
        password = passwords.read_file(password_file, "--password-file")
    recovery = passwords.recovery_password(recovery_password_file)
    found = _verified(tuple(_expanded(files)), password, recovery, printer)
    report = VerifyReport(tuple(found))
    if json:
        printer.document(report.to_json())
    else:
        for file in report.files:
            show_verified(file, printer)
    statuses = [file.error.exit_status for file in report.files if file.error]
    if statuses:
        raise typer.Exit(statuses[0])


def _expanded(files: Sequence[Path]) -> Iterator[Path]:
    """Yield the files; on Windows, whose shells do not, expand patterns such as `*.pfx`."""
    for file in files:
        is_pattern = sys.platform == "win32" and not file.exists()
        found = sorted(file.parent.glob(file.name)) if is_pattern else []
        yield from found or [file]


def _verified(
    files: Sequence[Path],
    password: Secret | None,
    recovery: RecoveryPasswordFor,
    printer: Printer,
) -> Iterator[VerifiedFile]:
    """Verify one file after the other; ask for the password if it is None."""
    may_ask = password is None
    for file in files:
        printer.detail(f"reading {file}")
        if container_kind(file) == "firefox-backup":
            yield verify_firefox_backup(file, recovery)
            continue
        if may_ask and (unusable := _unusable(file)) is not None:
            yield unusable
            continue
        if password is None:
            if not is_interactive():
                message = "the password of the backup is needed"
                raise QuestionError(message, hint="give it with `--password-file FILE`")
            password = passwords.ask(f"Password of {file.name}")
        verified = verify_backup(file, password)
        if may_ask:
            verified = _asked_again(verified)
        if verified.ok:
            printer.detail(f"opened and checked: {file}")
        yield verified


def _unusable(file: Path) -> VerifiedFile | None:
    """Return why no password is worth asking for: the file is missing, or is no backup."""
    try:
        read_pfx(file)
    except NssBackupError as error:
        return VerifiedFile(file, error=error)
    return None


def _asked_again(verified: VerifiedFile) -> VerifiedFile:
    """Ask for another password if it was wrong: each file may have its own."""
    for _ in range(passwords.ATTEMPTS - 1):
        if not isinstance(verified.error, WrongBackupPasswordError):
            break
        file = verified.path
        verified = verify_backup(file, passwords.ask(f"Wrong. Password of {file.name}"))
    return verified
