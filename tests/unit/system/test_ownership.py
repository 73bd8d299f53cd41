"""Root in somebody's home: with that user's rights, and back again."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nssbackup.errors import DamagedStoreError, UnreadableStoreError
from nssbackup.stores.copies import private_copy
from nssbackup.system.locking import scratch_folder
from nssbackup.system.ownership import as_owner, homes_of
from nssbackup.system.snapshot import read_stable, take_snapshot
from tests import is_root

pytestmark = pytest.mark.skipif(not is_root(), reason="only root has another's rights to take")

JANE, BOB = 47_001, 47_002


@pytest.fixture
def homes() -> Iterator[Path]:
    """Homes that their owners can get to: pytest's own folders are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        top.chmod(0o755)
        for name, user in (("jane", JANE), ("bob", BOB), ("root", 0)):
            (top / name).mkdir(mode=0o700)
            (top / name / "file").write_bytes(name.encode())
            (top / name / "file").chmod(0o600)
            for path in (top / name, top / name / "file"):
                os.chown(path, user, user)
        yield top


def rights() -> tuple[int, int, list[int]]:
    return os.geteuid(), os.getegid(), os.getgroups()


def test_the_rights_are_the_owners_and_are_given_back(homes: Path) -> None:
    before = rights()
    with homes_of([homes / "jane"]):
        assert rights() == before
        with as_owner(homes / "jane"):
            assert rights() == (JANE, JANE, [JANE])
            assert (homes / "jane" / "file").read_bytes() == b"jane"
            with pytest.raises(PermissionError):
                (homes / "bob" / "file").read_bytes()
            with pytest.raises(PermissionError):
                (homes / "root" / "file").read_bytes()
            with as_owner(homes / "jane"):  # once more is no more
                assert rights() == (JANE, JANE, [JANE])
            assert rights() == (JANE, JANE, [JANE])
        assert rights() == before
    with as_owner(homes / "jane"):
        assert rights() == before


def test_no_link_of_either_kind_leads_anywhere(homes: Path) -> None:
    (homes / "jane" / "symbolic").symlink_to(homes / "bob" / "file")
    (homes / "jane" / "hard").hardlink_to(homes / "bob" / "file")
    with homes_of([homes / "jane"]), as_owner(homes / "jane"):
        for name in ("symbolic", "hard"):
            with pytest.raises(PermissionError):
                (homes / "jane" / name).read_bytes()


def test_a_folder_swapped_after_a_check_gives_no_database(homes: Path) -> None:
    """What a race would come to: the path was all right, and what is opened is another's."""
    for name in ("cert9.db", "cert8.db"):
        (homes / "bob" / name).write_bytes(b"")
    (homes / "bob").chmod(0o700)
    (homes / "jane" / "profile").symlink_to(homes / "bob")
    swapped = homes / "jane" / "profile"
    with homes_of([homes / "jane"]):
        with pytest.raises(UnreadableStoreError, match="permission denied"):
            take_snapshot(swapped / "cert9.db")
        with pytest.raises(UnreadableStoreError, match="permission denied"):
            read_stable(swapped / "cert8.db")
        with pytest.raises(UnreadableStoreError), private_copy(swapped):
            pass
    with pytest.raises(DamagedStoreError, match="is empty"):
        take_snapshot(swapped / "cert9.db")


@pytest.mark.parametrize("names", [["root"], ["nobody's"], []])
def test_of_nobody_in_particular_nothing_is_taken_on(homes: Path, names: list[str]) -> None:
    before = rights()
    with homes_of(homes / name for name in names), as_owner(homes / "root"):
        assert rights() == before


def test_of_two_homes_each_is_read_with_its_own_owners_rights(homes: Path) -> None:
    (homes / "link").symlink_to("jane")
    with homes_of([homes / "link", homes / "bob", homes / "root"]):
        for path, user in (
            ("link", JANE),
            ("link/file", JANE),
            ("jane/file", JANE),
            ("bob/file", BOB),
            ("root/file", 0),
            ("elsewhere", JANE),
            ("bobby", JANE),
        ):
            with as_owner(homes / path):
                assert os.geteuid() == user, path


