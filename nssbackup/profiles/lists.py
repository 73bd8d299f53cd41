r"""The lists of a root: `profiles.ini`, `installs.ini`, and the databases of profile groups.

The INI grammar is that of mozilla/gecko-dev:xpcom/base/nsINIParser.cpp, which no option of
`configparser` gives:

- UTF-8, with or without a byte order mark, or UTF-16LE with one; a NUL ends the file;
- lines end with any run of `\r` and `\n`; `#` or `;` in column 0 makes a comment; blanks and tabs
  before anything else are skipped;
- `[name]` opens a section, and a missing `]` is forgiven; if more follows the `]`, the lines up to
  the next section are ignored;
- a key runs to the first `=`, the rest of the line is its value, neither is trimmed, and letter
  case counts;
- a repeated section continues the first one; of a repeated key the last value counts;
- everything else is ignored, so there are no syntax errors.

The entries are those of mozilla/enterprise-firefox:toolkit/profile/nsToolkitProfileService.cpp,
with paths as in xpcom/io/nsLocalFileCommon.cpp (relative) and Get/SetPersistentDescriptor in
nsLocalFileUnix, nsLocalFileWin and nsLocalFileOSX (absolute).

A group has profiles that the user made within Firefox 138 or later, each in a row of
`Profile Groups/<StoreID>.sqlite`. `profiles.ini` has one entry for the whole group, naming the
member whose window was last in front; the others are in no list. The link between the two may be
lost, so every database is read. The table, its columns, `\` on Windows, and that later versions
change the schema compatibly are from browser/components/profiles/SelectableProfileService.sys.mjs
and toolkit/profile/ProfilesDatastoreService.sys.mjs of simon-friedberger/enterprise-firefox.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath

from nssbackup.errors import NssBackupError
from nssbackup.profiles.folder import INSTALLS_LIST, PROFILES_LIST
from nssbackup.profiles.system import System, path_text
from nssbackup.system.reading import Budget, read_bounded

Sections = Mapping[str, Mapping[str, str]]

# A list of a thousand profiles has 100 KiB.
SIZE_LIMIT = 1 << 20

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16LE_MARK = b"\xff\xfe"
_BLANKS = b" \t"

GROUPS_FOLDER = "Profile Groups"

# A root has a group or two, of a handful of profiles each.
FILE_LIMIT = 50
ROW_LIMIT = 1_000
PATH_BYTES = 4_096
NAME_BYTES = 1_024

_SCAN_LIMIT = 10_000
# Processor time for one database and for all. Reading takes microseconds; this stops a database
# that was made to be read forever.
_READ_SECONDS = 0.5
_SECONDS_IN_ALL = 3.0
# By the clock, because a locked database is waited for. After this no other one is opened.
_PATIENCE = 10.0

_DRIVE = re.compile("[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class ListedProfile:
    """One entry of a list.

    Attributes:
        path: the folder, which need not exist; it may contain `..`.
        name: the profile's name; empty if the entry has none.
        install_default: whether an installation of the application starts with it.
        marked_default: whether it has `Default=1`, which counts if there is no install default.
    """

    path: PurePath
    name: str = ""
    install_default: bool = False
    marked_default: bool = False


def read_lists(root: Path, system: System) -> tuple[ListedProfile, ...]:
    """Return every entry of a root's INI files; a folder may occur repeatedly.

    A list that is missing or unreadable counts as empty.
    """
    profiles = _read(root / PROFILES_LIST, system)
    return (*_profiles(profiles, root, system), *_install_defaults(profiles, root, system))


def _read(path: Path, system: System) -> Sections:
    try:
        return read_ini(path) if system.holds(path) else {}
    except OSError:
        return {}


def _profiles(sections: Sections, root: Path, system: System) -> Iterator[ListedProfile]:
    # Firefox stops at the first gap in Profile0, Profile1, ...; the profile with the certificate
    # may be behind one.
    for section, entry in sections.items():
        if not section.startswith("Profile"):
            continue
        path = listed_path(
            entry.get("Path", ""), root, system, relative=entry.get("IsRelative") == "1"
        )
        if path is not None:
            marked = entry.get("Default") == "1"
            name = _native(entry.get("Name", ""), system)
            yield ListedProfile(path, name, marked_default=marked)


def _install_defaults(sections: Sections, root: Path, system: System) -> Iterator[ListedProfile]:
    installs = [entry for section, entry in sections.items() if section.startswith("Install")]
    if not installs:
        # The copy of those sections, kept because a Firefox before 67 rewrites `profiles.ini`
        # without them. It may be older than the sections.
        installs = list(_read(root / INSTALLS_LIST, system).values())
    for entry in installs:
        value = entry.get("Default", "")
        # Written like the profile's `Path`, but without an `IsRelative` beside it.
        relative = not system.path(value).is_absolute()
        path = listed_path(value, root, system, relative=relative)
        if path is not None:
            yield ListedProfile(path, install_default=True)


def listed_path(value: str, root: PurePath, system: System, *, relative: bool) -> PurePath | None:
    """Return the folder that a list's value names, or None if that is unknown.

    A relative value is relative to the root, has `/` on every platform and may climb with `../`.
    An absolute one is in the platform's form; on macOS it may be a base64 alias record of the old
    file manager, which is not decoded here: the scan finds those inside the root.
    """
    if not value:
        return None
    native = _native(value, system)
    if relative:
        # On Windows a step such as `D:x` would lead to the current folder of another drive.
        foreign = system.platform == "win32" and ":" in native
        return None if foreign else root.joinpath(*native.strip("/").split("/"))
    if native.startswith("~/") and system.platform == "darwin":
        return system.home.joinpath(native[2:])
    path = system.path(native)
    return path if path.is_absolute() else None


def _native(value: str, system: System) -> str:
    """Return a value of the INI file as the text by which Python opens the path."""
    raw = value.encode("utf-8", "surrogateescape")
    if system.platform != "win32":
        # The bytes are the path, in the encoding of the file system.
        return path_text(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode(system.ansi, "replace")


def read_ini(path: Path) -> Sections:
    """Return the sections of the file at `path`; a symbolic link is followed.

    Raises:
        OSError: the file can't be read, is not a regular file, or is larger than `SIZE_LIMIT`.
    """
    return parse_ini(read_bounded(path, SIZE_LIMIT))


def parse_ini(data: bytes) -> Sections:
    """Return the sections in `data`, each a mapping of its keys to their values.

    Bytes that are not UTF-8 become lone surrogates ("surrogateescape"), so that encoding a value
    the same way gives the original bytes. A section without keys is left out, as in Firefox.
    """
    sections: dict[str, dict[str, str]] = {}
    section: str | None = None
    for line in _lines(data):
        if line.startswith(b"["):
            name, _, rest = line[1:].partition(b"]")
            section = _text(name) if name and not rest.strip(_BLANKS) else None
        elif section is not None:
            key, equals, value = line.partition(b"=")
            if equals and key:
                sections.setdefault(section, {})[_text(key)] = _text(value)
    return sections


def _lines(data: bytes) -> list[bytes]:
    """Return the lines as UTF-8, without comments and leading blanks."""
    if data.startswith(_UTF16LE_MARK):
        whole = len(data) & ~1  # half a character at the end is dropped
        data = data[len(_UTF16LE_MARK) : whole].decode("utf-16-le", "replace").encode()
    text = data.removeprefix(_UTF8_MARK).partition(b"\0")[0]
    lines = text.replace(b"\r", b"\n").split(b"\n")
    # Only in column 0: after a blank, `#` begins a key.
    return [line.lstrip(_BLANKS) for line in lines if not line.startswith((b"#", b";"))]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def read_group_members(root: Path, system: System) -> tuple[ListedProfile, ...]:
    """Return every member of every profile group of a root, with the name that the user sees.

    A member's folder need not exist. A database that is damaged, unreadable or not a group's has no
    members. The databases are left as they are, and nothing is created beside them.
    """
    started, budget = time.monotonic(), Budget(_SECONDS_IN_ALL)
    members: list[ListedProfile] = []
    for database in _databases(root / GROUPS_FOLDER):
        if budget.is_spent() or time.monotonic() - started > _PATIENCE:
            break
        for path, name in _rows(database):
            # UTF-8, as Windows has it; elsewhere the bytes are the path.
            text = (
                path.decode("utf-8", "replace") if system.platform == "win32" else path_text(path)
            )
            folder = member_folder(text, root, system)
            if folder is not None:
                members.append(ListedProfile(folder, name.decode("utf-8", "replace")))
    return tuple(members)


def member_folder(value: str, root: PurePath, system: System) -> PurePath | None:
    r"""Return the folder that a row's path names, or None if that is unknown.

    The path is relative to the root, and `..` removes the name before it, link or not, as in
    Firefox (SelectableProfile.sys.mjs, resolveDir). Windows writes it with `\`; there it may climb
    above the drive and go on with another one: `..\..\..\..\D:\x\y`.
    """
    windows = system.platform == "win32"
    folder: PurePath | None = root
    for step in (value.replace("\\", "/") if windows else value).split("/"):
        if step in ("", "."):
            continue
        if step == "..":
            # None is above the top.
            folder = None if folder is None or folder == folder.parent else folder.parent
        elif folder is not None and not (windows and ":" in step):
            folder /= step
        elif folder is None and windows and _DRIVE.fullmatch(step):
            folder = system.path(f"{step}\\")
        else:
            # Any other colon names a stream of a file or, to Python, begins another path.
            return None
    return None if folder == root or "\0" in value else folder


def _databases(folder: Path) -> list[Path]:
    """Return the databases in the folder of the groups, sorted; [] if unreadable."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in islice(entries, _SCAN_LIMIT)
                if entry.name.lower().endswith(".sqlite")
            ]
    except OSError:
        return []
    return [folder / name for name in sorted(names)[:FILE_LIMIT]]


def _rows(database: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield path and name of each member; nothing if the database can't be read."""
    # Here, because SQLite is slow to load and most roots have no group.
    import sqlite3

    from nssbackup.system.snapshot import take_snapshot
    from nssbackup.system.sqlite import plain_tables

    try:
        snapshot = take_snapshot(database)
        if snapshot is None:
            return
        with closing(snapshot):
            if "Profiles" not in plain_tables(snapshot):
                return
            Budget(_READ_SECONDS).limit(snapshot)
            snapshot.text_factory = bytes  # what it calls text need not be UTF-8
            columns = {row[1] for row in snapshot.execute("PRAGMA table_info('Profiles')")}
            if {b"path", b"name"} <= columns:
                yield from snapshot.execute(
                    "SELECT path,"
                    " CASE WHEN typeof(name) = 'text' AND length(CAST(name AS BLOB)) <= ?"
                    " THEN name ELSE '' END FROM Profiles"
                    " WHERE typeof(path) = 'text' AND length(CAST(path AS BLOB)) <= ? LIMIT ?",
                    (NAME_BYTES, PATH_BYTES, ROW_LIMIT),
                )
    except (NssBackupError, sqlite3.Error, UnicodeError):  # UnicodeError: a damaged schema
        return
