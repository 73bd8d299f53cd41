"""Verification: a PFX is read back from the disk and held against what it should be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nssbackup.diagnosis.warnings import identity_warnings
from nssbackup.errors import BackupError, NssBackupError, VerificationError, reason
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import Format, PfxContents, Protection, open_pfx
from nssbackup.pkcs12.ber import FILE_BYTES
from nssbackup.report import VerifiedFile
from nssbackup.secret import Secret
from nssbackup.system.files import PRIVATE_MODE
from nssbackup.system.reading import read_bounded

# Fewer rounds than these make a guess at a password that a person chose too cheap: OpenSSL's
# 2,048 and Java's 10,000 are below, .NET's 300,000 and NSS's 600,000 above.
_FEW_ROUNDS = 100_000

# Beginnings of the names that encryptions have which no longer protect.
_BROKEN = ("RC2-40", "RC2-64", "RC4", "DES ", "not encrypted")
_OLD = ("3DES", "2-key 3DES", "RC2-128")


class UnreadableBackupError(BackupError):
    """The file to verify can't be read."""

    code = "backup-unreadable"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a PFX that was just written must hold."""

    identity: Identity
    key: PrivateKey = field(repr=False)
    friendly_name: str | None
    format: Format
    rounds: int


def verify_written(path: Path, password: Secret, expected: Expected) -> tuple[str, ...]:
    """Read a PFX back from the disk and hold it against what it was made from.

    The checks: (1) mode 0600; (2) the MAC, its algorithm and rounds; (3) key and certificates
    decrypt, by the algorithm and rounds asked for; (4) the key fits the certificate; (5) both
    are the ones asked for; (6) the chain is the one found; (7) friendlyName and localKeyID.

    Returns:
        Warnings: that the file system knows no modes.

    Raises:
        VerificationError: a check failed; it names every one that did.
        BackupError: the file can't be opened at all.
    """
    contents = open_pfx(read_backup(path), password)
    private = _is_private(path)
    mismatches = list(_mismatches(contents, expected))
    if private is False:
        mismatches.insert(0, f"(1) others may read it: its mode is not {PRIVATE_MODE:04o}")
    if mismatches:
        message = f"the file written is not what it should be: {'; '.join(mismatches)}"
        raise VerificationError(message, tuple(mismatches))
    if private is None:
        return ("this drive keeps no file permissions: whoever can use it can copy the file",)
    return ()


def verify_backup(path: Path, password: Secret) -> VerifiedFile:
    """Open a PFX of any origin and say whether it would work.

    The checks are those of `verify_written` as far as nothing is known of the file beforehand.

    Returns:
        What is in it and warnings; `error` is set where it would not work.
    """
    try:
        contents = open_pfx(read_backup(path), password)
    except NssBackupError as error:
        return VerifiedFile(path, error=error)
    description = contents.description
    key = description.keys[0] if description.keys else None
    certificates = description.certificates[0] if description.certificates else None
    return VerifiedFile(
        path,
        identity=contents.identity,
        encryption=key.name if key else None,
        kdf_rounds=key.rounds if key else None,
        certificate_encryption=certificates.name if certificates else None,
        certificate_rounds=certificates.rounds if certificates else None,
        mac=description.mac.name if description.mac else None,
        mac_rounds=description.mac.rounds if description.mac else None,
        warnings=(
            *_mode_warnings(path),
            *_protection_warnings(contents),
            *_identity_warnings(contents),
        ),
        error=flaw(contents),
    )


def read_backup(path: Path) -> bytes:
    """The bytes of a regular file, as many as one PFX can have.

    Raises:
        UnreadableBackupError: it is none, is too large or can't be read.
    """
    try:
        return read_bounded(path, FILE_BYTES)
    except OSError as error:
        message = f"`{path}` can't be read: {reason(error)}"
        raise UnreadableBackupError(message) from error


def flaw(contents: PfxContents) -> VerificationError | None:
    """Why a file that opens would not work as a backup."""
    if not contents.keys:
        reason = "it holds no private key"
    elif contents.identity is None or contents.key is None:
        reason = "it holds no certificate for its private key"
    elif contents.key.public_key != contents.identity.certificate.public_key:
        reason = "its private key does not fit its certificate"
    else:
        return None
    message = f"the file opens, but {reason}"
    return VerificationError(message, (reason,))


def _is_private(path: Path) -> bool | None:
    """Whether only the owner may read a file; None where the file system keeps no modes.

    A file that was made with mode 0600 and has another one, which can't be changed back, lies on
    vfat or the like. Windows has access lists instead, which a file is made with (access.py).
    """
    if os.name != "posix" or stat.S_IMODE(path.stat().st_mode) == PRIVATE_MODE:
        return True
    try:
        path.chmod(PRIVATE_MODE)
    except OSError:
        return None
    return False if stat.S_IMODE(path.stat().st_mode) == PRIVATE_MODE else None


def _mode_warnings(path: Path) -> Iterator[str]:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield "others on this computer may read the file: `chmod 600` keeps them out"


def _mismatches(contents: PfxContents, expected: Expected) -> Iterator[str]:
    """Every check of a file just written that failed, in words, by its number."""
    yield from _protection_mismatches(contents, expected)
    identity, key = contents.identity, contents.key
    if identity is None or key is None or len(contents.keys) != 1:
        yield "(4) it does not hold one key with its certificate"
        return
    own = expected.identity.certificate
    if key.public_key != identity.certificate.public_key:
        yield "(4) its key does not fit its certificate"
    if identity.certificate.der != own.der:
        yield "(5) its certificate is another one"
    if key.pkcs8 != expected.key.pkcs8:
        yield "(5) its key is another one"
    chain = [issuer.der for issuer in expected.identity.chain]
    if [found.certificate.der for found in contents.certificates] != [own.der, *chain]:
        yield "(6) its chain is not the one found"
    paired = (contents.keys[0], contents.certificates[0])
    if {found.friendly_name for found in paired} != {expected.friendly_name}:
        yield "(7) its friendlyName is another one"
    if {found.local_key_id for found in paired} != {bytes.fromhex(own.sha1)}:
        yield "(7) its localKeyID is not the certificate's"


def _protection_mismatches(contents: PfxContents, expected: Expected) -> Iterator[str]:
    description, wanted = contents.description, expected.format
    if description.mac != Protection(wanted.mac, expected.rounds):
        yield f"(2) its MAC is {_in_words(description.mac)}"
    for found in (*description.keys, *description.certificates):
        if found != Protection(wanted.encryption, expected.rounds):
            yield f"(3) it is encrypted with {_in_words(found)}"


def _in_words(protection: Protection | None) -> str:
    return f"{protection.name}, {protection.rounds} rounds" if protection else "missing"


def _protection_warnings(contents: PfxContents) -> Iterator[str]:
    description = contents.description
    parts = (("private key", description.keys), ("certificates", description.certificates))
    for part, protections in parts:
        for protection in protections:
            if protection.name.startswith(_BROKEN):
                yield f"weak: the {part}: {protection.name}"
            elif protection.name.startswith(_OLD):
                yield f"old encryption of the {part}: {protection.name}"
    if description.mac is None:
        yield "weak: no MAC, so a change of the file would not be noticed"
    rounds = [
        protection.rounds
        for protection in (*description.keys, *description.certificates, description.mac)
        if protection is not None and protection.rounds is not None
    ]
    # Whoever guesses at the password attacks whatever takes the fewest rounds.
    if rounds and min(rounds) < _FEW_ROUNDS:
        yield f"weak: a guess at the password costs only {min(rounds):,} rounds"


def _identity_warnings(contents: PfxContents) -> Iterator[str]:
    if contents.identity is not None:
        yield from identity_warnings(contents.identity)
    if len(contents.keys) > 1:
        yield f"it holds {len(contents.keys)} private keys: some programs see only the first"
