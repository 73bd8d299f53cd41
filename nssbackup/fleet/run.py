"""Run: our role on every host, and one report of all hosts."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from nssbackup.batch.layout import REPORT_FILES
from nssbackup.batch.output_folder import locked_folder, secure
from nssbackup.batch.password_store import recipients_in
from nssbackup.batch.password_table import PasswordTable
from nssbackup.batch.rendering import write_reports
from nssbackup.batch.report import BatchReport, HostResult, in_order, totals_of
from nssbackup.errors import NssBackupError, UsageError
from nssbackup.fleet.play import (
    FleetStuckError,
    HostError,
    HostOutcome,
    HostUnreachableError,
    Play,
    Progress,
    run_play,
    runner_module,
)
from nssbackup.fleet.reports import HostDocument, failed_host, read_document
from nssbackup.fleet.transfer import LOCK_FILE, PASSWORD_TABLES
from nssbackup.system.locking import scratch_folder

# Every POSIX system has it, and every user may make private folders in it.
_SHORT = "/tmp"  # noqa: S108 - a private folder in it
_MAX_TEMPORARY = 44

# A variable given here replaces all those of its group in the inventory: of most groups only one
# may be set.
_GROUPS: tuple[Mapping[str, object], ...] = (
    {"roots": [], "home": [], "homes": []},
    {"for": "", "format": ""},
    {"password_file": "", "passwords": "", "escrow_certificates": []},
    {"primary_password_file": "", "primary_passwords": ""},
)


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What to back up, and how.

    Attributes:
        play: which hosts, and how Ansible works on them; `check` is a dry run.
        output: the folder for the backups, on this computer.
        wheels: a folder of wheels to install nssbackup from; the hosts' own index by default.
        escrow: certificates that the generated passwords are encrypted to.
        secrets: files with passwords, by the role's variable.
        expiring_days: marks the identities that end within so many days.
        variables: others of the role. All have the role's names without `nssbackup_`. The others
            keep the inventory's values, or the role's defaults.
    """

    play: Play
    output: Path
    wheels: Path | None = None
    escrow: tuple[Path, ...] = ()
    secrets: Mapping[str, Path] = field(default_factory=dict)
    expiring_days: int | None = None
    variables: Mapping[str, object] = field(default_factory=dict)


def back_up_fleet(
    options: FleetOptions, progress: Progress, warn: Callable[[str], None]
) -> BatchReport:
    """Back up the certificates on all hosts of an inventory.

    Each host has its folder in the output, with the report of all beside them. A dry run writes
    nothing. `warn` is called with each warning that is about no item.

    Raises:
        FleetUnavailableError: Ansible is not installed.
        AnsibleError: Ansible could not begin.
        FleetStuckError: it did not end.
        UsageError: there are no wheels in their folder, there is no host, or a certificate can't
            be used for escrow.
        OutputError: the output can't be written.
        KeyboardInterrupt: Ctrl-C. The hosts that answered have been cleaned up.
    """
    started = datetime.now(UTC)
    folder = options.output.absolute()
    runner_module()
    if options.wheels is not None:
        _check_wheels(options.wheels)
    notes = list(recipients_in(options.escrow)[1]) if options.escrow else []
    notes += _shared_tables(options.secrets)
    dry_run = options.play.check
    notes += secure(folder, repair=not dry_run, hosts=True)
    for note in notes:
        warn(note)
    locked = nullcontext() if dry_run else locked_folder(folder, LOCK_FILE)
    with locked, private_folder() as private:
        documents = _new(private / "documents")
        variables = _variables(options, folder, documents)
        try:
            outcomes = run_play("backup", options.play, variables, _new(private / "run"), progress)
        except (KeyboardInterrupt, FleetStuckError):
            progress("", "interrupted: cleaning up the hosts; press Ctrl-C again to skip that")
            play = replace(options.play, check=False, time_limit=0)
            with suppress(NssBackupError):
                run_play("clean", play, variables, _new(private / "clean"), _silent)
            raise
        if not outcomes:
            message = "no host of the inventory was selected"
            raise UsageError(message, hint="`ansible-inventory --graph` shows the hosts")
        paths = (
            documents / f"{one.host}.json"
            if options.play.check
            else folder / one.host / REPORT_FILES[0]
            for one in outcomes
        )
        found = [_result(*pair, progress) for pair in zip(outcomes, paths, strict=True)]
        for outcome, document in found:
            for note in document.notes:
                notes.append(f"{outcome.host}: {note}")
                warn(notes[-1])
        report = _merged(options, folder, started, notes, found)
        unwritten = None if options.play.check else write_reports(report)[1]
    if unwritten is not None:
        raise unwritten
    return report


