"""Take a PFX apart: its safes and bags as values, as far as they show without the password.

NSS writes a PFX in BER, with indefinite lengths and OCTET STRINGs in pieces (seen in files of
pk12util 3.87), and the parsers at hand read only DER, so each level is made DER first, by hand. The
content of an OCTET STRING stays as it is: the MAC covers the authSafe as it was written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat import asn1

from nssbackup.errors import DamagedBackupError, UnsupportedBackupError
from nssbackup.identity.ber import encode, read_header
from nssbackup.pkcs12 import protection, structure
from nssbackup.pkcs12.protection import AnyEncryption, AnyMac

# A PFX with a hundred certificates has 200 kB.
FILE_BYTES = 8 * 1024 * 1024
# Our own file is 12 levels deep and has some 60 elements; both bounds stop a bomb early.
_DEPTH = 32
_ELEMENTS = 50_000

_CONSTRUCTED = 0x20
_OCTET_STRING = 0x04
_SET = 0x31
_END_OF_CONTENTS = b"\0\0"


def normalise(data: bytes) -> bytes:
    """Turn one BER value into DER: definite minimal lengths, whole OCTET STRINGs, sorted SETs.

    Args:
        data: one BER value (X.690, section 8), with nothing behind it.

    Raises:
        DamagedBackupError: `data` is something else.
        UnsupportedBackupError: it is larger than 8 MiB, nested deeper than 32 levels or made of
            more than 50,000 elements.
    """
    der, end = first(data)
    if end != len(data):
        raise _damaged()
    return der


def first(data: bytes) -> tuple[bytes, int]:
    """Return the BER value that `data` begins with as DER, and its length; errors as above."""
    if len(data) > FILE_BYTES:
        message = f"the file is larger than {FILE_BYTES // 1024 // 1024} MiB, the limit for a PFX"
        raise UnsupportedBackupError(message)
    tag, content, end = _Reader(data).element(0, len(data), 0)
    return encode(tag, content), end


class _Reader:
    """Walks one buffer; it visits every octet once per level around it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._elements = 0

    def element(self, start: int, limit: int, depth: int) -> tuple[bytes, bytes, int]:
        """Return the element at `start`: its tag and content in DER, and the offset behind it."""
        self._elements += 1
        if self._elements > _ELEMENTS or depth > _DEPTH:
            message = "the file has more ASN.1 elements, or deeper ones, than are read here"
            raise UnsupportedBackupError(message)
        try:
            tag, size, at = read_header(self._data, start, limit)
        except ValueError as error:
            raise _damaged() from error
        constructed = tag[0] & _CONSTRUCTED
        if tag == b"\0" or (size is None and not constructed):
            raise _damaged()
        end = None if size is None else at + size
        if end is not None and not constructed:
            return tag, self._data[at:end], end
        children, behind = self._children(at, end, limit, depth)
        if tag[0] == _OCTET_STRING | _CONSTRUCTED:
            if any(child[0] != bytes([_OCTET_STRING]) for child in children):
                raise _damaged()
            return bytes([_OCTET_STRING]), b"".join(child[1] for child in children), behind
        encoded = [encode(*child) for child in children]
        if tag[0] == _SET:
            encoded.sort()
        return tag, b"".join(encoded), behind

    def _children(
        self, start: int, end: int | None, limit: int, depth: int
    ) -> tuple[list[tuple[bytes, bytes]], int]:
        """Return the elements from `start` to `end`, or to the end-of-contents octets."""
        children: list[tuple[bytes, bytes]] = []
        at = start
        while at != end:
            if end is None and self._data[at : min(at + 2, limit)] == _END_OF_CONTENTS:
                return children, at + 2
            tag, content, at = self.element(at, limit if end is None else end, depth + 1)
            children.append((tag, content))
        return children, at


def _damaged() -> DamagedBackupError:
    return DamagedBackupError("the file is not a PFX, or it is damaged: its ASN.1 can't be read")


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
    der, end = first(data)
    pfx = structure.decode(structure.Pfx, der)
    if pfx.version != _VERSION:
        message = f"the file says it is PKCS#12 version {pfx.version}: only 3 is known"
        raise UnsupportedBackupError(message)
    content = _data(pfx.auth_safe)
    safes = tuple(_safe(each) for each in structure.decode_contents(normalise(content)))
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
    waiting = structure.decode_bags(normalise(contents))
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
