"""Transfer: a folder of backups as one ZIP, packed on one computer and unpacked on another.

The role runs it through `python -m nssbackup.fleet`. What the controller has of a host goes to the
host before `batch` runs there, so that it knows what is backed up; what `batch` leaves there comes
back. The archive that comes back was made by another computer, so nothing in it is trusted: no
name, no size, no digest.

What a file is for is told by its name, which `batch` gives it. Other files are somebody's own.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from nssbackup.batch.layout import (
    ESCROW_FOLDER,
    PASSWORDS_ELSEWHERE,
    PASSWORDS_FILE,
    REPORT_FILES,
    STATE_FOLDER,
)
from nssbackup.batch.output_folder import make_own_folder
from nssbackup.batch.password_table import PasswordTable
from nssbackup.errors import DamagedBackupError, OutputError, reason
from nssbackup.fleet import installer
from nssbackup.fleet.installer import PROGRAM
from nssbackup.fleet.play import HostError
from nssbackup.fleet.reports import MAX_BYTES, is_inside, parse_document
from nssbackup.system.files import write_private, write_verified

PASSWORD_TABLES = ("passwords", "primary-passwords")
"""The names on a host of the tables of which it gets only its own rows."""

PACKED_FOR_HOST = "nssbackup.zip"

LOCK_FILE = "fleet.lock"
"""Allows one run at a time in a folder of hosts; it is in the folder of the state."""

# Far above what a building full of people needs, far below what fills a disk.
MAX_FILES = 200_000
MAX_FILE = 64 * 1024 * 1024
MAX_ALL = 4 * 1024 * 1024 * 1024

_BLOCK = 1 << 20

# Of use only while a program runs.
_WORKING_FILES = frozenset({"lock", LOCK_FILE, PASSWORDS_ELSEWHERE})
_BACKUP, _STATE = ".pfx", ".json"
# A backup that its successor would have replaced.
_EARLIER = re.compile(r"\.[0-9a-f]{16}\.pfx$")

# The methods that `pack` uses. Others have errors of their own.
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
# What zipfile may raise for a damaged archive.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError),
)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was in an archive, by name, with `/` between the parts.

    Attributes:
        new: files that were not there before.
        replaced: files that were there with other contents.
        unchanged: files that were there with the same contents, and were not touched.
    """

    new: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Return whether a backup, or a file that belongs to one, is new. Reports always are."""
        written = (*self.new, *self.replaced)
        return any(name not in REPORT_FILES and not _is_state(name) for name in written)

    def to_json(self) -> Mapping[str, object]:
        """Return what the role reads."""
        return {
            "changed": self.changed,
            "new": self.new,
            "replaced": self.replaced,
            "unchanged": self.unchanged,
        }


def pack(folder: Path, archive: Path) -> None:
    """Put the files below a folder into a new private ZIP.

    Args:
        folder: may be missing; then the archive is empty.
        archive: must not exist, nor be below the folder.

    Raises:
        OutputError: a file can't be read, or the archive can't be written.
    """
    with _new_archive(archive) as file:
        for name in _names(folder):
            _add(file, name, folder / name)


def pack_for_host(folder: Path, archive: Path, files: Mapping[str, Path]) -> None:
    """Pack what a host needs: the program that installs nssbackup, the state and the backups.

    Nothing else in the folder leaves the controller; no host gets passwords of earlier nights, in
    escrow or not, nor another host's. So the run on the host is told that these are elsewhere.

    Args:
        folder: where the host's backups are, by its name; may be missing.
        archive: must not exist. Python can run it; only its owner may read it.
        files: more files, by their names on the host; of a folder its wheels.

    Raises:
        OutputError: a file can't be read, or the archive can't be written.
        UsageError: a table of passwords is invalid.
    """
    with _new_archive(archive) as file:
        _add(file, PROGRAM, Path(installer.__file__))
        for name in _names(folder):
            if _is_for_next_run(name):
                _add(file, f"out/{name}", folder / name)
        file.writestr(f"out/{STATE_FOLDER}/{PASSWORDS_ELSEWHERE}", b"")
        if any(name.startswith(f"{ESCROW_FOLDER}/") for name in _names(folder)):
            # The run there has to know, so that it writes no passwords in the clear.
            file.writestr(f"out/{ESCROW_FOLDER}/{PASSWORDS_ELSEWHERE}", b"")
        for name, path in files.items():
            if path.is_dir():
                for wheel in sorted(path.glob("*.whl")):
                    # Wheels are compressed already.
                    _add(file, f"{name}/{wheel.name}", wheel, zipfile.ZIP_STORED)
            elif name in PASSWORD_TABLES:
                table = PasswordTable.read(path, f"--{name}")
                file.writestr(name, table.csv_for(folder.name))
            else:
                _add(file, name, path)


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Put the files of an archive into a host's folder, each under its name only when it is whole.

    Folders are made as needed, for the owner alone. Nothing is lost, even if somebody else has
    taken the host over: escrow is never replaced, and an earlier backup is kept beside its
    successor, as NAME.<16 digits of its SHA-256>.pfx. What makes a backup usable
    is written before the backup, and what says that there is one after it: a run that is killed
    leaves no `.pfx` without its password.

    Raises:
        DamagedBackupError: the archive is damaged, or holds what is not allowed in it; nothing was
            written.
        OutputError: a file can't be written.
    """
    done = Unpacked()
    try:
        with zipfile.ZipFile(archive) as file:
            entries = _checked(file)
            _check_digests(file, entries, folder.name)
            for name in sorted(entries, key=_rank):
                _write(file, entries[name], folder, name, done)
    except _UNREADABLE as error:
        said = str(error).rstrip(". ") or type(error).__name__
        message = f"`{archive.name}` is damaged: {said}"
        raise DamagedBackupError(message) from error
    except OSError as error:
        message = f"`{folder}` can't be written: {reason(error)}"
        raise OutputError(message) from error
    return done


