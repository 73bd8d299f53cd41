"""Places: the folders that a backup can go to, and the drives that are connected now.

Only what is there and may be written to is given. What the system says of its disks is one value,
`Disks`, so that the rules of all three systems run on any of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nssbackup.errors import OutputError, reason
from nssbackup.profiles import System
from nssbackup.profiles.left_behind import user_folders

Kind = Literal["pct-safe", "documents", "current", "drive"]

# Where PCT-SAFE looks for certificates, and where WIPO's guide for it puts them.
PCT_SAFE_FOLDER = r"C:\PCT-SAFE\PKCS12"

# What GetDriveTypeW says of a USB stick or a memory card (winbase.h). A USB hard disk is 3, as the
# built-in ones are.
DRIVE_REMOVABLE = 2

# Desktops mount at /media/USER/LABEL or /run/media/USER/LABEL, people by hand at /mnt or below it.
_MOUNTED_AT = re.compile(r"/media/[^/]+(/[^/]+)?|/run/media/[^/]+/[^/]+|/mnt(/[^/]+)?")
_MOUNT_TABLE = Path("/proc/self/mountinfo")
_MOUNT_ESCAPE = re.compile(rb"\\([0-7]{3})")
_VOLUMES = Path("/Volumes")


def current_folder() -> Path | None:
    """Where the caller is; None where that folder was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that files can be written to.

    `name` is a drive's label, or "" where it has none; for all others "".
    """

    kind: Kind
    path: Path
    name: str = ""


@dataclass(frozen=True, slots=True)
class Drive:
    r"""A drive letter of Windows: `E:\`, its type by GetDriveTypeW, and its label.

    `label` is None where no medium is in, or the system doesn't let us see it.
    """

    root: str
    type: int
    label: str | None


@dataclass(frozen=True, slots=True)
class Disks:
    """What the system says of its disks.

    Attributes:
        mount_table: Linux: the contents of /proc/self/mountinfo.
        volumes: macOS: the volumes in /Volumes but the one that the system started from.
        drives: Windows: the drive letters.
        documents: Windows: the Documents folder, which may have been moved, as OneDrive does.
    """

    mount_table: bytes = b""
    volumes: tuple[Path, ...] = ()
    drives: tuple[Drive, ...] = ()
    documents: str | None = None

    @classmethod
    def current(cls) -> Disks:
        """The disks of this machine as they are now."""
        return cls(
            mount_table=_mount_table(_MOUNT_TABLE),
            volumes=tuple(volumes_in(_VOLUMES)) if sys.platform == "darwin" else (),
            drives=_windows_drives(),
            documents=_windows_documents(),
        )


def backup_places(
    current: Path | None = None, system: System | None = None, disks: Disks | None = None
) -> tuple[Place, ...]:
    """The folders to offer for a backup, the best first; each folder once.

    These are PCT-SAFE's folder, the Documents folder and the current one.

    Args:
        current: the current folder, None for none.
        system: the platform and the user's home.
        disks: what the system says of its disks.
    """
    system = system or System.current()
    candidates = [
        Place("pct-safe", Path(system.path(PCT_SAFE_FOLDER)))
        if system.platform == "win32"
        else None,
        Place("documents", _documents(system, disks or Disks.current())),
        Place("current", current) if current else None,
    ]
    return _usable(filter(None, candidates))


def connected_drives(system: System | None = None, disks: Disks | None = None) -> tuple[Place, ...]:
    """The drives for a second copy that are connected now; () for none.

    On Linux and macOS that is what is mounted where removable drives are, on Windows what the
    system calls removable.
    """
    system = system or System.current()
    disks = disks or Disks.current()
    found: list[Place] = []
    if system.platform == "linux":
        found += [Place("drive", path, path.name) for path in mounted_drives(disks.mount_table)]
    elif system.platform == "darwin":
        found += [Place("drive", path, path.name) for path in disks.volumes]
    else:
        found += [
            Place("drive", Path(system.path(drive.root)), drive.label)
            for drive in disks.drives
            if drive.type == DRIVE_REMOVABLE and drive.label is not None
        ]
    return _usable(found)


def mounted_drives(mount_table: bytes) -> Iterator[Path]:
    """The mount points of drives in a mount table of Linux.

    Only block devices count: memory would not outlast the day, and a share may take for ever to
    answer. The table's format is in proc(5), /proc/pid/mountinfo.
    """
    sources: dict[Path, bytes] = {}
    for line in mount_table.splitlines():
        before, _, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if len(fields) > 5 and len(rest) > 1:  # noqa: PLR2004 - the mount point's and the source's
            # What was mounted last on a mount point hides what was there.
            sources[Path(os.fsdecode(_unescaped(fields[4])))] = rest[1]
    for path, source in sources.items():
        if source.startswith(b"/dev/") and _MOUNTED_AT.fullmatch(str(path)):
            yield path


def volumes_in(folder: Path, is_mount: Callable[[Path], bool] = os.path.ismount) -> Iterator[Path]:
    """The volumes mounted in macOS' /Volumes; the start volume is only linked to there."""
    with contextlib.suppress(OSError):
        for volume in sorted(folder.iterdir()):
            if not volume.is_symlink() and is_mount(volume):
                yield volume


@contextmanager
def new_folders(folders: Iterable[Path]) -> Iterator[None]:
    """Make the folders that are missing, and those above them.

    Where the block fails, those that were made and are still empty go away again.

    Raises:
        OutputError: the system did not let us make one.
    """
    made: list[Path] = []
    try:
        for folder in folders:
            for part in (*reversed(folder.parents), folder):
                if not os.path.isdir(part):  # noqa: PTH112 - see files
                    _make(part)
                    made.append(part)
        yield
    except BaseException:
        for part in reversed(made):
            with contextlib.suppress(OSError):
                part.rmdir()
        raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        message = f"the folder `{folder}` can't be created: {reason(error)}"
        raise OutputError(message) from error


def _usable(places: Iterable[Place]) -> tuple[Place, ...]:
    """The places that are folders we may write to, each folder once."""
    found: dict[str, Place] = {}
    for place in places:
        if os.path.isdir(place.path) and os.access(place.path, os.W_OK | os.X_OK):  # noqa: PTH112 - see files
            found.setdefault(os.path.normcase(os.path.realpath(place.path)), place)
    return tuple(found.values())


def _documents(system: System, disks: Disks) -> Path:
    """Where the Documents folder is, whether or not there is one."""
    home = Path(system.home)
    if system.platform == "win32" and disks.documents:
        return Path(system.path(disks.documents))
    if system.platform == "linux":
        # The home folder itself means that there is no such folder.
        named = (each for each in user_folders("DOCUMENTS", system) if each != home)
        return next(named, home / "Documents")
    return home / "Documents"


def _mount_table(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _unescaped(field: bytes) -> bytes:
    r"""A field of the mount table: blanks and backslashes stand in it as `\040` and `\134`."""
    return _MOUNT_ESCAPE.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), field)


if sys.platform == "win32":

    def _windows_drives() -> tuple[Drive, ...]:
        # Here, because it is slow to load, and not every command asks.
        import ctypes
        from ctypes import wintypes
        from string import ascii_uppercase

        fail_critical_errors, label_length = 0x0001, 261

        kernel32 = ctypes.WinDLL("kernel32")
        drive_type = kernel32.GetDriveTypeW
        drive_type.restype = wintypes.UINT
        drive_type.argtypes = (wintypes.LPCWSTR,)
        volume_information = kernel32.GetVolumeInformationW
        volume_information.restype = wintypes.BOOL
        volume_information.argtypes = (
            wintypes.LPCWSTR,
            wintypes.LPWSTR,
            wintypes.DWORD,
            wintypes.LPVOID,
            wintypes.LPVOID,
            wintypes.LPVOID,
            wintypes.LPWSTR,
            wintypes.DWORD,
        )
        set_error_mode = kernel32.SetThreadErrorMode
        set_error_mode.restype = wintypes.BOOL
        set_error_mode.argtypes = (wintypes.DWORD, ctypes.POINTER(wintypes.DWORD))
        logical_drives = kernel32.GetLogicalDrives
        logical_drives.restype = wintypes.DWORD

        present = logical_drives()
        found: list[Drive] = []
        # A card reader without a card would otherwise open a window that asks for one.
        before = wintypes.DWORD()
        set_error_mode(fail_critical_errors, ctypes.byref(before))
        try:
            for number, letter in enumerate(ascii_uppercase):
                if not present >> number & 1:
                    continue
                root = f"{letter}:\\"
                label: str | None = None
                # Of a network drive nothing more is asked: its server may be away.
                if (kind := drive_type(root)) == DRIVE_REMOVABLE:
                    text = ctypes.create_unicode_buffer(label_length)
                    known = volume_information(root, text, label_length, None, None, None, None, 0)
                    label = text.value if known else None
                found.append(Drive(root, kind, label))
        finally:
            set_error_mode(before.value, None)
        return tuple(found)

    def _windows_documents() -> str | None:
        import ctypes
        from ctypes import wintypes

        personal, current_path, path_length = 0x0005, 0, 260

        folder_path = ctypes.WinDLL("shell32").SHGetFolderPathW
        folder_path.restype = ctypes.c_long  # HRESULT
        folder_path.argtypes = (
            wintypes.HWND,
            ctypes.c_int,
            wintypes.HANDLE,
            wintypes.DWORD,
            wintypes.LPWSTR,
        )
        text = ctypes.create_unicode_buffer(path_length)
        failed = folder_path(None, personal, None, current_path, text)
        return None if failed else text.value or None

else:

    def _windows_drives() -> tuple[Drive, ...]:
        return ()

    def _windows_documents() -> str | None:
        return None
