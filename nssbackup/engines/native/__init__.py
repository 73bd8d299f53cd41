"""The native engine: NSS stores read with `sqlite3` and `cryptography`, no NSS anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nssbackup.engines.native.database import CertificateDatabase, KeyDatabase
from nssbackup.engines.native.store import NativeStore
from nssbackup.errors import NoStoreError, UnsupportedStoreError
from nssbackup.model import Profile
from nssbackup.snapshot import put_back, take_snapshot

__all__ = ["NativeEngine"]

_CERTIFICATES = "cert9.db"
_KEYS = "key4.db"


class NativeEngine:
    """Reads `cert9.db` and `key4.db`."""

    name = "native"

    def unavailable(self) -> str | None:
        """None: what it needs comes with Python and with this package."""
        return None

    @contextmanager
    def open(self, profile: Profile) -> Iterator[NativeStore]:
        """Open a profile's store from a snapshot of its two databases.

        Either database may be missing: keys without certificates are what *Refresh Firefox*
        leaves behind, certificates without keys are a store of CA certificates.

        Raises:
            NoStoreError: neither database is there.
            UnsupportedStoreError: there are only databases of the old kind (cert8, key3).
            StoreError: a database can't be read.
        """
        # The keys first: Firefox writes a new key before its certificate, so a pair that is
        # complete in key4.db now is complete in cert9.db a moment later.
        keys = take_snapshot(profile.path / _KEYS)
        try:
            certificates = take_snapshot(profile.path / _CERTIFICATES)
        except BaseException:
            if keys is not None:
                keys.close()
            raise
        store = None
        try:
            if keys is None and certificates is None:
                raise _no_store(profile)
            store = NativeStore(
                CertificateDatabase(certificates) if certificates else None,
                KeyDatabase(keys) if keys else None,
            )
            yield store
        finally:
            # Closed before its snapshots may be filled with another profile's databases.
            if store is not None:
                store.close()
            for connection in (keys, certificates):
                if connection is not None:
                    put_back(connection)


def _no_store(profile: Profile) -> NoStoreError | UnsupportedStoreError:
    if profile.store == "legacy":
        message = f"profile `{profile.name}` has only databases of Firefox 57 or earlier"
        return UnsupportedStoreError(
            message, hint="start a current Firefox once on a copy of the profile to convert them"
        )
    message = f"there is no NSS database in `{profile.path}`"
    return NoStoreError(message, hint="`nssbackup profiles` shows the profiles there are")
