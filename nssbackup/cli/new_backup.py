"""The password of a new backup, and the PFX writers that use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nssbackup.cli import passwords
from nssbackup.cli.printer import Printer
from nssbackup.errors import UsageError
from nssbackup.pkcs12 import (
    Destination,
    Format,
    PfxWriters,
    checked_rounds,
    password_warnings,
)
from nssbackup.secret import Secret, generate, weakness

if TYPE_CHECKING:
    from nssbackup.identity.model import Identity


@dataclass(slots=True)
class NewBackup:
    """Where the password of a new backup comes from.

    Attributes:
        printer: gets the warnings, and a generated password.
        formats: there is one PFX writer for each.
        destination: where the files will be opened; None if unknown.
        rounds: of `--kdf-rounds`; None for the destination's number, or 600,000.
        password_file: the file of `--password-file`; None to ask.
        generate: whether to generate a password.
        mailed: whether the backup goes into a mail draft.
    """

    printer: Printer
    formats: tuple[Format, ...]
    destination: Destination | None = None
    rounds: int | None = None
    password_file: str | None = None
    generate: bool = False
    mailed: bool = False
    _started: PfxWriters | None = None

    def start_derivations(self) -> None:
        """Start deriving keys in the background, unless the password has to be asked for.

        They take as long as everything before the writing, so they start first.

        Raises:
            UsageError: the file can't be read, its password can't be used, or the rounds are out
                of range.
        """
        default = self.destination.rounds if self.destination else None
        self.rounds = checked_rounds(default if self.rounds is None else self.rounds)
        if self.generate:
            self._started = self._start(generate())
        elif self.password_file is not None:
            password = passwords.read_file(self.password_file, "--password-file")
            if (unusable := passwords.why_unusable(password)) is not None:
                raise UsageError(unusable)
            self._started = self._start(password)

    def writers(self, identity: Identity) -> PfxWriters:
        """Return the PFX writers; ask for the password first if it isn't known.

        Args:
            identity: what will be written; its names make bad passwords.
        """
        if self.generate and self._started is not None:
            # Before anything is written: a backup without its password is worthless.
            self.printer.generated_password(self._started.password)
            return self._started
        asked = self._started is None
        writers = self._started or self._start(passwords.new_password(self.printer.warn))
        if asked or self.mailed:
            weak = weakness(writers.password, identity.names)
            if weak is not None:
                self.printer.warn(weak)
        return writers

    @property
    def generated(self) -> Secret | None:
        """Return the generated password; None if a person knows the password anyway."""
        return self._started.password if self.generate and self._started else None

    def _start(self, password: Secret) -> PfxWriters:
        blank = passwords.trailing_blank(password)
        for warning in (
            *((blank,) if blank else ()),
            *password_warnings(self.destination, password),
        ):
            self.printer.warn(warning)
        return PfxWriters.start(password, self.formats, self.rounds)
