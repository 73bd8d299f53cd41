"""Take a PFX apart: its safes and bags as values, as far as they show without the password."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat import asn1

from nssbackup.errors import UnsupportedBackupError
from nssbackup.pkcs12 import ber, protection, structure
from nssbackup.pkcs12.protection import AnyEncryption, AnyMac

# RFC 7292, section 4: v3(3); no program writes another.
_VERSION = 3
# A PFX has one or two keys. Java's trust stores hold some hundred certificates.
BAGS = 1_000
KEYS = 64


@dataclass(frozen=True, slots=True)
class KeyBag:
    """A private key: a PKCS#8 PrivateKeyInfo, encrypted unless `encryption` is None."""

    encryption: AnyEncryption | None
    data: bytes = field(repr=False)
    friendly_name: str | None
    local_key_id: bytes | None
    broken_name: bool = False


@dataclass(frozen=True, slots=True)
class CertificateBag:
    """An X.509 certificate, DER."""

    der: bytes = field(repr=False)
    friendly_name: str | None
    local_key_id: bytes | None
    broken_name: bool = False


Bag = KeyBag | CertificateBag


@dataclass(frozen=True, slots=True)
class EncryptedSafe:
    """Bags behind a password."""

    encryption: AnyEncryption
    ciphertext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClearSafe:
    """Bags that anybody can see; the keys in it are encrypted one by one."""

    bags: tuple[Bag, ...]


Safe = EncryptedSafe | ClearSafe


@dataclass(frozen=True, slots=True)
class Pfx:
    """A file: its safes, and the MAC over `content` (the authSafe as it was written).

    `surplus` counts the bytes behind it.
    """

    mac: AnyMac | None
    digest: bytes
    content: bytes = field(repr=False)
    safes: tuple[Safe, ...]
    surplus: int = 0


def parse(data: bytes) -> Pfx:
    """Take a file apart.

    Args:
        data: a PFX in BER or DER; bytes behind it are ignored, as every reader does.

    Raises:
        DamagedBackupError: it is not a PFX, or it contradicts itself.
        UnsupportedBackupError: it is protected by public keys instead of a password, or exceeds
            our limits.
    """
    der, end = ber.first(data)
    pfx = structure.decode(structure.Pfx, der)
    if pfx.version != _VERSION:
        message = f"the file says it is PKCS#12 version {pfx.version}: only 3 is known"
        raise UnsupportedBackupError(message)
    content = _data(pfx.auth_safe)
    safes = tuple(_safe(each) for each in structure.decode_contents(ber.normalise(content)))
    check_count([bag for safe in safes if isinstance(safe, ClearSafe) for bag in safe.bags])
    return Pfx(
        mac=None if pfx.mac_data is None else protection.mac_of(pfx.mac_data),
        digest=b"" if pfx.mac_data is None else pfx.mac_data.mac.digest,
        content=content,
        safes=safes,
        surplus=len(data) - end,
    )


def bags_of(contents: bytes) -> tuple[Bag, ...]:
    """Return the keys and certificates of a SafeContents; CRLs and secrets are left out.

    Raises:
        DamagedBackupError: the bytes are not a SafeContents.
        UnsupportedBackupError: there are too many.
    """
    found: list[Bag] = []
    waiting = structure.decode_bags(ber.normalise(contents))
    # RFC 7292, 4.2.6: a bag may contain bags. The depth is bounded by that of the BER.
    while waiting:
        bag = waiting.pop(0)
        if bag.id == structure.SAFE_CONTENTS_BAG:
            waiting[:0] = structure.decode_bags(asn1.encode_der(bag.value))
        elif (read := _bag(bag)) is not None:
            found.append(read)
            check_count(found)
    return tuple(found)


def check_count(bags: list[Bag]) -> None:
    """Refuse more keys and certificates than are read.

    Raises:
        UnsupportedBackupError: there are more.
    """
    if len(bags) > BAGS or sum(isinstance(bag, KeyBag) for bag in bags) > KEYS:
        message = f"the PFX contains more than is read here: {BAGS:,} certificates and {KEYS} keys"
        raise UnsupportedBackupError(message)


def _safe(info: structure.ContentInfo) -> Safe:
    if info.content_type == structure.DATA:
        return ClearSafe(bags_of(_data(info)))
    if info.content_type != structure.ENCRYPTED_DATA:
        name = protection.name_of(info.content_type)
        message = f"the PFX contains a safe of a kind that no password opens ({name})"
        raise UnsupportedBackupError(message)
    encrypted = structure.inner(structure.EncryptedData, info.content).encrypted
    return EncryptedSafe(
        protection.encryption_of(encrypted.algorithm),
        structure.octets(encrypted.encrypted_content),
    )


def _data(info: structure.ContentInfo) -> bytes:
    if info.content_type != structure.DATA:
        message = "the PFX is signed instead of protected by a password: that can't be opened here"
        raise UnsupportedBackupError(message)
    return structure.inner(bytes, info.content)


def _bag(bag: structure.SafeBag) -> Bag | None:
    name, key_id, broken = _attributes(bag)
    if bag.id == structure.SHROUDED_KEY_BAG:
        shrouded = structure.inner(structure.EncryptedPrivateKeyInfo, bag.value)
        encryption = protection.encryption_of(shrouded.algorithm)
        return KeyBag(encryption, shrouded.data, name, key_id, broken)
    if bag.id == structure.KEY_BAG:
        return KeyBag(None, asn1.encode_der(bag.value), name, key_id, broken)
    if bag.id == structure.CERT_BAG:
        certificate = structure.inner(structure.CertBag, bag.value)
        if certificate.id == structure.X509_CERTIFICATE:
            der = structure.inner(bytes, certificate.value)
            return CertificateBag(der, name, key_id, broken)
    return None


def _attributes(bag: structure.SafeBag) -> tuple[str | None, bytes | None, bool]:
    """Return friendlyName and localKeyID (RFC 2985, 5.5), and whether the name is malformed."""
    name, key_id, broken = None, None, False
    for attribute in bag.attributes.as_list() if bag.attributes else ():
        values = attribute.values.as_list()
        if attribute.id == structure.FRIENDLY_NAME and values:
            name, broken = _text(values[0])
        elif attribute.id == structure.LOCAL_KEY_ID and values:
            # In another type it pairs nothing; key and certificate are compared as well.
            octets = values[0].tag_bytes == structure.OCTET_STRING
            key_id = bytes(values[0].data) if octets else None
    return name, key_id, broken


def _text(value: asn1.TLV) -> tuple[str | None, bool]:
    """Decode a BMPString, or the UTF8String that some write; tell whether it is malformed."""
    encoding = {structure.BMP_STRING: "utf-16-be", structure.UTF8_STRING: "utf-8"}.get(
        value.tag_bytes
    )
    if encoding is None:
        return None, True
    data = bytes(value.data)
    text = data.decode(encoding, "replace")
    broken = encoding == "utf-8" or text.encode(encoding) != data
    return text.rstrip("\0") or None, broken
