"""What one run leaves for the next, in one file per user.

A file with its final name was verified when it was written, and its SHA-256 is here before it gets
that name. So the hash alone proves that it still verifies; its password is not needed. What a
killed run had finished is recognised in the same way.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nssbackup.batch.layout import STATE_FOLDER
from nssbackup.batch.report import BatchItem, HomeResult, home_of, item_of, texts
from nssbackup.identity.model import Profile
from nssbackup.pkcs12.safes import FILE_BYTES
from nssbackup.profiles.folder import DATABASES
from nssbackup.system.files import write_verified
from nssbackup.system.ownership import as_owner
from nssbackup.system.reading import read_bounded
from nssbackup.system.snapshot import MAX_BYTES

_VERSION = 1
_ENDING = ".json"
# A user with a hundred certificates needs 300 kB. JSON takes up to thirty times that in memory.
_MAX_BYTES = 4 * 1024 * 1024
_INVALID = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_JOURNALS = ("", "-journal", "-wal")


@dataclass(frozen=True, slots=True)
class WrittenBackup:
    """A file that was written for an identity.

    Attributes:
        file: its name in the user's folder.
        content: a hash of what was to be in it: certificates, name and protection.
        profile: the folder that the key came from.
    """

    file: str
    sha256: str
    size: int
    content: str
    profile: str | None = None

    @classmethod
    def of(cls, file: str, data: bytes, content: str, profile: str | None) -> WrittenBackup:
        """Describe a file that holds these bytes."""
        return cls(file, hashlib.sha256(data).hexdigest(), len(data), content, profile)

    def is_intact(self, folder: Path) -> bool:
        """Tell whether the file is still there as it was verified."""
        try:
            data = read_bounded(folder / self.file, FILE_BYTES)
        except OSError:
            return False
        return hashlib.sha256(data).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class HomeRecord:
    """A home in which certificates were found that are backed up.

    Attributes:
        root: the root under which it was found.
        selection: the fingerprint of the options that chose the certificates.
        certificates: the purpose (see `search.purpose_of`) and display name of each, by SHA-256.
    """

    home: str
    user: str
    root: str
    selection: str
    certificates: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class LastRun:
    """The result of a run in which nothing failed, and what it depends on.

    Attributes:
        context: a hash of the options, the roots and the homes.
        databases: the hash of each profile's databases.
        searched_left_behind: whether profiles that a refresh left behind were searched for.
        until: when time alone changes the result, as by the end of a certificate; seconds since
            1970.
    """

    context: str
    databases: Mapping[str, str]
    searched_left_behind: bool
    until: float
    items: tuple[BatchItem, ...] = ()
    homes: tuple[HomeResult, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a user's backups.

    Attributes:
        files: by the identity's fingerprint and the format.
        last_run: None if something failed in it.
    """

    files: Mapping[str, WrittenBackup] = field(default_factory=dict)
    homes: tuple[HomeRecord, ...] = ()
    last_run: LastRun | None = None


def state_path(folder: Path, user_folder: str) -> Path:
    """Return where a user's state lies."""
    return folder / STATE_FOLDER / f"{user_folder}{_ENDING}"


def known_users(folder: Path) -> list[str]:
    """Return the folders of the users that have a state, in no order."""
    try:
        paths = list((folder / STATE_FOLDER).iterdir())
    except OSError:
        return []
    return [path.stem for path in paths if path.suffix == _ENDING]


def load(path: Path) -> State:
    """Return a user's state; an empty one if it is missing or invalid."""
    try:
        document = json.loads(read_bounded(path, _MAX_BYTES))
        if document["version"] != _VERSION:
            return State()
        files = {key: _backup(value) for key, value in document["files"].items()}
        homes = tuple(map(_home_record, document.get("homes", ())))
    except (OSError, *_INVALID):
        return State()
    try:
        return State(files, homes, _last_run(document["last_run"]))
    except _INVALID:  # or none, or one of an earlier version
        return State(files, homes)


def save(path: Path, state: State) -> None:
    """Replace a user's state on the disk.

    Raises:
        OutputError: it can't be written.
    """
    run = state.last_run
    document = {
        "version": _VERSION,
        "files": {key: asdict(backup) for key, backup in state.files.items()},
        "homes": [asdict(home) for home in state.homes],
        "last_run": run
        and {
            "context": run.context,
            "databases": dict(run.databases),
            "searched_left_behind": run.searched_left_behind,
            "until": run.until,
            "items": [item.to_json() for item in run.items],
            "homes": [home.to_json() for home in run.homes],
        },
    }
    write_verified(path, json.dumps(document).encode("ascii"), lambda _: None, replace=True)


def hash_databases(profiles: Sequence[Profile]) -> dict[str, str]:
    """Return the hash of each profile's databases and their journals.

    A file that can't be read counts as missing: reading the profile will say so.
    """
    return {str(profile.path): _hash(profile) for profile in profiles}


def _hash(profile: Profile) -> str:
    digest = hashlib.sha256()
    with as_owner(profile.path):
        for name in itertools.chain(*DATABASES.values()):
            for journal in _JOURNALS:
                try:
                    data = read_bounded(profile.path / f"{name}{journal}", MAX_BYTES)
                except OSError:
                    data = b""
                digest.update(b"%d " % len(data) + data)
    return digest.hexdigest()


def _backup(document: Any) -> WrittenBackup:
    name = document["file"]
    if Path(name).name != name:  # it would lead out of the user's folder
        raise ValueError(name)
    # An earlier version recorded the item instead of the profile.
    profile = document.get("profile", (document.get("item") or {}).get("profile"))
    if not all(isinstance(document[key], str) for key in ("sha256", "content")):
        raise ValueError(name)
    return WrittenBackup(
        name, document["sha256"], int(document["size"]), document["content"], profile
    )


def _home_record(document: Any) -> HomeRecord:
    home, user, root, selection = texts(
        [document[key] for key in ("home", "user", "root", "selection")]
    )
    certificates = {key: texts(names) for key, names in document["certificates"].items()}
    named = {key: (purpose, name) for key, (purpose, name) in certificates.items()}
    return HomeRecord(home, user, root, selection, named)


def _last_run(document: Any) -> LastRun:
    return LastRun(
        context=document["context"],
        databases=dict(document["databases"]),
        searched_left_behind=document["searched_left_behind"] is True,
        until=float(document["until"]),
        items=tuple(map(item_of, document["items"])),
        homes=tuple(map(home_of, document["homes"])),
    )
