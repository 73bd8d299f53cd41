"""Output: data on stdout, talk on stderr, text or JSON. Nothing else writes to a stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TextIO

from nssbackup.errors import NssBackupError, OutputError
from nssbackup.printable import printable

# Wide enough that a table sent to a file is never cut.
_FILE_WIDTH = 1_000


class StreamError(OutputError):
    """Standard output can't be written."""

    code = "stdout-unwritable"


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
        """A generated password, shown once; `quiet` does not silence it either."""
        _write(sys.stderr, f"{label}: {text}")

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, data: bool = True
    ) -> None:
        """A table on stdout, or on stderr where it goes with an error."""
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        stream = sys.stdout if data else sys.stderr
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        # Drawn first and written by us: Rich ends the process where the reader has gone away.
        canvas = StringIO()
        width = Console(file=stream).width if stream.isatty() else _FILE_WIDTH
        Console(file=canvas, width=width, highlight=False).print(table)
        for line in canvas.getvalue().splitlines():
            _write(stream, line.rstrip())

    def error(self, error: NssBackupError) -> int:
        """Render an error; returns the exit status to end with."""
        from nssbackup.identities import AmbiguousError, NoMatchError

        candidates = error.candidates if isinstance(error, AmbiguousError | NoMatchError) else ()
        if self.as_json and not isinstance(error, StreamError):
            from nssbackup.report import error_json

            self.document(error_json(error, candidates))
            return error.exit_status
        _write(sys.stderr, f"nssbackup: error: {printable(error.message)}")
        if candidates:
            from nssbackup.cli.tables import candidate_table

            self.table(*candidate_table(candidates), data=False)
        if error.hint:
            _write(sys.stderr, f"hint: {printable(error.hint)}")
        return error.exit_status


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
        reason = (error.strerror or type(error).__name__).lower()
        message = f"the standard output can't be written: {reason}"
        raise StreamError(message) from error


def _discard(stream: TextIO) -> None:
    """Send what is still to come to nowhere, or Python would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
