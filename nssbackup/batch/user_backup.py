"""The backup of one user, where each failure is an item of its own."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from nssbackup.backups.writing import default_name
from nssbackup.batch.home_results import (
    home_results,
    missing_homes,
    updated_records,
    with_missing,
    with_notes,
)
from nssbackup.batch.layout import unused_name
from nssbackup.batch.options import BatchOptions, hash_of
from nssbackup.batch.pfx_files import (
    PendingFile,
    backup_password,
    content_hash,
    encode_pfx,
    failed,
    find_key,
    write_files,
)
from nssbackup.batch.report import BatchItem, HomeResult
from nssbackup.batch.search import UserSearch, purpose_of, select
from nssbackup.batch.state import LastRun, State, WrittenBackup, load, save, state_path
from nssbackup.batch.users import Source, User
from nssbackup.diagnosis.selection import EXPIRY_NOTICE, identity_warnings
from nssbackup.errors import NssBackupError
from nssbackup.identity.choosing import check_genuine
from nssbackup.identity.model import Identity, PrivateKey, Profile
from nssbackup.profiles.locate import UNKNOWN_APPLICATION
from nssbackup.report import identity_json
from nssbackup.stores.inventory import Inventory
from nssbackup.system.ownership import homes_of

_FAR_AWAY = 10.0 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a user: items and homes for the report."""

    items: tuple[BatchItem, ...] = ()
    homes: tuple[HomeResult, ...] = ()


def back_up_user(user: User, options: BatchOptions) -> Outcome:
    """Back up what a user has; root reads it with that user's rights."""
    with homes_of(str(source.owned) for source in user.sources):
        path = state_path(options.folder, user.folder)
        before = load(path)
        search = UserSearch.of(user, options)
        if (last := before.last_run) and _is_still_true(last, before, search, user):
            return Outcome(
                tuple(
                    replace(one, host=options.host, status="unchanged")
                    if one.status == "backed-up"
                    else replace(one, host=options.host)
                    for one in last.items
                ),
                tuple(replace(one, host=options.host) for one in last.homes),
            )
        return _back_up(user, search, before, path)


def failed_user(user: User, host: str, error: NssBackupError) -> Outcome:
    """Return an item and a home for each source of a user that could not be backed up at all."""
    return Outcome(
        tuple(failed(new_item(host, source, None), error) for source in user.sources),
        tuple(
            HomeResult(host, str(source.path), source.user, 0, 0, "failed")
            for source in user.sources
        ),
    )


def new_item(host: str, source: Source, profile: Profile | None) -> BatchItem:
    """Return an item about a profile, or about a source as a whole, to be completed."""
    path = str(source.path)
    item = BatchItem("failed", host, source.user, home=path if source.is_home else None)
    if profile is None:
        return item if source.is_home else replace(item, profile=path)
    known = profile.application != UNKNOWN_APPLICATION
    return replace(
        item,
        application=profile.application if known else None,
        profile=str(profile.path),
        profile_name=profile.name,
    )


def _context(user: User, options: BatchOptions) -> str:
    paths = [str(source.path) for source in user.sources]
    return hash_of(options.fingerprint, user.roots, paths)


def _is_still_true(last: LastRun, state: State, search: UserSearch, user: User) -> bool:
    """Tell whether a run now would have the same result: the same databases and files."""
    options = search.options
    if options.force or last.context != _context(user, options) or time.time() >= last.until:
        return False
    if last.searched_left_behind:
        search.left_behind()
    folder = options.folder / user.folder
    files = {f"{user.folder}/{one.file}": one for one in state.files.values()}
    kept = [item.file for item in last.items if item.status != "expired" or item.file]
    return (
        not search.failures
        and search.databases == last.databases
        and all(file in files and files[file].is_intact(folder) for file in kept)
    )


def _back_up(user: User, search: UserSearch, before: State, path: Path) -> Outcome:
    options = search.options
    files = _Files(user, search, before)
    inventory = search.inventory()
    chosen, expired = select(inventory, options) if inventory else ((), ())
    for failure in search.failures:
        item = new_item(options.host, failure.source, failure.profile)
        if failure.folder is not None:
            item = replace(item, profile=str(failure.folder))
        files.items.append(failed(item, failure.error))
    for identity in chosen:
        files.prepare(identity, inventory)
    for identity in expired:
        files.leave_out(identity, inventory)
    after = State({**before.files, **files.updated}, before.homes)
    items = tuple(files.items)
    if files.pending:
        items += tuple(write_files(files.pending, user.folder, options, lambda: save(path, after)))
    keyless = _keyless(options, inventory)
    homes, records = home_results(search, user, inventory, (*chosen, *expired), items)
    homes = with_notes(homes, search, inventory, keyless, items)
    records = updated_records(before.homes, records)
    found = {one.certificate.sha256: purpose_of(one) for one in (*chosen, *expired)}
    homes = with_missing(homes, missing_homes(records, options, user.roots, found))
    after = replace(after, homes=records)
    if all(item.status != "failed" for item in items):
        last_run = LastRun(
            context=_context(user, options),
            databases=search.databases,
            searched_left_behind=search.searched_left_behind,
            until=_until((*chosen, *keyless)),
            items=items,
            homes=homes,
        )
        after = replace(after, last_run=last_run)
    if not options.dry_run and (search.profiles or before != State()) and after != before:
        with contextlib.suppress(NssBackupError):  # then the next run reads everything again
            save(path, after)
    return Outcome(items, homes)


