"""PfxContents: the keys and certificates of an opened PFX, and which belong together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InternalError

from nssbackup.errors import (
    BackupError,
    DamagedBackupError,
    KeyInconsistentError,
    KeyNotExportableError,
    NssBackupError,
    UnsupportedBackupError,
)
from nssbackup.identity import private_keys
from nssbackup.identity.certificate import StoredCertificate, from_der
from nssbackup.identity.chain import Chains
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import structure
from nssbackup.pkcs12.safes import Bag, CertificateBag, KeyBag


@dataclass(frozen=True, slots=True)
class Protection:
    """An encryption or a MAC in words; `rounds` is None if there are none."""

    name: str
    rounds: int | None


NOT_ENCRYPTED = Protection("not encrypted", None)


@dataclass(frozen=True, slots=True)
class PfxDescription:
    """How a PFX is protected.

    Attributes:
        mac: None for a file without one: then neither the password nor a change can be checked.
        keys: each encryption of a private key once, in the order of the file.
        certificates: the same for the certificates. Until the file is opened this names every
            encrypted safe, whatever it contains.
    """

    mac: Protection | None
    keys: tuple[Protection, ...]
    certificates: tuple[Protection, ...]


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A private key of a PFX with its attributes; `algorithm` is that of its PKCS#8."""

    key: PrivateKey
    friendly_name: str | None
    local_key_id: bytes | None
    algorithm: x509.ObjectIdentifier | None = None
    broken_name: bool = False

    def fits(self, certificate: StoredCertificate) -> bool:
        """Return whether OpenSSL takes it for the key of a certificate with the same public key.

        An RSA key does not fit a certificate for RSASSA-PSS, and the other way round.
        """
        wanted = structure.key_algorithm(certificate.der)
        return self.algorithm is None or wanted is None or wanted.algorithm == self.algorithm


@dataclass(frozen=True, slots=True)
class FoundCertificate:
    """A certificate of a PFX with its attributes; `certificate.nickname` is the friendlyName."""

    certificate: StoredCertificate
    friendly_name: str | None
    local_key_id: bytes | None
    broken_name: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its identity; None if its certificate is missing."""

    key: FoundKey
    identity: Identity | None

    @property
    def fits(self) -> bool:
        """Whether key and certificate belong together, or only their localKeyIDs say so."""
        own = self.identity.certificate if self.identity else None
        return own is not None and own.public_key == self.key.key.public_key


@dataclass(frozen=True)  # without slots, for `cached_property`
class PfxContents:
    """The contents of a PFX, in the order of the file.

    `notes` say what was left out, and what is unusual about the file.
    """

    keys: tuple[FoundKey, ...]
    certificates: tuple[FoundCertificate, ...]
    description: PfxDescription
    notes: tuple[str, ...] = ()

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every key with its identity; one key may serve several certificates (renewals)."""
        chains = Chains(each.certificate for each in self.certificates)  # one budget for all
        pairs: list[Pair] = []
        seen: set[str] = set()
        for key in self.keys:
            same_id = [
                each
                for each in self.certificates
                if key.local_key_id is not None and each.local_key_id == key.local_key_id
            ]
            same_key = [
                each
                for each in self.certificates
                if each.certificate.public_key == key.key.public_key
            ]
            # The certificate of the same localKeyID comes first.
            same_key.sort(key=lambda each: each not in same_id)
            found = {each.certificate.sha256: each for each in same_key or same_id[:1]}
            new = [each for sha256, each in found.items() if sha256 not in seen]
            for each in new:
                own = replace(each.certificate, has_private_key=True)
                pairs.append(Pair(key, chains.identity(None, own)))
            seen.update(found)
            if not found:
                pairs.append(Pair(key, None))
        return tuple(pairs)

    @property
    def key(self) -> PrivateKey | None:
        """The private key of `identity`, or the first one; None if there is none."""
        pair = self._first()
        return None if pair is None else pair.key.key

    @property
    def identity(self) -> Identity | None:
        """The first identity; None if no key has its certificate here."""
        pair = self._first()
        return None if pair is None else pair.identity

    def _first(self) -> Pair | None:
        pairs = self.pairs
        return next((pair for pair in pairs if pair.identity), pairs[0] if pairs else None)


def contents_of(
    bags: Iterable[Bag], description: PfxDescription, notes: Sequence[str] = ()
) -> PfxContents:
    """Read the keys and certificates of decrypted bags; leave out those that can't be read.

    Raises:
        DamagedBackupError: no key, or no certificate, can be read.
        UnsupportedBackupError: all keys are of a kind that can't be handled.
    """
    keys: list[FoundKey] = []
    certificates: list[FoundCertificate] = []
    left_out: dict[type[Bag], list[tuple[str, NssBackupError]]] = {KeyBag: [], CertificateBag: []}
    for bag in bags:
        try:
            if isinstance(bag, KeyBag):
                keys.append(_key(bag))
            else:
                certificates.append(_certificate(bag))
        except NssBackupError as error:
            left_out[type(bag)].append((_name_of(bag), error))
    for found, refused in ((keys, left_out[KeyBag]), (certificates, left_out[CertificateBag])):
        if refused and not found:
            raise _unreadable(refused[0][1]) from refused[0][1]
    skipped = [
        f"left out: {name}: {error.message}"
        for refused in left_out.values()
        for name, error in refused
    ]
    return PfxContents(tuple(keys), tuple(certificates), description, (*notes, *skipped))


def _key(bag: KeyBag) -> FoundKey:
    try:
        key = private_keys.from_pkcs8(bag.data)
    except InternalError as error:
        message = "OpenSSL can't set up the private key"
        raise KeyInconsistentError(message) from error
    algorithm = structure.pkcs8_algorithm(bag.data)
    return FoundKey(key, bag.friendly_name, bag.local_key_id, algorithm, bag.broken_name)


def _certificate(bag: CertificateBag) -> FoundCertificate:
    certificate = replace(from_der(bag.der), nickname=bag.friendly_name)
    return FoundCertificate(certificate, bag.friendly_name, bag.local_key_id, bag.broken_name)


def _name_of(bag: Bag) -> str:
    kind = "private key" if isinstance(bag, KeyBag) else "certificate"
    return f"the {kind} `{bag.friendly_name}`" if bag.friendly_name else f"a {kind}"


def _unreadable(error: NssBackupError) -> BackupError:
    if isinstance(error, KeyNotExportableError):
        return UnsupportedBackupError(error.message)
    if isinstance(error, BackupError):
        return error
    return DamagedBackupError(f"the PFX opens, but {error.message}")
