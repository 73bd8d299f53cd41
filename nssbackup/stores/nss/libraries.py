"""Libraries: where an NSS may be that is newer than the system's.

A current Firefox protects its primary password in a way (SHA-384, NSS 3.118) that an older NSS
does not know: it then calls the right password wrong. Firefox brings its own NSS along, so the
engine uses that where it is the newer one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Absolute and owned by the system: a folder of the user's, or the current one, is never searched.
_FOLDERS = {
    "linux": (
        "/usr/lib/firefox",
        "/usr/lib/firefox-esr",
        "/usr/lib64/firefox",
        "/opt/firefox",
        "/snap/firefox/current/usr/lib/firefox",
        "/var/lib/flatpak/app/org.mozilla.firefox/current/active/files/lib/firefox",
    ),
    "darwin": ("/Applications/Firefox.app/Contents/MacOS",),
}
_NSS = {"linux": "libnss3.so", "darwin": "libnss3.dylib"}
SEARCH_PATH = {"linux": "LD_LIBRARY_PATH", "darwin": "DYLD_LIBRARY_PATH"}

_PLATFORM_FACTS = 4096
_MILESTONE = re.compile(rb"^Milestone=(\d{1,4})\.", re.MULTILINE)


def firefox_libraries(platform: str = sys.platform, root: Path = Path("/")) -> Path | None:
    """The folder of the newest Firefox's libraries, or None where there is no Firefox.

    Args:
        platform: `sys.platform`.
        root: what the absolute paths are below.
    """
    found = [
        (milestone, folder)
        for folder in _folders(platform, root)
        if (milestone := _milestone(folder)) is not None
    ]
    return max(found)[1] if found else None


def _folders(platform: str, root: Path) -> Iterator[Path]:
    for name in _FOLDERS.get(platform, ()):
        folder = root / name.lstrip("/")
        if (folder / _NSS[platform]).is_file():
            yield folder


def _milestone(folder: Path) -> int | None:
    """The number of a Firefox's version, as its `platform.ini` says."""
    # On macOS it lies in Resources, beside MacOS.
    for path in (folder / "platform.ini", folder.parent / "Resources" / "platform.ini"):
        try:
            with path.open("rb") as file:
                found = _MILESTONE.search(file.read(_PLATFORM_FACTS))
        except OSError:
            continue
        if found:
            return int(found[1])
    return None
