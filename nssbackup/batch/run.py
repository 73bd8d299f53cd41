"""Run: a batch from its roots to its reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nssbackup.batch import state as states
from nssbackup.batch.glance import glance
from nssbackup.batch.naming import PASSWORDS_ELSEWHERE, REPORT_FILES, STATE_FOLDER
from nssbackup.batch.orders import Orders
from nssbackup.batch.report import (
    BatchItem,
    BatchReport,
    Items,
    Outcome,
    encoded,
    error_document,
    rfc3339,
)
from nssbackup.batch.users import Places, User, users_in
from nssbackup.batch.vault import Finder, vault_of
from nssbackup.errors import NssBackupError, OutputError, UsageError, reason
from nssbackup.system.files import make_folder, remove_leftovers, write_verified
from nssbackup.system.locking import only_run

if TYPE_CHECKING:
    from nssbackup.batch.pool import Program

_LOCK_FILE = "lock"


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told how a batch goes on.

    Attributes:
        begin: told how many users there are.
        item: told of each item as it comes.
        user: told that one more user is done.
        warn: told what is about no item.
    """

    begin: Callable[[int], None] = _ignore
    item: Callable[[BatchItem], None] = _ignore
    user: Callable[[], None] = _ignore
    warn: Callable[[str], None] = _ignore


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What a batch is to do.

    Attributes:
        places: the roots.
        orders: what is done for every user.
        jobs: how many processes work at the same time; None for one a processor.
        expiring_days: marks the identities that end within so many days.
    """

    places: Places
    orders: Orders
    jobs: int | None = None
    expiring_days: int | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of a batch.

    Attributes:
        report: on every item; it is in `report.json` as well.
        profiles: how many profiles were found.
        files: the reports that were written.
        unwritten: why one of them could not be, if so.
    """

    report: BatchReport
    profiles: int
    files: tuple[Path, ...] = ()
    unwritten: NssBackupError | None = None


def run_batch(
    options: BatchOptions, watcher: Watcher | None = None, program: Program | None = None
) -> BatchResult:
    """Back up every identity that is meant under some roots, and report on each.

    Args:
        options: what is to be done.
        watcher: is told how it goes on.
        program: the worker, if it is to be another.

    Raises:
        UsageError: the roots and the folder of the backups don't lie apart.
        FolderLockedError: another batch is at work in the folder.
        OutputError: the folder can't be made.
    """
    _check_apart(options.places, options.orders.folder)
    with _folder(options.orders) as held:
        batch = _Batch(options, watcher or Watcher())
        batch.run(held, program)
        return batch.result()


