from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from nssbackup.identity.certificate import MalformedCertificateError, from_der
from nssbackup.identity.chain import Chains
from tests.builders.irregular import CA_NAME, Parts
from tests.builders.store import (
    Key,
    ec_key,
    integer,
    issue,
    key_usage,
    name,
    octets,
    oid,
    rsa_key,
    seq,
    tlv,
)

KEY, CA_KEY = ec_key(), ec_key(1)
DER = issue(KEY, name("Zoë Müller", "Büro"), name("WIPO CA", "WIPO"), CA_KEY, serial=0xC0FFEE)

# RFC 2409, 6.2
GROUP_2 = int(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e34"
    "04ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6"
    "f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff",
    16,
)


def test_the_facts_are_those_of_the_der() -> None:
    facts = from_der(DER)
    assert facts.der == DER
    assert facts.subject == "O=Büro,CN=Zoë Müller"
    assert facts.common_name == "Zoë Müller"
    assert facts.issuer == "O=WIPO,CN=WIPO CA"
    assert facts.issuer_name == "WIPO CA"
    assert set(facts.issuer_fields) == {"WIPO", "WIPO CA"}
    assert facts.serial == 0xC0FFEE
    assert facts.sha1 == hashlib.sha1(DER).hexdigest()  # noqa: S324 - a fingerprint
    assert facts.sha256 == hashlib.sha256(DER).hexdigest()
    assert not facts.is_ca
    assert not facts.self_issued
    assert not facts.has_private_key
    assert (facts.nickname, facts.trust) == (None, ())


@pytest.mark.parametrize(
    ("key", "kind", "bits"),
    [
        (rsa_key(), "RSA", 2048),
        (KEY, "EC", 256),
        (ec_key(0, "secp521r1"), "EC", 521),
        (dsa.generate_private_key(1024), "DSA", 1024),  # noqa: S505 - quick to make
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519", 256),
    ],
    ids=["rsa", "p-256", "p-521", "dsa", "ed25519"],
)
def test_the_key_is_named_with_its_size(key: Key, kind: str, bits: int) -> None:
    facts = from_der(issue(key, "Jane", "CA", CA_KEY))
    assert (facts.key.type, facts.key.bits) == (kind, bits)
    assert facts.public_key is not None


