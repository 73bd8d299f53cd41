"""The report files of a batch or fleet: `report.json`, `report.csv` and `report.html`."""

from __future__ import annotations

import json
from pathlib import Path

from nssbackup.batch.layout import REPORT_FILES
from nssbackup.batch.rendering.page import page
from nssbackup.batch.rendering.spreadsheet import spreadsheet
from nssbackup.batch.report import BatchReport
from nssbackup.errors import OutputError
from nssbackup.system.files import write_verified

__all__ = ["write_reports"]


def write_reports(report: BatchReport) -> tuple[tuple[Path, ...], OutputError | None]:
    """Write the report files into the output folder, replacing those of the run before.

    Each is private, and has its name only once it is complete.

    Returns:
        The paths of those that were written, and why the first of the others was not. (A
        spreadsheet program may have it open.)
    """
    texts = (f"{json.dumps(report.to_json(), indent=1)}\n", spreadsheet(report), page(report))
    written: list[Path] = []
    unwritten = None
    for name, text in zip(REPORT_FILES, texts, strict=True):
        path = report.folder / name
        try:
            _write(path, text.encode())
        except OutputError as error:
            unwritten = unwritten or error
        else:
            written.append(path)
    return tuple(written), unwritten


def _write(path: Path, data: bytes) -> None:
    def check(temporary: Path) -> None:
        if temporary.read_bytes() != data:
            message = f"`{path}` was not written to the disk correctly"
            raise OutputError(message)

    write_verified(path, data, check, replace=True)
