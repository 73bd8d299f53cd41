"""What the tests of legacy stores share: two identities, and ways to open a builder's store."""

from __future__ import annotations

import os
from pathlib import Path

from nssbackup.identity.certificate import StoredCertificate, from_der
from nssbackup.identity.model import PrivateKey, Profile
from nssbackup.secret import Secret
from nssbackup.stores.legacy.store import LegacyStore
from tests.builders.legacy import LegacyBuilder
from tests.builders.store import ec_key, issue, rsa_key

RSA, EC = rsa_key(), ec_key()
RSA_DER, EC_DER = issue(RSA), issue(EC, "Zoë Müller")


def at(folder: Path) -> Profile:
    return Profile(folder, "old", "Firefox", store="legacy")


def opened(builder: LegacyBuilder) -> LegacyStore:
    found = LegacyStore.read(builder.write())
    assert found is not None
    return found


def only(builder: LegacyBuilder) -> StoredCertificate:
    (certificate,) = opened(builder).certificates()
    return certificate


def key_of(builder: LegacyBuilder, der: bytes = RSA_DER, password: str = "") -> PrivateKey:
    found = opened(builder)
    found.unlock(Secret(password))
    return found.private_key(from_der(der))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def make_dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")
