"""Verify a PFX: read it back from the disk and compare it with what it should be."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nssbackup.backups.opening import faults_of, flaw, read_backup
from nssbackup.diagnosis.selection import identity_warnings
from nssbackup.errors import NssBackupError, VerificationError
from nssbackup.identity.model import Identity
from nssbackup.pkcs12 import Format, PfxContents, PfxEntry, Protection, issuers_of, open_pfx
from nssbackup.report import VerifiedFile
from nssbackup.secret import Secret
from nssbackup.system.files import PRIVATE_MODE

if sys.platform == "win32":
    from nssbackup.system.windows_access import Windows

# Below this a guess at a person's password is too cheap: OpenSSL's 2,048 and Java's 10,000 are
# below, .NET's 300,000 and NSS's 600,000 above.
_FEW_ROUNDS = 100_000

# How the names of encryptions begin that no longer protect, and of old ones.
_BROKEN = ("RC2-40", "RC2-64", "RC4", "DES ", "not encrypted")
_OLD = ("3DES", "2-key 3DES", "RC2-128")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a PFX that was just written must contain."""

    entries: tuple[PfxEntry, ...]
    format: Format
    rounds: int


def verify_written(path: Path, password: Secret, expected: Expected) -> tuple[str, ...]:
    """Read a PFX back from the disk and compare it with what it was made from.

    The checks: (1) mode 0600; (2) the MAC, its algorithm and rounds; (3) key and certificates
    decrypt, with the algorithm and rounds asked for; (4) the key fits the certificate; (5) both
    are the ones asked for; (6) the chain is the one found; (7) friendlyName and localKeyID.

    Returns:
        A warning if the file system keeps no modes.

    Raises:
        VerificationError: a check failed; it names all that did.
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
        return ("this drive keeps no file permissions: anyone who can use it can copy the file",)
    return ()


def verify_backup(path: Path, password: Secret) -> VerifiedFile:
    """Open a PFX of any origin and report whether it would work.

    The checks are those of `verify_written` that need no knowledge of the file.

    Returns:
        What is in it, and warnings; `error` is set if it would not work.
    """
    try:
        contents = open_pfx(read_backup(path), password)
    except NssBackupError as error:
        return VerifiedFile(path, error=error)
    unusable = flaw(contents)
    faults = () if unusable else faults_of(contents)
    description = contents.description
    key = description.keys[0] if description.keys else None
    certificates = description.certificates[0] if description.certificates else None
    identities = tuple(pair.identity for pair in contents.pairs if pair.identity is not None)
    return VerifiedFile(
        path,
        identity=contents.identity,
        identities=identities,
        encryption=key.name if key else None,
        kdf_rounds=key.rounds if key else None,
        certificate_encryption=certificates.name if certificates else None,
        certificate_rounds=certificates.rounds if certificates else None,
        mac=description.mac.name if description.mac else None,
        mac_rounds=description.mac.rounds if description.mac else None,
        warnings=(
            *_mode_warnings(path),
            *_protection_warnings(contents),
            *_identity_warnings(contents, identities),
            *contents.notes,
            *(f"{each.what}: {each.effect} (`nssbackup repassword` repairs it)" for each in faults),
        ),
        error=unusable,
    )


def _is_private(path: Path) -> bool | None:
    """Return whether only the owner may read a file; None if the file system keeps no modes.

    A file made with mode 0600 whose mode is another and can't be changed is on vfat or the like.
    On Windows the access list it was made with protects it, if the drive keeps one.
    """
    if sys.platform == "win32":
        return Windows.load().keeps_lists(os.fspath(path)) or None
    if stat.S_IMODE(path.stat().st_mode) == PRIVATE_MODE:
        return True
    try:
        path.chmod(PRIVATE_MODE)
    except OSError:
        return None
    return False if stat.S_IMODE(path.stat().st_mode) == PRIVATE_MODE else None


def _mode_warnings(path: Path) -> Iterator[str]:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield "other users of this computer may read the file: `chmod 600` prevents that"


def _mismatches(contents: PfxContents, expected: Expected) -> Iterator[str]:
    """Yield every check of a file just written that failed, in words, by its number."""
    yield from _protection_mismatches(contents, expected)
    if len(contents.keys) != len(expected.entries) or not all(p.fits for p in contents.pairs):
        yield "(4) it does not contain one fitting key for each certificate"
        return
    for found, entry in zip(contents.keys, expected.entries, strict=True):
        if not found.fits(entry.identity.certificate):
            yield "(4) its key does not fit its certificate"
        if found.key.pkcs8 != entry.key.pkcs8:
            yield "(5) its key is another one"
    ders = [found.certificate.der for found in contents.certificates]
    if ders[: len(expected.entries)] != [e.identity.certificate.der for e in expected.entries]:
        yield "(5) its certificate is another one"
    if ders[len(expected.entries) :] != [issuer.der for issuer, _ in issuers_of(expected.entries)]:
        yield "(6) its chain is not the one found"
    for key, certificate, entry in zip(
        contents.keys, contents.certificates, expected.entries, strict=False
    ):
        if {key.friendly_name, certificate.friendly_name} != {entry.friendly_name}:
            yield "(7) its friendlyName is another one"
        if {key.local_key_id, certificate.local_key_id} != {entry.local_key_id}:
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
        yield "weak: no MAC, so changes to the file would not be noticed"
    rounds = [
        protection.rounds
        for protection in (*description.keys, *description.certificates, description.mac)
        if protection is not None and protection.rounds is not None
    ]
    # An attacker guesses where it costs the fewest rounds.
    if rounds and min(rounds) < _FEW_ROUNDS:
        yield f"weak: a guess at the password costs only {min(rounds):,} rounds"


def _identity_warnings(contents: PfxContents, identities: Sequence[Identity]) -> Iterator[str]:
    for identity in identities:
        prefix = f"`{identity.display_name}`: " if len(identities) > 1 else ""
        for warning in identity_warnings(identity):
            yield f"{prefix}{warning}"
    orphans = sum(pair.identity is None for pair in contents.pairs)
    if orphans:
        yield f"{orphans} of its private keys {'has' if orphans == 1 else 'have'} no certificate"
    if len(contents.keys) > 1:
        yield f"it contains {len(contents.keys)} private keys: some programs see only the first"
