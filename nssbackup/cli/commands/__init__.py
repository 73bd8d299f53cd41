"""The commands: one table, from which each is loaded when it is needed."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from nssbackup.cli.printer import Printer
from nssbackup.errors import UsageError

if TYPE_CHECKING:
    # Private to Typer, so only the type checker reads them.
    from typer._click.core import Context, Parameter
    from typer._click.formatting import HelpFormatter

# Plain help and errors: Rich would have to be loaded for others.
PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "pretty_exceptions_show_locals": False,
}


class Entry(NamedTuple):
    """Where a command is: module and function; and what `nssbackup --help` says of it."""

    module: str
    function: str
    summary: str


COMMANDS: Mapping[str, Entry] = {
    "profiles": Entry("listing", "profiles", "Show the profiles found."),
    "list": Entry("listing", "list_identities", "Show the client certificates in the profiles."),
    "export": Entry("export", "export", "Back up a certificate with its key to a .pfx file."),
    "verify": Entry("verify", "verify", "Check what is in a backup and whether it works."),
    "repassword": Entry("repassword", "repassword", "Change a backup's password or format."),
    "restore": Entry("restore", "restore", "Put a backup back into a profile."),
    "doctor": Entry("doctor", "doctor", "Explain why a certificate can't be backed up."),
    "batch": Entry("batch", "batch", "Back up many users' certificates, unattended."),
    "fleet": Entry("fleet", "fleet", "The same on many computers, through Ansible."),
}

# What people type because other programs have it.
_OPTIONS_INSTEAD = ("help", "version")


def load_command(name: str) -> TyperCommand:
    """Return a command.

    Raises:
        UsageError: there is no such command.
    """
    if name in _OPTIONS_INSTEAD:
        message = f"there is no command `{name}`"
        raise UsageError(message, hint=f"type `nssbackup --{name}`")
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        message = f"there is no command `{name}`"
        hint = f"did you mean `nssbackup {near[0]}`?" if near else "see `nssbackup --help`"
        raise UsageError(message, hint=hint)
    entry = COMMANDS[name]
    single = typer.Typer(add_completion=False, **PLAIN)
    run = getattr(import_module(f"nssbackup.cli.commands.{entry.module}"), entry.function)
    single.command(name, cls=Command)(run)
    return cast("TyperCommand", typer.main.get_command(single))


def help_on_our_streams(option: Parameter | None) -> None:
    """Let `--help` print through a Printer, which copes with closed and full streams."""
    if option is not None:
        option.callback = _show_help


def _show_help(context: Context, _option: Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        printer = Printer()
        for line in context.get_help().splitlines():
            printer.data(line)
        raise typer.Exit


class Command(TyperCommand):
    """A command that refuses a repeated option, and whose help names no Python types."""

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """Return the `--help` option."""
        option = super().get_help_option(ctx)
        help_on_our_streams(option)
        return option

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the words typed; Typer itself would take the last of two values.

        Raises:
            UsageError: an option that takes one value was given two.
        """
        if not ctx.resilient_parsing:  # a line that is still being typed
            *_, order = self.make_parser(ctx).parse_args([*args])
            given = [one for one in order if isinstance(one, TyperOption) and not one.is_flag]
            for one in given:
                if not one.multiple and given.count(one) > 1:
                    message = f"`{one.opts[0]}` can be given only once"
                    raise UsageError(message, hint=f"`{ctx.command_path} --help` shows the usage")
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the arguments and options of the help."""
        parameters = self.get_params(ctx)
        arguments = [one for one in parameters if isinstance(one, TyperArgument)]
        options = [one for one in parameters if isinstance(one, TyperOption)]
        if arguments:
            rows = [(_metavar(one), one.help or "") for one in arguments]
            write_rows(formatter, "Arguments", rows)
        records = [one.get_help_record(ctx) for one in options]
        rows = [(name, _in_words(text)) for name, text in filter(None, records)]
        write_rows(formatter, "Options", rows)


def _metavar(argument: TyperArgument) -> str:
    return f"{argument.metavar}..." if argument.nargs == -1 else str(argument.metavar)


def _in_words(text: str) -> str:
    """Return the help of an option with its default and range as a person would write them."""
    text = re.sub(r"\[default: \((.*?)\)([];])", r"[default: \1\2", text)
    return re.sub(r"x>=(\d+)", r"\1 or more", re.sub(r"(\d+)<=x<=(\d+)", r"\1 to \2", text))


def write_rows(formatter: HelpFormatter, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    """Write a section of a help text, without line ends inside names such as `--copy-to`."""
    indent = " " * (max(len(name) for name, _ in rows) + 4)
    with formatter.section(heading):
        for name, text in rows:
            lines = textwrap.wrap(text, formatter.width - len(indent), break_on_hyphens=False)
            formatter.write(f"  {name}".ljust(len(indent)) + f"\n{indent}".join(lines) + "\n")
