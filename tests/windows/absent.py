"""What Windows' Python or Wine lacks: a test that asks for it is skipped.

tests/conftest.py loads this on Windows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest

StrPath = str | os.PathLike[str]


class AbsentError(OSError):
    """What was asked for does not exist on this system."""


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    try:
        return (yield)
    except AbsentError as absent:
        pytest.skip(str(absent))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    try:
        return (yield)
    except AbsentError as absent:
        pytest.skip(str(absent))


if sys.platform == "win32":
    _symlink = os.symlink

    def _link(source: StrPath, target: StrPath, target_is_directory: bool = False) -> None:
        """Make a link. Wine claims success and makes none; Windows wants a privilege for it."""
        try:
            _symlink(source, target, target_is_directory)
        except OSError as error:
            message = f"no links here: {error}"
            raise AbsentError(message) from error
        if not os.path.lexists(target):
            message = "no links under Wine"
            raise AbsentError(message)

    def _fifo(path: StrPath, mode: int = 0o666) -> None:
        message = f"no FIFO {path} with mode {mode:o} on Windows"
        raise AbsentError(message)

    os.symlink = _link
    os.mkfifo = _fifo
