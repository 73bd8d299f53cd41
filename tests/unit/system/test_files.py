from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nssbackup.errors import OutputError, OutputExistsError, VerificationError
from nssbackup.system import files
from nssbackup.system.files import (
    check_writable,
    make_folder,
    remove_leftovers,
    safe_name,
    write_private,
    write_verified,
)
from tests import LIMIT, PROJECT, is_root

posix = pytest.mark.posix("a matter of POSIX file systems")
DATA = b"the backup"


def accept(path: Path) -> None:
    assert path.read_bytes() == DATA


def refuse(path: Path) -> None:
    assert path.exists()
    raise VerificationError("no", ("mismatch",))  # noqa: EM101


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 - names


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    before = os.umask(0o022)
    yield lambda mask: (os.umask(mask), None)[1]
    os.umask(before)


@posix
@pytest.mark.parametrize("mask", [0o777, 0o000, 0o022, 0o277])
@pytest.mark.parametrize("replace", [True, False])
def test_the_file_is_private_under_any_umask(
    tmp_path: Path, umask: Callable[[int], None], mask: int, *, replace: bool
) -> None:
    modes = []

    def check(path: Path) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        accept(path)

    umask(mask)
    write_verified(tmp_path / "a.pfx", DATA, check, replace=replace)
    modes.append(stat.S_IMODE((tmp_path / "a.pfx").stat().st_mode))
    assert modes == [0o600, 0o600]


def test_the_file_has_its_name_only_after_the_check(tmp_path: Path) -> None:
    seen = []

    def check(path: Path) -> None:
        seen.append(path.read_bytes())
        assert "a.pfx" not in names(tmp_path)

    write_verified(tmp_path / "a.pfx", DATA, check)
    assert seen == [DATA]
    assert names(tmp_path) == ["a.pfx"]


def test_an_existing_file_is_never_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.pfx"
    path.write_bytes(b"old")
    with pytest.raises(OutputExistsError) as caught:
        write_verified(path, DATA, accept)
    assert caught.value.message == f"`{path}` exists already"
    assert (names(tmp_path), path.read_bytes()) == (["a.pfx"], b"old")


def test_a_file_that_comes_into_being_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.pfx"

    def meanwhile(_: Path) -> None:
        path.write_bytes(b"new")

    with pytest.raises(OutputExistsError) as caught:
        write_verified(path, DATA, meanwhile)
    assert caught.value.message == f"`{path}` exists already"
    assert (names(tmp_path), path.read_bytes()) == (["a.pfx"], b"new")


def test_an_existing_file_is_replaced_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.pfx"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_verified(path, DATA, accept, replace=True)
    assert (names(tmp_path), path.read_bytes()) == (["a.pfx"], DATA)
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("replace", [True, False])
def test_a_failing_check_leaves_all_as_it_was(tmp_path: Path, *, replace: bool) -> None:
    path = tmp_path / "a.pfx"
    if replace:
        path.write_bytes(b"old")
    with pytest.raises(VerificationError):
        write_verified(path, DATA, refuse, replace=replace)
    assert names(tmp_path) == (["a.pfx"] if replace else [])
    assert not replace or path.read_bytes() == b"old"


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_verified(tmp_path / "a.pfx", DATA, interrupt)
    assert names(tmp_path) == []


@posix
@pytest.mark.parametrize("target", ["there", "missing"])
def test_a_link_as_output_is_never_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    link = tmp_path / "a.pfx"
    link.symlink_to(target)
    with pytest.raises(OutputExistsError):
        write_verified(link, DATA, accept)
    write_verified(link, DATA, accept, replace=True)
    assert not link.is_symlink()
    assert link.read_bytes() == DATA
    assert (tmp_path / "there").read_bytes() == b"mine"
    assert names(tmp_path) == ["a.pfx", "there"]


@pytest.mark.parametrize("replace", [True, False])
def test_a_folder_as_output_is_refused(tmp_path: Path, *, replace: bool) -> None:
    (tmp_path / "a.pfx").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write_verified(tmp_path / "a.pfx", DATA, accept, replace=replace)
    assert names(tmp_path) == ["a.pfx"]


