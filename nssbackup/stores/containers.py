"""Profiles inside a file: a Firefox backup, a ZIP, or a tar (plain, gz, bz2 or xz).

A container is recognised by its content. Its databases are kept in memory, and no path from it is
ever used as one.
"""

from __future__ import annotations

import bz2
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from nssbackup.errors import (
    DamagedContainerError,
    NoStoreError,
    RecoveryPasswordRequiredError,
    UnreadableStoreError,
    UnsupportedContainerError,
    WrongRecoveryPasswordError,
    reason,
)
from nssbackup.identity.model import Profile, StoreKind
from nssbackup.profiles import resolve_profiles
from nssbackup.profiles.folder import DATABASES
from nssbackup.secret import Secret
from nssbackup.stores import firefox_backup
from nssbackup.system.snapshot import MAX_BYTES

ContainerKind = Literal["firefox-backup", "zip", "tar"]
RecoveryPasswordFor = Callable[[Path, int], "Secret | None"]
"""Asks for the recovery password of a file on the n-th try (from 0); None if there is none."""

_JOURNALS = ("", "-journal", "-wal")
_NAMES = {
    f"{name}{journal}": kind
    for kind, names in DATABASES.items()
    for name in names
    for journal in _JOURNALS
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# The page before the document of a Firefox backup has some 20 KB.
_PAGE_BYTES = 1024 * 1024
# A backup of a whole disk has some million files.
_MOST_MEMBERS = 5_000_000
_MOST_BYTES = 128 * 1024 * 1024
_ENCRYPTED = 0x1
_UNREADABLE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)


def container_kind(path: Path) -> ContainerKind | None:
    """Return what kind of container a file is; None if it is none, or can't be read."""
    if not os.path.isfile(path):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_PAGE_BYTES)
    except OSError:
        return None
    if head.startswith(_ZIP):
        return "zip"
    if firefox_backup.BEGIN in head:
        return "firefox-backup"
    # Not tarfile.is_tarfile: it takes a file of zeros for one.
    return "tar" if _is_tar(head) else None


def profiles_in(
    path: Path, kind: ContainerKind, recovery_password: RecoveryPasswordFor
) -> tuple[Profile, ...]:
    """Return the profiles in a container, with their databases in memory.

    Args:
        path: the container.
        kind: what it is.
        recovery_password: asked if it is a Firefox backup.

    Raises:
        NoStoreError: there is no NSS database in it.
        DamagedContainerError: it is damaged or cut short.
        UnsupportedContainerError: it is an encrypted ZIP, or exceeds a limit.
        NotEncryptedError: it is a Firefox backup without certificates.
        RecoveryPasswordRequiredError: the recovery password is needed and was not given.
        WrongRecoveryPasswordError: it is wrong.
    """
    try:
        if kind == "firefox-backup":
            return _firefox_profile(path, recovery_password)
        found: dict[str, dict[str, bytes]] = {}
        total = 0
        for folder, name, data in _members(path, kind):
            total += len(data)
            if total > _MOST_BYTES:
                message = f"the databases in `{path}` have more than {_MOST_BYTES:,} bytes"
                raise UnsupportedContainerError(message, hint="unpack it and name the folders")
            found.setdefault(folder, {})[name] = data
    except OSError as error:
        message = f"`{path}` can't be read: {reason(error)}"
        raise UnreadableStoreError(message) from error
    except _UNREADABLE as error:
        message = f"`{path}` is damaged or cut short"
        raise DamagedContainerError(message) from error
    if not found:
        message = f"there is no NSS database in `{path}`"
        raise NoStoreError(message, hint="it should contain `cert9.db` and `key4.db`")
    return tuple(
        Profile(
            path=path.absolute() / folder,
            name=PurePosixPath(folder).name or path.name,
            application="NSS",
            store=_kind(contents),
            container=path.absolute(),
            contents=contents,
        )
        for folder, contents in found.items()
    )


