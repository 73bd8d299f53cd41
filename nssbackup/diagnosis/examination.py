"""Examination: what one profile's store says without a password, or why it says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nssbackup.errors import (
    KeyNotExportableError,
    NssBackupError,
    PrimaryPasswordRequiredError,
    StoreError,
)
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import OrphanKey, Profile
from nssbackup.profiles.locate import UNKNOWN_APPLICATION
from nssbackup.profiles.settings import Preferences, read_preferences
from nssbackup.profiles.system import System
from nssbackup.stores import EngineName, Store, open_store


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked about.

    Attributes:
        profiles: where `export` would look, in the order of their rank.
        certificate: the user's CERT argument; None for the WIPO identity.
        left_behind: what refreshes of Firefox left; None where it was not searched for.
        applications: which the profiles were limited to; none for no limit.
        system: the machine.
        engine: what reads the stores.
    """

    profiles: tuple[Profile, ...]
    certificate: str | None = None
    left_behind: tuple[Profile, ...] | None = None
    applications: frozenset[str] = frozenset()
    system: System = field(default_factory=System.current)
    engine: EngineName = "auto"


@dataclass(frozen=True, slots=True)
class Examined:
    """A profile, and what could be learned of it.

    Attributes:
        profile: the profile.
        left_behind: whether a refresh of Firefox left it.
        preferences: what its files set.
        certificates: all in the store.
        orphans: the private keys without a certificate in this store.
        notes: what was passed over.
        primary_password: whether one is set; None where that can't be told.
        obstacles: the private keys that can't be taken out, as far as that shows without a
            password, by their certificates.
        error: why the store can't be read, or not all of it.
    """

    profile: Profile
    left_behind: bool
    preferences: Preferences
    certificates: tuple[StoredCertificate, ...] = ()
    orphans: tuple[OrphanKey, ...] = ()
    notes: tuple[str, ...] = ()
    primary_password: bool | None = None
    obstacles: tuple[tuple[StoredCertificate, NssBackupError], ...] = ()
    error: NssBackupError | None = None

    @property
    def program(self) -> str:
        """What to call the application in a sentence."""
        application = self.profile.application
        return "the program" if application == UNKNOWN_APPLICATION else application


@dataclass(frozen=True, slots=True)
class Reunion:
    """A private key of one profile, and its certificate in another.

    `paired` says whether the certificate has the key beside it there, too.
    """

    key_in: Examined
    key: OrphanKey
    certificate: StoredCertificate
    certificate_in: Examined

    @property
    def paired(self) -> bool:
        """Whether the certificate has its key beside it."""
        return self.certificate.has_private_key


def examine(profile: Profile, engine: EngineName, *, left_behind: bool) -> Examined:
    """Look at a profile; an error is part of the answer."""
    examined = Examined(profile, left_behind, read_preferences(profile.path))
    if profile.store is None:
        return examined
    try:
        with open_store(profile, engine) as store:
            examined = replace(
                examined,
                certificates=store.certificates(),
                orphans=store.orphan_keys(),
                notes=store.notes(),
            )
            examined = replace(examined, obstacles=_obstacles(store, examined.certificates))
            return replace(examined, primary_password=store.needs_password())
    except NssBackupError as error:
        return replace(examined, error=error)


def reunions(examined: Sequence[Examined], engine: EngineName) -> tuple[Reunion, ...]:
    """The keys and certificates that lie in different profiles, told by the public key."""
    found = []
    for one in examined:
        if not one.orphans:
            continue
        # A certificate with its key beside it first: nothing need be brought together then.
        others = sorted(
            (
                (certificate, other)
                for other in examined
                if other is not one
                for certificate in other.certificates
                if not certificate.is_ca
            ),
            key=lambda pair: not pair[0].has_private_key,
        )
        seen: set[str] = set()
        try:
            with open_store(one.profile, engine) as store:
                for certificate, other in others:
                    key = store.orphan_of(certificate)
                    if key is not None and certificate.sha256 not in seen:
                        seen.add(certificate.sha256)
                        found.append(Reunion(one, key, certificate, other))
        except NssBackupError:  # it could be read a moment ago: the keys stay alone
            continue
    return tuple(found)


def _obstacles(
    store: Store, certificates: Sequence[StoredCertificate]
) -> tuple[tuple[StoredCertificate, NssBackupError], ...]:
    pairs = ((one, obstacle(store, one)) for one in certificates if one.has_private_key)
    return tuple((certificate, error) for certificate, error in pairs if error is not None)


def obstacle(store: Store, certificate: StoredCertificate) -> NssBackupError | None:
    """Why a key can't be taken out of a locked store, apart from its being locked."""
    try:
        store.private_key(certificate)
    except PrimaryPasswordRequiredError:
        return None
    except (KeyNotExportableError, StoreError) as error:
        return error
    except NssBackupError:  # an engine may see no key at all before it is unlocked
        return None
    return None
