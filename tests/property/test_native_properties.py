"""Any store comes out as it was put in; any bytes end in one of our errors, and soon."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from nssbackup.errors import NssBackupError, WrongPrimaryPasswordError
from nssbackup.identity.certificate import MalformedCertificateError, from_der
from nssbackup.identity.choosing import assemble
from nssbackup.identity.model import Profile
from nssbackup.secret import Secret
from nssbackup.stores.native import NativeEngine, pbe
from tests.builders.store import (
    Key,
    Scheme,
    StoreBuilder,
    aes_blob,
    des_blob,
    ec_key,
    intermediate,
    issue,
    rsa_key,
    signature,
)

KEYS: list[Key] = [
    rsa_key(0, 1024),
    ec_key(),
    ec_key(0, "secp384r1"),
    ec_key(0, "secp521r1"),
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
FILES = st.sampled_from(["cert9.db", "key4.db"])


@cache
def certificate_of(number: int) -> bytes:
    return issue(KEYS[number], f"Person {number}")


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="property-") as folder:
        yield Path(folder) / "profile"


@cache
def valid_store() -> Path:
    """A store of three key types without a password, made once and removed at the end."""
    folder = Path(VALID.name)
    builder = StoreBuilder(folder)
    for number in (0, 1, 4):
        builder.add_identity(KEYS[number], certificate_of(number), b"nickname")
    certificate = builder.public[0]
    builder.add_trust(certificate, 0xCE534353, ace536358=b"\xce\x53\x43\x51")
    return builder.write()


VALID = tempfile.TemporaryDirectory(prefix="property-")
atexit.register(VALID.cleanup)
EXPECTED = {
    certificate_of(number): KEYS[number].private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    for number in (0, 1, 4)
}


def read_all(folder: Path, password: str = "") -> dict[bytes, bytes]:
    """Everything a caller can ask of a store; keys by the certificates they fit."""
    found = {}
    with NativeEngine().open(Profile(folder, "p", "Firefox", store="sqlite")) as store:
        certificates = store.certificates()
        store.notes()
        assemble(None, certificates)
        store.needs_password()
        store.unlock(Secret(password))
        for certificate in certificates:
            with suppress(NssBackupError):
                key = store.private_key(certificate)
                if key.public_key == certificate.public_key:
                    found[certificate.der] = key.pkcs8
    return found


def read_spoiled(folder: Path) -> None:
    """Only our errors, or the truth: a key that fits is the one that was put in."""
    with suppress(NssBackupError):
        for der, pkcs8 in read_all(folder).items():
            assert EXPECTED.get(der, pkcs8) == pkcs8


@settings(max_examples=150)
@given(
    number=st.integers(0, len(KEYS) - 1),
    scheme=st.sampled_from(["aes", "3des"]),
    rounds=st.integers(1, 50),
    salt=st.binary(min_size=20, max_size=20) | st.binary(min_size=48, max_size=48),
    password=TEXT,
    nickname=TEXT,
)
def test_any_identity_comes_out_as_it_was_put_in(
    number: int, scheme: Scheme, rounds: int, salt: bytes, password: str, nickname: str
) -> None:
    key, der = KEYS[number], certificate_of(number)
    with scratch() as folder:
        builder = StoreBuilder(folder, password, scheme, rounds, salt)
        builder.add_identity(key, der, nickname.encode())
        builder.write()
        profile = Profile(folder, "p", "Firefox", store="sqlite")
        with NativeEngine().open(profile) as store:
            assert store.needs_password() is bool(password)
            try:
                store.unlock(Secret(password + "x"))
            except WrongPrimaryPasswordError:
                store.unlock(Secret(password))
            else:
                raise AssertionError(password)
            (certificate,) = store.certificates()
            assert certificate.nickname == (nickname or None)
            assert certificate.der == der
            pkcs8 = store.private_key(certificate).pkcs8
        assert pkcs8 == key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@settings(max_examples=150)
@given(file=FILES, data=st.binary(max_size=3000), head=st.booleans())
def test_any_bytes_as_a_database_end_in_an_error_of_ours(
    file: str, data: bytes, *, head: bool
) -> None:
    with scratch() as folder:
        shutil.copytree(valid_store(), folder)
        (folder / file).write_bytes((b"SQLite format 3\0" if head else b"") + data)
        read_spoiled(folder)


@settings(max_examples=400)
@given(
    file=FILES,
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    ),
    cut=st.none() | st.floats(0, 1),
)
def test_any_change_of_bytes_ends_in_our_error_or_the_truth(
    file: str, changes: list[tuple[float, int]], cut: float | None
) -> None:
    with scratch() as folder:
        shutil.copytree(valid_store(), folder)
        data = bytearray((folder / file).read_bytes())
        for place, value in changes:
            data[int(place * len(data))] = value
        (folder / file).write_bytes(data if cut is None else data[: int(cut * len(data))])
        read_spoiled(folder)


VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=80)
    | st.just(b"\xa5\x00\x5a")
)
COLUMNS = "id a0 a3 a11 a81 a82 a100 a101 a102 a120 a122 a123 a124 a128 a162 a180 ad5a0db00"


@settings(max_examples=400)
@given(
    place=st.sampled_from([("cert9.db", "nssPublic"), ("key4.db", "nssPrivate")]),
    column=st.sampled_from(COLUMNS.split()),
    value=VALUES,
)
def test_any_value_in_a_row_ends_in_our_error_or_the_truth(
    place: tuple[str, str], column: str, value: object
) -> None:
    file, table = place
    with scratch() as folder:
        shutil.copytree(valid_store(), folder)
        with closing(sqlite3.connect(folder / file)) as db, db, suppress(sqlite3.IntegrityError):
            where = f"WHERE id = (SELECT min(id) FROM {table})"  # noqa: S608 - a constant
            db.execute(f"UPDATE {table} SET {column} = ? {where}", (value,))  # noqa: S608
        read_spoiled(folder)


@settings(max_examples=150)
@given(item=st.sampled_from(["item1", "item2"]), value=VALUES, record=st.integers(0, 20))
def test_any_value_in_a_record_ends_in_our_error_or_the_truth(
    item: str, value: object, record: int
) -> None:
    with scratch() as folder:
        shutil.copytree(valid_store(), folder)
        with closing(sqlite3.connect(folder / "key4.db")) as db, db:
            db.execute(
                f"UPDATE metaData SET {item} = ? WHERE rowid = ?",  # noqa: S608
                (value, record),
            )
        read_spoiled(folder)


BLOBS: list[tuple[bytes, Callable[[bytes], object]]] = [
    (
        make,
        lambda blob: pbe.parse_ciphertext(blob, "x").decrypt(
            pbe.IntermediateKey(intermediate(bytes(20), ""))
        ),
    )
    for make in (aes_blob(bytes(20), b"value"), des_blob(bytes(20), b"value"))
]
BLOBS.append((signature(bytes(20), 0, 1, b"v"), lambda blob: pbe.parse_signature(blob, "x")))


@settings(max_examples=1500)
@given(
    which=st.integers(0, len(BLOBS) - 1),
    changes=st.lists(st.tuples(st.integers(0, 120), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_any_change_of_a_blob_ends_in_an_error_of_ours(
    which: int, changes: list[tuple[int, bytes]]
) -> None:
    blob, use = BLOBS[which]
    for place, piece in changes:
        blob = blob[:place] + piece + blob[place + len(piece or b"x") :]
    with suppress(NssBackupError, pbe.DecryptionError):
        use(blob)


@settings(max_examples=1500)
@given(
    number=st.integers(0, len(KEYS) - 1),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=5
    ),
)
def test_any_change_of_a_certificate_is_malformed_or_read(
    number: int, changes: list[tuple[float, int]]
) -> None:
    der = bytearray(certificate_of(number))
    for place, value in changes:
        der[int(place * len(der))] = value
    with suppress(MalformedCertificateError):
        facts = from_der(bytes(der))
        assert facts.der == der
        assert facts.status() in ("valid", "expired", "not-yet-valid")
