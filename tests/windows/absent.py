"""What Windows, or Wine, lacks: a test that asks for it is skipped. Loaded by tests/conftest.py."""

from __future__ import annotations

import os
import sys

import pytest

StrPath = str | os.PathLike[str]

if sys.platform == "win32":
    _symlink = os.symlink

    def _link_or_skip(source: StrPath, target: StrPath, target_is_directory: bool = False) -> None:
        """Make a link, or skip the test: Wine claims success and makes nothing."""
        try:
            _symlink(source, target, target_is_directory)
        except OSError as error:
            pytest.skip(f"no links here: {error}")
        if not os.path.lexists(target):
            pytest.skip("no links under Wine")

    def _no_fifo(path: StrPath, mode: int = 0o666) -> None:
        pytest.skip(f"Windows has no FIFO in folders: {path}, {mode:o}")

    os.symlink = _link_or_skip
    os.mkfifo = _no_fifo
