"""Restore: the identity of a PFX put into a profile, so that Firefox has it.

The only use case that writes to a profile. It works on a copy of the databases, reads the result
back, and only then adds the very same objects to the profile, in one transaction over both.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from nssbackup.backups.opening import (
    BackupPasswordFor,
    choose_pair,
    open_backup,
    pairs_of,
    read_pfx,
)
from nssbackup.diagnosis.warnings import identity_warnings
from nssbackup.errors import NssBackupError, RestoreError, StoreError, StoreUnwritableError, reason
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.choosing import Select
from nssbackup.identity.model import Identity, PasswordFor, PrivateKey, Profile, StoreKind
from nssbackup.pkcs12 import FEWEST_ROUNDS, MODERN, PfxWriters, friendly_name_of
from nssbackup.profiles.lock import is_in_use
from nssbackup.report import Json, identity_json
from nssbackup.restore import writer
from nssbackup.restore.plan import Plan, check_key
from nssbackup.restore.rows import Rows
from nssbackup.secret import Secret
from nssbackup.stores import EngineName, engine_named
from nssbackup.stores.copies import StagedStore, copy_databases, private_copy
from nssbackup.stores.native import NativeEngine
from nssbackup.stores.native.store import NativeStore
from nssbackup.stores.unlocking import Remembered, unlock
from nssbackup.system.files import write_private
from nssbackup.system.ownership import as_owner, homes_of

IMPORT_CLICKS = (
    "it can be imported by hand: in Firefox open Settings > Privacy & Security > Certificates >"
    " View Certificates > Your Certificates > Import, choose the file and give its password"
)


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What to restore and how.

    Attributes:
        certificate: which one, if the file holds several with their keys; as CERT of an export.
        nickname: what the profile will call it; None for the name in the file.
        trust_ca: whether the root of its chain is made a trusted one.
        engine: what writes the databases.
    """

    certificate: str | None = None
    nickname: str | None = None
    trust_ca: bool = False
    engine: EngineName = "auto"


@dataclass(frozen=True, slots=True)
class RestoreDialogue:
    """How a restore asks and tells.

    Attributes:
        backup_password: asked for the file's password, again as long as it is wrong.
        primary_password: asked for the profile's, the same way.
        select: asked which of several identities is meant; None where nobody can be asked.
        warn: told what the user should know.
        detail: told what is done.
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
        identity: with the profile and the nickname that it has there.
        changed: whether anything was added; False where all of it was there already.
        aside: the folder with the databases as they were; None where there were none.
    """

    identity: Identity
    changed: bool
    aside: Path | None = None

    def to_json(self) -> Json:
        """The document of `restore`."""
        return {
            "identity": identity_json(self.identity),
            "changed": self.changed,
            "verified": True,
            "aside": str(self.aside) if self.aside else None,
        }


def restore_identity(
    path: Path, profile: Profile, options: RestoreOptions, dialogue: RestoreDialogue
) -> RestoreReport:
    """Put the identity of a PFX, with its chain, into a profile.

    Args:
        path: a PFX of any program.
        profile: where to; databases are made where it has none.
        options: what to restore and how.
        dialogue: how to ask and tell.

    Raises:
        RestoreError: the profile is in use, has databases of the old kind only, or the result was
            not what it should be; the profile is as it was.
        NssBackupError: any other; then too.
    """
    _check_target(profile)
    if options.engine != "auto":
        engine_named(options.engine)  # not here, it would be in vain to ask for passwords
    data = read_pfx(path)
    pairs = pairs_of(open_backup(path, data, dialogue.backup_password))
    choice = choose_pair(path, pairs, options.certificate, dialogue.select)
    identity, key = pairs[choice.identity.certificate.sha256]
    for note in (*choice.notes, *identity_warnings(identity)):
        dialogue.warn(note)
    work = _Work(identity, key, options, Remembered(dialogue.primary_password))
    with _in_words(), private_copy(profile.path) as copy:
        _check_kind(profile, copy.kind)
        made = writer.create_missing(copy.folder)
        staged = replace(profile, path=copy.folder, store="sqlite")
        with work.opened(staged) as store:
            plan = work.plan(store, copy.folder)
            restored = work.restored(profile, plan)
            if plan.is_empty:
                return RestoreReport(restored, changed=False)
            before, salt = store.certificates(), store.global_salt
        for note in _notes(plan, identity, options):
            dialogue.warn(note)
        rows = Rows.read(copy.folder)
        work.apply(staged)
        additions = Rows.read(copy.folder).since(rows)
        with work.opened(staged) as store:
            _check(store, before, restored, key)
            if not work.plan(store, copy.folder).is_empty:
                raise _not_right()
        dialogue.detail("tried on a copy of the databases: read back, all is right")
        _check_target(profile)
        # Root writes with the rights of the profile's owner, who may have links lie in wait.
        with homes_of([profile.path]), as_owner(), _set_aside(profile, copy) as aside:
            try:
                writer.place(profile.path, made)
                writer.add(profile.path, additions, salt)
            except BaseException:
                writer.take_back(profile.path, made)
                raise
    try:
        with _in_words(), work.opened(profile) as store:
            _check(store, before, restored, key)
    except NssBackupError as error:
        message = f"the identity was written, and then could not be read back: {error.message}"
        hint = f"the databases as they were are in `{aside}`" if aside else IMPORT_CLICKS
        raise RestoreError(message, hint=hint) from error
    return RestoreReport(restored, changed=True, aside=aside)


