"""Seeds: what the fixtures hold, cut to what the targets take."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from nssbackup.identity.choosing import assemble
from nssbackup.identity.model import Identity, PrivateKey, Profile
from nssbackup.secret import Secret
from nssbackup.stores.native import NativeEngine
from tests import FIXTURES, PROFILES

# One of each kind that there is: maker, key, encryption of the store.
CURRENT = ("nss387-nopassword", "ec-p256", "tripledes", "dsa", "key-without-certificate")
LEGACY = ("legacy-nopassword", "legacy-ec", "legacy-rounds", "legacy-key-without-certificate")
# Those without a password whose keys are read.
_READABLE = ("nss387-nopassword", "ec-p256", "ec-p521", "chain3")


def file(profile: str, name: str) -> bytes:
    """A file of a profile."""
    return (PROFILES / profile / name).read_bytes()


@cache
def compact(profile: str, name: str) -> bytes:
    """A database on the smallest pages, so that changes seldom hit what is free."""
    with closing(sqlite3.connect(":memory:")) as copy:
        source = sqlite3.connect(f"{(PROFILES / profile / name).as_uri()}?mode=ro", uri=True)
        with closing(source):
            copy.executescript("PRAGMA page_size=512; VACUUM")
            copy.executescript("".join(source.iterdump()))
        return copy.serialize()


@cache
def identities() -> tuple[tuple[Identity, PrivateKey], ...]:
    """Identities with their keys and chains."""
    found: list[tuple[Identity, PrivateKey]] = []
    for name in _READABLE:
        with NativeEngine().open(Profile(PROFILES / name, name, "Firefox")) as store:
            store.unlock(Secret(""))
            found += [
                (one, store.private_key(one.certificate))
                for one in assemble(None, store.certificates())
                if one.certificate.has_private_key
            ]
    return tuple(found)


@cache
def certificates() -> tuple[bytes, ...]:
    """Certificates of all kinds there are, DER."""
    found: dict[bytes, None] = {}
    for name in (*CURRENT, "two-people", "expired", "ec-p521", "rsa4096"):
        with NativeEngine().open(Profile(PROFILES / name, name, "Firefox")) as store:
            found.update(dict.fromkeys(one.der for one in store.certificates()))
    return tuple(found)


@cache
def private_keys() -> tuple[bytes, ...]:
    """Private keys of all kinds there are, PKCS#8."""
    names = ("nss387-nopassword-1", "ec-p256-1", "ec-p384-1", "ec-p521-1", "dsa-1")
    loaded = (
        load_pem_private_key((FIXTURES / f"keys/{name}.pem").read_bytes(), None) for name in names
    )
    form = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return tuple(key.private_bytes(*form) for key in loaded)


def authorities() -> bytes:
    """The certificates of the invented authorities, PEM."""
    return (FIXTURES / "authorities.pem").read_bytes()


def blobs() -> Iterator[bytes]:
    """Encrypted values and signatures as NSS wrote them."""
    for name in ("nss387-password", "tripledes", "firefox-password"):
        with closing(
            sqlite3.connect(f"{(PROFILES / name / 'key4.db').as_uri()}?mode=ro", uri=True)
        ) as database:
            for row in database.execute("SELECT item1, item2 FROM metaData"):
                yield from (item for item in row if isinstance(item, bytes))
            query = "SELECT a11, a123, a124 FROM nssPrivate"
            for row in database.execute(query):
                yield from (item for item in row if isinstance(item, bytes))
