"""The folders of a Linux desktop, which are called differently in every language.

`XDG_DESKTOP_DIR="$HOME/Bureau"` and the like in `user-dirs.dirs`, as xdg-user-dirs writes them and
mozilla/gecko-dev:xpcom/io/SpecialSystemDirectory.cpp reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nssbackup.profiles.bases import CONFIG
from nssbackup.profiles.folder import is_folder
from nssbackup.profiles.system import System, path_text
from nssbackup.system.reading import read_bounded

_FILE = "user-dirs.dirs"
_SIZE_LIMIT = 1 << 16


def settings_files(system: System) -> Iterator[Path]:
    """The files that may say what those folders are called, which need not exist."""
    return (Path(folder) / _FILE for folder in CONFIG.folders(system))


def user_folders(name: str, system: System) -> Iterator[Path]:
    """Each folder that the user's settings give for a name such as DESKTOP, and that is there.

    No shell is asked: `$HOME` at the beginning is all that the format knows.
    """
    line = re.compile(
        rb'^[ \t]*XDG_%b_DIR[ \t]*=[ \t]*"(\$HOME)?((?:/(?:\\.|[^"\\\n])*)?)"' % name.encode(),
        re.MULTILINE,
    )
    for path in settings_files(system):
        try:
            text = read_bounded(path, _SIZE_LIMIT) if system.holds(path) else b""
        except OSError:
            continue
        for from_home, value in line.findall(text):
            unescaped = path_text(re.sub(rb"\\(.)", rb"\1", value))
            named = system.home / unescaped.lstrip("/") if from_home else system.path(unescaped)
            found = system.brought_home(named) if named.is_absolute() else None
            if found is not None and is_folder(found):
                yield found