def _is_for_next_run(name: str) -> bool:
    """Return whether the next run on the host reads a file: each user's state, and the backups.

    `batch` compares the contents of the backups in the state. The names of others are taken.
    """
    folder, _, last = name.partition("/")
    if "/" in last or not is_inside(name):
        return False
    if folder == STATE_FOLDER:
        return last.endswith(_STATE)
    # No user's folder has the escrow's name, in any spelling, or begins with a dot.
    users = folder.casefold() != ESCROW_FOLDER and not folder.startswith(".")
    return users and last.endswith(_BACKUP) and not _EARLIER.search(last)


def _rank(name: str) -> tuple[int, str]:
    """Return the order of writing: passwords and escrow, backups, the state, the reports."""
    if name in REPORT_FILES:
        return 3, name
    if _is_state(name):
        return 2, name
    return int(name.endswith(_BACKUP)), name


def _is_state(name: str) -> bool:
    return PurePosixPath(name).parts[0] == STATE_FOLDER


@contextmanager
def _new_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        write_private(path, b"")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            yield file
    except OSError as error:
        message = f"`{error.filename or path}` can't be packed: {reason(error)}"
        raise OutputError(message) from error


def _add(
    archive: zipfile.ZipFile, name: str, path: Path, compression: int = zipfile.ZIP_DEFLATED
) -> None:
    # Not `ZipFile.write`: it refuses files from before 1980.
    entry = zipfile.ZipInfo(name)
    entry.compress_type = compression
    with path.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target)


