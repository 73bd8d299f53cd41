"""What all tests share: peers, copies of the fixture profiles, and "nothing changed"."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nssbackup.errors import NssBackupError
from tests import PROFILES
from tests.builders.disks import elsewhere, is_entitled_to_mount, may_mount
from tests.cli.runner import Cli
from tests.peers import need

pytest_plugins = ["tests.windows.absent"] if sys.platform == "win32" else []

_LONG_ID = 40

Facts = dict[str, tuple[int, int, int, int, str]]
MakeProfile = Callable[[str], Path]
SnapshotOf = Callable[[Path], Facts]
Unchanged = Callable[[Path], AbstractContextManager[None]]

# The same examples on every machine and no time limit for one of them: a slow machine is no bug.
settings.register_profile(
    "nssbackup",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("nssbackup")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-peers",
        action="store_true",
        default=os.environ.get("CI") == "true",
        help="fail, instead of skip, where a peer (certutil, Firefox, openssl …) is missing",
    )
    parser.addoption(
        "--every-fault",
        action="store_true",
        help="try a fault at every system call, not at a share of them: minutes more",
    )
    parser.addoption(
        "--all-on-windows",
        action="store_true",
        help="run the whole suite on Windows' Python under Wine, not a share of it",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "mounts: puts file systems in the place of folders")
    config.addinivalue_line("markers", "posix(reason): shows something that Windows has not")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Call data by its parameter's name: its bytes differ from one process to the next."""
    return argname if isinstance(val, bytes) and len(val) > _LONG_ID else None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Have a test that mounts done where that is allowed, if it isn't here."""
    if pyfuncitem.get_closest_marker("mounts") is None or may_mount():
        return None
    words = elsewhere(pyfuncitem.nodeid)
    # Whoever has the right and can't: that is no lack of this system's, and tests go untried.
    required = pyfuncitem.config.getoption("--require-peers") and is_entitled_to_mount()
    need(None if words else "no file system can be mounted here", required=bool(required))
    done = subprocess.run(words or (), cwd=pyfuncitem.config.rootpath, check=False)
    assert done.returncode == 0, "it failed in a namespace of its own"
    return True


@pytest.fixture(scope="session")
def require_peers(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--require-peers"))


@pytest.fixture(scope="session", autouse=True)
def _errors_are_clauses() -> Iterator[None]:
    """Whatever error a test meets, expected or not, has words, without a full stop."""
    with pytest.MonkeyPatch.context() as patch:
        make = NssBackupError.__init__

        def checked(self: NssBackupError, message: str, **more: str | None) -> None:
            make(self, message, **more)
            assert isinstance(message, str)
            for text in (message, self.hint):
                assert text is None or (text.strip() and not text.endswith(".")), text

        patch.setattr(NssBackupError, "__init__", checked)
        yield


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A user with an empty home, who types commands."""
    return Cli(tmp_path)


@pytest.fixture
def profile(tmp_path: Path) -> MakeProfile:
    """Copies of the fixture profiles; a missing one is an error, not a skip."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(PROFILES / name, tmp_path / "profiles" / name))

    return copy


def _facts(folder: Path) -> Facts:
    facts = {}
    for name in sorted(os.listdir(os.fsencode(folder))):  # noqa: PTH208 - as bytes
        path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118 - any bytes may be a name
        found = os.lstat(path)
        content = b""
        if stat.S_ISREG(found.st_mode) and found.st_size < 100_000_000:
            with open(path, "rb") as file:  # noqa: PTH123 - as bytes
                content = file.read()
        elif stat.S_ISLNK(found.st_mode):
            content = os.readlink(path)  # noqa: PTH115
        facts[os.fsdecode(name)] = (
            found.st_mode,
            found.st_size,
            found.st_mtime_ns,
            found.st_ino,
            hashlib.sha256(content).hexdigest(),
        )
    return facts


@pytest.fixture(scope="session")
def snapshot_of() -> SnapshotOf:
    """Return the mode, size, time, inode and SHA-256 of each entry of a folder."""
    return _facts


@pytest.fixture
def unchanged(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Unchanged:
    """A `with` block that ends with the folder as it was and no temporary file left behind."""
    # A folder of its own: what other processes keep in the system's is not this test's business.
    temporary = tmp_path_factory.mktemp("temporary")
    if sys.platform != "win32":
        temporary.chmod(0o777)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    @contextmanager
    def watch(folder: Path) -> Iterator[None]:
        before = _facts(folder)
        yield
        assert _facts(folder) == before
        assert list(temporary.iterdir()) == []

    return watch
