"""The error boundary: whatever ends a command becomes words, a hint and an exit status."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress

import typer

from nssbackup.cli.output import Output, StreamError
from nssbackup.errors import (
    CancelledError,
    InternalError,
    InterruptedByUserError,
    NssBackupError,
    UsageError,
)


def exit_status_of(command: Callable[[], object], *, json: bool) -> int:
    """Run a command and say what the process should exit with; errors are rendered here."""
    output = Output(json=json)
    try:
        outcome = command()
    except NssBackupError as error:
        return output.error(error)
    except KeyboardInterrupt:
        return output.error(InterruptedByUserError("interrupted"))
    except typer.Abort:  # the end of the input at a question
        return output.error(CancelledError("cancelled"))
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may pass it
        return output.error(_translated(error, output))
    # Typer gives the code of an `Exit` back instead of raising it; 130 is its word for Ctrl-C.
    status = outcome if isinstance(outcome, int) else 0
    if status == InterruptedByUserError.exit_status:
        return output.error(InterruptedByUserError("interrupted"))
    return status


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: in the middle of a lock it makes another of itself."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _translated(error: Exception, output: Output) -> NssBackupError:
    """Typer's complaint about the command line, or a fault of ours."""
    if _was_interrupted(error):
        return InterruptedByUserError("interrupted")
    # The classes of Typer's vendored parser are private; what they have in common is not.
    complaint = getattr(error, "format_message", None)
    if callable(complaint) and getattr(error, "exit_code", None) == UsageError.exit_status:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "nssbackup"
        text = str(complaint()).rstrip(".")
        return UsageError(text[:1].lower() + text[1:], hint=f"`{command} --help` shows the usage")
    if isinstance(error, FileNotFoundError) and _is_nowhere():
        # Ansible begins nothing there, and a relative path leads nowhere.
        return UsageError("the current folder was removed", hint="change to another folder first")
    with suppress(StreamError):  # before the sentence, for the report
        for place in _places(error):
            output.say(place)
    return InternalError(
        f"a fault of nssbackup itself ({type(error).__name__})",
        hint="please report it with the lines above; they hold no password and no key",
    )


def _is_nowhere() -> bool:
    from nssbackup.cli.guided.places import current_folder

    return current_folder() is None


def _places(error: BaseException) -> Iterator[str]:
    """Where a fault happened: places only, because a message or a value could be a secret."""
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
