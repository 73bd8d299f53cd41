"""Open a PFX with its password, and find the identities in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nssbackup.backups.verify import flaw, read_backup
from nssbackup.errors import WrongBackupPasswordError
from nssbackup.identity.choosing import AmbiguousError, NoMatchError, Select, matching, settle
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import PfxContents, describe, open_pfx
from nssbackup.secret import Secret

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
