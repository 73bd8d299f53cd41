"""State: what a run leaves for the next, one file a user.

A file with its final name was verified when it was written, and its SHA-256 stands here before it
gets that name. So the hash alone proves that it still verifies; the password, which may be in
escrow, is not needed. What a killed run had finished is found again the same way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nssbackup.batch.naming import STATE_FOLDER
from nssbackup.batch.report import BatchItem
from nssbackup.pkcs12.ber import FILE_BYTES
from nssbackup.system.files import write_verified

_VERSION = 1
_ENDING = ".json"
# A user with a hundred identities needs 300 kB. What JSON makes of a byte takes up to thirty.
_MAX_BYTES = 4 * 1024 * 1024

_PLAIN = ("wanted", "places", "facts", "looked", "until", "selected", "notes")
_ROW = BatchItem("failed", host="", user="").to_json().keys()
# What a row is put in its place by.
_IDENTITY = {"status", "not_after"}


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that was written for an identity.

    Attributes:
        file: its name in the user's folder.
        sha256: of the file.
        size: in bytes.
        content: what was to be in it, as a hash: certificate, chain, name and encryption.
        item: what the report says of it, but for what another night may say otherwise.
    """

    file: str
    sha256: str
    size: int
    content: str
    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """All that is known of a user's backups.

    Attributes:
        wanted: what was asked for, as a hash: other wishes find nothing done.
        places: the homes and folders that were looked into.
        facts: what has to be as it was for nothing to have changed; empty if that can't be told.
        looked: when it was last looked for profiles in all places, in seconds since 1970.
        until: when the first of the certificates changes by time alone, as by its end.
        selected: the keys of `files` that the last run found, and no other.
        files: by the identity's fingerprint and the format.
        notes: what the last run had to say that is about none of them.
    """

    wanted: str
    places: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    looked: float = 0.0
    until: float = 0.0
    selected: tuple[str, ...] = ()
    files: Mapping[str, Kept] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def state_path(folder: Path, user_folder: str) -> str:
    """Where a user's state lies."""
    return os.path.join(folder, STATE_FOLDER, f"{user_folder}{_ENDING}")  # noqa: PTH118 - as text: thousands


def users(folder: Path) -> list[str]:
    """The folders of the users that there is a state of, in no order."""
    try:
        names = os.listdir(folder / STATE_FOLDER)  # noqa: PTH208 - as text: thousands
    except OSError:
        return []
    return [name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)]


def load(path: str) -> State | None:
    """A user's state; None where there is none, or none that is of use."""
    data = read_whole(path, _MAX_BYTES)
    if data is None:
        return None
    try:
        return _parsed(json.loads(data))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return None


def save(path: str, state: State) -> None:
    """Put a state in the place of the one before, at once and for good.

    Raises:
        OutputError: it can't be written.
    """
    document = {
        "version": _VERSION,
        **{name: getattr(state, name) for name in _PLAIN},
        "files": {key: asdict(kept) for key, kept in state.files.items()},
    }
    write_verified(Path(path), json.dumps(document).encode("ascii"), lambda _: None, replace=True)


def is_intact(folder: str, kept: Kept) -> bool:
    """Whether a file is there as it was when it was verified."""
    data = read_whole(os.path.join(folder, kept.file), FILE_BYTES)  # noqa: PTH118 - as text: thousands
    return data is not None and hashlib.sha256(data).hexdigest() == kept.sha256


def item_of(kept: Kept, host: str) -> BatchItem:
    """The row of a file that is there and of which nothing has changed."""
    return BatchItem.of_json({**kept.item, "status": "unchanged", "host": host})


def read_whole(path: str, limit: int) -> bytes | None:
    """The bytes of a regular file of no more than so many; None for anything else."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(path, flags)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > limit:
                return None
            data = os.read(descriptor, facts.st_size)
            while len(data) < facts.st_size:
                part = os.read(descriptor, facts.st_size - len(data))
                if not part:
                    return None  # it was cut meanwhile
                data += part
            return data
        finally:
            os.close(descriptor)
    return None


def _is_usable(row: Mapping[str, Any]) -> bool:
    """Whether a row can be put in its place in a report."""
    identity = row["identity"]
    return (
        row.keys() <= _ROW  # an earlier version knew fewer
        and isinstance(row["user"], str)
        and all(
            isinstance(row.get(name) or "", str) for name in ("home", "profile", "file", "sha256")
        )
        and isinstance(row["expiring"], bool)
        and isinstance(row["warnings"], list)
        and (identity is None or identity.keys() >= _IDENTITY)
    )


def _parsed(document: Any) -> State | None:  # noqa: ANN401 - JSON of unknown make
    if document["version"] != _VERSION:
        return None
    files = {str(key): Kept(**kept) for key, kept in document["files"].items()}
    # What could lead out of the user's folder was not written here.
    if any(os.path.basename(kept.file) != kept.file or not kept.item for kept in files.values()):  # noqa: PTH119 - as text: thousands
        return None
    selected = tuple(document["selected"])
    if not set(selected) <= set(files):
        return None
    if not all(_is_usable(kept.item) for kept in files.values()):
        return None
    return State(
        wanted=document["wanted"],
        places=tuple(document["places"]),
        facts=dict(document["facts"]),
        looked=float(document["looked"]),
        until=float(document["until"]),
        selected=selected,
        files=files,
        notes=tuple(str(note) for note in document.get("notes", ())),  # an earlier version had none
    )
