"""Orders: what a batch is to do, and the same as text for the processes that do it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nssbackup.batch.tables import Owner, PasswordTable
from nssbackup.secret import Secret

if TYPE_CHECKING:
    from nssbackup.stores import EngineName  # slow to load

Passwords = Secret | PasswordTable
"""One password for all, or a table."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What is done for every user alike.

    Attributes:
        folder: where the files go, absolute.
        host: this computer's name, for the report.
        certificates: which identities, as CERT arguments; () for WIPO's.
        all_issuers: every identity, whoever issued it.
        expired: the expired ones too.
        applications: whose profiles; () for all.
        formats: names of formats, a file for each.
        rounds: of the key derivations.
        chain: whether the CA certificates go along.
        passwords: of the backups; None for a made-up one each.
        primary: the primary passwords; None where there are none to be had.
        escrow: certificates that made-up passwords are encrypted to, DER; () for passwords.csv.
        force: whether what is there already is done again.
        dry_run: whether nothing is written.
        engine: what reads the stores.
    """

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
    force: bool = False
    dry_run: bool = False
    engine: EngineName = "auto"

    @property
    def kind(self) -> str:
        """How files are protected: one made otherwise is made again."""
        if self.passwords is not None:
            source = "given"
        elif self.escrow:
            source = " ".join(sorted(hashlib.sha256(der).hexdigest() for der in self.escrow))
        else:
            source = "made up"
        return f"{self.rounds} {source}"

    @property
    def wanted(self) -> str:
        """A hash of what decides which files there are to be, and what is in them."""
        selection = (self.certificates, self.all_issuers, self.expired, self.applications)
        text = json.dumps([*selection, self.formats, self.chain, self.kind])
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def to_wire(self) -> str:
        """The orders as a line of JSON, passwords included: for a pipe and nothing else."""
        names = (
            *("host", "certificates", "all_issuers", "expired", "applications", "formats"),
            *("rounds", "chain", "force", "dry_run", "engine"),
        )
        document: dict[str, object] = {name: getattr(self, name) for name in names}
        document["folder"] = str(self.folder)
        document["passwords"] = _passwords_to_wire(self.passwords)
        document["primary"] = _passwords_to_wire(self.primary)
        document["escrow"] = [base64.b64encode(der).decode("ascii") for der in self.escrow]
        return json.dumps(document)

    @classmethod
    def from_wire(cls, text: str) -> Orders:
        """The orders that `to_wire` gave."""
        document: dict[str, Any] = json.loads(text)
        for name in ("certificates", "applications", "formats"):
            document[name] = tuple(document[name])
        document["folder"] = Path(document["folder"])
        document["passwords"] = _passwords_of_wire(document["passwords"])
        document["primary"] = _passwords_of_wire(document["primary"])
        document["escrow"] = tuple(base64.b64decode(der) for der in document["escrow"])
        return cls(**document)


def password_of(passwords: Passwords | None, owner: Owner) -> Secret | None:
    """The password that is for an owner; None where there is none."""
    return passwords.password_of(owner) if isinstance(passwords, PasswordTable) else passwords


def _passwords_to_wire(passwords: Passwords | None) -> object:
    if isinstance(passwords, PasswordTable):
        return [[dict(row), secret.reveal()] for row, secret in passwords.rows]
    return passwords.reveal() if passwords is not None else None


def _passwords_of_wire(document: Any) -> Passwords | None:  # noqa: ANN401 - JSON
    if isinstance(document, list):
        return PasswordTable(tuple((row, Secret(password)) for row, password in document))
    return None if document is None else Secret(document)
