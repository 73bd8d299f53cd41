"""Files: which databases a profile has, whether they may be read, and whose they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nssbackup.diagnosis.findings import Case, Examined, Finding, sentence
from nssbackup.diagnosis.settings import listed
from nssbackup.errors import (
    NssBackupError,
    UnreadableStoreError,
    UnsupportedStoreError,
    is_held,
)
from nssbackup.profiles.folder import DATABASES, is_closed
from nssbackup.profiles.roots import candidate_roots
from nssbackup.profiles.system import System
from nssbackup.system.ownership import is_own, owner_name, refusal_hint

# Debian and Ubuntu build NSS's tool with the old format. Firefox's own NSS is built without it.
_CONVERT = (
    "To convert old databases, copy the folder to another place and run NSS's own tool on the copy:"
    " `certutil -K -X -d sql:COPY` (on Debian and Ubuntu it is in the package libnss3-tools). Then"
    " give the copy with `--profile COPY`. A current Firefox can't convert them."
)


def file_findings(one: Examined) -> Iterator[Finding]:
    """Yield what is wrong with a profile's folder and files."""
    folder = one.profile.path
    if one.profile.contents is not None:
        if one.error is not None:
            yield _of_store_error(one, one.error)
        yield from _of_names({name for name in one.profile.contents if "-" not in name})
        return
    if is_closed(folder):
        yield _closed("folder-unreadable", f"The folder `{folder}`", folder, "look into")
        return
    databases = [folder / name for names in DATABASES.values() for name in names]
    databases = [path for path in databases if os.path.isfile(path)]
    closed = [path for path in databases if _may_not_read(path)]
    for path in closed:
        yield _closed("file-unreadable", f"The file `{path}`", path, "read")
    if one.error is not None and not (closed and isinstance(one.error, UnreadableStoreError)):
        yield _of_store_error(one, one.error)
    yield from _of_names({path.name for path in databases})
    yield from _of_lock(one)


def nothing_located(searched: Sequence[str], case: Case) -> Iterator[Finding]:
    """Yield why there is no profile at all."""
    for folder in _closed_folders(case.system):
        what = f"The folder `{folder}`, where profiles may be,"
        yield _closed("root-unreadable", what, folder, "look into")
    names = sorted(case.applications) or ["Firefox", "Thunderbird", "programs like them"]
    keep = "keeps" if len(names) == 1 else "keep"
    if searched:
        found = f"These folders were searched: {listed(f'`{one}`' for one in searched)}."
    else:
        found = f"This user has none of the folders in which {listed(names)} {keep} profiles."
    yield Finding.of(
        "no-profile",
        f"No profile was found. {found}",
        "Give the folder that holds cert9.db and key4.db with `--profile FOLDER`. Firefox shows it"
        " on its page `about:profiles` as the root directory.",
    )


def _closed(code: str, what: str, path: Path, action: str) -> Finding:
    if is_held(os.fspath(path)):
        message = f"{what} is open in another program, which keeps all others out."
        return Finding.of(code, message, sentence(refusal_hint(path)))
    if is_own(path):
        whose = "is yours"
    else:
        owner = owner_name(path)
        whose = f"belongs to the user `{owner}`" if owner else "is protected"
    message = f"{what} {whose}, and you may not {action} it."
    return Finding.of(code, message, sentence(refusal_hint(path)))


def _may_not_read(path: Path) -> bool:
    """Return whether this user may not read a file; asked by opening it, for access lists.

    This process must not have the file open: closing it drops the process's locks.
    """
    try:
        os.close(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _closed_folders(system: System) -> list[Path]:
    """Return the folders on the way to a possible root that this user may not look into."""
    found = []
    for candidate in candidate_roots(system):
        path = Path(candidate.path)
        if is_closed(path):
            # The closed one may be above: then even its contents can't be asked for.
            found.append(next((one for one in (path, *path.parents) if _exists(one)), path))
    return list(dict.fromkeys(found))


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


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
            f"The databases here, {' and '.join(sorted(old))}, are from Firefox 57 or earlier."
            " nssbackup can read them; a current Firefox can't.",
        )
    elif old:
        yield Finding.of(
            "older-databases",
            f"There are also databases from Firefox 57 or earlier ({' and '.join(sorted(old))})."
            f" Only the newer ones are read ({' and '.join(sorted(current))}), as in Firefox 58 and"
            " later.",
            "If a certificate is missing, it may be in the older ones: copy cert8.db and key3.db to"
            " a new folder, and give that with `--profile FOLDER`.",
        )


def _of_half(names: set[str], pair: tuple[str, str]) -> Iterator[Finding]:
    """Yield what to say if one of the two databases is missing."""
    certificates, keys = pair
    if names == {keys}:
        yield Finding.of(
            "keys-only",
            f"Only {keys}, the database of the private keys, is here. The one of the certificates,"
            f" {certificates}, is missing.",
            f"Look for the {certificates} that was beside it, for example in an older copy of the"
            " profile.",
        )
    elif names == {certificates}:
        yield Finding.of(
            "certificates-only",
            f"Only {certificates}, the database of the certificates, is here. The one of the"
            f" private keys, {keys}, is missing; without it no certificate can be backed up.",
            f"Look for the {keys} that was beside it, for example in an older copy of the profile.",
        )


def _of_lock(one: Examined) -> Iterator[Finding]:
    if one.profile.in_use:
        yield Finding.of(
            "in-use", sentence(f"{one.program} has this profile open now; it can still be read")
        )
    elif one.profile.in_use is None:
        yield Finding.of(
            "perhaps-in-use",
            sentence(
                f"it is unknown whether {one.program} has this profile open now, perhaps on"
                " another computer; it can still be read"
            ),
        )
