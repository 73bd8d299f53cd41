"""Where a newer NSS is looked for: in Firefox's own folders, the newest first, nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from nssbackup.stores.nss.process import firefox_libraries


def install(root: Path, folder: str, milestone: str | None, library: str = "libnss3.so") -> Path:
    place = root / folder.lstrip("/")
    place.mkdir(parents=True)
    (place / library).touch()
    if milestone is not None:
        (place / "platform.ini").write_text(f"[Build]\nBuildID=1\nMilestone={milestone}\n")
    return place


def test_without_a_firefox_there_is_none(tmp_path: Path) -> None:
    assert firefox_libraries("linux", tmp_path) is None


def test_the_newest_is_taken_by_its_number(tmp_path: Path) -> None:
    install(tmp_path, "/usr/lib/firefox-esr", "140.5.0")
    newest = install(tmp_path, "/opt/firefox", "146.0")
    install(tmp_path, "/usr/lib/firefox", "99.0.1")
    assert firefox_libraries("linux", tmp_path) == newest


@pytest.mark.parametrize("milestone", [None, "", "x.1", "12345.0", "99999999999999999999.0"])
def test_one_that_does_not_say_its_version_is_passed_over(
    tmp_path: Path, milestone: str | None
) -> None:
    install(tmp_path, "/usr/lib/firefox", milestone)
    assert firefox_libraries("linux", tmp_path) is None


def test_a_folder_without_nss_is_passed_over(tmp_path: Path) -> None:
    install(tmp_path, "/usr/lib/firefox", "146.0", library="libxul.so")
    assert firefox_libraries("linux", tmp_path) is None


def test_a_number_far_behind_the_beginning_is_not_looked_for(tmp_path: Path) -> None:
    place = install(tmp_path, "/usr/lib/firefox", None)
    (place / "platform.ini").write_text("#" * 10_000_000 + "\nMilestone=146.0\n")
    assert firefox_libraries("linux", tmp_path) is None


def test_on_macos_the_version_lies_beside_the_libraries(tmp_path: Path) -> None:
    place = install(
        tmp_path, "/Applications/Firefox.app/Contents/MacOS", None, library="libnss3.dylib"
    )
    (place.parent / "Resources").mkdir()
    (place.parent / "Resources" / "platform.ini").write_text("[Build]\nMilestone=146.0.1\n")
    assert firefox_libraries("darwin", tmp_path) == place


def test_on_windows_there_is_none(tmp_path: Path) -> None:
    install(tmp_path, "/usr/lib/firefox", "146.0")
    assert firefox_libraries("win32", tmp_path) is None


def test_what_is_not_owned_by_the_system_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "/home/jane/firefox", "146.0")
    monkeypatch.chdir(tmp_path / "home" / "jane" / "firefox")
    assert firefox_libraries("linux", tmp_path) is None
