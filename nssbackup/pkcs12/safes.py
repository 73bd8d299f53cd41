"""Safes: what a PFX holds, as values, as far as it can be read without a password."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat import asn1

from nssbackup.errors import DamagedBackupError, UnsupportedBackupError
from nssbackup.pkcs12 import algorithms, ber, encryption, mac, structure
from nssbackup.pkcs12.encryption import AnyEncryption
from nssbackup.pkcs12.limits import BAGS
from nssbackup.pkcs12.mac import AnyMac

# RFC 7292, section 4: v3(3); nobody writes another.
_VERSION = 3


@dataclass(frozen=True, slots=True)
class KeyBag:
    """A private key: PKCS#8 PrivateKeyInfo, encrypted unless `encryption` is None."""

    encryption: AnyEncryption | None
    data: bytes = field(repr=False)
    friendly_name: str | None
    local_key_id: bytes | None


@dataclass(frozen=True, slots=True)
class CertificateBag:
    """An X.509 certificate, DER."""

    der: bytes = field(repr=False)
    friendly_name: str | None
    local_key_id: bytes | None


Bag = KeyBag | CertificateBag


@dataclass(frozen=True, slots=True)
class EncryptedSafe:
    """Bags behind a password."""

    encryption: AnyEncryption
    ciphertext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClearSafe:
    """Bags that anybody can see; the keys among them are encrypted one by one."""

    bags: tuple[Bag, ...]


Safe = EncryptedSafe | ClearSafe


@dataclass(frozen=True, slots=True)
class Pfx:
    """A file: its safes, and the MAC over `content` (the authSafe as it was written)."""

    mac: AnyMac | None
    digest: bytes
    content: bytes = field(repr=False)
    safes: tuple[Safe, ...]


def parse(data: bytes) -> Pfx:
    """Take a file apart.

    Args:
        data: a PFX in BER or DER, nothing behind it.

    Raises:
        DamagedBackupError: it is no PFX, or it contradicts itself.
        UnsupportedBackupError: it is protected by public keys instead of a password, or demands
            too many rounds.
    """
    pfx = structure.decode(structure.Pfx, ber.normalise(data))
    if pfx.version != _VERSION:
        message = f"the file says it is PKCS#12 version {pfx.version}: only 3 is known"
        raise UnsupportedBackupError(message)
    content = _data(pfx.auth_safe)
    contents = structure.decode_contents(ber.normalise(content))
    if len(contents) > BAGS:
        raise _too_many()
    safes = tuple(_safe(each) for each in contents)
    if sum(len(safe.bags) for safe in safes if isinstance(safe, ClearSafe)) > BAGS:
        raise _too_many()
    return Pfx(
        mac=None if pfx.mac_data is None else mac.from_mac_data(pfx.mac_data),
        digest=b"" if pfx.mac_data is None else pfx.mac_data.mac.digest,
        content=content,
        safes=safes,
    )


def bags(contents: bytes) -> tuple[Bag, ...]:
    """The keys and certificates of a SafeContents; CRLs and secrets are left out.

    Raises:
        DamagedBackupError: the bytes are no SafeContents, or hold more than 64 bags.
    """
    found: list[Bag] = []
    waiting = structure.decode_bags(ber.normalise(contents))
    seen = 0
    # RFC 7292, 4.2.6: a bag may hold bags. The depth is bounded by that of the BER.
    while waiting:
        seen += 1
        if seen > BAGS:
            raise _too_many()
        bag = waiting.pop(0)
        if bag.id == structure.SAFE_CONTENTS_BAG:
            waiting[:0] = structure.decode_bags(asn1.encode_der(bag.value))
        else:
            read = _bag(bag)
            if read is not None:
                found.append(read)
    return tuple(found)


def _safe(info: structure.ContentInfo) -> Safe:
    if info.content_type == structure.DATA:
        return ClearSafe(bags(_data(info)))
    if info.content_type != structure.ENCRYPTED_DATA:
        name = algorithms.name_of(info.content_type)
        message = f"the PFX holds a safe of a kind that no password opens ({name})"
        raise UnsupportedBackupError(message)
    encrypted = structure.inner(structure.EncryptedData, info.content).encrypted
    return EncryptedSafe(
        encryption.from_algorithm(encrypted.algorithm),
        structure.octets(encrypted.encrypted_content),
    )


def _data(info: structure.ContentInfo) -> bytes:
    if info.content_type != structure.DATA:
        message = "the PFX is signed instead of protected by a password: that can't be opened here"
        raise UnsupportedBackupError(message)
    return structure.inner(bytes, info.content)


def _bag(bag: structure.SafeBag) -> Bag | None:
    name, key_id = _attributes(bag)
    if bag.id == structure.SHROUDED_KEY_BAG:
        shrouded = structure.inner(structure.EncryptedPrivateKeyInfo, bag.value)
        return KeyBag(encryption.from_algorithm(shrouded.algorithm), shrouded.data, name, key_id)
    if bag.id == structure.KEY_BAG:
        return KeyBag(None, asn1.encode_der(bag.value), name, key_id)
    if bag.id == structure.CERT_BAG:
        certificate = structure.inner(structure.CertBag, bag.value)
        if certificate.id == structure.X509_CERTIFICATE:
            return CertificateBag(structure.inner(bytes, certificate.value), name, key_id)
    return None


def _attributes(bag: structure.SafeBag) -> tuple[str | None, bytes | None]:
    """The friendlyName (RFC 2985, 5.5.1) and localKeyID (5.5.2), each if it is there."""
    name, key_id = None, None
    for attribute in bag.attributes.as_list() if bag.attributes else ():
        values = attribute.values.as_list()
        if attribute.id == structure.FRIENDLY_NAME and values:
            name = _text(values[0])
        elif attribute.id == structure.LOCAL_KEY_ID and values:
            # Of another type it joins nothing; key and certificate are compared as well.
            octets = values[0].tag_bytes == structure.OCTET_STRING
            key_id = bytes(values[0].data) if octets else None
    return name, key_id


def _text(value: asn1.TLV) -> str | None:
    """A BMPString, or the UTF8String that some write; a name is no reason to refuse a key."""
    encoding = {structure.BMP_STRING: "utf-16-be", structure.UTF8_STRING: "utf-8"}.get(
        value.tag_bytes
    )
    if encoding is None:
        return None
    return bytes(value.data).decode(encoding, "replace").rstrip("\0") or None


def _too_many() -> DamagedBackupError:
    return DamagedBackupError(f"the PFX holds more than {BAGS} keys and certificates")
