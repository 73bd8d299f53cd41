"""`nssbackup fleet`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.batch.layout import PASSWORDS_FILE
from nssbackup.cli.options import For, FormatOption, Json, Quiet, Verbose, chosen_formats
from nssbackup.cli.printer import Printer
from nssbackup.cli.unattended import (
    SOME_FAILED,
    Again,
    AllIssuers,
    DryRun,
    Escrow,
    Expired,
    ExpiringFirst,
    NoEscrow,
    OnlyCerts,
    PasswordSources,
    PasswordTableFile,
    PrimaryOfAll,
    PrimaryTableFile,
)
from nssbackup.errors import UsageError
from nssbackup.fleet.play import Play
from nssbackup.fleet.run import FleetOptions, back_up_fleet

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
        help="Where the backups go on this computer: a folder for each host, and the report of all."
        " Use the same one every night: what has not changed is not done again.",
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
        help="How long the backup of one host may take.",
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


_Become = Annotated[
    bool,
    typer.Option(
        "--become", help="Become root on the hosts: only root may read other users' homes."
    ),
]


def fleet(
    inventory: _Inventory,
    output: _Folder,
    limit: _Limit = None,
    forks: _Forks = None,
    timeout: _Timeout = 240,
    become: _Become = False,
    wheels: _Wheels = None,
    python: _Python = None,
    home: _Homes = None,
    homes: _Parents = None,
    cert: OnlyCerts = None,
    all_issuers: AllIssuers = False,
    expired: Expired = False,
    expiring: ExpiringFirst = None,
    escrow_cert: Escrow = None,
    no_escrow: NoEscrow = False,
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
    """Back up every user's certificates on many computers, through Ansible, into one folder.

    Needs an extra: pip install 'nssbackup[fleet]'. The inventory says how Ansible reaches the
    hosts; variables of the role set what no option here does. Whatever is put on a host for the
    run is removed at the end. A failure is a line of the report and stops nothing else; the
    status is then 3.
    """
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    sources = PasswordSources(
        str(password_file) if password_file else None,
        passwords,
        primary_password_file,
        primary_passwords,
        escrow=bool(escrow_cert),
    )
    sources.check(printer)
    destination, _ = chosen_formats(for_, format_)
    given = sources.files
    _check_files(given, escrow_cert or ())
    generated = sources.of_backups(destination, printer) is None
    sources.of_profiles()
    variables = {
        "python": python,
        "home": home,
        "homes": homes,
        "certificates": cert,
        "all_issuers": all_issuers,
        "expired": expired,
        "force": force,
        "for": for_,
        "format": format_,
        "no_escrow": no_escrow,
    }
    options = FleetOptions(
        Play(
            _source(inventory),
            limit=limit,
            forks=forks,
            become=become,
            check=dry_run,
            time_limit=timeout * 60,
        ),
        output,
        wheels=wheels,
        escrow=tuple(escrow_cert or ()),
        secrets={option[2:].replace("-", "_"): file.absolute() for option, file in given.items()},
        expiring_days=expiring,
        variables={key: value for key, value in variables.items() if value},
    )
    with _private_files():
        report = back_up_fleet(options, _shown_by(printer), printer.warn)
    if generated and not escrow_cert:
        warn_of_passwords(report, printer)
    if json:
        printer.document(report.to_json())
    else:
        show_fleet(report, printer)
    if report.totals["failed"]:
        raise typer.Exit(SOME_FAILED)


def _shown_by(printer: Printer) -> Callable[[str, str], None]:
    return lambda host, step: printer.say(f"{host}: {step}" if host else step)


def _check_files(passwords: Mapping[str, Path], escrow: Iterable[Path]) -> None:
    """Check that files are regular: each host gets them, and a pipe can be read only once.

    Raises:
        UsageError: one isn't.
    """
    for option, path in (*passwords.items(), *(("--escrow-cert", one) for one in escrow)):
        if not os.path.isfile(path):
            message = f"the `{option}` file is missing, or not a regular file"
            raise UsageError(message)


def _source(inventory: str) -> str:
    """Return the inventory so that Ansible finds it wherever it runs.

    Raises:
        UsageError: there is no such file.
    """
    if os.path.exists(inventory):
        return str(Path(inventory).absolute())
    if "," in inventory:
        return inventory
    message = f"there is no inventory `{inventory}`"
    hint = "give a file, a folder, or hosts with commas: `one,two`"
    raise UsageError(message, hint=hint)


@contextmanager
def _private_files() -> Iterator[None]:
    """Make every file private to its owner, including those that Ansible writes."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def warn_of_passwords(report: BatchReport, printer: Printer) -> None:
    """Say where unencrypted passwords are, if there are any."""
    kept = (
        report.folder / host.host / PASSWORDS_FILE
        for host in report.hosts
        if host.totals["backed-up"]
    )
    if any(path.is_file() for path in kept):
        printer.warn(
            f"the passwords are in `{report.folder / 'HOST' / PASSWORDS_FILE}`: keep them apart"
            " from the backups, or have them encrypted with `--escrow-cert`"
        )


def show_fleet(report: BatchReport, printer: Printer) -> None:
    """Print the hosts as a table, and where the report is."""
    done = "planned" if report.dry_run else "backed-up"
    columns = ("host", done.replace("-", " "), "unchanged", "failed", "expiring", "")
    rows = []
    for host in report.hosts:
        numbers = [str(host.totals[key]) for key in (done, "unchanged", "failed", "expiring")]
        state = "" if host.error is None else "failed" if host.reached else "not reached"
        rows.append((host.host, *numbers, state))
    printer.table((columns, rows))
    for host in report.hosts:
        if host.error is not None:
            printer.warn(f"{host.host}: {host.error}")
    if not report.dry_run:
        printer.say(f"The report of all hosts: {report.folder / 'report.html'}")
