"""The native engine: reads NSS stores with `sqlite3` and `cryptography`, without NSS."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from nssbackup.errors import NoStoreError
from nssbackup.identity.model import Profile
from nssbackup.stores.native.database import CertificateDatabase, KeyDatabase
from nssbackup.stores.native.store import NativeStore
from nssbackup.system.snapshot import snapshot_of_contents, take_snapshot

if TYPE_CHECKING:
    from nssbackup.stores.legacy.store import LegacyStore

__all__ = ["NativeEngine"]

_CERTIFICATES = "cert9.db"
_KEYS = "key4.db"


class NativeEngine:
    """Reads `cert9.db` and `key4.db`; if both are missing, `cert8.db` and `key3.db`."""

    name = "native"

    def unavailable(self) -> str | None:
        """Return None: it is always available."""
        return None

    @contextmanager
    def open(self, profile: Profile) -> Iterator[NativeStore | LegacyStore]:
        """Open a profile's store from a snapshot of its two databases.

        Either database may be missing: keys without certificates are what *Refresh Firefox*
        leaves, certificates without keys are a store of CA certificates.

        Raises:
            NoStoreError: there is no database.
            StoreError: a database can't be read.
        """
        with ExitStack() as stack:
            # The keys first: Firefox writes a new key before its certificate, so a pair that is
            # complete in key4.db now is complete in cert9.db a moment later.
            if (keys := _database(profile, _KEYS)) is not None:
                stack.enter_context(closing(keys))
            if (certificates := _database(profile, _CERTIFICATES)) is not None:
                stack.enter_context(closing(certificates))
            store: NativeStore | LegacyStore
            if keys is None and certificates is None:
                store = _legacy(profile)
            else:
                store = NativeStore(
                    CertificateDatabase(certificates) if certificates else None,
                    KeyDatabase(keys) if keys else None,
                )
            yield stack.enter_context(closing(store))


def _database(profile: Profile, name: str) -> sqlite3.Connection | None:
    path = profile.path / name
    return (
        take_snapshot(path)
        if profile.contents is None
        else snapshot_of_contents(path, profile.contents)
    )


def _legacy(profile: Profile) -> LegacyStore:
    # Loaded only here, because few people still have such databases, and it imports this package.
    from nssbackup.stores.legacy.store import LegacyStore

    store = LegacyStore.read(profile.path, profile.contents)
    if store is None:
        message = f"there is no NSS database in `{profile.path}`"
        raise NoStoreError(message, hint="`nssbackup profiles` lists the profiles")
    return store
