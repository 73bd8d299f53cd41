"""A batch from its roots to its report files."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nssbackup.batch.home_results import forget, missing_homes
from nssbackup.batch.layout import PASSWORDS_ELSEWHERE, STATE_FOLDER
from nssbackup.batch.options import BatchOptions, Roots
from nssbackup.batch.output_folder import check_escrow, locked_folder, secure
from nssbackup.batch.password_store import Finder, store_for
from nssbackup.batch.pfx_files import failed
from nssbackup.batch.rendering import write_reports
from nssbackup.batch.report import BatchItem, BatchReport, HomeResult, homes_in_order, in_order
from nssbackup.batch.state import known_users, load, state_path
from nssbackup.batch.user_backup import Outcome
from nssbackup.batch.users import UnusableRoot, find_users, normalised
from nssbackup.batch.workers import Workers
from nssbackup.errors import NssBackupError, OutputError, UsageError
from nssbackup.report import rfc3339

_LOCK_FILE = "lock"


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told how a batch is going."""

    begin: Callable[[int], None] = _ignore  # how many users there are
    item: Callable[[BatchItem], None] = _ignore
    user: Callable[[], None] = _ignore  # one more is done
    warn: Callable[[str], None] = _ignore  # what is about no item


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The report of a batch, its files, and why one of them is `unwritten`."""

    report: BatchReport
    files: tuple[Path, ...] = ()
    unwritten: NssBackupError | None = None

    @property
    def profiles(self) -> int:
        """How many profiles were found."""
        return sum(home.profiles for home in self.report.homes)


def run_batch(options: BatchOptions, listener: Listener | None = None) -> BatchResult:
    """Back up the certificates under some roots, and report on each.

    Worker processes import the main module, so a script must call this below
    `if __name__ == "__main__":`.

    Raises:
        UsageError: the output folder lies in a root, or a root in it; or passwords in escrow would
            be followed by passwords in the clear.
        FolderLockedError: another batch is running in the folder.
        OutputError: the folder can't be made, or somebody else could change what is in it.
    """
    _check_apart(options.roots, options.folder)
    notes = secure(options.folder, repair=not options.dry_run)
    in_the_clear = options.passwords is None and not options.escrow and not options.no_escrow
    check_escrow(options.folder, generated=in_the_clear)
    batch = _Batch(options, listener or Listener())
    with nullcontext() if options.dry_run else locked_folder(options.folder, _LOCK_FILE):
        for note in notes:
            batch.note(note)
        forget(options, options.forget)
        batch.run()
        return batch.result()


@dataclass(slots=True)
class _Batch:
    options: BatchOptions
    listener: Listener
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    items: list[BatchItem] = field(default_factory=list)
    homes: list[HomeResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Back up every user."""
        options = self.options
        known = known_users(options.folder)
        users, unusable = find_users(options.roots, known, options.exclude)
        self.listener.begin(len(users))
        for root in unusable:
            self._add(_unusable_item(root, options.host))
        if users:
            with closing(Workers(options).outcomes(users)) as outcomes:
                for outcome in outcomes:
                    self._take(outcome)
        roots = {str(normalised(path)) for path in options.roots.all}
        roots -= {str(normalised(root.path)) for root in unusable}
        for folder in set(known) - {user.folder for user in users}:
            records = load(state_path(options.folder, folder)).homes
            self._take_homes(tuple(missing_homes(records, options, roots, {})))
        self._check_passwords()

    def _take(self, outcome: Outcome) -> None:
        for item in outcome.items:
            self._add(item)
        self._take_homes(outcome.homes)
        self.listener.user()

    def _take_homes(self, homes: tuple[HomeResult, ...]) -> None:
        self.homes += homes
        for home in homes:
            for note in home.notes:
                self.note(note)

    def _add(self, item: BatchItem) -> None:
        end = _last_moment(self.options.expiring_days, self.started)
        if end and item.identity and item.identity.get("status") == "valid":
            item = replace(item, expiring=str(item.identity["not_after"]) <= end)
        self.items.append(item)
        self.listener.item(item)

    def note(self, note: str) -> None:
        """Tell of what is about no item, and put it into the report."""
        self.notes.append(note)
        self.listener.warn(note)

    def _check_passwords(self) -> None:
        """Tell of backups of earlier runs whose generated passwords are missing."""
        unchanged = [item for item in self.items if item.status == "unchanged"]
        is_kept = _finder(self.options) if unchanged else None
        if is_kept is None:
            return
        missing = sum(not is_kept(item.file or "", item.sha256 or "") for item in unchanged)
        if missing:
            self.note(
                f"the passwords of {missing} backups are missing from where they were kept: if you"
                " have them nowhere else, make the backups again with `--force`"
            )

    def result(self) -> BatchResult:
        """Return the report, and write its files."""
        report = BatchReport(
            started=self.started,
            finished=datetime.now(UTC),
            host=self.options.host,
            folder=self.options.folder,
            roots=tuple(str(normalised(path)) for path in self.options.roots.all),
            dry_run=self.options.dry_run,
            expiring_days=self.options.expiring_days,
            items=in_order(self.items),
            notes=tuple(self.notes),
            homes=homes_in_order(self.homes),
        )
        if self.options.dry_run:
            return BatchResult(report)
        return BatchResult(report, *write_reports(report))


def _unusable_item(root: UnusableRoot, host: str) -> BatchItem:
    name = root.path.name or str(root.path)
    return failed(BatchItem("failed", host, name, home=str(root.path)), root.error)


def _last_moment(days: int | None, now: datetime) -> str | None:
    """Return the last moment that counts as expiring soon, as RFC 3339."""
    if days is None:
        return None
    try:
        return rfc3339(now + timedelta(days=days))
    except OverflowError:
        return rfc3339(datetime.max.replace(tzinfo=UTC))


def _finder(options: BatchOptions) -> Finder | None:
    """Return what finds the generated passwords; None if there are none to be found here."""
    elsewhere = options.folder / STATE_FOLDER / PASSWORDS_ELSEWHERE
    if options.passwords is not None or os.path.lexists(elsewhere):
        return None
    try:
        return store_for(options).finder()
    except OutputError as error:
        if isinstance(error.__cause__, PermissionError):
            raise  # they may well be there, and nothing can be added to them
        return lambda *_: False


def _check_apart(roots: Roots, folder: Path) -> None:
    """Check that nothing is written below a root, and that no backup is taken for a home.

    Raises:
        UsageError: a root is the output folder, or one lies in the other.
    """
    ours = Path(os.path.normcase(os.path.realpath(folder)))
    for root in roots.all:
        theirs = Path(os.path.normcase(os.path.realpath(root)))
        if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
            message = f"the output folder `{folder}` and `{root}` lie one in the other"
            hint = "choose an output folder elsewhere with `--output`"
            raise UsageError(message, hint=hint)
