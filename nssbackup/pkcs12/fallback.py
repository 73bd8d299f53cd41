"""Open the parts of a PFX whose algorithms aren't done here, with `cryptography` (OpenSSL).

Mostly RC2: Windows, the macOS Keychain, OpenSSL before 3.0 and NSS before 3.65 encrypted
certificates with it. OpenSSL's parser returns the first key of a file and drops the others, so it
gets each encrypted part alone, in a file made for the purpose. It does not return the localKeyID;
key and certificate are then paired by the public key.

For a DSA key OpenSSL computes the public value with numbers of any size: 8 kB take five seconds,
and twice as many eight times as long. So it gets no key of more than 4,000 bytes (RSA with 4096
bits has 2,400), and reads only the certificates of a longer safe.
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

from nssbackup.errors import KeyNotExportableError, UnsupportedBackupError
from nssbackup.identity import private_keys
from nssbackup.pkcs12 import ber, kdf, protection, structure
from nssbackup.pkcs12.kdf import Encoded, Pkcs12Kdf
from nssbackup.pkcs12.protection import Other
from nssbackup.pkcs12.safes import Bag, CertificateBag, KeyBag

_PFX_VERSION = 3
_MAX_KEY_BYTES = 4_000
# An Ed25519 key, the smallest there is (RFC 8410, section 7). OpenSSL loads the first key of a
# file: if that is this one, it loads no other.
_DECOY = bytes.fromhex("302e020100300506032b657004220420") + bytes(32)
_MD5 = ObjectIdentifier("1.2.840.113549.2.5")
_MD5_BYTES = 16


def mac_fits(data: bytes, password: Encoded) -> bool:
    """Return whether the password makes the MAC: MD5's is computed here, others by OpenSSL.

    Args:
        data: the file; the caller has bounded its rounds.
        password: may be empty.

    Raises:
        UnsupportedBackupError: OpenSSL doesn't know the algorithm either.
    """
    pfx = structure.decode(structure.Pfx, ber.normalise(data))
    found = pfx.mac_data
    if found is not None and found.mac.algorithm.algorithm == _MD5:
        content = structure.inner(bytes, pfx.auth_safe.content)
        rounds = 1 if found.iterations is None else found.iterations
        derivation = Pkcs12Kdf(found.salt, rounds, "sha1", kdf.MAC, _MD5_BYTES)
        try:
            key = kdf.derive_in_python(derivation, password.bmp, "md5")
            return hmac.compare_digest(hmac.digest(key, content, "md5"), found.mac.digest)
        except ValueError as error:  # FIPS mode
            name = "HMAC-MD5"
            raise protection.unsupported(name) from error
    if len(data) > _MAX_KEY_BYTES:
        name = "an unknown MAC"
        raise protection.unsupported(name)
    return _load(data, password) is not None


def open_safe(encryption: Other, ciphertext: bytes, password: Encoded) -> tuple[Bag, ...] | None:
    """Return the certificates of an encrypted safe, and the first of its keys.

    No program is known to put keys into such a safe: they are encrypted one by one beside it.

    Args:
        encryption: that of the safe; the caller has bounded its rounds.
        ciphertext: what was encrypted.
        password: may be empty.

    Returns:
        None if the password does not decrypt it.

    Raises:
        UnsupportedBackupError: OpenSSL doesn't know the algorithm either.
    """
    safe = structure.encrypted_info(encryption.algorithm, ciphertext)
    alone = len(ciphertext) > _MAX_KEY_BYTES
    loaded = _opened(safe, password, only_certificates=alone)
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


def open_key(encryption: Other, ciphertext: bytes, password: Encoded) -> bytes | None:
    """Return the PKCS#8 of an encrypted private key; arguments and errors as of `open_safe`."""
    if len(ciphertext) > _MAX_KEY_BYTES:
        name = f"{encryption.name} for a key of this size"
        raise protection.unsupported(name)
    shrouded = structure.EncryptedPrivateKeyInfo(algorithm=encryption.algorithm, data=ciphertext)
    bag = structure.SafeBag(
        id=structure.SHROUDED_KEY_BAG, value=structure.opened(shrouded), attributes=None
    )
    loaded = _opened(structure.data_info(structure.encode_bags([bag])), password)
    return None if loaded is None or loaded.key is None else _pkcs8(loaded.key)


def _opened(
    safe: structure.ContentInfo, password: Encoded, *, only_certificates: bool = False
) -> pkcs12.PKCS12KeyAndCertificates | None:
    """Return what is in a safe, or None if the password does not decrypt it."""
    decoy = structure.SafeBag(
        id=structure.KEY_BAG, value=asn1.decode_der(asn1.TLV, _DECOY), attributes=None
    )
    before = [structure.data_info(structure.encode_bags([decoy]))] if only_certificates else []
    contents = structure.encode_contents([*before, safe])
    # OpenSSL tells the two forms of an empty password apart by the MAC. From the empty form and
    # an empty salt it would derive nothing, so there is a salt.
    mac = protection.pkcs12_mac("sha1", b"nssbackup", 1)
    digest = mac.digest(mac.kdf.derive(password), contents)
    pfx = structure.Pfx(
        version=_PFX_VERSION,
        auth_safe=structure.data_info(contents),
        mac_data=mac.mac_data(digest),
    )
    return _load(asn1.encode_der(pfx), password)


def _pkcs8(key: PrivateKeyTypes) -> bytes:
    try:
        handled = private_keys.supported(key)
        return handled.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    except KeyNotExportableError as error:
        raise UnsupportedBackupError(error.message) from error
    except (ValueError, TypeError) as error:
        message = "the private key is of a kind that can't be handled"
        raise UnsupportedBackupError(message) from error


def _load(data: bytes, password: Encoded) -> pkcs12.PKCS12KeyAndCertificates | None:
    """Return what OpenSSL finds in a file, or None if the password does not open it."""
    # OpenSSL makes the BMPString from UTF-8 itself.
    text = password.bmp.removesuffix(b"\0\0").decode("utf-16-be", "replace")
    try:
        with warnings.catch_warnings():
            # It warns that it will stop reading BER.
            warnings.simplefilter("ignore")
            return pkcs12.load_pkcs12(data, text.encode("utf-8"))
    except ValueError:
        return None
    except (UnsupportedAlgorithm, InternalError, TypeError) as error:
        name = "an algorithm that OpenSSL doesn't know"
        raise protection.unsupported(name) from error
