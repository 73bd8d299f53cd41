"""What the report says of each home of a user."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from nssbackup.batch.layout import folder_of_user
from nssbackup.batch.options import BatchOptions
from nssbackup.batch.report import BatchItem, HomeResult, HomeStatus
from nssbackup.batch.search import UserSearch, purpose_of
from nssbackup.batch.state import HomeRecord, known_users, load, save, state_path
from nssbackup.batch.users import Source, User
from nssbackup.diagnosis.settings import hiding_setting
from nssbackup.errors import UsageError
from nssbackup.identity.model import Identity
from nssbackup.stores.inventory import Inventory
from nssbackup.system.ownership import as_owner

# So many certificates of a home are named.
_MOST_NAMES = 5


def missing_homes(
    records: Iterable[HomeRecord],
    options: BatchOptions,
    roots: Collection[str],
    found: Mapping[str, str],
) -> Iterator[HomeResult]:
    """Yield the homes of a user that miss a certificate.

    A certificate is not missing if the user has another one for the same purpose: it is renewed.

    Args:
        records: where certificates were found earlier.
        options: of this run.
        roots: those that could be read.
        found: the purposes of the user's certificates, by their SHA-256.
    """
    purposes = set(found.values())
    excluded = {name.casefold() for name in options.exclude}
    for record in records:
        names = [
            name
            for digest, (purpose, name) in record.certificates.items()
            if digest not in found and purpose not in purposes
        ]
        if (
            names
            and record.root in roots
            and record.selection == options.selection
            and record.user.casefold() not in excluded
        ):
            yield HomeResult(
                options.host, record.home, record.user, 0, 0, "gone", (_note(record, names),)
            )


def with_missing(
    homes: Iterable[HomeResult], missing: Iterable[HomeResult]
) -> tuple[HomeResult, ...]:
    """Return the homes, with those that miss a certificate marked or added.

    Of a home that could not be read in full, nothing is known to be missing.
    """
    results = {home.home: home for home in homes}
    for gone in missing:
        known = results.get(gone.home)
        if known is None:
            results[gone.home] = gone
        elif known.status != "failed":
            results[gone.home] = replace(known, status="gone", notes=known.notes + gone.notes)
    return tuple(results.values())


def updated_records(
    records: Iterable[HomeRecord], found: Iterable[HomeRecord]
) -> tuple[HomeRecord, ...]:
    """Return the records with what was found added; nothing is taken out."""
    known = {(one.home, one.root, one.selection): one for one in records}
    for one in found:
        key = (one.home, one.root, one.selection)
        earlier = known[key].certificates if key in known else {}
        if one.certificates or earlier:
            known[key] = replace(one, certificates={**earlier, **one.certificates})
    return tuple(known.values())


def forget(options: BatchOptions, users: Iterable[str]) -> None:
    """Forget which certificates users had; no backup is deleted.

    Raises:
        UsageError: there is no record of a user.
    """
    for user in users:
        forgotten = False
        for folder in known_users(options.folder):
            path = state_path(options.folder, folder)
            state = load(path)
            kept = tuple(one for one in state.homes if one.user.casefold() != user.casefold())
            if kept != state.homes or folder == folder_of_user(user):
                forgotten = True
                if not options.dry_run:
                    save(path, replace(state, homes=kept, last_run=None))
        if not forgotten:
            message = f"there is no backup of a user `{user}` in `{options.folder}`"
            raise UsageError(message, hint="name the user as the report does")


def _note(record: HomeRecord, names: list[str]) -> str:
    which = ", ".join(f"`{name}`" for name in names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (
        f"{which}{more} of `{record.user}` was backed up earlier and is no longer found in"
        f" `{record.home}`: if that is intended, run the command once with `--forget"
        f" {record.user}`, which deletes no file"
    )


Homes = tuple[HomeResult, ...]


def home_results(
    search: UserSearch,
    user: User,
    inventory: Inventory | None,
    identities: Iterable[Identity],
    items: Sequence[BatchItem],
) -> tuple[Homes, tuple[HomeRecord, ...]]:
    """Return the result of each home, and a record of the certificates that are backed up.

    A copy of an identity may lie in another home.
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
