"""The command line: parses, calls the library, prints what comes back.

`nssbackup --help` must not wait for what only a command needs, so nothing heavy is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from nssbackup.cli.boundary import exit_status_of
from nssbackup.cli.commands import COMMANDS, PLAIN, help_on_our_streams, load_command, write_rows
from nssbackup.cli.printer import Printer
from nssbackup.cli.questions import is_interactive
from nssbackup.system.ownership import keep_memory_private

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
        sys.exit(exit_status_of(lambda: run(args=arguments, **extra), json=json, name=name))


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