@dataclass(slots=True)
class _Batch:
    options: BatchOptions
    watcher: Watcher
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    items: Items = field(default_factory=Items)
    notes: list[str] = field(default_factory=list)
    profiles: int = 0
    _has_password: Finder | None = None
    _without_password: int = 0

    @property
    def orders(self) -> Orders:
        """What is done for every user."""
        return self.options.orders

    def run(self, held: int | None, program: Program | None) -> None:
        """Look at every user, and have those backed up of whom something may have changed."""
        known = states.users(self.orders.folder)
        users, unusable = users_in(self.options.places, known)
        self.watcher.begin(len(users))
        for root in unusable:
            self._add(
                BatchItem(
                    status="failed",
                    host=self.orders.host,
                    user=root.path.name or str(root.path),
                    home=str(root.path),
                    error=error_document(root.error),
                )
            )
        changed = list(self._changed(users))
        if not changed:
            return

        from nssbackup.batch.pool import Pool

        jobs = self.options.jobs or os.cpu_count() or 1
        with Pool(self.orders, jobs, held, program) as pool:
            for outcome in pool.outcomes(changed):
                self._take(outcome)

    def _check_password(self, item: BatchItem) -> None:
        """Count the backups that were made another night and whose passwords are gone."""
        if self._has_password is None:
            self._has_password = _finder(self.orders)
        if not self._has_password(item.file or "", item.sha256 or ""):
            self._without_password += 1

    def _changed(self, users: Iterable[User]) -> Iterator[User]:
        """The users to look at; of the others the rows are taken as they are."""
        wanted = self.orders.wanted
        for user in users:
            outcome = glance(user, self.orders, wanted)
            if outcome is None:
                yield user
            else:
                self._take(outcome)

    def _take(self, outcome: Outcome) -> None:
        for item in outcome.items:
            self._add(item)
        for note in outcome.notes:
            self._note(note)
        self.profiles += outcome.profiles
        self.watcher.user()

    def _add(self, item: BatchItem) -> None:
        identity, end = item.identity, _end_of(self.options.expiring_days, self.started)
        if end and identity and identity["status"] == "valid":
            item = replace(item, expiring=str(identity["not_after"]) <= end)
        if item.status == "unchanged":
            self._check_password(item)
        self.items.add(item)
        self.watcher.item(item)

    def _note(self, note: str) -> None:
        self.notes.append(note)
        self.watcher.warn(note)

    def result(self) -> BatchResult:
        """The report, and the files that it is written to."""
        if self._without_password:
            self._note(_passwords_gone(self._without_password))
        report = BatchReport(
            started=self.started,
            finished=datetime.now(UTC),
            host=self.orders.host,
            folder=self.orders.folder,
            roots=tuple(str(path.absolute()) for path in self.options.places.all),
            dry_run=self.orders.dry_run,
            expiring_days=self.options.expiring_days,
            items=self.items,
            notes=tuple(self.notes),
        )
        if self.orders.dry_run:
            return BatchResult(report, self.profiles)
        unwritten = None
        written: list[Path] = []
        for write in (_write_json, _write_others):
            try:
                written += write(report)
            except NssBackupError as error:
                unwritten = unwritten or error
        return BatchResult(report, self.profiles, tuple(written), unwritten)


def _end_of(days: int | None, now: datetime) -> str | None:
    """The last moment that counts as expiring soon, as the documents have it."""
    if days is None:
        return None
    try:
        return rfc3339(now + timedelta(days=days))
    except OverflowError:
        return rfc3339(datetime.max.replace(tzinfo=UTC))


def _passwords_gone(count: int) -> str:
    """What to say of backups whose made-up passwords are not where they were put."""
    return (
        f"the passwords of {count} backups are not where they were kept: if you have them nowhere"
        " else, make the backups again with `--force`"
    )


def _finder(orders: Orders) -> Finder:
    """What tells whether there is a password for a backup; there is where none was made up."""
    elsewhere = orders.folder / STATE_FOLDER / PASSWORDS_ELSEWHERE
    if orders.passwords is not None or os.path.lexists(elsewhere):
        return lambda *_: True
    try:
        return vault_of(orders).finder()
    except OutputError:  # what can't be read is as good as gone
        return lambda *_: False


def _write_json(report: BatchReport) -> list[Path]:
    path = report.folder / REPORT_FILES[0]
    write_verified(path, encoded(report.to_json()), lambda _: None, replace=True)
    return [path]


def _write_others(report: BatchReport) -> list[Path]:
    from nssbackup.batch.rendering import write_reports

    return list(write_reports(report.to_json(), report.folder))


@contextmanager
def _folder(orders: Orders) -> Iterator[int | None]:
    """The folder, there and kept for this run alone; a dry run leaves everything as it is."""
    if orders.dry_run:
        yield None
        return
    state = orders.folder / STATE_FOLDER
    with ExitStack() as stack:
        try:
            make_folder(state)
            held = stack.enter_context(only_run(state / _LOCK_FILE))
        except OSError as error:
            message = f"the folder `{orders.folder}` can't be written to: {reason(error)}"
            raise OutputError(message) from error
        remove_leftovers(orders.folder)
        remove_leftovers(state)
        yield held


def _check_apart(places: Places, folder: Path) -> None:
    """Nothing is written below a root, and no backup is taken for a home.

    Raises:
        UsageError: a root is the folder, or one lies in the other.
    """
    ours = Path(os.path.normcase(os.path.realpath(folder)))
    for root in places.all:
        theirs = Path(os.path.normcase(os.path.realpath(root)))
        if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
            message = f"the backups can't go to `{folder}`, which lies together with `{root}`"
            hint = "nothing is written where it is read: choose a folder elsewhere with `--output`"
            raise UsageError(message, hint=hint)
