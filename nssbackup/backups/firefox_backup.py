"""Verify a backup that Firefox made of itself."""

from __future__ import annotations

from pathlib import Path

from nssbackup.diagnosis.selection import identity_warnings
from nssbackup.errors import NssBackupError
from nssbackup.report import FirefoxBackupFacts, VerifiedFile
from nssbackup.stores.containers import RecoveryPasswordFor, profiles_in
from nssbackup.stores.firefox_backup import read_header
from nssbackup.stores.inventory import take_inventory


def verify_firefox_backup(path: Path, password: RecoveryPasswordFor) -> VerifiedFile:
    """Check every byte of a Firefox backup, and report which identities it holds.

    No Primary Password is needed for that, so the keys themselves stay encrypted.

    Args:
        path: the file.
        password: asked for its recovery password.
    """
    try:
        header = read_header(path)
        profiles = profiles_in(path, "firefox-backup", password)
        inventory = take_inventory(profiles)
    except NssBackupError as error:
        return VerifiedFile(path, error=error)
    identities = tuple(one for one in inventory.identities if one.certificate.has_private_key)
    warnings = [note for _, note in inventory.notes]
    if not identities:
        warnings.append("it contains no certificate with its private key")
    for identity in identities:
        warnings += identity_warnings(identity)
    return VerifiedFile(
        path,
        identity=identities[0] if identities else None,
        identities=identities,
        warnings=tuple(warnings),
        firefox=FirefoxBackupFacts(header.created, header.application),
    )
