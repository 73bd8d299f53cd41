"""Profiles in a ZIP or a tar: all of them, from memory, and nothing from outside."""

from __future__ import annotations

import io
import shutil
import sqlite3
import tarfile
import zipfile
from contextlib import closing, suppress
from pathlib import Path

import pytest

from nssbackup.errors import (
    DamagedContainerError,
    NoStoreError,
    NssBackupError,
    UnsupportedContainerError,
    UnsupportedStoreError,
)
from nssbackup.identity.model import Profile
from nssbackup.secret import Secret
from nssbackup.stores import open_store
from nssbackup.stores.containers import container_kind, profiles_in
from nssbackup.stores.inventory import take_inventory
from tests import FIXTURES
from tests.builders.store import StoreBuilder

PROFILES = FIXTURES / "profiles"
NAMES = ("firefox-nopassword", "legacy-nopassword", "ec-p256")


def found_in(path: Path) -> tuple[Profile, ...]:
    kind = container_kind(path)
    assert kind is not None
    return profiles_in(path, kind, lambda *_: None)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with three profiles at different depths."""
    top = tmp_path / "tree"
    for depth, name in enumerate(NAMES):
        shutil.copytree(PROFILES / name, top.joinpath(*["deep"] * depth, name))
    (top / "other.txt").write_text("none of ours")
    return top


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
def test_all_profiles_of_an_archive_are_read(tmp_path: Path, tree: Path, kind: str) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "backup"), kind, tree))
    path = path.rename(tmp_path / "named.anything")  # the content counts
    profiles = found_in(path)
    assert {one.path.relative_to(path).as_posix() for one in profiles} == {
        "firefox-nopassword",
        "deep/legacy-nopassword",
        "deep/deep/ec-p256",
    }
    assert {one.container for one in profiles} == {path}
    folders = [Profile(PROFILES / one.name, one.name, "NSS", store=one.store) for one in profiles]
    inside, outside = take_inventory(profiles), take_inventory(folders)
    assert [one.certificate for one in inside.identities] == [
        one.certificate for one in outside.identities
    ]
    for one, other in zip(inside.identities, outside.identities, strict=True):
        assert one.profile is not None
        assert other.profile is not None
        with open_store(one.profile) as store, open_store(other.profile) as same:
            store.unlock(Secret(""))
            same.unlock(Secret(""))
            assert store.private_key(one.certificate) == same.private_key(other.certificate)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_journal_in_the_archive_counts(tmp_path: Path, mode: str) -> None:
    """What a program that copies a profile in use puts into its archive."""
    folder = StoreBuilder(tmp_path / "profile").write()
    with closing(sqlite3.connect(folder / "cert9.db", isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode={mode}")
        database.execute("PRAGMA cache_size=1")
        database.execute("BEGIN")
        database.execute("CREATE TABLE filler (a)")
        database.execute("INSERT INTO filler VALUES (zeroblob(300000))")
        if mode == "WAL":
            database.execute("COMMIT")
        path = Path(shutil.make_archive(str(tmp_path / "backup"), "zip", folder))
    (profile,) = found_in(path)
    assert any("-" in name for name in profile.contents or {})
    with open_store(profile) as store:
        assert store.certificates() == ()


def test_no_path_of_an_archive_is_used(tmp_path: Path) -> None:
    data = (PROFILES / "firefox-nopassword" / "cert9.db").read_bytes()
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("../../up/cert9.db", "/etc/cert9.db", "C:\\Users\\x\\cert9.db"):
            file.writestr(name, data)
    found = {one.path.relative_to(path).as_posix() for one in found_in(path)}
    assert found == {"up", "etc", "C:/Users/x"}
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        link = tarfile.TarInfo("x/cert9.db")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(NoStoreError):
        found_in(tmp_path / "b.tar")


def test_an_encrypted_zip_is_called_so(tmp_path: Path) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "a"), "zip", PROFILES / "firefox-nopassword"))
    data = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(magic)
        while at >= 0:
            data[at + flags] |= 1  # general purpose bit 0 (APPNOTE, 4.4.4)
            at = data.find(magic, at + 4)
    path.write_bytes(data)
    with pytest.raises(UnsupportedContainerError, match="is an encrypted ZIP"):
        found_in(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(5):
            file.writestr(f"{number}/cert9.db", bytes(32 * 1024 * 1024))
    with pytest.raises(UnsupportedContainerError, match="have more than"):
        found_in(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("cert9.db", bytes(33 * 1024 * 1024))
    with pytest.raises(UnsupportedContainerError, match="is too large"):
        found_in(path)


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
def test_what_is_cut_short_is_damaged(tmp_path: Path, tree: Path, kind: str) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "backup"), kind, tree))
    data = path.read_bytes()
    for part in range(1, 20):
        path.write_bytes(data[: len(data) * part // 20])
        with suppress(DamagedContainerError, NoStoreError):
            take_inventory(found_in(path))


def test_what_is_no_container_is_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"", b"\0" * 10_000, b"PK", b"<!DOCTYPE html><html></html>", b"\x1f\x8b\x08junk"):
        path.write_bytes(data)
        assert container_kind(path) is None
    assert container_kind(tmp_path) is None
    assert container_kind(tmp_path / "absent") is None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    path.write_bytes(buffer.getvalue())
    assert container_kind(path) == "tar"


def test_nss_reads_folders_only(tmp_path: Path, tree: Path, require_peers: bool) -> None:
    del require_peers
    path = Path(shutil.make_archive(str(tmp_path / "backup"), "zip", tree))
    profile = found_in(path)[0]
    with pytest.raises(NssBackupError) as caught, open_store(profile, "nss"):
        pass
    assert isinstance(caught.value, UnsupportedStoreError) or caught.value.exit_status == 13