def _shared_tables(secrets: Mapping[str, Path]) -> Iterator[str]:
    """Yield a warning for each table of passwords that other hosts get rows of."""
    for name in PASSWORD_TABLES:
        path = secrets.get(name.replace("-", "_"))
        if path is not None and not PasswordTable.read(path, f"--{name}").names_hosts:
            yield (
                f"the table of `--{name}` has rows without a `host`, and every host gets these:"
                " name the host in each row"
            )


def _variables(options: FleetOptions, folder: Path, documents: Path) -> dict[str, object]:
    """Return the variables that override the inventory's, with absolute paths."""
    values: dict[str, object] = {
        **options.variables,
        **{key: str(path.absolute()) for key, path in options.secrets.items()},
    }
    if options.escrow:
        values["escrow_certificates"] = [str(path.absolute()) for path in options.escrow]
    if options.wheels is not None:
        values["wheels"] = str(options.wheels.absolute())
    if options.expiring_days is not None:
        values["expiring"] = options.expiring_days
    for group in _GROUPS:
        if not group.keys().isdisjoint(values):
            values = {**group, **values}
    if options.play.check:
        values["documents"] = str(documents)
    # Not for the inventory to set: this program has to find and read what comes back, and to know
    # how long that may take.
    values["folder"] = str(folder)
    values["requirement"] = f"nssbackup=={version('nssbackup')}"
    values["run"] = secrets.token_hex(8)
    values["timeout"] = options.play.time_limit
    return {f"nssbackup_{key}": value for key, value in values.items()}


def _result(
    outcome: HostOutcome, path: Path, progress: Progress
) -> tuple[HostOutcome, HostDocument]:
    """Return the outcome of a host with its report, or with one that says why there is none."""
    if outcome.error is None:
        try:
            return outcome, read_document(path, outcome.host)
        except HostError as error:
            problem = error
    else:
        kind = HostError if outcome.reached else HostUnreachableError
        problem = kind(outcome.error)
    progress(outcome.host, f"failed: {problem.message}")
    row = failed_host(outcome.host, problem)
    return replace(outcome, error=problem.message), HostDocument(items=(row,))


def _merged(
    options: FleetOptions,
    folder: Path,
    started: datetime,
    notes: Sequence[str],
    found: Sequence[tuple[HostOutcome, HostDocument]],
) -> BatchReport:
    return BatchReport(
        started=started,
        finished=datetime.now(UTC),
        host=None,
        folder=folder,
        roots=tuple(dict.fromkeys(root for _, document in found for root in document.roots)),
        dry_run=options.play.check,
        expiring_days=options.expiring_days,
        items=in_order(item for _, document in found for item in document.items),
        notes=tuple(notes),
        homes=tuple(home for _, document in found for home in document.homes),
        hosts=tuple(
            HostResult(outcome.host, outcome.reached, outcome.error, totals_of(document.items))
            for outcome, document in found
        ),
    )


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a private temporary folder for Ansible, with a path short enough for its sockets.

    On macOS a socket's name may have 103 bytes; Python 3.13 and Ansible 2.19 add 50 to the path.
    What a run that is killed leaves in it, passwords for the hosts too, is removed by the next one.
    """
    short = len(os.fsencode(tempfile.gettempdir())) <= _MAX_TEMPORARY or os.name != "posix"
    with scratch_folder(None if short else _SHORT) as folder:
        yield folder


def _new(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def _check_wheels(folder: Path) -> None:
    """Raise unless there are wheels, before every host fails for lack of them."""
    if not any(folder.glob("*.whl")):
        message = f"there are no wheels in `{folder}`"
        hint = "`pip wheel --wheel-dir FOLDER . pip` in nssbackup's sources makes them"
        raise UsageError(message, hint=hint)


def _silent(host: str, step: str) -> None:
    """Show nothing: cleaning up is not worth a message."""
