"""The engines that read a store. They return certificates and keys, and nothing else.

An engine neither assembles an identity nor writes a file.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from nssbackup.errors import EngineUnavailableError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import OrphanKey, PrivateKey, Profile
from nssbackup.secret import Secret

EngineName = Literal["auto", "native", "nss"]


class Store(Protocol):
    """An opened pair of certificate and key database."""

    def certificates(self) -> tuple[StoredCertificate, ...]:
        """Return every certificate in the store, including those of CAs. Needs no password."""
        ...

    def orphan_keys(self) -> tuple[OrphanKey, ...]:
        """Return the private keys that have no certificate in this store. Needs no password."""
        ...

    def orphan_of(self, certificate: StoredCertificate) -> OrphanKey | None:
        """Return the orphan that is the key of a certificate from elsewhere, or None.

        Needs no password.
        """
        ...

    def notes(self) -> tuple[str, ...]:
        """Return what was skipped because it could not be read, in sentences."""
        ...

    def needs_password(self) -> bool | None:
        """Return whether a primary password is set; None if the store has no password record.

        Raises:
            StoreError: the password record is damaged or of an unknown kind.
        """
        ...

    def unlock(self, password: Secret) -> None:
        """Unlock the store with a primary password; the empty one unlocks a store without one.

        Raises:
            WrongPrimaryPasswordError: it is wrong.
            StoreError: the password record is damaged or of an unknown kind.
        """
        ...

    def private_key(self, of: StoredCertificate) -> PrivateKey:
        """Return the private key of a certificate; the store must be unlocked.

        The certificate itself need not be in the store.

        Raises:
            KeyMissingError: the store does not hold the key.
            KeyNotExportableError: the key can't be taken out.
            StoreError: it is damaged, tampered with or encrypted in an unknown way.
        """
        ...


class Engine(Protocol):
    """A way to read a store."""

    name: str

    def unavailable(self) -> str | None:
        """Return why this engine is not available here, or None."""
        ...

    def open(self, profile: Profile) -> AbstractContextManager[Store]:
        """Open a profile's store for reading; the profile is left as it is.

        Raises:
            NoStoreError: the profile has no database of a kind this engine reads.
            StoreError: the databases can't be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine is available on this machine: `reason` says why not, or is None."""

    name: EngineName
    reason: str | None


def availability() -> tuple[Availability, ...]:
    """Return every engine, and whether it is available here."""
    return tuple(
        Availability(name, _engine(name).unavailable())
        for name in get_args(EngineName)
        if name != "auto"
    )


def engine_named(name: EngineName) -> Engine:
    """Return the engine of that name.

    Raises:
        EngineUnavailableError: it is not available here.
    """
    engine = _engine(name)
    reason = engine.unavailable()
    if reason is not None:
        message = f"the engine `{name}` is not available here: {reason}"
        raise EngineUnavailableError(message)
    return engine


def _engine(name: EngineName) -> Engine:
    # Each is loaded only when it is used.
    if name == "nss":
        from nssbackup.stores.nss import NssEngine

        return NssEngine()
    from nssbackup.stores.native import NativeEngine

    return NativeEngine()


def open_store(profile: Profile, engine: EngineName = "auto") -> AbstractContextManager[Store]:
    """Open a profile's store with the engine of that name; see `Engine.open`."""
    return engine_named(engine).open(profile)
