"""Printer: data on stdout, everything else on stderr. Nothing else writes to a stream."""

from __future__ import annotations

import errno
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from nssbackup.cli.tables import Table, candidate_table
from nssbackup.errors import NssBackupError, OutputError, reason
from nssbackup.printable import printable
from nssbackup.report import error_json

if TYPE_CHECKING:
    from nssbackup.identity.model import Identity
    from nssbackup.secret import Secret

# Wide enough that no table sent to a file is cut.
_FILE_WIDTH = 1_000
# A narrower terminal has no room for columns.
_NARROWEST_TABLE = 100
_USUAL_WIDTH = 80
# Longer lines of prose are hard to read.
_WIDEST_TEXT = 100
# Fingerprints are copied from the terminal, so they stay on one line.
_UNBROKEN = frozenset({"Fingerprint"})
_RULE = "─"
_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"


class StreamError(OutputError):
    """Standard output can't be written."""

    code = "stdout-unwritable"


class StandardErrorError(StreamError):
    """Standard error can't be written, so nobody sees what has to be seen."""

    code = "stderr-unwritable"


# Streams whose text is lost: closed by the caller, or failed.
_lost: list[TextIO] = []


class Printer:
    """What a command prints.

    With `json`, stdout gets one document and nothing else. `quiet` leaves warnings, errors and
    data; `verbose` adds details.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # closed by the caller
                nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
                setattr(sys, name, nowhere)
                _lost.append(nowhere)
        for stream in (sys.stdout, sys.stderr):
            # A console that lacks a character shows its number; it must not end the command.
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")

    def document(self, document: Mapping[str, object]) -> None:
        """Print the one JSON document, in ASCII: it survives every pipe and code page."""
        _write(sys.stdout, dumps(document, indent=2 if sys.stdout.isatty() else None))

    def data(self, line: str) -> None:
        """Print a line of data."""
        _write(sys.stdout, printable(line))

    def prose(self, text: str, indent: str = "") -> None:
        """Print a paragraph of data; on a terminal it is wrapped, in a file it stays one line."""
        _write(sys.stdout, _wrapped(sys.stdout, indent + printable(text)))

    def say(self, line: str = "") -> None:
        """Print a line for whoever watches."""
        if not self.quiet:
            _write(sys.stderr, _wrapped(sys.stderr, printable(line)))

    def detail(self, line: str) -> None:
        """Print a line for whoever wants to know everything."""
        if self.verbose:
            _write(sys.stderr, _wrapped(sys.stderr, printable(line)))

    def warn(self, line: str) -> None:
        """Print a warning; `quiet` does not silence it."""
        _write(sys.stderr, _wrapped(sys.stderr, f"warning: {printable(line)}"))

    def failure(self, line: str) -> None:
        """Print an error that does not end the command."""
        line = _wrapped(sys.stderr, f"error: {printable(line)}")
        label = f"{_RED}error:{_PLAIN}" if _has_colour(sys.stderr) else "error:"
        _write(sys.stderr, line.replace("error:", label, 1))

    def question(self, line: str, *, end: str = "\n") -> None:
        """Print a question, or a part of one."""
        _write(sys.stderr, _wrapped(sys.stderr, printable(line)), end=end)

    def generated_password(self, password: Secret) -> None:
        """Print a generated password on stderr, even with `quiet`; with `json` the document has it.

        Raises:
            StreamError: nobody will see it.
        """
        if not self.json:
            _write(sys.stderr, f"Password of the backup: {password.reveal()}")
        if _is_lost(sys.stdout if self.json else sys.stderr):
            where = "standard output" if self.json else "standard error"
            message = f"the generated password can't be shown: {where} is closed"
            error = StreamError if self.json else StandardErrorError
            raise error(message, hint="use your own with `--password-file FILE`")

    def wants_bar(self) -> bool:
        """Return whether somebody watches who would rather see a bar than lines."""
        return not self.quiet and not self.verbose and sys.stderr.isatty() and not _is_dumb()

    def table(self, table: Table, *, data: bool = True) -> None:
        """Print a table on stdout, or on stderr if it goes with a question or an error.

        A terminal too narrow for columns gets each row as a block of lines.
        """
        columns, rows = table
        stream = sys.stdout if data else sys.stderr
        width = _columns(stream) or _FILE_WIDTH
        if width < _NARROWEST_TABLE:
            _write_blocks(stream, columns, rows)
            return
        from rich import box  # 40 ms, and only tables need it
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        lines = box.SIMPLE_HEAD
        if not _can_show(stream, _RULE) or _is_dumb():
            lines = box.Box(str(lines).replace(_RULE, " " if _is_dumb() else "-"), ascii=True)
        drawn = RichTable(box=lines, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for column in columns:
            drawn.add_column(column, overflow="fold", no_wrap=column in _UNBROKEN)
        for row in rows:
            drawn.add_row(*(Text(printable(cell)) for cell in row))
        # Rich ends the process if the reader has gone away, so the writing is done here.
        canvas = StringIO()
        Console(file=canvas, width=width, highlight=False).print(drawn)
        for line in canvas.getvalue().splitlines():
            _write(stream, line.rstrip())

    def error(self, error: NssBackupError) -> int:
        """Print an error, if any stream is left for it; return its exit status."""
        with suppress(StreamError):
            self._print_error(error, getattr(error, "candidates", ()))
        return error.exit_status

    def _print_error(self, error: NssBackupError, candidates: Sequence[Identity]) -> None:
        if self.json and not _is_lost(sys.stdout):
            with suppress(StreamError):
                self.document(error_json(error, candidates))
                return
        label = f"{_RED}error:{_PLAIN}" if _has_colour(sys.stderr) else "error:"
        message = _wrapped(sys.stderr, f"nssbackup: error: {printable(error.message)}")
        _write(sys.stderr, message.replace("error:", label, 1))
        if candidates:
            self.table(candidate_table(candidates), data=False)
        if error.hint:
            _write(sys.stderr, _wrapped(sys.stderr, f"hint: {printable(error.hint)}"))


def _columns(stream: TextIO) -> int | None:
    """Return the width of a terminal; None if the stream is not one."""
    if not stream.isatty():
        return None
    with suppress(ValueError):
        return int(os.environ.get("COLUMNS", "")) or None
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    except OSError:
        return _USUAL_WIDTH


def _wrapped(stream: TextIO, text: str) -> str:
    """Return text with line ends between words; paths and commands stay whole."""
    columns = _columns(stream)
    if columns is None:
        return text
    width = max(min(columns - 1, _WIDEST_TEXT), 20)
    if len(text) <= width:
        return text
    indent = text[: len(text) - len(text.lstrip(" "))]
    wrapped = textwrap.fill(
        text,
        width,
        subsequent_indent=indent and f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped + " " * text.endswith(" ")


def _is_dumb() -> bool:
    """Return whether the terminal can show nothing but plain text."""
    return os.environ.get("TERM") == "dumb"


def _has_colour(stream: TextIO) -> bool:
    """Return whether a stream shows colours; NO_COLOR: see no-color.org."""
    if os.environ.get("NO_COLOR") or _is_dumb() or not stream.isatty():
        return False
    # Older consoles of Windows print the escape sequences; its Terminal sets this variable.
    return sys.platform != "win32" or "WT_SESSION" in os.environ


def _write_blocks(stream: TextIO, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print each cell on a line of its own, behind the name of its column."""
    width = max(map(len, columns))
    for number, row in enumerate(rows):
        if number:
            _write(stream, "")
        for column, cell in zip(columns, row, strict=True):
            if cell:
                _write(stream, f"{column:<{width}}  {printable(cell)}" if column else cell)


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _write(stream: TextIO, line: str, *, end: str = "\n") -> None:
    with _failures_told(stream):
        print(line, file=stream, end=end, flush=True)


@contextmanager
def _failures_told(stream: TextIO) -> Iterator[None]:
    """Turn what goes wrong with a stream into one error of ours.

    Raises:
        StreamError: it can't be written.
    """
    try:
        yield
        stream.flush()
    except OSError as error:
        _discard(stream)
        if _reader_is_gone(error):
            return
        if stream is sys.stderr:
            message = f"standard error can't be written: {reason(error)}"
            raise StandardErrorError(message) from error
        message = f"standard output can't be written: {reason(error)}"
        raise StreamError(message) from error


def _reader_is_gone(error: OSError) -> bool:
    """Return whether the reader of a pipe has read enough, as in `nssbackup list | head -1`."""
    # Windows' ERROR_NO_DATA, which is what `| more` and then q gives, becomes EINVAL in Python.
    windows = sys.platform == "win32" and error.errno == errno.EINVAL
    return isinstance(error, BrokenPipeError) or windows


def _is_lost(stream: TextIO) -> bool:
    return any(stream is one for one in _lost)


def _discard(stream: TextIO) -> None:
    """Send the rest nowhere, or Python would complain when it exits."""
    _lost.append(stream)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
