"""Scratch: the one folder that a target may write to, and files in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class UntidyError(AssertionError):
    """Something was left behind, or a file that is only to be read was changed."""


def place() -> Path:
    """The folder: that of temporary files, which the driver and the tests set for themselves."""
    return Path(tempfile.gettempdir())


@contextmanager
def folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder with these files; at the end it has to be as it was, and nothing beside it.

    Raises:
        UntidyError: it isn't.
    """
    top = place() / f"input-{os.getpid()}"
    top.mkdir()
    for name, data in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    beside = set(os.listdir(top.parent))  # noqa: PTH208 - thousands of times
    try:
        yield top
    finally:
        # Whether it ended in an error or not.
        try:
            _check(top, files, beside)
        finally:
            shutil.rmtree(top)


def _check(top: Path, files: Mapping[str, bytes], beside: set[str]) -> None:
    found = {
        str((Path(parent) / name).relative_to(top)): (Path(parent) / name).read_bytes()
        for parent, _, names in os.walk(top)
        for name in names
    }
    if found != dict(files):
        raise UntidyError(sorted(found))
    left = set(os.listdir(top.parent)) - beside  # noqa: PTH208 - thousands of times
    if left:
        raise UntidyError(sorted(left))
