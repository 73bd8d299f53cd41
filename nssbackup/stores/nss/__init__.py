"""The engine `nss`: has NSS itself read a store, through python-nss-ng in a process of its own.

NSS may write to what it opens, and is global to a process. So each store gets a worker, and the
worker gets a private copy of the databases.
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

__all__ = ["NssEngine", "import_identity"]

# The first NSS that knows passwords hashed with SHA-384.
_SHA384_VERSION = (3, 118)
_SHA384_SALT_BYTES = 48

# Trust flags of a certificate (lib/certdb/certdb.h, CERTDB_*); that of a user certificate says
# nothing about trust.
_USER = 0x40
_TERMINAL, _TRUSTED, _TRUSTED_CA = 0x01, 0x02, 0x10
_TRUSTED_CLIENT_CA, _UNKNOWN = 0x80, 0x800

_OLD_DATABASES = "`cert8.db` and `key3.db`"
_READ_NATIVELY = "`--engine native` reads them"


class NssEngine:
    """Reads `cert9.db` and `key4.db`, and with most builds of NSS the older pair, too.

    Args:
        program: what is run as the worker.
    """

    name = "nss"

    def __init__(self, program: Program = Program()) -> None:  # noqa: B008 - it never changes
        self._program = program

    def unavailable(self) -> str | None:
        """Return why NSS is not available here, or None."""
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
            UnsupportedStoreError: the NSS here can't read databases of that kind.
            EngineFailedError: NSS can't open them, or its process failed.
        """
        if profile.contents is not None:
            message = f"the engine `nss` reads folders only, and `{profile.path}` is in a file"
            raise UnsupportedStoreError(message, hint="leave `--engine` out")
        with private_copy(profile.path) as copy:
            if copy.kind is None:
                message = f"there is no NSS database in `{profile.path}`"
                raise NoStoreError(message, hint="`nssbackup profiles` lists the profiles")
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
    """Have NSS import a PFX into the `cert9.db` and `key4.db` of a folder.

    Args:
        folder: a private copy of a store.
        pfx: the file, of a kind that every NSS reads.
        password: of the file.
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
        """End the use of the store: every call after this is a ValueError."""
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
                    notes.append(f"a certificate was skipped: {error.message}")
                else:
                    found.setdefault(certificate.der, certificate)
            self._certificates, self._notes = tuple(found.values()), tuple(notes)
        return self._certificates

    def orphan_keys(self) -> tuple[OrphanKey, ...]:
        """Return (): NSS does not list private keys without the password."""
        return ()

    def orphan_of(self, certificate: StoredCertificate) -> OrphanKey | None:
        """Return None; see `orphan_keys`."""
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
            UnsupportedStoreError: this NSS is too old for the store, and calls every password
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

        The certificate must be in the store: NSS finds keys only by a certificate's nickname.
        """
        known = next((one for one in self.certificates() if one.der == of.der), None)
        if known is None or not known.has_private_key:
            raise _missing(of)
        if known.nickname is None:
            message = "NSS does not export the key of a certificate without a nickname"
            raise KeyNotExportableError(message, hint="`--engine native` does")
        if not self._unlocked:
            message = "the store is locked: its primary password was not given"
            raise PrimaryPasswordRequiredError(message)
        password = Secret(secrets.token_urlsafe(32))
        try:
            answer = self._ask("export", nickname=known.nickname, password=password.reveal())
        except RefusedError as error:
            message = f"NSS does not export the private key: {error.reason}"
            hint = "`--engine native` may say more"
            raise KeyNotExportableError(message, hint=hint) from error
        try:
            contents = open_pfx(decoded(answer), password)
        except UnsupportedBackupError as error:  # it contains a key of a type we don't know
            raise KeyNotExportableError(error.message) from error
        # All renewals may have the same nickname: the public key decides.
        for found in contents.keys:
            if found.key.public_key == of.public_key:
                return found.key
        raise _missing(of)

    def _ask(self, operation: str, **arguments: str) -> Any:
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
            message = f"NSS calls the databases in `{profile.path}` damaged"
            raise DamagedStoreError(message) from error
        raise


def _missing(of: StoredCertificate) -> KeyMissingError:
    message = f"the private key of `{of.display_name}` is not in this store"
    return KeyMissingError(message, hint="`nssbackup list` shows where keys are present")


@cache
def _system(program: Program) -> tuple[Path | None, tuple[int, ...]]:
    """Return the system's NSS; Firefox's is built without support for the old databases.

    Raises:
        UnsupportedStoreError: it can't be loaded.
    """
    try:
        return None, nss_version(program, None)
    except EngineUnavailableError as error:
        message = f"no NSS on this computer reads {_OLD_DATABASES}: {error.message}"
        raise UnsupportedStoreError(message, hint=_READ_NATIVELY) from error


@cache
def _newest(program: Program) -> tuple[Path | None, tuple[int, ...]]:
    """Return the folder of the newest NSS (None: the system's) and its version.

    Raises:
        EngineUnavailableError: none can be loaded.
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
        trust=_trust(facts["ssl"], facts["email"], facts["code"]),
        has_private_key=facts["has_private_key"],
    )


def _trust(ssl: int, email: int, code: int) -> tuple[tuple[str, str], ...]:
    """Return what the three sets of flags say about each usage; () if they say nothing."""
    if not (ssl | email | code) & ~_USER:
        return ()
    # One set is for both ends of TLS, except for which CAs of clients are trusted.
    clients = ssl | _TRUSTED_CA if ssl & _TRUSTED_CLIENT_CA else ssl & ~_TRUSTED_CA
    usages = {"server": ssl, "client": clients, "code": code, "email": email}
    return tuple((usage, _trust_word(flags)) for usage, flags in usages.items())


def _trust_word(flags: int) -> str:
    """Return NSS's word for a set of flags (lib/softoken/legacydb/lgattr.c)."""
    if flags & _TRUSTED_CA:
        return "trusted-ca"
    if flags & _TRUSTED:
        return "trusted"
    if flags & _UNKNOWN:
        return "unknown"
    return "not-trusted" if flags & _TERMINAL else "must-verify"
