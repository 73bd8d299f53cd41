"""Put the identities of a PFX into a profile, so that Firefox has them.

The only use case that writes to a profile. It works on a copy of the databases, reads the result
back, and only then adds the very same objects to the profile, in one transaction over both.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from nssbackup.backups.opening import (
    BackupPasswordFor,
    Pair,
    chosen_pairs,
    open_backup,
    pairs_of,
    read_pfx,
)
from nssbackup.diagnosis.selection import identity_warnings
from nssbackup.diagnosis.settings import hiding_setting
from nssbackup.errors import NssBackupError, RestoreError, StoreError, StoreUnwritableError, reason
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.choosing import Select
from nssbackup.identity.model import Identity, PasswordFor, Profile, StoreKind
from nssbackup.profiles.folder import is_in_use
from nssbackup.report import Json, identity_json
from nssbackup.restore import writer
from nssbackup.restore.rows import Rows
from nssbackup.restore.staging import RestoreOptions, Staging, by_hand
from nssbackup.stores import engine_named
from nssbackup.stores.copies import StagedStore, copy_databases, private_copy
from nssbackup.stores.unlocking import Remembered
from nssbackup.system.ownership import as_owner, homes_of


@dataclass(frozen=True, slots=True)
class RestoreDialogue:
    """How a restore asks and tells.

    Attributes:
        backup_password: asks for the file's password, again as long as it is wrong.
        primary_password: asks for the profile's, the same way.
        select: asks which of several identities is meant; None if nobody can be asked.
        warn: is told what the user should know.
        detail: is told what is done.
    """

    backup_password: BackupPasswordFor
    primary_password: PasswordFor
    select: Select | None = None
    warn: Callable[[str], None] = field(default=lambda _: None)
    detail: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What `restore` did.

    Attributes:
        identities: each with the profile and the nickname that it has there; at least one.
        changed: False if all of it was there already.
        aside: the folder with the databases as they were; None if there were none.
    """

    identities: tuple[Identity, ...]
    changed: bool
    aside: Path | None = None

    @property
    def identity(self) -> Identity:
        """The first of them."""
        return self.identities[0]

    def to_json(self) -> Json:
        """Return the document of `restore`."""
        return {
            "identity": identity_json(self.identity),
            "identities": [identity_json(each) for each in self.identities],
            "changed": self.changed,
            "verified": True,
            "aside": str(self.aside) if self.aside else None,
        }


def restore_backup(
    path: Path, profile: Profile, options: RestoreOptions, dialogue: RestoreDialogue
) -> RestoreReport:
    """Put the identities of a PFX, with their chains, into a profile.

    Args:
        path: a PFX of any program.
        profile: the target; databases are made if it has none.
        options: what to restore and how.
        dialogue: asks and tells.

    Raises:
        RestoreError: the profile is in use, is set to ignore its databases, has only old ones, or
            the result is wrong; the profile is as it was.
        NssBackupError: another failure; the profile is as it was.
    """
    _check_target(profile)
    if options.engine != "auto":
        engine_named(options.engine)  # before a password is asked for in vain
    data = read_pfx(path)
    contents = open_backup(path, data, dialogue.backup_password)
    pairs = pairs_of(contents)
    chosen, notes = chosen_pairs(path, pairs, options.certificate, dialogue.select)
    for note in (
        *notes,
        *contents.notes,
        *(each for pair in chosen for each in identity_warnings(pair[0])),
    ):
        dialogue.warn(note)
    if options.trust_ca:
        for note in _trusted_roots(chosen):
            dialogue.warn(note)
    work = Staging(chosen, options, Remembered(dialogue.primary_password))
    with _in_words(), private_copy(profile.path) as copy:
        _check_kind(profile, copy.kind)
        made = writer.create_missing(copy.folder)
        staged = replace(profile, path=copy.folder, store="sqlite")
        with work.opened(staged) as store:
            before, salt = store.certificates(), store.global_salt
        rows = Rows.read(copy.folder)
        restored, planned = work.apply(staged, profile)
        additions = Rows.read(copy.folder).since(rows)
        if additions.is_empty:
            return RestoreReport(restored, changed=False)
        for note in planned:
            dialogue.warn(note)
        with work.opened(staged) as store:
            work.check(store, before, restored)
            work.check_complete(store, copy.folder)
        dialogue.detail("tried on a copy of the databases: read back, all is right")
        _check_target(profile)
        # Root writes with the rights of the profile's owner, who may have placed links there.
        with homes_of([profile.path]), as_owner(profile.path), _set_aside(profile, copy) as aside:
            try:
                writer.place(profile.path, made)
                writer.add(profile.path, additions, salt)
            except BaseException:
                writer.take_back(profile.path, made)
                raise
    _check_written(work, profile, before, restored, aside)
    return RestoreReport(restored, changed=True, aside=aside)


