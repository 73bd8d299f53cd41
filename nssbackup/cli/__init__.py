"""The command line: parses, calls the library, renders what comes back.

Nothing heavy is imported here: `--help` must not wait for cryptography that it does not use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from nssbackup.cli.boundary import exit_status_of
from nssbackup.cli.commands.batch import batch
from nssbackup.cli.commands.doctor import doctor
from nssbackup.cli.commands.export import export
from nssbackup.cli.commands.fleet import fleet
from nssbackup.cli.commands.guided import guided
from nssbackup.cli.commands.listing import list_identities
from nssbackup.cli.commands.profiles import profiles
from nssbackup.cli.commands.repassword import repassword
from nssbackup.cli.commands.restore import restore
from nssbackup.cli.commands.verify import verify
from nssbackup.cli.completion import ASKED_BY, ShowCompletion, answer
from nssbackup.cli.passwords import is_interactive

_EPILOG = "Exit statuses, JSON and formats: see README.md. Only `restore` writes to a profile."


class _Group(TyperGroup):
    """The single error boundary: every error becomes a sentence, a hint and an exit status."""

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
    show_completion: ShowCompletion = None,
) -> None:
    """Back up a client certificate and its private key from Firefox to a verified .pfx file.

    Without a command, on a terminal, you are asked what is needed, question by question.
    """
    del version, show_completion
    if context.invoked_subcommand is not None:
        return
    if not is_interactive():
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
    guided()


app.command("profiles")(profiles)
app.command("list")(list_identities)
app.command("export")(export)
app.command("repassword")(repassword)
app.command("verify")(verify)
app.command("restore")(restore)
app.command("doctor")(doctor)
app.command("batch")(batch)
app.command("fleet")(fleet)
