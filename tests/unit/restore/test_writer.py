"""Writer: databases made as NSS makes them, and additions that are there all or not at all."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nssbackup.errors import (
    DamagedStoreError,
    RestoreError,
    StoreChangedError,
    StoreUnwritableError,
    UnsupportedStoreError,
)
from nssbackup.identity.private_keys import from_pkcs8
from nssbackup.restore import rows as rows_module
from nssbackup.restore import writer
from nssbackup.restore.objects import Additions, Change, Maker, NewObject
from nssbackup.restore.rows import Rows, Table
from nssbackup.stores.native import pbe
from tests import PROFILES
from tests.builders.store import COLUMNS, StoreBuilder, cka_id, issue, rsa_key
from tests.unit.pkcs12.identities import pkcs8_of

State = dict[str, bytes]


def state(folder: Path) -> State:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def salt_of(folder: Path) -> bytes:
    with closing(sqlite3.connect(folder / "key4.db")) as database:
        (salt,) = database.execute("SELECT item1 FROM metaData WHERE id = 'password'").fetchone()
    return bytes(salt)


def additions(folder: Path) -> Additions:
    """Both halves of a key, to be added to a folder's databases."""
    key = pbe.intermediate_key(salt_of(folder), "")
    maker = Maker(key, 1, Rows.read(folder).free_ids())
    made = from_pkcs8(pkcs8_of(rsa_key()))
    maker.add_public_key(made, cka_id(rsa_key()))
    maker.add_private_key(made, cka_id(rsa_key()), "jane", b"0\0")
    return maker.additions()


# --- making


@pytest.mark.posix("it looks at file modes")
def test_new_databases_have_the_schema_of_nss(tmp_path: Path) -> None:
    made = writer.create_missing(tmp_path)
    assert made == state(tmp_path)
    for name, table in (("cert9.db", "nssPublic"), ("key4.db", "nssPrivate")):
        with closing(sqlite3.connect(tmp_path / name)) as ours:
            peer = PROFILES / "nss387-nopassword" / name
            with closing(sqlite3.connect(f"file:{peer}?mode=ro", uri=True)) as theirs:
                query = "SELECT type, name, tbl_name FROM sqlite_master WHERE sql IS NOT NULL"
                assert set(ours.execute(query)) == set(theirs.execute(query))
                columns = f"SELECT name FROM pragma_table_info('{table}')"  # noqa: S608 - a constant
                assert ours.execute(columns).fetchall() == theirs.execute(columns).fetchall()
                # Whether each index is unique, and what made it.
                unique = f"SELECT \"unique\", origin FROM pragma_index_list('{table}')"  # noqa: S608
                assert ours.execute(unique).fetchall() == theirs.execute(unique).fetchall()
            found = ours.execute(columns).fetchall()
            assert [column for (column,) in found] == ["id", *COLUMNS]
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PROFILES / "key-without-certificate", tmp_path / "profile"))
    (folder / "cert9.db").unlink()
    before = (folder / "key4.db").read_bytes()
    assert writer.create_missing(folder).keys() == {"cert9.db"}
    assert (folder / "key4.db").read_bytes() == before
    assert writer.create_missing(folder) == {}


def test_two_new_key_databases_have_different_salts(tmp_path: Path) -> None:
    salts = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        writer.create_missing(tmp_path / name)
        salts.add(salt_of(tmp_path / name))
    assert len(salts) == 2
    assert {len(salt) for salt in salts} == {20}


def test_a_folder_that_is_not_there_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreUnwritableError, match="no such file"):
        writer.create_missing(tmp_path / "nowhere")
    with pytest.raises(StoreUnwritableError, match="nowhere` does not exist") as refused:
        writer.place(tmp_path / "nowhere", {"key4.db": b""})
    assert refused.value.hint is None


# --- placing


