"""`nssbackup restore`."""

from __future__ import annotations

from typing import Annotated

import typer

from nssbackup.cli import passwords
from nssbackup.cli.options import (
    BackupFile,
    CertInFile,
    Engine,
    Json,
    PrimaryPasswordFile,
    Quiet,
    Verbose,
    encodable,
    offer_profiles,
)
from nssbackup.cli.printer import Printer
from nssbackup.cli.questions import choose_profile, select_on
from nssbackup.cli.text import show_restore
from nssbackup.profiles import find_targets
from nssbackup.restore.restore import RestoreDialogue, restore_backup
from nssbackup.restore.staging import RestoreOptions

_Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME|PATH",
        show_default="the default profile of Firefox",
        autocompletion=offer_profiles,
        help="The profile to restore to: its name or its folder.",
    ),
]
_Nickname = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="TEXT",
        show_default="the one in FILE",
        callback=encodable,
        help="What the profile will call the certificate (nickname).",
    ),
]
_TrustCa = Annotated[
    bool,
    typer.Option("--trust-ca", help="Trust the root of its chain for websites and mail."),
]
_PasswordFile = Annotated[
    str | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        show_default=False,
        help="Read the backup's password from the first line of FILE; - is stdin.",
    ),
]


def restore(
    file: BackupFile,
    profile: _Profile = None,
    cert: CertInFile = None,
    name: _Nickname = None,
    trust_ca: _TrustCa = False,
    password_file: _PasswordFile = None,
    primary_password_file: PrimaryPasswordFile = None,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Put the certificate and key of a backup into a profile, so that Firefox has them again.

    The application must be closed. A copy of its databases as they were is kept in the profile,
    and whatever the profile already has stays there.
    """
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    passwords.check_one_source(
        password_file=password_file, generate=False, primary=primary_password_file
    )
    target = choose_profile(printer, find_targets(profile))
    options = RestoreOptions(certificate=cert, nickname=name, trust_ca=trust_ca, engine=engine)
    dialogue = RestoreDialogue(
        backup_password=passwords.of_backup(password_file, "--password-file"),
        primary_password=passwords.primary_password(primary_password_file),
        select=select_on(printer, "Restore this one?"),
        warn=printer.warn,
        detail=printer.detail,
    )
    report = restore_backup(file, target, options, dialogue)
    if json:
        printer.document(report.to_json())
    else:
        show_restore(report, printer)
