"""PfxWriter: an identity and its private key to the bytes of a PFX, in strict DER.

The layout is that of OpenSSL and `cryptography`, which everybody reads: an encrypted safe with the
certificates, the own one first, and a safe with the shrouded key. Strict DER because macOS and
parsers to come take nothing else.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from nssbackup.errors import KeyMismatchError, UsageError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import encryption, kdf, mac, structure
from nssbackup.pkcs12.derivations import Derivations
from nssbackup.pkcs12.encryption import CipherKey
from nssbackup.pkcs12.formats import Format, checked_rounds
from nssbackup.secret import Secret

# RFC 2985, 5.5.1: pkcs-9-ub-friendlyName, counted in the 16-bit units of a BMPString.
_FRIENDLY_NAME_UNITS = 255
_PFX_VERSION = 3
# RFC 5652, section 8: version 0 as there are no unprotected attributes.
_ENCRYPTED_DATA_VERSION = 0


class PfxWriter:
    """Makes one PFX.

    The three derivations are all the time it takes, so they begin here, in threads, while the
    caller reads the store; `seal` waits for them. Salts are used for one file: a second one needs
    a second PfxWriter. Nothing has to be closed: a thread ends with its derivation.

    Args:
        password: the backup password.
        format: MODERN or COMPATIBLE.
        rounds: of key, certificates and MAC alike, 2,048 to 600,000 (which is the default).
        frugal: for who has other work for the processors: key and certificates share their salt
            where the format lets them, which spares one derivation of three.

    Raises:
        UsageError: the password is empty or not text, or the rounds are out of range.
    """

    def __init__(
        self,
        password: Secret,
        format: Format,  # noqa: A002 - the noun of the domain
        *,
        rounds: int | None = None,
        frugal: bool = False,
    ) -> None:
        if not password:
            message = "the backup password is empty"
            raise UsageError(message, hint="Firefox and Windows can't open such a file")
        kdf.utf8(password)
        count = checked_rounds(rounds)
        self._certificates = encryption.fresh(format, count)
        self._key = (
            encryption.beside(self._certificates) if frugal else encryption.fresh(format, count)
        )
        self._mac = mac.fresh(format, count)
        derivations = Derivations(password, "nssbackup-write")
        self._certificates_key = derivations.cipher_keys(self._certificates)
        self._key_key = derivations.cipher_keys(self._key)
        self._mac_keys = derivations.mac_keys(self._mac)
        derivations.last()

    def __reduce__(self) -> NoReturn:
        message = "a PfxWriter can't be pickled"
        raise TypeError(message)

    def encode(
        self, identity: Identity, key: PrivateKey, *, friendly_name: str | None = None
    ) -> bytes:
        """The PFX.

        Args:
            identity: the certificate, and the CA certificates to go with it.
            key: its private key.
            friendly_name: what importers show; else the certificate's nickname or common name.

        Raises:
            KeyMismatchError: the key is not the certificate's.
        """
        own = identity.certificate
        if own.public_key is not None and own.public_key != key.public_key:
            message = "the private key is not the one of the certificate"
            raise KeyMismatchError(message)
        # NSS, OpenSSL and Windows alike: SHA-1 of the certificate, on it and on its key only.
        key_id = hashlib.sha1(own.der, usedforsecurity=False).digest()
        attributes = _attributes(friendly_name_of(identity, friendly_name), key_id)
        certificates = [
            _certificate_bag(own, attributes),
            *(_certificate_bag(each, _attributes(each.nickname)) for each in identity.chain),
        ]
        contents = [
            self._encrypted_safe(structure.encode_bags(certificates)),
            _data(structure.encode_bags([self._key_bag(key, attributes)])),
        ]
        return self._authenticated(structure.encode_contents(contents))

    def _encrypted_safe(self, contents: bytes) -> structure.ContentInfo:
        ciphertext = _first(self._certificates_key).encrypt(contents)
        encrypted = structure.EncryptedContentInfo(
            content_type=structure.DATA,
            algorithm=self._certificates.algorithm(),
            encrypted_content=structure.implicit_octets(ciphertext),
        )
        data = structure.EncryptedData(version=_ENCRYPTED_DATA_VERSION, encrypted=encrypted)
        return structure.ContentInfo(
            content_type=structure.ENCRYPTED_DATA, content=structure.opened(data)
        )

    def _key_bag(
        self, key: PrivateKey, attributes: asn1.SetOf[structure.Attribute] | None
    ) -> structure.SafeBag:
        shrouded = structure.EncryptedPrivateKeyInfo(
            algorithm=self._key.algorithm(), data=_first(self._key_key).encrypt(key.pkcs8)
        )
        return structure.SafeBag(
            id=structure.SHROUDED_KEY_BAG,
            value=structure.opened(shrouded),
            attributes=attributes,
        )

    def _authenticated(self, content: bytes) -> bytes:
        digest = self._mac.digest(self._mac_keys()[0], content)
        return asn1.encode_der(
            structure.Pfx(
                version=_PFX_VERSION,
                auth_safe=_data(content),
                mac_data=self._mac.mac_data(digest),
            )
        )


@dataclass(frozen=True, slots=True)
class PfxWriters:
    """A backup password, and a PfxWriter at work for each format it is to be used for.

    Begun as early as the password is known, its derivations run while the rest is done.
    """

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
        """Start the derivations; arguments and errors as of `PfxWriter`."""
        count = checked_rounds(rounds)
        by_format = {
            format_: PfxWriter(password, format_, rounds=count, frugal=frugal)
            for format_ in formats
        }
        return cls(password, count, by_format)


def friendly_name_of(identity: Identity, wanted: str | None = None) -> str | None:
    """The friendlyName that an identity gets: the wanted one, its nickname or its common name.

    None where nothing of it can be written.
    """
    own = identity.certificate
    return _writable(wanted or own.nickname or own.common_name or "") or None


def _first(derived: Callable[[], tuple[CipherKey, ...]]) -> CipherKey:
    """The key as it is written: other forms are for readers of empty passwords."""
    return derived()[0]


def _data(content: bytes) -> structure.ContentInfo:
    return structure.ContentInfo(content_type=structure.DATA, content=structure.opened(content))


def _certificate_bag(
    certificate: StoredCertificate, attributes: asn1.SetOf[structure.Attribute] | None
) -> structure.SafeBag:
    bag = structure.CertBag(id=structure.X509_CERTIFICATE, value=structure.opened(certificate.der))
    return structure.SafeBag(
        id=structure.CERT_BAG, value=structure.opened(bag), attributes=attributes
    )


def _attributes(
    name: str | None, key_id: bytes | None = None
) -> asn1.SetOf[structure.Attribute] | None:
    """The friendlyName and localKeyID (RFC 2985, 5.5) in DER order; None for neither."""
    attributes = []
    units = _writable(name or "").encode("utf-16-be")
    if units:
        value = structure.tlv(structure.BMP_STRING, units)
        attributes.append(_attribute(structure.FRIENDLY_NAME, value))
    if key_id is not None:
        attributes.append(_attribute(structure.LOCAL_KEY_ID, structure.opened(key_id)))
    # A SET has no empty form here: the attributes are OPTIONAL as a whole. DER wants the members
    # by their encodings (X.690, 11.6).
    return asn1.SetOf(sorted(attributes, key=asn1.encode_der)) if attributes else None


def _attribute(oid: ObjectIdentifier, value: asn1.TLV) -> structure.Attribute:
    return structure.Attribute(id=oid, values=asn1.SetOf([value]))


def _writable(name: str) -> str:
    """What a BMPString can hold of a name: at most 255 units, no controls, no half pairs.

    What lies outside the BMP goes as a surrogate pair, as Windows and Java write and read it.
    """
    kept = "".join(
        character for character in name if unicodedata.category(character) not in {"Cc", "Cs"}
    )
    units = kept.strip().encode("utf-16-be")[: 2 * _FRIENDLY_NAME_UNITS]
    return units.decode("utf-16-be", "ignore")
