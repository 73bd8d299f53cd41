"""Certificates that depart from the standard are read, and it is said where they depart."""

from __future__ import annotations

import pytest
from cryptography import x509

from nssbackup.identity.certificate import MalformedCertificateError, from_der
from nssbackup.identity.chain import link
from tests.builders.irregular import CA_KEY, CA_NAME, USAGE, Parts, extension, irregular
from tests.builders.store import integer, issue, seq, tlv

INPUTS = [
    pytest.param(kind, label, der, id=f"{kind}: {label}")
    for kind, inputs in irregular().items()
    for label, der in inputs.items()
]
PLAIN = from_der(Parts().sign())
AUTHORITY = from_der(issue(CA_KEY, CA_NAME, ca=True))
# What differs from the plain certificate, by kind or label.
NAMES = {
    **dict.fromkeys(("Latin-1", "UTF-8", "Latin-1 as well"), "Zoë Müller"),
    **dict.fromkeys(("UTF8String", "IA5String", "VisibleString"), "Zoë Müller"),
    **dict.fromkeys(("TeletexString", "GeneralString"), "Zoë Müller"),
    "BMPString": "Zoë Müller�",
    "BIT STRING": "#030b005a6feb204dfc6c6c6572",
    "@": "jane@example.com",
    "_": "jane_doe",
    "*": "*.example.com",
    "&": "Jane & Joe",
}
SAID = {
    "a default is written out": "flag",
    "a version": "version",
    "a time": "begins is written in an unusual form",
    "a PrintableString": "text of its subject",
    "another string": "text of its subject",
    "the issuer's string": "text of its issuer",
    "NULL of ECDSA": "signature algorithm has parameters",
    "an RSA number": "RSA key",
    "inherited DSA parameters": "public key can't be read",
    "an extension": "",
    "an encoding": "",
}


def strictly_read(der: bytes) -> None:
    certificate = x509.load_der_x509_certificate(der)
    _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key())


@pytest.mark.parametrize(("kind", "label", "der"), INPUTS)
def test_an_irregular_certificate_is_read(kind: str, label: str, der: bytes) -> None:
    with pytest.raises((ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension)):
        strictly_read(der)
    found = from_der(der)
    in_issuer = kind == "the issuer's string"
    assert found.common_name == ("Jane Doe" if in_issuer else NAMES.get(label, "Jane Doe"))
    assert any(SAID[kind] in departure for departure in found.departures)
    assert (found.not_before, found.not_after) == (PLAIN.not_before, PLAIN.not_after)
    assert found.der == der
    assert (found.issuer == PLAIN.issuer) != in_issuer
    assert link(found, AUTHORITY) == "verified"
    types = {"an RSA number": "RSA", "inherited DSA parameters": "DSA"}
    assert found.key.type == types.get(kind, "EC")
    assert (found.public_key is None) == (kind == "inherited DSA parameters")


def test_the_key_of_a_modulus_without_its_zero_is_the_right_one() -> None:
    keys = irregular()["an RSA number"]
    found = {label: from_der(der) for label, der in keys.items()}
    assert found["2048 bits"].public_key == found["modulus padded"].public_key
    assert [found[f"{bits} bits"].key.bits for bits in (1024, 2048, 3072)] == [1024, 2048, 3072]


def test_what_can_be_read_of_the_extensions_is() -> None:
    for label, der in irregular()["an extension"].items():
        found = from_der(der)
        expected = () if label in ("usage", "policies") else ("digitalSignature",)
        assert found.key_usage == expected
        assert found.email is None


def test_a_time_that_is_none_is_said_and_no_reason_to_refuse() -> None:
    for content in (b"", b"soon", b"269901000000Z", b"99999999999999Z"):
        found = from_der(Parts(not_after=tlv(0x17, content)).sign())
        assert found.not_after.year == 9999
        assert any("ends can't be read" in departure for departure in found.departures)


def test_an_unreadable_signature_algorithm_is_not_checked() -> None:
    pss = seq(tlv(6, bytes.fromhex("2a864886f70d01010a")), seq(tlv(0xA0, integer(5))))
    found = from_der(Parts(algorithm=pss).sign())
    assert "its signature algorithm can't be read" in found.departures
    assert link(found, AUTHORITY) == "unchecked"


def test_a_bomb_is_no_certificate() -> None:
    many = b"".join(
        seq(tlv(6, b"\x2a\x03" + n.to_bytes(2, "big")), tlv(4, b"")) for n in range(999)
    )
    for der in (
        b"\x30\x80" * 100_000,
        b"\x30\x80" * 40 + b"\0\0" * 40,
        Parts(extensions=tlv(0xA3, seq(many))).sign(),
        Parts(key=seq(seq(tlv(6, b"\x83" * 70_000)), tlv(3, b"\0"))).sign(),
        b"\x30\x84\xff\xff\xff\xff",
    ):
        with pytest.raises(MalformedCertificateError):
            from_der(der)


def test_basic_constraints_that_are_nonsense_are_left_out() -> None:
    """OpenSSL and NSS read such a certificate (found by tests/peers/test_oracles.py)."""
    nonsense = extension("2.5.29.19", b"\x30\3\1\1")
    read = from_der(Parts(extensions=tlv(0xA3, seq(nonsense, USAGE))).sign())
    assert not read.is_ca
