"""`nssbackup restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.cli import completion, passwords
from nssbackup.cli.options import (
    BackupFile,
    CertInFile,
    Engine,
    Json,
    PrimaryPasswordFile,
    Quiet,
    Verbose,
    written_in_letters,
)
from nssbackup.cli.output import Output

if TYPE_CHECKING:
    from nssbackup.identity.model import Profile


def restore(  # noqa: PLR0913 - one parameter an option
    file: BackupFile,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME|PATH",
            show_default="the default profile of Firefox",
            autocompletion=completion.profiles,
            help="The profile to restore to: its name or its folder.",
        ),
    ] = None,
    cert: CertInFile = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="TEXT",
            show_default="the one in FILE",
            callback=written_in_letters,
            help="What the profile will call the certificate (nickname).",
        ),
    ] = None,
    trust_ca: Annotated[
        bool,
        typer.Option(
            "--trust-ca", help="Make the root of its chain one that is trusted for web and mail."
        ),
    ] = False,
    password_file: Annotated[
        str | None,
        typer.Option(
            "--password-file",
            metavar="FILE",
            show_default=False,
            help="Read the password that opens the backup from the first line of FILE; - is stdin.",
        ),
    ] = None,
    primary_password_file: PrimaryPasswordFile = None,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Put the certificate and key of a backup into a profile, so that Firefox has them again.

    The application must be closed. A copy of its databases as they were is kept in the profile.
    What the profile holds already stays.
    """
    talk = Output(json=json, quiet=quiet, verbose=verbose)
    passwords.check_one_source(
        password_file=password_file, generate=False, primary=primary_password_file
    )

    from nssbackup.cli.guided.questions import select
    from nssbackup.cli.summaries import show_restore
    from nssbackup.restore.restore import RestoreDialogue, RestoreOptions, restore_backup

    report = restore_backup(
        file,
        _target(profile, talk),
        RestoreOptions(certificate=cert, nickname=name, trust_ca=trust_ca, engine=engine),
        RestoreDialogue(
            backup_password=passwords.of_backup(password_file, "--password-file"),
            primary_password=passwords.primary_password(primary_password_file),
            select=select(talk) if passwords.is_interactive() else None,
            warn=talk.warn,
            detail=talk.detail,
        ),
    )
    if json:
        talk.document(report.to_json())
    else:
        show_restore(report, talk)


def _target(name_or_path: str | None, talk: Output) -> Profile:
    """The one profile to restore to.

    Raises:
        NoProfileError: there is none.
        QuestionError: there are several and nobody can be asked.
    """
    from nssbackup.cli.guided.questions import pick
    from nssbackup.errors import QuestionError
    from nssbackup.profiles import find_targets

    found = find_targets(name_or_path)
    if len(found) == 1:
        return found[0]
    lines = [f"{one.name} ({one.application}, {one.path})" for one in found]
    if not passwords.is_interactive():
        message = f"several profiles may be meant: {', '.join(one.name for one in found)}"
        raise QuestionError(message, hint="name one by its folder with `--profile PATH`")
    talk.question("There are several profiles to restore to:")
    while True:
        answer = pick(talk, lines, "Which one?", "the choice of a profile")
        if isinstance(answer, int):
            return found[answer]
        named = [one for one in found if answer in (one.name, one.path.name)]
        if len(named) == 1:
            return named[0]
        talk.question(f"There is no {answer} to choose here.")
