"""What a run leaves for the next: files that are what they should be, or nothing at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nssbackup.batch.state import read_whole


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_whole(str(tmp_path / "file"), 100) == b"x" * 100
    assert read_whole(str(tmp_path / "file"), 99) is None


def test_what_is_no_file_is_nothing(tmp_path: Path) -> None:
    assert read_whole(str(tmp_path), 100) is None
    assert read_whole(str(tmp_path / "missing"), 100) is None
    assert read_whole("a\0b", 100) is None
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        assert read_whole(str(tmp_path / "fifo"), 100) is None


@pytest.mark.parametrize("cut", [True, False])
def test_a_file_comes_in_pieces_and_is_whole_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, cut: bool
) -> None:
    """As a share may give it; it may also be cut while it is read."""
    (tmp_path / "file").write_bytes(b"0123456789")
    pieces = [b"0123", b"456", b"" if cut else b"789"]
    asked = []

    def read(_: int, size: int) -> bytes:
        asked.append(size)
        return pieces.pop(0)

    monkeypatch.setattr(os, "read", read)
    found = read_whole(str(tmp_path / "file"), 100)
    assert found == (None if cut else b"0123456789")
    assert asked == [10, 6, 3]
