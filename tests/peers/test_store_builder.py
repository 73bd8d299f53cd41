"""NSS reads the stores of our builder as its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from tests.builders.store import Key, Scheme, StoreBuilder, ec_key, issue, rsa_key, signature
from tests.peers import need
from tests.peers.nss import Nss, available
from tests.peers.process import PeerError

GENERATIONS: list[Nss | None] = [*available()] or [None]


@pytest.fixture(params=GENERATIONS, ids=lambda nss: nss.name if nss else "no NSS")
def nss(request: pytest.FixtureRequest, *, require_peers: bool) -> Nss:
    found: Nss | None = request.param
    need(None if found else "certutil is not installed", required=require_peers)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("make", "password", "scheme", "rounds"),
    [
        (rsa_key, "", "aes", 1),
        (ec_key, "Ünï-пароль", "aes", 10000),
        (partial(ec_key, 0, "secp384r1"), "", "3des", 1),
        (partial(ec_key, 0, "secp521r1"), "secret", "3des", 10),
    ],
)
def test_nss_lists_and_exports_what_the_builder_wrote(
    nss: Nss, tmp_path: Path, make: Callable[[], Key], password: str, scheme: Scheme, rounds: int
) -> None:
    key = make()
    der = issue(key)
    builder = StoreBuilder(tmp_path / "store", password, scheme, rounds)
    builder.add_identity(key, der, b"mine")
    database = nss.database(builder.write(), password=password)

    assert [one.nickname for one in database.names()] == ["mine"]
    assert len(database.keys()) == 1
    assert database.certificates("mine") == (der,)

    pfx = tmp_path / "out.p12"
    database.export_pkcs12("mine", pfx, "made for the purpose")
    with pytest.warns(UserWarning, match="DER"):
        exported, certificate, _ = load_key_and_certificates(
            pfx.read_bytes(), b"made for the purpose"
        )
    assert certificate == x509.load_der_x509_certificate(der)
    assert exported is not None
    assert exported.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ) == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_nss_refuses_a_password_that_is_not_the_builders(nss: Nss, tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "store", "right")
    builder.add_identity(ec_key(), issue(ec_key()), b"mine")
    with pytest.raises(PeerError, match="password"):
        nss.database(builder.write(), password="wrong").keys()


def test_nss_checks_the_builders_signatures(nss: Nss, tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "store")
    _, row = builder.add_identity(ec_key(), issue(ec_key()), b"mine")
    assert builder.meta is not None
    wrong = signature(builder.key, 0, 0x11, b"another value")
    builder.meta[f"sig_key_{row['id']:08x}_00000011"] = (wrong, None)
    database = nss.database(builder.write())
    with pytest.raises(PeerError):
        database.export_pkcs12("mine", tmp_path / "out.p12", "made for the purpose")


def test_nss_demands_the_signature_of_a_modulus_beside_3des(nss: Nss, tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "store", scheme="3des")
    _, row = builder.add_identity(rsa_key(), issue(rsa_key()), b"mine")
    assert builder.meta is not None
    del builder.meta[f"sig_key_{row['id']:08x}_00000120"]
    database = nss.database(builder.write())
    with pytest.raises(PeerError):
        database.export_pkcs12("mine", tmp_path / "out.p12", "made for the purpose")
