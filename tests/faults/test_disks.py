"""Disks that are full or read-only, for real, and password files that are none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.builders.disks import mounted, remount
from tests.cli.runner import names
from tests.faults.scenes import NEW_NAME, OLD_NAME, Export, Repassword, Restore, Scene

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is of Linux")


def _fill(folder: Path) -> Path:
    """Leave not a byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    return filler


@pytest.mark.mounts
@pytest.mark.parametrize("kind", [Export, Repassword, Restore])
def test_on_a_full_disk_nothing_is_half_and_with_room_it_works(
    kind: type[Scene], tmp_path: Path
) -> None:
    scene = kind(tmp_path)
    written = scene.cli.home if kind is Restore else scene.cli.here
    status = 40 if kind is Restore else 31
    with mounted(written):
        scene.lay()
        old = scene.state()
        filler = _fill(written)
        done = scene.cli.run(*scene.words)
        assert done.status == status, done
        message = done.error["message"]
        assert "no space left" in message or "full" in message
        assert scene.state() == old
        assert [path for path in scene.leftovers() if path != filler] == []
        assert scene.secrets() == []
        filler.unlink()
        assert scene.cli.run(*scene.words).status == 0
        assert scene.state() != old
        assert names(scene.cli.temporary) == []


@pytest.mark.mounts
@pytest.mark.parametrize("kind", [Export, Restore])
def test_on_a_read_only_disk_it_says_so(kind: type[Scene], tmp_path: Path) -> None:
    scene = kind(tmp_path)
    written = scene.cli.home if kind is Restore else scene.cli.here
    with mounted(written):
        scene.lay()
        old = scene.state()
        remount(written, "ro")
        done = scene.cli.run(*scene.words)
        assert done.status == (40 if kind is Restore else 31), done
        assert "can't be written" in done.error["message"]
        remount(written, "rw")
        assert (scene.state(), scene.leftovers(), scene.secrets()) == (old, [], [])


@pytest.mark.mounts
def test_a_full_folder_for_temporary_files_is_passed_over(tmp_path: Path) -> None:
    scene = Restore(tmp_path)
    with mounted(scene.cli.temporary):
        scene.lay()
        old = scene.state()
        filler = _fill(scene.cli.temporary)
        assert scene.cli.run(*scene.words).status == 0
        assert scene.state() != old
        assert names(scene.cli.temporary) == [filler.name]


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (Export, "--password-file"),
        (Export, "--primary-password-file"),
        (Repassword, "--old-password-file"),
        (Restore, "--password-file"),
    ],
)
def test_a_password_file_that_is_a_folder(kind: type[Scene], option: str, tmp_path: Path) -> None:
    scene = kind(tmp_path)
    scene.lay()
    old = scene.state()
    words = [str(word) for word in scene.words]
    words[words.index(option) + 1] = str(tmp_path)
    done = scene.cli.run(*words)
    assert done.status == 2, done
    assert json.loads(done.stdout)["error"]["message"] == (
        f"the `{option}` file can't be read: is a directory"
    )
    assert scene.state() == old
    assert {NEW_NAME} & {*names(scene.cli.here)} == set()
    assert kind is Export or OLD_NAME in names(scene.cli.here)
