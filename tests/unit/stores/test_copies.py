"""Staging: private copies of databases in every state, and none of them left behind."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from nssbackup.errors import DamagedStoreError, UnreadableStoreError, UnsupportedStoreError
from nssbackup.identity.model import Profile
from nssbackup.stores import copies, open_store
from nssbackup.stores.copies import copy_databases, private_copy
from tests.conftest import MakeProfile, Unchanged


@pytest.mark.posix("it looks at file modes")
@pytest.mark.parametrize(
    ("case", "names", "kind"),
    [
        ("firefox-nopassword", {"cert9.db", "key4.db"}, "sqlite"),
        ("nss387-password", {"cert9.db", "key4.db"}, "sqlite"),
        ("legacy-password", {"cert8.db", "key3.db"}, "legacy"),
    ],
)
def test_a_copy_is_private_and_the_same_and_then_gone(
    profile: MakeProfile, unchanged: Unchanged, case: str, names: set[str], kind: str
) -> None:
    folder = profile(case)
    with unchanged(folder), private_copy(folder) as copy:
        assert copy.kind == kind
        assert {path.name for path in copy.folder.iterdir()} == names
        assert copy.folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in copy.folder.iterdir()} == {0o600}
        found = []
        for each in (folder, copy.folder):
            with open_store(Profile(each, "x", "Firefox"), "native") as store:
                found.append(store.certificates())
        assert found[0] == found[1]
    assert not copy.folder.exists()


@pytest.mark.parametrize(("case", "length"), [("firefox-password", 48), ("nss387-password", 20)])
def test_the_salt_of_the_password_is_known_and_not_shown(
    profile: MakeProfile, case: str, length: int
) -> None:
    with private_copy(profile(case)) as copy:
        assert copy.global_salt is not None
        assert len(copy.global_salt) == length
        assert repr(copy.global_salt)[2:-1] not in repr(copy)


def test_of_both_kinds_the_current_one_is_copied(profile: MakeProfile) -> None:
    folder = profile("nss387-password")
    shutil.copytree(profile("legacy-password"), folder, dirs_exist_ok=True)
    with private_copy(folder) as copy:
        assert copy.kind == "sqlite"
        assert {path.name for path in copy.folder.iterdir()} == {"cert9.db", "key4.db"}


@pytest.mark.parametrize("name", ["cert9.db", "key4.db", "cert8.db", "key3.db"])
def test_one_of_a_pair_is_enough(profile: MakeProfile, name: str) -> None:
    folder = profile("legacy-password" if name in ("cert8.db", "key3.db") else "nss387-password")
    for path in folder.iterdir():
        if path.name != name:
            path.unlink()
    with private_copy(folder) as copy:
        assert [path.name for path in copy.folder.iterdir()] == [name]


def test_nothing_gives_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    with private_copy(tmp_path / "profile") as copy:
        assert (copy.kind, copy.global_salt, list(copy.folder.iterdir())) == (None, None, [])


def test_records_outside_of_the_old_database_go_along(
    profile: MakeProfile, unchanged: Unchanged
) -> None:
    folder = profile("legacy-password")
    (folder / "cert8.dir").mkdir()
    (folder / "cert8.dir" / "bABC").write_bytes(b"a large certificate")
    with unchanged(folder), private_copy(folder) as copy:
        assert (copy.folder / "cert8.dir" / "bABC").read_bytes() == b"a large certificate"


def test_what_can_be_no_such_record_is_passed_over(
    profile: MakeProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_MAX_BLOBS", 100)
    monkeypatch.setattr(copies, "_MAX_BLOB", 60)
    folder = profile("legacy-password")
    beside = folder / "cert8.dir"
    (beside / "bFolder").mkdir(parents=True)
    with (beside / "bSparse").open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    (beside / "bLink").symlink_to("nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(beside / "bPipe")
    for name in ("b1", "b2", "b3"):
        (beside / name).write_bytes(bytes(40))
    (beside / "b4").write_bytes(bytes(61))
    with private_copy(folder) as copy:
        found = sorted((copy.folder / "cert8.dir").iterdir())
        assert len(found) == 2
        assert {one.name for one in found} < {"b1", "b2", "b3"}
        assert {one.stat().st_size for one in found} == {40}


def test_write_ahead_logging_is_taken_in(profile: MakeProfile) -> None:
    folder = profile("nss387-nopassword")
    with closing(sqlite3.connect(folder / "cert9.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        with database:
            database.execute("UPDATE nssPublic SET a3 = 'new'")
        with private_copy(folder) as copy:
            names = {path.name for path in copy.folder.iterdir()}
            assert names == {"cert9.db", "key4.db"}
            with closing(sqlite3.connect(copy.folder / "cert9.db")) as copied:
                found = copied.execute("SELECT DISTINCT a3 FROM nssPublic").fetchall()
                assert found == [("new",)]


def test_what_can_not_be_copied_is_said_and_leaves_nothing(
    profile: MakeProfile, unchanged: Unchanged, tmp_path: Path
) -> None:
    folder = profile("nss387-nopassword")
    (folder / "cert9.db").write_bytes(b"noise" * 1000)
    with unchanged(folder), pytest.raises(DamagedStoreError), private_copy(folder):
        pass
    (folder / "cert9.db").unlink()
    (folder / "cert9.db").mkdir()
    with unchanged(folder), pytest.raises(UnreadableStoreError), private_copy(folder):
        pass
    with pytest.raises(UnreadableStoreError, match="can't be copied to"):
        copy_databases(profile("legacy-password"), tmp_path / "nowhere")


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, x, x FROM c"


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("key4.db", f"DROP TABLE metaData; CREATE VIEW metaData (id, item1, item2) AS {ENDLESS}"),
        ("cert9.db", "CREATE TRIGGER t AFTER INSERT ON nssPublic BEGIN DELETE FROM nssPublic; END"),
    ],
)
def test_a_database_that_acts_when_it_is_used_is_not_copied(
    profile: MakeProfile, unchanged: Unchanged, name: str, statement: str
) -> None:
    folder = profile("nss387-nopassword")
    with closing(sqlite3.connect(folder / name)) as database:
        database.executescript(statement)
    with (
        unchanged(folder),
        pytest.raises(UnsupportedStoreError, match=f"{name}` has more than the plain tables"),
        private_copy(folder),
    ):
        pass


def test_a_missing_folder_for_temporary_files_is_said(
    profile: MakeProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with (
        pytest.raises(UnreadableStoreError, match="no folder for temporary files: no such file"),
        private_copy(profile("nss387-nopassword")),
    ):
        pass


def _interrupted(copy: Path) -> None:
    (copy / "a folder").mkdir()
    (copy / "a folder" / "file").write_bytes(b"x")
    (copy / "dangling").symlink_to("nowhere")
    raise KeyboardInterrupt


def test_a_copy_is_gone_whatever_happens_to_it(profile: MakeProfile, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        with (
            pytest.raises(KeyboardInterrupt),
            private_copy(profile("nss387-nopassword")) as copy,
        ):
            _interrupted(copy.folder)
    assert list(temporary.iterdir()) == []