@pytest.mark.parametrize(
    ("name", "said"), [("no/a.pfx", "does not exist"), ("file/a.pfx", "is not a folder")]
)
def test_what_is_no_folder_is_refused_early(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=said):
        check_writable(tmp_path / name)
    assert names(tmp_path) == ["file"]


CLOSED = """
import os, sys
from pathlib import Path
from nssbackup.errors import OutputError
from nssbackup.system.files import check_writable, write_verified
if os.geteuid() == 0:  # root is above modes
    os.setgroups([])
    os.setuid(65534)
for attempt in (check_writable, lambda path: write_verified(path, b"x", lambda _: None)):
    try:
        attempt(Path(sys.argv[1], "a.pfx"))
    except OutputError as error:
        print(type(error).__name__, error.hint is not None)
"""


@posix
def test_a_read_only_folder_is_refused_early(tmp_path: Path) -> None:
    shut = [folder for folder in tmp_path.parents if not folder.stat().st_mode & 0o001]
    modes = {folder: folder.stat().st_mode for folder in [tmp_path, *shut]}
    for folder in modes:
        folder.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", CLOSED, str(closed)],
            capture_output=True,
            text=True,
            check=True,
            cwd=PROJECT,
            timeout=LIMIT,
        )
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert done.stdout.split() == ["OutputError", "True"] * 2
    assert names(closed) == []


# There is no vfat to mount in a container: only what its `link` answers is put in place here.
@posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def test_a_file_system_without_hard_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    path = tmp_path / "a.pfx"
    write_verified(path, DATA, accept)
    assert (names(tmp_path), path.read_bytes()) == (["a.pfx"], DATA)
    with pytest.raises(OutputExistsError):
        write_verified(tmp_path / "b.pfx", DATA, lambda _: (tmp_path / "b.pfx").touch())
    assert names(tmp_path) == ["a.pfx", "b.pfx"]


@posix
def test_any_other_failure_is_an_error_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A disk that is full can't be had without mounting one.
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "a.pfx"
    with pytest.raises(OutputError) as caught:
        write_verified(path, DATA, accept)
    assert caught.value.message == f"`{path}` can't be written: no space left on device"
    assert names(tmp_path) == []


@posix
@pytest.mark.parametrize("target", ["there", "missing"])
def test_a_private_file_never_takes_an_existing_name(tmp_path: Path, target: str) -> None:
    (tmp_path / "there").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to(target)
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            write_private(tmp_path / name, DATA)
    assert (tmp_path / "there").read_bytes() == b"theirs"
    assert names(tmp_path) == ["link", "there"]


