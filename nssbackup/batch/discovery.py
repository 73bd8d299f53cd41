"""Discovery: what a user's homes and folders hold, what could not be read, and what to watch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from nssbackup.batch.facts import Facts, facts_of
from nssbackup.batch.orders import Orders
from nssbackup.batch.users import Member, User, unreadable
from nssbackup.batch.watch import MOST_PATHS, Watch, databases_of
from nssbackup.errors import NoProfileError, NssBackupError, UnreadableStoreError
from nssbackup.identity.model import Profile
from nssbackup.profiles import System, applications_named, find_left_behind
from nssbackup.profiles.folder import store_in
from nssbackup.profiles.locate import UNKNOWN_APPLICATION, search_home, unlisted_profile
from nssbackup.stores.inventory import Inventory, take_inventory
from nssbackup.system.ownership import as_owner

_FIREFOX = "Firefox"


@dataclass(frozen=True, slots=True)
class Failure:
    """A home, a folder or a profile that could not be read."""

    error: NssBackupError
    member: Member
    profile: Profile | None = None
    folder: str | None = None


@dataclass(slots=True)
class Discovery:
    """What there is of a user.

    Attributes:
        orders: say which applications count.
        profiles: in the order of their rank, home by home.
        owners: whose each profile is, those that a refresh left behind included.
        failures: what could not be read.
        inventory: what the profiles hold; None for nothing.
        notes: what somebody should know that is no failure.
    """

    orders: Orders
    profiles: list[Profile] = field(default_factory=list)
    owners: dict[Path, Member] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    inventory: Inventory | None = None
    notes: list[str] = field(default_factory=list)
    _facts: dict[str, str] | None = field(default_factory=dict)
    _searches: list[tuple[Member, Watch]] = field(default_factory=list)

    @classmethod
    def of(cls, user: User, orders: Orders) -> Discovery:
        """Look into all of a user's homes and folders, and read the profiles."""
        found = cls(orders)
        with as_owner():
            for member in user.members:
                found._look_into(member)
            found._note(databases_of(found.profiles))
        found._read()
        return found

    @property
    def facts(self) -> Facts:
        """What has to stay as it is for all of this to stay so; empty if that can't be told."""
        return {} if self._facts is None or self.failures else self._facts

    def owner_of(self, profile: Profile | None) -> Member | None:
        """Whose a profile is."""
        return self.owners.get(profile.path) if profile else None

    def _look_into(self, member: Member) -> None:
        try:
            with os.scandir(member.path):
                pass
        except OSError as error:
            self.failures.append(Failure(unreadable(member.path, error), member))
            return
        system = System.of_home(member.path)
        if not member.home:
            self._note([str(member.path)])
            profile = unlisted_profile(member.path, UNKNOWN_APPLICATION, system)
            self._add([profile], member)
            if profile.store is None and store_in(member.path) is not None:
                self.failures.append(Failure(_elsewhere(member.path), member, profile))
            return
        # How it was has to be known before it is looked at.
        watch = Watch.of_search(system)
        self._note(watch.paths if watch.small else None)
        self._searches.append((member, watch))
        wanted = applications_named(self.orders.applications)
        found = search_home(system)
        self._add(
            [one for one in found.profiles if not wanted or one.application in wanted], member
        )
        for stray in found.links_out:
            if not wanted or stray.application in wanted:
                self.failures.append(Failure(_elsewhere(stray.path), member, stray))
        for link, applications in watch.outside.items():
            if not wanted or applications & wanted:
                self.failures.append(Failure(_elsewhere(Path(link)), member, folder=link))
        self._note_absent(found.absent)
        self._tell_of(
            [one for one, name in found.elsewhere.items() if not wanted or name in wanted], member
        )
        for folder, reason in watch.closed.items():
            self.failures.append(Failure(unreadable(Path(folder), reason), member, folder=folder))

    def _add(self, profiles: Iterable[Profile], member: Member) -> list[Profile]:
        new = [one for one in profiles if one.path not in self.owners]
        self.owners.update({one.path: member for one in new})
        self.profiles += new
        return new

    def _note(self, paths: Iterable[str] | None) -> None:
        """Take the facts of some paths down; None for more than can be watched."""
        known = None if paths is None or self._facts is None else facts_of(paths)
        self._facts = None if known is None or self._facts is None else {**self._facts, **known}

    def _note_absent(self, folders: Iterable[Path]) -> None:
        """Take down that listed folders are not there; one that has come since was not searched."""
        absent = [str(folder) for folder in folders]
        many = len(absent) > MOST_PATHS
        self._note(None if many or any(map(os.path.lexists, absent)) else absent)

    def _tell_of(self, folders: Sequence[PurePath], member: Member) -> None:
        """Folders that lists name outside a home are not touched: they may be other computers'."""
        if folders:
            more = f" and {len(folders) - 1} more" if len(folders) > 1 else ""
            self.notes.append(
                f"a list of profiles of `{member.user}` names `{folders[0]}`{more}, outside the"
                " home: if a profile is there, name it as a ROOT of its own"
            )

    def _read(self) -> None:
        profiles = tuple(self.profiles)
        try:
            self.inventory = take_inventory(
                profiles, self.orders.engine, left_behind=self._left_behind
            )
        except NoProfileError:
            return
        except NssBackupError as error:
            # Not one could be read, and this is what the first one said.
            for profile in self.profiles:
                if profile.store is not None:
                    own = self._error_of(profile) or error
                    self.failures.append(Failure(own, self.owners[profile.path], profile))
            return
        for failure in self.inventory.failures:
            member = self.owners[failure.profile.path]
            self.failures.append(Failure(failure.error, member, failure.profile))

    def _error_of(self, profile: Profile) -> NssBackupError | None:
        try:
            take_inventory([profile], self.orders.engine)
        except NssBackupError as error:
            return error
        return None

    @as_owner()
    def _left_behind(self) -> Sequence[Profile]:
        """What a refresh left behind in the homes; asked for where something is missing."""
        wanted = applications_named(self.orders.applications)
        found: list[Profile] = []
        if wanted and _FIREFOX not in wanted:
            return found
        for member, watch in self._searches:
            watch.add_left_behind()
            self._note(watch.paths if watch.small else None)
            found += self._add(find_left_behind(watch.system), member)
        self._note(databases_of(found))
        return found


def _elsewhere(path: Path) -> NssBackupError:
    message = f"`{path}`, or a file in it, is a link out of the home, which is not followed"
    hint = "name the folder that it leads to as a ROOT of its own"
    return UnreadableStoreError(message, hint=hint)
