"""System: what the search has to know about the machine, as one value.

The search takes it as a parameter, so that the rules of all three systems run on any of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Literal

Platform = Literal["linux", "darwin", "win32"]


@dataclass(frozen=True, slots=True)
class System:
    """A platform, a user's home folder and that user's environment.

    Attributes:
        platform: whose rules apply; "linux" stands for every Unix but macOS.
        home: the user's home folder. Its class decides how paths are written: a
            `PureWindowsPath` gives Windows paths anywhere, for looking at but not for opening.
        environment: the environment variables.
        ansi: the codec of Windows' ANSI code page, which old lists were written in. Python has
            "mbcs" on Windows only; no other platform asks for it.
    """

    platform: Platform
    home: PurePath
    environment: Mapping[str, str]
    ansi: str = "mbcs"

    @classmethod
    def current(cls) -> System:
        """The machine, user and environment of this process."""
        # Not Path.home(): that raises where no home is known, and this merely finds nothing.
        home = Path(os.path.expanduser("~")).absolute()  # noqa: PTH111
        return cls(_platform(sys.platform), home, MappingProxyType(dict(os.environ)))

    def path(self, text: str) -> PurePath:
        """`text` as a path of this system."""
        return type(self.home)(text)


def _platform(name: str) -> Platform:
    if name == "win32":
        return "win32"
    if name == "darwin":
        return "darwin"
    return "linux"
