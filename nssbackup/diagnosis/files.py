"""The files of a profile: which databases there are, whether they may be read, and whose they are.

`Examined` says what the engine made of them; here the folder is asked why.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nssbackup.diagnosis.examination import Examined
from nssbackup.diagnosis.findings import Finding, sentence
from nssbackup.errors import NssBackupError, UnreadableStoreError, UnsupportedStoreError
from nssbackup.profiles.folder import DATABASES, is_closed

# NSS's tool still has the old format where a Linux distribution builds it in, as Debian and Ubuntu
# do. Firefox's own NSS is built without: it says SEC_ERROR_LEGACY_DATABASE.
_CONVERT = (
    "To convert old databases, copy the folder to another place and run NSS's own tool on the copy:"
    " `certutil -K -X -d sql:COPY` (on Debian and Ubuntu it is in the package libnss3-tools). Then"
    " give the copy with `--profile COPY`. A current Firefox can't convert them any more."
)


def file_findings(one: Examined) -> Iterator[Finding]:
    """What is the matter with a profile's folder and files."""
    folder = one.profile.path
    if is_closed(folder):
        yield Finding.of(
            "folder-unreadable",
            f"The folder `{folder}` {belongs_to(folder)}, and you may not look into it.",
            as_owner(folder),
        )
        return
    closed = [path for path in _databases(folder) if _is_forbidden(path)]
    for path in closed:
        yield Finding.of(
            "file-unreadable",
            f"The file `{path}` {belongs_to(path)}, and you may not read it.",
            as_owner(path),
        )
    if one.error is not None and not (closed and isinstance(one.error, UnreadableStoreError)):
        yield _of_store_error(one, one.error)
    yield from _of_names({path.name for path in _databases(folder)})
    yield from _of_lock(one)


def belongs_to(path: Path) -> str:
    """Whose a file or folder is, as the end of a sentence."""
    if _is_own(path):
        return "is yours"
    owner = owner_of(path)
    return f"belongs to the user `{owner}`" if owner else "is protected"


def as_owner(path: Path) -> str:
    """The hint how to get at a file or folder."""
    if _is_own(path):
        return f"Allow yourself to read it: `chmod -R u+rX {shlex.quote(str(path))}`."
    owner = owner_of(path)
    who = f"`{owner}`" if owner else "the user whose profile it is"
    return (
        f"Run nssbackup as {who} or as an administrator. If the profile is yours, have its owner"
        " changed: a program that was once run as administrator may have taken it over."
    )


def owner_of(path: Path) -> str | None:
    """The name of a file's owner, or its number; None where the system doesn't say."""
    if sys.platform == "win32":
        return None
    try:
        return path.owner()
    except KeyError:  # a number without a name: of another machine, or of a removed user
        return f"number {path.stat().st_uid}"
    except OSError:
        return None


def _is_own(path: Path) -> bool:
    if sys.platform == "win32":  # has access lists, and a user is more than a number there
        return False
    try:
        return path.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _databases(folder: Path) -> list[Path]:
    """The databases that lie in a folder, of any generation."""
    paths = [folder / name for names in DATABASES.values() for name in names]
    return [path for path in paths if os.path.isfile(path)]


def _is_forbidden(path: Path) -> bool:
    """Whether this user may not read a file; asked by opening it, as access lists count too.

    Nothing of this process may have the file open: closing it again drops the process's locks.
    """
    try:
        os.close(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _of_store_error(one: Examined, error: NssBackupError) -> Finding:
    finding = Finding.of_error(error, "the databases can't be read: ")
    if one.profile.store == "legacy" and isinstance(error, UnsupportedStoreError):
        return replace(finding, hint=_CONVERT)
    return finding


def _of_names(names: set[str]) -> Iterator[Finding]:
    current, old = (names & set(pair) for pair in (DATABASES["sqlite"], DATABASES["legacy"]))
    if not names:
        yield Finding.of(
            "no-databases", "There are no certificate databases here, so no certificates either."
        )
        return
    yield from _of_half(current or old, DATABASES["sqlite" if current else "legacy"])
    if not current:
        yield Finding.of(
            "legacy-databases",
            f"The databases here, {' and '.join(sorted(old))}, are of Firefox 57 or earlier."
            " nssbackup reads them as they are; a current Firefox doesn't any more.",
        )
    elif old:
        yield Finding.of(
            "older-databases",
            f"Databases of Firefox 57 or earlier are here, too ({' and '.join(sorted(old))}). Only"
            f" the newer ones are looked at ({' and '.join(sorted(current))}), as Firefox 58 and"
            " later do.",
            "If a certificate is missing, it may be in the older ones: copy cert8.db and key3.db to"
            " a new folder, and give that with `--profile FOLDER`.",
        )


def _of_half(names: set[str], pair: tuple[str, str]) -> Iterator[Finding]:
    """What to say where one database of a generation's two is missing."""
    certificates, keys = pair
    if names == {keys}:
        yield Finding.of(
            "keys-only",
            f"Only {keys} is here, the database of the private keys. The one of the certificates,"
            f" {certificates}, is missing.",
            f"Look for the {certificates} that was beside it, for instance in an older copy of the"
            " profile.",
        )
    elif names == {certificates}:
        yield Finding.of(
            "certificates-only",
            f"Only {certificates} is here, the database of the certificates. The one of the private"
            f" keys, {keys}, is missing, and without it none of these certificates can be backed"
            " up.",
            f"Look for the {keys} that was beside it, for instance in an older copy of the"
            " profile.",
        )


def _of_lock(one: Examined) -> Iterator[Finding]:
    if one.profile.in_use:
        yield Finding.of(
            "in-use",
            sentence(f"{one.program} has this profile open now. It can be read all the same"),
        )
    elif one.profile.in_use is None:
        yield Finding.of(
            "perhaps-in-use",
            sentence(
                f"{one.program} may have this profile open now, perhaps on another computer. It can"
                " be read all the same"
            ),
        )
