"""Users whose certificates were backed up earlier and are no longer found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from nssbackup.batch.layout import folder_of_user
from nssbackup.batch.options import BatchOptions
from nssbackup.batch.report import HomeResult
from nssbackup.batch.state import HomeRecord, known_users, load, save, state_path
from nssbackup.errors import UsageError

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
        roots: those of this run that could be read.
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
