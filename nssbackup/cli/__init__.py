"""The command line: parses, calls the library, prints what comes back.

`nssbackup --help` must not wait for what only a command needs, so nothing heavy is imported here.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from nssbackup.cli.commands import COMMANDS, PLAIN, help_on_our_streams, load_command, write_rows
from nssbackup.cli.printer import Printer, StreamError
from nssbackup.cli.questions import is_interactive
from nssbackup.errors import (
    CancelledError,
    InternalError,
    InterruptedByUserError,
    NssBackupError,
    UsageError,
)
from nssbackup.printable import printable
from nssbackup.system.ownership import keep_memory_private

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


if TYPE_CHECKING:
    # Private to Typer, so only the type checker reads them.
    from typer._click.core import Context
    from typer._click.formatting import HelpFormatter
    from typer.core import TyperOption


class _Group(TyperGroup):
    """All commands, and the one error boundary around them."""

    def get_command(self, ctx: Context, cmd_name: str) -> TyperCommand | None:
        if ctx.resilient_parsing and cmd_name not in COMMANDS:
            return None  # a line that is still being typed
        return load_command(cmd_name)

    def list_commands(self, ctx: Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        del ctx
        rows = [(name, entry.summary) for name, entry in COMMANDS.items()]
        write_rows(formatter, "Commands", rows)

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        option = super().get_help_option(ctx)
        help_on_our_streams(option)
        return option

    def main(  # type: ignore[override]  # Typer's other parameters are passed on
        self,
        args: Sequence[str] | None = None,
        **extra: Any,  # noqa: ANN401 - Typer's
    ) -> None:
        arguments = list(sys.argv[1:] if args is None else args)
        json = "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
        extra["standalone_mode"] = False
        name = " ".join(("nssbackup", *(word for word in arguments[:1] if word in COMMANDS)))
        run = super().main
        sys.exit(
            exit_status_of(lambda: run(args=_as_meant(arguments), **extra), json=json, name=name)
        )


def _as_meant(words: list[str], platform: str = sys.platform) -> list[str]:
    r"""Return the words of a command line without the quotation mark of `"C:\My profile\"`.

    Windows' programs take the `\"` at its end for the character, and what follows for the same
    word, up to the next quotation mark (learn.microsoft.com, "Parsing C command-line arguments").

    Raises:
        UsageError: other words have become part of one.
    """
    if platform != "win32":
        return words
    for word in words:
        if word.count('"') % 2 and not word.endswith('"'):
            message = f"`{printable(word)}` was read as one word"
            raise UsageError(message, hint=r"leave out the `\` before a quotation mark")
    return [word[:-1] if word.count('"') % 2 else word for word in words]


app = typer.Typer(
    name="nssbackup",
    cls=_Group,
    **PLAIN,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`nssbackup COMMAND --help` shows the options of a command."
    " Only `restore` writes to a profile.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # 20 ms, and only this option needs it

        Printer().data(f"nssbackup {version('nssbackup')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Back up a client certificate and its private key from Firefox to a verified .pfx file.

    Without a command, nssbackup asks on a terminal for what it needs, question by question.
    """
    if context.invoked_subcommand is None and not is_interactive():
        printer = Printer()
        for line in context.get_help().splitlines():
            printer.say(line)
        raise typer.Exit(2)
    keep_memory_private()  # before anything secret is read
    if context.invoked_subcommand is None:
        import_module("nssbackup.cli.guided").guide()
