"""Progress: a batch as it goes on, and what came of it: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from nssbackup.batch.report import BatchItem
from nssbackup.batch.run import BatchResult, Listener
from nssbackup.cli.output import Output

_WORDS = {"backed-up": "backed up", "unchanged": "unchanged", "planned": "would back up"}
# So many failures are named on a terminal; the report has all of them.
_MOST_ROWS = 20


class Progress:
    """Shows how a batch goes on; a context manager that puts the terminal in order again."""

    def __init__(self, talk: Output) -> None:
        self._talk = talk
        self._stack = ExitStack()
        self._bar = talk.wants_bar()
        self._advance: Callable[[], None] = _nothing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def listener(self) -> Listener:
        """Who is told of everything."""
        return Listener(
            begin=self._begin,
            item=_nothing if self._bar else self._line,
            user=self._user,
            warn=_nothing if self._bar else self._talk.warn,
        )

    def passwords_kept(self, result: BatchResult) -> None:
        """Warn of the passwords that were put into the file beside the reports, if any were."""
        if result.report.totals["backed-up"]:
            from nssbackup.batch.layout import PASSWORDS_FILE

            self._talk.warn(
                f"the passwords stand in `{result.report.folder / PASSWORDS_FILE}`: keep it apart"
                " from the backups, or have them encrypted with `--escrow-cert`"
            )

    def summary(self, result: BatchResult) -> None:
        """What came of it on stderr, and the paths of the reports on stdout."""
        talk, report = self._talk, result.report
        totals = report.totals
        if self._bar:
            for note in report.notes:
                talk.warn(note)
            failures = [item for item in report.items if item.status == "failed"]
            for item in failures[:_MOST_ROWS]:
                talk.warn(_sentence(item))
            if len(failures) > _MOST_ROWS:
                talk.warn(f"and {len(failures) - _MOST_ROWS} failures more: see the report")
        counts = [
            f"{totals[status]} {words}"
            for status, words in (*_WORDS.items(), ("failed", "failed"))
            if totals[status] or status == "backed-up"
        ]
        talk.say(", ".join(counts) + ("; nothing was written" if report.dry_run else ""))
        if report.expiring_days is not None:
            talk.say(f"{totals['expiring']} end within {report.expiring_days} days")
        for path in result.files:
            talk.data(str(path))

    def _begin(self, users: int) -> None:
        if not self._bar or not users:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

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
        self._advance()

    def _line(self, item: BatchItem) -> None:
        if item.status == "unchanged" and not self._talk.is_verbose:
            return  # thousands, most nights
        if item.status == "failed":
            self._talk.warn(_sentence(item))
        elif item.status != "unchanged":
            self._talk.say(_sentence(item))
        else:
            self._talk.detail(_sentence(item))
        for warning in item.warnings:
            self._talk.detail(f"  {warning}")


def _sentence(item: BatchItem) -> str:
    """Return an item in a line."""
    message = item.error["message"] if item.error else None
    what, place = item.user, item.profile or item.home
    if item.identity:
        what = f"{what}: {item.identity['common_name'] or item.identity['subject']}"
    elif place and not (message and f"`{place}`" in str(message)):
        what = f"{what}: `{place}`"
    return f"{what}: {message}" if message else f"{what}: {_WORDS[item.status]}: {item.file}"


def _nothing(*_: object) -> None:
    pass
