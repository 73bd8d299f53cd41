"""Certificates that depart from the standard as real ones do, each signed over what it says.

Every kind is a defect that OpenSSL, NSS or Java read and `cryptography` refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import count

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.builders.store import ec_key, integer, name, octets, oid, rsa_key, seq, tlv

CA_KEY = ec_key(90)
CA_NAME = name("WIPO Test CA", "WIPO")

NULL, TRUE, FALSE = b"\5\0", b"\1\1\xff", b"\1\1\0"
UTF8, PRINTABLE, TELETEX, IA5, VISIBLE, BMP = 0x0C, 0x13, 0x14, 0x16, 0x1A, 0x1E
UTC, GENERALIZED = 0x17, 0x18
COMMON_NAME, ORGANIZATION = "2.5.4.3", "2.5.4.10"
ECDSA, DSA = "1.2.840.10045.4.3.2", "1.2.840.10040.4.1"


def attribute(kind: str, tag: int, value: bytes) -> bytes:
    """A relative distinguished name of one attribute."""
    return tlv(0x31, seq(oid(kind), tlv(tag, value)))


def named(tag: int, value: bytes, kind: str = COMMON_NAME) -> bytes:
    """The name `O=Office` with one more attribute."""
    office = attribute(ORGANIZATION, PRINTABLE, b"Office")
    return seq(office, attribute(kind, tag, value))


def extension(kind: str, value: bytes, critical: bytes = b"") -> bytes:
    return seq(oid(kind), critical, octets(value))


USAGE = extension("2.5.29.15", b"\3\2\7\x80", TRUE)  # digitalSignature
NOT_CA = extension("2.5.29.19", seq())


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Parts:
    """The parts of a certificate, each as it is encoded; a test changes any of them."""

    version: bytes = tlv(0xA0, integer(2))
    serial: bytes = integer(0x1234567890)
    algorithm: bytes = seq(oid(ECDSA))
    outer_algorithm: bytes | None = None
    issuer: bytes = CA_NAME.public_bytes()
    not_before: bytes = tlv(UTC, b"260101000000Z")
    not_after: bytes = tlv(UTC, b"460101000000Z")
    subject: bytes = named(UTF8, b"Jane Doe")
    key: bytes = spki(ec_key())
    unique_ids: bytes = b""
    extensions: bytes = tlv(0xA3, seq(NOT_CA, USAGE))
    digest: str = "sha256"

    def sign(self) -> bytes:
        """The certificate, DER."""
        body = seq(
            self.version,
            self.serial,
            self.algorithm,
            self.issuer,
            seq(self.not_before, self.not_after),
            self.subject,
            self.key,
            self.unique_ids,
            self.extensions,
        )
        digest = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
        signature = CA_KEY.sign(body, ec.ECDSA(digest[self.digest]))
        return seq(body, self.outer_algorithm or self.algorithm, tlv(3, b"\0" + signature))


def _names(tags: Mapping[str, tuple[int, bytes]]) -> dict[str, Parts]:
    return {label: Parts(subject=named(tag, value)) for label, (tag, value) in tags.items()}


def _extensions(*extensions: bytes) -> bytes:
    return tlv(0xA3, seq(*extensions))


def _rsa(modulus: bytes, exponent: bytes) -> Parts:
    algorithm = seq(oid("1.2.840.113549.1.1.1"), NULL)
    return Parts(key=seq(algorithm, tlv(3, b"\0" + seq(modulus, exponent))))


def _modulus(bits: int) -> bytes:
    return rsa_key(5, bits).public_key().public_numbers().n.to_bytes(bits // 8, "big")


def _dsa(key: dsa.DSAPrivateKey, *parameters: bytes) -> Parts:
    value = integer(key.public_key().public_numbers().y)
    return Parts(key=seq(seq(oid(DSA), *parameters), tlv(3, b"\0" + value)))


LATIN_1 = "Zoë Müller".encode("latin-1")


@cache
def irregular() -> Mapping[str, Mapping[str, bytes]]:
    """Return the certificates of each kind, DER, by what is unusual in them."""
    plain, dsa_key = Parts(), dsa.generate_private_key(1024)  # noqa: S505 - quick to make
    usage, not_ca = "2.5.29.15", "2.5.29.19"
    kinds: dict[str, Mapping[str, Parts]] = {
        "a default is written out": {
            "usage": Parts(extensions=_extensions(extension(usage, b"\3\2\7\x80", FALSE))),
            "constraints": Parts(extensions=_extensions(extension(not_ca, seq(), FALSE), USAGE)),
            "unknown": Parts(extensions=_extensions(extension("1.2.3.4", b"x", FALSE), USAGE)),
            "TRUE is 1": Parts(extensions=_extensions(extension(usage, b"\3\2\7\x80", b"\1\1\1"))),
            "cA FALSE": Parts(extensions=_extensions(extension(not_ca, seq(FALSE)), USAGE)),
        },
        "a version": {
            "1": Parts(version=tlv(0xA0, integer(0)), extensions=b""),
            "1 with extensions": Parts(version=tlv(0xA0, integer(0))),
            "1 with unique id": Parts(
                version=tlv(0xA0, integer(0)), extensions=b"", unique_ids=tlv(0x81, b"\0\1")
            ),
            "2": Parts(version=tlv(0xA0, integer(1)), extensions=b""),
            "2 with extensions": Parts(version=tlv(0xA0, integer(1))),
            "4": Parts(version=tlv(0xA0, integer(3))),
        },
        "a time": {
            "no seconds": Parts(not_before=tlv(UTC, b"2601010000Z")),
            "offset": Parts(not_before=tlv(UTC, b"260101010000+0100")),
            "no seconds, offset": Parts(not_before=tlv(UTC, b"2512311830-0530")),
            "no zone": Parts(not_before=tlv(UTC, b"260101000000")),
            "long, no seconds": Parts(not_before=tlv(GENERALIZED, b"202601010000Z")),
            "long, offset": Parts(not_before=tlv(GENERALIZED, b"20260101010000+0100")),
            "fraction": Parts(not_before=tlv(GENERALIZED, b"20260101000000.5Z")),
            "blank": Parts(not_before=tlv(UTC, b"2601010000 0Z")),
        },
        "a PrintableString": _names(
            {
                "Latin-1": (PRINTABLE, LATIN_1),
                "UTF-8": (PRINTABLE, "Zoë Müller".encode()),
                "@": (PRINTABLE, b"jane@example.com"),
                "_": (PRINTABLE, b"jane_doe"),
                "*": (PRINTABLE, b"*.example.com"),
                "&": (PRINTABLE, b"Jane & Joe"),
            }
        ),
        "another string": _names(
            {
                "UTF8String": (UTF8, LATIN_1),
                "IA5String": (IA5, LATIN_1),
                "VisibleString": (VISIBLE, LATIN_1),
                "TeletexString": (TELETEX, LATIN_1),
                "GeneralString": (0x1B, LATIN_1),
                "BMPString": (BMP, "Zoë Müller".encode("utf-16-be") + b"x"),
                "BIT STRING": (3, b"\0" + LATIN_1),
            }
        ),
        "the issuer's string": {
            "PrintableString": Parts(issuer=named(PRINTABLE, LATIN_1)),
            "UTF8String": Parts(issuer=named(UTF8, LATIN_1)),
            "IA5String": Parts(issuer=named(IA5, LATIN_1)),
            "TeletexString": Parts(issuer=named(TELETEX, LATIN_1)),
            "@": Parts(issuer=named(PRINTABLE, b"ca@example.com")),
        },
        "NULL of ECDSA": {
            "SHA-256": Parts(algorithm=seq(oid(ECDSA), NULL)),
            "inside": Parts(algorithm=seq(oid(ECDSA), NULL), outer_algorithm=seq(oid(ECDSA))),
            "outside": Parts(outer_algorithm=seq(oid(ECDSA), NULL)),
            "SHA-384": Parts(algorithm=seq(oid("1.2.840.10045.4.3.3"), NULL), digest="sha384"),
            "SHA-512": Parts(algorithm=seq(oid("1.2.840.10045.4.3.4"), NULL), digest="sha512"),
        },
        "an RSA number": {
            "1024 bits": _rsa(tlv(2, _modulus(1024)), integer(65537)),
            "2048 bits": _rsa(tlv(2, _modulus(2048)), integer(65537)),
            "3072 bits": _rsa(tlv(2, _modulus(3072)), integer(65537)),
            "modulus padded": _rsa(tlv(2, b"\0\0" + _modulus(2048)), integer(65537)),
            "exponent padded": _rsa(tlv(2, b"\0" + _modulus(2048)), tlv(2, b"\0\1\0\1")),
        },
        "inherited DSA parameters": {
            "none": _dsa(dsa_key),
            "NULL": _dsa(dsa_key, NULL),
            "version 1": replace(_dsa(dsa_key), version=b"", extensions=b""),
            "version 1 written out": replace(
                _dsa(dsa_key), version=tlv(0xA0, integer(0)), extensions=b""
            ),
            "Latin-1 as well": replace(_dsa(dsa_key), subject=named(PRINTABLE, LATIN_1)),
        },
        "an extension": {
            "twice": Parts(extensions=_extensions(USAGE, NOT_CA, USAGE)),
            "usage": Parts(extensions=_extensions(NOT_CA, extension(usage, b"\3\1\7"))),
            "policies": Parts(extensions=_extensions(NOT_CA, extension("2.5.29.32", b"\xff"))),
            "e-mail in Latin-1": Parts(
                extensions=_extensions(USAGE, extension("2.5.29.17", seq(tlv(0x81, LATIN_1))))
            ),
            "key identifier": Parts(
                extensions=_extensions(USAGE, extension("2.5.29.35", octets(b"12345678")))
            ),
        },
    }
    serial = count(0x1001)  # NSS keeps one certificate of an issuer and a number
    made = {
        kind: {
            label: replace(parts, serial=integer(next(serial))).sign()
            for label, parts in inputs.items()
        }
        for kind, inputs in kinds.items()
    }
    der = plain.sign()
    long_length = b"\x30\x83\0" + (len(der) - 4).to_bytes(2, "big")
    made["an encoding"] = {
        "long length": long_length + der[4:],
        "indefinite length": b"\x30\x80" + der[4:] + b"\0\0",
        "long length inside": replace(plain, key=b"\x30\x81" + plain.key[1:]).sign(),
        "indefinite length inside": replace(
            plain, subject=b"\x30\x80" + plain.subject[2:] + b"\0\0"
        ).sign(),
        "padded serial": replace(plain, serial=tlv(2, b"\0\0\5")).sign(),
    }
    return made
