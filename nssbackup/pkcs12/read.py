"""Read a PFX: without the password how it is protected, with it everything else."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from nssbackup.errors import BackupError, DamagedBackupError, WrongBackupPasswordError
from nssbackup.pkcs12 import fallback, kdf, protection, safes, structure
from nssbackup.pkcs12.contents import (
    NOT_ENCRYPTED,
    PfxContents,
    PfxDescription,
    Protection,
    contents_of,
)
from nssbackup.pkcs12.kdf import Encoded, Kdf
from nssbackup.pkcs12.protection import AnyEncryption, Encryption, Mac, Other
from nssbackup.pkcs12.safes import Bag, CertificateBag, ClearSafe, EncryptedSafe, KeyBag, Pfx
from nssbackup.secret import Secret

# A bag, and the encryption of the safe around it.
_Placed = tuple[AnyEncryption | None, Bag]
_Result = TypeVar("_Result")


def describe(data: bytes) -> PfxDescription:
    """Return how a PFX is protected, as far as it shows without the password.

    Args:
        data: the file, BER or DER, at most 8 MiB.

    Raises:
        DamagedBackupError: the bytes are not a PFX.
        UnsupportedBackupError: it is not protected by a password, or exceeds our limits.
    """
    pfx = safes.parse(data)
    clear: list[_Placed] = [
        (None, bag) for safe in pfx.safes if isinstance(safe, ClearSafe) for bag in safe.bags
    ]
    encrypted = [safe.encryption for safe in pfx.safes if isinstance(safe, EncryptedSafe)]
    return _description(pfx, clear, encrypted)


def open_pfx(data: bytes, password: Secret) -> PfxContents:
    """Return everything in a PFX, even if it has no key or no certificate.

    Args:
        data: the file, BER or DER, at most 8 MiB.
        password: may be empty.

    Raises:
        WrongBackupPasswordError: the password doesn't open it.
        DamagedBackupError: the bytes are not a PFX, or a damaged one.
        UnsupportedBackupError: it uses what can't be opened here, or exceeds our limits.
        UsageError: the password is not text (a lone surrogate).
    """
    passwords = kdf.encodings(password)
    pfx = safes.parse(data)
    opener = _Opener(pfx, passwords)
    try:
        placed = opener.open(data)
    finally:
        opener.close()
    return contents_of([bag for _, bag in placed], _description(pfx, placed))


class _Opener:
    """Opens one file: all derivations start at once, and each result is awaited where needed."""

    def __init__(self, pfx: Pfx, passwords: tuple[Encoded, ...]) -> None:
        self._pfx = pfx
        self._passwords = passwords
        self._budget = kdf.RoundBudget()
        self._derivations = kdf.Derivations("nssbackup-open", self._budget)

    def close(self) -> None:
        """Drop the derivations that nobody waits for, as after a wrong password."""
        self._derivations.finish(cancel=True)

    def open(self, data: bytes) -> list[_Placed]:
        """Return every bag of the file, decrypted."""
        mac = self._pfx.mac
        self._start(_encryptions(self._pfx), (mac.kdf,) if isinstance(mac, Mac) else ())
        if isinstance(mac, Other):
            self._pay(mac)
        self._check_mac(data)
        placed: list[_Placed] = []
        for safe in self._pfx.safes:
            if isinstance(safe, EncryptedSafe):
                placed += [(safe.encryption, bag) for bag in self._bags(safe)]
            else:
                placed += [(None, bag) for bag in safe.bags]
        safes.check_count([bag for _, bag in placed])
        return [(around, self._decrypted(bag)) for around, bag in placed]

    def _start(self, encryptions: Iterable[AnyEncryption], others: tuple[Kdf, ...] = ()) -> None:
        """Start what has to be derived, when all of it has been paid for."""
        kdfs = list(others)
        for each in encryptions:
            if isinstance(each, Other):
                self._pay(each)
            else:
                kdfs += each.kdfs
        self._derivations.start(kdfs, self._passwords[0])

    def _pay(self, other: Other) -> None:
        if other.rounds is None:
            raise protection.unsupported(other.name)
        self._budget.spend(other.cost * len(self._passwords))

    def _check_mac(self, data: bytes) -> None:
        """Try the password in each encoding; the one that makes the MAC comes first from now on."""
        mac = self._pfx.mac
        if mac is None:
            return
        for password in self._passwords:
            if isinstance(mac, Other):
                fits = fallback.mac_fits(data, password)
            else:
                (key,) = self._derivations.result((mac.kdf,), password)
                fits = hmac.compare_digest(mac.digest(key, self._pfx.content), self._pfx.digest)
            if fits:
                others = (each for each in self._passwords if each is not password)
                self._passwords = (password, *others)
                return
        message = "the backup password is wrong"
        raise WrongBackupPasswordError(message)

    def _bags(self, safe: EncryptedSafe) -> tuple[Bag, ...]:
        if isinstance(safe.encryption, Other):
            return self._by_fallback(fallback.open_safe, safe.encryption, safe.ciphertext)
        for contents in self._plaintexts(safe.encryption, safe.ciphertext):
            try:
                bags = safes.bags_of(contents)
            except DamagedBackupError:
                continue  # the padding was right by chance
            self._start(_encryptions_of_keys(bags))
            return bags
        raise self._undecryptable()

    def _decrypted(self, bag: Bag) -> Bag:
        """Return a bag with its key in the clear (`encryption` still says how it was encrypted)."""
        if not isinstance(bag, KeyBag) or bag.encryption is None:
            return bag
        if isinstance(bag.encryption, Other):
            pkcs8 = self._by_fallback(fallback.open_key, bag.encryption, bag.data)
            return replace(bag, data=pkcs8)
        for pkcs8 in self._plaintexts(bag.encryption, bag.data):
            # A PrivateKeyInfo is a SEQUENCE: anything else comes from a wrong key.
            if pkcs8.startswith(structure.SEQUENCE):
                return replace(bag, data=pkcs8)
        raise self._undecryptable()

    def _plaintexts(self, encryption: Encryption, ciphertext: bytes) -> Iterable[bytes]:
        """Yield what each encoding of the password decrypts to, if the padding is right."""
        for password in self._passwords:
            derived = self._derivations.result(encryption.kdfs, password)
            plaintext = encryption.key(derived).decrypt(ciphertext)
            if plaintext is not None:
                yield plaintext

    def _by_fallback(
        self,
        open_part: Callable[[Other, bytes, Encoded], _Result | None],
        encryption: Other,
        ciphertext: bytes,
    ) -> _Result:
        for password in self._passwords:
            found = open_part(encryption, ciphertext, password)
            if found is not None:
                return found
        if self._pfx.mac is not None:
            # The password is right, so OpenSSL lacks the algorithm (its legacy provider).
            raise protection.unsupported(encryption.name)
        raise self._undecryptable()

    def _undecryptable(self) -> BackupError:
        if self._pfx.mac is not None:
            message = "the backup password is right, but the PFX can't be decrypted with it"
            return DamagedBackupError(message)
        message = "the backup password is wrong, or the file is damaged"
        return WrongBackupPasswordError(message)


def _encryptions(pfx: Pfx) -> list[AnyEncryption]:
    """Return the encryptions that show without a password."""
    found = []
    for safe in pfx.safes:
        if isinstance(safe, EncryptedSafe):
            found.append(safe.encryption)
        else:
            found += _encryptions_of_keys(safe.bags)
    return found


def _encryptions_of_keys(bags: Iterable[Bag]) -> list[AnyEncryption]:
    return [bag.encryption for bag in bags if isinstance(bag, KeyBag) and bag.encryption]


def _description(
    pfx: Pfx, placed: list[_Placed], unopened: Sequence[AnyEncryption] = ()
) -> PfxDescription:
    of_keys = [bag.encryption or around for around, bag in placed if isinstance(bag, KeyBag)]
    of_certificates = [around for around, bag in placed if isinstance(bag, CertificateBag)]
    return PfxDescription(
        mac=None if pfx.mac is None else Protection(pfx.mac.name, pfx.mac.rounds),
        keys=_protections(of_keys),
        certificates=_protections([*unopened, *of_certificates]),
    )


def _protections(encryptions: Iterable[AnyEncryption | None]) -> tuple[Protection, ...]:
    """Return each once, in order."""
    return tuple(
        dict.fromkeys(
            NOT_ENCRYPTED if each is None else Protection(each.name, each.rounds)
            for each in encryptions
        )
    )
