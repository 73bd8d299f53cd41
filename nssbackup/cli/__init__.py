"""The command line: parses, calls the library, renders what comes back.

Nothing heavy is imported here: `--help` must not wait for cryptography that it does not use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from nssbackup.cli.boundary import exit_status_of
from nssbackup.cli.completion import ASKED_BY, ShowCompletion, answer
from nssbackup.cli.output import Output
from nssbackup.cli.passwords import is_interactive
from nssbackup.errors import UsageError

# Plain help and errors: no second library to load for them.
_PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "pretty_exceptions_show_locals": False,
}

# Each with the module and the function that it is.
_COMMANDS = {
    "profiles": ("profiles", "profiles"),
    "list": ("listing", "list_identities"),
    "export": ("export", "export"),
    "repassword": ("repassword", "repassword"),
    "verify": ("verify", "verify"),
    "restore": ("restore", "restore"),
    "doctor": ("doctor", "doctor"),
    "batch": ("batch", "batch"),
    "fleet": ("fleet", "fleet"),
}

# The page is installed with every wheel; the README is not.
_EPILOG = (
    "Exit statuses, examples and more: see the manual page, nssbackup(1). Only `restore` writes to"
    " a profile."
)


class _Commands(Mapping[str, Any]):
    """The commands, each loaded when it is asked for: none has to wait for the others' options."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - Typer's class for it is private
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


@cache
def _command(name: str) -> object:
    module, function = _COMMANDS[name]
    alone = typer.Typer(add_completion=False, **_PLAIN)
    run = getattr(import_module(f"nssbackup.cli.commands.{module}"), function)
    alone.command(name, cls=_Command)(run)
    return typer.main.get_command(alone)


def _refuse_repeated(
    command: Any,  # noqa: ANN401 - Typer's class for any command is private
    context: Any,  # noqa: ANN401 - and so is its context's
    words: Sequence[str],
) -> None:
    """Refuse an option that takes one value and was given two: Typer would take the last.

    Raises:
        UsageError: there is one.
    """
    if context.resilient_parsing:  # a line that is still being typed
        return
    *_, order = command.make_parser(context).parse_args([*words])
    given = [one for one in order if isinstance(one, TyperOption) and not one.is_flag]
    for one in given:
        if not one.multiple and given.count(one) > 1:
            message = f"`{one.opts[0]}` can be given only once"
            raise UsageError(message, hint=f"`{context.command_path} --help` shows the usage")


def _show_help(
    context: Any,  # noqa: ANN401 - Typer's class is private
    _option: object,
    wanted: bool,
) -> None:
    """Typer's own help, but on streams as ours are, closed and full ones too."""
    if wanted and not context.resilient_parsing:
        output = Output()
        for line in context.get_help().splitlines():
            output.data(line)
        raise typer.Exit


def _on_our_streams(option: Any) -> Any:  # noqa: ANN401 - Typer's class is private
    """The option for help, with ours in the place of Typer's way to show it."""
    if option is not None:
        option.callback = _show_help
    return option


class _Command(TyperCommand):
    """A command whose options mean one thing each."""

    def get_help_option(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's
        return _on_our_streams(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer's
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class _Group(TyperGroup):
    """The single error boundary: every error becomes a sentence, a hint and an exit status."""

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - Typer's, handed on unread
        super().__init__(**given)
        self.commands = cast("MutableMapping[str, Any]", _Commands())  # nobody adds to them

    def get_help_option(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's
        return _on_our_streams(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer's
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)

    def main(  # type: ignore[override]  # Typer's own has five parameters that are handed on
        self,
        args: Sequence[str] | None = None,
        **extra: Any,  # noqa: ANN401 - Typer's, handed on unread
    ) -> None:
        if os.environ.get(ASKED_BY):
            answer(self)
            sys.exit(0)
        arguments = list(sys.argv[1:] if args is None else args)
        json = "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
        extra["standalone_mode"] = False
        status = exit_status_of(
            lambda: super(_Group, self).main(args=arguments, **extra), json=json
        )
        sys.exit(status)


app = typer.Typer(
    name="nssbackup",
    cls=_Group,
    add_completion=False,  # Typer's scripts would evaluate what stands in a profile: cli/shells.py
    **_PLAIN,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        Output().data(f"nssbackup {version('nssbackup')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    show_completion: ShowCompletion = None,
) -> None:
    """Back up a client certificate and its private key from Firefox to a verified .pfx file.

    Without a command, on a terminal, you are asked what is needed, question by question.
    """
    del version, show_completion
    from nssbackup.system.hardening import keep_memory_private

    keep_memory_private()  # before anything secret is read; help and version need not wait for it
    if context.invoked_subcommand is not None:
        return
    if not is_interactive():
        output = Output()
        for line in context.get_help().splitlines():
            output.say(line)
        raise typer.Exit(2)
    from nssbackup.cli.guided.dialogue import guided

    guided()
