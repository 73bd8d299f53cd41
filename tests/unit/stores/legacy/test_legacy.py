"""LegacyStore: which files make one, and that no damage to them is more than an error."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssbackup.errors import (
    DamagedStoreError,
    KeyMissingError,
    NoStoreError,
    NssBackupError,
    UnreadableStoreError,
    UnsupportedStoreError,
)
from nssbackup.identity.certificate import from_der
from nssbackup.identity.choosing import assemble
from nssbackup.secret import Secret
from nssbackup.stores.legacy.store import LegacyStore
from nssbackup.stores.native import NativeEngine
from tests import PROFILES
from tests.builders.berkeley import with_header
from tests.builders.legacy import (
    LegacyBuilder,
    key_record,
)
from tests.builders.store import (
    StoreBuilder,
    des_blob,
)
from tests.conftest import Unchanged
from tests.unit.stores.legacy.legacy_stores import (
    EC,
    EC_DER,
    RSA,
    RSA_DER,
    at,
    make_dangling,
    make_fifo,
    make_folder,
    make_loop,
    opened,
)
from tests.unit.stores.native.stores import pkcs8


@pytest.fixture
def builder(tmp_path: Path) -> LegacyBuilder:
    return LegacyBuilder(tmp_path / "profile")


@pytest.fixture
def store(builder: LegacyBuilder) -> LegacyBuilder:
    """A store with an RSA identity and no password."""
    builder.add_identity(RSA, RSA_DER)
    return builder


def test_a_folder_without_databases_has_no_store(tmp_path: Path) -> None:
    assert LegacyStore.read(tmp_path) is None
    with pytest.raises(NoStoreError), NativeEngine().open(at(tmp_path)):
        pass


def test_certificates_alone_are_a_store_without_keys(store: LegacyBuilder) -> None:
    (store.write() / "key3.db").unlink()
    with NativeEngine().open(at(store.folder)) as found:
        assert found.needs_password() is None
        assert found.orphan_keys() == ()
        (certificate,) = found.certificates()
        assert not certificate.has_private_key
        found.unlock(Secret("anything"))
        with pytest.raises(KeyMissingError):
            found.private_key(certificate)


def test_keys_alone_are_a_store_of_orphans(store: LegacyBuilder) -> None:
    (store.write() / "cert8.db").unlink()
    with NativeEngine().open(at(store.folder)) as found:
        assert found.certificates() == ()
        (orphan,) = found.orphan_keys()
        assert (orphan.type, orphan.bits) == ("RSA", 2048)
        assert found.orphan_of(from_der(RSA_DER)) == orphan
        found.unlock(Secret(""))
        assert found.private_key(from_der(RSA_DER)).pkcs8 == pkcs8(RSA)


@pytest.mark.parametrize("file", ["cert8.db", "key3.db"])
@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (bytes(4096), "holds nothing but zero bytes")]
)
def test_a_file_without_contents_is_said(
    store: LegacyBuilder, file: str, content: bytes, said: str
) -> None:
    """The library takes it for a new database."""
    (store.write() / file).write_bytes(content)
    with pytest.raises(DamagedStoreError, match=f"{file}` {said}"):
        LegacyStore.read(store.folder)


@pytest.mark.parametrize("file", ["cert9.db", "key4.db"])
def test_where_both_generations_lie_the_newer_is_read(
    store: LegacyBuilder, tmp_path: Path, file: str
) -> None:
    """After a migration the old pair stays and is no longer kept up."""
    store.write()
    newer = StoreBuilder(tmp_path / "newer")
    newer.add_identity(EC, EC_DER)
    shutil.copyfile(newer.write() / file, store.folder / file)
    with NativeEngine().open(at(store.folder)) as found:
        assert {c.der for c in found.certificates()} == ({EC_DER} if file == "cert9.db" else set())
        assert RSA_DER not in {c.der for c in found.certificates()}


@pytest.mark.parametrize("file", ["cert8.db", "key3.db"])
def test_a_damaged_file_is_named(store: LegacyBuilder, file: str) -> None:
    path = store.write() / file
    path.write_bytes(b"no database at all")
    with pytest.raises(DamagedStoreError, match=f"`{file}` is damaged"):
        LegacyStore.read(store.folder)


@pytest.mark.parametrize("version", [b"", b"\2", b"\4", b"\0", b"3", b"\xff" * 300])
def test_another_version_of_the_key_database_is_named(store: LegacyBuilder, version: bytes) -> None:
    store.keys[b"Version"] = version
    store.write()
    with pytest.raises(UnsupportedStoreError, match=r"`key3\.db` has version") as info:
        LegacyStore.read(store.folder)
    assert len(info.value.message) < 80


def test_a_key_database_without_a_version_is_named(store: LegacyBuilder) -> None:
    del store.keys[b"Version"]
    store.write()
    with pytest.raises(UnsupportedStoreError, match="none"):
        LegacyStore.read(store.folder)


@pytest.mark.parametrize("file", ["cert8.db", "key3.db"])
def test_a_sparse_database_of_more_than_64_megabytes_is_refused(
    store: LegacyBuilder, file: str
) -> None:
    os.truncate(store.write() / file, 2**40)
    with pytest.raises(UnsupportedStoreError, match="too large"):
        LegacyStore.read(store.folder)


@pytest.mark.parametrize("file", ["cert8.db", "key3.db"])
@pytest.mark.parametrize(
    "change", [make_dangling, make_folder, make_fifo, make_loop], ids=lambda change: change.__name__
)
def test_what_is_no_file_is_unreadable(
    store: LegacyBuilder, file: str, change: Callable[[Path], None]
) -> None:
    change(store.write() / file)
    with pytest.raises(UnreadableStoreError, match=file.replace(".", r"\.")):
        LegacyStore.read(store.folder)


def test_a_name_of_zeros_is_nobodys_key(store: LegacyBuilder) -> None:
    """Without its zeros nothing is left of it; nor is a certificate of an unknown kind named."""
    store.keys[bytes(40)] = key_record(des_blob(store.key, pkcs8(RSA)))
    found = opened(store)
    assert found.orphan_keys() == ()


def test_a_closed_store_is_of_no_use(store: LegacyBuilder) -> None:
    found = opened(store)
    (certificate,) = found.certificates()
    found.close()
    for ask in (
        found.certificates,
        found.notes,
        found.orphan_keys,
        found.needs_password,
        lambda: found.unlock(Secret("")),
        lambda: found.private_key(certificate),
        lambda: found.orphan_of(certificate),
    ):
        with pytest.raises(ValueError, match="closed"):
            ask()


def test_reading_leaves_the_folder_as_it_is(store: LegacyBuilder, unchanged: Unchanged) -> None:
    folder = store.write()
    with unchanged(folder), NativeEngine().open(at(folder)) as found:
        found.unlock(Secret(""))
        (certificate,) = found.certificates()
        found.private_key(certificate)


# --- any damage


@cache
def real(file: str) -> bytes:
    return (PROFILES / "legacy-nopassword" / file).read_bytes()


@cache
def truth() -> dict[bytes, bytes]:
    """What is in the real profile: each certificate with a key, and that key."""
    return _read_all(PROFILES / "legacy-nopassword")


def _read_all(folder: Path) -> dict[bytes, bytes]:
    found = {}
    with NativeEngine().open(at(folder)) as store:
        store.notes()
        assemble(None, store.certificates())
        store.orphan_keys()
        store.needs_password()
        store.unlock(Secret(""))
        for certificate in store.certificates():
            with suppress(NssBackupError):
                key = store.private_key(certificate)
                if key.public_key == certificate.public_key:
                    found[certificate.der] = key.pkcs8
    return found


@settings(max_examples=300)
@given(
    file=st.sampled_from(["cert8.db", "key3.db"]),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    cut=st.none() | st.floats(0, 1),
)
def test_spoiled_databases_end_in_our_errors_or_the_truth(
    tmp_path_factory: pytest.TempPathFactory,
    file: str,
    changes: list[tuple[float, int, bool]],
    cut: float | None,
) -> None:
    spoiled = bytearray(real(file))
    used = [n for n, byte in enumerate(spoiled) if byte]
    for place, value, anywhere in changes:
        spoiled[int(place * len(spoiled)) if anywhere else used[int(place * len(used))]] = value
    if cut is not None:
        del spoiled[int(cut * len(spoiled)) :]
    folder = tmp_path_factory.mktemp("spoiled")
    other = "key3.db" if file == "cert8.db" else "cert8.db"
    (folder / other).write_bytes(real(other))
    (folder / file).write_bytes(spoiled)
    try:
        with suppress(NssBackupError):
            for der, key in _read_all(folder).items():
                assert truth().get(der, key) == key
    finally:
        shutil.rmtree(folder)


@settings(max_examples=300)
@given(data=st.data())
def test_records_of_chance_end_in_our_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The file is in order and what is in it is not."""
    builder = LegacyBuilder(tmp_path_factory.mktemp("chance"))
    builder.add_identity(RSA, RSA_DER)
    records = builder.keys if data.draw(st.booleans()) else builder.certificates
    for key in data.draw(st.lists(st.sampled_from(sorted(records)), max_size=3, unique=True)):
        record = bytearray(records[key])
        kind = data.draw(st.sampled_from(["bytes", "cut", "change", "gone"]))
        if kind == "bytes":
            records[key] = data.draw(st.binary(max_size=100))
        elif kind == "cut":
            records[key] = bytes(record[: data.draw(st.integers(0, len(record)))])
        elif kind == "change":
            for _ in range(data.draw(st.integers(1, 4))):
                record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
            records[key] = bytes(record)
        else:
            del records[key]
    try:
        with suppress(NssBackupError):
            found = _read_all(builder.write())
            assert set(found.values()) <= {pkcs8(RSA)}
    finally:
        shutil.rmtree(builder.folder)


def test_the_last_page_of_a_real_database_is_missed(tmp_path: Path) -> None:
    shutil.copytree(PROFILES / "legacy-nopassword", tmp_path / "profile")
    path = tmp_path / "profile" / "cert8.db"
    (page_size,) = struct.unpack_from(">I", real("cert8.db"), 12)
    os.truncate(path, page_size)
    with pytest.raises(DamagedStoreError, match="its end is missing"):
        LegacyStore.read(path.parent)


def test_a_header_alone_can_not_hide_certificates(store: LegacyBuilder) -> None:
    path = store.write() / "cert8.db"
    path.write_bytes(with_header(path.read_bytes(), hdrpages=2**31))
    with pytest.raises(DamagedStoreError):
        LegacyStore.read(store.folder)
