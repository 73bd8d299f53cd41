"""Inventory: the identities of several profiles, each profile read in isolation.

A certificate and its key can lie in different profiles: *Refresh Firefox* keeps key4.db and drops
cert9.db, and people import a certificate into another profile than the one that made the key.
Such pairs are joined here by their public key and called split identities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from nssbackup.errors import NoProfileError, NssBackupError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.chain import Chains
from nssbackup.identity.choosing import assemble
from nssbackup.identity.model import Identity, OrphanKey, Profile
from nssbackup.profiles.folder import closed_folder
from nssbackup.report import ReadFailure
from nssbackup.stores import Engine, EngineName, engine_named

# As many profiles as a message names.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class SplitIdentity:
    """An identity whose key and certificate lie in different places.

    Attributes:
        identity: its profile is the one with the key.
        certificate_in: the profile with the certificate; None if that came from a file.
    """

    identity: Identity
    certificate_in: Profile | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What several profiles hold, and which of them could not be read.

    Attributes:
        identities: in the order of the profiles.
        failures: the profiles that could not be read.
        notes: what was skipped in a profile.
        orphans: the private keys of a profile whose certificate is in none of the profiles.
        split: the split identities. They are among `identities` too, unless the certificate also
            has its key beside it in some profile: then the other key is a mere copy.
    """

    identities: tuple[Identity, ...]
    failures: tuple[ReadFailure, ...]
    notes: tuple[tuple[Profile, str], ...]
    orphans: tuple[tuple[Profile, tuple[OrphanKey, ...]], ...] = ()
    split: tuple[SplitIdentity, ...] = ()

    def notes_on(self, identity: Identity) -> tuple[str, ...]:
        """Say where the parts of a split identity come from."""
        return tuple(
            f"the key is from profile `{split.identity.profile.name}`, the certificate from"
            f" {f'`{split.certificate_in.path}`' if split.certificate_in else 'the file given'}"
            for split in self.split
            if split.identity == identity and split.identity.profile is not None
        )

    def copies_of(self, identity: Identity) -> tuple[Identity, ...]:
        """Return the same identity in other profiles, to be read if this one can't be."""
        return tuple(
            one
            for one in dict.fromkeys((*self.identities, *(split.identity for split in self.split)))
            if one.certificate.has_private_key
            and one.certificate.sha256 == identity.certificate.sha256
            and one.profile != identity.profile
        )


def no_more_profiles() -> Sequence[Profile]:
    """Return no profiles: the default of `left_behind`."""
    return ()


def take_inventory(
    profiles: Sequence[Profile],
    engine: EngineName = "auto",
    *,
    given: Sequence[StoredCertificate] = (),
    left_behind: Callable[[], Sequence[Profile]] = no_more_profiles,
) -> Inventory:
    """Read the identities of profiles; no password is needed.

    Args:
        profiles: where to look, in order of preference. Those without databases are ignored,
            those that may not be looked into are failures.
        engine: what reads the stores.
        given: certificates from a file. The key of the first one is looked for, and that one is
            among the identities even if no profile has its key. The others may be in its chain.
        left_behind: returns more profiles to look in; called if the first ones hold no
            certificate with its key, a key or certificate alone, or not the key of the one given.

    Raises:
        NoProfileError: there is no profile, or none with a database.
        NssBackupError: none of the profiles could be read; the error of the first.
        EngineUnavailableError: the engine is not available here.
    """
    reader = engine_named(engine)
    readings = [_read(one, reader) for one in profiles if one.store or one.closed]
    if not _is_enough(readings, given):
        known = {profile.path for profile in profiles}
        readings += [
            _read(profile, reader)
            for profile in left_behind()
            if profile.store and profile.path not in known
        ]
    if not readings:
        message = "no profile was found"
        if profiles:
            names = ", ".join(f"`{one.path}`" for one in profiles[:_NAMED])
            more = f" and {len(profiles) - _NAMED} more" if len(profiles) > _NAMED else ""
            message = f"there is no NSS database in {names}{more}"
        raise NoProfileError(
            message, hint="name the folder that holds cert9.db and key4.db with `--profile PATH`"
        )
    failures = tuple(ReadFailure(one.profile, one.error) for one in readings if one.error)
    if len(failures) == len(readings):
        raise failures[0].error
    return _assembled(readings, failures, given, reader)


def primary_password_set(profile: Profile) -> bool | None:
    """Tell whether a profile has a primary password; None if unknown."""
    if profile.store is None:
        return None
    try:
        with engine_named("auto").open(profile) as store:
            return store.needs_password()
    except NssBackupError:
        return None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a profile's store holds, or why it could not be read."""

    profile: Profile
    certificates: tuple[StoredCertificate, ...] = ()
    orphans: tuple[OrphanKey, ...] = ()
    notes: tuple[str, ...] = ()
    error: NssBackupError | None = None

    def with_key(self) -> tuple[StoredCertificate, ...]:
        """Return the certificates that have their key beside them."""
        return tuple(one for one in self.certificates if one.has_private_key)

    def public_keys(self) -> frozenset[bytes]:
        """Return the public halves of the keys that have a certificate here."""
        return frozenset(one.public_key for one in self.with_key() if one.public_key)


