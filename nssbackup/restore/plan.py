"""Plan: what a store lacks of an identity, and what that will be called there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nssbackup.errors import DamagedStoreError, KeyNotExportableError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import friendly_name_of
from nssbackup.restore.objects import Additions, Change, Maker, names
from nssbackup.restore.rows import Row, Rows
from nssbackup.stores.native.database import Attribute
from nssbackup.stores.native.pairing import key_id, public_value
from nssbackup.stores.native.store import NativeStore

_KEY_ID = "a102"


class Plan:
    """What a store lacks of an identity.

    Args:
        store: unlocked.
        rows: what is in it.
        identity: the certificate and the CA certificates to go with it.
        key: its private key.
        nickname: what it is to be called; None for the name that it has or its subject's.
        trust_ca: whether the root of its chain is to be a trusted one.

    Raises:
        DamagedStoreError: the store has another key in the place of this one.
        StoreError: the key is there and can't be read.
    """

    def __init__(  # noqa: PLR0913 - all that is known
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
        """What the store calls the certificate, or will; None if it is there without a name."""
        self.renamed = known is None and nickname is not None and self.nickname != nickname
        """Whether that is another name than the one asked for."""
        self.issuers = tuple(
            (issuer, taken.free(issuer, friendly_name_of(Identity(None, issuer))))
            for issuer in identity.chain
            if issuer.sha256 not in present
        )
        """The CA certificates that are missing, and what they will be called."""
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
        """Whether all of it is there already."""
        return not (
            self._needs_certificate
            or self._needs_private
            or self._needs_public
            or self._changes
            or self.issuers
            or self._roots
        )

    def additions(self, ids: Iterator[int]) -> Additions:
        """What is to be added.

        Args:
            ids: object ids that are free.

        Raises:
            RestoreError: NSS can't use such a key.
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
        """What joins a certificate and a key that are there, for NSS, which goes by CKA_ID alone.

        It is empty on certificates that came from cert8.db without their key, and on keys that
        other programs made.
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
    """The nicknames of a store: one for all certificates of a subject, none for two subjects.

    So NSS has it; its own import puts ` #2` behind a name that is taken.
    """

    def __init__(self, certificates: Iterable[StoredCertificate]) -> None:
        self._by_subject: dict[bytes, str] = {}
        self._taken: set[str] = set()
        for one in certificates:
            if one.nickname:
                self._keep(one, one.nickname)

    def free(self, certificate: StoredCertificate, wanted: str | None) -> str:
        """What a certificate will be called, which is its name from now on."""
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
    """See that the key a store has for a certificate is this one, and can be read.

    Raises:
        DamagedStoreError: it is another one.
        StoreError: it can't be read.
    """
    try:
        same = store.private_key(of).pkcs8 == key.pkcs8
    except KeyNotExportableError:
        return  # marked as one that stays where it is: its public half, which fits, has to do
    if not same:
        message = "the key database has another private key in the place of this one"
        raise DamagedStoreError(message)


def _is_trusted(root: StoredCertificate | None) -> bool:
    return root is not None and {("server", "trusted-ca"), ("email", "trusted-ca")} <= set(
        root.trust
    )
