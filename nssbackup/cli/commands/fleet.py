"""`nssbackup fleet`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.cli.options import (
    SOME_FAILED,
    Again,
    AllIssuers,
    DryRun,
    Escrow,
    Expired,
    ExpiringFirst,
    For,
    FormatOption,
    Json,
    OnlyCerts,
    PasswordTableFile,
    PrimaryOfAll,
    PrimaryTableFile,
    Quiet,
    Verbose,
    chosen_formats,
)
from nssbackup.cli.output import Output
from nssbackup.cli.sources import Sources
from nssbackup.errors import UsageError

if TYPE_CHECKING:
    from nssbackup.batch.report import BatchReport

_Inventory = Annotated[
    str,
    typer.Argument(
        metavar="INVENTORY",
        show_default=False,
        help="Ansible's inventory: a file or folder, or hosts with commas between them.",
    ),
]
_Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        show_default=False,
        help="Where the backups go, on this computer: a folder in it for each host, and the report"
        " of all. The same one every night: what has not changed is not done again.",
    ),
]
_Limit = Annotated[
    str | None,
    typer.Option(
        "--limit",
        metavar="PATTERN",
        show_default="all",
        help="Only these hosts of the inventory, as Ansible's --limit takes them.",
    ),
]
_Forks = Annotated[
    int | None,
    typer.Option(
        "--forks",
        metavar="N",
        min=1,
        max=10_000,
        show_default="Ansible's own: 5",
        help="How many hosts at a time.",
    ),
]
_Timeout = Annotated[
    int,
    typer.Option(
        "--timeout",
        metavar="MINUTES",
        min=1,
        max=1_200,
        help="How long the backing up of a host may take.",
    ),
]
_Wheels = Annotated[
    Path | None,
    typer.Option(
        "--wheels",
        metavar="FOLDER",
        show_default="the hosts' own index",
        help="Install nssbackup on the hosts from the wheels in this folder, and from nowhere"
        " else.",
    ),
]
_Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="PATH",
        show_default="Ansible's",
        help="Python 3.11 or later on the hosts.",
    ),
]
_Homes = Annotated[
    list[str] | None,
    typer.Option(
        "--home",
        metavar="DIR",
        show_default=False,
        help="A user's home on the hosts. Repeatable.",
    ),
]
_Parents = Annotated[
    list[str] | None,
    typer.Option(
        "--homes",
        metavar="DIR",
        show_default="/home, /Users or C:\\Users",
        help="A folder on the hosts with a home for each user. Repeatable.",
    ),
]
_PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        show_default=False,
        help="One password for all backups: the first line of FILE.",
    ),
]


def fleet(  # noqa: PLR0913 - one parameter an option
    inventory: _Inventory,
    output: _Folder,
    limit: _Limit = None,
    forks: _Forks = None,
    timeout: _Timeout = 240,
    become: Annotated[
        bool,
        typer.Option(
            "--become",
            help="Become root on the hosts, whoever logs in: other users' homes are closed.",
        ),
    ] = False,
    wheels: _Wheels = None,
    python: _Python = None,
    home: _Homes = None,
    homes: _Parents = None,
    cert: OnlyCerts = None,
    all_issuers: AllIssuers = False,
    expired: Expired = False,
    expiring: ExpiringFirst = None,
    escrow_cert: Escrow = None,
    for_: For = None,
    format_: FormatOption = None,
    password_file: _PasswordFile = None,
    passwords: PasswordTableFile = None,
    primary_password_file: PrimaryOfAll = None,
    primary_passwords: PrimaryTableFile = None,
    force: Again = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Back up every user's certificates on many computers, by Ansible, into one folder.

    Needs the extra: pip install 'nssbackup[fleet]'. The inventory says how Ansible reaches the
    hosts, and by the role's variables what no option here says. What is put on the hosts for the
    time of the run is removed at its end. What fails is a line of the report and stops nothing
    else: the status is then 3.
    """
    talk = Output(json=json, quiet=quiet, verbose=verbose)
    secrets = {
        key: Path(file).absolute()
        for key, file in {
            "password_file": password_file,
            "passwords": passwords,
            "primary_password_file": primary_password_file,
            "primary_passwords": primary_passwords,
        }.items()
        if file is not None
    }
    sources = Sources(
        _text(secrets.get("password_file")),
        secrets.get("passwords"),
        _text(secrets.get("primary_password_file")),
        secrets.get("primary_passwords"),
        escrow=bool(escrow_cert),
    )
    sources.check()
    destination, _ = chosen_formats(for_, format_)

    from nssbackup.fleet.play import Play
    from nssbackup.fleet.run import FleetOptions, back_up_fleet

    for key, file in (*secrets.items(), *(("escrow_cert", one) for one in escrow_cert or ())):
        _check_file(key, file)
    made_up = sources.of_backups(destination, talk) is None
    sources.of_profiles()
    play = Play(
        _source(inventory),
        limit=limit,
        forks=forks,
        become=become,
        check=dry_run,
        time_limit=timeout * 60,
    )
    options = FleetOptions(
        play,
        output,
        wheels=wheels,
        escrow=tuple(escrow_cert or ()),
        secrets=secrets,
        expiring_days=expiring,
        variables={
            key: value
            for key, value in {
                "python": python,
                "home": home,
                "homes": homes,
                "certificates": cert,
                "all_issuers": all_issuers,
                "expired": expired,
                "for": for_,
                "format": format_,
                "force": force,
            }.items()
            if value
        },
    )

    def progress(host: str, step: str) -> None:
        talk.say(f"{host}: {step}" if host else step)

    with _private():
        report = back_up_fleet(options, progress, talk.warn)
    if made_up and not escrow_cert:
        _warn_of_passwords(report, talk)
    if json:
        talk.document(report.to_json())
    else:
        _show(report, talk)
    if report.totals["failed"]:
        raise typer.Exit(SOME_FAILED)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _check_file(key: str, path: Path) -> None:
    """Refuse what is no plain file: each host gets it, and a pipe can be read but once.

    Raises:
        UsageError: it is none.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - Path's own raises for a name too long
        message = f"the file of `--{key.replace('_', '-')}` is not there, or is no plain file"
        raise UsageError(message)


def _source(inventory: str) -> str:
    """The inventory as Ansible takes it wherever it runs.

    Raises:
        UsageError: there is no such file.
    """
    if os.path.exists(inventory):  # noqa: PTH110 - Path's own raises where hosts are many
        return str(Path(inventory).absolute())
    if "," in inventory:
        return inventory
    message = f"there is no inventory `{inventory}`"
    raise UsageError(message, hint="it is a file or folder, or hosts with commas: `one,two`")


@contextmanager
def _private() -> Iterator[None]:
    """Whatever is written, by Ansible too, is for its owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _warn_of_passwords(report: BatchReport, talk: Output) -> None:
    """Say where the passwords are that came home in the clear, if any did."""
    from nssbackup.batch.layout import PASSWORDS_FILE

    kept = (
        report.folder / host.host / PASSWORDS_FILE
        for host in report.hosts
        if host.totals["backed-up"]
    )
    if any(path.is_file() for path in kept):
        talk.warn(
            f"the passwords stand in `{report.folder / 'HOST' / PASSWORDS_FILE}`: keep them apart"
            " from the backups, or have them encrypted with `--escrow-cert`"
        )


def _show(report: BatchReport, talk: Output) -> None:
    """The hosts as a table, and where the rest is to be read."""
    columns = ("host", "backed up", "unchanged", "failed", "expiring", "")
    if report.dry_run:
        columns = ("host", "planned", "unchanged", "failed", "expiring", "")
    rows = []
    for host in report.hosts:
        keys = ("planned" if report.dry_run else "backed-up", "unchanged", "failed", "expiring")
        numbers = [str(host.totals[key]) for key in keys]
        state = "" if host.error is None else "failed" if host.reached else "not reached"
        rows.append((host.host, *numbers, state))
    talk.table(columns, rows)
    for host in report.hosts:
        if host.error is not None:
            talk.warn(f"{host.host}: {host.error}")
    if not report.dry_run:
        talk.say(f"The report of all hosts: {report.folder / 'report.html'}")