def _read(profile: Profile, reader: Engine) -> _Reading:
    if profile.closed:
        return _Reading(profile, error=closed_folder(profile.path))
    try:
        with reader.open(profile) as store:
            return _Reading(profile, store.certificates(), store.orphan_keys(), store.notes())
    except NssBackupError as error:
        return _Reading(profile, error=error)


def _is_enough(readings: Sequence[_Reading], given: Sequence[StoredCertificate]) -> bool:
    """Tell whether nothing is missing that other profiles may hold."""
    if given and not any(given[0].public_key in one.public_keys() for one in readings):
        return False
    if any(one.orphans for one in readings):
        return False
    own = {c.sha256 for one in readings for c in one.certificates if not c.is_ca}
    return bool(own) and own <= {c.sha256 for one in readings for c in one.with_key()}


def _assembled(
    readings: Sequence[_Reading],
    failures: tuple[ReadFailure, ...],
    given: Sequence[StoredCertificate],
    reader: Engine,
) -> Inventory:
    paired = {c.sha256 for one in readings for c in one.with_key()}
    chains = Chains((*(c for one in readings for c in one.certificates), *given))
    sources = _sources(readings, given)
    identities: list[Identity] = []
    orphans: list[tuple[Profile, tuple[OrphanKey, ...]]] = []
    split: list[SplitIdentity] = []
    for one in readings:
        identities += _own(one, given, chains)
        joined = _joined(one, sources, paired, reader)
        for certificate, source, _ in joined:
            whole = replace(certificate, has_private_key=True)
            found = chains.identity(one.profile, whole)
            split.append(SplitIdentity(found, source))
            if certificate.sha256 not in paired:
                identities.append(found)
        matched = {orphan for *_, orphan in joined}
        if rest := tuple(orphan for orphan in one.orphans if orphan not in matched):
            orphans.append((one.profile, rest))
    if given and all(i.certificate.sha256 != given[0].sha256 for i in identities):
        identities.append(chains.identity(None, given[0]))
    # A certificate that was joined with its key is not shown a second time without it.
    whole_now = {each.identity.certificate.sha256 for each in split} - paired
    return Inventory(
        tuple(
            i
            for i in identities
            if i.certificate.has_private_key or i.certificate.sha256 not in whole_now
        ),
        failures,
        tuple((one.profile, note) for one in readings for note in one.notes),
        tuple(orphans),
        tuple(split),
    )


_Source = tuple[StoredCertificate, Profile | None]


def _sources(
    readings: Sequence[_Reading], given: Sequence[StoredCertificate]
) -> tuple[_Source, ...]:
    """Return each certificate once, with the profile it lies in (None for the file).

    That is a profile where it has its key, else the first of the profiles, else the file.
    """
    lying: list[_Source] = [(c, one.profile) for one in readings for c in one.certificates]
    lying.sort(key=lambda each: not each[0].has_private_key)
    sources: dict[str, _Source] = {}
    for certificate, profile in (*lying, *((each, None) for each in given[:1])):
        sources.setdefault(certificate.sha256, (certificate, profile))
    return tuple(sources.values())


def _own(
    reading: _Reading, given: Sequence[StoredCertificate], chains: Chains
) -> Iterator[Identity]:
    """Iterate over a store's own identities; the chain of the one given may be in its file."""
    for identity in assemble(reading.profile, reading.certificates):
        if given and identity.certificate.sha256 == given[0].sha256:
            with_file = Chains((*reading.certificates, *given))
            yield with_file.identity(reading.profile, identity.certificate)
        elif identity.signature == "unchecked":  # its issuer may be in another profile
            signature = chains.identity(None, identity.certificate).signature
            yield replace(identity, signature=signature)
        else:
            yield identity


def _joined(
    reading: _Reading, sources: Sequence[_Source], paired: set[str], reader: Engine
) -> list[tuple[StoredCertificate, Profile | None, OrphanKey | None]]:
    """Return the certificates from elsewhere whose key is in this profile, each with that key.

    The key is None if it has another certificate here: a renewal on the same key can lie in
    another profile or in a file.
    """
    public_keys = reading.public_keys()
    beside = {c.sha256 for c in reading.with_key()}
    elsewhere = [each for each in sources if each[0].sha256 not in beside]
    keys: Sequence[OrphanKey | None] = [None] * len(elsewhere)
    if reading.orphans and elsewhere:
        try:
            with reader.open(reading.profile) as store:
                keys = [store.orphan_of(certificate) for certificate, _ in elsewhere]
        except NssBackupError:  # it could be read a moment ago; its keys stay orphans
            pass
    return [
        (certificate, source, key)
        for (certificate, source), key in zip(elsewhere, keys, strict=True)
        if key is not None
        or (certificate.sha256 not in paired and certificate.public_key in public_keys)
    ]