def test_a_key_algorithm_that_is_not_known_is_shown_by_its_oid() -> None:
    unknown = DER.replace(bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0205"))
    facts = from_der(unknown)
    assert facts.key.type == "1.2.840.10045.2.5"
    assert (facts.key.bits, facts.public_key) == (None, None)


def made_of(spki: bytes) -> bytes:
    """A certificate with this public key, signed by nobody."""
    algorithm = seq(oid("1.2.840.10045.4.3.2"))
    person = name("Jane").public_bytes()
    validity = seq(tlv(0x17, b"260101000000Z"), tlv(0x17, b"270101000000Z"))
    version = tlv(0xA0, integer(2))
    body = seq(version, integer(1), algorithm, person, validity, person, spki)
    return seq(body, algorithm, tlv(3, b"\0\0"))


@pytest.mark.parametrize(
    ("identifier", "order"),
    [("1.2.840.113549.1.3.1", b""), ("1.2.840.10046.2.1", integer((GROUP_2 - 1) // 2))],
)
def test_a_dh_key_is_named_and_nobody_warned(identifier: str, order: bytes) -> None:
    group = seq(oid(identifier), seq(integer(GROUP_2), integer(2), order))
    facts = from_der(made_of(seq(group, tlv(3, b"\0" + integer(4)))))
    assert (facts.key.type, facts.key.bits, facts.public_key) == ("DH", None, None)
    leaf = from_der(issue(KEY, "Joe", facts.subject.removeprefix("CN="), CA_KEY))
    assert leaf.issuer == facts.subject
    assert Chains([facts]).identity(None, leaf).chain == ()


def test_a_compressed_point_of_p_224_is_not_computed() -> None:
    key = ec.derive_private_key(7, ec.SECP224R1()).public_key()
    curve = seq(oid("1.2.840.10045.2.1"), oid("1.3.132.0.33"))
    for form, known in (
        (PublicFormat.UncompressedPoint, True),
        (PublicFormat.CompressedPoint, False),
    ):
        point = key.public_bytes(Encoding.X962, form)
        facts = from_der(made_of(seq(curve, tlv(3, b"\0" + point))))
        assert (facts.key.type, facts.key.bits) == ("EC", 224)
        assert (facts.public_key is not None) == known


def test_a_certificate_of_more_than_256_kib_is_none() -> None:
    def with_comment(size: int) -> bytes:
        comment = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3"), octets(bytes(size)))
        return issue(KEY, extensions=[comment])

    spare = 256 * 1024 - len(with_comment(200_000))
    for size, fits in ((200_000 + spare - 10, True), (200_000 + spare + 10, False)):
        der = with_comment(size)
        if fits:
            assert from_der(der).common_name == "Jane Doe"
        else:
            with pytest.raises(MalformedCertificateError, match="larger than any in use"):
                from_der(der)


@pytest.mark.parametrize(
    "cut", [b"", b"\x30", DER[:-1], b"\0" + DER, bytes(500), b"\x30\x80" + DER]
)
def test_what_is_no_certificate_is_malformed(cut: bytes) -> None:
    with pytest.raises(MalformedCertificateError):
        from_der(cut)


@pytest.mark.parametrize("serial", [0, -1, -128])
def test_a_serial_number_below_one_is_no_matter(serial: int) -> None:
    """Old CAs made them. A warning would be an error of this test."""
    version = bytes.fromhex("a003020102")
    der = issue(KEY, "Jane", "CA", CA_KEY, serial=1)
    assert version + integer(1) in der
    assert from_der(der.replace(version + integer(1), version + integer(serial))).serial == serial


def test_unreadable_extensions_cost_only_what_they_say() -> None:
    san = x509.SubjectAlternativeName([x509.RFC822Name("jane@example.com")])
    der = issue(KEY, "Jane", "CA", CA_KEY, ca=None, extensions=[san])
    assert from_der(der).email == "jane@example.com"
    broken = der.replace(octets(san.public_bytes()), octets(b"\xff" * len(san.public_bytes())))
    assert broken != der
    assert from_der(broken).common_name == "Jane"
    assert from_der(broken).email is None


def test_the_email_is_the_alternative_name_before_the_subjects() -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Jane"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "old@example.com"),
        ]
    )
    san = x509.SubjectAlternativeName([x509.RFC822Name("new@example.com")])
    assert from_der(issue(KEY, subject, "CA", CA_KEY)).email == "old@example.com"
    assert from_der(issue(KEY, subject, "CA", CA_KEY, extensions=[san])).email == "new@example.com"


def test_who_is_a_ca() -> None:
    assert from_der(issue(KEY, "Root", ca=True)).is_ca
    assert not from_der(issue(KEY, "Own", ca=False)).is_ca
    assert not from_der(issue(KEY, "Jane", "CA", CA_KEY, ca=None)).is_ca
    assert not from_der(issue(KEY, "Own", ca=None)).is_ca
    old_root = replace(Parts(), version=b"", extensions=b"", subject=CA_NAME.public_bytes())
    assert from_der(old_root.sign()).is_ca
    assert not from_der(replace(old_root, subject=Parts().subject).sign()).is_ca


def test_the_usage_is_read() -> None:
    bits = ("digital_signature", "content_commitment", "key_agreement", "decipher_only")
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ObjectIdentifier("1.2.3.4")]
    extensions = [key_usage(*bits), x509.ExtendedKeyUsage(purposes)]
    facts = from_der(issue(KEY, extensions=extensions))
    assert facts.key_usage == ("digitalSignature", "nonRepudiation", "keyAgreement", "decipherOnly")
    assert facts.extended_usage == ("clientAuth", "1.2.3.4")
    assert (from_der(DER).key_usage, from_der(DER).extended_usage) == ((), ())


def test_the_key_identifiers_are_read() -> None:
    extensions = [
        x509.SubjectKeyIdentifier(b"subject"),
        x509.AuthorityKeyIdentifier(b"issuer", None, None),
    ]
    facts = from_der(issue(KEY, "Jane", "CA", CA_KEY, extensions=extensions))
    assert (facts.subject_key_id, facts.authority_key_id) == (b"subject", b"issuer")
    assert from_der(DER).subject_key_id is None


def test_the_status_is_told_at_the_edges_of_the_validity() -> None:
    facts = from_der(DER)
    second = timedelta(seconds=1)
    assert facts.status() == "valid"
    assert facts.status(facts.not_before) == "valid"
    assert facts.status(facts.not_after) == "valid"
    assert facts.status(facts.not_before - second) == "not-yet-valid"
    assert facts.status(facts.not_after + second) == "expired"
    assert facts.not_after.tzinfo == UTC
