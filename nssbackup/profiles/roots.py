"""The table of roots: the folders in which applications keep their profiles.

Hand-written, because no library knows them. Another application, or another folder of one, is
another row; nothing else changes. Most machines have one or two of these folders.

Sources: mozilla/enterprise-firefox:toolkit/xre/nsXREDirProvider.cpp for the rule that makes most of
the folders from vendor and name, for `MOZ_APP_DATA` and for the XDG rule (since Firefox 147);
canonical/firefox-snap:firefox.launcher for the snap; nss-dev/nss:lib/sysinit/nsssysinit.c and
GNOME/evolution-data-server:src/camel/camel.c for the databases without a list. The other folders
are reported by users and other programs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import Path, PurePath

from nssbackup.errors import UsageError
from nssbackup.profiles.folder import subfolders
from nssbackup.profiles.system import Platform, System

_PLATFORMS: tuple[Platform, ...] = ("linux", "darwin", "win32")

# A pattern fits one folder on most machines; this stops one that fits thousands.
MATCH_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Base:
    """An environment variable that names a folder, and the folder it stands for if it is not set.

    Both are searched if they differ: this shell's variable need not be that of the desktop
    session, and it may have been set after the application was started. Either may be None.
    """

    variable: str | None
    below_home: str | None

    def folders(self, system: System) -> tuple[PurePath, ...]:
        """Return the folders on that system, each once; they need not exist."""
        folders: list[PurePath] = []
        if self.variable is not None:
            path = system.path(system.variable(self.variable))
            # The XDG Base Directory Specification says to ignore a relative value: the result
            # would depend on the current folder.
            if path.is_absolute():
                folders.append(path)
        if self.below_home is not None:
            folders.append(system.home / self.below_home)
        return tuple(dict.fromkeys(folders))


HOME = Base(None, "")
CONFIG = Base("XDG_CONFIG_HOME", ".config")
DATA = Base("XDG_DATA_HOME", ".local/share")
ROAMING = Base("APPDATA", "AppData/Roaming")
LOCAL = Base("LOCALAPPDATA", "AppData/Local")
SUPPORT = Base(None, "Library/Application Support")


@dataclass(frozen=True, slots=True)
class Root:
    """A folder with profiles, and the application that put them there.

    `bare`: the folder is itself the profile; it holds databases and is in no list.
    """

    application: str
    path: Path
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """Where a root may be: `below` the folder `base`; a name in it may be a pattern."""

    application: str
    base: PurePath
    below: str
    bare: bool

    @property
    def path(self) -> PurePath:
        """The whole path, with its patterns."""
        return self.base / self.below


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table.

    `below` has `/` on every platform. A name in it with `*` or `[` is a pattern of `fnmatch` in
    which letter case does not count. A name of unsure case is written as a pattern on macOS, whose
    file system would show one folder under both spellings.
    """

    application: str
    platform: Platform
    base: Base
    below: str
    bare: bool = False


# Variables that name a folder outright.
_APP_DATA = Base("MOZ_APP_DATA", None)
_OFFICE = Base("MOZILLA_CERTIFICATE_FOLDER", None)

_FLATPAK_LIBREWOLF = ".var/app/io.gitlab.librewolf-community"
_FLATPAK_TOR = ".var/app/org.torproject.torbrowser-launcher/data"
_GROUPED = "Library/Application Support/Profiles"
_STORE = "LocalCache/Roaming"
_TOR = "Browser/TorBrowser/Data/Browser"

