"""Inventory: the identities of many profiles, each profile isolated from the others.

A certificate and its key may lie apart: *Refresh Firefox* keeps key4.db and drops cert9.db, and a
certificate may have been imported into another profile than the one that made the key. Such pairs
are brought together here, by the public key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nssbackup.errors import NoProfileError, NssBackupError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.chain import Chains, find_chain
from nssbackup.identity.choosing import assemble
from nssbackup.identity.model import Identity, OrphanKey, Profile
from nssbackup.report import ReadFailure
from nssbackup.stores import Engine, EngineName, engine_named


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a number of profiles hold, and which of them could not be read.

    Attributes:
        identities: in the order of the profiles.
        failures: the profiles that could not be read.
        notes: what was passed over in a profile.
        orphans: the private keys of a profile whose certificate is in no profile at all.
        reunited: the identities whose certificate lies elsewhere than their key, with the profile
            that it lies in (None for a file). They are among `identities`, except where the
            certificate has its key beside it in another profile: then the key is a spare one.
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
            if one == identity and one.profile is not None
        )

    def spares_of(self, identity: Identity) -> tuple[Identity, ...]:
        """The same certificate with the same key from profiles that hold the key alone."""
        return tuple(
            one
            for one, _ in self.reunited
            if one.certificate.sha256 == identity.certificate.sha256 and one != identity
        )


def no_more_profiles() -> Sequence[Profile]:
    """No profiles left behind."""
    return ()


def take_inventory(
    profiles: Sequence[Profile],
    engine: EngineName = "auto",
    *,
    given: Sequence[StoredCertificate] = (),
    left_behind: Callable[[], Sequence[Profile]] = no_more_profiles,
) -> Inventory:
    """Read the identities of profiles; no password is needed.

    A profile without databases holds nothing and is no failure; one damaged profile is a failure
    beside the others' identities.

    Args:
        profiles: where to look, in the order of their rank.
        engine: what reads the stores.
        given: certificates from files; the first one's key is looked for, and it is among the
            identities even if that is in no profile. The others may be in its chain.
        left_behind: gives more profiles to look in; called where the first hold no certificate
            with its key, a key without its certificate, or not the key of the one given.

    Raises:
        NoProfileError: there is no profile at all, or none with a database.
        NssBackupError: not one of the profiles could be read; the first one's error.
        EngineUnavailableError: the engine can't be had here.
    """
    reader = engine_named(engine)
    readings = [_read(profile, reader) for profile in profiles if profile.store is not None]
    if not _is_enough(readings, given):
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


def primary_password_set(profile: Profile) -> bool | None:
    """Whether a profile has a primary password; None where that can't be told."""
    if profile.store is None:
        return None
    try:
        with engine_named("auto").open(profile) as store:
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
    def public_keys(self) -> frozenset[bytes]:
        """The public halves of the keys that have a certificate here."""
        return frozenset(
            one.public_key for one in self.certificates if one.has_private_key and one.public_key
        )


def _read(profile: Profile, reader: Engine) -> _Reading:
    try:
        with reader.open(profile) as store:
            return _Reading(profile, store.certificates(), store.orphan_keys(), store.notes())
    except NssBackupError as error:
        return _Reading(profile, error=error)


def _is_enough(readings: Sequence[_Reading], given: Sequence[StoredCertificate]) -> bool:
    """Whether nothing is missing that profiles left behind may hold."""
    if given and not any(given[0].public_key in one.public_keys for one in readings):
        return False
    if any(one.orphans for one in readings):
        return False
    own = [c for one in readings for c in one.certificates if not c.is_ca]
    with_key = {certificate.sha256 for certificate in own if certificate.has_private_key}
    return bool(own) and with_key == {certificate.sha256 for certificate in own}


