"""What Windows' Python or Wine lacks: a test that asks for it is skipped, with what it asked for.

tests/conftest.py loads this on Windows, where tests/__init__.py makes the modules of POSIX empty. A
test asks by using a function, a module, a program, a name or a file mode that Windows has not, or
by the mark `posix`, which gives a reason where nothing else shows it. What nssbackup itself asks
for is never excused.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import nssbackup

StrPath = str | os.PathLike[str]

_PACKAGE = str(Path(nssbackup.__file__).parent)
_TESTS = str(Path(__file__).parents[1])
_LIBRARY = str(Path(os.__file__).parent)
_PRIVATE = (0o600, 0o700)
_INVALID_NAME = 123


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if (mark := item.get_closest_marker("posix")) is not None:
            item.add_marker(pytest.mark.skip(reason=f"only for POSIX: {mark.args[0]}"))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    return (yield from _excused())


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    return (yield from _excused())


def _excused() -> Generator[None, object, object]:
    try:
        return (yield)
    except Exception as error:
        if any(map(_is_absent, _chain(error))):
            pytest.skip(f"not on Windows: {error}")
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_absent(error: BaseException) -> bool:
    """Return whether a test asked for a part of a module, a program or a name that can't be."""
    frames = traceback.extract_tb(error.__traceback__)
    if any(frame.filename.startswith(_PACKAGE) for frame in frames):
        return False
    if isinstance(error, AttributeError):
        return isinstance(error.obj, ModuleType) or "<module " in str(error)  # of monkeypatch
    if not isinstance(error, OSError):
        return False
    invalid_name = getattr(error, "winerror", None) == _INVALID_NAME
    return invalid_name or frames[-1].name == "_execute_child"


def _is_by_a_test() -> bool:
    """Return whether a test called the function that asks, itself or through Python's library."""
    frame = sys._getframe(2)  # noqa: SLF001 - there is no other way
    while frame.f_back is not None and _is_library(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(_TESTS)


def _is_library(file: str) -> bool:
    # `shutil` copies modes, which is no question.
    return (
        file.startswith(_LIBRARY)
        and not file.endswith("shutil.py")
        and ("site-packages" not in file)
    )


if sys.platform == "win32":
    _symlink, _chmod, _which = os.symlink, os.chmod, shutil.which

    def _link(source: StrPath, target: StrPath, target_is_directory: bool = False) -> None:
        """Make no link for a test: Wine claims that it made one, Windows wants a privilege."""
        if _is_by_a_test():
            pytest.skip("no links on Windows")
        _symlink(source, target, target_is_directory)

    def _change_mode(path: StrPath, mode: int, **how: bool) -> None:
        if mode not in _PRIVATE and _is_by_a_test():
            pytest.skip(f"no mode {mode:o} on Windows")
        _chmod(path, mode, **how)

    def _find(program: str, mode: int = os.X_OK, path: str | None = None) -> str | None:
        """Find a program, but none of Linux, which Wine would find too."""
        found = _which(program, mode, path)
        return found if found and found.lower().endswith(".exe") else None

    def _send(process: subprocess.Popen[bytes], number: int) -> None:
        pytest.skip(f"no signal {number} to process {process.pid} on Windows")

    os.symlink = _link
    os.chmod = _change_mode
    shutil.which = _find
    subprocess.Popen.send_signal = _send
