"""The engine `nss`: stores read by NSS itself, through python-nss-ng in a process of its own.

NSS likes to write to what it opens and is global to a process. So each store gets a worker, and
the worker a private copy of the databases.
"""

from __future__ import annotations

import importlib.util
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from nssbackup.errors import (
    DamagedStoreError,
    EngineUnavailableError,
    KeyMissingError,
    KeyNotExportableError,
    NoStoreError,
    PrimaryPasswordRequiredError,
    UnsupportedBackupError,
    UnsupportedStoreError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.certificate import MalformedCertificateError, StoredCertificate, from_der
from nssbackup.identity.model import OrphanKey, PrivateKey, Profile
from nssbackup.pkcs12 import open_pfx
from nssbackup.secret import Secret
from nssbackup.stores.copies import StagedStore, private_copy
from nssbackup.stores.nss.process import (
    Program,
    RefusedError,
    WorkerProcess,
    decoded,
    firefox_libraries,
    nss_version,
)
from nssbackup.stores.trust import trust_of

__all__ = ["NssEngine", "import_identity"]

# The first that knows passwords hashed with SHA-384.
_SHA384_VERSION = (3, 118)
_SHA384_SALT_BYTES = 48

_OLD_DATABASES = "`cert8.db` and `key3.db`"
_READ_NATIVELY = "`--engine native` reads them"


class NssEngine:
    """Reads what the NSS at hand reads: `cert9.db` and `key4.db`, and mostly the older pair too.

    Args:
        program: what is run as the worker.
    """

    name = "nss"

    def __init__(self, program: Program = Program()) -> None:  # noqa: B008 - it never changes
        self._program = program

    def unavailable(self) -> str | None:
        """None, or the reason why NSS can't be had here."""
        if sys.platform == "win32":
            return "python-nss-ng does not exist for Windows"
        if importlib.util.find_spec("nss") is None:
            return "python-nss-ng is not installed: `pip install nssbackup[nss]`"
        try:
            _newest(self._program)
        except EngineUnavailableError as error:
            return error.message
        return None

    @contextmanager
    def open(self, profile: Profile) -> Iterator[NssStore]:
        """See `stores.Engine.open`.

        Raises:
            NoStoreError: there is no database.
            StoreError: the databases can't be copied.
            UnsupportedStoreError: the NSS here knows no databases of that kind.
            EngineFailedError: NSS can't open them, or its process failed.
        """
        with private_copy(profile.path) as copy:
            if copy.kind is None:
                message = f"there is no NSS database in `{profile.path}`"
                raise NoStoreError(
                    message, hint="`nssbackup profiles` shows the profiles there are"
                )
            libraries, version = (
                _system(self._program) if copy.kind == "legacy" else _newest(self._program)
            )
            with WorkerProcess(self._program, libraries) as worker:
                _open(worker, copy, profile)
                store = NssStore(worker, copy, version)
                try:
                    yield store
                finally:
                    store.close()


def import_identity(
    folder: Path,
    pfx: Path,
    password: Secret,
    primary: Secret,
    program: Program = Program(),  # noqa: B008 - it never changes
) -> None:
    """Let NSS import a PFX into the `cert9.db` and `key4.db` of a folder, which it writes to.

    Args:
        folder: a private copy of a store.
        pfx: the file, of a kind that every NSS reads.
        password: what opens it.
        primary: the store's primary password, which is known to be right.
        program: what is run as the worker.

    Raises:
        UnsupportedStoreError: this NSS is too old for the store.
        EngineFailedError: NSS refused, or its process failed.
        EngineUnavailableError: there is no NSS.
    """
    libraries, version = _newest(program)
    with WorkerProcess(program, libraries) as worker:
        opened = worker.ask(
            "restore",
            location=f"sql:{folder}",
            primary=primary.reveal(),
            pfx=str(pfx),
            password=password.reveal(),
        )
    if not opened:
        raise _too_old(version)


class NssStore:
    """A store behind a worker; see `stores.Store`."""

    def __init__(self, worker: WorkerProcess, copy: StagedStore, version: tuple[int, ...]) -> None:
        self._worker = worker
        self._copy = copy
        self._version = version
        self._certificates: tuple[StoredCertificate, ...] | None = None
        self._notes: tuple[str, ...] = ()
        self._unlocked = False
        self._closed = False

    def close(self) -> None:
        """End the use of the store: what is asked of it from now on is a ValueError."""
        self._closed = True
        self._certificates = None

    def certificates(self) -> tuple[StoredCertificate, ...]:
        """See `stores.Store.certificates`."""
        if self._certificates is None:
            # By their bytes, because NSS may list one twice.
            found: dict[bytes, StoredCertificate] = {}
            notes = []
            for facts in self._ask("certificates"):
                try:
                    certificate = _certificate(facts)
                except MalformedCertificateError as error:
                    notes.append(f"a certificate was passed over: {error.message}")
                else:
                    found.setdefault(certificate.der, certificate)
            self._certificates, self._notes = tuple(found.values()), tuple(notes)
        return self._certificates

    def orphan_keys(self) -> tuple[OrphanKey, ...]:
        """(): NSS shows its private keys to nobody who has not given the password."""
        return ()

    def orphan_of(self, certificate: StoredCertificate) -> OrphanKey | None:
        """None; see `orphan_keys`."""
        del certificate
        return None

    def notes(self) -> tuple[str, ...]:
        """See `stores.Store.notes`."""
        self.certificates()
        return self._notes

    def needs_password(self) -> bool | None:
        """See `stores.Store.needs_password`."""
        answer = self._ask("needs_password")
        return None if answer is None else bool(answer)

    def unlock(self, password: Secret) -> None:
        """See `stores.Store.unlock`.

        Raises:
            UnsupportedStoreError: this NSS is too old for the store, and would call any password
                wrong.
        """
        self._unlocked = False
        try:
            self._unlocked = bool(self._ask("unlock", password=password.reveal()))
        except RefusedError as error:
            # Longer than the 500 bytes that NSS takes (lib/softoken/pkcs11i.h, SFTK_MAX_PIN).
            if error.name != "SEC_ERROR_INVALID_PASSWORD":
                raise
        if self._unlocked:
            return
        salt = self._copy.global_salt
        if salt is not None and len(salt) == _SHA384_SALT_BYTES and self._version < _SHA384_VERSION:
            raise _too_old(self._version)
        message = "the primary password is wrong"
        raise WrongPrimaryPasswordError(message)

    def private_key(self, of: StoredCertificate) -> PrivateKey:
        """See `stores.Store.private_key`.

        The certificate must be in the store: NSS gives keys out by a certificate's nickname alone.
        """
        known = next((one for one in self.certificates() if one.der == of.der), None)
        if known is None or not known.has_private_key:
            raise _missing(of)
        if known.nickname is None:
            message = "NSS gives no key out of a certificate that has no nickname"
            raise KeyNotExportableError(message, hint="`--engine native` does")
        if not self._unlocked:
            message = "the store is locked: its primary password has not been given"
            raise PrimaryPasswordRequiredError(message)
        password = Secret(secrets.token_urlsafe(32))
        try:
            answer = self._ask("export", nickname=known.nickname, password=password.reveal())
        except RefusedError as error:
            message = f"NSS does not give the private key out: {error.reason}"
            hint = "`--engine native` says more about what is the matter with it"
            raise KeyNotExportableError(message, hint=hint) from error
        try:
            contents = open_pfx(decoded(answer), password)
        except UnsupportedBackupError as error:  # of its keys, one is of a type we don't know
            raise KeyNotExportableError(error.message) from error
        # A nickname stands for all renewals: the public key says which is meant.
        for found in contents.keys:
            if found.key.public_key == of.public_key:
                return found.key
        raise _missing(of)

    def _ask(self, operation: str, **arguments: str) -> Any:  # noqa: ANN401 - JSON
        if self._closed:
            message = "the store is closed"
            raise ValueError(message)
        return self._worker.ask(operation, **arguments)


def _open(worker: WorkerProcess, copy: StagedStore, profile: Profile) -> None:
    """Have the worker open a copy; errors as of `NssEngine.open`."""
    prefix = "dbm" if copy.kind == "legacy" else "sql"
    try:
        worker.ask("open", location=f"{prefix}:{copy.folder}")
    except RefusedError as error:
        if error.name == "SEC_ERROR_LEGACY_DATABASE":
            message = f"this NSS is built without support for {_OLD_DATABASES}"
            raise UnsupportedStoreError(message, hint=_READ_NATIVELY) from error
        if error.name == "SEC_ERROR_BAD_DATABASE":
            message = f"NSS finds the databases in `{profile.path}` damaged"
            raise DamagedStoreError(message) from error
        raise


def _missing(of: StoredCertificate) -> KeyMissingError:
    message = f"the private key of `{of.display_name}` is not in this store"
    return KeyMissingError(message, hint="`nssbackup list` shows where keys are present")


@cache
def _system(program: Program) -> tuple[Path | None, tuple[int, ...]]:
    """The system's NSS: Firefox's own is built without the old databases.

    Raises:
        UnsupportedStoreError: it can't be loaded.
    """
    try:
        return None, nss_version(program, None)
    except EngineUnavailableError as error:
        message = f"an NSS that reads {_OLD_DATABASES} can't be had here: {error.message}"
        raise UnsupportedStoreError(message, hint=_READ_NATIVELY) from error


@cache
def _newest(program: Program) -> tuple[Path | None, tuple[int, ...]]:
    """Where the newest NSS is (None: the system's) and its version.

    Raises:
        EngineUnavailableError: there is none that can be loaded.
    """
    found = []
    failures = []
    for libraries in (firefox_libraries(), None):
        try:
            found.append((nss_version(program, libraries), libraries))
        except EngineUnavailableError as error:
            failures.append(error)
        if libraries is None:
            break
    if not found:
        raise failures[0]
    version, libraries = max(found, key=lambda each: each[0])
    return libraries, version


def _too_old(version: tuple[int, ...]) -> UnsupportedStoreError:
    message = f"this NSS ({'.'.join(map(str, version))}) is too old for this store"
    hint = "use `--engine native`, or install a current Firefox or NSS 3.118 or later"
    return UnsupportedStoreError(message, hint=hint)


def _certificate(facts: dict[str, Any]) -> StoredCertificate:
    return replace(
        from_der(decoded(facts["der"])),
        nickname=facts["nickname"],
        trust=trust_of(facts["ssl"], facts["email"], facts["code"]),
        has_private_key=facts["has_private_key"],
    )
