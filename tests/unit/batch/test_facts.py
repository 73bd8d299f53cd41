"""What tells at a glance that nothing was touched: facts of folders and files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from nssbackup.batch.facts import Facts, fact_of, facts_of, unchanged

LONG_AGO = time.time() - 60


def aged(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def now_is_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of an inode's own change can't be put back, so the clock is put forward."""
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)


def facts(*paths: Path) -> Facts:
    found = facts_of(map(str, paths))
    assert found is not None
    return found


@pytest.mark.usefixtures("now_is_later")
@pytest.mark.parametrize("kind", ["grown", "same size", "replaced", "gone", "folder", "link"])
def test_what_was_touched_is_seen(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "cert9.db"
    file.write_bytes(b"one")
    aged(file)
    before = facts(file)
    assert unchanged(before)
    if kind == "grown":
        with file.open("ab") as opened:
            opened.write(b"!")
    elif kind == "same size":
        file.write_bytes(b"two")
    elif kind == "replaced":  # with its time put back
        (tmp_path / "new").write_bytes(b"two")
        (tmp_path / "new").replace(file)
        aged(file)
    else:
        file.unlink()
        if kind == "folder":
            file.mkdir()
        elif kind == "link":
            file.symlink_to(tmp_path)
    assert not unchanged(before)


@pytest.mark.usefixtures("now_is_later")
def test_what_comes_is_seen_whether_its_folder_is_watched_or_not(tmp_path: Path) -> None:
    file = tmp_path / "cert9.db-wal"
    with_folder, alone = facts(tmp_path, file), facts(file)
    assert unchanged(with_folder)
    assert unchanged(alone)
    assert list(with_folder) == [str(tmp_path)]  # which is enough: one look less
    file.touch()
    assert not unchanged(with_folder)
    assert not unchanged(alone)


@pytest.mark.usefixtures("now_is_later")
def test_a_missing_folder_in_a_missing_folder_is_watched(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    before = facts(outer, inner)
    inner.mkdir(parents=True)
    assert not unchanged(before)


def test_what_was_touched_just_now_is_no_fact(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert facts_of([str(tmp_path / "file")]) is None
    assert facts_of([str(tmp_path / "missing")]) is not None


def test_a_name_that_no_system_takes_is_nothing() -> None:
    assert fact_of("a\0b") == fact_of("/nowhere/at/all") == "-"
