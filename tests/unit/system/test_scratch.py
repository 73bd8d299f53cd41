"""Scratch folders: private, gone afterwards, and if that was prevented, the next time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nssbackup.system import locking
from nssbackup.system.locking import scratch_folder
from tests import is_root

pytestmark = pytest.mark.posix("Windows locks no folders")

NAME = ".nssbackup-copy-abcd_123"
HOLDER = """
from nssbackup.system.locking import scratch_folder
import sys
with scratch_folder() as folder:
    (folder / "key4.db").write_bytes(b"the key")
    (folder / "cert8.dir").mkdir()
    (folder / "cert8.dir" / "blob").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(locking, "_tidied", set())
    return tmp_path


def held(top: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(top)},
    )


def test_it_is_for_its_owner_alone_and_gone_afterwards(top: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == top
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "file").write_bytes(b"x")
        (folder / "link").symlink_to("/etc/hostname")
    assert list(top.iterdir()) == []


def test_its_owner_may_look_into_it_under_any_umask(top: Path) -> None:
    before = os.umask(0o777)
    try:
        with scratch_folder() as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    assert list(top.iterdir()) == []


def test_the_folder_of_a_killed_run_is_removed(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held(top) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        with scratch_folder() as mine:
            assert {folder, mine} == set(top.iterdir())
            assert (folder / "key4.db").read_bytes() == b"the key"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (folder / "key4.db").exists()
    monkeypatch.setattr(locking, "_tidied", set())
    with scratch_folder() as mine:
        assert list(top.iterdir()) == [mine]


def test_a_link_or_a_file_of_such_a_name_is_not_followed(top: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_bytes(b"x")
    (top / NAME).symlink_to(tmp_path / "other")
    (top / NAME.replace("a", "b")).write_bytes(b"x")
    with scratch_folder():
        pass
    assert (tmp_path / "other" / "mine").exists()


@pytest.mark.skipif(not is_root(), reason="only root can give files away")
def test_another_users_is_not_touched(top: Path) -> None:
    (top / NAME).mkdir(mode=0o700)
    os.chown(top / NAME, 12345, -1)
    with scratch_folder():
        pass
    assert (top / NAME).exists()


def test_a_folder_removed_before_it_is_locked_is_made_again(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = locking._locked  # noqa: SLF001 - the moment between making and locking
    taken: list[Path] = []

    def locked(folder: Path) -> int | None:
        lock = real(folder)
        if not taken:
            taken.append(folder)
            folder.rmdir()
        return lock

    monkeypatch.setattr(locking, "_locked", locked)
    with scratch_folder() as folder:
        assert [folder] == list(top.iterdir())
    assert taken != [folder]
