"""Output: data on stdout, talk on stderr, text or JSON. Nothing else writes to a stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import TextIO

from nssbackup.errors import NssBackupError, OutputError, reason
from nssbackup.printable import printable

# Wide enough that a table sent to a file is never cut.
_FILE_WIDTH = 1_000
# A terminal narrower than this has no room for columns.
_NARROWEST_TABLE = 80
# What is copied to name a certificate by is not parted between lines.
_WHOLE = frozenset({"Fingerprint"})
_RULE = "─"


class StreamError(OutputError):
    """Standard output can't be written."""

    code = "stdout-unwritable"


class TalkError(StreamError):
    """Standard error can't be written, or shows nobody what has to be seen."""

    code = "stderr-unwritable"


# Streams that lead nowhere: they were closed, or what was written to them failed.
_nowhere: list[TextIO] = []


class Output:
    """What a command says.

    With `json` stdout gets one document and nothing else; `quiet` leaves warnings, errors and
    data; `verbose` adds what was done.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.as_json = json
        self._quiet = quiet
        self.is_verbose = verbose
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # closed by the caller
                nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
                setattr(sys, name, nowhere)
                _nowhere.append(nowhere)
        for stream in (sys.stdout, sys.stderr):
            # A console that has no such letter shows its number; it must not end the command.
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")

    def document(self, document: Mapping[str, object]) -> None:
        """The one JSON document, in ASCII: it survives every pipe and code page."""
        from json import dumps

        _write(sys.stdout, dumps(document, indent=2 if sys.stdout.isatty() else None))

    def data(self, line: str) -> None:
        """A line of data."""
        _write(sys.stdout, printable(line))

    def say(self, line: str = "") -> None:
        """A line for the person who watches."""
        if not self._quiet:
            _write(sys.stderr, printable(line))

    def detail(self, line: str) -> None:
        """A line for the person who wants to know everything."""
        if self.is_verbose:
            _write(sys.stderr, printable(line))

    def warn(self, line: str) -> None:
        """A warning; `quiet` does not silence it."""
        _write(sys.stderr, f"warning: {printable(line)}")

    def wants_bar(self) -> bool:
        """Whether somebody watches who would rather see a bar than lines."""
        return not self._quiet and not self.is_verbose and sys.stderr.isatty()

    def question(self, line: str, *, end: str = "\n") -> None:
        """A question, or a part of one."""
        _write(sys.stderr, printable(line), end=end)

    def secret(self, label: str, text: str) -> None:
        """A generated password, shown once; `quiet` does not silence it either.

        Raises:
            TalkError: nobody can have seen it.
        """
        # With `as_json` it stands in the document as well, which may get lost just as easily.
        _write(sys.stderr, f"{label}: {text}")
        if _leads_nowhere(sys.stderr):
            message = (
                "the generated password can't be shown: nobody reads the standard error output"
            )
            raise TalkError(message, hint="give one of your own with `--password-file FILE`")

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, data: bool = True
    ) -> None:
        """A table on stdout, or on stderr where it goes with an error.

        On a terminal that is too narrow for one, each row is a block of lines.
        """
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        stream = sys.stdout if data else sys.stderr
        width = Console(file=stream).width if stream.isatty() else _FILE_WIDTH
        if width < _NARROWEST_TABLE:
            _write_blocks(stream, columns, rows)
            return
        lines = box.SIMPLE_HEAD
        if not _can_show(stream, _RULE):
            lines = box.Box(str(lines).replace(_RULE, "-"), ascii=True)
        table = Table(box=lines, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        # Drawn first and written by us: Rich ends the process where the reader has gone away.
        canvas = StringIO()
        Console(file=canvas, width=width, highlight=False).print(table)
        for line in canvas.getvalue().splitlines():
            _write(stream, line.rstrip())

    def error(self, error: NssBackupError) -> int:
        """Render an error, as far as there is a stream for it; returns the exit status."""
        with suppress(StreamError):
            self._tell(error)
        return error.exit_status

    def _tell(self, error: NssBackupError) -> None:
        from nssbackup.identity.choosing import AmbiguousError, NoMatchError

        candidates = error.candidates if isinstance(error, AmbiguousError | NoMatchError) else ()
        if self.as_json and not _leads_nowhere(sys.stdout):
            from nssbackup.report import error_json

            with suppress(StreamError):
                self.document(error_json(error, candidates))
                return
        _write(sys.stderr, f"nssbackup: error: {printable(error.message)}")
        if candidates:
            from nssbackup.cli.tables import candidate_table

            self.table(*candidate_table(candidates), data=False)
        if error.hint:
            _write(sys.stderr, f"hint: {printable(error.hint)}")


def _write_blocks(stream: TextIO, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table row by row: what is in it, each on a line of its own behind its column's name."""
    broad = max(map(len, columns))
    for number, row in enumerate(rows):
        if number:
            _write(stream, "")
        for column, cell in zip(columns, row, strict=True):
            if cell:
                _write(stream, f"{column:<{broad}}  {printable(cell)}" if column else cell)


def _can_show(stream: TextIO, text: str) -> bool:
    """Whether a stream's encoding has these letters."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _write(stream: TextIO, line: str, *, end: str = "\n") -> None:
    with _written_to(stream):
        print(line, file=stream, end=end, flush=True)


@contextmanager
def _written_to(stream: TextIO) -> Iterator[None]:
    """Turn what can go wrong with a stream into an error of ours, once."""
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        # `nssbackup list | head -1`: who reads has read enough.
        _discard(stream)
    except OSError as error:
        _discard(stream)
        if stream is sys.stderr:
            message = f"the standard error output can't be written: {reason(error)}"
            raise TalkError(message) from error
        message = f"the standard output can't be written: {reason(error)}"
        raise StreamError(message) from error


def _leads_nowhere(stream: TextIO) -> bool:
    return any(stream is one for one in _nowhere)


def _discard(stream: TextIO) -> None:
    """Send what is still to come to nowhere, or Python would complain at its end."""
    _nowhere.append(stream)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
