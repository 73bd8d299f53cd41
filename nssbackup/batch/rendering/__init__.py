"""Rendering: the report of a batch as `report.csv` and `report.html`.

Both are made of the document that `report.json` holds, and of nothing else: of this machine's batch
or of a fleet's, whose parts other machines wrote. So no value in it is taken for what it should be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nssbackup.errors import OutputError
from nssbackup.system.files import write_verified

__all__ = ["write_reports"]

# What is encoded, hashed and written at once; the pieces of a template are a few letters each.
_CHUNK = 1 << 16


def write_reports(document: Mapping[str, object], folder: Path) -> tuple[Path, ...]:
    """Write `report.csv` and `report.html`, replacing those of the run before.

    Each is private, and has its name only when it is complete. The items are read one by one, in
    any number of passes, and never held together: the document's `items` may be a sequence that
    decodes each when it is asked for it.

    Args:
        document: the batch's, or the fleet's merged one.
        folder: where they go; it must exist.

    Returns:
        Their paths.

    Raises:
        OutputError: one can't be written (a spreadsheet program may have it open); the other is.
    """
    # Here, not above: they load Jinja, which nobody else needs.
    from nssbackup.batch.rendering.page import page
    from nssbackup.batch.rendering.spreadsheet import spreadsheet
    from nssbackup.batch.rendering.survey import Survey

    survey = Survey.of(document)
    reports = {folder / "report.csv": spreadsheet(survey), folder / "report.html": page(survey)}
    failures = []
    for path, pieces in reports.items():
        try:
            _write(path, pieces)
        except OutputError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return tuple(reports)


def _write(path: Path, pieces: Iterable[str]) -> None:
    """Write a text, and compare what is on the disk with what went there."""
    expected = hashlib.sha256()

    def data() -> Iterator[bytes]:
        for chunk in _chunks(pieces):
            expected.update(chunk)
            yield chunk

    def check(written: Path) -> None:
        found = hashlib.sha256()
        with written.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
        if found.digest() != expected.digest():
            message = f"`{path}` is not on the disk as it was written"
            raise OutputError(message)

    write_verified(path, data(), check, replace=True)


def _chunks(pieces: Iterable[str]) -> Iterator[bytes]:
    """A text in pieces of any size as UTF-8 in pieces of a useful one."""
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    yield "".join(waiting).encode()
