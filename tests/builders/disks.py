"""Disks: file systems in memory in the place of folders, for tests of full and read-only ones.

Such a test is marked `pytest.mark.mounts`: where this process may not mount, the test is done by
another one, in a namespace in which it may (tests/conftest.py).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.builders.namespaces import unshare

_NAMESPACE = ("--user", "--map-root-user", "--mount")


@contextmanager
def mounted(folder: Path, options: str = "size=4m") -> Iterator[None]:
    """A file system in memory in the place of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(_mount(folder, options), check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    """Change an option of one, such as `ro`."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


@cache
def may_mount() -> bool:
    """Whether this process may, which is tried out where nobody sees it."""
    return _succeeds(*unshare("--mount"), *_mount(Path("/tmp"), "size=4k"))  # noqa: S108 - not used


def is_entitled_to_mount() -> bool:
    """Whether this process has the right, CAP_SYS_ADMIN, whatever else may be in the way."""
    status = Path("/proc/self/status").read_text()
    (granted,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(granted, 16) >> 21 & 1)


def elsewhere(test: str) -> tuple[str, ...] | None:
    """The words that do a test in a namespace in which it may mount; None where there is none."""
    space = unshare(*_NAMESPACE)
    if not _succeeds(*space, *_mount(Path("/tmp"), "size=4k")):  # noqa: S108 - see above
        return None
    alone = ("-p", "no:xdist", "-p", "no:cacheprovider", "-p", "no:cov")
    return (*space, sys.executable, "-m", "pytest", "-q", *alone, test)


def _mount(folder: Path, options: str) -> tuple[str, ...]:
    return ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))


def _succeeds(*words: str) -> bool:
    try:
        return subprocess.run(words, check=False, capture_output=True).returncode == 0
    except OSError:  # no such program
        return False
