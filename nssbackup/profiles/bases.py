"""The folders that applications keep their data below: the home, and what variables name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from nssbackup.profiles.system import System


@dataclass(frozen=True, slots=True)
class Base:
    """What an environment variable names, and what it stands for where it is not set.

    Both are looked at where they differ: the variable of this shell need not be that of the
    desktop session, and it may have been set when the application had already been running.
    Either may be None: then there is no such folder.
    """

    variable: str | None
    below_home: str | None

    def folders(self, system: System) -> tuple[PurePath, ...]:
        """The folders on that system, which need not exist; each once."""
        folders: list[PurePath] = []
        if self.variable is not None:
            path = system.path(system.environment.get(self.variable, ""))
            # A relative value would make the result depend on the current folder; the XDG Base
            # Directory Specification says to ignore it too.
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
