"""The parts of a PFX in algorithms that aren't done here, opened by `cryptography` (OpenSSL).

RC2 above all: Windows, the macOS Keychain, OpenSSL before 3.0 and NSS before 3.65 encrypted
certificates with it. OpenSSL's parser gives the first key of a file and forgets the others, so
each encrypted part is handed to it alone, in a file made for the purpose. What the parser does
not tell is the localKeyID; key and certificate find each other by the public key then.

Of a DSA key OpenSSL computes the public value with numbers as large as anyone likes: 8 kB take five
seconds, and each doubling eight times that. So no key of more than 4,000 bytes is handed to it (RSA
with 4096 bits has 2,400), and of a longer safe it gets to see the certificates only. With the first
key that can't be handled the file is refused, so that there is one of them.
"""

from __future__ import annotations

import hmac
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
from cryptography.x509 import ObjectIdentifier

from nssbackup.errors import (
    KeyNotExportableError,
    UnsupportedBackupError,
    WrongBackupPasswordError,
)
from nssbackup.identity import private_keys
from nssbackup.pkcs12 import algorithms, ber, kdf, structure
from nssbackup.pkcs12.encryption import ForeignEncryption
from nssbackup.pkcs12.mac import Pkcs12Mac
from nssbackup.pkcs12.safes import Bag, CertificateBag, KeyBag
from nssbackup.secret import Secret

_PFX_VERSION = 3
_MAX_KEY_BYTES = 4_000
# The smallest key that there is, Ed25519 (RFC 8410, section 7). OpenSSL loads the first key of a
# file: where this one comes first, no other is.
_DECOY = bytes.fromhex("302e020100300506032b657004220420") + bytes(32)
_MD5 = ObjectIdentifier("1.2.840.113549.2.5")
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
    if not _mac_fits(data, password):
        message = "the backup password is wrong, or the file is damaged"
        raise WrongBackupPasswordError(message)


def _mac_fits(data: bytes, password: Secret) -> bool:
    """Whether the password makes the MAC: MD5's is computed here, others by OpenSSL."""
    pfx = structure.decode(structure.Pfx, ber.normalise(data))
    found = pfx.mac_data
    if found is not None and found.mac.algorithm.algorithm == _MD5:
        content = structure.inner(bytes, pfx.auth_safe.content)
        rounds = 1 if found.iterations is None else found.iterations
        return any(
            hmac.compare_digest(_md5_mac(form, found.salt, rounds, content), found.mac.digest)
            for form in kdf.bmp_forms(password)
        )
    if len(data) > _MAX_KEY_BYTES:
        name = "a MAC that isn't known here"
        raise algorithms.unsupported(name)
    return _load(data, kdf.utf8(password)) is not None


def _md5_mac(password: bytes, salt: bytes, rounds: int, content: bytes) -> bytes:
    try:
        key = kdf.derive_with_hashlib(
            password, salt, rounds, purpose=kdf.MAC, length=16, hash_name="md5"
        )
        return hmac.digest(key, content, "md5")
    except ValueError as error:  # FIPS mode
        name = "HMAC-MD5"
        raise algorithms.unsupported(name) from error


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
    alone = len(ciphertext) > _MAX_KEY_BYTES
    loaded = _opened(safe, password, certificates_alone=alone)
    if loaded is None:
        return None
    key = None if alone else loaded.key
    bags: list[Bag] = [] if key is None else [KeyBag(None, _pkcs8(key), None, None)]
    for found in (loaded.cert, *loaded.additional_certs):
        if found is not None:
            name = found.friendly_name
            text = None if name is None else name.decode("utf-8", "replace")
            bags.append(CertificateBag(found.certificate.public_bytes(Encoding.DER), text, None))
    return tuple(bags)


def open_key(encryption: ForeignEncryption, ciphertext: bytes, password: Secret) -> bytes | None:
    """The PKCS#8 of an encrypted private key; arguments and errors as of `open_safe`."""
    if len(ciphertext) > _MAX_KEY_BYTES:
        name = f"{encryption.name} for a key of such a size"
        raise algorithms.unsupported(name)
    shrouded = structure.EncryptedPrivateKeyInfo(algorithm=encryption.algorithm(), data=ciphertext)
    bag = structure.SafeBag(
        id=structure.SHROUDED_KEY_BAG, value=structure.opened(shrouded), attributes=None
    )
    loaded = _opened(_data(structure.encode_bags([bag])), password)
    return None if loaded is None or loaded.key is None else _pkcs8(loaded.key)


def _opened(
    safe: structure.ContentInfo, password: Secret, *, certificates_alone: bool = False
) -> pkcs12.PKCS12KeyAndCertificates | None:
    """What is in a safe; None where the password doesn't open it."""
    decoy = structure.SafeBag(
        id=structure.KEY_BAG, value=asn1.decode_der(asn1.TLV, _DECOY), attributes=None
    )
    before = [_data(structure.encode_bags([decoy]))] if certificates_alone else []
    contents = structure.encode_contents([*before, safe])
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
        handled = private_keys.supported(key)
        return handled.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    except KeyNotExportableError as error:
        raise UnsupportedBackupError(error.message) from error
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
