"""Every error that nssbackup raises, with its exit status, JSON code and hint.

The exit statuses are those of the command line's contract, and are written down only here. A
message is one clause in lower case without a full stop; a hint says what to do next.
"""

from __future__ import annotations

import os
import sys
from typing import ClassVar


def reason(error: Exception) -> str:
    """Return why the operating system or SQLite refused, in lower case and without a path."""
    if isinstance(error, PermissionError) and any(
        isinstance(name, str) and is_held(name) for name in (error.filename, error.filename2)
    ):
        return "another program has the file open"
    # Not error.strerror: Windows gives some of those in its own language.
    number = error.errno if isinstance(error, OSError) else None
    text = os.strerror(number) if number is not None else str(error)
    return (text or type(error).__name__).lower()


if sys.platform == "win32":
    import _winapi

    _SHARING_VIOLATION, _LOCK_VIOLATION = 32, 33
    _SHARE_ALL, _OPEN_EXISTING = 0x7, 3
    # To read, write and delete it; if access to that is denied, only to read it.
    _ASKED = (0xC0010000, 0x80000000)

    def is_held(path: str) -> bool:
        """Return whether another program has a file open and does not share it.

        Python only says "permission denied" then, which has other causes too.
        """
        for access in _ASKED:
            try:
                handle = _winapi.CreateFile(path, access, _SHARE_ALL, 0, _OPEN_EXISTING, 0, 0)
            except OSError as error:
                if error.winerror in (_SHARING_VIOLATION, _LOCK_VIOLATION):
                    return True
            else:
                _winapi.CloseHandle(handle)
        return False

else:

    def is_held(path: str) -> bool:
        """Return False: only on Windows can a program keep others from opening a file."""
        del path
        return False


class NssBackupError(Exception):
    """The base class: anything that goes wrong and isn't a bug of nssbackup."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    default_hint: ClassVar[str | None] = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else self.default_hint


class InternalError(NssBackupError):
    """A bug of nssbackup."""

    code = "internal-error"
    exit_status = 1


class UsageError(NssBackupError):
    """The command line makes no sense, or names something that can't be used."""

    code = "usage"
    exit_status = 2


class QuestionError(UsageError):
    """Input is missing, and there is no terminal to ask on."""

    code = "question-without-terminal"


class CancelledError(NssBackupError):
    """The user left a question unanswered."""

    code = "cancelled"
    exit_status = 4


class NoProfileError(NssBackupError):
    """No profile was found, or not the one named."""

    code = "no-profile"
    exit_status = 10


class NoStoreError(NssBackupError):
    """The profile has no NSS database."""

    code = "no-store"
    exit_status = 10


class StoreError(NssBackupError):
    """A store exists but can't be used."""

    code = "store-unusable"
    exit_status = 11


class DamagedStoreError(StoreError):
    """A database violates its format."""

    code = "store-damaged"
    default_hint = "if you have an older copy of the profile, point `--profile` at that folder"


class IntegrityError(DamagedStoreError):
    """An integrity signature of NSS is wrong, or missing although NSS requires it."""

    code = "store-signature"


class UnsupportedStoreError(StoreError):
    """The store uses a feature that nssbackup doesn't know."""

    code = "store-unsupported"


class UnreadableStoreError(StoreError):
    """The operating system refused to let us read a database."""

    code = "store-unreadable"


class DamagedContainerError(StoreError):
    """A Firefox backup or an archive violates its format, or is cut short."""

    code = "container-damaged"
    default_hint = "if you have another copy of the file, use that one"


class UnsupportedContainerError(StoreError):
    """A Firefox backup or an archive uses a feature that nssbackup doesn't know."""

    code = "container-unsupported"


class NotEncryptedError(NssBackupError):
    """A Firefox backup is not encrypted; Firefox leaves certificates out of such a backup."""

    code = "firefox-backup-not-encrypted"
    exit_status = 20
    default_hint = (
        "Firefox puts certificates only into an encrypted backup; `nssbackup export` takes them"
        " from the profile"
    )


