"""Plan what to add to a store for an identity, and under which nicknames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nssbackup.errors import DamagedStoreError, KeyNotExportableError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import friendly_name_of
from nssbackup.restore.objects import Additions, Change, Maker, names
from nssbackup.restore.rows import Row, Rows
from nssbackup.stores.native.contents import key_id, public_value
from nssbackup.stores.native.database import Attribute
from nssbackup.stores.native.store import NativeStore

_KEY_ID = "a102"


class Plan:
    """What a store lacks of an identity.

    Args:
        store: unlocked.
        rows: its rows.
        identity: the certificate and its CA certificates.
        key: its private key.
        nickname: the nickname to use; None for its subject.
        trust_ca: whether the root of its chain becomes a trusted one.

    Raises:
        DamagedStoreError: the store has another key in place of this one.
        StoreError: the key is there but can't be read.
    """

    def __init__(  # noqa: PLR0913 - all are needed
        self,
        store: NativeStore,
        rows: Rows,
        identity: Identity,
        key: PrivateKey,
        *,
        nickname: str | None,
        trust_ca: bool,
    ) -> None:
        self._store = store
        self._key = key
        self._rows = rows
        own = identity.certificate
        present = {one.sha256: one for one in store.certificates()}
        known = present.get(own.sha256)
        taken = _Names(present.values())
        self.nickname = known.nickname if known else taken.free(own, nickname)
        """The certificate's nickname in the store; None if it is there without one."""
        self.renamed = known is None and nickname is not None and self.nickname != nickname
        """Whether it differs from the nickname asked for."""
        self.issuers = tuple(
            (issuer, taken.free(issuer, friendly_name_of(Identity(None, issuer))))
            for issuer in identity.chain
            if issuer.sha256 not in present
        )
        """The CA certificates that are missing, with their nicknames."""
        self._certificate = own
        self._needs_certificate = known is None
        held = store.key_object(own)
        self._needs_private = held is None
        natural = key_id(public_value(key.public_key))
        self._key_id = (held.get(Attribute.ID) if held else None) or natural
        self._needs_public = not rows.has_public_key(self._key_id)
        self._changes = tuple(self._links(held.id if held else None))
        if held is not None:
            check_key(store, own, key)
        self._roots = tuple(
            root
            for root in identity.chain[-1:]
            if trust_ca and root.self_issued and not _is_trusted(present.get(root.sha256))
        )

    @property
    def is_empty(self) -> bool:
        """Whether everything is there already."""
        return not (
            self._needs_certificate
            or self._needs_private
            or self._needs_public
            or self._changes
            or self.issuers
            or self._roots
        )

    def additions(self, ids: Iterator[int]) -> Additions:
        """Return what to add.

        Args:
            ids: free object ids.

        Raises:
            RestoreError: NSS can't use a key of this type.
            DamagedStoreError: the store has no password record.
        """
        maker = Maker(*self._store.encryption(), ids)
        own = self._certificate
        if self._needs_public:
            maker.add_public_key(self._key, self._key_id)
        if self._needs_private:
            subject = names(own.der)["a101"]
            maker.add_private_key(self._key, self._key_id, self.nickname, subject)
        if self._needs_certificate:
            maker.add_certificate(own, self.nickname, self._key_id)
        for issuer, nickname in self.issuers:
            spki = issuer.public_key
            maker.add_certificate(issuer, nickname, key_id(public_value(spki)) if spki else b"")
        for change in self._changes:
            maker.change(change)
        for root in self._roots:
            said = list(self._rows.trust_of(root.der))
            for number, row in said:
                maker.change_to_trusted_ca(number, row)
            if not said:
                maker.add_trusted_ca(root)
        return maker.additions()

    def _links(self, held: int | None) -> Iterator[Change]:
        """Yield what joins a certificate and a key that are there: NSS joins by CKA_ID alone.

        A certificate that came from cert8.db without its key has none, nor has a key that another
        program made.
        """
        found = self._rows.certificate(self._certificate.der)
        if found is not None:
            yield from self._link(*found, private=False)
        if held is not None:
            yield from self._link(held, self._rows.private.objects[held], private=True)

    def _link(self, number: int, row: Row, *, private: bool) -> Iterator[Change]:
        if row.get(_KEY_ID) != self._key_id:
            yield Change(
                private=private,
                id=number,
                before={_KEY_ID: row.get(_KEY_ID)},
                after={_KEY_ID: self._key_id},
            )


class _Names:
    """The nicknames of a store: one for all certificates of a subject, never one for two subjects.

    That is NSS's rule; its own import adds ` #2` to a name that is taken.
    """

    def __init__(self, certificates: Iterable[StoredCertificate]) -> None:
        self._by_subject: dict[bytes, str] = {}
        self._taken: set[str] = set()
        for one in certificates:
            if one.nickname:
                self._keep(one, one.nickname)

    def free(self, certificate: StoredCertificate, wanted: str | None) -> str:
        """Return and reserve the nickname of a certificate."""
        known = self._by_subject.get(names(certificate.der)["a101"])
        if known is not None:
            return known
        base = wanted or certificate.subject
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base} #{number}"
        self._keep(certificate, name)
        return name

    def _keep(self, certificate: StoredCertificate, name: str) -> None:
        self._by_subject.setdefault(names(certificate.der)["a101"], name)
        self._taken.add(name)


def check_key(store: NativeStore, of: StoredCertificate, key: PrivateKey) -> None:
    """Check that a store's key for a certificate is this one and can be read.

    Raises:
        DamagedStoreError: it is another key.
        StoreError: it can't be read.
    """
    try:
        same = store.private_key(of).pkcs8 == key.pkcs8
    except KeyNotExportableError:
        return  # it may not be exported; its public half fits
    if not same:
        message = "the key database has another private key in place of this one"
        raise DamagedStoreError(message)


def _is_trusted(root: StoredCertificate | None) -> bool:
    return root is not None and {("server", "trusted-ca"), ("email", "trusted-ca")} <= set(
        root.trust
    )
