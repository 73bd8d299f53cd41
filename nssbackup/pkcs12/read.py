"""Read a PFX: without the password how it is protected, with it everything else."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from nssbackup.errors import (
    BackupError,
    DamagedBackupError,
    UnsupportedBackupError,
    WrongBackupPasswordError,
)
from nssbackup.pkcs12 import kdf, protection, safes, structure
from nssbackup.pkcs12.contents import (
    NOT_ENCRYPTED,
    PfxContents,
    PfxDescription,
    Protection,
    contents_of,
)
from nssbackup.pkcs12.kdf import Encoded, Kdf
from nssbackup.pkcs12.protection import AnyEncryption, Mac, Other
from nssbackup.pkcs12.safes import Bag, CertificateBag, ClearSafe, EncryptedSafe, KeyBag, Pfx
from nssbackup.secret import Secret

# A bag, and the encryption of the safe around it.
_Placed = tuple[AnyEncryption | None, Bag]


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
        placed = opener.open()
    finally:
        opener.close()
    notes = opener.notes
    if pfx.surplus:
        notes.append(f"{pfx.surplus:,} bytes after the end of the PFX were ignored")
    return contents_of([bag for _, bag in placed], _description(pfx, placed), notes)


class _Opener:
    """Opens one file: all derivations start at once, and each result is awaited where needed."""

    def __init__(self, pfx: Pfx, passwords: tuple[Encoded, ...]) -> None:
        self.notes: list[str] = []
        self._pfx = pfx
        self._passwords = passwords
        self._budget = kdf.RoundBudget()
        self._derivations = kdf.Derivations("nssbackup-open", self._budget)

    def close(self) -> None:
        """Drop the derivations that nobody waits for, as after a wrong password."""
        self._derivations.finish(cancel=True)

    def open(self) -> list[_Placed]:
        """Return every bag of the file, decrypted; leave out keys that can't be."""
        mac = self._pfx.mac
        if isinstance(mac, Other):
            raise protection.unsupported(mac.name)
        self._start(_encryptions(self._pfx), (mac.kdf,) if mac else ())
        if mac is not None:
            self._check_mac(mac)
        placed: list[_Placed] = []
        for safe in self._pfx.safes:
            if isinstance(safe, EncryptedSafe):
                placed += [(safe.encryption, bag) for bag in self._bags(safe)]
            else:
                placed += [(None, bag) for bag in safe.bags]
        safes.check_count([bag for _, bag in placed])
        return self._decrypted(placed)

    def _start(self, encryptions: Iterable[AnyEncryption], others: tuple[Kdf, ...] = ()) -> None:
        """Start what has to be derived, once all of it has been paid for."""
        known = [each for each in encryptions if not isinstance(each, Other)]
        kdfs = [kdf for each in known for kdf in each.kdfs]
        self._derivations.start([*others, *kdfs], self._passwords[0])

    def _check_mac(self, mac: Mac) -> None:
        """Try the encodings of the password; the one that makes the MAC comes first from now on."""
        for password in self._affordable((mac.kdf,)):
            (key,) = self._derivations.result((mac.kdf,), password)
            if hmac.compare_digest(mac.digest(key, self._pfx.content), self._pfx.digest):
                others = (each for each in self._passwords if each is not password)
                self._passwords = (password, *others)
                self._note(password)
                return
        message = "the backup password is wrong"
        raise WrongBackupPasswordError(message)

    def _affordable(self, kdfs: Sequence[Kdf]) -> Iterator[Encoded]:
        """Yield the encodings of the password, as long as the budget allows another derivation."""
        self._derivations.start(kdfs, self._passwords[0])
        yield self._passwords[0]
        for password in self._passwords[1:]:
            try:
                self._derivations.start(kdfs, password)
            except UnsupportedBackupError:
                return
            yield password

    def _note(self, password: Encoded) -> None:
        if password.note and password.note not in self.notes:
            self.notes.append(password.note)

    def _bags(self, safe: EncryptedSafe) -> tuple[Bag, ...]:
        for password, contents in self._plaintexts(safe.encryption, safe.ciphertext):
            try:
                bags = safes.bags_of(contents)
            except DamagedBackupError:
                continue  # the padding was right by chance
            self._note(password)
            self._start(_encryptions_of_keys(bags))
            return bags
        raise self._undecryptable()

    def _decrypted(self, placed: Sequence[_Placed]) -> list[_Placed]:
        """Return the bags with their keys in the clear; `encryption` stays."""
        found: list[_Placed] = []
        refused: list[UnsupportedBackupError] = []
        for around, bag in placed:
            try:
                found.append((around, self._clear(bag)))
            except UnsupportedBackupError as error:
                refused.append(error)
        if refused and not any(isinstance(bag, KeyBag) for _, bag in found):
            raise refused[0]
        self.notes += [f"left out: a private key: {error.message}" for error in refused]
        return found

    def _clear(self, bag: Bag) -> Bag:
        if not isinstance(bag, KeyBag) or bag.encryption is None:
            return bag
        for password, pkcs8 in self._plaintexts(bag.encryption, bag.data):
            # A PrivateKeyInfo is a SEQUENCE: anything else comes from a wrong key.
            if pkcs8.startswith(structure.SEQUENCE):
                self._note(password)
                return replace(bag, data=pkcs8)
        raise self._undecryptable()

    def _plaintexts(
        self, encryption: AnyEncryption, ciphertext: bytes
    ) -> Iterator[tuple[Encoded, bytes]]:
        """Yield what each encoding of the password decrypts to, if the padding is right."""
        if isinstance(encryption, Other):
            raise protection.unsupported(encryption.name)
        for password in self._affordable(encryption.kdfs):
            key = encryption.key(self._derivations.result(encryption.kdfs, password))
            self._budget.spend(key.cost(ciphertext))
            plaintext = key.decrypt(ciphertext)
            if plaintext is not None:
                yield password, plaintext

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