class WrongRecoveryPasswordError(NssBackupError):
    """The recovery password does not open the Firefox backup."""

    code = "wrong-recovery-password"
    exit_status = 12
    default_hint = (
        "it is the password that Firefox asked for when the backup was turned on, not the Primary"
        " Password"
    )


class RecoveryPasswordRequiredError(NssBackupError):
    """A Firefox backup needs its recovery password and none was given."""

    code = "recovery-password-required"
    exit_status = 12
    default_hint = "give it with `--recovery-password-file FILE`"


class WrongPrimaryPasswordError(NssBackupError):
    """The primary password does not open the store."""

    code = "wrong-primary-password"
    exit_status = 12
    # Firefox's own advice would destroy what we want to save, so the hint warns against it.
    default_hint = (
        "if you typed it, check Caps Lock and the keyboard layout; do not use Firefox's"
        " reset of the Primary Password: it deletes every certificate and key"
    )


class PrimaryPasswordRequiredError(NssBackupError):
    """The store has a primary password and none was given."""

    code = "primary-password-required"
    exit_status = 12
    default_hint = "give it with `--primary-password-file FILE`"


class EngineUnavailableError(NssBackupError):
    """The requested engine isn't available on this machine."""

    code = "engine-unavailable"
    exit_status = 13


class EngineFailedError(StoreError):
    """The engine's process ended, hung or refused."""

    code = "engine-failed"
    default_hint = "`--engine native` reads the store without NSS"


class KeyMissingError(NssBackupError):
    """The certificate's private key is not in the store."""

    code = "key-missing"
    exit_status = 22


class KeyNotExportableError(NssBackupError):
    """The private key is in the store but can't be exported."""

    code = "key-not-exportable"
    exit_status = 22


class KeyInconsistentError(NssBackupError):
    """The parts of a private key don't fit together."""

    code = "key-inconsistent"
    exit_status = 22


class KeyMismatchError(NssBackupError):
    """The private key doesn't match the certificate."""

    code = "key-mismatch"
    exit_status = 22


class OutputExistsError(NssBackupError):
    """The output file already exists."""

    code = "output-exists"
    exit_status = 30
    default_hint = "choose another name with `--output`, or replace it with `--force`"


class OutputError(NssBackupError):
    """The output can't be written."""

    code = "output-unwritable"
    exit_status = 31


class BackupError(NssBackupError):
    """A PFX isn't a working backup."""

    code = "backup-unusable"
    exit_status = 32


class WrongBackupPasswordError(BackupError):
    """The password does not open the PFX."""

    code = "wrong-backup-password"
    default_hint = (
        "each backup has its own password; if you typed it, check Caps Lock and the keyboard layout"
    )


class DamagedBackupError(BackupError):
    """The file is not a PFX, or a damaged one."""

    code = "backup-damaged"


class UnsupportedBackupError(BackupError):
    """The PFX uses an algorithm that nssbackup can't open."""

    code = "backup-unsupported"


class VerificationError(BackupError):
    """The PFX opens but isn't what it should be; `mismatches` lists every failed check."""

    code = "backup-verification"

    def __init__(
        self, message: str, mismatches: tuple[str, ...], *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.mismatches = mismatches


class RestoreError(NssBackupError):
    """An identity can't be restored to a profile; the profile is unchanged."""

    code = "restore-failed"
    exit_status = 40


class StoreChangedError(RestoreError):
    """The databases changed while we worked on them."""

    code = "store-changed"
    default_hint = "if an application uses the profile, close it; then try again"


class StoreUnwritableError(RestoreError):
    """The databases can't be written to."""

    code = "store-unwritable"


class InterruptedByUserError(NssBackupError):
    """Ctrl-C."""

    code = "interrupted"
    exit_status = 130
