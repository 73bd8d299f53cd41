"""Places: each system's folders and drives, by its own rules, on whatever system this runs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nssbackup.cli.guided.places import (
    PCT_SAFE_FOLDER,
    Disks,
    Drive,
    Place,
    backup_places,
    connected_drives,
    mounted_drives,
    new_folders,
    volumes_in,
)
from nssbackup.errors import OutputError
from nssbackup.profiles.system import Platform, System

NO_DISKS = Disks()
REMOVABLE, FIXED, REMOTE, OPTICAL = 2, 3, 4, 5


def system(home: Path, platform: Platform = "linux", **environment: str) -> System:
    return System(platform, home, environment, ansi="cp1252")


def user_folders(home: Path, line: str, config: str = ".config") -> None:
    (home / config).mkdir(parents=True)
    (home / config / "user-dirs.dirs").write_text(f"# made by a test\n{line}\n", encoding="utf-8")


def documents(home: Path, platform: Platform = "linux", **environment: str) -> list[Path]:
    return [one.path for one in backup_places(None, system(home, platform, **environment))]


# --- places for a backup


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_documents_come_before_the_current_folder(tmp_path: Path, platform: Platform) -> None:
    (tmp_path / "home" / "Documents").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    found = backup_places(tmp_path / "here", system(tmp_path / "home", platform), NO_DISKS)
    assert found == (
        Place("documents", tmp_path / "home" / "Documents"),
        Place("current", tmp_path / "here"),
    )


def test_what_is_not_there_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "Documents").write_text("a file")
    assert backup_places(tmp_path / "gone", system(tmp_path), NO_DISKS) == ()


def test_a_folder_is_offered_once(tmp_path: Path) -> None:
    (tmp_path / "Documents").mkdir()
    (tmp_path / "link").symlink_to("Documents")
    found = backup_places(tmp_path / "link", system(tmp_path), NO_DISKS)
    assert [one.kind for one in found] == ["documents"]


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ('XDG_DOCUMENTS_DIR="$HOME/Dokumente"', "Dokumente"),
        ('XDG_DOCUMENTS_DIR="$HOME/Meine \\"Akten\\""', 'Meine "Akten"'),
        ('XDG_DESKTOP_DIR="$HOME/Desktop"\nXDG_DOCUMENTS_DIR="$HOME/文書"\n', "文書"),
        # These say nothing of use, so it is where it is in most homes.
        ('XDG_DOCUMENTS_DIR="$HOME/"', "Documents"),
        ('XDG_DOCUMENTS_DIR="relative"', "Documents"),
        ('XDG_DOCUMENTS_DIR="$HOME/unclosed', "Documents"),
        ('#XDG_DOCUMENTS_DIR="$HOME/Desktop"', "Documents"),
    ],
)
def test_linux_calls_the_documents_by_their_name_in_the_users_language(
    tmp_path: Path, line: str, folder: str
) -> None:
    user_folders(tmp_path, line)
    for name in ("Desktop", "Documents", folder):
        (tmp_path / name).mkdir(exist_ok=True)
    assert documents(tmp_path) == [tmp_path / folder]


def test_linux_documents_may_lie_outside_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    user_folders(tmp_path / "home", f'XDG_DOCUMENTS_DIR="{tmp_path}/share"', "settings")
    home = tmp_path / "home"
    assert documents(home, XDG_CONFIG_HOME=str(home / "settings")) == [tmp_path / "share"]
    assert documents(home, XDG_CONFIG_HOME="settings") == []  # relative: not meant to count


def test_a_fifo_or_a_monster_in_place_of_the_settings_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "Documents").mkdir()
    user_folders(tmp_path, "")
    settings = tmp_path / ".config" / "user-dirs.dirs"
    settings.write_bytes(b"#" * 2**20 + b'\nXDG_DOCUMENTS_DIR="$HOME/.config"\n')
    assert documents(tmp_path) == [tmp_path / "Documents"]
    if hasattr(os, "mkfifo"):
        settings.unlink()
        os.mkfifo(settings)
        assert documents(tmp_path) == [tmp_path / "Documents"]


def test_windows_documents_may_have_been_moved(tmp_path: Path) -> None:
    for name in ("Documents", "OneDrive/Dokumente"):
        (tmp_path / name).mkdir(parents=True)
    moved = Disks(documents=str(tmp_path / "OneDrive" / "Dokumente"))
    found = backup_places(None, system(tmp_path, "win32"), moved)
    assert [one.path for one in found] == [tmp_path / "OneDrive" / "Dokumente"]
    # The others know nothing of such a setting.
    assert documents(tmp_path, "darwin") == [tmp_path / "Documents"]


@pytest.mark.skipif(os.name == "nt", reason="would make the folder on the drive itself")
def test_the_folder_of_pct_safe_is_the_first_on_windows_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Here its path is the name of a folder in the current one.
    monkeypatch.chdir(tmp_path)
    Path(PCT_SAFE_FOLDER).mkdir()
    Path("Documents").mkdir()
    kinds = {
        platform: [one.kind for one in backup_places(tmp_path, system(tmp_path, platform))]
        for platform in ("win32", "darwin", "linux")
    }
    assert kinds == {
        "win32": ["pct-safe", "documents", "current"],
        "darwin": ["documents", "current"],
        "linux": ["documents", "current"],
    }


# --- drives: Linux


def mount(
    path: str, source: str = "/dev/sdb1", kind: str = "vfat", options: str = "shared:7"
) -> str:
    return f"63 43 8:17 / {path} rw,relatime {options} - {kind} {source} rw\n"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/media/jane/STICK", "/media/jane/STICK"),
        ("/media/usb0", "/media/usb0"),
        ("/run/media/jane/MY\\040STICK", "/run/media/jane/MY STICK"),
        ("/media/jane/back\\134slash", "/media/jane/back\\slash"),
        ("/media/jane/Ä", "/media/jane/Ä"),
        ("/mnt", "/mnt"),
        ("/mnt/usb", "/mnt/usb"),
    ],
)
def test_what_linux_mounts_for_people_is_a_drive(path: str, shown: str) -> None:
    assert list(mounted_drives(mount(path).encode())) == [Path(shown)]


@pytest.mark.parametrize(
    "line",
    [
        mount("/"),
        mount("/home"),
        mount("/media"),
        mount("/media/jane/STICK/inner"),
        mount("/run/media/jane"),
        mount("/mnt/a/b"),
        mount("/mediation/x"),
        mount("/media/jane/share", "server:/export", "nfs4"),  # may never answer
        mount("/media/jane/share", "//server/share", "cifs"),
        mount("/mnt/c", "C:\\134", "9p"),
        mount("/media/jane/memory", "tmpfs", "tmpfs"),  # gone in the evening
        "",
        "63 43 8:17 / /mnt/usb\n",
        "- - - - - - - - -\n",
        " - \n",
        "\\777\n",
    ],
)
def test_anything_else_is_none(line: str) -> None:
    assert list(mounted_drives(line.encode())) == []


def test_a_line_of_the_table_without_optional_fields_is_read_too() -> None:
    line = b"63 43 8:17 / /mnt/usb rw - vfat /dev/sdb1 rw\n"
    assert list(mounted_drives(line)) == [Path("/mnt/usb")]


def test_what_is_mounted_over_a_drive_hides_it() -> None:
    table = mount("/mnt/usb") + mount("/mnt/usb", "server:/export", "nfs4")
    assert list(mounted_drives(table.encode())) == []


def test_a_label_that_is_not_utf_8_survives() -> None:
    table = mount("/media/jane/X").encode().replace(b"X", b"\xff")
    assert [os.fsencode(path) for path in mounted_drives(table)] == [b"/media/jane/\xff"]


def test_a_drive_that_is_gone_or_read_only_is_not_offered(tmp_path: Path) -> None:
    disks = Disks(mount_table=mount("/media/nobody/GONE").encode())
    assert connected_drives(system(tmp_path), disks) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the table of Linux")
def test_the_real_table_is_read() -> None:
    table = Disks.current().mount_table
    assert b" / " in table
    list(mounted_drives(table))


# --- drives: macOS


def test_the_start_volume_of_macos_and_mere_folders_are_no_drives(tmp_path: Path) -> None:
    volumes = tmp_path / "Volumes"
    for name in ("STICK", "Backup", "com.apple.TimeMachine.localsnapshots"):
        (volumes / name).mkdir(parents=True)
    (volumes / "Macintosh HD").symlink_to("/")
    mounted = {volumes / "STICK", volumes / "Backup", volumes / "Macintosh HD"}
    found = tuple(volumes_in(volumes, lambda path: path in mounted))
    assert found == (volumes / "Backup", volumes / "STICK")
    drives = connected_drives(system(tmp_path, "darwin"), Disks(volumes=found))
    assert [(one.kind, one.name, one.path) for one in drives] == [
        ("drive", "Backup", volumes / "Backup"),
        ("drive", "STICK", volumes / "STICK"),
    ]
    assert connected_drives(system(tmp_path), Disks(volumes=found)) == ()


def test_without_volumes_there_are_none(tmp_path: Path) -> None:
    assert list(volumes_in(tmp_path / "Volumes")) == []


# --- drives: Windows


@pytest.mark.skipif(os.name == "nt", reason="would make folders on the drives themselves")
def test_windows_drives_are_those_it_calls_removable_with_a_medium_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for letter in "CDEFGH":
        Path(f"{letter}:\\").mkdir()
    disks = Disks(
        drives=(
            Drive("C:\\", FIXED, None),
            Drive("D:\\", OPTICAL, None),
            Drive("E:\\", REMOVABLE, "STICK"),
            Drive("F:\\", REMOVABLE, ""),
            Drive("G:\\", REMOVABLE, None),  # a card reader without a card
            Drive("H:\\", REMOTE, None),
            Drive("I:\\", REMOVABLE, "pulled out meanwhile"),
        )
    )
    assert connected_drives(system(tmp_path, "win32"), disks) == (
        Place("drive", Path("E:\\"), "STICK"),
        Place("drive", Path("F:\\"), ""),
    )


@pytest.mark.skipif(sys.platform != "win32", reason="asks Windows")
def test_windows_itself_names_its_drives_and_the_documents() -> None:
    disks = Disks.current()
    assert any(drive.root.upper() == "C:\\" and drive.type == FIXED for drive in disks.drives)
    assert disks.documents is None or Path(disks.documents).is_absolute()


# --- new folders


def test_missing_folders_are_made_with_those_above_them(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with new_folders([folder, folder, tmp_path]):
        assert folder.is_dir()
    assert folder.is_dir()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError, SystemExit])
def test_what_was_made_goes_again_where_the_block_fails(
    tmp_path: Path, error: type[BaseException]
) -> None:
    (tmp_path / "there").mkdir()
    folders = [tmp_path / "there" / "a" / "b", tmp_path / "c"]
    with pytest.raises(error), new_folders(folders):
        raise error(str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "there"]


def test_what_has_something_in_it_stays(tmp_path: Path) -> None:
    written = tmp_path / "a" / "backup.pfx"
    with suppress(KeyboardInterrupt), new_folders([tmp_path / "a", tmp_path / "b"]):
        written.touch()
        raise KeyboardInterrupt
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a" / "backup.pfx"]


def test_a_folder_that_cant_be_made_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="can't be created"),
        new_folders([tmp_path / "a", tmp_path / "file" / "b"]),
    ):
        pytest.fail("the block was entered")
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "file"]
