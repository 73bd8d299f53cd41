"""Work: what is done for one user, each failure an item of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from nssbackup.backups.outputs import default_name
from nssbackup.batch import state as states
from nssbackup.batch.discovery import Discovery
from nssbackup.batch.making import Maker
from nssbackup.batch.naming import unused_name
from nssbackup.batch.orders import Orders
from nssbackup.batch.placing import Pending, place
from nssbackup.batch.report import BatchItem, Outcome
from nssbackup.batch.rows import about, failed, item_of
from nssbackup.batch.selection import Chosen, select
from nssbackup.batch.state import Kept, State
from nssbackup.batch.users import User
from nssbackup.diagnosis.warnings import EXPIRY_NOTICE, identity_warnings
from nssbackup.errors import NssBackupError
from nssbackup.identity.model import Identity, PrivateKey, Profile
from nssbackup.system.ownership import homes_of

# Where no certificate changes by time alone.
_FAR_AWAY = 10.0 * 365 * 86_400


def back_up_user(user: User, orders: Orders) -> Outcome:
    """Back up what there is of a user; root reads it with that user's rights."""
    with homes_of(user.places):
        return _back_up(user, orders)


def _back_up(user: User, orders: Orders) -> Outcome:
    path = states.state_path(orders.folder, user.folder)
    before = states.load(path) or State("")
    found = Discovery.of(user, orders)
    files = _Files(user, orders, found, before.files)
    for failure in found.failures:
        item = item_of(orders.host, failure.member, failure.profile)
        if failure.folder is not None:
            item = replace(item, profile=failure.folder)
        files.items.append(failed(item, failure.error))
    chosen = select(found.inventory, orders) if found.inventory else ()
    for each in chosen:
        files.prepare(each)
    items = files.items
    keyless = _keyless(orders, found)
    notes = (*found.notes, *(_key_missing(user, one) for one in keyless))
    if not orders.dry_run and (found.profiles or before.files):
        after = files.state((*(each.identity for each in chosen), *keyless), notes)

        def save() -> None:
            # When it was last looked is worth no writing, unless it is to be looked less often.
            if after != replace(before, looked=after.looked) or after.facts:
                states.save(path, after)

        items = [*items, *place(files.pending, user.folder, orders, save)]
    return Outcome(tuple(items), notes, len(found.profiles))


