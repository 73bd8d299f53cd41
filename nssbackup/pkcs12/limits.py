"""What a PFX may demand of the machine that opens it, checked before anything is derived.

Honest files stay far below: 600,000 rounds is the most that Windows imports and what NSS writes,
and a PFX holds one or two keys. All of it is counted in rounds of HMAC-SHA-256: 24 million of them
take some three seconds.
"""

from __future__ import annotations

from nssbackup.errors import DamagedBackupError, UnsupportedBackupError

FILE_BYTES = 8 * 1024 * 1024  # with a hundred certificates it is 200 kB
BAGS = 64
SALT_BYTES = 1024
ROUNDS = 10_000_000
ROUNDS_IN_ALL = 24_000_000


def check_parameters(salt: bytes, rounds: int) -> None:
    """Refuse the salt and round count of a single derivation that can't be meant honestly.

    Raises:
        DamagedBackupError: no rounds, or a salt of more than 1 KiB.
        UnsupportedBackupError: more rounds than are done here.
    """
    if rounds < 1 or len(salt) > SALT_BYTES:
        message = "the PFX has impossible key derivation parameters"
        raise DamagedBackupError(message)
    if rounds > ROUNDS:
        message = f"the PFX asks for more than {ROUNDS:,} rounds of key derivation"
        raise UnsupportedBackupError(message)


class RoundBudget:
    """What opening one file may still cost, in rounds of HMAC-SHA-256."""

    def __init__(self) -> None:
        self._left = ROUNDS_IN_ALL

    def spend(self, rounds: int) -> None:
        """Take `rounds` from the budget.

        Raises:
            UnsupportedBackupError: there are not as many left.
        """
        self._left -= rounds
        if self._left < 0:
            message = f"opening the PFX would take more than {ROUNDS_IN_ALL:,} rounds in all"
            raise UnsupportedBackupError(message)
