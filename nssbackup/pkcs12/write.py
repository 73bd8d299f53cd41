"""Write a PFX: identities and their private keys, in strict DER.

Hand-written for speed: the derivations of all three parts run in parallel and start before the
store is read. The layout is that of OpenSSL and `cryptography`, which every program reads: an
encrypted safe with the certificates, the identity's own first, and a safe with the shrouded key.
macOS takes nothing but strict DER.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from nssbackup.errors import KeyMismatchError, UsageError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import kdf, protection, structure
from nssbackup.pkcs12.formats import Format, checked_rounds
from nssbackup.pkcs12.protection import Encryption
from nssbackup.secret import Secret

# RFC 2985, 5.5.1: pkcs-9-ub-friendlyName, counted in the 16-bit units of a BMPString.
_FRIENDLY_NAME_UNITS = 255
_PFX_VERSION = 3

# RFC 8017, appendix C
_RSASSA_PSS = ObjectIdentifier("1.2.840.113549.1.1.10")

_Attributes = asn1.SetOf[structure.Attribute] | None


@dataclass(frozen=True, slots=True)
class PfxEntry:
    """An identity as a PFX contains it.

    Attributes:
        identity: the certificate, and the CA certificates to go with it.
        key: its private key.
        friendly_name: on the certificate and its key; None for none.
    """

    identity: Identity
    key: PrivateKey = field(repr=False)
    friendly_name: str | None

    @property
    def local_key_id(self) -> bytes:
        """What pairs certificate and key: SHA-1 of the certificate, as in NSS and Windows."""
        return bytes.fromhex(self.identity.certificate.sha1)

    @property
    def pkcs8(self) -> bytes:
        """The key with the algorithm identifier of the certificate if that is RSASSA-PSS.

        A store and most programs call such a key an RSA key; OpenSSL and Node then refuse it as
        the key of this certificate.
        """
        algorithm = structure.key_algorithm(self.identity.certificate.der)
        if algorithm is None or algorithm.algorithm != _RSASSA_PSS:
            return self.key.pkcs8
        found = structure.decode(structure.PrivateKeyInfo, self.key.pkcs8)
        return asn1.encode_der(
            structure.PrivateKeyInfo(
                version=found.version, algorithm=algorithm, private_key=found.private_key
            )
        )


class PfxWriter:
    """Writes one PFX.

    The derivations take nearly all the time, so they start here, in threads, while the caller
    reads the store; `encode` waits for them. A salt must serve for one file only: a second file
    needs a second writer. There is nothing to close: the threads end with their derivations.

    Args:
        password: the backup password.
        pfx_format: MODERN or COMPATIBLE.
        rounds: for key, certificates and MAC alike, 2,048 to 600,000 (the default).
        frugal: let key and certificates share their salt if the format allows it, which saves one
            of three derivations; for callers with other work for the processors.

    Raises:
        UsageError: the password is empty or not text, or the rounds are out of range.
    """

    def __init__(
        self,
        password: Secret,
        pfx_format: Format,
        *,
        rounds: int | None = None,
        frugal: bool = False,
    ) -> None:
        if not password:
            message = "the backup password is empty"
            raise UsageError(message, hint="Firefox and Windows can't open such a file")
        self._password = kdf.encoded(password)
        count = checked_rounds(rounds)
        self._certificates = protection.new_encryption(pfx_format, count)
        self._key = (
            protection.sharing_salt(self._certificates)
            if frugal
            else protection.new_encryption(pfx_format, count)
        )
        self._used = False
        self._mac = protection.new_mac(pfx_format, count)
        self._derivations = kdf.Derivations("nssbackup-write")
        needed = (*self._certificates.kdfs, *self._key.kdfs, self._mac.kdf)
        self._derivations.start(needed, self._password)
        self._derivations.finish()

    def __reduce__(self) -> NoReturn:
        message = "a PfxWriter can't be pickled"
        raise TypeError(message)

    def encode(
        self, identity: Identity, key: PrivateKey, *, friendly_name: str | None = None
    ) -> bytes:
        """Return the PFX of one identity.

        Args:
            identity: the certificate, and the CA certificates to go with it.
            key: its private key.
            friendly_name: what importers show; None for the certificate's nickname or common name.

        Raises:
            KeyMismatchError: the key does not fit the certificate.
        """
        return self.encode_all(entries_of([(identity, key)], friendly_name))

    def encode_all(self, entries: Sequence[PfxEntry]) -> bytes:
        """Return the PFX of several identities, each with its key.

        Raises:
            KeyMismatchError: a key does not fit its certificate.
        """
        certificates, keys = [], []
        for entry in entries:
            own = entry.identity.certificate
            if own.public_key is not None and own.public_key != entry.key.public_key:
                message = "the private key does not fit the certificate"
                raise KeyMismatchError(message)
            attributes = _attributes(entry.friendly_name, entry.local_key_id)
            certificates.append(_certificate_bag(own.der, attributes))
            keys.append(self._key_bag(entry.pkcs8, attributes))
        for issuer, name in issuers_of(entries):
            certificates.append(_certificate_bag(issuer.der, _attributes(name)))
        safe = structure.encrypted_info(
            self._certificates.algorithm(),
            self._encrypt(self._certificates, structure.encode_bags(certificates)),
        )
        content = [safe, structure.data_info(structure.encode_bags(keys))]
        return self._authenticated(structure.encode_contents(content))

    def _encrypt(self, encryption: Encryption, plaintext: bytes) -> bytes:
        derived = self._derivations.result(encryption.kdfs, self._password)
        return encryption.key(derived).encrypt(plaintext)

    def _key_bag(self, pkcs8: bytes, attributes: _Attributes) -> structure.SafeBag:
        # The keys of one file share a salt. That is safe with a random IV for each.
        encryption = protection.sharing_salt(self._key) if self._used else self._key
        self._used = True
        shrouded = structure.EncryptedPrivateKeyInfo(
            algorithm=encryption.algorithm(), data=self._encrypt(encryption, pkcs8)
        )
        return structure.SafeBag(
            id=structure.SHROUDED_KEY_BAG, value=structure.opened(shrouded), attributes=attributes
        )

    def _authenticated(self, content: bytes) -> bytes:
        (key,) = self._derivations.result((self._mac.kdf,), self._password)
        pfx = structure.Pfx(
            version=_PFX_VERSION,
            auth_safe=structure.data_info(content),
            mac_data=self._mac.mac_data(self._mac.digest(key, content)),
        )
        return asn1.encode_der(pfx)


@dataclass(frozen=True, slots=True)
class PfxWriters:
    """A backup password with a writer for each format that it will be used for."""

    password: Secret
    rounds: int
    by_format: Mapping[Format, PfxWriter]

    @classmethod
    def start(
        cls,
        password: Secret,
        formats: Iterable[Format],
        rounds: int | None = None,
        *,
        frugal: bool = False,
    ) -> PfxWriters:
        """Start the derivations for each format; arguments and errors as of `PfxWriter`."""
        count = checked_rounds(rounds)
        writers = {each: PfxWriter(password, each, rounds=count, frugal=frugal) for each in formats}
        return cls(password, count, writers)


def friendly_name_of(identity: Identity, wanted: str | None = None) -> str | None:
    """Return the friendlyName: the wanted name, the nickname or the common name.

    With an empty subject it is the display name; None if nothing of it can be written.
    """
    own = identity.certificate
    fallback = "" if own.subject else own.display_name
    return _writable(wanted or own.nickname or own.common_name or fallback) or None


def entries_of(
    pairs: Iterable[tuple[Identity, PrivateKey]], friendly_name: str | None = None
) -> tuple[PfxEntry, ...]:
    """Return identities and keys as a PFX will contain them, each with a name of its own.

    Of several entries with one name, Java and Firefox show only one.

    Args:
        pairs: the identities and their keys.
        friendly_name: as of `PfxWriter.encode`.
    """
    entries: list[PfxEntry] = []
    taken: set[str | None] = set()
    for identity, key in pairs:
        name = base = friendly_name_of(identity, friendly_name)
        number = 1
        while name is not None and name.casefold() in taken:
            number += 1
            suffix = f" #{number}"
            name = f"{_writable(base or '', _FRIENDLY_NAME_UNITS - len(suffix))}{suffix}"
        taken.add(name and name.casefold())
        entries.append(PfxEntry(identity, key, name))
    return tuple(entries)


def issuers_of(entries: Sequence[PfxEntry]) -> tuple[tuple[StoredCertificate, str | None], ...]:
    """Return each CA certificate of a PFX once with its friendlyName.

    One whose name is taken goes without: NSS and Bouncy Castle confuse certificates of one name.
    """
    taken = {(entry.friendly_name or "").casefold() for entry in entries}
    ders = {entry.identity.certificate.der for entry in entries}
    found: list[tuple[StoredCertificate, str | None]] = []
    for issuer in (each for entry in entries for each in entry.identity.chain):
        if issuer.der in ders:
            continue
        ders.add(issuer.der)
        name = _writable(issuer.nickname or "")
        found.append((issuer, None if name.casefold() in taken else name))
        taken.add(name.casefold())
    return tuple(found)


def _certificate_bag(der: bytes, attributes: _Attributes) -> structure.SafeBag:
    bag = structure.CertBag(id=structure.X509_CERTIFICATE, value=structure.opened(der))
    return structure.SafeBag(
        id=structure.CERT_BAG, value=structure.opened(bag), attributes=attributes
    )


def _attributes(name: str | None, key_id: bytes | None = None) -> _Attributes:
    """Return friendlyName and localKeyID (RFC 2985, 5.5) in DER order, or None for neither."""
    attributes = []
    if name:
        value = structure.tlv(structure.BMP_STRING, name.encode("utf-16-be"))
        attributes.append(_attribute(structure.FRIENDLY_NAME, value))
    if key_id is not None:
        attributes.append(_attribute(structure.LOCAL_KEY_ID, structure.opened(key_id)))
    # DER sorts a SET by the encodings of its members (X.690, 11.6).
    return asn1.SetOf(sorted(attributes, key=asn1.encode_der)) if attributes else None


def _attribute(oid: ObjectIdentifier, value: asn1.TLV) -> structure.Attribute:
    return structure.Attribute(id=oid, values=asn1.SetOf([value]))


def _writable(name: str, units: int = _FRIENDLY_NAME_UNITS) -> str:
    """Return what a BMPString can hold: at most `units`, no controls, no half pairs.

    A character outside the BMP goes as a surrogate pair, as Windows and Java write and read it.
    NSS refuses a name that ends in a blank.
    """
    kept = "".join(
        character for character in name if unicodedata.category(character) not in {"Cc", "Cs"}
    )
    encoded = kept.strip().encode("utf-16-be")[: 2 * units]
    return encoded.decode("utf-16-be", "ignore").rstrip()
