"""The profiles of one user, what they hold, and what could not be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath

from nssbackup.batch.obstacles import leads_out, obstacles, unreadable
from nssbackup.batch.options import BatchOptions
from nssbackup.batch.state import hash_databases
from nssbackup.batch.users import Source, User
from nssbackup.errors import NoProfileError, NssBackupError
from nssbackup.identity.choosing import matching
from nssbackup.identity.model import Identity, Profile
from nssbackup.profiles import System, applications_named, find_left_behind
from nssbackup.profiles.folder import store_in
from nssbackup.profiles.locate import UNKNOWN_APPLICATION, search_home, unlisted_profile
from nssbackup.stores.inventory import Inventory, take_inventory
from nssbackup.system.ownership import as_owner

_FIREFOX = "Firefox"


@dataclass(frozen=True, slots=True)
class Failure:
    """A home, a profile or another folder that could not be read."""

    error: NssBackupError
    source: Source
    profile: Profile | None = None
    folder: Path | None = None


@dataclass(slots=True)
class UserSearch:
    """What a user has.

    Attributes:
        profiles: in the order of their rank, home by home.
        sources: where each profile was found, those that a refresh left behind included.
        failures: what could not be read.
        notes: what an administrator should know that is no failure.
        databases: the hash of each profile's databases before they were read.
    """

    options: BatchOptions
    profiles: list[Profile] = field(default_factory=list)
    sources: dict[Path, Source] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    notes: list[tuple[Source, str]] = field(default_factory=list)
    databases: dict[str, str] = field(default_factory=dict)
    _systems: list[tuple[Source, System]] = field(default_factory=list)
    _applications: frozenset[str] = frozenset()
    _left_behind: list[Profile] | None = None

    @classmethod
    def of(cls, user: User, options: BatchOptions) -> UserSearch:
        """Search all of a user's homes and folders; no database is opened yet."""
        wanted = options.applications and applications_named(options.applications)
        search = cls(options, _applications=frozenset(wanted))
        for source in user.sources:
            with as_owner(source.path):
                try:
                    search._search(source)
                except OSError as error:
                    search.failures.append(Failure(unreadable(source.path, error), source))
                except NssBackupError as error:
                    search.failures.append(Failure(error, source))
        search.databases = hash_databases(search.profiles)
        return search

    def source_of(self, profile: Profile | None) -> Source:
        """Return where a profile was found."""
        known = self.sources.get(profile.path) if profile else None
        return known or next(iter(self.sources.values()))

    @property
    def searched_left_behind(self) -> bool:
        """Whether profiles that a refresh left behind were searched for."""
        return self._left_behind is not None

    def inventory(self) -> Inventory | None:
        """Read the profiles; None if there is none, or none could be read."""
        try:
            inventory = take_inventory(
                self.profiles, self.options.engine, left_behind=self.left_behind
            )
        except NoProfileError:
            return None
        except NssBackupError as error:
            # None could be read, and this is what the first one said.
            for profile in self.profiles:
                if profile.store is not None:
                    own = self._error_of(profile) or error
                    self.failures.append(Failure(own, self.source_of(profile), profile))
            return None
        known = {failure.folder for failure in self.failures}
        for failure in inventory.failures:
            if failure.profile.path in known:  # a closed folder
                continue
            source = self.source_of(failure.profile)
            self.failures.append(Failure(failure.error, source, failure.profile))
        return inventory

    def left_behind(self) -> Sequence[Profile]:
        """Find the profiles that a refresh left behind in the homes, and hash their databases."""
        if self._left_behind is None:
            self._left_behind = []
            if self._counts(_FIREFOX):
                for source, system in self._systems:
                    with as_owner(source.path):
                        try:
                            self._left_behind += self._add(find_left_behind(system), source)
                        except NssBackupError as error:
                            self.failures.append(Failure(error, source))
            self.databases.update(hash_databases(self._left_behind))
        return self._left_behind

    def _search(self, source: Source) -> None:
        with os.scandir(source.path):
            pass
        system = source.system
        if source.is_home:
            self._search_home(source, system)
        else:
            self._look_at_profile(source, system)

    def _look_at_profile(self, source: Source, system: System) -> None:
        profile = unlisted_profile(source.path, UNKNOWN_APPLICATION, system)
        self.profiles += self._add([profile], source)
        if profile.store is None and store_in(source.path) is not None:
            self.failures.append(Failure(leads_out(source.path), source, profile))

    def _search_home(self, source: Source, system: System) -> None:
        self._systems.append((source, system))
        found = search_home(system)
        wanted = [one for one in found.profiles if self._counts(one.application)]
        self.profiles += self._add(wanted, source)
        for profile in found.links_out:
            if self._counts(profile.application):
                self.failures.append(Failure(leads_out(profile.path), source, profile))
        hidden = obstacles(system)
        for link, applications in hidden.links_out.items():
            if any(map(self._counts, applications)):
                self.failures.append(Failure(leads_out(link), source, folder=link))
        for folder, error in hidden.closed.items():
            self.failures.append(Failure(unreadable(folder, error), source, folder=folder))
        self._note_elsewhere(
            [path for path, name in found.elsewhere.items() if self._counts(name)], source
        )

    def _counts(self, application: str) -> bool:
        return not self._applications or application in self._applications

    def _add(self, profiles: Iterable[Profile], source: Source) -> list[Profile]:
        new = [one for one in profiles if one.path not in self.sources]
        self.sources.update({one.path: source for one in new})
        return new

    def _note_elsewhere(self, folders: Sequence[PurePath], source: Source) -> None:
        """Tell of listed folders outside a home; they may be another machine's."""
        if folders:
            more = f" and {len(folders) - 1} more" if len(folders) > 1 else ""
            note = (
                f"a list of profiles of `{source.user}` names `{folders[0]}`{more}, outside the"
                " home: it was not searched; if a profile is there, name it as another ROOT"
            )
            self.notes.append((source, note))

    def _error_of(self, profile: Profile) -> NssBackupError | None:
        try:
            take_inventory([profile], self.options.engine)
        except NssBackupError as error:
            return error
        return None