@posix
@pytest.mark.parametrize("replace", [True, False])
def test_a_file_exchanged_after_the_check_is_not_verified(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "a.pfx"
    checked = []

    def check(written: Path) -> None:
        checked.append(written.read_bytes())
        if checked[-1] != DATA:
            raise VerificationError("no", ("another file",))  # noqa: EM101
        written.rename(tmp_path / "taken")
        written.write_bytes(b"theirs")

    with pytest.raises(VerificationError):
        write_verified(path, DATA, check, replace=replace)
    assert checked == [DATA, b"theirs"]


# --- what killed runs leave

LEFT = ".nssbackup-0123456789abcdef.tmp"


def left(folder: Path, name: str = LEFT, *, hours: float = 0) -> Path:
    path = folder / name
    path.write_bytes(b"half")
    then = time.time() - hours * 3600
    os.utime(path, (then, then))
    return path


KILLED = """
import os, signal, sys
from pathlib import Path
from nssbackup.system.files import write_verified
write_verified(Path(sys.argv[1]), b"x", lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


@posix
def test_what_a_killed_run_leaves_is_private_and_removed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", KILLED, str(tmp_path / "a.pfx")]
    subprocess.run(words, check=False, cwd=PROJECT, timeout=60)
    (name,) = names(tmp_path)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    write_verified(tmp_path / "b.pfx", DATA, accept)
    assert names(tmp_path) == ["b.pfx"]


@posix
def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    left(tmp_path)
    (tmp_path / ".nssbackup-folder.tmp").mkdir()
    kept = [left(tmp_path, "nssbackup-0.tmp"), left(tmp_path, ".nssbackup-notes")]
    (tmp_path / ".nssbackup-link.tmp").symlink_to(kept[0])
    os.mkfifo(tmp_path / ".nssbackup-fifo.tmp")
    before = names(tmp_path)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [name for name in before if name != LEFT]


@posix
def test_what_another_run_is_writing_is_kept(tmp_path: Path) -> None:
    def check(written: Path) -> None:
        remove_leftovers(tmp_path)
        accept(written)

    write_verified(tmp_path / "a.pfx", DATA, check)
    assert names(tmp_path) == ["a.pfx"]


@posix
def test_a_file_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def create(path: Path) -> int:
        made.append(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if len(made) == 1:
            remove_leftovers(tmp_path)
        return descriptor

    monkeypatch.setattr(files, "create_private", create)
    write_verified(tmp_path / "a.pfx", DATA, accept)
    assert len(made) == 2
    assert names(tmp_path) == ["a.pfx"]


@posix
def test_without_locks_a_leftover_is_removed_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "lock", lambda _descriptor, **_: None)
    left(tmp_path, hours=25)
    left(tmp_path, ".nssbackup-1.tmp", hours=23)
    write_verified(tmp_path / "a.pfx", DATA, accept)
    assert names(tmp_path) == [".nssbackup-1.tmp", "a.pfx"]


@posix
@pytest.mark.skipif(not is_root(), reason="only root can give files away")
def test_another_users_leftovers_are_kept(tmp_path: Path) -> None:
    os.chown(left(tmp_path, hours=25), 12345, -1)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [LEFT]


# --- names

DEVICES = ["con", "prn", "aux", "nul", "com1", "COM9", "lpt1", "LPT9", "com¹", "conin$", "CONOUT$"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Jane Doe-WIPO CA-2056-05-01", "Jane Doe-WIPO CA-2056-05-01"),
        ('a/b\\c:d*e?f"g<h>i|j', "a_b_c_d_e_f_g_h_i_j"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("tab\tnew\nline\0nul\x1b[31m", "tab_new_line_nul_[31m"),
        ("right\u202eleft", "right_left"),
        ("  many   blanks  ", "many blanks"),
        (".hidden", "hidden"),
        ("ends.", "ends"),
        ("張三・特許 ü 😀", "張三・特許 ü 😀"),
        ("\udcff", "_"),
        ("console", "console"),
        ("com10", "com10"),
        ("", "_"),
        (".", "_"),
        ("..", "_"),
        ("...", "_"),
        (" ", "_"),
    ],
)
def test_a_name_keeps_what_every_system_takes(text: str, name: str) -> None:
    assert safe_name(text) == name


@pytest.mark.parametrize("text", ["x" * 300, "張" * 300, "😀" * 300, "a. " * 200, "ü" * 91])
def test_a_long_name_is_cut_between_characters(text: str) -> None:
    name = safe_name(text)
    assert text.startswith(name)
    assert 170 < len(name.encode()) <= 181


@given(st.text(st.characters(), max_size=400))
@example("con" + " " * 200)
@example("nul.")
@example("." * 190 + "a")
@example("a" * 179 + " b" * 9)
@example("a" * 178 + ".." + "b" * 9)
def test_any_text_makes_a_name_that_every_system_takes(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name.encode()) <= 181
    assert name not in (".", "..")
    assert not set(name) & set('<>:"/\\|?*')
    assert name.isprintable()
    assert name[-1] not in ". "
    assert name[0] not in ". "
    assert name.split(".")[0].rstrip(" ").casefold() not in DEVICES
    assert safe_name(name) == name


@posix
def test_folders_are_made_for_their_owner_alone(
    tmp_path: Path, umask: Callable[[int], None]
) -> None:
    umask(0)
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path, tmp_path / "a", tmp_path / "a/b")]
    assert modes == [0o755, 0o700, 0o700]
