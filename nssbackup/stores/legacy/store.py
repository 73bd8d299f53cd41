"""The `Store` protocol for cert8.db and key3.db, the databases of Firefox up to 57."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nssbackup.errors import (
    DamagedStoreError,
    KeyMissingError,
    PrimaryPasswordRequiredError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import OrphanKey, PrivateKey
from nssbackup.secret import Secret
from nssbackup.stores.legacy import cert8, key3
from nssbackup.stores.native import pbe
from nssbackup.stores.native.contents import public_value
from nssbackup.stores.native.store import type_not_exportable
from nssbackup.system.snapshot import check_content, read_stable


class LegacyStore:
    """The contents of a store when it was read; see `stores.Store`."""

    def __init__(
        self,
        certificates: tuple[StoredCertificate, ...],
        notes: tuple[str, ...],
        keys: key3.KeyDatabase,
    ) -> None:
        self._certificates = tuple(
            replace(one, has_private_key=_key_name(one) in keys.keys) for one in certificates
        )
        self._notes = notes
        self._keys = keys
        paired = {_key_name(certificate) for certificate in certificates}
        # In the order of the database.
        self._orphans = {name: None for name in keys.keys if name not in paired}
        self._key: pbe.IntermediateKey | None = None
        self._closed = False

    @classmethod
    def read(cls, folder: Path, contents: Mapping[str, bytes] | None = None) -> LegacyStore | None:
        """Read the databases of a folder; None if it has none.

        Args:
            folder: where they are.
            contents: the databases by name, if they are in a container instead.

        Raises:
            StoreError: they can't be read, are damaged or of an unknown version.
        """
        # The keys first, as in `NativeEngine.open`.
        keys, certificates = (
            read_stable(folder / name) if contents is None else contents.get(name)
            for name in (key3.NAME, cert8.NAME)
        )
        if keys is None and certificates is None:
            return None
        for name, data in ((key3.NAME, keys), (cert8.NAME, certificates)):
            if data is not None:
                check_content(folder / name, data)
        database = key3.KeyDatabase.read(keys or b"")
        return cls(*cert8.read_certificates(certificates or b"", folder), database)

    def close(self) -> None:
        """End the use of the store: every call after this is a ValueError."""
        self._closed = True
        self._certificates, self._keys, self._key = (), key3.KeyDatabase(), None
        self._orphans = {}

    def certificates(self) -> tuple[StoredCertificate, ...]:
        """See `stores.Store.certificates`."""
        self._check_open()
        return self._certificates

    def notes(self) -> tuple[str, ...]:
        """See `stores.Store.notes`."""
        self._check_open()
        return self._notes

    def orphan_keys(self) -> tuple[OrphanKey, ...]:
        """See `stores.Store.orphan_keys`."""
        return tuple(key3.orphan_key(name) for name in self._open_orphans())

    def orphan_of(self, certificate: StoredCertificate) -> OrphanKey | None:
        """See `stores.Store.orphan_of`."""
        name = _key_name(certificate)
        return key3.orphan_key(name) if name in self._open_orphans() else None

    def needs_password(self) -> bool | None:
        """See `stores.Store.needs_password`."""
        self._check_open()
        if self._keys.check is None:
            return None
        return self._keys.unlock("") is None

    def unlock(self, password: Secret) -> None:
        """See `stores.Store.unlock`."""
        self._check_open()
        if self._keys.check is None:
            if self._keys.keys:
                message = "the key database is damaged: it has keys and no password record"
                raise DamagedStoreError(message)
            return  # nothing is locked
        self._key = self._keys.unlock(password.reveal())
        if self._key is None:
            message = "the primary password is wrong"
            raise WrongPrimaryPasswordError(message)

    def private_key(self, of: StoredCertificate) -> PrivateKey:
        """See `stores.Store.private_key`."""
        self._check_open()
        name = _key_name(of)
        if name not in self._keys.keys:
            message = f"the private key of `{of.display_name}` is not in this store"
            raise KeyMissingError(message, hint="`nssbackup list` shows where keys are present")
        if of.key.type == "DSA":  # not standard PKCS#8 in here
            raise type_not_exportable(of.key.type)
        if self._key is None:
            message = "the store is locked: its primary password was not given"
            raise PrimaryPasswordRequiredError(message)
        return self._keys.private_key(name, self._key)

    def _open_orphans(self) -> dict[bytes, None]:
        self._check_open()
        return self._orphans

    def _check_open(self) -> None:
        if self._closed:
            message = "the store is closed"
            raise ValueError(message)


def _key_name(certificate: StoredCertificate) -> bytes:
    """Return the name under which key3.db stores the key of a certificate: its public value."""
    spki = certificate.public_key
    return public_value(spki).lstrip(b"\0") if spki else b""
