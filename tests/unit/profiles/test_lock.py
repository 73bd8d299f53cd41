from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nssbackup.profiles.folder import FLOCK_LAYOUTS, is_in_use, last_start, meaning_of
from tests.unit.profiles.machine import closed, snapshot

unix = pytest.mark.posix("Windows locks otherwise")

HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path) -> Iterator[int]:
    """A process that locks a file as Firefox does; its pid."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.communicate()


@pytest.fixture
def ended() -> int:
    """The pid of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


@unix
def test_a_locked_profile_is_in_use_until_the_process_ends(tmp_path: Path) -> None:
    with held(tmp_path / ".parentlock"):
        assert is_in_use(tmp_path) is True
        assert is_in_use(tmp_path) is True  # asking has not taken the lock away
    assert is_in_use(tmp_path) is False


@unix
def test_asking_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(f"127.0.0.1:+{os.getpid()}")
    with held(tmp_path / ".parentlock"):
        before = snapshot(tmp_path)
        is_in_use(tmp_path)
        last_start(tmp_path)
        assert snapshot(tmp_path) == before


@unix
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_lock_record_has_the_size_of_the_c_structure(platform: str) -> None:
    form, type_field = FLOCK_LAYOUTS[platform]
    assert struct.calcsize(form) == {"linux": 32, "darwin": 24}[platform]
    fields = [0] * 5
    fields[type_field] = 0x0102
    place = struct.pack(form, *fields).index(struct.pack("h", 0x0102))
    assert place == {"linux": 0, "darwin": 20}[platform]


def test_the_existence_of_lock_files_means_nothing(tmp_path: Path) -> None:
    (tmp_path / ".parentlock").touch()
    (tmp_path / "parent.lock").touch()
    assert is_in_use(tmp_path) is False


def test_another_systems_lock_file_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / (".parentlock" if sys.platform == "win32" else "parent.lock")).touch()
    assert is_in_use(tmp_path) is None


# Debian's own name for itself resolves to the second.
LOOPBACK = pytest.mark.parametrize("address", ["127.0.0.1", "127.0.1.1", "127.255.0.9"])


@unix
@LOOPBACK
def test_a_link_of_a_crashed_process_means_nothing(
    tmp_path: Path, address: str, ended: int
) -> None:
    (tmp_path / ".parentlock").touch()
    (tmp_path / "lock").symlink_to(f"{address}:+{ended}")
    assert is_in_use(tmp_path) is False


@unix
@LOOPBACK
def test_a_link_that_speaks_of_a_lock_needs_the_lock(tmp_path: Path, address: str) -> None:
    # A pid is used again; here it is that of this process.
    (tmp_path / ".parentlock").touch()
    (tmp_path / "lock").symlink_to(f"{address}:+{os.getpid()}")
    assert is_in_use(tmp_path) is False


@unix
@LOOPBACK
def test_a_link_counts_where_its_lock_can_not_be_seen(
    tmp_path: Path, address: str, ended: int
) -> None:
    # Somebody has deleted the lock file, which does not stop the application.
    (tmp_path / "lock").symlink_to(f"{address}:+{os.getpid()}")
    assert is_in_use(tmp_path) is True
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").symlink_to(f"{address}:+{ended}")
    assert is_in_use(tmp_path) is False


@unix
@LOOPBACK
@pytest.mark.parametrize("link", ["lock", ".parentlock"])
def test_where_locks_are_impossible_a_link_is_the_lock(
    tmp_path: Path, link: str, address: str
) -> None:
    (tmp_path / link).symlink_to(f"{address}:{os.getpid()}")
    assert is_in_use(tmp_path) is True


@unix
@pytest.mark.parametrize("link", ["lock", ".parentlock"])
def test_a_link_to_a_process_that_is_no_more_means_nothing(
    tmp_path: Path, link: str, ended: int
) -> None:
    (tmp_path / link).symlink_to(f"127.0.0.1:{ended}")
    assert is_in_use(tmp_path) is False


@unix
def test_a_link_to_another_users_process_is_believed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("127.0.0.1:1")
    assert is_in_use(tmp_path) is True


