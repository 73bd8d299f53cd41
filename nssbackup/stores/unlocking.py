"""Take an identity's private key out of the store that holds it, or out of one with a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nssbackup.errors import (
    CancelledError,
    KeyInconsistentError,
    KeyMismatchError,
    NssBackupError,
    PrimaryPasswordRequiredError,
    StoreError,
    UnsupportedStoreError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.choosing import check_key_fits
from nssbackup.identity.model import Identity, PasswordFor, PrivateKey, Profile
from nssbackup.secret import Secret
from nssbackup.stores import EngineName, Store, availability, open_store

# What `read_key` raises if a key is damaged: a copy of it elsewhere may not be.
KEY_DAMAGE = (StoreError, KeyInconsistentError, KeyMismatchError)


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A private key and where it came from.

    Attributes:
        key: the key.
        identity: the identity, with the profile that the key came from.
        note: says so if that is not the profile that was asked for.
    """

    key: PrivateKey
    identity: Identity
    note: str | None = None


def read_key_or_copy(
    identity: Identity,
    copies: Sequence[Identity],
    engine: EngineName,
    primary_password: PasswordFor,
    *,
    after: tuple[type[NssBackupError], ...] = KEY_DAMAGE,
) -> FoundKey:
    """Return an identity's private key, from a copy if its own store does not give it.

    Args:
        identity: the identity.
        copies: the same identity in other profiles.
        engine: what reads the stores.
        primary_password: answers for each profile.
        after: the errors after which the copies are tried.

    Raises:
        NssBackupError: what `read_key` raises for the identity itself, if no copy helps.
    """
    try:
        return FoundKey(read_key(identity, engine, primary_password), identity)
    except after as error:
        for copy in copies:
            try:
                key = read_key(copy, engine, primary_password)
            except CancelledError:
                raise
            except NssBackupError:
                continue
            place = copy.profile.path if copy.profile else None
            note = f"the key was taken from its copy in `{place}`: {error.message}"
            return FoundKey(key, replace(identity, profile=copy.profile), note)
        raise


def read_key(identity: Identity, engine: EngineName, primary_password: PasswordFor) -> PrivateKey:
    """Return an identity's private key from its profile's store.

    Raises:
        WrongPrimaryPasswordError: the primary password is wrong and no other was given.
        PrimaryPasswordRequiredError: the store has one and none was given.
        KeyMismatchError: the key is not the certificate's.
        NssBackupError: what `Store.private_key` raises.
    """
    profile = identity.profile
    if profile is None:
        message = "an identity without a profile has no store to take its key from"
        raise ValueError(message)
    remembered = Remembered(primary_password)
    try:
        key = _read(profile, identity, engine, remembered)
    except UnsupportedStoreError as error:
        # Nothing is wrong with it, but the native engine can't read it: NSS may.
        if engine != "auto" or not any(
            one.name == "nss" and not one.reason for one in availability()
        ):
            raise
        try:
            key = _read(profile, identity, "nss", remembered)
        except StoreError:
            raise error from None
    check_key_fits(identity, key)
    return key


def unlock(store: Store, profile: Profile, primary_password: PasswordFor) -> None:
    """Unlock a store: with the empty password if that works, else with what is answered.

    Raises:
        WrongPrimaryPasswordError: the primary password is wrong and no other was given.
        PrimaryPasswordRequiredError: the store has one and none was given.
    """
    attempt, password = 0, Secret("")
    while True:
        try:
            store.unlock(password)
        except WrongPrimaryPasswordError as error:
            answer = primary_password(profile, attempt)
            if answer is None and attempt == 0:
                message = f"profile `{profile.name}` has a primary password"
                raise PrimaryPasswordRequiredError(message) from error
            if answer is None:
                message = f"the primary password for profile `{profile.name}` is wrong"
                raise WrongPrimaryPasswordError(message) from error
            attempt, password = attempt + 1, answer
        else:
            return


@dataclass(slots=True)
class Remembered:
    """A source of primary passwords that is asked once, and whose answer is given again."""

    ask: PasswordFor
    _answer: Secret | None = None

    def __call__(self, profile: Profile, attempt: int) -> Secret | None:
        """Return the answer; ask for another one if that was wrong."""
        if attempt == 0 and self._answer is not None:
            return self._answer
        self._answer = self.ask(profile, attempt)
        return self._answer

    @property
    def answer(self) -> Secret:
        """The last answer; the empty password if nothing was asked."""
        return self._answer or Secret("")


def _read(
    profile: Profile, identity: Identity, engine: EngineName, primary_password: PasswordFor
) -> PrivateKey:
    with open_store(profile, engine) as store:
        unlock(store, profile, primary_password)
        return store.private_key(identity.certificate)