_ROWS = (
    # On Linux Firefox uses one of the first two folders: the former if that exists already.
    _Row("Firefox", "linux", HOME, ".mozilla/firefox"),
    _Row("Firefox", "linux", CONFIG, "mozilla/firefox"),
    _Row("Firefox", "linux", HOME, "snap/firefox/common/.mozilla/firefox"),
    _Row("Firefox", "linux", HOME, "snap/firefox/common/.config/mozilla/firefox"),
    _Row("Firefox", "linux", HOME, ".var/app/org.mozilla.firefox/.mozilla/firefox"),
    _Row("Firefox", "linux", HOME, ".var/app/org.mozilla.firefox/config/mozilla/firefox"),
    _Row("Firefox", "linux", HOME, ".var/app/org.mozilla.firefox/.config/mozilla/firefox"),
    _Row("Firefox", "darwin", SUPPORT, "Firefox"),
    # With MOZ_APP_GROUP the profiles are here; their list stays in the folder above.
    _Row("Firefox", "darwin", HOME, f"Library/Group Containers/*mozilla*/{_GROUPED}"),
    _Row("Firefox", "win32", ROAMING, "Mozilla/Firefox"),
    # From the Microsoft Store: such an application takes this folder for %APPDATA%.
    _Row("Firefox", "win32", LOCAL, f"Packages/Mozilla.Firefox*_*/{_STORE}/Mozilla/Firefox"),
    _Row("Thunderbird", "linux", HOME, ".thunderbird"),
    _Row("Thunderbird", "linux", CONFIG, "thunderbird"),
    _Row("Thunderbird", "linux", HOME, "snap/thunderbird/common/.thunderbird"),
    _Row("Thunderbird", "linux", HOME, ".var/app/org.mozilla.[t]hunderbird/.thunderbird"),
    _Row("Thunderbird", "darwin", HOME, "Library/Thunderbird"),
    _Row("Thunderbird", "win32", ROAMING, "Thunderbird"),
    _Row("Thunderbird", "win32", LOCAL, f"Packages/Mozilla*Thunderbird*_*/{_STORE}/Thunderbird"),
    _Row("SeaMonkey", "linux", HOME, ".mozilla/seamonkey"),
    _Row("SeaMonkey", "linux", CONFIG, "mozilla/seamonkey"),
    _Row("SeaMonkey", "darwin", SUPPORT, "SeaMonkey"),
    _Row("SeaMonkey", "win32", ROAMING, "Mozilla/SeaMonkey"),
    _Row("IceCat", "linux", HOME, ".mozilla/icecat"),
    _Row("IceCat", "linux", CONFIG, "mozilla/icecat"),
    _Row("IceCat", "darwin", SUPPORT, "[i]cecat"),
    _Row("IceCat", "win32", ROAMING, "Mozilla/icecat"),
    _Row("LibreWolf", "linux", HOME, ".librewolf"),
    _Row("LibreWolf", "linux", CONFIG, "librewolf/librewolf"),
    _Row("LibreWolf", "linux", HOME, f"{_FLATPAK_LIBREWOLF}/.librewolf"),
    _Row("LibreWolf", "linux", HOME, f"{_FLATPAK_LIBREWOLF}/config/librewolf/librewolf"),
    _Row("LibreWolf", "darwin", SUPPORT, "LibreWolf"),
    _Row("LibreWolf", "win32", ROAMING, "librewolf"),
    _Row("LibreWolf", "win32", LOCAL, f"Packages/*.LibreWolf_*/{_STORE}/librewolf"),
    _Row("Waterfox", "linux", HOME, ".waterfox"),
    _Row("Waterfox", "linux", HOME, ".var/app/net.waterfox.waterfox/.waterfox"),
    _Row("Waterfox", "darwin", SUPPORT, "Waterfox"),
    _Row("Waterfox", "darwin", HOME, f"Library/Group Containers/*waterfox*/{_GROUPED}"),
    _Row("Waterfox", "win32", ROAMING, "Waterfox"),
    _Row("Floorp", "linux", HOME, ".floorp"),
    _Row("Floorp", "linux", CONFIG, "floorp"),
    _Row("Floorp", "linux", HOME, ".var/app/one.ablaze.floorp/.floorp"),
    _Row("Floorp", "darwin", SUPPORT, "Floorp"),
    _Row("Floorp", "win32", ROAMING, "Floorp"),
    _Row("Zen", "linux", HOME, ".zen"),
    _Row("Zen", "linux", CONFIG, "zen"),
    _Row("Zen", "linux", HOME, ".var/app/app.zen_browser.zen/.zen"),
    _Row("Zen", "linux", HOME, ".var/app/io.github.zen_browser.zen/.zen"),
    _Row("Zen", "darwin", SUPPORT, "[z]en"),
    _Row("Zen", "win32", ROAMING, "zen"),
    _Row("CachyOS Browser", "linux", HOME, ".cachy"),
    _Row("Pale Moon", "linux", HOME, ".moonchild productions/pale moon"),
    _Row("Pale Moon", "darwin", SUPPORT, "Pale Moon"),
    _Row("Pale Moon", "win32", ROAMING, "Moonchild Productions/Pale Moon"),
    _Row("Basilisk", "linux", HOME, ".moonchild productions/basilisk"),
    _Row("Basilisk", "linux", HOME, ".basilisk-dev/basilisk"),
    _Row("Basilisk", "darwin", SUPPORT, "Basilisk"),
    _Row("Basilisk", "win32", ROAMING, "Basilisk-Dev/Basilisk"),
    _Row("Basilisk", "win32", ROAMING, "Moonchild Productions/Basilisk"),
    # These two keep their profiles in the folder that they were unpacked in.
    _Row("Tor Browser", "linux", DATA, f"torbrowser/tbb/*/tor-browser*/{_TOR}"),
    _Row("Tor Browser", "linux", HOME, f"{_FLATPAK_TOR}/torbrowser/tbb/*/tor-browser*/{_TOR}"),
    _Row("Tor Browser", "linux", HOME, f"tor-browser*/{_TOR}"),
    _Row("Tor Browser", "darwin", SUPPORT, "TorBrowser-Data/Browser"),
    _Row("Tor Browser", "win32", HOME, f"Desktop/Tor Browser/{_TOR}"),
    _Row("Mullvad Browser", "linux", HOME, ".mullvad/mullvadbrowser"),
    _Row("Mullvad Browser", "linux", DATA, "mullvad-browser*/Browser/*/Data/Browser"),
    _Row("Mullvad Browser", "darwin", SUPPORT, "MullvadBrowser"),
    _Row("Mullvad Browser", "win32", ROAMING, "Mullvad/MullvadBrowser"),
    # Shared by programs on Linux: Chromium and its relatives, Evolution and others.
    _Row("Chromium", "linux", HOME, ".pki/nssdb", bare=True),
    _Row("Chromium", "linux", DATA, "pki/nssdb", bare=True),
    _Row("Chromium", "linux", HOME, "snap/chromium/*/.pki/nssdb", bare=True),
    _Row("Chromium", "linux", HOME, "snap/chromium/*/.local/share/pki/nssdb", bare=True),
    _Row("Chromium", "linux", HOME, ".var/app/*/.pki/nssdb", bare=True),
    _Row("Chromium", "linux", HOME, ".var/app/*/data/pki/nssdb", bare=True),
    # Evolution's own, before it shared, and on Windows.
    _Row("Evolution", "linux", DATA, "evolution", bare=True),
    _Row("Evolution", "win32", LOCAL, "evolution", bare=True),
    # LibreOffice signs with another application's profile, or with this one.
    _Row("LibreOffice", "linux", CONFIG, "libreoffice", bare=True),
    *(_Row("LibreOffice", platform, _OFFICE, "", bare=True) for platform in _PLATFORMS),
    # Last, so that a folder that the table names keeps that name.
    *(_Row("Firefox", platform, _APP_DATA, "") for platform in _PLATFORMS),
)

