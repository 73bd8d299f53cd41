"""The folders that the guide offers: where a backup can go, and which drives are connected."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import psutil

from nssbackup.cli.boundary import current_folder
from nssbackup.errors import OutputError, reason

# Where desktops and people mount drives.
_MOUNTED_BELOW = {"linux": ("/media", "/run/media", "/mnt"), "darwin": ("/Volumes",)}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder to offer, and what to call it."""

    path: Path
    title: str

    def __str__(self) -> str:
        return f"{self.title}: {self.path}"


def backup_folders() -> tuple[Folder, ...]:
    """Return the folders to offer for a backup: Documents and the current one."""
    current = current_folder()
    return _usable(
        (
            Folder(platformdirs.user_documents_path(), "Your Documents folder"),
            *((Folder(current, "The current folder"),) if current else ()),
        )
    )


def connected_drives() -> tuple[Folder, ...]:
    """Return the removable drives that are connected now.

    Windows says which drives are removable. On Linux and macOS they are the block devices mounted
    where removable drives go; a network share there might take forever to answer.
    """
    return _usable(
        Folder(Path(part.mountpoint), f"Drive {Path(part.mountpoint).name}".rstrip())
        for part in psutil.disk_partitions(all=True)
        if _is_removable(part)
    )


def _is_removable(part: Any) -> bool:  # noqa: ANN401 - psutil has no types
    if sys.platform == "win32":
        return "removable" in part.opts.split(",")
    above = _MOUNTED_BELOW.get(sys.platform, ())
    return part.device.startswith("/dev/") and any(
        f"{part.mountpoint}/".startswith(f"{folder}/") for folder in above
    )


def _usable(folders: Iterable[Folder]) -> tuple[Folder, ...]:
    """Return the folders that exist and can be written to, each once."""
    found: dict[str, Folder] = {}
    for folder in folders:
        if os.path.isdir(folder.path) and os.access(folder.path, os.W_OK | os.X_OK):
            found.setdefault(os.path.normcase(os.path.realpath(folder.path)), folder)
    return tuple(found.values())


@contextmanager
def new_folders(folders: Sequence[Path]) -> Iterator[None]:
    """Create the folders that are missing; if the block fails, remove those still empty.

    Raises:
        OutputError: the system did not let us create one.
    """
    made: list[Path] = []
    try:
        for folder in folders:
            for part in (*reversed(folder.parents), folder):
                if not os.path.isdir(part):
                    _make(part)
                    made.append(part)
        yield
    except BaseException:
        for part in reversed(made):
            with suppress(OSError):
                part.rmdir()
        raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        message = f"the folder `{folder}` can't be created: {reason(error)}"
        raise OutputError(message) from error
