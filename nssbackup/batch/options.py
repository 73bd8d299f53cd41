"""The options of a batch, the same for every user."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from nssbackup.batch.password_table import Owner, PasswordTable
from nssbackup.secret import Secret
from nssbackup.stores import EngineName

Passwords = Secret | PasswordTable
"""One password for all, or a table."""


@dataclass(frozen=True, slots=True)
class Roots:
    """Where a batch looks.

    Attributes:
        any_kind: homes, folders of homes, profile folders, or folders of those.
        homes: each a home.
        parents: each a folder of homes.
    """

    any_kind: tuple[Path, ...] = ()
    homes: tuple[Path, ...] = ()
    parents: tuple[Path, ...] = ()

    @property
    def all(self) -> tuple[Path, ...]:
        """Every path of them."""
        return (*self.any_kind, *self.homes, *self.parents)


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What a batch does; each is an option of the command.

    Attributes:
        folder: absolute.
        certificates: CERT arguments; () for the WIPO identities.
        applications: whose profiles; () for all.
        formats: names of formats, a file for each.
        passwords: those of the backups; None to generate one for each.
        primary: the primary passwords.
        escrow: DER certificates to encrypt generated passwords to; () for passwords.csv.
        jobs: the number of worker processes; None for one per processor.
    """

    roots: Roots
    folder: Path
    host: str
    certificates: tuple[str, ...] = ()
    all_issuers: bool = False
    expired: bool = False
    applications: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("modern",)
    rounds: int = 2_048
    chain: bool = True
    passwords: Passwords | None = field(default=None, repr=False)
    primary: Passwords | None = field(default=None, repr=False)
    escrow: tuple[bytes, ...] = ()
    no_escrow: bool = False
    force: bool = False
    dry_run: bool = False
    engine: EngineName = "auto"
    jobs: int | None = None
    expiring_days: int | None = None
    exclude: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()

    @property
    def protection(self) -> str:
        """How files are protected: a file that is protected otherwise is made again."""
        if self.passwords is not None:
            source = "given"
        elif self.escrow:
            source = " ".join(sorted(hashlib.sha256(der).hexdigest() for der in self.escrow))
        else:
            source = "made up"  # in the state of earlier versions too
        return f"{self.rounds} {source}"

    @property
    def selection(self) -> str:
        """A hash of the options that choose certificates."""
        return hash_of(self.certificates, self.all_issuers, self.applications)

    @property
    def fingerprint(self) -> str:
        """A hash of the options that decide which files there are and what is in them."""
        return hash_of(self.selection, self.expired, self.formats, self.chain, self.protection)


def hash_of(*values: object) -> str:
    """Return a hash of some JSON values."""
    return hashlib.sha256(json.dumps(values).encode("ascii")).hexdigest()


def password_for(owner: Owner, passwords: Passwords | None) -> Secret | None:
    """Return an owner's password; None if there is none."""
    return passwords.password_of(owner) if isinstance(passwords, PasswordTable) else passwords
