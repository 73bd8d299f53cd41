"""Restore: the identity of a PFX put into a profile, so that Firefox has it.

The only use case that writes to a profile. It works on a copy of the databases, reads the result
back, and only then adds the very same objects to the profile, in one transaction over both.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from nssbackup.certificate import StoredCertificate, load_certificate
from nssbackup.engines import EngineName
from nssbackup.engines.native import NativeEngine, writer
from nssbackup.engines.native.objects import Additions
from nssbackup.engines.native.store import NativeStore
from nssbackup.errors import RestoreError
from nssbackup.extraction import unlock
from nssbackup.files import write_private
from nssbackup.identities import Select
from nssbackup.model import Identity, PasswordFor, PrivateKey, Profile
from nssbackup.pkcs12 import FEWEST_ROUNDS, MODERN, Sealer, Sealing, friendly_name_of
from nssbackup.profiles.lock import is_in_use
from nssbackup.report import Json, identity_json
from nssbackup.secret import Secret
from nssbackup.staging import StagedStore, copy_databases, private_copy
from nssbackup.unsealing import BackupPasswordFor, choose_pair, pairs_of, read_sealed, unseal

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
    data = read_sealed(path)
    pairs = pairs_of(unseal(path, data, dialogue.backup_password))
    choice = choose_pair(path, pairs, options.certificate, dialogue.select)
    for note in choice.notes:
        dialogue.warn(note)
    identity, key = pairs[choice.identity.certificate.sha256]
    passwords = _Remembered(dialogue.primary_password)
    with private_copy(profile.path) as copy:
        made = writer.create_missing(copy.folder)
        staged = replace(profile, path=copy.folder, store="sqlite")
        with _unlocked(staged, passwords) as store:
            before = store.certificates()
            plan = _Plan(store, identity, key, options)
            restored = Identity(profile, plan.certificate, identity.chain)
            if plan.is_empty:
                return RestoreReport(restored, changed=False)
            salt = store.global_salt
            if options.engine == "nss":
                additions = _through_nss(plan, copy.folder, passwords.answer)
            else:
                additions = plan.additions(writer.free_ids(copy.folder))
        for note in plan.notes:
            dialogue.warn(note)
        writer.add(copy.folder, additions, salt)
        _check(staged, before, restored, key, passwords)
        dialogue.detail("tried on a copy of the databases: read back, all is right")
        _check_target(profile)
        with _set_aside(profile, copy) as aside:
            writer.place(profile.path, made)
            try:
                writer.add(profile.path, additions, salt)
            except BaseException:
                for name in made:
                    (profile.path / name).unlink(missing_ok=True)
                raise
    _check(profile, before, restored, key, passwords)
    return RestoreReport(restored, changed=True, aside=aside)


@dataclass(slots=True)
class _Remembered:
    """A primary password, asked for once and used again."""

    ask: PasswordFor
    _answer: Secret | None = None

    def __call__(self, profile: Profile, attempt: int) -> Secret | None:
        if attempt == 0 and self._answer is not None:
            return self._answer
        self._answer = self.ask(profile, attempt)
        return self._answer

    @property
    def answer(self) -> Secret:
        """The last answer; the empty password where nothing was asked."""
        return self._answer or Secret("")


def _through_nss(plan: _Plan, folder: Path, primary: Secret) -> Additions:
    """The objects that NSS itself adds to a copy of the databases.

    Raises:
        RestoreError: it is asked for what NSS's import can't do.
        NssBackupError: as of `engines.nss.import_identity`.
    """
    from nssbackup.engines.nss import import_identity

    if plan.trusts:
        message = "the engine `nss` can't make a CA a trusted one"
        raise RestoreError(message, hint="leave `--trust-ca` out, or `--engine nss`")
    password = Secret(secrets.token_urlsafe(32))
    with private_copy(folder) as written:
        sealing = Sealing.begin(password, (MODERN,), FEWEST_ROUNDS)
        pfx = written.folder / "identity.pfx"
        write_private(pfx, plan.sealed(sealing.sealers[MODERN]))
        import_identity(written.folder, pfx, password, primary)
        return writer.difference(folder, written.folder)


class _Plan:
    """What a store lacks of an identity, and what it will be called there."""

    def __init__(
        self, store: NativeStore, identity: Identity, key: PrivateKey, options: RestoreOptions
    ) -> None:
        own = identity.certificate
        present = {one.sha256: one for one in store.certificates()}
        known = present.get(own.sha256)
        wanted = options.nickname or friendly_name_of(identity)
        nickname = known.nickname if known else _nickname(own, wanted, tuple(present.values()))
        self.certificate = replace(own, nickname=nickname, has_private_key=True)
        self.notes = _notes(known, wanted, nickname)
        self._store = store
        self._key = key
        self._needs_certificate = known is None
        has_key = known is not None and known.has_private_key
        self._needs_key = not has_key and store.orphan_of(own) is None
        self._issuers = [one for one in identity.chain if one.sha256 not in present]
        self._trusted = [
            root
            for root in identity.chain[-1:]
            if options.trust_ca and root.self_issued and not _is_trusted(present.get(root.sha256))
        ]

    @property
    def is_empty(self) -> bool:
        """Whether all of it is there already."""
        return not (self._needs_certificate or self._needs_key or self._issuers or self._trusted)

    @property
    def trusts(self) -> bool:
        """Whether a CA is to be made a trusted one."""
        return bool(self._trusted)

    def sealed(self, sealer: Sealer) -> bytes:
        """The identity as a PFX, for another program to import."""
        identity = Identity(None, self.certificate, tuple(self._issuers))
        return sealer.seal(identity, self._key, friendly_name=self.certificate.nickname)

    def additions(self, ids: Iterator[int]) -> Additions:
        """The objects to add.

        Raises:
            KeyNotExportableError: a profile can't hold such a key.
        """
        maker = self._store.maker(ids)
        own = self.certificate
        if self._needs_key:
            subject = load_certificate(own.der).subject.public_bytes()
            maker.add_key(self._key, own.nickname, subject)
        if self._needs_certificate:
            maker.add_certificate(own, own.nickname)
        for issuer in self._issuers:
            maker.add_certificate(issuer, issuer.nickname or issuer.common_name or issuer.subject)
        for root in self._trusted:
            maker.add_trusted_ca(root)
        return maker.additions()


def _nickname(
    own: StoredCertificate, wanted: str | None, present: Sequence[StoredCertificate]
) -> str:
    """What the store will call a certificate.

    NSS gives all certificates of a subject one nickname, and no two subjects the same; its own
    import puts ` #2` behind a name that is taken.
    """
    for one in present:
        if one.subject == own.subject and one.nickname:
            return one.nickname
    base = wanted or own.common_name or own.subject
    taken = {one.nickname for one in present}
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base} #{number}"
    return name


def _notes(
    known: StoredCertificate | None, wanted: str | None, nickname: str | None
) -> tuple[str, ...]:
    if known is not None or nickname == wanted or wanted is None:
        return ()
    return (f"it is called `{nickname}` in the profile, because of the certificates there",)


def _is_trusted(root: StoredCertificate | None) -> bool:
    return root is not None and ("server", "trusted-ca") in root.trust


def _check_target(profile: Profile) -> None:
    """Refuse what must not be written to.

    Raises:
        RestoreError: the profile is in use, or may be; or it has only the old databases.
    """
    in_use = is_in_use(profile.path)
    if in_use:
        message = f"profile `{profile.name}` is in use by {profile.application}"
        raise RestoreError(message, hint=f"close {profile.application} and try again")
    if in_use is None:
        message = f"it can't be told whether profile `{profile.name}` is in use on another computer"
        hint = f"start and close {profile.application} once on this computer, then try again"
        raise RestoreError(message, hint=hint)
    if profile.store == "legacy":
        message = f"profile `{profile.name}` has only databases of Firefox 57 or earlier"
        raise RestoreError(message, hint="start a current Firefox once to convert them")


@contextmanager
def _unlocked(profile: Profile, passwords: PasswordFor) -> Iterator[NativeStore]:
    with NativeEngine().open(profile) as store:
        if not isinstance(store, NativeStore):
            message = f"profile `{profile.name}` has no databases that can be written"
            raise RestoreError(message)
        unlock(store, profile, passwords)
        yield store


def _check(
    profile: Profile,
    before: Sequence[StoredCertificate],
    restored: Identity,
    key: PrivateKey,
    passwords: PasswordFor,
) -> None:
    """Read the databases back and hold them against what they should be.

    Raises:
        RestoreError: they are not.
    """
    with _unlocked(profile, passwords) as store:
        after = {one.sha256: one for one in store.certificates()}
        kept = all(_is_kept(one, after.get(one.sha256)) for one in before)
        found = after.get(restored.certificate.sha256)
        right = (
            kept
            and found is not None
            and found.has_private_key
            and all(issuer.sha256 in after for issuer in restored.chain)
            and store.private_key(found).pkcs8 == key.pkcs8
        )
    if not right:
        message = "the databases read back are not what they should be"
        raise RestoreError(message, hint=IMPORT_CLICKS)


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
        RestoreError: the profile's folder can't be written to.
        StoreError: the databases can't be copied.
    """
    if copy.kind is None:
        yield None
        return
    stamp = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"
    folder = profile.path / f"nssbackup-before-restore-{stamp}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        message = f"`{profile.path}` can't be written to: {reason}"
        raise RestoreError(message) from error
    try:
        copy_databases(profile.path, folder)
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