def select(
    inventory: Inventory, options: BatchOptions, now: datetime | None = None
) -> tuple[tuple[Identity, ...], tuple[Identity, ...]]:
    """Return the identities to back up, and the expired ones that nothing newer replaces.

    Each certificate comes once, in the order of the profiles: the copy in a default profile if
    there is one.
    """
    now = now or datetime.now(UTC)
    chosen: dict[str, Identity] = {}
    for identity in _wanted(
        [one for one in inventory.identities if one.certificate.has_private_key], options
    ):
        digest = identity.certificate.sha256
        if digest not in chosen or (_is_default(identity) and not _is_default(chosen[digest])):
            chosen[digest] = identity
    if options.expired:
        return tuple(chosen.values()), ()
    ended = [one for one in chosen.values() if one.certificate.status(now) == "expired"]
    lasting = [one for one in chosen.values() if one not in ended]
    newer = {purpose_of(one) for one in lasting}
    return tuple(lasting), tuple(one for one in ended if purpose_of(one) not in newer)


def purpose_of(identity: Identity) -> str:
    """Return what renewals have in common: subject and key usage."""
    certificate = identity.certificate
    return f"{certificate.subject}\n{', '.join(certificate.key_usage)}"


def _wanted(usable: Sequence[Identity], options: BatchOptions) -> Sequence[Identity]:
    if options.certificates:
        named = {
            identity.certificate.sha256
            for text in options.certificates
            for identity in matching(usable, text)
        }
        return [identity for identity in usable if identity.certificate.sha256 in named]
    if options.all_issuers:
        return usable
    return [identity for identity in usable if identity.wipo and not identity.certificate.is_ca]


def _is_default(identity: Identity) -> bool:
    return identity.profile is not None and identity.profile.default
