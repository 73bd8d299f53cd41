"""Examine: what one profile's files and store say without a password, or why they say nothing."""

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
from nssbackup.identity.model import Profile
from nssbackup.profiles.locate import UNKNOWN_APPLICATION
from nssbackup.profiles.settings import Preferences, read_preferences
from nssbackup.profiles.system import System
from nssbackup.stores import EngineName, Store, open_store


@dataclass(frozen=True, slots=True)
class Case:
    """What a diagnosis is about.

    Attributes:
        profiles: where `export` would look, in the order of their rank.
        certificate: the user's CERT argument; None for the WIPO identity.
        left_behind: what refreshes of Firefox left; None if that was not searched for.
        applications: those that the profiles were limited to; empty for no limit.
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
    """A profile, and what could be learned about it.

    Attributes:
        profile: the profile.
        left_behind: whether a refresh of Firefox left it.
        preferences: what its files set.
        certificates: all in the store.
        notes: what was skipped.
        primary_password: whether one is set; None if unknown.
        obstacles: certificates whose private key can't be exported, with the reason, as far as
            that shows without a password.
        error: why the store, or a part of it, can't be read.
    """

    profile: Profile
    left_behind: bool
    preferences: Preferences
    certificates: tuple[StoredCertificate, ...] = ()
    notes: tuple[str, ...] = ()
    primary_password: bool | None = None
    obstacles: tuple[tuple[StoredCertificate, NssBackupError], ...] = ()
    error: NssBackupError | None = None

    @property
    def program(self) -> str:
        """Return what to call the application in a sentence."""
        application = self.profile.application
        return "the program" if application == UNKNOWN_APPLICATION else application


def examine(profile: Profile, engine: EngineName, *, left_behind: bool) -> Examined:
    """Look at a profile; an error is part of the result."""
    examined = Examined(profile, left_behind, read_preferences(profile.path))
    if profile.store is None:
        return examined
    try:
        with open_store(profile, engine) as store:
            examined = replace(examined, certificates=store.certificates(), notes=store.notes())
            examined = replace(examined, obstacles=_obstacles(store, examined.certificates))
            return replace(examined, primary_password=store.needs_password())
    except NssBackupError as error:
        return replace(examined, error=error)


def _obstacles(
    store: Store, certificates: Sequence[StoredCertificate]
) -> tuple[tuple[StoredCertificate, NssBackupError], ...]:
    pairs = ((one, obstacle(store, one)) for one in certificates if one.has_private_key)
    return tuple((certificate, error) for certificate, error in pairs if error is not None)


def obstacle(store: Store, certificate: StoredCertificate) -> NssBackupError | None:
    """Return why a key can't be exported from a locked store, apart from the lock."""
    try:
        store.private_key(certificate)
    except PrimaryPasswordRequiredError:
        return None
    except (KeyNotExportableError, StoreError) as error:
        return error
    except NssBackupError:  # an engine may see no key at all before the store is unlocked
        return None
    return None
