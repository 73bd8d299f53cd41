"""Extraction: an identity's private key, out of the store that holds it."""

from __future__ import annotations

from dataclasses import dataclass

from nssbackup.errors import (
    KeyInconsistentError,
    KeyMismatchError,
    PrimaryPasswordRequiredError,
    StoreError,
    UnsupportedStoreError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.choosing import check_key_fits
from nssbackup.identity.model import Identity, PasswordFor, PrivateKey, Profile
from nssbackup.secret import Secret
from nssbackup.stores import EngineName, Store, availability, open_store

# What `read_key` raises where a key is damaged: a copy of it elsewhere may not be.
KEY_DAMAGE = (StoreError, KeyInconsistentError, KeyMismatchError)


def read_key(identity: Identity, engine: EngineName, primary_password: PasswordFor) -> PrivateKey:
    """Take an identity's private key out of its profile's store.

    Raises:
        WrongPrimaryPasswordError: the primary password is wrong and no other is to be had.
        PrimaryPasswordRequiredError: there is one and none was given.
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
        # Intact, and of a kind that the native reader doesn't know: NSS may.
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


@dataclass(slots=True)
class Remembered:
    """A primary password that is asked for once, and the answer given again."""

    ask: PasswordFor
    _answer: Secret | None = None

    def __call__(self, profile: Profile, attempt: int) -> Secret | None:
        """The answer; another is asked for where that one is wrong."""
        if attempt == 0 and self._answer is not None:
            return self._answer
        self._answer = self.ask(profile, attempt)
        return self._answer

    @property
    def answer(self) -> Secret:
        """The last answer; the empty password where nothing was asked."""
        return self._answer or Secret("")


def _read(
    profile: Profile, identity: Identity, engine: EngineName, primary_password: PasswordFor
) -> PrivateKey:
    with open_store(profile, engine) as store:
        unlock(store, profile, primary_password)
        return store.private_key(identity.certificate)


def unlock(store: Store, profile: Profile, primary_password: PasswordFor) -> None:
    """Unlock a store: with the empty password if that does it, else with what is answered."""
    try:
        store.unlock(Secret(""))
    except WrongPrimaryPasswordError:
        pass
    else:
        return
    attempt = 0
    while True:
        password = primary_password(profile, attempt)
        if password is None and attempt == 0:
            message = f"profile `{profile.name}` has a primary password"
            raise PrimaryPasswordRequiredError(message)
        if password is None:
            message = f"the primary password for profile `{profile.name}` is wrong"
            raise WrongPrimaryPasswordError(message)
        try:
            store.unlock(password)
        except WrongPrimaryPasswordError:
            attempt += 1
        else:
            return
