"""Placing: finished PFX files get their names, each only after its password is safe.

The order is the promise. First the passwords are put where they are kept; then the state says
which files there will be; and only then each file is written under a temporary name, read back,
verified and given its own. Wherever that is cut off, no file with its final name is without its
password, and the next run finds out what is left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from nssbackup.backups.verify import verify_written
from nssbackup.batch.making import Pfx
from nssbackup.batch.naming import ESCROW_FOLDER
from nssbackup.batch.orders import Orders
from nssbackup.batch.report import BatchItem, rfc3339
from nssbackup.batch.rows import failed
from nssbackup.batch.state import Kept
from nssbackup.batch.vault import Entry, vault_of
from nssbackup.errors import NssBackupError, OutputError, reason
from nssbackup.system.files import make_folder, remove_leftovers, write_verified


@dataclass(frozen=True, slots=True)
class Pending:
    """A PFX that is to be put in its place.

    Attributes:
        kept: what the state is to say of it.
        pfx: the file itself.
        item: what the report says when it is there.
        replaces: whether a file of that name is one of ours.
    """

    kept: Kept
    pfx: Pfx
    item: BatchItem
    replaces: bool


def place(
    pending: Sequence[Pending], user_folder: str, orders: Orders, save: Callable[[], None]
) -> list[BatchItem]:
    """Put a user's files in their places; what can't be becomes a failure.

    Args:
        pending: the files.
        user_folder: the name of the folder that they go into.
        orders: say where that is, and where passwords are kept.
        save: puts the state on the disk.
    """
    folder = orders.folder / user_folder
    try:
        if pending:
            make_folder(folder)
            remove_leftovers(folder)
            remove_leftovers(orders.folder / ESCROW_FOLDER / user_folder)
        if orders.passwords is None:
            vault_of(orders).keep([_entry(one) for one in pending])
        save()
    except OSError as error:
        wrapped = OutputError(f"`{folder}` can't be written to: {reason(error)}")
        return [failed(one.item, wrapped) for one in pending]
    except NssBackupError as error:
        return [failed(one.item, error) for one in pending]
    return [_placed(one, folder, force=orders.force) for one in pending]


def _placed(one: Pending, folder: Path, *, force: bool) -> BatchItem:
    """Write a file, read it back, verify it, and give it its name."""
    warnings = list(one.item.warnings)

    def check(path: Path) -> None:
        warnings.extend(verify_written(path, one.pfx.password, one.pfx.expected))

    path = folder / one.kept.file
    try:
        write_verified(path, one.pfx.data, check, replace=one.replaces or force)
    except NssBackupError as error:
        return failed(one.item, error)
    return replace(one.item, warnings=tuple(warnings))


def _entry(one: Pending) -> Entry:
    return Entry(
        user=one.item.user,
        profile=one.item.profile or "",
        fingerprint=one.pfx.expected.identity.certificate.sha256,
        file=one.item.file or "",
        sha256=one.kept.sha256,
        created=rfc3339(datetime.now(UTC)),
        password=one.pfx.password,
    )
