"""Try a restore on a copy of the databases: add what is missing, and check the result."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nssbackup.backups.opening import Pair
from nssbackup.diagnosis.settings import clicks
from nssbackup.errors import RestoreError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import Identity, Profile
from nssbackup.pkcs12 import FEWEST_ROUNDS, MODERN, PfxWriters, friendly_name_of
from nssbackup.restore import writer
from nssbackup.restore.plan import Plan, check_key
from nssbackup.restore.rows import Rows
from nssbackup.secret import Secret
from nssbackup.stores import EngineName
from nssbackup.stores.native import NativeEngine
from nssbackup.stores.native.store import NativeStore
from nssbackup.stores.unlocking import Remembered, unlock
from nssbackup.system.files import write_private


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What to restore and how.

    Attributes:
        certificate: the identity to restore, as CERT of an export; None for all.
        nickname: the name in the profile; None for the name in the file.
        trust_ca: whether the root of its chain becomes a trusted one.
        engine: what writes the databases.
    """

    certificate: str | None = None
    nickname: str | None = None
    trust_ca: bool = False
    engine: EngineName = "auto"


@dataclass(frozen=True, slots=True)
class Staging:
    """What is to be restored, and the primary password of the target."""

    pairs: tuple[Pair, ...]
    options: RestoreOptions
    passwords: Remembered

    @contextmanager
    def opened(self, profile: Profile) -> Iterator[NativeStore]:
        """Open and unlock the store of a profile.

        Raises:
            NssBackupError: it can't be opened.
        """
        with NativeEngine().open(profile) as store:
            if not isinstance(store, NativeStore):
                message = f"profile `{profile.name}` has no databases that can be written"
                raise RestoreError(message)
            unlock(store, profile, self.passwords)
            yield store

    def apply(
        self, copy: Profile, profile: Profile
    ) -> tuple[tuple[Identity, ...], tuple[str, ...]]:
        """Add what is missing to a copy of the databases.

        NSS adds it if it is the engine, and we what its import leaves out: it makes no CA a
        trusted one, and adds no second half to a key.

        Returns:
            The identities as the profile will have them, and what to tell the user.

        Raises:
            NssBackupError: it can't be done.
        """
        restored: list[Identity] = []
        notes: list[str] = []
        for pair in self.pairs:
            with self.opened(copy) as store:
                plan = self._plan(store, copy.path, pair)
            identity = pair[0]
            own = replace(identity.certificate, nickname=plan.nickname, has_private_key=True)
            restored.append(Identity(profile, own, identity.chain))
            if plan.is_empty:
                continue
            notes += _notes(plan, identity)
            if self.options.engine == "nss":
                self._import(copy, pair, plan)
            with self.opened(copy) as store:
                plan = self._plan(store, copy.path, pair)
                additions = plan.additions(Rows.read(copy.path).free_ids())
                salt = store.global_salt
            writer.add(copy.path, additions, salt)
        return tuple(restored), tuple(notes)

    def check(
        self,
        store: NativeStore,
        before: Sequence[StoredCertificate],
        restored: Sequence[Identity],
    ) -> None:
        """Compare databases that were read back with what they should be.

        Raises:
            RestoreError: they are different.
            StoreError: they are damaged.
        """
        after = {one.sha256: one for one in store.certificates()}
        if not all(_is_kept(one, after.get(one.sha256)) for one in before):
            raise _not_right()
        for identity, (_, key) in zip(restored, self.pairs, strict=True):
            found = after.get(identity.certificate.sha256)
            issuers = all(issuer.sha256 in after for issuer in identity.chain)
            if not issuers or found is None or not found.has_private_key:
                raise _not_right()
            check_key(store, found, key)

    def check_complete(self, store: NativeStore, folder: Path) -> None:
        """Raise RestoreError if a store still lacks something."""
        if not all(self._plan(store, folder, pair).is_empty for pair in self.pairs):
            raise _not_right()

    def _plan(self, store: NativeStore, folder: Path, pair: Pair) -> Plan:
        """Return what a store lacks of an identity; the folder is that of its databases."""
        identity, key = pair
        return Plan(
            store,
            Rows.read(folder),
            identity,
            key,
            nickname=friendly_name_of(identity, self.options.nickname),
            trust_ca=self.options.trust_ca,
        )

    def _import(self, copy: Profile, pair: Pair, plan: Plan) -> None:
        """Let NSS import an identity into a copy of the databases; it raises its own errors."""
        from nssbackup.stores.nss import import_identity

        password = Secret(secrets.token_urlsafe(32))
        issuers = tuple(replace(issuer, nickname=nickname) for issuer, nickname in plan.issuers)
        identity = Identity(None, pair[0].certificate, issuers)
        pfx_writer = PfxWriters.start(password, (MODERN,), FEWEST_ROUNDS).by_format[MODERN]
        pfx = copy.path / "identity.pfx"
        write_private(pfx, pfx_writer.encode(identity, pair[1], friendly_name=plan.nickname))
        import_identity(copy.path, pfx, password, self.passwords.answer)
        pfx.unlink()


def by_hand(profile: Profile | None = None) -> str:
    """Return how to import the file in Firefox, as a part of a hint."""
    way = clicks("Import", profile)
    return f"import the file by hand: {way}; choose the file and give its password"


def _notes(plan: Plan, identity: Identity) -> Iterator[str]:
    """Say what the user would not expect."""
    if plan.renamed:
        yield (
            f"`{identity.display_name}` is called `{plan.nickname}` in the profile, because of the"
            " certificates there"
        )


def _not_right() -> RestoreError:
    message = "the databases read back are not what they should be"
    return RestoreError(message, hint=by_hand())


def _is_kept(before: StoredCertificate, after: StoredCertificate | None) -> bool:
    """Return whether a certificate is still there with its nickname and its key."""
    return (
        after is not None
        and after.nickname == before.nickname
        and after.has_private_key >= before.has_private_key
    )