def resolve(
    names: Sequence[str], recovery_password: RecoveryPasswordFor, *, need_store: bool = True
) -> tuple[Profile, ...]:
    """Return the profiles that names, folders and containers name, in their order.

    Raises:
        NssBackupError: what `resolve_profiles` and `profiles_in` raise.
    """
    files = {name: Path(name).expanduser() for name in names}
    kinds = {name: container_kind(path) for name, path in files.items()}
    others = [name for name in names if kinds[name] is None]
    found = resolve_profiles(others, need_store=need_store) if others else ()
    inside = (
        profiles_in(files[name], kind, recovery_password)
        for name, kind in kinds.items()
        if kind is not None
    )
    return (*found, *chain.from_iterable(inside))


def _firefox_profile(path: Path, recovery_password: RecoveryPasswordFor) -> tuple[Profile, ...]:
    header = firefox_backup.read_header(path)
    attempt, wrong = 0, None
    while True:
        # Nobody is asked for the password of a backup that has no certificate in it.
        password = recovery_password(path, attempt) if header.encryption else Secret("")
        if password is None:
            message = f"the recovery password of `{path.name}` is needed"
            raise wrong or RecoveryPasswordRequiredError(message)
        try:
            contents = firefox_backup.read_databases(path, password)
        except WrongRecoveryPasswordError as error:
            attempt, wrong = attempt + 1, error
            continue
        if not contents:
            message = f"there is no NSS database in the Firefox backup `{path.name}`"
            raise NoStoreError(message)
        profile = Profile(
            path=path.absolute() / "credentials_and_security",
            name=header.profile or path.name,
            application="Firefox",
            store="sqlite",
            container=path.absolute(),
            contents=contents,
        )
        return (profile,)


def _kind(contents: dict[str, bytes]) -> StoreKind:
    return "sqlite" if any(_NAMES[name] == "sqlite" for name in contents) else "legacy"


def _is_tar(head: bytes) -> bool:
    """Return whether a file begins as a tar, perhaps a compressed one."""
    for expand in (
        lambda data: data,
        lambda data: zlib.decompressobj(31).decompress(data, 512),
        lambda data: bz2.BZ2Decompressor().decompress(data, 512),
        lambda data: lzma.LZMADecompressor(memlimit=MAX_BYTES * 4).decompress(data, 512),
    ):
        try:
            # POSIX.1-1988, ustar: the magic at 257; older tars have none.
            if expand(head)[257:262] == b"ustar":
                return True
        except (OSError, zlib.error, lzma.LZMAError, EOFError):
            continue
    return False


def _members(path: Path, kind: ContainerKind) -> Iterator[tuple[str, str, bytes]]:
    """Yield each database in an archive: its folder, its name and its bytes."""
    members = _in_zip(path) if kind == "zip" else _in_tar(path)
    for count, (member, size, opened) in enumerate(members):
        if count >= _MOST_MEMBERS:
            message = f"`{path}` has more than {_MOST_MEMBERS:,} files"
            raise UnsupportedContainerError(message, hint="unpack the profile and name its folder")
        folder, _, name = member.replace("\\", "/").rpartition("/")
        if name not in _NAMES:
            continue
        if size > MAX_BYTES:
            message = f"`{member}` in `{path}` is too large ({size:,} bytes)"
            raise UnsupportedContainerError(message)
        with opened() as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) != size:
            raise EOFError
        yield _inner(folder), name, data


def _inner(folder: str) -> str:
    """Return the name of a folder in a container, which leads nowhere outside."""
    return "/".join(part for part in folder.split("/") if part not in ("", ".", ".."))


_Member = tuple[str, int, Callable[[], IO[bytes]]]


def _in_zip(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = PurePosixPath(entry.filename.replace("\\", "/")).name
            if entry.flag_bits & _ENCRYPTED and name in _NAMES:
                message = f"`{path}` is an encrypted ZIP"
                raise UnsupportedContainerError(message, hint="unpack it, and name the folder")
            yield entry.filename, entry.file_size, partial(archive.open, entry)


def _in_tar(path: Path) -> Iterator[_Member]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.isreg():
                yield member.name, member.size, partial(_extracted, archive, member)


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    if file is None:
        raise EOFError
    return file
