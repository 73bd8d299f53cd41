"""Run a share of the tests on Windows' own Python, under Wine; all with --all-on-windows."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import PROJECT, windows
from tests.peers import need

# What differs on Windows: paths, files, databases, and the commands from beginning to end.
SHARE = {
    "files": ("tests/unit/system",),
    "profiles": ("tests/unit/profiles", "tests/unit/batch/test_users.py"),
    "stores": ("tests/contract", "tests/unit/stores/native", "tests/unit/stores/legacy"),
    "identities": ("tests/unit/identity", "tests/unit/pkcs12"),
    "commands": ("tests/windows", "tests/cli/test_profiles.py"),
}
ALL = {name: (f"tests/{name}",) for name in ("unit", "contract", "property", "cli", "windows")}
# Seconds, however busy the machine is.
LIMIT = 7200


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "part" in metafunc.fixturenames:
        every = metafunc.config.getoption("--all-on-windows")
        metafunc.parametrize("part", ALL if every else SHARE)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short path: Windows' own are limited to 260 characters."""
    folder = Path(tempfile.mkdtemp(prefix="w-", dir=Path(tempfile.gettempdir())))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_part_of_the_tests_passes(part: str, temporary: Path, *, require_peers: bool) -> None:
    if reason := windows.unsupported():
        pytest.skip(reason)
    need(windows.missing(), required=require_peers)
    done = windows.run(
        *(
            "-m",
            "pytest",
            "--quiet",
            "-p",
            "no:cacheprovider",
            "--tb=short",
            "-rfE",
            "--timeout=1800",
        ),
        *{**SHARE, **ALL}[part],
        temporary=temporary,
        limit=LIMIT,
        path=(PROJECT, windows.metadata(temporary / "site")),
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
