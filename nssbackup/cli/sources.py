"""Sources: where the passwords of a batch come from, and what is wrong with them.

`fleet` looks at them here as `batch` does: what is wrong would be wrong on every host.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nssbackup.cli import passwords
from nssbackup.errors import UsageError

if TYPE_CHECKING:
    from nssbackup.batch.options import Passwords
    from nssbackup.cli.output import Output
    from nssbackup.pkcs12 import Destination

_FILE, _TABLE = "--password-file", "--passwords"
_PRIMARY_FILE, _PRIMARY_TABLE = "--primary-password-file", "--primary-passwords"


@dataclass(frozen=True, slots=True)
class Sources:
    """What the options say, each as the option of that name.

    Attributes:
        password_file: one password for all backups; "-" is stdin.
        passwords: a table of them.
        primary_password_file: the same of the primary passwords.
        primary_passwords: a table of them.
        generate: whether it was said that passwords are made up, as they are anyway.
        escrow: whether those are to be encrypted.
    """

    password_file: str | None
    passwords: Path | None
    primary_password_file: str | None
    primary_passwords: Path | None
    generate: bool = False
    escrow: bool = False

    def check(self) -> None:
        """Refuse two sources for one password, and escrow for one that is not made up.

        Raises:
            UsageError: there are.
        """
        given = _one_of({_FILE: self.password_file, _TABLE: self.passwords})
        _one_of({_PRIMARY_FILE: self.primary_password_file, _PRIMARY_TABLE: self.primary_passwords})
        if given and self.generate:
            message = f"`--generate-passwords` and `{given}` exclude each other"
            raise UsageError(message)
        if given and self.escrow:
            message = f"`--escrow-cert` and `{given}` exclude each other"
            raise UsageError(message, hint="a password that is given is known to whoever gave it")
        passwords.check_one_source(
            password_file=self.password_file, generate=False, primary=self.primary_password_file
        )

    def of_backups(self, destination: Destination | None, talk: Output) -> Passwords | None:
        """The passwords of the backups; None if they are generated.

        Raises:
            UsageError: a file can't be read, or what is in it can't be a backup's password.
        """
        from nssbackup.pkcs12 import password_warnings
        from nssbackup.secret import Secret

        found = _found(self.password_file, _FILE, self.passwords, _TABLE)
        if isinstance(found, Secret):
            if not found:
                message = "the backup password is empty"
                raise UsageError(message, hint="Firefox and Windows can't open such a file")
            for warning in password_warnings(destination, found):
                talk.warn(warning)
        return found

    def of_profiles(self) -> Passwords | None:
        """The primary passwords; None where there are none to be had.

        Raises:
            UsageError: a file can't be read, or a line of the table is not as it should be.
        """
        return _found(
            self.primary_password_file, _PRIMARY_FILE, self.primary_passwords, _PRIMARY_TABLE
        )


def _one_of(options: dict[str, str | Path | None]) -> str | None:
    """The option that was given, of several that exclude each other."""
    given = [option for option, value in options.items() if value is not None]
    if len(given) > 1:
        message = f"`{given[0]}` and `{given[1]}` exclude each other"
        raise UsageError(message)
    return given[0] if given else None


def _found(
    file: str | None, file_option: str, table: Path | None, table_option: str
) -> Passwords | None:
    if file is not None:
        return passwords.read_file(file, file_option)
    if table is not None:
        from nssbackup.batch.password_table import PasswordTable

        return PasswordTable.read(table, table_option)
    return None
