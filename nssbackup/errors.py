"""Every error nssbackup raises: exit status, JSON code and hint stand on the class.

The statuses are those of the command line's contract; each stands here and nowhere else.
A message is one clause in lower case without a full stop; a hint says what to do next.
"""

from __future__ import annotations

from typing import ClassVar


def reason(error: Exception) -> str:
    """Return why the operating system or SQLite refused, in lower case and without a path."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


class NssBackupError(Exception):
    """The root of the tree: what nssbackup raises for anything that is not its own fault."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    default_hint: ClassVar[str | None] = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else self.default_hint


class InternalError(NssBackupError):
    """A fault of nssbackup itself."""

    code = "internal-error"
    exit_status = 1


class UsageError(NssBackupError):
    """The command was called in a way that can't be carried out."""

    code = "usage"
    exit_status = 2


class QuestionError(UsageError):
    """A question would have to be asked, and there is no terminal to ask it on."""

    code = "question-without-terminal"


class CancelledError(NssBackupError):
    """The user ended a question without an answer."""

    code = "cancelled"
    exit_status = 4


class NoProfileError(NssBackupError):
    """No profile was found, or not the one that was named."""

    code = "no-profile"
    exit_status = 10


class NoStoreError(NssBackupError):
    """The profile's folder holds no NSS database."""

    code = "no-store"
    exit_status = 10


class StoreError(NssBackupError):
    """A store is there and can't be used."""

    code = "store-unusable"
    exit_status = 11


class DamagedStoreError(StoreError):
    """The contents of a database contradict its format."""

    code = "store-damaged"
    default_hint = "if you have an older copy of the profile, point `--profile` at that folder"


class IntegrityError(DamagedStoreError):
    """An integrity signature of NSS is wrong, or missing where NSS demands one."""

    code = "store-signature"


class UnsupportedStoreError(StoreError):
    """The store is intact as far as can be told and uses something that isn't known here."""

    code = "store-unsupported"


class UnreadableStoreError(StoreError):
    """The operating system did not let us read a database."""

    code = "store-unreadable"


class WrongPrimaryPasswordError(NssBackupError):
    """The primary password does not open the store."""

    code = "wrong-primary-password"
    exit_status = 12
    # Firefox's own advice would destroy what is to be saved, so the hint warns of it.
    default_hint = (
        "check Caps Lock and the keyboard layout, and try again; do not use Firefox's"
        " reset of the Primary Password: it deletes every certificate and key"
    )


class PrimaryPasswordRequiredError(NssBackupError):
    """The store has a primary password and none was given."""

    code = "primary-password-required"
    exit_status = 12
    default_hint = "give it with `--primary-password-file FILE`"


class EngineUnavailableError(NssBackupError):
    """The engine asked for can't be had on this machine."""

    code = "engine-unavailable"
    exit_status = 13


class EngineFailedError(StoreError):
    """The engine's own process ended, hung or refused."""

    code = "engine-failed"
    default_hint = "`--engine native` reads the store without NSS"


class KeyMissingError(NssBackupError):
    """The certificate's private key is not in the store."""

    code = "key-missing"
    exit_status = 22


class KeyNotExportableError(NssBackupError):
    """The private key is there and can't be taken out."""

    code = "key-not-exportable"
    exit_status = 22


class KeyInconsistentError(NssBackupError):
    """The values of a private key contradict one another."""

    code = "key-inconsistent"
    exit_status = 22


class KeyMismatchError(NssBackupError):
    """The private key is not the one of the certificate."""

    code = "key-mismatch"
    exit_status = 22


class OutputExistsError(NssBackupError):
    """The file to be written exists."""

    code = "output-exists"
    exit_status = 30
    default_hint = "choose another name with `--output`, or replace it with `--force`"


class OutputError(NssBackupError):
    """The file can't be written."""

    code = "output-unwritable"
    exit_status = 31


class BackupError(NssBackupError):
    """A PFX is not a working backup."""

    code = "backup-unusable"
    exit_status = 32


class WrongBackupPasswordError(BackupError):
    """The password does not open the PFX."""

    code = "wrong-backup-password"
    default_hint = "check Caps Lock and the keyboard layout; each backup has its own password"


class DamagedBackupError(BackupError):
    """The file is no PFX, or a damaged one."""

    code = "backup-damaged"


class UnsupportedBackupError(BackupError):
    """The PFX uses an algorithm that can't be opened here."""

    code = "backup-unsupported"


class VerificationError(BackupError):
    """The PFX opens and is not what it should be.

    `mismatches` holds every check that failed, not only the first.
    """

    code = "backup-verification"

    def __init__(
        self, message: str, mismatches: tuple[str, ...], *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.mismatches = mismatches


class RestoreError(NssBackupError):
    """An identity can't be put into a profile; the profile is as it was."""

    code = "restore-failed"
    exit_status = 40


class StoreChangedError(RestoreError):
    """Another program changed the databases while we worked on them."""

    code = "store-changed"
    default_hint = "close the application that uses the profile and try again"


class StoreUnwritableError(RestoreError):
    """The databases can't be written to."""

    code = "store-unwritable"


class InterruptedByUserError(NssBackupError):
    """Ctrl-C."""

    code = "interrupted"
    exit_status = 130
