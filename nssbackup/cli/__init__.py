"""The command line: parses, calls the library, renders what comes back.

Nothing heavy is imported here: `--help` must not wait for cryptography that it does not use.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from nssbackup.cli.boundary import exit_status_of
from nssbackup.cli.commands.export import export
from nssbackup.cli.commands.listing import list_identities
from nssbackup.cli.commands.profiles import profiles
from nssbackup.cli.commands.verify import verify

_EPILOG = "Exit statuses, JSON and formats: see README.md. Nothing is ever written to a profile."


class _Group(TyperGroup):
    """The single error boundary: every error becomes a sentence, a hint and an exit status."""

    def main(  # type: ignore[override]  # Typer's own has five parameters that are handed on
        self,
        args: Sequence[str] | None = None,
        **extra: Any,  # noqa: ANN401 - Typer's, handed on unread
    ) -> None:
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
    add_completion=False,
    rich_markup_mode=None,  # plain help: no second library to load for it
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nssbackup {version('nssbackup')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Back up a client certificate and its private key from Firefox to a verified .pfx file."""
    del version
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


app.command("profiles")(profiles)
app.command("list")(list_identities)
app.command("export")(export)
app.command("verify")(verify)
