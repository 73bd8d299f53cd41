"""Derivations: the keys of one PFX, each derived once, the long ones at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NoReturn, TypeVar

from nssbackup.pkcs12.encryption import CipherKey, Encryption, Pbes2
from nssbackup.pkcs12.mac import Mac
from nssbackup.pkcs12.pbkdf2 import Pbkdf2
from nssbackup.secret import Secret

# MAC, key and certificates: more derivations than these are rare.
_THREADS = 3

# To start a thread takes as long as a thousand rounds.
_SHORT = 10_000

_Result = TypeVar("_Result")


class Derivations:
    """What is derived from one password; begun as soon as it is known what will be needed.

    Nothing has to be closed: a thread ends with its derivation.
    """

    def __init__(self, password: Secret, name: str) -> None:
        self._password = password
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._keys: dict[Encryption, Callable[[], tuple[CipherKey, ...]]] = {}
        self._derived: dict[tuple[Pbkdf2, int], Future[bytes]] = {}

    def __reduce__(self) -> NoReturn:
        message = "derivations can't be pickled"
        raise TypeError(message)

    def close(self) -> None:
        """End the threads; once the password is known to be wrong nobody waits for the rest."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def last(self) -> None:
        """There is no more to come: the threads finish what they have and end."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)

    def cipher_keys(self, encryption: Encryption) -> Callable[[], tuple[CipherKey, ...]]:
        """Begin to derive the keys of an encryption; what comes back waits for them."""
        if encryption not in self._keys:
            self._keys[encryption] = self._begun(encryption)
        return self._keys[encryption]

    def mac_keys(self, mac: Mac) -> Callable[[], tuple[bytes, ...]]:
        """Begin to derive the keys of a MAC; what comes back waits for them."""
        return self._started(lambda: mac.keys(self._password), mac.rounds).result

    def _begun(self, encryption: Encryption) -> Callable[[], tuple[CipherKey, ...]]:
        if not isinstance(encryption, Pbes2):
            return self._started(lambda: encryption.keys(self._password), encryption.rounds).result
        # One derivation may serve several encryptions, each with an IV of its own.
        which = (encryption.kdf, encryption.bits)
        if which not in self._derived:
            self._derived[which] = self._started(
                lambda: encryption.derive(self._password), encryption.rounds
            )
        derived = self._derived[which]
        return lambda: encryption.keys_from(derived.result())

    def _started(self, derive: Callable[[], _Result], rounds: int) -> Future[_Result]:
        if rounds > _SHORT:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_THREADS, self._name)
            with suppress(RuntimeError):  # no thread can be had (`ulimit -u`): then without one
                return self._executor.submit(derive)
        done: Future[_Result] = Future()
        done.set_result(derive())
        return done
