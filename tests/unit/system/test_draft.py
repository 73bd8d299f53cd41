"""Drafts: with no name until they get their own, and where that can't be, with a temporary one."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nssbackup.errors import OutputError, OutputExistsError, VerificationError
from nssbackup.system import draft as drafts
from nssbackup.system import files, windows_access
from nssbackup.system.draft import Draft
from nssbackup.system.files import remove_leftovers, write_private, write_verified

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a matter of POSIX file systems")

DATA = b"the backup"
LEFT = ".nssbackup-0123456789abcdef.tmp"
Switch = Callable[[], None]


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 - names


@pytest.fixture
def nameless(tmp_path: Path) -> None:
    """Only where the system knows files without a name."""
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("no file without a name on this system")
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        pytest.skip("no file without a name on this file system")


@pytest.fixture(params=["without a name", "named", "refused a name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As the systems are: the newest, the others, and one that promises more than it keeps."""
    way = str(request.param)
    if way == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif way == "refused a name":
        request.getfixturevalue("nameless")

        def refuse(_source: Path, path: Path) -> None:
            # As linkat does: that the name is taken is found out first.
            number = errno.EEXIST if path.exists() else errno.EPERM
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(drafts, "_link_open", refuse)
    return way


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("parts", [DATA, [b"the ", b"backup"]])
def test_in_every_way_the_file_is_private_and_whole_and_all_there_is(
    tmp_path: Path, way: str, there: bool, parts: bytes | list[bytes]
) -> None:
    path = tmp_path / "a.pfx"
    if there:
        path.write_bytes(b"old")
    seen = []

    def check(draft: Path) -> None:
        facts = draft.stat()
        seen.append((draft.read_bytes(), stat.S_IMODE(facts.st_mode), facts.st_uid))
        assert path.exists() is there
        assert not there or path.read_bytes() == b"old"

    before = os.umask(0o777)
    try:
        data = iter(parts) if isinstance(parts, list) else parts
        write_verified(path, data, check, replace=there)
    finally:
        os.umask(before)
    assert seen == [(DATA, 0o600, os.geteuid())] * (2 if way == "refused a name" else 1)
    assert (names(tmp_path), path.read_bytes()) == (["a.pfx"], DATA)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1


@pytest.mark.usefixtures("way")
def test_in_every_way_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.pfx"

    def meanwhile(_: Path) -> None:
        path.write_bytes(b"theirs")

    with pytest.raises(OutputExistsError):
        write_verified(path, DATA, meanwhile)
    assert (names(tmp_path), path.read_bytes()) == (["a.pfx"], b"theirs")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("trouble", [VerificationError("no", ("no",)), KeyboardInterrupt()])
def test_in_every_way_nothing_is_left_of_what_is_refused(
    tmp_path: Path, trouble: BaseException
) -> None:
    def check(_: Path) -> None:
        raise trouble

    with pytest.raises(type(trouble)):
        write_verified(tmp_path / "a.pfx", DATA, check)
    assert names(tmp_path) == []


@pytest.mark.usefixtures("way")
def test_in_every_way_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names
    for number in range(3):
        write_verified(tmp_path / f"{number}.pfx", DATA, lambda _: None)
        write_verified(tmp_path / f"{number}.pfx", DATA, lambda _: None, replace=True)
        with pytest.raises(OutputExistsError):
            write_verified(tmp_path / f"{number}.pfx", DATA, lambda _: None)
        with pytest.raises(OutputError, match="input/output error"):
            write_verified(tmp_path / "b.pfx", parts(), lambda _: None)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - names
    assert names(tmp_path) == ["0.pfx", "1.pfx", "2.pfx"]


