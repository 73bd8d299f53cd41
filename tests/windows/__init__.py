"""Windows' own CPython under Wine: where it is, and how it is run.

`python -m tests.windows.install` puts it on a Debian machine. Nothing here imports nssbackup.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"

WHEELS = {
    "3.11": "37acfb92655c4226879f95c988e2ef1449a53c54486d6c1ebc00e2772429af82",
    "3.12": "f6493e2ecc0d1b7c1556a999556e5278cbc9484fe5fe1e159a1ccc02b870b18f",
    "3.13": "0e505261bb58d8402d0099c291f1a3459acfdd38f3e7d666e72aa2e1ea5dc46f",
    "3.14": "0978ca7d2953d37ed3ed8d99abd1ee77bbfc75fe6ea47019d0f5f5dad830d853",
}
"""Python -> SHA-256 of the wheel of panda3d that has Windows' build of it."""


def folder() -> Path:
    """Return the folder that has Windows' build of the running Python, and Wine's files."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache, "nssbackup-tests", f"windows-{MINOR}")


def unsupported() -> str | None:
    """Return why no Windows' Python can be had here whatever is installed; None if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "Windows' Python under Wine needs Linux on x86-64"
    if MINOR not in WHEELS:
        return f"no wheel has Windows' build of Python {MINOR}"
    return None


def missing() -> str | None:
    """Return why Windows' Python can't be run here; None if it can."""
    if shutil.which("wine") is None:
        return "Wine is not installed"
    if not (folder() / "installed").is_file():
        return f"Windows' Python {MINOR} is not installed: `python -m tests.windows.install`"
    return None


def windows_path(path: Path) -> str:
    """Return how Windows' programs call a path of this machine."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


def environment() -> dict[str, str]:
    """Return the variables that Wine needs."""
    # The other peers are for Linux, so none is required there.
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    return {
        **kept,
        "WINEPREFIX": str(folder() / "prefix"),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        # Neither .NET nor a browser is asked for, and no entry of a menu is made.
        "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=",
        "DISPLAY": "",
    }


def run(
    *words: str, temporary: Path, limit: float, path: tuple[Path, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run Windows' Python to its end.

    Args:
        words: the command line behind `python.exe`.
        temporary: Python's folder for temporary files; its path has to be short.
        limit: seconds.
        path: folders to import from.
        more: variables of the environment.

    Raises:
        subprocess.TimeoutExpired: it takes longer.
    """
    # Pipes throughout: Windows' Python ends at once if one of them is a Unix file or device.
    return subprocess.run(
        ["wine", str(folder() / "python" / "python.exe"), *words],
        check=False,
        input="",
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=limit,
        env=variables(temporary, path, PYTHONUTF8="1", **more),
    )


def variables(temporary: Path, path: tuple[Path, ...], **more: str) -> Mapping[str, str]:
    """Return the environment of Windows' Python; see `run`."""
    return {
        **environment(),
        # Wine replaces TEMP. Its server reads this too, so it is a Unix path; to Windows it is one
        # on the current drive.
        "TMPDIR": str(temporary),
        "PYTHONPATH": ";".join(map(windows_path, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


def metadata(folder: Path) -> Path:
    """Make a folder with the package's metadata, which has its version, and return it."""
    made = folder / "nssbackup.dist-info"
    made.mkdir(parents=True)
    text = distribution("nssbackup").read_text("METADATA") or ""
    (made / "METADATA").write_text(text, encoding="utf-8")
    return folder
