"""What `batch` and `fleet` share: their options, and where their passwords come from."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nssbackup.batch.password_table import PasswordTable
from nssbackup.cli import passwords
from nssbackup.errors import UsageError
from nssbackup.pkcs12.formats import Destination, password_warnings
from nssbackup.secret import Secret

if TYPE_CHECKING:
    from nssbackup.batch.options import Passwords
    from nssbackup.cli.printer import Printer

# The contract's exit status: finished, and some items failed.
SOME_FAILED = 3

_FILE, _TABLE = "--password-file", "--passwords"
_PRIMARY_FILE, _PRIMARY_TABLE = "--primary-password-file", "--primary-passwords"

OnlyCerts = Annotated[
    list[str] | None,
    typer.Option(
        "--cert",
        metavar="TEXT",
        show_default="every WIPO certificate",
        help="Only these: nickname, name, e-mail, issuer, serial number or fingerprint."
        " Repeatable.",
    ),
]
AllIssuers = Annotated[
    bool, typer.Option("--all-issuers", help="Every certificate with its key, not only WIPO's.")
]
Expired = Annotated[bool, typer.Option("--expired", help="Expired ones too.")]
ExpiringFirst = Annotated[
    int | None,
    typer.Option(
        "--expiring",
        metavar="DAYS",
        min=0,
        show_default=False,
        help="Put the ones that expire within so many days at the top of the report.",
    ),
]
Again = Annotated[bool, typer.Option("--force", help="Back up again what is backed up already.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")
]
Escrow = Annotated[
    list[Path] | None,
    typer.Option(
        "--escrow-cert",
        metavar="FILE",
        show_default=False,
        help="Encrypt the generated passwords to this certificate (RSA), for `openssl cms"
        " -decrypt`. Repeatable: each of them can open all. Without it the passwords are kept"
        " unencrypted, in a file that only its owner can read.",
    ),
]
NoEscrow = Annotated[
    bool,
    typer.Option(
        "--no-escrow",
        help="Write new passwords in the clear although earlier ones are in escrow.",
    ),
]
PasswordTableFile = Annotated[
    Path | None,
    typer.Option(
        _TABLE,
        metavar="CSV",
        show_default=False,
        help="A password for each backup: a table with one or more of the columns host, user,"
        " profile and fingerprint, and the column password.",
    ),
]
PrimaryOfAll = Annotated[
    str | None,
    typer.Option(
        _PRIMARY_FILE,
        metavar="FILE",
        show_default=False,
        help="Firefox's Primary Password, if all have the same: the first line of FILE.",
    ),
]
PrimaryTableFile = Annotated[
    Path | None,
    typer.Option(
        _PRIMARY_TABLE,
        metavar="CSV",
        show_default=False,
        help="The Primary Passwords, as a table like that of --passwords.",
    ),
]


@dataclass(frozen=True, slots=True)
class PasswordSources:
    """Where the passwords come from; each attribute is the option of that name.

    `fleet` checks them here as `batch` does: what is wrong would be wrong on every host.

    Attributes:
        password_file: one password for all backups; "-" is stdin.
        passwords: a table of backup passwords.
        primary_password_file: one Primary Password for all profiles.
        primary_passwords: a table of Primary Passwords.
        generate: whether `--generate-passwords` was given, which is the default anyway.
        escrow: whether generated passwords are encrypted to a certificate.
    """

    password_file: str | None
    passwords: Path | None
    primary_password_file: str | None
    primary_passwords: Path | None
    generate: bool = False
    escrow: bool = False

    @property
    def files(self) -> dict[str, Path]:
        """Return the files with passwords, by their options."""
        given = {
            _FILE: self.password_file,
            _TABLE: self.passwords,
            _PRIMARY_FILE: self.primary_password_file,
            _PRIMARY_TABLE: self.primary_passwords,
        }
        return {option: Path(file) for option, file in given.items() if file is not None}

    def check(self, printer: Printer) -> None:
        """Check that no password has two sources, and that escrow is for generated ones.

        Files that other users can read get a warning.

        Raises:
            UsageError: this is not so.
        """
        given = _one_of({_FILE: self.password_file, _TABLE: self.passwords})
        _one_of({_PRIMARY_FILE: self.primary_password_file, _PRIMARY_TABLE: self.primary_passwords})
        if given and self.generate:
            message = f"`--generate-passwords` and `{given}` exclude each other"
            raise UsageError(message)
        if given and self.escrow:
            message = f"`--escrow-cert` and `{given}` exclude each other"
            hint = "escrow is for generated passwords; whoever gave a password knows it"
            raise UsageError(message, hint=hint)
        passwords.check_one_source(
            password_file=self.password_file, generate=False, primary=self.primary_password_file
        )
        for option, file in self.files.items():
            if _is_readable_by_others(file):
                printer.warn(
                    f"others can read the file of `{option}`: `chmod 600 {file}` prevents that"
                )

    def of_backups(self, destination: Destination | None, printer: Printer) -> Passwords | None:
        """Return the passwords of the backups; None if they are generated.

        Raises:
            UsageError: a file can't be read, or has a password that a backup can't have.
        """
        found = _read(self.password_file, _FILE, self.passwords, _TABLE)
        if isinstance(found, Secret):
            if (unusable := passwords.why_unusable(found)) is not None:
                raise UsageError(unusable)
            blank = passwords.trailing_blank(found)
            for warning in (*((blank,) if blank else ()), *password_warnings(destination, found)):
                printer.warn(warning)
        return found

    def of_profiles(self) -> Passwords | None:
        """Return the Primary Passwords; None if none were given.

        Raises:
            UsageError: a file can't be read, or a row of the table is wrong.
        """
        return _read(
            self.primary_password_file, _PRIMARY_FILE, self.primary_passwords, _PRIMARY_TABLE
        )


def _is_readable_by_others(path: Path) -> bool:
    if os.name != "posix":
        return False
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # said when it is read
        return False
    return stat.S_ISREG(mode) and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def _one_of(options: dict[str, str | Path | None]) -> str | None:
    """Return which of several exclusive options was given."""
    given = [option for option, value in options.items() if value is not None]
    if len(given) > 1:
        message = f"`{given[0]}` and `{given[1]}` exclude each other"
        raise UsageError(message)
    return given[0] if given else None


def _read(
    file: str | None, file_option: str, table: Path | None, table_option: str
) -> Passwords | None:
    if file is not None:
        return passwords.read_file(file, file_option)
    return PasswordTable.read(table, table_option) if table is not None else None