def test_an_image_below_a_closed_folder_is_read_as_root(homes: Path) -> None:
    homes.chmod(0o700)
    before = rights()
    with homes_of([homes / "jane"]), as_owner(homes / "jane"):
        assert rights() == before
        assert (homes / "jane" / "file").read_bytes() == b"jane"


def test_a_home_that_its_owner_closed_to_himself_is_not(homes: Path) -> None:
    (homes / "jane").chmod(0)
    with homes_of([homes / "jane"]), as_owner(homes / "jane"):
        assert os.geteuid() == JANE


def test_where_the_user_can_not_be_changed_all_stays_as_it_is(homes: Path) -> None:
    code = (
        "import os, sys; from nssbackup.system.ownership import as_owner, homes_of\n"
        "with homes_of([sys.argv[1]]), as_owner(sys.argv[1]):\n"
        "    print(os.geteuid(), open(sys.argv[1] + '/file').read())"
    )
    words = ["setpriv", "--bounding-set", "-setuid,-setgid", sys.executable, "-c", code]
    done = subprocess.run([*words, homes / "jane"], capture_output=True, text=True, check=False)
    assert done.stdout == "0 jane\n", done.stderr


def test_a_folder_for_temporary_files_that_is_closed_to_the_owner_is_none(
    homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chosen for one user, it may be closed to the next."""
    for name, user in (("jane", JANE), ("bob", BOB)):
        path = homes / name / "key4.db"
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE metaData (id)")
        os.chown(path, user, user)
    for first in (homes / "root", homes / "jane"):
        monkeypatch.setenv("TMPDIR", str(first))
        monkeypatch.setattr(tempfile, "tempdir", None)
        with homes_of([first]), as_owner(first), scratch_folder() as folder:
            assert folder.parent == first
        for name in ("jane", "bob", "jane"):
            with homes_of([homes / name]):
                snapshot = take_snapshot(homes / name / "key4.db")
            assert snapshot is not None
            snapshot.close()


def test_what_pythons_own_files_say_is_known_before_the_owner_may_not_read_them(
    homes: Path,
) -> None:
    (homes / "jane" / "file").write_bytes(b"\xef\xbb\xbfjane")
    code = (
        "import encodings, sys; from nssbackup.system.ownership import as_owner, homes_of\n"
        "from nssbackup.system.reading import read_text\n"
        "with homes_of([sys.argv[1]]), as_owner(sys.argv[1]):\n"
        "    encodings.__path__ = []\n"
        "    print(read_text(sys.argv[1] + '/file', 99), b'\\xe4'.decode('cp1252'))"
    )
    words = [sys.executable, "-c", code, str(homes / "jane")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "jane ä\n", done.stderr


_WITHOUT_ROOTS_POWERS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


@pytest.mark.parametrize("closed", [".", "key4.db"])
@pytest.mark.parametrize("owner", [0, JANE])
def test_the_hint_depends_on_who_owns_what_is_closed(homes: Path, closed: str, owner: int) -> None:
    folder = homes / "root"
    (folder / "key4.db").write_bytes(b"x")
    (folder / closed).chmod(0)
    os.chown(folder / closed, owner, owner)
    code = (
        "import sys; from pathlib import Path\n"
        "from nssbackup.errors import UnreadableStoreError\n"
        "from nssbackup.system.snapshot import take_snapshot\n"
        "try: take_snapshot(Path(sys.argv[1]))\n"
        "except UnreadableStoreError as error: print(error.message, '|', error.hint)"
    )
    words = [*_WITHOUT_ROOTS_POWERS, sys.executable, "-c", code, str(folder / "key4.db")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    message, _, hint = done.stdout.strip().partition(" | ")
    assert message == f"`{folder / 'key4.db'}` can't be read: permission denied", done.stderr
    if owner == 0:
        path = (folder / closed).resolve()
        assert hint == f"it is yours: allow yourself to read it with `chmod -R u+rX {path}`"
    else:
        assert hint.startswith(f"run nssbackup as `number {JANE}`")
