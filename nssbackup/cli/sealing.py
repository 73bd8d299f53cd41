"""PfxWriters: where the password of a new backup comes from, and when its derivations begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nssbackup.cli import passwords
from nssbackup.cli.output import Output
from nssbackup.secret import weakness

if TYPE_CHECKING:
    from nssbackup.pkcs12 import Destination, Format, PfxWriters
    from nssbackup.secret import Secret


@dataclass(slots=True)
class BackupSealing:
    """The `sealing` of a `Dialogue`: the password of a new backup, and its PfxWriter at work.

    Attributes:
        talk: gets the warnings, and the generated password.
        formats: one PfxWriter is begun for each.
        destination: where the files will be opened; None where that isn't known.
        rounds: as `--kdf-rounds` says; None for the destination's, or 600,000.
        password_file: what `--password-file` names; None for a question.
        generate: whether a password is made up.
        check: is called with the password, and raises if it won't do here.
    """

    talk: Output
    formats: tuple[Format, ...]
    destination: Destination | None = None
    rounds: int | None = None
    password_file: str | None = None
    generate: bool = False
    check: Callable[[Secret], None] | None = None
    _begun: PfxWriters | None = None

    def begin(self) -> None:
        """Start the derivations where the password needs no question: it is read or made up.

        Raises:
            UsageError: the file can't be read, the password is empty or refused by `check`, or
                the rounds are out of range.
        """
        from nssbackup.pkcs12 import checked_rounds

        default = self.destination.rounds if self.destination else None
        self.rounds = checked_rounds(default if self.rounds is None else self.rounds)
        if self.generate:
            self._begun = self._sealing(passwords.generate())
        elif self.password_file is not None:
            given = passwords.read_file(self.password_file, "--password-file")
            self._begun = self._sealing(given)

    def __call__(self) -> PfxWriters:
        """The password and its PfxWriter; asks for it now unless it is known."""
        if self._begun is None:
            return self._sealing(passwords.new_backup_password(self.talk.warn))
        if self.generate:
            # Before anything is written: a backup whose password got lost is none.
            self.talk.secret("Password of the backup", self._begun.password.reveal())
        return self._begun

    @property
    def generated(self) -> Secret | None:
        """The password that was made up; None where a person knows it anyway."""
        return self._begun.password if self.generate and self._begun else None

    def _sealing(self, password: Secret) -> PfxWriters:
        from nssbackup.pkcs12 import PfxWriters, password_warnings

        if self.check is not None:
            self.check(password)
        weak = None if self.generate or self.password_file else weakness(password)
        warnings = (*((weak,) if weak else ()), *password_warnings(self.destination, password))
        for warning in warnings:
            self.talk.warn(warning)
        return PfxWriters.start(password, self.formats, self.rounds)
