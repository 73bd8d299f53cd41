"""Unsealing: a PFX opened with its password, and the identity in it that is meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from nssbackup.backups.verify import flaw, read_backup
from nssbackup.errors import WrongBackupPasswordError
from nssbackup.identity.chain import find_chain
from nssbackup.identity.choosing import (
    AmbiguousError,
    Choice,
    NoMatchError,
    Select,
    matching,
    settle,
)
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import PfxContents, describe, open_pfx
from nssbackup.secret import Secret

# How the library asks for the password that a file has: for the file, on the n-th try (from 0).
# It returns None where there is none to be had.
BackupPasswordFor = Callable[[Path, int], "Secret | None"]

Pairs = Mapping[str, "tuple[Identity, PrivateKey]"]
"""Each certificate that has its key in a file, by its SHA-256."""


def read_pfx(path: Path) -> bytes:
    """The bytes of a file that is a PFX; nothing is decrypted yet.

    Raises:
        BackupError: it can't be read, or is no PFX that can be opened here.
    """
    data = read_backup(path)
    describe(data)
    return data


def open_backup(path: Path, data: bytes, password_for: BackupPasswordFor) -> PfxContents:
    """What is in a PFX, with the first password that opens it.

    Raises:
        WrongBackupPasswordError: none of those to be had does.
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


def pairs_of(contents: PfxContents) -> Pairs:
    """Each certificate whose key is there too: renewals may share one."""
    certificates = [found.certificate for found in contents.certificates]
    pairs: dict[str, tuple[Identity, PrivateKey]] = {}
    for found in contents.keys:
        for certificate in certificates:
            if certificate.public_key == found.key.public_key:
                own = replace(certificate, has_private_key=True)
                identity = Identity(None, own, find_chain(own, certificates))
                pairs.setdefault(own.sha256, (identity, found.key))
    return pairs


def choose_pair(path: Path, pairs: Pairs, text: str | None, select: Select | None) -> Choice:
    """The identity that is meant: the only one, the one named, or the one chosen.

    Raises:
        NoMatchError: `text` names none of them.
        AmbiguousError: several may be meant and nobody can be asked.
    """
    found = tuple(identity for identity, _ in pairs.values())
    reason = f"`{path.name}` holds several certificates with their keys"
    if text is not None:
        matched = matching(found, text)
        if not matched:
            message = f"no certificate in `{path.name}` matches `{text}`"
            raise NoMatchError(message, found, hint="name one of these with `--cert`")
        found, reason = matched, f"several certificates in `{path.name}` match `{text}`"
    try:
        return settle(found, reason, select)
    except AmbiguousError as error:
        hint = "name one by its fingerprint, as in `--cert FINGERPRINT`"
        raise AmbiguousError(error.message, error.candidates, hint=hint) from error