# Other names of the applications, and names of programs that share a database.
_ALSO_CALLED = {
    "Mozilla Firefox": "Firefox",
    "Mozilla Thunderbird": "Thunderbird",
    "Cachy": "CachyOS Browser",
    "CachyOS": "CachyOS Browser",
    "GNU IceCat": "IceCat",
    "Tor": "Tor Browser",
    "Mullvad": "Mullvad Browser",
    "Brave": "Chromium",
    "Chrome": "Chromium",
    "Edge": "Chromium",
    "Evolution": "Chromium",
    "Google Chrome": "Chromium",
    "Microsoft Edge": "Chromium",
    "Opera": "Chromium",
    "Vivaldi": "Chromium",
}


def applications_named(names: Iterable[str]) -> frozenset[str]:
    """Return the applications with these names; letter case, blanks and hyphens don't count.

    Raises:
        UsageError: a name is unknown; the hint lists those that are known.
    """
    known: dict[str, set[str]] = {}
    for name, application in (*((row.application,) * 2 for row in _ROWS), *_ALSO_CALLED.items()):
        known.setdefault(_folded(name), set()).add(application)
    found: set[str] = set()
    for name in names:
        if _folded(name) not in known:
            message = f"nssbackup knows no application `{name}`"
            applications = sorted({row.application for row in _ROWS})
            raise UsageError(message, hint=f"it knows {', '.join(applications)}")
        found |= known[_folded(name)]
    return frozenset(found)


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def application_in(text: str) -> str | None:
    """Return the application whose name is a word of the text, or None."""
    for application in dict.fromkeys(row.application for row in _ROWS):
        # Japanese and Chinese have no blanks.
        if re.search(rf"(?<![a-z]){re.escape(application)}(?![a-z])", text, re.IGNORECASE):
            return application
    return None


def candidate_roots(system: System) -> tuple[Candidate, ...]:
    """Return every folder of the table for a system, in the table's order, each once.

    They need not exist: the file system is not asked.
    """
    folders = cache(lambda base: base.folders(system))
    candidates: dict[tuple[PurePath, str], Candidate] = {}
    for row in _ROWS:
        if row.platform == system.platform:
            for base in folders(row.base):
                candidate = Candidate(row.application, base, row.below, row.bare)
                candidates.setdefault((base, row.below), candidate)
    return tuple(candidates.values())


def find_roots(system: System) -> Iterator[Root]:
    """Yield every existing root, in the table's order; a folder may come by several paths."""
    for candidate in candidate_roots(system):
        for path in _folders_at(Path(candidate.base), candidate.below, system):
            yield Root(candidate.application, path, candidate.bare)


def _folders_at(base: Path, below: str, system: System) -> Sequence[Path]:
    """Return the folders in `base` that fit the pattern `below`."""
    found = [base]
    literal: list[str] = []
    for name in below.split("/"):
        if not any(sign in name for sign in "*["):
            literal.append(name)
            continue
        parents = [folder.joinpath(*literal) for folder in found]
        found = [one for parent in parents for one in _fitting(parent, name, system)][:MATCH_LIMIT]
        literal = []
    found = [folder.joinpath(*literal) for folder in found]
    return [folder for folder in found if os.path.isdir(folder)]


def _fitting(parent: Path, pattern: str, system: System) -> list[Path]:
    fits = re.compile(translate(pattern), re.IGNORECASE).match
    return [folder for folder in subfolders(parent, system) if fits(folder.name)]
