"""The PFX files of a user: made in memory, then written in an order that loses no password.

First the generated passwords are put where they are kept; then the state says which files there
will be; only then is each file written under a temporary name, read back, verified and renamed.
Wherever a run is cut off, no file with its final name is without its password, and the next run
finds out what is left to do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from nssbackup.backups.verify import Expected, verify_written
from nssbackup.batch.layout import ESCROW_FOLDER
from nssbackup.batch.options import BatchOptions, password_for
from nssbackup.batch.output_folder import make_own_folder
from nssbackup.batch.password_store import Entry, store_for
from nssbackup.batch.password_table import Owner
from nssbackup.batch.report import BatchItem
from nssbackup.batch.state import WrittenBackup
from nssbackup.errors import NssBackupError, OutputError, UsageError, reason
from nssbackup.identity.model import Identity, PrivateKey, Profile
from nssbackup.pkcs12 import PfxWriters, entries_of, format_named, friendly_name_of
from nssbackup.report import error_fields, rfc3339
from nssbackup.secret import Secret, generate
from nssbackup.stores.unlocking import FoundKey, read_key_or_copy
from nssbackup.system.files import remove_leftovers, write_verified

# What an administrator can do, where the error speaks to somebody who sits at the profile.
_HINTS = {
    "primary-password-required": "add it to the file of `--primary-passwords`, or give one for all"
    " with `--primary-password-file`",
    "wrong-primary-password": "ask the user for the current one and correct it in the file of"
    " `--primary-passwords`; a reset in Firefox would delete the certificate and its key",
    "store-damaged": "back up an older copy of the profile instead: name its folder as another"
    " ROOT",
    "store-signature": "back up an older copy of the profile instead: name its folder as another"
    " ROOT",
    "key-missing": "ask the user whether the certificate works in Firefox",
    "output-exists": "move that file away, or replace it with `--force`",
}


class NoBackupPasswordError(UsageError):
    """The table of passwords has none for a backup."""

    code = "no-backup-password"
    default_hint = "add a line for it to the file of `--passwords`"


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A PFX in memory that is to be written; `replaces` if the file of that name is ours."""

    data: bytes = field(repr=False)
    password: Secret
    expected: Expected
    backup: WrittenBackup
    item: BatchItem
    replaces: bool


def content_hash(identity: Identity, format_name: str, options: BatchOptions) -> str:
    """Return a hash of what a file would hold; if it differs, the file has to be made again."""
    written = _as_written(identity, options)
    certificates = [each.sha256 for each in (written.certificate, *written.chain)]
    name = friendly_name_of(written)
    text = json.dumps([certificates, name, format_name, options.protection])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def find_key(
    identity: Identity, copies: Sequence[Identity], user: str, options: BatchOptions
) -> FoundKey:
    """Return the key of an identity, or that of a copy.

    Raises:
        NssBackupError: no copy gives it; what is wrong with the first.
    """

    def primary(profile: Profile, attempt: int) -> Secret | None:
        # There is nobody to give a second answer.
        owner = _owner(replace(identity, profile=profile), user, options.host)
        return None if attempt else password_for(owner, options.primary)

    return read_key_or_copy(identity, copies, options.engine, primary, after=(NssBackupError,))


def backup_password(identity: Identity, user: str, options: BatchOptions) -> Secret:
    """Return the password for a new file: the given one, or a newly generated one.

    Raises:
        NoBackupPasswordError: the table has none for it.
    """
    if options.passwords is None:
        return generate()
    password = password_for(_owner(identity, user, options.host), options.passwords)
    if password is None:
        message = f"there is no password for the backup of `{identity.display_name}`"
        raise NoBackupPasswordError(message)
    return password


def encode_pfx(
    identity: Identity, key: PrivateKey, password: Secret, format_name: str, options: BatchOptions
) -> tuple[bytes, Expected]:
    """Return the bytes of a PFX, and what must be found in them when they are read back."""
    written = _as_written(identity, options)
    format_ = format_named(format_name)
    writers = PfxWriters.start(password, (format_,), options.rounds, frugal=True)
    entries = entries_of([(written, key)])
    data = writers.by_format[format_].encode_all(entries)
    return data, Expected(entries, format_, writers.rounds)


def write_files(
    pending: Sequence[PendingFile],
    user_folder: str,
    options: BatchOptions,
    save_state: Callable[[], None],
) -> list[BatchItem]:
    """Write a user's files; what can't be written becomes a failure."""
    folder = options.folder / user_folder
    try:
        if pending:
            make_own_folder(folder)
            remove_leftovers(folder)
            remove_leftovers(options.folder / ESCROW_FOLDER / user_folder)
        if options.passwords is None:
            store_for(options).keep([_entry(one) for one in pending])
        save_state()
    except OSError as error:
        wrapped = OutputError(f"`{folder}` can't be written to: {reason(error)}")
        return [failed(one.item, wrapped) for one in pending]
    except NssBackupError as error:
        return [failed(one.item, error) for one in pending]
    return [_write(one, folder, force=options.force) for one in pending]


def failed(item: BatchItem, error: NssBackupError) -> BatchItem:
    """Return an item as a failure, without a file, and with a hint for an administrator."""
    fields = error_fields(error)
    fields = {**fields, "hint": _HINTS.get(error.code, error.hint)}
    return replace(item, status="failed", error=fields, file=None, sha256=None, size=None)


def _write(one: PendingFile, folder: Path, *, force: bool) -> BatchItem:
    """Write a file, read it back, verify it, and give it its name."""
    warnings = list(one.item.warnings)

    def check(path: Path) -> None:
        warnings.extend(verify_written(path, one.password, one.expected))

    path = folder / one.backup.file
    try:
        write_verified(path, one.data, check, replace=one.replaces or force)
    except NssBackupError as error:
        return failed(one.item, error)
    return replace(one.item, warnings=tuple(warnings))


def _entry(one: PendingFile) -> Entry:
    return Entry(
        user=one.item.user,
        profile=one.item.profile or "",
        fingerprint=one.expected.entries[0].identity.certificate.sha256,
        file=one.item.file or "",
        sha256=one.backup.sha256,
        created=rfc3339(datetime.now(UTC)),
        password=one.password,
    )


def _as_written(identity: Identity, options: BatchOptions) -> Identity:
    return identity if options.chain else replace(identity, chain=())


def _owner(identity: Identity, user: str, host: str) -> Owner:
    profile, certificate = identity.profile, identity.certificate
    names = (profile.name, profile.path.name, str(profile.path)) if profile else ()
    return Owner(user, names, (certificate.sha256, certificate.sha1), host)