@dataclass(slots=True)
class _Files:
    """The files of a user: those that are there, and those that are to be written."""

    user: User
    search: UserSearch
    before: State
    items: list[BatchItem] = field(default_factory=list)
    pending: list[PendingFile] = field(default_factory=list)
    updated: dict[str, WrittenBackup] = field(default_factory=dict)
    _taken: set[str] | None = None

    def prepare(self, identity: Identity, inventory: Inventory | None) -> None:
        """Make the files of an identity, unless they are there already."""
        options = self.search.options
        copies: tuple[Identity, ...] = ()
        warnings = [*identity_warnings(identity)]
        if inventory is not None:
            copies = inventory.copies_of(identity)
            warnings += inventory.notes_on(identity)
            warnings += [note for profile, note in inventory.notes if profile == identity.profile]
        item = self._item(identity, warnings)
        key: PrivateKey | None = None
        for format_name in options.formats:
            place = f"{identity.certificate.sha256}.{format_name}"
            content = content_hash(identity, format_name, options)
            known = self.before.files.get(place)
            if known is not None and self._is_current(known, content):
                self.items.append(self._unchanged(known, (identity, *copies), item))
                continue
            name = known.file if known else self._new_name(identity, format_name)
            user = self.search.source_of(identity.profile).user
            try:
                if key is None:
                    check_genuine(identity, options.certificates)
                    found = find_key(identity, copies, user, options)
                    key, identity = found.key, found.identity
                    item = self._item(identity, [*warnings, *filter(None, [found.note])])
                password = backup_password(identity, user, options)
                item = replace(item, file=f"{self.user.folder}/{name}")
                if options.dry_run:
                    self.items.append(replace(item, status="planned"))
                    continue
                data, expected = encode_pfx(identity, key, password, format_name, options)
            except NssBackupError as error:
                self.items.append(failed(item, error))
                continue
            backup = WrittenBackup.of(name, data, content, item.profile)
            item = replace(item, status="backed-up", sha256=backup.sha256, size=backup.size)
            self.updated[place] = backup
            self.pending.append(
                PendingFile(data, password, expected, backup, item, replaces=known is not None)
            )

    def leave_out(self, identity: Identity, inventory: Inventory | None) -> None:
        """Report an expired identity, with the backup that was made of it earlier."""
        item = replace(self._item(identity, [*identity_warnings(identity)]), status="expired")
        copies = inventory.copies_of(identity) if inventory else ()
        for format_name in self.search.options.formats:
            known = self.before.files.get(f"{identity.certificate.sha256}.{format_name}")
            if known is not None and known.is_intact(self.search.options.folder / self.user.folder):
                item = replace(self._unchanged(known, (identity, *copies), item), status="expired")
        self.items.append(item)

    def _item(self, identity: Identity, warnings: list[str]) -> BatchItem:
        source = self.search.source_of(identity.profile)
        item = new_item(self.search.options.host, source, identity.profile)
        return replace(item, identity=identity_json(identity), warnings=tuple(warnings))

    def _is_current(self, known: WrittenBackup, content: str) -> bool:
        options = self.search.options
        wanted = known.content == content and not options.force
        return wanted and known.is_intact(options.folder / self.user.folder)

    def _unchanged(
        self, known: WrittenBackup, copies: tuple[Identity, ...], item: BatchItem
    ) -> BatchItem:
        """Return the item of a file that is there, under the profile that its key came from."""
        for copy in copies:
            if copy.profile is not None and str(copy.profile.path) == known.profile:
                item = self._item(copy, list(item.warnings))
        file = f"{self.user.folder}/{known.file}"
        return replace(item, status="unchanged", file=file, sha256=known.sha256, size=known.size)

    def _new_name(self, identity: Identity, format_name: str) -> str:
        name = default_name(identity)
        if format_name != self.search.options.formats[0]:
            stem, dot, ending = name.rpartition(".")
            name = f"{stem}.{format_name}{dot}{ending}"
        if self._taken is None:
            self._taken = self._names_there()
        name = unused_name(name, identity.certificate.sha256, self._taken)
        self._taken.add(name.casefold())
        return name

    def _names_there(self) -> set[str]:
        """Return the names in use: this user's files, and what others put beside them."""
        names = {backup.file for backup in self.before.files.values()}
        with contextlib.suppress(OSError):  # there is no folder yet
            folder = self.search.options.folder / self.user.folder
            names.update(entry.name for entry in folder.iterdir())
        return {name.casefold() for name in names}


def _until(identities: tuple[Identity, ...]) -> float:
    """Return when time alone changes what is said of an identity, or whether it is backed up."""
    now = time.time()
    moments = (
        moment.timestamp()
        for one in (identity.certificate for identity in identities)
        for moment in (one.not_before, one.not_after - EXPIRY_NOTICE, one.not_after)
    )
    return min((moment for moment in moments if moment > now), default=now + _FAR_AWAY)


def _keyless(options: BatchOptions, inventory: Inventory | None) -> list[Identity]:
    """Return the WIPO certificates without a key: somebody may miss their backups."""
    identities = inventory.identities if inventory and not options.certificates else ()
    with_key = {one.certificate.sha256 for one in identities if one.certificate.has_private_key}
    now = datetime.now(UTC)
    keyless = {
        one.certificate.sha256: one
        for one in identities
        if one.wipo and not one.certificate.is_ca and one.certificate.status(now) != "expired"
    }
    return [one for digest, one in keyless.items() if digest not in with_key]
