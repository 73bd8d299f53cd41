"""What the tests of the store share: open a builder's store, and name its records."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nssbackup.identity.model import PrivateKey, Profile
from nssbackup.secret import Secret
from nssbackup.stores.native import NativeEngine
from tests.builders.store import Key, Row, StoreBuilder


def opened(folder: Path) -> Profile:
    return Profile(folder, "test", "Firefox", store="sqlite")


def key_of(builder: StoreBuilder, der: bytes | None = None, password: str = "") -> PrivateKey:
    """The private key of the first certificate, or of the one named, as the engine gives it."""
    with NativeEngine().open(opened(builder.write())) as store:
        store.unlock(Secret(password))
        found = store.certificates()
        return store.private_key(next(c for c in found if der in (None, c.der)))


def pkcs8(key: Key) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def row_of(builder: StoreBuilder) -> Row:
    return builder.private[0]


def sig(row: Row, attribute: int, extra: int = 0) -> str:
    number = row["id"]
    assert isinstance(number, int)
    return f"sig_key_{number | extra:08x}_{attribute:08x}"