@dataclass(slots=True)
class _Files:
    """The files of a user: those that are there, and those that are to be written."""

    user: User
    orders: Orders
    found: Discovery
    known: Mapping[str, Kept]
    items: list[BatchItem] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)
    selected: list[str] = field(default_factory=list)
    updated: dict[str, Kept] = field(default_factory=dict)
    _taken: set[str] | None = None

    def prepare(self, chosen: Chosen) -> None:
        """Make the files of an identity, as far as they are to be written."""
        identity, inventory = chosen.identity, self.found.inventory
        member = self.found.owner_of(identity.profile) or self.user.members[0]
        maker = Maker(self.orders, member.user)
        warnings = [*identity_warnings(identity)]
        if inventory is not None:
            warnings += inventory.notes_on(identity)
            warnings += [note for profile, note in inventory.notes if profile == identity.profile]
        row = about(item_of(self.orders.host, member, identity.profile), identity, warnings)
        source: tuple[PrivateKey, Profile | None] | None = None
        for format_name in self.orders.formats:
            key = f"{identity.certificate.sha256}.{format_name}"
            content = maker.content_of(identity, format_name)
            kept = self.known.get(key)
            if kept is not None and self._is_done(kept, content):
                item = self._unchanged(kept, chosen, row)
                self.items.append(item)
                self.updated[key] = replace(kept, item=item.to_json())
                self.selected.append(key)
                continue
            name = kept.file if kept else self._new_name(identity, format_name)
            item = replace(row, file=f"{self.user.folder}/{name}")
            try:
                if source is None:
                    private, profile, notes = maker.key_of(chosen.copies)
                    source = private, profile
                    warnings += notes
                private, profile = source
                identity = replace(identity, profile=profile)
                password = maker.password_of(identity)
                if self.orders.dry_run:
                    self.items.append(replace(item, status="planned"))
                    continue
                pfx = maker.pfx(identity, private, password, format_name)
            except NssBackupError as error:
                self.items.append(failed(row, error))
                continue
            taken_from = self.found.owner_of(profile) or member
            row = about(item_of(self.orders.host, taken_from, profile), identity, warnings)
            item = replace(
                row, status="backed-up", file=item.file, sha256=pfx.sha256, size=len(pfx.data)
            )
            new = Kept(name, pfx.sha256, len(pfx.data), content, item.to_json())
            self.updated[key] = new
            self.pending.append(Pending(new, pfx, item, replaces=kept is not None))
            self.selected.append(key)

    def state(self, identities: Iterable[Identity], notes: tuple[str, ...]) -> State:
        """What the next run is to know, as long as time changes none of these identities."""
        now = time.time()
        # What failed is tried again; for the rest the hashes of the files speak.
        settled = all(item.status != "failed" for item in self.items)
        return State(
            wanted=self.orders.wanted,
            places=self.user.places,
            facts=self.found.facts if settled else {},
            looked=now,
            until=min([now + _FAR_AWAY, *(_change(one, now) for one in identities)]),
            selected=tuple(self.selected),
            files={**self.known, **self.updated},
            notes=notes,
        )

    def _is_done(self, kept: Kept, content: str) -> bool:
        folder = self.orders.folder / self.user.folder
        wanted = kept.content == content and not self.orders.force
        return wanted and states.is_intact(str(folder), kept)

    def _unchanged(self, kept: Kept, chosen: Chosen, row: BatchItem) -> BatchItem:
        """The row of a file that is there, under the profile that its key came from."""
        item = row
        for copy in chosen.copies[1:]:
            if copy.profile is not None and str(copy.profile.path) == kept.item["profile"]:
                member = self.found.owner_of(copy.profile) or self.user.members[0]
                item = about(item_of(row.host, member, copy.profile), copy, row.warnings)
        file = f"{self.user.folder}/{kept.file}"
        return replace(item, status="unchanged", file=file, sha256=kept.sha256, size=kept.size)

    def _new_name(self, identity: Identity, format_name: str) -> str:
        name = default_name(identity)
        if format_name != self.orders.formats[0]:
            stem, dot, ending = name.rpartition(".")
            name = f"{stem}.{format_name}{dot}{ending}"
        if self._taken is None:
            self._taken = self._names_there()
        name = unused_name(name, identity.certificate.sha256, self._taken)
        self._taken.add(name.casefold())
        return name

    def _names_there(self) -> set[str]:
        """The names that can't be given: this user's files, and what others put beside them."""
        names = {kept.file for kept in self.known.values()}
        with contextlib.suppress(OSError):  # there is no folder yet
            folder = self.orders.folder / self.user.folder
            names.update(entry.name for entry in folder.iterdir())
        return {name.casefold() for name in names}


def _change(identity: Identity, now: float) -> float:
    """When time alone changes what is said of an identity, or whether it is backed up."""
    certificate = identity.certificate
    moments = (certificate.not_before, certificate.not_after - EXPIRY_NOTICE, certificate.not_after)
    times = (moment.timestamp() for moment in moments)
    return min((each for each in times if each > now), default=now + _FAR_AWAY)


def _keyless(orders: Orders, found: Discovery) -> list[Identity]:
    """WIPO certificates without their keys: nothing to back up, but somebody may look for it."""
    identities = found.inventory.identities if found.inventory and not orders.certificates else ()
    with_key = {one.certificate.sha256 for one in identities if one.certificate.has_private_key}
    now = datetime.now(UTC)
    keyless = {
        one.certificate.sha256: one
        for one in identities
        if one.wipo and not one.certificate.is_ca and one.certificate.status(now) != "expired"
    }
    return [one for digest, one in keyless.items() if digest not in with_key]


def _key_missing(user: User, identity: Identity) -> str:
    who = identity.display_name
    return (
        f"the private key of the WIPO certificate of `{who}` is in no profile of"
        f" `{user.folder}`: `nssbackup doctor` on that computer says why"
    )
