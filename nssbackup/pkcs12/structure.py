"""The ASN.1 types of a PFX (RFC 7292, RFC 5652 and RFC 8018) and its object identifiers.

OPTIONAL and open fields are unions or TLVs, because their type depends on an object identifier
beside them. Reading expects DER: call `safes.normalise` first.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from nssbackup.errors import DamagedBackupError
from nssbackup.identity import ber
from nssbackup.pkcs12.kdf import HASHES, Hash

T = TypeVar("T")

# PKCS#7 content types (RFC 5652, sections 4 and 8)
DATA = ObjectIdentifier("1.2.840.113549.1.7.1")
ENCRYPTED_DATA = ObjectIdentifier("1.2.840.113549.1.7.6")
# PKCS#12 bag types (RFC 7292, appendix D)
KEY_BAG = ObjectIdentifier("1.2.840.113549.1.12.10.1.1")
SHROUDED_KEY_BAG = ObjectIdentifier("1.2.840.113549.1.12.10.1.2")
CERT_BAG = ObjectIdentifier("1.2.840.113549.1.12.10.1.3")
SAFE_CONTENTS_BAG = ObjectIdentifier("1.2.840.113549.1.12.10.1.6")
# PKCS#9: attributes, and the kind of certificate in a certBag (RFC 7292, 4.2.3)
FRIENDLY_NAME = ObjectIdentifier("1.2.840.113549.1.9.20")
LOCAL_KEY_ID = ObjectIdentifier("1.2.840.113549.1.9.21")
X509_CERTIFICATE = ObjectIdentifier("1.2.840.113549.1.9.22.1")

# RFC 8018, appendix C
PBKDF2 = ObjectIdentifier("1.2.840.113549.1.5.12")
PBES2 = ObjectIdentifier("1.2.840.113549.1.5.13")
PBMAC1 = ObjectIdentifier("1.2.840.113549.1.5.14")
# FIPS 180-4 in NIST's arc; SHA-1 in OIW's (RFC 3279, 2.1 and RFC 5754, 2)
HASH_OIDS: dict[Hash, ObjectIdentifier] = {
    "md5": ObjectIdentifier("1.2.840.113549.2.5"),
    "sha1": ObjectIdentifier("1.3.14.3.2.26"),
    "sha224": ObjectIdentifier("2.16.840.1.101.3.4.2.4"),
    "sha256": ObjectIdentifier("2.16.840.1.101.3.4.2.1"),
    "sha384": ObjectIdentifier("2.16.840.1.101.3.4.2.2"),
    "sha512": ObjectIdentifier("2.16.840.1.101.3.4.2.3"),
}
# RFC 8018, B.1.2
HMAC_OIDS: dict[Hash, ObjectIdentifier] = {
    name: ObjectIdentifier(f"1.2.840.113549.2.{number}")
    for number, name in zip((6, 7, 8, 9, 10, 11), HASHES, strict=True)
}
# NIST's AES arc: CBC by the bytes of the key (RFC 8018, B.2.5)
AES_CBC_OIDS: dict[int, ObjectIdentifier] = {
    16: ObjectIdentifier("2.16.840.1.101.3.4.1.2"),
    24: ObjectIdentifier("2.16.840.1.101.3.4.1.22"),
    32: ObjectIdentifier("2.16.840.1.101.3.4.1.42"),
}
HASH_BY_OID = {oid: name for name, oid in HASH_OIDS.items()}
HASH_BY_HMAC_OID = {oid: name for name, oid in HMAC_OIDS.items()}

SEQUENCE = b"\x30"
OCTET_STRING = b"\x04"
BMP_STRING = b"\x1e"
UTF8_STRING = b"\x0c"
# [0] IMPLICIT OCTET STRING, whole or (in BER) in pieces
_IMPLICIT_OCTETS = b"\x80"
_IMPLICIT_PIECES = b"\xa0"


@asn1.sequence
class AlgorithmIdentifier:
    """RFC 5280, 4.1.1.2."""

    algorithm: ObjectIdentifier
    parameters: asn1.Null | asn1.TLV | None


@asn1.sequence
class ContentInfo:
    """RFC 5652, section 3. Nothing in a PFX has a ContentInfo without content."""

    content_type: ObjectIdentifier
    content: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class DigestInfo:
    """RFC 7292, section 4 (from PKCS#7)."""

    algorithm: AlgorithmIdentifier
    digest: bytes


@asn1.sequence
class MacData:
    """RFC 7292, section 4; `iterations` is DEFAULT 1, which some write out all the same."""

    mac: DigestInfo
    salt: bytes
    iterations: int | None


@asn1.sequence
class Pfx:
    """RFC 7292, section 4."""

    version: int
    auth_safe: ContentInfo
    mac_data: MacData | None


@asn1.sequence
class EncryptedContentInfo:
    """RFC 5652, 6.1; `encrypted_content` is [0] IMPLICIT OCTET STRING, see `octets`."""

    content_type: ObjectIdentifier
    algorithm: AlgorithmIdentifier
    encrypted_content: asn1.TLV


@asn1.sequence
class EncryptedData:
    """RFC 5652, section 8."""

    version: int
    encrypted: EncryptedContentInfo


@asn1.sequence
class EncryptedPrivateKeyInfo:
    """RFC 5208, section 6."""

    algorithm: AlgorithmIdentifier
    data: bytes


@asn1.sequence
class PrivateKeyInfo:
    """RFC 5208, section 5; `attributes` is [0] and, in RFC 5958, followed by [1]."""

    version: int
    algorithm: AlgorithmIdentifier
    private_key: bytes


@asn1.sequence
class Attribute:
    """RFC 7292, 4.2 (PKCS12Attribute)."""

    id: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class SafeBag:
    """RFC 7292, 4.2."""

    id: ObjectIdentifier
    value: Annotated[asn1.TLV, asn1.Explicit(0)]
    attributes: asn1.SetOf[Attribute] | None


@asn1.sequence
class CertBag:
    """RFC 7292, 4.2.3."""

    id: ObjectIdentifier
    value: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class Pbes1Parameters:
    """RFC 7292, appendix C (pkcs-12PbeParams) and RFC 8018, A.3."""

    salt: bytes
    iterations: int


@asn1.sequence
class Pbkdf2Parameters:
    """RFC 8018, A.2; an absent `prf` means HMAC-SHA-1."""

    salt: bytes
    iterations: int
    key_length: int | None
    prf: AlgorithmIdentifier | None


@asn1.sequence
class SchemeParameters:
    """RFC 8018, A.4 (PBES2) and A.5 (PBMAC1): a key derivation and a cipher or an HMAC."""

    derivation: AlgorithmIdentifier
    scheme: AlgorithmIdentifier


# A SEQUENCE OF can't be the root of a declared type: each has a SEQUENCE around it.
@asn1.sequence
class _Contents:
    items: list[ContentInfo]


@asn1.sequence
class _Bags:
    items: list[SafeBag]


@asn1.sequence
class _Pieces:
    items: list[bytes]


@asn1.sequence
class _Elements:
    items: list[asn1.TLV]


def decode(kind: type[T], der: bytes) -> T:
    """Decode DER as a value of a declared type.

    Raises:
        DamagedBackupError: it is something else.
    """
    try:
        return asn1.decode_der(kind, der)
    except ValueError as error:
        raise _damaged() from error


def inner(kind: type[T], value: asn1.TLV | asn1.Null | None) -> T:
    """Decode the value of an open field.

    Raises:
        DamagedBackupError: it is something else, or absent.
    """
    if not isinstance(value, asn1.TLV):
        raise _damaged()
    try:
        parsed: T = value.parse(kind)
    except ValueError as error:
        raise _damaged() from error
    return parsed


def octets(value: asn1.TLV) -> bytes:
    """Return the content of an [0] IMPLICIT OCTET STRING, which BER may have left in pieces.

    Raises:
        DamagedBackupError: it is something else.
    """
    if value.tag_bytes == _IMPLICIT_OCTETS:
        return bytes(value.data)
    if value.tag_bytes == _IMPLICIT_PIECES:
        pieces = ber.encode(SEQUENCE, bytes(value.data))
        return b"".join(decode(_Pieces, ber.encode(SEQUENCE, pieces)).items)
    raise _damaged()


def implicit_octets(content: bytes) -> asn1.TLV:
    """Return `content` as an [0] IMPLICIT OCTET STRING."""
    return tlv(_IMPLICIT_OCTETS, content)


def tlv(tag: bytes, content: bytes) -> asn1.TLV:
    """Return a value for an open field, from its tag and content octets."""
    return asn1.decode_der(asn1.TLV, ber.encode(tag, content))


def opened(value: object) -> asn1.TLV:
    """Return a value of a declared type (or bytes, an OCTET STRING) for an open field."""
    return asn1.decode_der(asn1.TLV, asn1.encode_der(value))


def data_info(content: bytes) -> ContentInfo:
    """Return the ContentInfo of type data around `content`."""
    return ContentInfo(content_type=DATA, content=opened(content))


def encrypted_info(algorithm: AlgorithmIdentifier, ciphertext: bytes) -> ContentInfo:
    """Return the ContentInfo of type encryptedData around `ciphertext`."""
    encrypted = EncryptedContentInfo(
        content_type=DATA, algorithm=algorithm, encrypted_content=implicit_octets(ciphertext)
    )
    # RFC 5652, section 8: version 0 without unprotected attributes.
    data = EncryptedData(version=0, encrypted=encrypted)
    return ContentInfo(content_type=ENCRYPTED_DATA, content=opened(data))


def decode_contents(der: bytes) -> list[ContentInfo]:
    """Decode an AuthenticatedSafe (RFC 7292, 4.1).

    Raises:
        DamagedBackupError: it is something else.
    """
    return decode(_Contents, ber.encode(SEQUENCE, der)).items


def decode_bags(der: bytes) -> list[SafeBag]:
    """Decode a SafeContents (RFC 7292, 4.2).

    Raises:
        DamagedBackupError: it is something else.
    """
    return decode(_Bags, ber.encode(SEQUENCE, der)).items


def encode_contents(items: list[ContentInfo]) -> bytes:
    """Encode an AuthenticatedSafe as DER."""
    return bytes(opened(_Contents(items=items)).data)


def encode_bags(items: list[SafeBag]) -> bytes:
    """Encode a SafeContents as DER."""
    return bytes(opened(_Bags(items=items)).data)


def key_algorithm(certificate: bytes) -> AlgorithmIdentifier | None:
    """Return the algorithm identifier of a certificate's public key (RFC 5280, 4.1).

    None if it can't be found.
    """
    try:
        tbs = _elements(_elements(certificate)[0])
        # The version, [0], is OPTIONAL.
        spki = tbs[6 if tbs[0][:1] == b"\xa0" else 5]
        return decode(AlgorithmIdentifier, _elements(spki)[0])
    except (DamagedBackupError, IndexError):
        return None


def pkcs8_algorithm(pkcs8: bytes) -> ObjectIdentifier | None:
    """Return the algorithm of a PrivateKeyInfo (RFC 5208, section 5), or None."""
    try:
        return decode(AlgorithmIdentifier, _elements(pkcs8)[1]).algorithm
    except (DamagedBackupError, IndexError):
        return None


def _elements(value: bytes) -> list[bytes]:
    items = decode(_Elements, ber.encode(SEQUENCE, value)).items
    return [asn1.encode_der(each) for each in items]


def _damaged() -> DamagedBackupError:
    return DamagedBackupError("the file is not a PFX, or it is damaged: its structure is wrong")
