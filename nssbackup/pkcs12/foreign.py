"""The parts of a PFX in algorithms that aren't done here, opened by `cryptography` (OpenSSL).

RC2 above all: Windows, the macOS Keychain, OpenSSL before 3.0 and NSS before 3.65 encrypted
certificates with it. OpenSSL's parser gives the first key of a file and forgets the others, so
each encrypted part is handed to it alone, in a file made for the purpose. What the parser does
not tell is the localKeyID; key and certificate find each other by the public key then.
"""

from __future__ import annotations

import warnings

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from nssbackup.errors import UnsupportedBackupError, WrongBackupPasswordError
from nssbackup.pkcs12 import algorithms, kdf, structure
from nssbackup.pkcs12.encryption import ForeignEncryption
from nssbackup.pkcs12.mac import Pkcs12Mac
from nssbackup.pkcs12.safes import Bag, CertificateBag, KeyBag
from nssbackup.secret import Secret

_PFX_VERSION = 3
# RFC 5652, section 8: version 0 as there are no unprotected attributes.
_ENCRYPTED_DATA_VERSION = 0


def check_mac(data: bytes, password: Secret) -> None:
    """Let a file pass whose MAC and password fit.

    Args:
        data: the file as it is; its rounds are bounded by the caller.
        password: may be empty.

    Raises:
        WrongBackupPasswordError: the password doesn't open the file (or it is damaged: that
            can't be told apart here).
        UnsupportedBackupError: the algorithms aren't known to OpenSSL either.
        UsageError: the password is not text.
    """
    if _load(data, kdf.utf8(password)) is None:
        message = "the backup password is wrong, or the file is damaged"
        raise WrongBackupPasswordError(message)


def open_safe(
    encryption: ForeignEncryption, ciphertext: bytes, password: Secret
) -> tuple[Bag, ...] | None:
    """The certificates of an encrypted safe, and the first of the keys that may be in there too.

    Nobody is known to put keys into such a safe: they are encrypted one by one beside it.

    Args:
        encryption: the safe's; its rounds are bounded by the caller.
        ciphertext: what was encrypted.
        password: may be empty.

    Returns:
        None where password and ciphertext don't fit.

    Raises:
        UnsupportedBackupError: the algorithm isn't known to OpenSSL either.
        UsageError: the password is not text.
    """
    encrypted = structure.EncryptedContentInfo(
        content_type=structure.DATA,
        algorithm=encryption.algorithm(),
        encrypted_content=structure.implicit_octets(ciphertext),
    )
    data = structure.EncryptedData(version=_ENCRYPTED_DATA_VERSION, encrypted=encrypted)
    safe = structure.ContentInfo(
        content_type=structure.ENCRYPTED_DATA, content=structure.opened(data)
    )
    loaded = _opened(safe, password)
    if loaded is None:
        return None
    bags: list[Bag] = [] if loaded.key is None else [KeyBag(None, _pkcs8(loaded.key), None, None)]
    for found in (loaded.cert, *loaded.additional_certs):
        if found is not None:
            name = found.friendly_name
            text = None if name is None else name.decode("utf-8", "replace")
            bags.append(CertificateBag(found.certificate.public_bytes(Encoding.DER), text, None))
    return tuple(bags)


def open_key(encryption: ForeignEncryption, ciphertext: bytes, password: Secret) -> bytes | None:
    """The PKCS#8 of an encrypted private key; arguments and errors as of `open_safe`."""
    shrouded = structure.EncryptedPrivateKeyInfo(algorithm=encryption.algorithm(), data=ciphertext)
    bag = structure.SafeBag(
        id=structure.SHROUDED_KEY_BAG, value=structure.opened(shrouded), attributes=None
    )
    loaded = _opened(_data(structure.encode_bags([bag])), password)
    return None if loaded is None or loaded.key is None else _pkcs8(loaded.key)


def _opened(
    safe: structure.ContentInfo, password: Secret
) -> pkcs12.PKCS12KeyAndCertificates | None:
    """What is in a safe; None where the password doesn't open it."""
    contents = structure.encode_contents([safe])
    # It is by the MAC that OpenSSL tells the two forms of an empty password apart; of one of them
    # and an empty salt it would derive nothing.
    mac = Pkcs12Mac("sha1", b"nssbackup", 1)
    for key in mac.keys(password):
        mac_data = mac.mac_data(mac.digest(key, contents))
        pfx = structure.Pfx(version=_PFX_VERSION, auth_safe=_data(contents), mac_data=mac_data)
        loaded = _load(asn1.encode_der(pfx), kdf.utf8(password))
        if loaded is not None:
            return loaded
    return None


def _data(content: bytes) -> structure.ContentInfo:
    return structure.ContentInfo(content_type=structure.DATA, content=structure.opened(content))


def _pkcs8(key: PrivateKeyTypes) -> bytes:
    try:
        return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    except (ValueError, TypeError) as error:
        message = "the private key is of a kind that can't be handled"
        raise UnsupportedBackupError(message) from error


def _load(data: bytes, password: bytes) -> pkcs12.PKCS12KeyAndCertificates | None:
    """What OpenSSL finds in a file; None where the password doesn't open it."""
    try:
        with warnings.catch_warnings():
            # It announces that it will stop reading BER.
            warnings.simplefilter("ignore")
            return pkcs12.load_pkcs12(data, password)
    except ValueError:
        return None
    except (UnsupportedAlgorithm, InternalError, TypeError) as error:
        name = "an algorithm that OpenSSL doesn't know"
        raise algorithms.unsupported(name) from error
