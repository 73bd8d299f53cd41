"""The folders and drives that the guide offers."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from nssbackup.cli.guided import plan
from nssbackup.cli.guided.plan import backup_folders, connected_drives, new_folders
from nssbackup.errors import OutputError


class Partition(NamedTuple):
    """What psutil says of a drive."""

    mountpoint: str
    opts: str = "rw"
    device: str = "/dev/sdz1"


def connect(monkeypatch: pytest.MonkeyPatch, platform: str, *partitions: Partition) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: list(partitions))
    monkeypatch.setattr(os.path, "isdir", lambda _: True)
    monkeypatch.setattr(plan, "is_writable", lambda _: True)


@pytest.mark.posix("Windows says itself where a home has its documents")
def test_documents_and_the_current_folder_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Documents").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "here")
    assert [one.path for one in backup_folders()] == [tmp_path / "Documents", tmp_path / "here"]


@pytest.mark.posix("Windows says itself where a home has its documents")
def test_a_folder_is_offered_once_and_only_if_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert [one.path for one in backup_folders()] == [tmp_path]
    (tmp_path / "Documents").symlink_to(tmp_path)
    assert [one.path for one in backup_folders()] == [tmp_path / "Documents"]


@pytest.mark.posix("paths of POSIX")
def test_linux_offers_what_is_mounted_where_drives_go(monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = ("/", "/home", "/media/jane/STICK", "/run/media/jane/A B", "/mnt", "/mnttemp", "/var")
    share = Partition("/media/share", device="nas:/x")
    connect(monkeypatch, "linux", *map(Partition, mounted), share)
    assert [str(one) for one in connected_drives()] == [
        "Drive STICK: /media/jane/STICK",
        "Drive A B: /run/media/jane/A B",
        "Drive mnt: /mnt",
    ]


@pytest.mark.posix("paths of POSIX")
def test_macos_offers_its_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "darwin", Partition("/"), Partition("/Volumes/STICK"))
    assert [str(one) for one in connected_drives()] == ["Drive STICK: /Volumes/STICK"]


def test_windows_offers_what_it_calls_removable(monkeypatch: pytest.MonkeyPatch) -> None:
    drives = (Partition("C:/", "rw,fixed"), Partition("D:/", "ro,cdrom"))
    connect(monkeypatch, "win32", *drives, Partition("E:/", "rw,removable"))
    assert [one.path for one in connected_drives()] == [Path("E:/")]


def test_the_drives_of_this_machine_are_folders() -> None:
    assert all(one.path.is_dir() for one in connected_drives())


def test_missing_folders_are_created(tmp_path: Path) -> None:
    with new_folders([tmp_path / "a" / "b", tmp_path / "a" / "c"]):
        assert (tmp_path / "a" / "b").is_dir()
    assert (tmp_path / "a" / "c").is_dir()


def test_on_an_error_only_the_empty_new_folders_go(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    folders = [tmp_path / "old", tmp_path / "a" / "b", tmp_path / "c"]
    with suppress(KeyboardInterrupt), new_folders(folders):
        (tmp_path / "c" / "file").touch()
        raise KeyboardInterrupt
    assert sorted(one.name for one in tmp_path.iterdir()) == ["c", "old"]


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't be created"), new_folders([tmp_path / "file/x"]):
        pass
    assert (tmp_path / "file").is_file()
