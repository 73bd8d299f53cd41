"""Transfer: a folder of backups as one ZIP, packed on one computer and unpacked on another.

The role runs all of it through `python -m nssbackup.fleet`: what the controller has of a host goes
to the host before `batch` runs there, so that it knows what is backed up already; what lies there
afterwards comes home. The archive that comes home was made by another computer, so nothing in it
is believed: not a name, not a size, not a digest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nssbackup.batch.naming import PASSWORDS_ELSEWHERE, PASSWORDS_FILE, STATE_FOLDER
from nssbackup.errors import DamagedBackupError, OutputError, reason
from nssbackup.fleet import installer
from nssbackup.fleet.contents import is_backup, is_for_next_run, is_inside, is_working_file, rank
from nssbackup.fleet.installer import PROGRAM
from nssbackup.system.files import make_folder, write_private, write_verified

# Far above what a building full of people needs, far below what fills a disk.
MAX_FILES = 200_000
MAX_FILE = 256 * 1024 * 1024
MAX_ALL = 4 * 1024 * 1024 * 1024

# What `pack` makes. The errors of the other methods are many, and none of an archive's own.
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
# What zipfile may raise for an archive that is damaged, or was made to be.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError),
)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of an archive, by name, with `/` between the parts.

    Attributes:
        new: files that were not there.
        replaced: files that were there with other contents.
        unchanged: files that were there with the same contents, and were not touched.
    """

    new: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether a backup, or what belongs to one, is new: a report always is."""
        return any(is_backup(name) for name in (*self.new, *self.replaced))

    def to_json(self) -> Mapping[str, object]:
        """What the role reads."""
        return {
            "changed": self.changed,
            "new": self.new,
            "replaced": self.replaced,
            "unchanged": self.unchanged,
        }


def pack(folder: Path, archive: Path) -> None:
    """Put the files below a folder into a new private ZIP.

    Args:
        folder: need not exist: the archive is empty then.
        archive: must not exist; not below the folder.

    Raises:
        OutputError: something can't be read, or the archive can't be written.
    """
    with _new_archive(archive) as file:
        for name in _names(folder):
            _add(file, name, folder / name)


def pack_luggage(folder: Path, archive: Path, files: Mapping[str, Path]) -> None:
    """Pack what goes to a host: the program that installs nssbackup there, and what it is to have.

    That is what the next run goes by, the backups and the state, below `out`, and nothing else that
    may lie in the folder: passwords of earlier nights, in escrow or not, leave the controller for
    nobody. So the run there is told that they are elsewhere.

    Args:
        folder: where the host's backups are; need not exist.
        archive: must not exist; Python can run it. It is for its owner alone.
        files: more files by their names there; of a folder its wheels.

    Raises:
        OutputError: something can't be read, or the archive can't be written.
    """
    with _new_archive(archive) as file:
        _add(file, PROGRAM, Path(installer.__file__))
        for name in _names(folder):
            if is_for_next_run(name):
                _add(file, f"out/{name}", folder / name)
        file.writestr(f"out/{STATE_FOLDER}/{PASSWORDS_ELSEWHERE}", b"")
        for name, path in files.items():
            if path.is_dir():
                for wheel in sorted(path.glob("*.whl")):
                    # They are compressed already.
                    _add(file, f"{name}/{wheel.name}", wheel, zipfile.ZIP_STORED)
            else:
                _add(file, name, path)


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Put the files of an archive into a folder, each under its name only when it is whole.

    The folder, and the folders in it, are made as they are needed, for the owner alone. Nothing is
    ever removed. What makes a backup usable comes before the backup, what says that there is one
    after it: a run that is killed in between leaves no `.pfx` whose password is nowhere.

    Raises:
        DamagedBackupError: the archive is no ZIP, or has something in it that has no business
            there; nothing was written.
        OutputError: the operating system did not let us write.
    """
    done = Unpacked()
    try:
        with zipfile.ZipFile(archive) as file:
            entries = _checked(file)
            _check_digests(file, entries)
            for name in sorted(entries, key=rank):
                _place(file, entries[name], folder, name, done)
    except _UNREADABLE as error:
        said = str(error).rstrip(". ") or type(error).__name__
        message = f"`{archive.name}` is damaged: {said}"
        raise DamagedBackupError(message) from error
    except OSError as error:
        message = f"`{folder}` can't be written: {reason(error)}"
        raise OutputError(message) from error
    return done


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
    # Not `ZipFile.write`: it refuses files that are older than 1980.
    entry = zipfile.ZipInfo(name)
    entry.compress_type = compression
    with path.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target)


def _names(folder: Path) -> Iterator[str]:
    """The regular files below a folder; a link leads nowhere."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if stat.S_ISREG(path.lstat().st_mode) and not is_working_file(path.name):
            yield path.relative_to(folder).as_posix()


def _checked(file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by name, none of which leads out of the folder or is too large."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in file.infolist():
        if entry.is_dir():
            continue
        name = entry.filename
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_inside(name) or kind not in (0, stat.S_IFREG):
            message = f"a name in the archive is not one of a file below the folder: `{name}`"
            raise DamagedBackupError(message)
        if entry.compress_type not in _METHODS:
            message = f"`{name}` is packed in a way that is not ours"
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


def _check_digests(file: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> None:
    """Compare the backups with what the report in the same archive says of them."""
    if "report.json" not in entries:
        return
    try:
        document = json.loads(_contents(file, entries["report.json"]))
    except (ValueError, RecursionError) as error:
        message = "`report.json` in the archive is no JSON"
        raise DamagedBackupError(message) from error
    items = document.get("items") if isinstance(document, dict) else None
    for item in items if isinstance(items, list) else ():
        name = item.get("file") if isinstance(item, dict) else None
        if not isinstance(name, str) or item.get("status") not in ("backed-up", "unchanged"):
            continue
        entry = entries.get(name)
        if entry is None or _digest(file, entry) != item.get("sha256"):
            message = f"`{name}` is not in the archive as the report says"
            raise DamagedBackupError(message)


def _digest(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    return hashlib.sha256(_contents(file, entry)).hexdigest()


def _contents(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """A file's bytes, never more than it said; zipfile itself checks their sum."""
    with file.open(entry) as source:
        data = source.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        message = f"`{entry.filename}` has not the size that the archive says"
        raise DamagedBackupError(message)
    return data


def _place(
    file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, name: str, done: Unpacked
) -> None:
    """Write a file, unless it is there already."""
    data = _contents(file, entry)
    path = folder / name
    _make_folders(folder, path.parent)
    if name == PASSWORDS_FILE:
        data = _appended(path, data)
    found = path.lstat() if path.is_symlink() or path.exists() else None
    if found is None:
        outcome = done.new
    elif stat.S_ISREG(found.st_mode) and found.st_size == len(data) and path.read_bytes() == data:
        done.unchanged.append(name)
        return
    else:
        outcome = done.replaced

    def check(temporary: Path) -> None:
        if temporary.read_bytes() != data:
            message = f"`{name}` is not on the disk as it was written"
            raise OutputError(message)

    write_verified(path, data, check, replace=True)
    outcome.append(name)


def _appended(path: Path, data: bytes) -> bytes:
    """The table of passwords with the rows that come: they are new, as it was not sent away."""
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
        if folder.is_symlink():
            message = f"`{folder}` is in the way: it is a link"
            raise OutputError(message)
    make_folder(folder)