@pytest.mark.posix("it looks at file modes")
def test_placed_databases_are_private_and_replace_nothing(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        writer.place(tmp_path, {"key4.db": b"one", "cert9.db": b"two"})
    finally:
        os.umask(umask)
    assert state(tmp_path) == {"key4.db": b"one", "cert9.db": b"two"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    with pytest.raises(StoreChangedError):
        writer.place(tmp_path, {"key4.db": b"three"})
    assert state(tmp_path) == {"key4.db": b"one", "cert9.db": b"two"}


def test_taken_back_is_only_what_nobody_has_written_to(tmp_path: Path) -> None:
    placed = {"key4.db": b"one", "cert9.db": b"two"}
    writer.place(tmp_path, placed)
    (tmp_path / "cert9.db").write_bytes(b"somebody's")
    writer.take_back(tmp_path, placed)
    assert state(tmp_path) == {"cert9.db": b"somebody's"}
    writer.take_back(tmp_path, placed)
    (tmp_path / "cert9.db").write_bytes(b"two")
    (tmp_path / "cert9.db-journal").touch()
    writer.take_back(tmp_path, placed)
    assert (tmp_path / "cert9.db").exists()


# --- adding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "profile").mkdir()
    writer.create_missing(tmp_path / "profile")
    return tmp_path / "profile"


def test_all_is_added_in_one_transaction(folder: Path) -> None:
    made = additions(folder)
    writer.add(folder, made, salt_of(folder))
    rows = Rows.read(folder)
    assert len(rows.public.objects) == len(rows.private.objects) == 1
    assert rows.signatures == made.signatures
    assert sorted(state(folder)) == ["cert9.db", "key4.db"]


def test_what_differs_from_an_older_copy_is_what_was_added(folder: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(folder, tmp_path / "older"))
    before = Rows.read(folder)
    writer.add(folder, additions(folder), salt_of(folder))
    number = next(iter(Rows.read(folder).public.objects))
    change = Change(private=False, id=number, before={"a3": b"\xa5\x00\x5a"}, after={"a3": b"new"})
    writer.add(folder, Additions((), {}, (change,)), salt_of(folder))
    writer.add(older, Rows.read(folder).since(before), salt_of(folder))
    assert Rows.read(older) == Rows.read(folder)
    assert Rows.read(older).since(Rows.read(folder)) == Additions((), {}, ())


def _twice(folder: Path, made: Additions) -> Additions:
    writer.add(folder, made, salt_of(folder))
    return made


def _same_id(folder: Path, made: Additions) -> Additions:
    first = made.objects[0]
    other = NewObject(private=False, id=first.id, columns={"a0": b"\0\0\0\x99"})
    writer.add(folder, Additions((other,), {}), salt_of(folder))
    return made


def _other_key_id(folder: Path, made: Additions) -> Additions:
    for each in made.objects:
        other = replace(each, id=each.id + 77)
        writer.add(folder, Additions((other,), {}), salt_of(folder))
    return made


def _changed_row(folder: Path, made: Additions) -> Additions:
    writer.add(folder, made, salt_of(folder))
    number = made.objects[0].id
    change = Change(private=False, id=number, before={"a3": b"what was"}, after={"a3": b"new"})
    fresh = NewObject(private=True, id=1, columns={"a0": b"\0\0\0\x04"})
    return Additions((fresh,), {"sig_key_00000001_00000011": b"x"}, (change,))


def _no_such_row(folder: Path, _: Additions) -> Additions:
    del folder
    return Additions((), {"sig": b"x"}, (Change(True, 5, {"a3": None}, {"a3": b"new"}),))


@pytest.mark.parametrize("case", [_twice, _same_id, _other_key_id, _changed_row, _no_such_row])
def test_what_is_not_as_it_was_ends_it_and_nothing_is_added(
    folder: Path, case: Callable[[Path, Additions], Additions]
) -> None:
    made = case(folder, additions(folder))
    before = state(folder)
    with pytest.raises(StoreChangedError):
        writer.add(folder, made, salt_of(folder))
    assert state(folder) == before


def test_another_salt_means_another_password(folder: Path) -> None:
    made = additions(folder)
    before = state(folder)
    for salt in (os.urandom(20), b"", None):
        with pytest.raises(StoreChangedError):
            writer.add(folder, made, salt)
    assert state(folder) == before


def test_a_missing_column_ends_it_and_nothing_is_added(folder: Path) -> None:
    before = state(folder)
    odd = NewObject(private=True, id=9, columns={"a0": b"\0\0\0\x04", "a999": b"x"})
    with pytest.raises(StoreUnwritableError):
        writer.add(folder, Additions((odd,), {}), salt_of(folder))
    assert state(folder) == before


@pytest.mark.parametrize("name", ["cert9.db", "key4.db"])
def test_damaged_and_missing_databases_are_errors_in_words(folder: Path, name: str) -> None:
    made, salt = additions(folder), salt_of(folder)
    (folder / name).write_bytes(b"noise" * 1000)
    before = state(folder)
    with pytest.raises(DamagedStoreError):
        writer.add(folder, made, salt)
    assert state(folder) == before
    (folder / name).unlink()
    with pytest.raises(RestoreError):
        writer.add(folder, made, salt)
    assert name not in state(folder)


@pytest.mark.parametrize("name", ["cert9.db", "key4.db"])
def test_write_ahead_logging_is_refused_without_being_opened(folder: Path, name: str) -> None:
    made, salt = additions(folder), salt_of(folder)
    with closing(sqlite3.connect(folder / name)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    before = state(folder)
    with pytest.raises(StoreUnwritableError, match="WAL"):
        writer.add(folder, made, salt)
    assert state(folder) == before


def test_a_super_journal_is_removed_unless_in_use(
    folder: Path,
) -> None:
    left, odd = folder / "key4.db-mj0123ABCDE", folder / "key4.db-mjx"
    for path in (left, odd):
        path.write_bytes(b"x")
    writer.add(folder, additions(folder), salt_of(folder))
    assert (left.exists(), odd.exists()) == (False, True)
    left.write_bytes(b"x")
    (folder / "cert9.db-journal").write_bytes(b"")
    with pytest.raises(StoreChangedError):
        writer.add(folder, additions(folder), b"")
    assert left.exists()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the disk fail once where all is to be there for good: before that, or right after it."""

    def arm(*, done: bool) -> None:
        class Failing(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:  # noqa: ANN401 - SQLite's
                if sql != "COMMIT":
                    return super().execute(sql, *parameters)
                if done:
                    super().execute(sql)
                message = "disk I/O error"
                raise sqlite3.OperationalError(message)

        kinds: list[type[sqlite3.Connection]] = [Failing]
        connect = sqlite3.connect
        monkeypatch.setattr(
            sqlite3,
            "connect",
            lambda *words, **more: connect(
                *words, **more, factory=kinds.pop() if kinds else sqlite3.Connection
            ),
        )

    return arm


def _changing(folder: Path, made: Additions) -> Additions:
    """The same, with a change of an object that is there."""
    with closing(sqlite3.connect(folder / "cert9.db")) as database, database:
        database.execute("INSERT INTO nssPublic (id, a3) VALUES (5, ?)", (b"before",))
    change = Change(private=False, id=5, before={"a3": b"before"}, after={"a3": b"after"})
    return replace(made, changes=(change,))


@pytest.mark.parametrize("change", [False, True])
def test_a_failure_when_all_was_there_already_is_none(
    folder: Path, failing: Callable[..., None], *, change: bool
) -> None:
    made, salt = additions(folder), salt_of(folder)
    made = _changing(folder, made) if change else made
    failing(done=True)
    writer.add(folder, made, salt)
    rows = Rows.read(folder)
    assert rows.signatures == made.signatures
    assert {*rows.public.objects, *rows.private.objects} >= {each.id for each in made.objects}
    assert not change or rows.public.objects[5]["a3"] == b"after"


@pytest.mark.parametrize("part", ["all", "objects", "changes"])
def test_a_failure_before_all_is_there_is_told_and_nothing_is(
    folder: Path, failing: Callable[..., None], part: str
) -> None:
    made, salt = _changing(folder, additions(folder)), salt_of(folder)
    if part == "objects":
        made = replace(made, changes=())
    elif part == "changes":
        made = replace(made, objects=(), signatures={})
    before = state(folder)
    failing(done=False)
    with pytest.raises(StoreUnwritableError) as caught:
        writer.add(folder, made, salt)
    path = folder / "key4.db"
    assert caught.value.message == f"`{path}` can't be written: disk i/o error"
    assert caught.value.hint is None
    assert state(folder) == before


def test_a_database_that_stays_locked_says_what_to_close(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, salt = additions(folder), salt_of(folder)
    monkeypatch.setattr(writer, "_BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(folder / "key4.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnwritableError, match="is locked") as caught:
            writer.add(folder, made, salt)
    assert caught.value.hint == "close the application that uses the profile"


@pytest.mark.posix("Windows tells by the time only")
def test_a_leftover_goes_when_databases_are_placed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    left = tmp_path / "other" / ".nssbackup-0123456789abcdef.tmp"
    left.touch()
    writer.place(tmp_path / "other", state(folder))
    assert sorted(state(tmp_path / "other")) == ["cert9.db", "key4.db"]


def test_additions_show_no_secret(folder: Path) -> None:
    made = additions(folder)
    writer.add(folder, made, salt_of(folder))
    change = Change(True, 1, {"a123": b"secret"}, {"a123": b"secret"})
    for each in (made, made.objects[1], Rows.read(folder), change):
        assert "secret" not in repr(each)
        assert repr(made.objects[1].columns["a123"])[2:-1] not in repr(each)


def test_rows_of_other_programs_are_read_past(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path)
    row = builder.add_certificate(issue(rsa_key()), b"x")
    row["a3"] = "text"
    folder = builder.write()
    rows = Rows.read(folder)
    assert "a3" not in rows.public.objects[row["id"]]  # type: ignore[index]  # it is a number
    with closing(sqlite3.connect(folder / "cert9.db")) as database, database:
        database.execute("UPDATE nssPublic SET id = 'text'")
    with pytest.raises(DamagedStoreError, match="impossible id"):
        Rows.read(folder)
    (folder / "key4.db").write_bytes(b"noise" * 1000)
    with pytest.raises(DamagedStoreError):
        Rows.read(folder)


def test_free_ids_are_free_and_those_of_nss(folder: Path) -> None:
    writer.add(folder, additions(folder), salt_of(folder))
    rows = Rows.read(folder)
    ids = rows.free_ids()
    found = [next(ids) for _ in range(1000)]
    assert len(set(found)) == 1000
    assert all(0 < number <= 0x3FFFFFFF for number in found)
    assert not set(found) & {*rows.public.objects, *rows.private.objects}


def test_free_ids_begin_at_the_clock_and_skip_taken_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time", lambda: 2001.0)
    monkeypatch.setattr(rows_module, "_ID_MASK", 0xF)
    assert 2_001_000 & 0xF == 8
    taken = [Table({number: {}}, frozenset()) for number in (10, 12)]
    for public, private in (taken, reversed(taken)):
        ids = Rows(public, private, {}).free_ids()
        assert [next(ids) for _ in range(6)] == [9, 11, 13, 14, 15, 1]


def test_more_rows_than_any_nss_writes_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(folder / "cert9.db")) as database, database:
        database.execute("INSERT INTO nssPublic (id) VALUES (5), (6)")
    monkeypatch.setattr(rows_module, "_MAX_ROWS", 2)
    assert len(Rows.read(folder).public.objects) == 2
    monkeypatch.setattr(rows_module, "_MAX_ROWS", 1)
    with pytest.raises(UnsupportedStoreError) as caught:
        Rows.read(folder)
    assert caught.value.message == "`cert9.db` holds more than nssbackup reads"


@pytest.mark.parametrize("file", ["cert9.db", "key4.db", "signatures"])
def test_of_rows_that_are_large_together_not_all_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    table, columns = {
        "cert9.db": ("nssPublic", "id, a3"),
        "key4.db": ("nssPrivate", "id, a3"),
        "signatures": ("metaData", "id, item1"),
    }[file]
    name = "key4.db" if file == "signatures" else file
    with closing(sqlite3.connect(folder / name)) as database, database:
        for number in (1, 2, 3):
            key = f"sig_{number}" if file == "signatures" else number
            database.execute(f"INSERT INTO {table} ({columns}) VALUES (?, ?)", (key, bytes(100)))  # noqa: S608 - constants
    size = 3 * 105 if file == "signatures" else 300
    monkeypatch.setattr(rows_module, "_MAX_ROW_BYTES", size)
    Rows.read(folder)
    monkeypatch.setattr(rows_module, "_MAX_ROW_BYTES", size - 1)
    with pytest.raises(UnsupportedStoreError, match=f"^`{name}` holds more"):
        Rows.read(folder)
