"""The error boundary: whatever ends a command becomes a sentence, a hint and an exit status."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import typer

from nssbackup.cli.printer import Printer, StreamError
from nssbackup.errors import (
    CancelledError,
    InternalError,
    InterruptedByUserError,
    NssBackupError,
    UsageError,
)

_LEFT_BY_INTERRUPT = {
    "batch": "the backups written so far are complete",
    "fleet": "the backups written so far are complete",
    "restore": "either nothing was changed, or everything was restored",
}


def exit_status_of(command: Callable[[], object], *, json: bool, name: str = "nssbackup") -> int:
    """Run a command, print the error it ends with, and return its exit status.

    Args:
        command: what to run.
        json: whether the error is printed as a JSON document.
        name: what to type before `--help` for its usage.
    """
    printer = Printer(json=json)
    try:
        outcome = command()
    except NssBackupError as error:
        return printer.error(error)
    except KeyboardInterrupt:
        return printer.error(_interrupted(name))
    except typer.Abort:  # the input ended at a question of Typer's
        return printer.error(CancelledError("cancelled"))
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may pass it
        return printer.error(_translated(error, printer, name))
    # Typer returns the code of an `Exit` instead of raising it; 130 is its code for Ctrl-C.
    status = outcome if isinstance(outcome, int) else 0
    if status == InterruptedByUserError.exit_status:
        return printer.error(_interrupted(name))
    return status


def current_folder() -> Path | None:
    """Return the current folder; None if it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def _interrupted(name: str) -> InterruptedByUserError:
    # `export` and `repassword` raise an error of their own once they have written a file.
    left = _LEFT_BY_INTERRUPT.get(name.rpartition(" ")[2], "nothing was written")
    return InterruptedByUserError(f"interrupted; {left}")


def _translated(error: Exception, printer: Printer, name: str) -> NssBackupError:
    """Return the error of ours for a complaint of Typer's or a bug."""
    if _was_interrupted(error):
        return _interrupted(name)
    # Typer's classes of errors are private; these two attributes aren't.
    complaint = getattr(error, "format_message", None)
    if callable(complaint) and getattr(error, "exit_code", None) == UsageError.exit_status:
        hint = f"`{name} --help` shows the usage"
        return UsageError(_as_ours(str(complaint())), hint=hint)
    if isinstance(error, FileNotFoundError) and current_folder() is None:
        # Ansible does not start there, and a relative path leads nowhere.
        return UsageError("the current folder was removed", hint="change to another folder first")
    with suppress(StreamError):
        # Only the lines of code: a message or a value could be a secret.
        for frame in traceback.extract_tb(error.__traceback__):
            printer.say(f"  {frame.filename}:{frame.lineno} in {frame.name}")
    return InternalError(
        f"a bug in nssbackup ({type(error).__name__})",
        hint="please report it with the lines above; they contain no password and no key",
    )


def _as_ours(complaint: str) -> str:
    """Return a message of Typer's in the style of ours, without Pydantic's words."""
    text = re.sub(r"'([^'\n]*)'", r"`\1`", complaint.rstrip("."))
    text = text.replace("Value error, ", "").replace("Input should be", "it should be")
    text = text.removesuffix(", unable to parse string as an integer")
    return text[:1].lower() + text[1:]


def _was_interrupted(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind an error: inside a lock it becomes another one."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False
