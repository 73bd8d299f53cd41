"""Engines: the ways to read a store. They return certificates and keys and nothing else.

An engine neither assembles an identity nor writes a file: two readers, one assembler, one writer.
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
        """Every certificate in the store, CA certificates included. Needs no password."""
        ...

    def orphan_keys(self) -> tuple[OrphanKey, ...]:
        """The private keys that have no certificate in this store. Needs no password."""
        ...

    def orphan_of(self, certificate: StoredCertificate) -> OrphanKey | None:
        """Which of the orphan keys is that of a certificate from elsewhere; None for none.

        Needs no password.
        """
        ...

    def notes(self) -> tuple[str, ...]:
        """What was passed over because it could not be read, in words."""
        ...

    def needs_password(self) -> bool | None:
        """Whether a primary password is set; None where the store has no password record.

        Raises:
            StoreError: the password record is damaged or of an unknown kind.
        """
        ...

    def unlock(self, password: Secret) -> None:
        """Try a primary password; the empty one opens a store that has none.

        Raises:
            WrongPrimaryPasswordError: it is not the one.
            StoreError: the password record is damaged or of an unknown kind.
        """
        ...

    def private_key(self, of: StoredCertificate) -> PrivateKey:
        """The private key that belongs to a certificate; the store must be unlocked.

        The certificate itself need not be in the store.

        Raises:
            KeyMissingError: the store holds no such key.
            KeyNotExportableError: it is there and can't be taken out.
            StoreError: it is damaged, tampered with or encrypted in an unknown way.
        """
        ...


class Engine(Protocol):
    """A way to read a store."""

    name: str

    def unavailable(self) -> str | None:
        """None, or the reason why this engine can't be had here, in words."""
        ...

    def open(self, profile: Profile) -> AbstractContextManager[Store]:
        """Open a profile's store for reading; the profile is left as it is.

        Raises:
            NoStoreError: there is no database of a kind this engine reads.
            StoreError: the databases can't be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine can be had on this machine: `reason` is None, or why it can't, in words."""

    name: EngineName
    reason: str | None


def availability() -> tuple[Availability, ...]:
    """Every engine there is, and whether it can be had here."""
    return tuple(
        Availability(name, _engine(name).unavailable())
        for name in get_args(EngineName)
        if name != "auto"
    )


def engine_named(name: EngineName) -> Engine:
    """The engine of that name, ready for use.

    Raises:
        EngineUnavailableError: it can't be had here.
    """
    engine = _engine(name)
    reason = engine.unavailable()
    if reason is not None:
        message = f"the engine `{name}` is not available here: {reason}"
        raise EngineUnavailableError(message)
    return engine


def _engine(name: EngineName) -> Engine:
    # Each is loaded only when it is wanted.
    if name == "nss":
        from nssbackup.stores.nss import NssEngine

        return NssEngine()
    from nssbackup.stores.native import NativeEngine

    return NativeEngine()


def open_store(profile: Profile, engine: EngineName = "auto") -> AbstractContextManager[Store]:
    """Open a profile's store with the engine of that name; see `Engine.open`."""
    return engine_named(engine).open(profile)