def _names(folder: Path) -> Iterator[str]:
    """Yield the names of the regular files below a folder; links are not followed."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        working = path.name in _WORKING_FILES or path.name.endswith(".tmp")
        if not working and stat.S_ISREG(path.lstat().st_mode):
            yield path.relative_to(folder).as_posix()


def _checked(file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by name; raise unless names, kinds and sizes are allowed."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in file.infolist():
        if entry.is_dir():
            continue
        name = entry.filename
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_inside(name) or kind not in (0, stat.S_IFREG):
            message = f"the archive has a file with a name that is not allowed: `{name}`"
            raise DamagedBackupError(message)
        if entry.compress_type not in _METHODS:
            message = f"`{name}` in the archive has an unknown compression"
            raise DamagedBackupError(message)
        if name in entries:
            message = f"`{name}` is in the archive twice"
            raise DamagedBackupError(message)
        entries[name] = entry
    sizes = [entry.file_size for entry in entries.values()]
    if len(sizes) > MAX_FILES or max(sizes, default=0) > MAX_FILE or sum(sizes) > MAX_ALL:
        message = f"the archive is too large: {len(sizes)} files, {sum(sizes)} bytes"
        raise DamagedBackupError(message)
    return entries


def _check_digests(
    file: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], host: str
) -> None:
    """Raise unless the backups are those of the report in the same archive."""
    report = entries.get(REPORT_FILES[0])
    if report is None:
        return
    if report.file_size > MAX_BYTES:
        message = f"the report in the archive is too large: {report.file_size} bytes"
        raise DamagedBackupError(message)
    try:
        document = parse_document(_contents(file, report), host)
    except HostError as error:
        raise DamagedBackupError(error.message) from error
    digests: dict[str, str] = {}  # several items may name one file
    for item in document.items:
        if item.file is None or item.status not in ("backed-up", "unchanged"):
            continue
        name = item.file.removeprefix(f"{host}/")
        if name in entries and name not in digests:
            digest = hashlib.sha256()
            with file.open(entries[name]) as source:
                for block in iter(lambda: source.read(_BLOCK), b""):
                    digest.update(block)
            digests[name] = digest.hexdigest()
        if name not in digests or digests[name] != item.sha256:
            message = f"`{name}` in the archive is not the file that the report describes"
            raise DamagedBackupError(message)


def _contents(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return a file's bytes, at most as many as announced; zipfile checks their sum."""
    with file.open(entry) as source:
        data = source.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        message = f"`{entry.filename}` does not have the size that the archive announces"
        raise DamagedBackupError(message)
    return data


def _write(
    file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, name: str, done: Unpacked
) -> None:
    """Write a file, unless it is there already."""
    data = _contents(file, entry)
    path = folder / name
    _make_folders(folder, path.parent)
    if name == PASSWORDS_FILE:
        data = _appended(path, data)
    found = path.lstat() if path.is_symlink() or path.exists() else None
    before = path.read_bytes() if found is not None and stat.S_ISREG(found.st_mode) else None
    if before == data:
        done.unchanged.append(name)
        return
    if before is not None and name.startswith(f"{ESCROW_FOLDER}/"):
        path = path.with_name(f"{path.name}.{_digits(data)}")
    elif before is not None and name.endswith(_BACKUP):
        _write_checked(path.with_name(f"{path.stem}.{_digits(before)}{_BACKUP}"), before)
    _write_checked(path, data)
    (done.new if found is None else done.replaced).append(name)


def _write_checked(path: Path, data: bytes) -> None:
    def check(temporary: Path) -> None:
        if temporary.read_bytes() != data:
            message = f"`{path}` read back from the disk is not what was written"
            raise OutputError(message)

    write_verified(path, data, check, replace=True)


def _digits(data: bytes) -> str:
    """Return the beginning of the SHA-256, as in the names of escrow files."""
    return hashlib.sha256(data).hexdigest()[:16]


def _appended(path: Path, data: bytes) -> bytes:
    """Return the password table here with the rows that came; none of those was sent away."""
    if not path.is_file():
        return data
    found = path.read_bytes()
    _, _, rows = data.partition(b"\n")
    if not found or found.endswith(rows):
        return found or data
    return found + b"\n" * (not found.endswith(b"\n")) + rows


def _make_folders(top: Path, folder: Path) -> None:
    """Make a folder and those above it, up to the top, for the owner alone."""
    if folder != top:
        _make_folders(top, folder.parent)
    make_own_folder(folder)
