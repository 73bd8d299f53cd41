"""Making: an identity and its key into the bytes of a PFX, with a password of its own or given.

Nothing is written here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace

from nssbackup.backups.verify import Expected
from nssbackup.batch.orders import Orders, password_of
from nssbackup.batch.tables import Owner
from nssbackup.errors import NssBackupError, UsageError
from nssbackup.identity.model import Identity, PrivateKey, Profile
from nssbackup.pkcs12 import Format, PfxWriters, format_named, friendly_name_of
from nssbackup.secret import Secret, generate
from nssbackup.stores.unlocking import read_key


class NoBackupPasswordError(UsageError):
    """The table of passwords has none for a backup."""

    code = "no-backup-password"
    default_hint = "add a line for it to the file of `--passwords`"


@dataclass(frozen=True, slots=True)
class Pfx:
    """A PFX in memory, and what it must turn out to be when it is read back."""

    data: bytes = field(repr=False)
    password: Secret
    expected: Expected

    @property
    def sha256(self) -> str:
        """The fingerprint of the file."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes what the orders say of an identity, for a user."""

    orders: Orders
    user: str

    def content_of(self, identity: Identity, format_name: str) -> str:
        """A hash of what a file would hold: another one means that it has to be made anew."""
        written = self._written(identity)
        certificates = [each.sha256 for each in (written.certificate, *written.chain)]
        name = friendly_name_of(written)
        text = json.dumps([certificates, name, format_name, self.orders.kind])
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def key_of(self, copies: tuple[Identity, ...]) -> tuple[PrivateKey, Profile | None, list[str]]:
        """The private key from the first copy that gives it, where that lies, and what was wrong.

        Raises:
            NssBackupError: no copy gives it; the reason of the first.
        """
        refused: list[NssBackupError] = []
        for copy in copies:
            try:
                key = self._read_key(copy)
            except NssBackupError as error:
                refused.append(error)
                continue
            notes = []
            if refused and copy.profile is not None:
                reason = refused[0].message
                notes = [f"the key was taken from its copy in `{copy.profile.path}`: {reason}"]
            return key, copy.profile, notes
        raise refused[0]

    def pfx(self, identity: Identity, key: PrivateKey, password: Secret, format_name: str) -> Pfx:
        """The file of an identity in a format.

        Raises:
            NssBackupError: it can't be made.
        """
        written = self._written(identity)
        format_: Format = format_named(format_name)
        writers = PfxWriters.start(password, (format_,), self.orders.rounds, frugal=True)
        data = writers.by_format[format_].encode(written, key)
        name = friendly_name_of(written)
        return Pfx(data, password, Expected(written, key, name, format_, writers.rounds))

    def _written(self, identity: Identity) -> Identity:
        return identity if self.orders.chain else replace(identity, chain=())

    def _read_key(self, identity: Identity) -> PrivateKey:
        answer = password_of(self.orders.primary, self._owner(identity))
        return read_key(
            identity, self.orders.engine, lambda _, attempt: None if attempt else answer
        )

    def password_of(self, identity: Identity) -> Secret:
        """The password that its file is to have: a new one each time where none is given.

        Raises:
            NoBackupPasswordError: they are given, and there is none for it.
        """
        if self.orders.passwords is None:
            return generate()
        password = password_of(self.orders.passwords, self._owner(identity))
        if password is None:
            message = f"there is no password for the backup of `{identity.display_name}`"
            raise NoBackupPasswordError(message)
        return password

    def _owner(self, identity: Identity) -> Owner:
        profile, certificate = identity.profile, identity.certificate
        names = (profile.name, profile.path.name, str(profile.path)) if profile else ()
        return Owner(self.user, names, (certificate.sha256, certificate.sha1))
