"""Inventory: the identities of many profiles, each profile isolated from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nssbackup.engines import EngineName, engine_named
from nssbackup.errors import NoProfileError, NssBackupError
from nssbackup.identities import assemble
from nssbackup.model import Identity, Profile
from nssbackup.report import ReadFailure


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a number of profiles hold, and which of them could not be read."""

    identities: tuple[Identity, ...]
    failures: tuple[ReadFailure, ...]
    notes: tuple[tuple[Profile, str], ...]


def take_inventory(profiles: Sequence[Profile], engine: EngineName = "auto") -> Inventory:
    """Read the identities of profiles; no password is needed.

    A profile without databases holds nothing and is no failure; one damaged profile is a failure
    beside the others' identities.

    Raises:
        NoProfileError: there is no profile at all, or none with a database.
        NssBackupError: not one of the profiles could be read; the first one's error.
        EngineUnavailableError: the engine can't be had here.
    """
    reader = engine_named(engine)
    with_store = [profile for profile in profiles if profile.store is not None]
    if not with_store:
        message = (
            "none of the profiles found has an NSS database" if profiles else "no profile was found"
        )
        raise NoProfileError(
            message, hint="name the folder that holds cert9.db and key4.db with `--profile PATH`"
        )
    identities: list[Identity] = []
    failures: list[ReadFailure] = []
    notes: list[tuple[Profile, str]] = []
    for profile in with_store:
        try:
            with reader.open(profile) as store:
                identities.extend(assemble(profile, store.certificates()))
                notes.extend((profile, note) for note in store.notes())
        except NssBackupError as error:
            failures.append(ReadFailure(profile, error))
    if failures and len(failures) == len(with_store):
        raise failures[0].error
    return Inventory(tuple(identities), tuple(failures), tuple(notes))


def primary_password_set(profile: Profile, engine: EngineName = "auto") -> bool | None:
    """Whether a profile has a primary password; None where that can't be told."""
    if profile.store is None:
        return None
    try:
        with engine_named(engine).open(profile) as store:
            return store.needs_password()
    except NssBackupError:
        return None