def _check_written(
    work: Staging,
    profile: Profile,
    before: Sequence[StoredCertificate],
    restored: Sequence[Identity],
    aside: Path | None,
) -> None:
    """Read the profile back; RestoreError says where the old databases are."""
    try:
        with _in_words(), work.opened(profile) as store:
            work.check(store, before, restored)
    except NssBackupError as error:
        message = f"the certificate was written, but could not be read back: {error.message}"
        hint = f"the databases as they were are in `{aside}`" if aside else by_hand(profile)
        raise RestoreError(message, hint=hint) from error


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what the operating system or SQLite refuses into an error of ours."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        message = f"the databases can't be worked on: {reason(error)}"
        raise StoreUnwritableError(message) from error


def _trusted_roots(pairs: Sequence[Pair]) -> Iterator[str]:
    """Name the root of each chain before it becomes a trusted one.

    Raises:
        RestoreError: a root is not valid now.
    """
    for identity, _ in pairs:
        if not identity.chain_complete:
            yield (
                f"no CA becomes a trusted one for `{identity.display_name}`: the root of its chain"
                " is not in the file"
            )
            continue
        root = identity.chain[-1] if identity.chain else identity.certificate
        if root.status() != "valid":
            message = (
                f"the root CA `{root.display_name}` can't become a trusted one: it is valid from"
                f" {root.not_before:%Y-%m-%d} to {root.not_after:%Y-%m-%d}"
            )
            raise RestoreError(message, hint="restore without `--trust-ca`")
        yield (
            f"the root CA `{root.display_name}` becomes a trusted one; compare its SHA-256"
            f" fingerprint with the one its authority publishes: {root.sha256}"
        )


def _check_target(profile: Profile) -> None:
    """Refuse a profile that must not be written to.

    Raises:
        RestoreError: the profile is in use or may be, or its application ignores its databases.
    """
    if setting := hiding_setting(profile):
        message = (
            f"{profile.application} keeps no certificates in profile `{profile.name}` and would"
            f" never show this one: {setting}"
        )
        hint = "restore to another profile, or remove the setting first (`about:config`)"
        raise RestoreError(message, hint=hint)
    in_use = is_in_use(profile.path)
    if in_use:
        message = f"profile `{profile.name}` is in use by {profile.application}"
        hint = f"close {profile.application} and try again; or {by_hand(profile)}"
        raise RestoreError(message, hint=hint)
    if in_use is None:
        message = f"the lock file of profile `{profile.name}` doesn't tell whether it is in use"
        hint = (
            f"start and close {profile.application} once on this computer, then try again;"
            f" or {by_hand(profile)}"
        )
        raise RestoreError(message, hint=hint)


def _check_kind(profile: Profile, kind: StoreKind | None) -> None:
    """Refuse a profile that has only the old databases.

    A Firefox that uses them would not see new ones beside them. A current Firefox no longer reads
    them (its NSS is built without them) and makes new, empty ones.

    Raises:
        RestoreError: the profile has only old ones.
    """
    if kind == "legacy":
        message = f"profile `{profile.name}` has only databases of Firefox 57 or earlier"
        hint = (
            f"start a current Firefox once with this profile, then try again; or {by_hand(profile)}"
        )
        raise RestoreError(message, hint=hint)


@contextmanager
def _set_aside(profile: Profile, copy: StagedStore) -> Iterator[Path | None]:
    """Keep a copy of the databases in the profile; remove it if the `with` block fails.

    Yields:
        Its folder, or None if there are no databases yet.

    Raises:
        RestoreError: the databases can't be copied.
    """
    if copy.kind is None:
        yield None
        return
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    folder = profile.path / f"nssbackup-before-restore-{stamp}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        message = f"`{profile.path}` can't be written to: {reason(error)}"
        raise StoreUnwritableError(message) from error
    try:
        try:
            copy_databases(profile.path, folder)
            for path in (folder, *folder.iterdir()):
                writer.adopt(path, profile.path)
        except (OSError, StoreError) as error:
            message = f"the databases can't be copied: {error}"
            raise StoreUnwritableError(message) from error
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
