"""Inventory: the identities of many profiles, each profile isolated from the others.

A certificate and its key may lie apart: *Refresh Firefox* keeps key4.db and drops cert9.db, and a
certificate may have been imported into another profile than the one that made the key. Such pairs
are brought together here, by the public key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from nssbackup.certificate import StoredCertificate
from nssbackup.chain import find_chain
from nssbackup.engines import Engine, EngineName, engine_named
from nssbackup.errors import NoProfileError, NssBackupError
from nssbackup.identities import assemble
from nssbackup.model import Identity, OrphanKey, Profile
from nssbackup.report import ReadFailure


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a number of profiles hold, and which of them could not be read.

    Attributes:
        identities: in the order of the profiles.
        failures: the profiles that could not be read.
        notes: what was passed over in a profile.
        orphans: the private keys of a profile whose certificate is in no profile at all.
        reunited: the identities whose certificate lies elsewhere than their key, with the profile
            that it lies in (None for a file).
    """

    identities: tuple[Identity, ...]
    failures: tuple[ReadFailure, ...]
    notes: tuple[tuple[Profile, str], ...]
    orphans: tuple[tuple[Profile, tuple[OrphanKey, ...]], ...] = ()
    reunited: tuple[tuple[Identity, Profile | None], ...] = ()

    def remarks_on(self, identity: Identity) -> tuple[str, ...]:
        """What is worth knowing about where an identity comes from."""
        return tuple(
            f"the key is that of profile `{one.profile.name}`, the certificate was found in"
            f" {f'`{source.path}`' if source else 'the file given'}"
            for one, source in self.reunited
            if one is identity and one.profile is not None
        )


def _no_more_profiles() -> Sequence[Profile]:
    return ()


def take_inventory(
    profiles: Sequence[Profile],
    engine: EngineName = "auto",
    *,
    given: Sequence[StoredCertificate] = (),
    left_behind: Callable[[], Sequence[Profile]] = _no_more_profiles,
) -> Inventory:
    """Read the identities of profiles; no password is needed.

    A profile without databases holds nothing and is no failure; one damaged profile is a failure
    beside the others' identities.

    Args:
        profiles: where to look, in the order of their rank.
        engine: what reads the stores.
        given: certificates from files; the first one's key is looked for, the others may be in
            its chain.
        left_behind: gives more profiles to look in; called where the first hold no certificate
            with its key, or a key without its certificate.

    Raises:
        NoProfileError: there is no profile at all, or none with a database.
        NssBackupError: not one of the profiles could be read; the first one's error.
        EngineUnavailableError: the engine can't be had here.
    """
    reader = engine_named(engine)
    readings = [_read(profile, reader) for profile in profiles if profile.store is not None]
    if any(one.orphans for one in readings) or not any(one.has_pair for one in readings):
        known = {profile.path for profile in profiles}
        readings += [
            _read(profile, reader)
            for profile in left_behind()
            if profile.store is not None and profile.path not in known
        ]
    if not readings:
        message = (
            "none of the profiles found has an NSS database" if profiles else "no profile was found"
        )
        raise NoProfileError(
            message, hint="name the folder that holds cert9.db and key4.db with `--profile PATH`"
        )
    failures = [ReadFailure(one.profile, one.error) for one in readings if one.error is not None]
    if len(failures) == len(readings):
        raise failures[0].error
    return _assembled(readings, tuple(failures), given, reader)


def primary_password_set(profile: Profile, engine: EngineName = "auto") -> bool | None:
    """Whether a profile has a primary password; None where that can't be told."""
    if profile.store is None:
        return None
    try:
        with engine_named(engine).open(profile) as store:
            return store.needs_password()
    except NssBackupError:
        return None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one profile's store said, or why it said nothing."""

    profile: Profile
    certificates: tuple[StoredCertificate, ...] = ()
    orphans: tuple[OrphanKey, ...] = ()
    notes: tuple[str, ...] = ()
    error: NssBackupError | None = None

    @property
    def has_pair(self) -> bool:
        """Whether a client certificate is here with its key."""
        return any(one.has_private_key and not one.is_ca for one in self.certificates)


def _read(profile: Profile, reader: Engine) -> _Reading:
    try:
        with reader.open(profile) as store:
            return _Reading(profile, store.certificates(), store.orphan_keys(), store.notes())
    except NssBackupError as error:
        return _Reading(profile, error=error)


def _assembled(
    readings: Sequence[_Reading],
    failures: tuple[ReadFailure, ...],
    given: Sequence[StoredCertificate],
    reader: Engine,
) -> Inventory:
    together = {one.profile.path: assemble(one.profile, one.certificates) for one in readings}
    every = [identity for found in together.values() for identity in found]
    if given:
        every.append(Identity(None, given[0]))
    # A certificate that has its key somewhere needs no other.
    with_key = {i.certificate.sha256 for i in every if i.certificate.has_private_key}
    lonely = {i.certificate.sha256: i for i in every if i.certificate.sha256 not in with_key}
    issuers = [*(c for one in readings for c in one.certificates), *given]
    identities: list[Identity] = []
    orphans: list[tuple[Profile, tuple[OrphanKey, ...]]] = []
    reunited: list[tuple[Identity, Profile | None]] = []
    for one in readings:
        found = _fitting(one, lonely.values(), reader)
        for identity, _ in found:
            certificate = replace(identity.certificate, has_private_key=True)
            chain = find_chain(certificate, issuers)
            reunited.append((Identity(one.profile, certificate, chain), identity.profile))
            identities.append(reunited[-1][0])
        identities += together[one.profile.path]
        used = {orphan for _, orphan in found}
        if rest := tuple(orphan for orphan in one.orphans if orphan not in used):
            orphans.append((one.profile, rest))
    identities += every[-1:] if given else []
    paired = {identity.certificate.sha256 for identity, _ in reunited}
    return Inventory(
        tuple(
            i
            for i in identities
            if i.certificate.has_private_key or i.certificate.sha256 not in paired
        ),
        failures,
        tuple((one.profile, note) for one in readings for note in one.notes),
        tuple(orphans),
        tuple(reunited),
    )


def _fitting(
    reading: _Reading, lonely: Iterable[Identity], reader: Engine
) -> list[tuple[Identity, OrphanKey]]:
    """Those of the certificates without a key whose key is an orphan of this profile."""
    if not reading.orphans:
        return []
    try:
        with reader.open(reading.profile) as store:
            pairs = [(identity, store.orphan_of(identity.certificate)) for identity in lonely]
    except NssBackupError:  # it could be read a moment ago: the keys stay orphans
        return []
    return [(identity, orphan) for identity, orphan in pairs if orphan is not None]
