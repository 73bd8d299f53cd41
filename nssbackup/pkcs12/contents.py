"""PfxContents: the keys and certificates of an opened PFX, and which belong together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.chain import find_chain
from nssbackup.identity.model import Identity, PrivateKey


@dataclass(frozen=True, slots=True)
class Protection:
    """An encryption or a MAC as a person may read it; `rounds` is None where there are none."""

    name: str
    rounds: int | None


NOT_ENCRYPTED = Protection("not encrypted", None)


@dataclass(frozen=True, slots=True)
class PfxDescription:
    """How a PFX is protected.

    Attributes:
        mac: None for a file without one: then no password proves itself, nor is a change noticed.
        keys: each encryption of a private key once, in the order of the file.
        certificates: the same of the certificates. Until the file is opened this names every
            encrypted safe, whatever lies in it.
    """

    mac: Protection | None
    keys: tuple[Protection, ...]
    certificates: tuple[Protection, ...]


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A private key of a PFX with its attributes."""

    key: PrivateKey
    friendly_name: str | None
    local_key_id: bytes | None


@dataclass(frozen=True, slots=True)
class FoundCertificate:
    """A certificate of a PFX with its attributes; `certificate.nickname` is the friendlyName."""

    certificate: StoredCertificate
    friendly_name: str | None
    local_key_id: bytes | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and the identity that it belongs to; None where its certificate is missing.

    They were paired by their localKeyID or by the public key: after the former it is still to be
    checked that they fit.
    """

    key: FoundKey
    identity: Identity | None


@dataclass(frozen=True, slots=True)
class PfxContents:
    """What was in a PFX, in the order of the file."""

    keys: tuple[FoundKey, ...]
    certificates: tuple[FoundCertificate, ...]
    description: PfxDescription

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every key with its identity."""
        return tuple(Pair(key, self._identity(key)) for key in self.keys)

    @property
    def key(self) -> PrivateKey | None:
        """The private key of `identity`, or the first one; None if there is none."""
        pair = self._first()
        return None if pair is None else pair.key.key

    @property
    def identity(self) -> Identity | None:
        """The first identity whose key is here; None if no key has its certificate here."""
        pair = self._first()
        return None if pair is None else pair.identity

    def _first(self) -> Pair | None:
        pairs = self.pairs
        return next((pair for pair in pairs if pair.identity), pairs[0] if pairs else None)

    def _identity(self, key: FoundKey) -> Identity | None:
        found = self.certificates
        same_key = [each for each in found if each.certificate.public_key == key.key.public_key]
        if key.local_key_id is not None:
            same_id = [each for each in found if each.local_key_id == key.local_key_id]
            # Two certificates with one localKeyID: then the public key decides.
            same_key = [each for each in same_id if each in same_key] or same_id or same_key
        if not same_key:
            return None
        own = replace(same_key[0].certificate, has_private_key=True)
        return Identity(None, own, find_chain(own, [each.certificate for each in found]))
