"""The output folder: what others could have put there, or could change, is not trusted."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nssbackup.batch.options import BatchOptions, Roots
from nssbackup.batch.output_folder import make_own_folder, secure
from nssbackup.batch.run import Listener, run_batch
from nssbackup.errors import OutputError
from tests.builders.homes import JANE, add_home

ELSE = 4242
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)


@pytest.fixture
def night(tmp_path: Path) -> Callable[[], list[str]]:
    """A batch that can run night after night; it returns its warnings."""
    add_home(tmp_path / "homes", "jane", JANE)
    options = BatchOptions(
        Roots(parents=(tmp_path / "homes",)), tmp_path / "out", "host", all_issuers=True, jobs=1
    )

    def run() -> list[str]:
        warnings: list[str] = []
        result = run_batch(options, Listener(warn=warnings.append))
        assert result.report.totals["failed"] == 0
        return warnings

    return run


@needs_root
@pytest.mark.parametrize(
    "planted", ["", "passwords.csv", ".nssbackup", ".nssbackup/jane.json", "jane"]
)
def test_what_belongs_to_somebody_else_is_refused(
    tmp_path: Path, night: Callable[[], list[str]], planted: str
) -> None:
    night()
    path = tmp_path / "out" / planted
    before = (tmp_path / "out" / "passwords.csv").read_bytes()
    os.chown(path, ELSE, ELSE)
    with pytest.raises(OutputError, match="belongs to `number 4242`") as caught:
        night()
    assert caught.value.exit_status == 31
    assert caught.value.hint == f"`chown 0 {path}`"
    assert (tmp_path / "out" / "passwords.csv").read_bytes() == before


@needs_root
def test_a_folder_planted_for_a_new_user_gets_nothing(tmp_path: Path) -> None:
    planted = tmp_path / "out" / "jane"
    planted.mkdir(parents=True)
    os.chown(planted, ELSE, ELSE)
    with pytest.raises(OutputError, match="belongs to"):
        make_own_folder(planted)


@needs_root
def test_what_no_run_reads_stops_none(tmp_path: Path, night: Callable[[], list[str]]) -> None:
    night()
    note, other = tmp_path / "out" / "jane" / "notes.txt", tmp_path / "out" / "pc17" / ".nssbackup"
    note.touch()
    other.mkdir(parents=True)
    for path in (note, other, other.parent):
        os.chown(path, ELSE, ELSE)
    assert night() == []
    with pytest.raises(OutputError, match="belongs to"):
        secure(tmp_path / "out", hosts=True)


def test_a_folder_open_to_all_is_closed_before_a_new_user_gets_it(tmp_path: Path) -> None:
    planted = tmp_path / "out" / "jane"
    planted.mkdir(parents=True)
    planted.chmod(0o777)
    make_own_folder(planted)
    assert stat.S_IMODE(planted.stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", [0o775, 0o777])
def test_the_right_of_others_to_write_is_removed(
    tmp_path: Path, night: Callable[[], list[str]], mode: int
) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    (tmp_path / "out").chmod(mode)  # as under umask 002
    (warning,) = night()
    assert warning.startswith("others could write to 1 files and folders of the output folder")
    (tmp_path / "out" / "passwords.csv").chmod(0o660)
    (tmp_path / "out" / "jane").chmod(mode)
    (warning,) = night()
    assert "2 files and folders" in warning
    assert stat.S_IMODE((tmp_path / "out" / "jane").stat().st_mode) == mode & ~0o022
    assert night() == []


def test_a_folder_that_everybody_shares_is_refused(
    tmp_path: Path, night: Callable[[], list[str]]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o1777)
    with pytest.raises(OutputError, match="a folder that everybody shares"):
        night()
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o1777


def test_a_link_is_refused(tmp_path: Path, night: Callable[[], list[str]]) -> None:
    night()
    state = tmp_path / "out" / ".nssbackup"
    state.rename(tmp_path / "state")
    state.symlink_to(tmp_path / "state")
    with pytest.raises(OutputError, match="is a link"):
        night()


def test_a_second_name_is_refused(tmp_path: Path, night: Callable[[], list[str]]) -> None:
    night()
    (tmp_path / "other").hardlink_to(tmp_path / "out" / "passwords.csv")
    with pytest.raises(OutputError, match="has another name"):
        night()


def test_the_folders_of_a_fleet_are_checked_too(tmp_path: Path) -> None:
    state = tmp_path / "out" / "ada" / ".nssbackup"
    state.mkdir(parents=True)
    (tmp_path / "out" / "ada").chmod(0o777)
    (warning,) = secure(tmp_path / "out", hosts=True)
    assert str(tmp_path / "out" / "ada") in warning
    assert secure(tmp_path / "out", hosts=True) == ()


def test_a_dry_run_changes_no_modes(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o775)
    assert secure(tmp_path / "out", repair=False) == ()
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o775


@needs_root
def test_what_only_its_owner_can_repair_is_refused() -> None:
    with tempfile.TemporaryDirectory() as top:  # tmp_path is closed to others
        Path(top).chmod(0o755)
        folder = Path(top) / "out"
        folder.mkdir()
        folder.chmod(0o777)
        os.seteuid(ELSE)
        try:
            with pytest.raises(OutputError, match="others may write to") as caught:
                secure(folder)
        finally:
            os.seteuid(0)
        assert caught.value.exit_status == 31
        assert caught.value.hint == f"as root: `chmod go-w {folder}`"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o777


def test_a_drive_without_modes_is_told_and_used(
    tmp_path: Path, night: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    # As on vfat and on some shares, which can't be had without mounting one.
    monkeypatch.setattr(os, "chmod", lambda *_args, **_more: None)
    (warning,) = night()
    assert warning.startswith(f"the drive of `{tmp_path / 'out'}` keeps no file permissions")
