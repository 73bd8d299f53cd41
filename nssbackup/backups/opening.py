"""Open a PFX with its password, and find the identities in it."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nssbackup.errors import (
    BackupError,
    DamagedBackupError,
    VerificationError,
    WrongBackupPasswordError,
    reason,
)
from nssbackup.identity.choosing import AmbiguousError, NoMatchError, Select, matching, settle
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import (
    FoundCertificate,
    FoundKey,
    PfxContents,
    describe,
    open_pfx,
)
from nssbackup.pkcs12.safes import FILE_BYTES
from nssbackup.secret import Secret
from nssbackup.system.reading import read_bounded


class UnreadableBackupError(BackupError):
    """The file to verify can't be read."""

    code = "backup-unreadable"


def read_backup(path: Path) -> bytes:
    """Return the PFX in a regular file.

    Raises:
        UnreadableBackupError: the file can't be read.
        DamagedBackupError: it is recognised as something else.
    """
    try:
        data = read_bounded(path, FILE_BYTES)
    except OSError as error:
        message = f"`{path}` can't be read: {reason(error)}"
        raise UnreadableBackupError(message) from error
    return pfx_of(data, path.name)


def flaw(contents: PfxContents) -> VerificationError | None:
    """Return why a file that opens would not work as a backup, or None."""
    pairs = contents.pairs
    misfits = [pair.identity.display_name for pair in pairs if pair.identity and not pair.fits]
    if not contents.keys:
        cause = "it contains no private key"
    elif not any(pair.identity for pair in pairs):
        cause = "it contains no certificate for its private key"
    elif misfits:
        cause = f"the private key of `{misfits[0]}` does not fit the certificate"
    else:
        return None
    return VerificationError(f"the file opens, but {cause}", (cause,))


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in words, and what it means for whom."""

    what: str
    effect: str


def faults_of(contents: PfxContents) -> Iterator[Fault]:
    """Yield the faults of a file that opens and works as a backup."""
    yield from _shared_names(contents)
    found: tuple[FoundKey | FoundCertificate, ...] = (*contents.keys, *contents.certificates)
    if any(each.broken_name for each in found):
        yield Fault(
            "a friendlyName is not a valid BMPString", "Firefox (NSS) and Node refuse the file"
        )
    if any("\0" in (each.friendly_name or "") for each in found):
        yield Fault("a friendlyName contains a NUL", "Firefox (NSS) ends the name there")
    if not _are_paired(contents):
        yield Fault(
            "the localKeyIDs don't pair each key with its certificate alone",
            "Firefox (NSS) refuses the file",
        )
    if any(
        pair.identity and not pair.key.fits(pair.identity.certificate) for pair in contents.pairs
    ):
        yield Fault(
            "key and certificate name different algorithms (RSA and RSA-PSS)",
            "OpenSSL and Node refuse the key",
        )


def _shared_names(contents: PfxContents) -> Iterator[Fault]:
    """Yield a fault for each name of several subjects; renewals may share one in NSS."""
    with_key = {pair.identity.certificate.sha256 for pair in contents.pairs if pair.identity}
    by_name: dict[str, dict[str, bool]] = {}
    for found in contents.certificates:
        if found.friendly_name:
            subjects = by_name.setdefault(found.friendly_name.casefold(), {})
            own = found.certificate.sha256 in with_key
            subjects[found.certificate.subject] = subjects.get(found.certificate.subject, own)
    for name, subjects in by_name.items():
        if len(subjects) > 1:
            refused = sum(subjects.values()) > 1
            yield Fault(
                f"{len(subjects)} certificates share the name `{name}`",
                "Firefox (NSS) refuses the file and Java shows one of them"
                if refused
                else "Firefox (NSS) shows only one of them",
            )


def _are_paired(contents: PfxContents) -> bool:
    """Return whether each localKeyID stands on one key and the certificate that fits it."""
    for key in contents.keys:
        same_id = [
            each.certificate
            for each in contents.certificates
            if key.local_key_id is not None and each.local_key_id == key.local_key_id
        ]
        if [each.public_key for each in same_id] != [key.key.public_key]:
            return False
    return True


_BASE64 = re.compile(
    rb"\s*(?:-----BEGIN PKCS12-----\s+)?(M[A-Za-z0-9+/=\s]+)(?:-----END PKCS12-----)?\s*"
)
# In DER or BER: PKCS#7 signedData begins with its type (RFC 2315), a key with version 0 or 1 (RFC
# 5208), a certificate with a SEQUENCE that has a version or a serial number (RFC 5280).
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)"
_KEY_ALONE = "make a .pfx of the key and its certificate, for example with OpenSSL"
_CERTIFICATE_ALONE = (
    "it contains no private key; `nssbackup export --certificate FILE` looks for the key in the"
    " profiles"
)
_JKS = (
    "`keytool -importkeystore -srckeystore FILE -destkeystore NEW.p12 -deststoretype PKCS12`"
    " makes a .p12 file of it"
)
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----", "a private key (PEM)", _KEY_ALONE),
    (rb"\s*-----BEGIN CERTIFICATE-----", "a certificate (PEM)", _CERTIFICATE_ALONE),
    (rb"\s*-----BEGIN ", "a PEM file", "a backup is a .pfx or .p12 file"),
    (rb"\xfe\xed\xfe\xed|\xce\xce\xce\xce", "a Java keystore (JKS)", _JKS),
    (rb"\x30" + _LENGTH + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
     "a bundle of certificates (PKCS#7)", _CERTIFICATE_ALONE),
    (rb"\x30" + _LENGTH + rb"\x02\x01[\x00\x01](?:\x30|\x02)", "a private key", _KEY_ALONE),
    (rb"\x30" + _LENGTH + rb"\x30" + _LENGTH + rb"(?:\xa0\x03\x02\x01|\x02)",
     "a certificate", _CERTIFICATE_ALONE),
    (rb"\s*<(?:!doctype html|html)", "a web page", "download the file again"),
    (rb"PK\x03\x04", "a ZIP archive", "unpack it first"),
    (rb"SQLite format 3\x00", "a database", "name the folder of a profile with `--profile`"),
    (rb"\x00+\Z", "filled with zeros", "look for another copy of it"),
    (rb"\Z", "empty", "look for another copy of it"),
)  # fmt: skip
_PATTERNS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what, hint) for pattern, what, hint in _KINDS
)
_PFX = re.compile(rb"\x30" + _LENGTH + rb"\x02\x01\x03\x30", re.DOTALL)
_LONG = 0x80


def pfx_of(data: bytes, name: str) -> bytes:
    """Return the PFX in a file: the bytes themselves, or what they are in Base64.

    Args:
        data: the file.
        name: what the file is called in a message.

    Raises:
        DamagedBackupError: it is recognised as something else, or is cut short.
    """
    if match := _BASE64.fullmatch(data):
        try:
            data = binascii.a2b_base64(match[1], strict_mode=False)
        except binascii.Error:
            return data
    for pattern, what, hint in _PATTERNS:
        if pattern.match(data):
            message = f"`{name}` is {what}, not a backup (.pfx)"
            raise DamagedBackupError(message, hint=hint)
    size = _announced_size(data) if _PFX.match(data) else 0
    if size > len(data):
        message = f"`{name}` is cut short: {len(data):,} of {size:,} bytes"
        raise DamagedBackupError(message, hint="copy or download it again")
    return data


def _announced_size(data: bytes) -> int:
    """Return the size that the length of the PFX announces, or 0 for BER without a length."""
    if data[1] == _LONG:
        return 0
    if data[1] < _LONG:
        return 2 + data[1]
    octets = data[1] & ~_LONG
    return 2 + octets + int.from_bytes(data[2 : 2 + octets], "big")


# Asks for the password of a file, on the n-th try (from 0). Returns None if there is none.
BackupPasswordFor = Callable[[Path, int], "Secret | None"]

Pair = tuple[Identity, PrivateKey]


def read_pfx(path: Path) -> bytes:
    """Return the bytes of a file that is a PFX, before anything is decrypted.

    Raises:
        BackupError: it can't be read, or is not a PFX that can be opened here.
    """
    data = read_backup(path)
    describe(data)
    return data


def open_backup(path: Path, data: bytes, password_for: BackupPasswordFor) -> PfxContents:
    """Open a PFX with the first password that fits.

    Raises:
        WrongBackupPasswordError: no password fits.
        BackupError: it would not work as a backup.
    """
    attempt, wrong = 0, WrongBackupPasswordError(f"the password of `{path.name}` is missing")
    while True:
        password = password_for(path, attempt)
        if password is None:
            raise wrong
        try:
            contents = open_pfx(data, password)
        except WrongBackupPasswordError as error:
            attempt, wrong = attempt + 1, error
            continue
        unusable = flaw(contents)
        if unusable is not None:
            raise unusable
        return contents


def pairs_of(contents: PfxContents) -> tuple[Pair, ...]:
    """Return each identity of a file with its key."""
    return tuple(
        (pair.identity, pair.key.key) for pair in contents.pairs if pair.identity and pair.fits
    )


def chosen_pairs(
    path: Path, pairs: Sequence[Pair], text: str | None, select: Select | None
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Return the identities that are meant, and what to tell the user.

    Args:
        path: the file.
        pairs: its identities with their keys.
        text: the user's `--cert`; None for all of them.
        select: asks which of several that `text` matches; None if nobody can be asked.

    Raises:
        NoMatchError: `text` matches none of them.
        AmbiguousError: `text` matches several and nobody can be asked.
    """
    if text is None:
        return tuple(pairs), ()
    found = tuple(identity for identity, _ in pairs)
    matched = matching(found, text)
    if not matched:
        message = f"no certificate in `{path.name}` matches `{text}`"
        raise NoMatchError(message, found, hint="name one of these with `--cert`")
    try:
        choice = settle(matched, f"several certificates in `{path.name}` match `{text}`", select)
    except AmbiguousError as error:
        hint = "name one by its fingerprint, as in `--cert FINGERPRINT`"
        raise AmbiguousError(error.message, error.candidates, hint=hint) from error
    chosen = choice.identity.certificate.sha256
    return tuple(pair for pair in pairs if pair[0].certificate.sha256 == chosen), choice.notes