@contextmanager
def _in_words() -> Iterator[None]:
    """Say what the operating system or SQLite refused, wherever in the middle that was."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        message = f"the databases can't be worked on: {reason(error)}"
        raise StoreUnwritableError(message) from error


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be restored, and the primary password of where to."""

    identity: Identity
    key: PrivateKey
    options: RestoreOptions
    passwords: Remembered

    @contextmanager
    def opened(self, profile: Profile) -> Iterator[NativeStore]:
        """The store of a profile, unlocked.

        Raises:
            NssBackupError: it can't be opened.
        """
        with NativeEngine().open(profile) as store:
            if not isinstance(store, NativeStore):
                message = f"profile `{profile.name}` has no databases that can be written"
                raise RestoreError(message)
            unlock(store, profile, self.passwords)
            yield store

    def plan(self, store: NativeStore, folder: Path) -> Plan:
        """What a store lacks; the folder is that of its databases."""
        return Plan(
            store,
            Rows.read(folder),
            self.identity,
            self.key,
            nickname=friendly_name_of(self.identity, self.options.nickname),
            trust_ca=self.options.trust_ca,
        )

    def restored(self, profile: Profile, plan: Plan) -> Identity:
        """The identity as the profile will have it."""
        own = replace(self.identity.certificate, nickname=plan.nickname, has_private_key=True)
        return Identity(profile, own, self.identity.chain)

    def apply(self, copy: Profile) -> None:
        """Add all that is lacking to a copy of the databases.

        Through NSS if it is to be, and natively what NSS's import leaves out: it makes no CA a
        trusted one, and no second half of a key that is there.

        Raises:
            NssBackupError: it can't be done.
        """
        if self.options.engine == "nss":
            self._import(copy)
        with self.opened(copy) as store:
            plan = self.plan(store, copy.path)
            additions = plan.additions(Rows.read(copy.path).free_ids())
            salt = store.global_salt
        writer.add(copy.path, additions, salt)

    def _import(self, copy: Profile) -> None:
        """Let NSS import the identity into a copy of the databases; errors are its own."""
        from nssbackup.stores.nss import import_identity

        with self.opened(copy) as store:
            plan = self.plan(store, copy.path)
        password = Secret(secrets.token_urlsafe(32))
        issuers = tuple(replace(issuer, nickname=nickname) for issuer, nickname in plan.issuers)
        identity = Identity(None, self.identity.certificate, issuers)
        writer = PfxWriters.start(password, (MODERN,), FEWEST_ROUNDS).by_format[MODERN]
        pfx = copy.path / "identity.pfx"
        write_private(pfx, writer.encode(identity, self.key, friendly_name=plan.nickname))
        import_identity(copy.path, pfx, password, self.passwords.answer)


def _notes(plan: Plan, identity: Identity, options: RestoreOptions) -> Iterator[str]:
    """What there is to say of what will be done."""
    if plan.renamed:
        yield (f"it is called `{plan.nickname}` in the profile, because of the certificates there")
    if options.trust_ca and not identity.chain_complete:
        yield "no CA is made a trusted one: the root of the chain is not in the file"


def _check_target(profile: Profile) -> None:
    """Refuse what must not be written to.

    Raises:
        RestoreError: the profile is in use, or may be.
    """
    in_use = is_in_use(profile.path)
    if in_use:
        message = f"profile `{profile.name}` is in use by {profile.application}"
        hint = f"close {profile.application} and try again; or {IMPORT_CLICKS}"
        raise RestoreError(message, hint=hint)
    if in_use is None:
        message = f"it can't be told whether profile `{profile.name}` is in use on another computer"
        hint = (
            f"start and close {profile.application} once on this computer, then try again;"
            f" or {IMPORT_CLICKS}"
        )
        raise RestoreError(message, hint=hint)


def _check_kind(profile: Profile, kind: StoreKind | None) -> None:
    """Refuse a profile that has the old databases alone.

    A Firefox that uses them would not see new ones beside them. A current one reads the old ones
    no more: its NSS is built without them, and it makes new and empty ones.

    Raises:
        RestoreError: it is one.
    """
    if kind == "legacy":
        message = f"profile `{profile.name}` has only databases of Firefox 57 or earlier"
        hint = f"start a current Firefox once with this profile, then try again; or {IMPORT_CLICKS}"
        raise RestoreError(message, hint=hint)


def _check(
    store: NativeStore,
    before: Sequence[StoredCertificate],
    restored: Identity,
    key: PrivateKey,
) -> None:
    """Hold databases that were read back against what they should be.

    Raises:
        RestoreError: they are not.
        StoreError: they are damaged.
    """
    after = {one.sha256: one for one in store.certificates()}
    found = after.get(restored.certificate.sha256)
    kept = all(_is_kept(one, after.get(one.sha256)) for one in before)
    issuers = all(issuer.sha256 in after for issuer in restored.chain)
    if not kept or not issuers or found is None or not found.has_private_key:
        raise _not_right()
    check_key(store, found, key)


def _not_right() -> RestoreError:
    message = "the databases read back are not what they should be"
    return RestoreError(message, hint=IMPORT_CLICKS)


def _is_kept(before: StoredCertificate, after: StoredCertificate | None) -> bool:
    """Whether a certificate that was there is there still, with its nickname and its key."""
    return (
        after is not None
        and after.nickname == before.nickname
        and after.has_private_key >= before.has_private_key
    )


@contextmanager
def _set_aside(profile: Profile, copy: StagedStore) -> Iterator[Path | None]:
    """Keep a copy of the databases in the profile: for good, unless the `with` block fails.

    None where there are no databases yet.

    Raises:
        RestoreError: the databases can't be kept.
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
            message = f"the databases can't be kept as they are: {error}"
            raise StoreUnwritableError(message) from error
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