def test_where_an_open_file_can_not_be_renamed_it_is_closed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of Windows, but for the access list that it makes the file with."""
    monkeypatch.setattr(drafts, "_ON_WINDOWS", True)
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    monkeypatch.setattr(
        windows_access, "create_for_owner", lambda path: os.open(path, flags, 0o600)
    )
    descriptors = Path("/proc/self/fd")

    def check(draft: Path) -> None:
        assert draft.read_bytes() == DATA
        assert str(draft) not in {os.path.realpath(each) for each in descriptors.iterdir()}

    for replace in (False, True):
        write_verified(tmp_path / "a.pfx", DATA, check, replace=replace)
        assert names(tmp_path) == ["a.pfx"]
    with Draft(tmp_path, DATA) as draft:
        assert draft.is_at(tmp_path / "a.pfx")  # it can't be told there


@pytest.mark.usefixtures("nameless")
def test_without_a_name_there_is_nothing_in_the_folder_to_get_at(tmp_path: Path) -> None:
    write_verified(tmp_path / "a.pfx", DATA, lambda _: None)
    with Draft(tmp_path, DATA) as draft:
        assert names(tmp_path) == ["a.pfx"]
        assert draft.path.read_bytes() == DATA
        assert draft.name(tmp_path / "b.pfx", replace=False)
        assert draft.is_at(tmp_path / "b.pfx")
        assert not draft.is_at(tmp_path / "a.pfx")


@pytest.mark.parametrize("target", ["there", "missing"])
def test_what_has_the_name_already_is_not_written_to(tmp_path: Path, target: str) -> None:
    (tmp_path / "there").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to(target)
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            write_private(tmp_path / name, DATA)
    assert (tmp_path / "there").read_bytes() == b"theirs"
    assert names(tmp_path) == ["link", "there"]


def test_without_proc_it_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "_OPEN_FILES", "/nowhere")
    with Draft(tmp_path, DATA) as draft:
        assert [draft.path.name] == names(tmp_path)
        assert draft.name(tmp_path / "a.pfx", replace=False)
    assert names(tmp_path) == ["a.pfx"]


# --- a neighbour who can write to the folder


@pytest.mark.parametrize("replace", [True, False])
def test_what_a_neighbour_put_in_its_place_is_never_called_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "a.pfx"
    checked = []

    def check(draft: Path) -> None:
        checked.append(draft.read_bytes())
        if checked[-1] != DATA:
            message = "another file"
            raise VerificationError(message, (message,))
        if draft != path:  # the moment between the check and the naming
            draft.rename(tmp_path / "taken")
            draft.write_bytes(b"theirs")

    with pytest.raises(VerificationError):
        write_verified(path, DATA, check, replace=replace)
    assert checked == [DATA, b"theirs"]


def test_a_share_that_numbers_its_files_anew_is_no_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Draft, "is_at", lambda _draft, _path: False)
    checked = []
    write_verified(tmp_path / "a.pfx", DATA, lambda path: checked.append(path.read_bytes()))
    assert checked == [DATA, DATA]


# --- what killed runs left


def _left(folder: Path, name: str = LEFT, *, hours: float = 25) -> Path:
    path = folder / name
    path.write_bytes(b"half")
    then = time.time() - hours * 3600
    os.utime(path, (then, then))
    return path


@pytest.fixture
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_tidied", set())


@pytest.mark.usefixtures("_forgetful")
def test_old_leftovers_go_and_nothing_else(tmp_path: Path) -> None:
    old = _left(tmp_path)
    kept = [
        _left(tmp_path, ".nssbackup-1123456789abcdef.tmp", hours=23),
        _left(tmp_path, ".nssbackup-future.tmp", hours=-48),
        _left(tmp_path, "nssbackup-0123456789abcdef.tmp"),
        _left(tmp_path, ".nssbackup-notes"),
    ]
    (tmp_path / ".nssbackup-folder.tmp").mkdir()
    os.utime(tmp_path / ".nssbackup-folder.tmp", (0, 0))
    (tmp_path / ".nssbackup-link.tmp").symlink_to(kept[0])
    os.utime(tmp_path / ".nssbackup-link.tmp", (0, 0), follow_symlinks=False)
    write_verified(tmp_path / "a.pfx", DATA, lambda _: None)
    assert not old.exists()
    assert all(path.exists() for path in kept)
    assert {".nssbackup-folder.tmp", ".nssbackup-link.tmp"} <= set(names(tmp_path))


@pytest.mark.usefixtures("_forgetful")
def test_leftovers_are_looked_for_once_in_a_folder(tmp_path: Path) -> None:
    write_verified(tmp_path / "a.pfx", DATA, lambda _: None)
    left = _left(tmp_path)
    write_verified(tmp_path / "b.pfx", DATA, lambda _: None)
    assert left.exists()


def test_a_leftover_that_can_not_be_removed_stops_nothing(tmp_path: Path) -> None:
    stuck, left = tmp_path / ".nssbackup-0.tmp", _left(tmp_path)
    stuck.mkdir()  # `unlink` takes no folder
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [stuck.name]
    assert not left.exists()


def test_it_is_old_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = _left(tmp_path, hours=0)
    then = left.stat().st_mtime
    for seconds, there in ((86_400, True), (86_400.5, False)):
        monkeypatch.setattr(time, "time", lambda now=then + seconds: now)
        remove_leftovers(tmp_path, abandoned=True)
        assert left.exists() == there


@pytest.mark.skipif(os.name != "nt" and os.geteuid() != 0, reason="only root can give files away")
def test_somebody_elses_are_left_alone(tmp_path: Path) -> None:
    path = _left(tmp_path)
    os.chown(path, 12345, -1)
    remove_leftovers(tmp_path, abandoned=True)
    assert path.exists()
    remove_leftovers(tmp_path)
    assert not path.exists()


@pytest.mark.usefixtures("_forgetful")
def test_a_folder_that_can_not_be_listed_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> list[str]:
        raise PermissionError

    monkeypatch.setattr(os, "listdir", refuse)
    write_verified(tmp_path / "a.pfx", DATA, lambda _: None)
    assert (tmp_path / "a.pfx").read_bytes() == DATA


_UNPRIVILEGED = """
import fcntl, os, resource, sys
from pathlib import Path
from nssbackup.system.files import write_verified
from nssbackup.system.hardening import keep_memory_private
folder = Path(sys.argv[1])
os.setgroups([])
os.setgid(47004)
os.setuid(47004)
keep_memory_private()
seen = []
for text in (b"one", b"two"):
    write_verified(folder / "a", text, lambda path: seen.append(path.read_bytes()), replace=True)
    seen.append(os.listdir(folder))
print(seen, (folder / "a").read_bytes())
"""


@pytest.mark.skipif(os.name != "nt" and os.geteuid() != 0, reason="only root has another to run it")
def test_a_process_that_root_alone_may_look_into_can_name_its_own_files() -> None:
    """Its folder in /proc is root's then."""
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        folder = Path(top, "folder")
        folder.mkdir()
        os.chown(folder, 47_004, 47_004)
        words = [sys.executable, "-c", _UNPRIVILEGED, str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "[b'one', ['a'], b'two', ['a']] b'two'\n", done.stderr
