"""Exit statuses: what each means, in the words of the manual and the README.

The numbers stand on the classes of the errors; here one class stands for all that share its number.
"""

from __future__ import annotations

from collections.abc import Mapping

from nssbackup import errors
from nssbackup.identity.choosing import AmbiguousError, NoMatchError

_WITHOUT_ERROR = {
    0: "done",
    3: "a batch finished, and some items failed: the report names each",
}

_MEANINGS: Mapping[type[errors.NssBackupError], str] = {
    errors.InternalError: "a fault of nssbackup itself",
    errors.UsageError: "wrong usage: an unknown option, or a question without a terminal",
    errors.CancelledError: "cancelled at a question",
    errors.NoProfileError: "no profile, or no NSS database in it",
    errors.StoreError: "the database is damaged, of an unknown kind, or unreadable",
    errors.PrimaryPasswordRequiredError: "the primary password is wrong or missing",
    errors.EngineUnavailableError: "the engine asked for is not available here",
    NoMatchError: "no certificate matches",
    AmbiguousError: "several match; they are listed",
    errors.KeyMissingError: "the private key is not in this store, or can't be exported",
    errors.OutputExistsError: "the output exists already",
    errors.OutputError: "the output can't be written",
    errors.BackupError: "a backup doesn't verify",
    errors.RestoreError: "restore failed; nothing was changed",
    errors.InterruptedByUserError: "interrupted",
}


def exit_statuses() -> Mapping[int, str]:
    """Every exit status and its meaning, in order."""
    found = {error.exit_status: meaning for error, meaning in _MEANINGS.items()}
    return dict(sorted({**_WITHOUT_ERROR, **found}.items()))
