"""A user's home in a temporary folder, filled by a test; and what there is to compare it with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nssbackup.profiles.system import Platform, System

ROOTS: dict[Platform, str] = {
    "linux": ".mozilla/firefox",
    "darwin": "Library/Application Support/Firefox",
    "win32": "AppData/Roaming/Mozilla/Firefox",
}


class Machine:
    """A home folder under the rules of one platform, whatever the test itself runs on."""

    def __init__(self, home: Path, platform: Platform = "linux") -> None:
        self.home = home
        self.platform = platform
        self.root = home / ROOTS[platform]

    def system(self, **environment: str) -> System:
        return System(self.platform, self.home, environment, ansi="cp1252")

    def profile(
        self, name: str | Path, *files: str, root: Path | None = None, started: float | None = None
    ) -> Path:
        """Make a profile's folder with empty files, by default the two of a current store."""
        folder = (root or self.root) / name
        folder.mkdir(parents=True)
        for file in files or ("cert9.db", "key4.db"):
            (folder / file).touch()
        if started is not None:
            (folder / ".parentlock").touch()
            os.utime(folder / ".parentlock", (started, started))
        return folder

    def empty_profile(self, name: str) -> Path:
        return self.profile(name, "prefs.js")

    def write(self, content: str | bytes, name: str = "profiles.ini") -> Path:
        """Make a list in the root."""
        self.root.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (self.root / name).write_bytes(data)
        return self.root / name


def snapshot(top: Path) -> dict[str, tuple[int, int, int]]:
    """Every name below a folder with its mode, size and time of modification."""
    paths = [top, *top.rglob("*")]
    facts = {str(path): path.lstat() for path in paths}
    return {name: (one.st_mode, one.st_size, one.st_mtime_ns) for name, one in facts.items()}


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Take the permission to look into a folder away, from a test that runs as root too."""
    user = os.geteuid()
    folder.chmod(0)
    if user == 0:
        os.seteuid(65534)  # nobody
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