@unix
@pytest.mark.parametrize("plus", ["", "+"])
@pytest.mark.parametrize("address", ["192.0.2.7", "10.127.0.1", "128.0.0.1", "0.0.0.0"])  # noqa: S104 - nothing is bound to it
@pytest.mark.parametrize("link", ["lock", ".parentlock"])
def test_a_link_of_another_address_can_not_be_judged(
    tmp_path: Path, link: str, address: str, plus: str
) -> None:
    # Not even by this process's own pid, which is another's over there.
    (tmp_path / link).symlink_to(f"{address}:{plus}{os.getpid()}")
    assert is_in_use(tmp_path) is None


@unix
def test_a_lock_that_is_seen_counts_whatever_the_links_say(tmp_path: Path, ended: int) -> None:
    (tmp_path / "lock").symlink_to(f"192.0.2.7:+{ended}")
    with held(tmp_path / ".parentlock"):
        assert is_in_use(tmp_path) is True
    assert is_in_use(tmp_path) is None  # the lock file is there, and unlocked as far as is seen


@unix
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_lock_file_that_may_not_be_read_tells_nothing(what: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "ab12.default"
        folder.mkdir()
        (folder / ".parentlock").touch()
        Path(name).chmod(0o755)
        with closed(folder if what == "folder" else folder / ".parentlock"):
            assert is_in_use(folder) is None


@unix
@pytest.mark.parametrize(("pid", "answer"), [("own", True), ("ended", None)])
def test_beside_an_unreadable_lock_a_running_owner_counts(
    ended: int, pid: str, answer: bool | None
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / ".parentlock").touch()
        (folder / "lock").symlink_to(f"127.0.1.1:+{os.getpid() if pid == 'own' else ended}")
        with closed(folder / ".parentlock"):
            assert is_in_use(folder) is answer


@unix
def test_where_the_system_can_not_be_asked_nothing_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".parentlock").touch()
    monkeypatch.delitem(FLOCK_LAYOUTS, sys.platform)
    assert is_in_use(tmp_path) is None
    (tmp_path / "lock").symlink_to(f"127.0.0.1:+{os.getpid()}")
    assert is_in_use(tmp_path) is True


@pytest.mark.parametrize(
    ("error", "meaning"), [(32, True), (2, False), (3, False), (5, None), (123, None), (0, None)]
)
def test_an_error_of_windows_has_this_meaning(error: int, meaning: bool | None) -> None:
    assert meaning_of(error) is meaning


@unix
@pytest.mark.parametrize(
    "target",
    [
        "cert9.db",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:+",
        "127.0.0.1:0",
        "127.0.0.1:-1",
        "127.0.0.1:9999999999",
        "127.0.0.1:" + "9" * 3000,
        "127.0.0.1:1x",
        "host:1",
        "\udcff:1",
    ],
)
def test_a_link_to_anything_else_means_nothing(tmp_path: Path, target: str) -> None:
    (tmp_path / "lock").symlink_to(target)
    assert is_in_use(tmp_path) is False


@unix
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".parentlock")
    assert is_in_use(tmp_path) is False


def test_a_file_that_is_open_without_sharing_is_a_lock(tmp_path: Path) -> None:
    if sys.platform != "win32":
        pytest.skip("Windows' way of locking")
    import _winapi  # CreateFileW without ctypes: an independent witness

    path = tmp_path / "parent.lock"
    path.touch()
    handle = _winapi.CreateFile(str(path), _winapi.GENERIC_READ, 0, 0, _winapi.OPEN_EXISTING, 0, 0)
    try:
        assert is_in_use(tmp_path) is True
    finally:
        _winapi.CloseHandle(handle)
    assert is_in_use(tmp_path) is False


@pytest.mark.parametrize("name", [".parentlock", "parent.lock"])
def test_the_last_start_is_the_time_of_the_lock_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    os.utime(tmp_path / name, (1_700_000_000, 1_700_000_000))
    assert last_start(tmp_path) == 1_700_000_000


def test_of_two_lock_files_the_newer_one_tells_the_last_start(tmp_path: Path) -> None:
    for name, when in ((".parentlock", 1_600_000_000), ("parent.lock", 1_700_000_000)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (when, when))
    assert last_start(tmp_path) == 1_700_000_000
