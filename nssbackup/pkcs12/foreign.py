"""A PFX in algorithms that aren't done here, opened by `cryptography` (OpenSSL).

RC2 above all: Windows, OpenSSL before 3.0 and NSS before 3.65 encrypted certificates with it.
"""

from __future__ import annotations

import warnings

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from nssbackup.errors import UnsupportedBackupError, WrongBackupPasswordError
from nssbackup.pkcs12 import kdf
from nssbackup.pkcs12.safes import Bag, CertificateBag, KeyBag
from nssbackup.secret import Secret


def open_bags(data: bytes, password: Secret) -> tuple[Bag, ...]:
    """The keys and certificates of a file; only the first key, and no localKeyIDs.

    Args:
        data: the file as it is; its rounds are bounded by the caller.
        password: may be empty.

    Raises:
        WrongBackupPasswordError: the password doesn't open the file (or it is damaged: that
            can't be told apart here).
        UnsupportedBackupError: the algorithms aren't known there either.
        UsageError: the password is not text.
    """
    loaded = _load(data, kdf.utf8(password))
    bags: list[Bag] = []
    if loaded.key is not None:
        try:
            pkcs8 = loaded.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        except (ValueError, TypeError) as error:
            message = "the private key is of a kind that can't be handled"
            raise UnsupportedBackupError(message) from error
        bags.append(KeyBag(None, pkcs8, None, None))
    for found in (loaded.cert, *loaded.additional_certs):
        if found is not None:
            name = found.friendly_name
            text = None if name is None else name.decode("utf-8", "replace")
            bags.append(CertificateBag(found.certificate.public_bytes(Encoding.DER), text, None))
    return tuple(bags)


def _load(data: bytes, password: bytes) -> pkcs12.PKCS12KeyAndCertificates:
    # The empty password is `00 00` or no password at all, and each file has only one of them.
    for form in (password,) if password else (b"", None):
        try:
            with warnings.catch_warnings():
                # It announces that it will stop reading BER.
                warnings.simplefilter("ignore")
                return pkcs12.load_pkcs12(data, form)
        except ValueError:
            continue
        except (UnsupportedAlgorithm, InternalError, TypeError) as error:
            message = "the PFX uses an algorithm that can't be opened here"
            raise UnsupportedBackupError(message) from error
    message = "the backup password is wrong, or the file is damaged"
    raise WrongBackupPasswordError(message)
