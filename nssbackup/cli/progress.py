"""Progress: shows how a batch goes on: a bar on a terminal, lines elsewhere; then the summary."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from nssbackup.batch.layout import PASSWORDS_FILE
from nssbackup.batch.report import BatchItem
from nssbackup.batch.run import BatchResult, Listener
from nssbackup.cli.printer import Printer

_WORDS = {
    "backed-up": "backed up",
    "unchanged": "unchanged",
    "planned": "would be backed up",
    "failed": "failed",
    "expired": "ended, nothing newer",
}
_HOMES = {
    "backed-up": "backed up",
    "no-certificate": "without a certificate",
    "expired": "with ended ones only",
    "failed": "failed",
    "gone": "gone",
}
# A terminal shows so many failures; the report has all of them.
_MOST_ROWS = 20


class Progress:
    """Shows how a batch goes on; a context manager that resets the terminal at the end."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._stack = ExitStack()
        self._bar = printer.wants_bar()
        self._advance: Callable[[], None] = _nothing
        self._users = self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._users:
            self._printer.warn(f"{self._done} of {self._users} done; the same command continues")

    @property
    def listener(self) -> Listener:
        """Return the callbacks for the batch."""
        return Listener(
            begin=self._begin,
            item=_nothing if self._bar else self._line,
            user=self._user,
            warn=_nothing if self._bar else self._printer.warn,
        )

    def passwords_kept(self, result: BatchResult) -> None:
        """Say where unencrypted passwords are, if any were written."""
        if result.report.totals["backed-up"]:
            self._printer.say(
                f"The passwords are in `{result.report.folder / PASSWORDS_FILE}`: keep them apart"
                " from the backups, or have them encrypted with `--escrow-cert`"
            )

    def summary(self, result: BatchResult) -> None:
        """Print the totals on stderr and the paths of the reports on stdout."""
        printer, report = self._printer, result.report
        totals = report.totals
        if self._bar:
            for note in report.notes:
                printer.warn(note)
            failures = [item for item in report.items if item.status == "failed"]
            for item in failures[:_MOST_ROWS]:
                printer.failure(_sentence(item))
            if len(failures) > _MOST_ROWS:
                printer.failure(f"and {len(failures) - _MOST_ROWS} more: see the report")
        counts = [
            f"{totals[status]} {words}"
            for status, words in _WORDS.items()
            if totals[status] or status == "backed-up"
        ]
        printer.say(", ".join(counts) + ("; nothing was written" if report.dry_run else ""))
        words_of = {**_HOMES, "backed-up": _WORDS["planned"]} if report.dry_run else _HOMES
        homes = report.home_totals
        counts = [f"{homes[status]} {words}" for status, words in words_of.items() if homes[status]]
        if counts:
            plural = "" if len(report.homes) == 1 else "s"
            printer.say(f"{len(report.homes)} home{plural}: {', '.join(counts)}")
        if report.expiring_days is not None:
            printer.say(f"{totals['expiring']} expire within {report.expiring_days} days")
        if not printer.quiet:
            for path in result.files:
                printer.data(str(path))

    def _begin(self, users: int) -> None:
        self._users = users
        if not self._bar or not users:
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        bar = Bar(*columns, console=Console(file=sys.stderr), transient=True)
        task = bar.add_task("users", total=users)
        self._stack.enter_context(bar)
        self._advance = lambda: bar.advance(task)

    def _user(self) -> None:
        self._done += 1
        self._advance()

    def _line(self, item: BatchItem) -> None:
        if item.status == "unchanged" and not self._printer.verbose:
            return  # thousands, most nights
        if item.status == "failed":
            self._printer.failure(_sentence(item))
        elif item.status != "unchanged":
            self._printer.say(_sentence(item))
        else:
            self._printer.detail(_sentence(item))
        for warning in item.warnings:
            self._printer.detail(f"  {warning}")


def _sentence(item: BatchItem) -> str:
    """Return an item as one line."""
    message = item.error["message"] if item.error else None
    what, place = item.user, item.profile or item.home
    if item.identity:
        what = f"{what}: {item.identity['common_name'] or item.identity['subject']}"
    elif place and f"`{place}" not in str(message):  # it names the folder, or a file in it
        what = f"{what}: `{place}`"
    if message:
        return f"{what}: {message}"
    file = f": {item.file}" if item.file else ""
    return f"{what}: {_WORDS[item.status]}{file}"


def _nothing(*_: object) -> None:
    pass
