"""What the report says of each home of a user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from nssbackup.batch.report import BatchItem, HomeResult, HomeStatus
from nssbackup.batch.search import UserSearch, purpose_of
from nssbackup.batch.state import HomeRecord
from nssbackup.batch.users import Source, User
from nssbackup.diagnosis.settings import hiding_setting
from nssbackup.identity.model import Identity
from nssbackup.stores.inventory import Inventory
from nssbackup.system.ownership import as_owner

Homes = tuple[HomeResult, ...]


def home_results(
    search: UserSearch,
    user: User,
    inventory: Inventory | None,
    identities: Iterable[Identity],
    items: Sequence[BatchItem],
) -> tuple[Homes, tuple[HomeRecord, ...]]:
    """Return the result of each home, and a record of the certificates that are backed up.

    Args:
        search: of the user.
        user: whose homes they are.
        inventory: of the user's profiles.
        identities: those that were asked for; a copy may lie in another home.
        items: of the report.
    """
    held: dict[Source, dict[str, Identity]] = {source: {} for source in user.sources}
    for identity in identities:
        for copy in (identity, *(inventory.copies_of(identity) if inventory else ())):
            held[search.source_of(copy.profile)][identity.certificate.sha256] = identity
    outcomes: dict[str, set[str]] = {}
    backed_up: set[str] = set()
    for item in items:
        if item.identity is not None:
            digest = str(item.identity["sha256"])
            outcomes.setdefault(digest, set()).add(item.status)
            if item.file is not None and item.sha256 is not None:
                backed_up.add(digest)
    options = search.options
    results, records = [], []
    for source, certificates in held.items():
        own = {item.status for item in items if item.identity is None and _is_of(item, source)}
        statuses = own.union(*(outcomes[digest] for digest in certificates))
        results.append(
            HomeResult(
                host=options.host,
                home=str(source.path),
                user=source.user,
                profiles=sum(one == source for one in search.sources.values()),
                identities=len(certificates),
                status=_status(statuses),
            )
        )
        names = {
            digest: (purpose_of(one), one.display_name)
            for digest, one in certificates.items()
            if digest in backed_up
        }
        records.append(
            HomeRecord(str(source.path), source.user, source.root, options.selection, names)
        )
    return tuple(results), tuple(records)


def with_notes(
    homes: Homes,
    search: UserSearch,
    inventory: Inventory | None,
    keyless: Iterable[Identity],
    items: Iterable[BatchItem],
) -> Homes:
    """Add what was skipped, and what an administrator should look at."""
    notes: dict[str, list[str]] = {home.home: [] for home in homes}
    for source, note in search.notes:
        notes[str(source.path)].append(note)
    told = {warning for item in items for warning in item.warnings}
    for profile, note in inventory.notes if inventory else ():
        source = search.source_of(profile)
        if note not in told:
            notes[str(source.path)].append(f"profile `{profile.name}` of `{source.user}`: {note}")
    without = {home.home for home in homes if home.status == "no-certificate"}
    for source, note in _reasons(search, inventory):
        if str(source.path) in without:
            notes[str(source.path)].append(note)
    for identity in keyless:
        source = search.source_of(identity.profile)
        notes[str(source.path)].append(
            f"the private key of the WIPO certificate of `{identity.display_name}` is in no"
            f" profile of `{source.user}`: run `nssbackup doctor` as that user to see why"
        )
    return tuple(replace(home, notes=tuple(notes[home.home])) for home in homes)


def _reasons(search: UserSearch, inventory: Inventory | None) -> list[tuple[Source, str]]:
    """Return why profiles may hold no certificate, as `doctor` finds it."""
    found = []
    for profile in search.profiles:
        with as_owner(profile.path):
            setting = hiding_setting(profile)
        if setting:
            source = search.source_of(profile)
            note = f"profile `{profile.name}` of `{source.user}` keeps no certificates: {setting}"
            found.append((source, note))
    for profile, keys in inventory.orphans if inventory else ():
        source = search.source_of(profile)
        note = (
            f"profile `{profile.name}` of `{source.user}` has {len(keys)} private"
            f" {'key' if len(keys) == 1 else 'keys'} without a certificate: run `nssbackup doctor`"
            " as that user to see why"
        )
        found.append((source, note))
    return found


def _is_of(item: BatchItem, source: Source) -> bool:
    if source.is_home:
        return item.home == str(source.path)
    return item.home is None and item.profile == str(source.path)


def _status(statuses: set[str]) -> HomeStatus:
    if "failed" in statuses:
        return "failed"
    if statuses & {"backed-up", "unchanged", "planned"}:
        return "backed-up"
    return "expired" if "expired" in statuses else "no-certificate"
