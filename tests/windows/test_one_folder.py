"""The folder that needs no Python: built by PyInstaller under Wine, and run there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import PROJECT, windows
from tests.peers import need
from tests.peers.readers import OpenSsl
from tests.windows.install import pip

PASSWORD = "Some-Heron-17-in-a-folder"
BUILDER = ("pyinstaller", "pywin32-ctypes", "pefile", "pyinstaller-hooks-contrib", "altgraph")
LIMIT = 3600.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="w-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_folder_is_built_and_backs_up(
    place: Path, request: pytest.FixtureRequest, *, require_peers: bool
) -> None:
    if not request.config.getoption("--every-fault"):
        pytest.skip("a long run: --every-fault")
    need(windows.unsupported() or windows.missing(), required=require_peers)
    site = place / "site"
    pip("install", "--no-deps", "--target", str(site), *BUILDER, "packaging", "setuptools")
    here = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--target", str(site)]
    subprocess.run([*here, f"{PROJECT}/"], check=True, stdin=subprocess.DEVNULL)
    built = windows.run(
        *("-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR"),
        *("--distpath", windows.windows_path(place / "dist")),
        *("--workpath", windows.windows_path(place / "build")),
        windows.windows_path(PROJECT / ".github" / "windows" / "nssbackup.spec"),
        temporary=place,
        limit=LIMIT,
        path=(site,),
    )
    assert built.returncode == 0, built.stderr[-3000:]
    password, pfx = place / "password", place / "out.pfx"
    password.write_text(f"{PASSWORD}\n")
    profile = PROJECT / "fixtures" / "profiles" / "firefox-nopassword"
    done = subprocess.run(
        [
            *("wine", place / "dist" / "nssbackup" / "nssbackup.exe", "export"),
            *("--profile", windows.windows_path(profile)),
            *("--password-file", windows.windows_path(password)),
            *("--output", windows.windows_path(pfx)),
        ],
        check=False,
        input="",
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=LIMIT,
        env=windows.environment(),
    )
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stderr
    assert len(OpenSsl().open(pfx, PASSWORD).certificates) == 3