def _assembled(
    readings: Sequence[_Reading],
    failures: tuple[ReadFailure, ...],
    given: Sequence[StoredCertificate],
    reader: Engine,
) -> Inventory:
    every = _Certificates.of(readings, given)
    identities: list[Identity] = []
    orphans: list[tuple[Profile, tuple[OrphanKey, ...]]] = []
    reunited: list[tuple[Identity, Profile | None]] = []
    for one in readings:
        identities += _own(one, given)
        found, rest = _brought_together(one, every, reader)
        reunited += found
        identities += [i for i, _ in found if i.certificate.sha256 not in every.paired]
        if rest:
            orphans.append((one.profile, rest))
    if given and all(i.certificate.sha256 != given[0].sha256 for i in identities):
        identities.append(Identity(None, given[0], every.chains.of(given[0])))
    # Where only this brought a certificate and its key together, the certificate alone is no more.
    alone = {i.certificate.sha256 for i, _ in reunited} - every.paired
    return Inventory(
        tuple(
            i
            for i in identities
            if i.certificate.has_private_key or i.certificate.sha256 not in alone
        ),
        failures,
        tuple((one.profile, note) for one in readings for note in one.notes),
        tuple(orphans),
        tuple(reunited),
    )


@dataclass(frozen=True, slots=True)
class _Certificates:
    """All certificates there are, from profiles and from files.

    Attributes:
        chains: those that there are among all of them.
        sources: each once, with the profile it lies in (None for a file): one where it has its
            key beside it, else the first of the profiles, else the file.
        paired: the fingerprints of those that have their key beside them somewhere.
    """

    chains: Chains
    sources: tuple[tuple[StoredCertificate, Profile | None], ...]
    paired: frozenset[str]

    @classmethod
    def of(cls, readings: Sequence[_Reading], given: Sequence[StoredCertificate]) -> _Certificates:
        """Those of the profiles, in their order, and those given."""
        lying: list[tuple[StoredCertificate, Profile | None]] = [
            (certificate, one.profile) for one in readings for certificate in one.certificates
        ]
        paired = [each for each in lying if each[0].has_private_key]
        sources: dict[str, tuple[StoredCertificate, Profile | None]] = {}
        for certificate, profile in (*paired, *lying, *((each, None) for each in given[:1])):
            sources.setdefault(certificate.sha256, (certificate, profile))
        return cls(
            Chains((*(certificate for certificate, _ in lying), *given)),
            tuple(sources.values()),
            frozenset(certificate.sha256 for certificate, _ in paired),
        )


def _own(reading: _Reading, given: Sequence[StoredCertificate]) -> tuple[Identity, ...]:
    """What a store holds by itself; the chain of the certificate given may come from its file."""
    return tuple(
        replace(each, chain=find_chain(each.certificate, (*reading.certificates, *given)))
        if given and each.certificate.sha256 == given[0].sha256
        else each
        for each in assemble(reading.profile, reading.certificates)
    )


def _brought_together(
    reading: _Reading, every: _Certificates, reader: Engine
) -> tuple[list[tuple[Identity, Profile | None]], tuple[OrphanKey, ...]]:
    """The keys of a profile with their certificates from elsewhere, and the keys that have none."""
    public_keys = reading.public_keys
    beside = {c.sha256 for c in reading.certificates if c.has_private_key}
    elsewhere = [(c, source) for c, source in every.sources if c.sha256 not in beside]
    matches = _orphans_of(reading, [certificate for certificate, _ in elsewhere], reader)
    found = [
        (_reunited(reading.profile, certificate, every.chains), source)
        for (certificate, source), orphan in zip(elsewhere, matches, strict=True)
        # A certificate renewed on the same key may lie where the key is not, or in a file.
        if orphan is not None
        or (certificate.sha256 not in every.paired and certificate.public_key in public_keys)
    ]
    matched = set(matches)
    return found, tuple(orphan for orphan in reading.orphans if orphan not in matched)


def _orphans_of(
    reading: _Reading, certificates: Sequence[StoredCertificate], reader: Engine
) -> list[OrphanKey | None]:
    """For each certificate the orphan key of this profile that is its own, or None."""
    nothing: list[OrphanKey | None] = [None] * len(certificates)
    if not reading.orphans or not certificates:
        return nothing
    try:
        with reader.open(reading.profile) as store:
            return [store.orphan_of(certificate) for certificate in certificates]
    except NssBackupError:  # it could be read a moment ago: the keys stay orphans
        return nothing


def _reunited(profile: Profile, certificate: StoredCertificate, chains: Chains) -> Identity:
    return Identity(profile, replace(certificate, has_private_key=True), chains.of(certificate))
