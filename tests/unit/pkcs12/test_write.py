"""What the PfxWriter writes: read by us, by `cryptography`, and byte by byte."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from nssbackup.errors import KeyMismatchError, UsageError
from nssbackup.identity.model import Identity
from nssbackup.pkcs12 import MODERN, Format, PfxWriter, Protection, describe, open_pfx, safes
from nssbackup.pkcs12.protection import Mac, Pbes1, Pbes2
from nssbackup.secret import Secret
from tests.unit.pkcs12.identities import Case, identity_of, mac_of

ROUNDS = 2048
PASSWORD = Secret("correct horse")


def encoded(
    case: Case,
    *,
    format: Format = MODERN,  # noqa: A002 - the noun of the domain
    password: Secret = PASSWORD,
    identity: Identity | None = None,
    **options: str,
) -> bytes:
    writer = PfxWriter(password, format, rounds=ROUNDS)
    return writer.encode(identity or case.identity, case.key, **options)


def test_our_reader_finds_all_of_it(
    each_case: Case, each_format: Format, each_password: Secret
) -> None:
    data = encoded(each_case, format=each_format, password=each_password)
    contents = open_pfx(data, each_password)
    assert contents.key == each_case.key
    found = identity_of(contents)
    assert found.certificate.der == each_case.identity.certificate.der
    assert [ca.der for ca in found.chain] == [ca.der for ca in each_case.identity.chain]
    assert found.chain_complete
    assert [each.friendly_name for each in contents.certificates] == [
        "zoë 日本 😀",
        "the issuing CA",
        None,
    ]
    key_id = hashlib.sha1(found.certificate.der, usedforsecurity=False).digest()
    assert [each.local_key_id for each in contents.certificates] == [key_id, None, None]
    assert [(each.friendly_name, each.local_key_id) for each in contents.keys] == [
        ("zoë 日本 😀", key_id)
    ]
    assert contents.description == describe(data)
    assert contents.description.mac == Protection(each_format.mac, ROUNDS)
    encryption = Protection(each_format.encryption, ROUNDS)
    assert contents.description.keys == contents.description.certificates == (encryption,)


def test_cryptography_finds_all_of_it(
    each_case: Case, each_format: Format, each_password: Secret
) -> None:
    data = encoded(each_case, format=each_format, password=each_password)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns of what isn't DER
        loaded = pkcs12.load_pkcs12(data, each_password.reveal().encode())
    assert loaded.key is not None
    assert loaded.cert is not None
    pkcs8 = loaded.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert pkcs8 == each_case.key.pkcs8
    assert loaded.cert.certificate.public_bytes(Encoding.DER) == each_case.identity.certificate.der
    # OpenSSL gives the CA certificates back to front or not, by its version.
    assert {ca.certificate.public_bytes(Encoding.DER) for ca in loaded.additional_certs} == {
        ca.der for ca in each_case.identity.chain
    }


def test_it_is_strict_der(case: Case, each_format: Format) -> None:
    data = encoded(case, format=each_format)
    assert safes.normalise(data) == data
    content = safes.parse(data).content
    assert safes.normalise(content) == content


def test_salts_and_ivs_are_never_the_same(case: Case, each_format: Format) -> None:
    seen: set[bytes] = set()
    for _ in range(3):
        pfx = safes.parse(encoded(case, format=each_format))
        certificates, key = pfx.safes
        assert isinstance(certificates, safes.EncryptedSafe)
        assert isinstance(key, safes.ClearSafe)
        assert isinstance(key.bags[0], safes.KeyBag)
        assert isinstance(pfx.mac, Mac)
        for each in (certificates.encryption, key.bags[0].encryption):
            if isinstance(each, Pbes2):
                seen |= {each.kdf.salt, each.iv}
            elif isinstance(each, Pbes1):
                seen.add(each.salt)
        seen.add(pfx.mac.kdf.salt)
    assert len(seen) == (15 if each_format is MODERN else 9)


def test_the_rounds_are_those_asked_for_everywhere(case: Case, each_format: Format) -> None:
    data = PfxWriter(PASSWORD, each_format, rounds=300_000).encode(case.identity, case.key)
    description = describe(data)
    rounds = {
        each.rounds for each in (mac_of(description), *description.keys, *description.certificates)
    }
    assert rounds == {300_000}


def test_600_000_rounds_are_the_default(case: Case, each_format: Format) -> None:
    data = PfxWriter(PASSWORD, each_format).encode(case.identity, case.key)
    assert mac_of(describe(data)).rounds == 600_000
    assert open_pfx(data, PASSWORD).key == case.key


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("a\0b\nc\x1b[31m", "abc[31m"),
        ("Zoë 😀", "Zoë 😀"),
        ("half \ud83d pair", "half  pair"),
        ("\x07", None),
        ("x" * 300, "x" * 255),
        ("x" * 254 + "😀", "x" * 254),
        ("x" * 254 + " y", "x" * 254),
    ],
)
def test_friendly_names(case: Case, given: str, written: str | None) -> None:
    contents = open_pfx(encoded(case, friendly_name=given), PASSWORD)
    assert contents.keys[0].friendly_name == written
    assert contents.certificates[0].friendly_name == written


def test_without_a_nickname_the_common_name_is_used(case: Case) -> None:
    own = replace(case.identity.certificate, nickname=None)
    contents = open_pfx(encoded(case, identity=Identity(None, own)), PASSWORD)
    assert contents.keys[0].friendly_name == "Zoë Example"


def test_without_any_name_there_is_none(case: Case) -> None:
    own = replace(case.identity.certificate, nickname=None, common_name=None)
    contents = open_pfx(encoded(case, identity=Identity(None, own)), PASSWORD)
    assert contents.keys[0].friendly_name is None
    assert identity_of(contents).chain == ()


def test_an_empty_password_is_refused(each_format: Format) -> None:
    with pytest.raises(UsageError, match="password is empty") as caught:
        PfxWriter(Secret(""), each_format)
    assert caught.value.hint == "Firefox and Windows can't open such a file"


def test_half_a_character_is_refused(each_format: Format) -> None:
    with pytest.raises(UsageError):
        PfxWriter(Secret("\udc80"), each_format)


def test_rounds_out_of_range_are_refused(each_format: Format) -> None:
    with pytest.raises(UsageError):
        PfxWriter(PASSWORD, each_format, rounds=600_001)


def test_a_key_of_another_certificate_is_refused(case: Case, other_case: Case) -> None:
    with pytest.raises(KeyMismatchError):
        PfxWriter(PASSWORD, MODERN, rounds=ROUNDS).encode(case.identity, other_case.key)
