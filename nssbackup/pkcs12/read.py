"""PFX bytes to what is in them: without the password how they are protected, with it the rest."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import InternalError

from nssbackup.errors import (
    BackupError,
    DamagedBackupError,
    KeyInconsistentError,
    KeyNotExportableError,
    UnsupportedBackupError,
    WrongBackupPasswordError,
)
from nssbackup.identity import private_keys
from nssbackup.identity.certificate import MalformedCertificateError, from_der
from nssbackup.pkcs12 import algorithms, kdf, safes
from nssbackup.pkcs12.contents import (
    NOT_ENCRYPTED,
    FoundCertificate,
    FoundKey,
    PfxContents,
    PfxDescription,
    Protection,
)
from nssbackup.pkcs12.derivations import Derivations
from nssbackup.pkcs12.encryption import AnyEncryption, CipherKey, Encryption, ForeignEncryption
from nssbackup.pkcs12.limits import BAGS, RoundBudget
from nssbackup.pkcs12.mac import AnyMac, ForeignMac, Mac
from nssbackup.pkcs12.safes import Bag, CertificateBag, ClearSafe, EncryptedSafe, KeyBag, Pfx
from nssbackup.secret import Secret

# A bag, and the encryption of the safe that it lay in.
_Placed = tuple["AnyEncryption | None", Bag]


def describe(data: bytes) -> PfxDescription:
    """How a PFX is protected, as far as it shows without the password.

    Args:
        data: the file, BER or DER, at most 8 MiB.

    Raises:
        DamagedBackupError: the bytes are no PFX.
        UnsupportedBackupError: it is not protected by a password, or demands too many rounds.
    """
    return _description_of(safes.parse(data))


def open_pfx(data: bytes, password: Secret) -> PfxContents:
    """Everything in a PFX. A file without a key or without a certificate is a result as well.

    Args:
        data: the file, BER or DER, at most 8 MiB.
        password: may be empty.

    Raises:
        WrongBackupPasswordError: the password doesn't open it.
        DamagedBackupError: the bytes are no PFX, or a damaged one.
        UnsupportedBackupError: it uses what can't be opened here, or demands too many rounds.
        UsageError: the password is not text (a lone surrogate).
    """
    kdf.utf8(password)
    pfx = safes.parse(data)
    budget = RoundBudget()
    for protection in (pfx.mac, *_encryptions(pfx)):
        _spend(protection, password, budget)
    with closing(_Opener(pfx, password, budget)) as opener:
        placed = opener.open(data)
    return _contents([bag for _, bag in placed], _description(pfx, placed))


def _spend(
    protection: AnyEncryption | AnyMac | None, password: Secret, budget: RoundBudget
) -> None:
    """Take what a MAC or an encryption demands from the budget."""
    if protection is None:
        return
    if protection.rounds is None:
        raise algorithms.unsupported(protection.name)
    budget.spend(protection.work(password))


class _Opener:
    """Opens one file: all derivations begin at once, and a result is awaited where it is used."""

    def __init__(self, pfx: Pfx, password: Secret, budget: RoundBudget) -> None:
        self._pfx = pfx
        self._password = password
        self._budget = budget
        self._derivations = Derivations(password, "nssbackup-open")

    def close(self) -> None:
        """End the threads; once the password is known to be wrong nobody waits for the rest."""
        self._derivations.close()

    def open(self, data: bytes) -> list[_Placed]:
        """Every bag of the file, with what was encrypted in it decrypted."""
        pfx = self._pfx
        mac_keys = self._mac_keys()
        for encryption in _encryptions(pfx):
            if not isinstance(encryption, ForeignEncryption):
                self._start(encryption)
        self._check_mac(mac_keys, data)
        placed: list[_Placed] = []
        for safe in pfx.safes:
            if isinstance(safe, EncryptedSafe):
                placed += [(safe.encryption, bag) for bag in self._bags(safe)]
            else:
                placed += [(None, bag) for bag in safe.bags]
        if len(placed) > BAGS:
            message = f"the PFX holds more than {BAGS} keys and certificates"
            raise DamagedBackupError(message)
        return [(around, self._unshrouded(bag)) for around, bag in placed]

    def _mac_keys(self) -> Callable[[], tuple[bytes, ...]] | None:
        mac = self._pfx.mac
        if mac is None or isinstance(mac, ForeignMac):
            return None
        return self._derivations.mac_keys(mac)

    def _check_mac(self, derived: Callable[[], tuple[bytes, ...]] | None, data: bytes) -> None:
        mac = self._pfx.mac
        if isinstance(mac, ForeignMac):
            from nssbackup.pkcs12 import foreign

            foreign.check_mac(data, self._password)
        if derived is None or not isinstance(mac, Mac):
            return
        for key in derived():
            if hmac.compare_digest(mac.digest(key, self._pfx.content), self._pfx.digest):
                return
        message = "the backup password is wrong"
        raise WrongBackupPasswordError(message)

    def _start(self, encryption: Encryption) -> Callable[[], tuple[CipherKey, ...]]:
        return self._derivations.cipher_keys(encryption)

    def _bags(self, safe: EncryptedSafe) -> tuple[Bag, ...]:
        if isinstance(safe.encryption, ForeignEncryption):
            from nssbackup.pkcs12 import foreign

            found = foreign.open_safe(safe.encryption, safe.ciphertext, self._password)
            if found is None:
                raise self._undecryptable(safe.encryption)
            return found
        for key in self._start(safe.encryption)():
            contents = key.decrypt(safe.ciphertext)
            if contents is None:
                continue
            try:
                bags = safes.bags(contents)
            except DamagedBackupError:
                continue  # the padding was right by chance
            for bag in bags:
                # Keys in here could not be seen when the budget was first asked.
                if isinstance(bag, KeyBag):
                    _spend(bag.encryption, self._password, self._budget)
            return bags
        raise self._undecryptable()

    def _unshrouded(self, bag: Bag) -> Bag:
        """A key bag with its key in the clear (`encryption` still says how it was encrypted)."""
        if not isinstance(bag, KeyBag) or bag.encryption is None:
            return bag
        if isinstance(bag.encryption, ForeignEncryption):
            from nssbackup.pkcs12 import foreign

            found = foreign.open_key(bag.encryption, bag.data, self._password)
            if found is None:
                raise self._undecryptable(bag.encryption)
            return replace(bag, data=found)
        for key in self._start(bag.encryption)():
            pkcs8 = key.decrypt(bag.data)
            # A PrivateKeyInfo is a SEQUENCE: what isn't was not decrypted with the right key.
            if pkcs8 is not None and pkcs8.startswith(b"\x30"):
                return KeyBag(bag.encryption, pkcs8, bag.friendly_name, bag.local_key_id)
        raise self._undecryptable()

    def _undecryptable(self, foreign: ForeignEncryption | None = None) -> BackupError:
        """With a MAC the password has proved itself, or the file would have been refused.

        A foreign encryption is then one that OpenSSL doesn't know: its legacy provider is missing.
        """
        if foreign is not None and self._pfx.mac is not None:
            return algorithms.unsupported(foreign.name)
        if self._pfx.mac is not None:
            message = "the backup password is right, but the PFX can't be decrypted with it"
            return DamagedBackupError(message)
        message = "the backup password is wrong, or the file is damaged"
        return WrongBackupPasswordError(message)


def _encryptions(pfx: Pfx) -> list[AnyEncryption]:
    """The encryptions that show without a password."""
    found = []
    for safe in pfx.safes:
        if isinstance(safe, EncryptedSafe):
            found.append(safe.encryption)
        else:
            shrouded = (bag.encryption for bag in safe.bags if isinstance(bag, KeyBag))
            found += [encryption for encryption in shrouded if encryption is not None]
    return found


def _contents(bags: Iterable[Bag], description: PfxDescription) -> PfxContents:
    found_keys, found_certificates = [], []
    for bag in bags:
        name, key_id = bag.friendly_name, bag.local_key_id
        try:
            if isinstance(bag, KeyBag):
                found_keys.append(FoundKey(private_keys.from_pkcs8(bag.data), name, key_id))
            else:
                certificate = replace(from_der(bag.der), nickname=name)
                found_certificates.append(FoundCertificate(certificate, name, key_id))
        except KeyNotExportableError as error:
            raise UnsupportedBackupError(error.message) from error
        except (x509.InvalidVersion, InternalError, TypeError) as error:
            # None is a ValueError, and `certificate` and `keys` do not expect them: an unheard-of
            # version, a key that OpenSSL can't set up, a name with a BIT STRING in it.
            message = "the PFX opens, but what is in it can't be read"
            raise DamagedBackupError(message) from error
        except (KeyInconsistentError, MalformedCertificateError) as error:
            message = f"the PFX opens, but {error.message}"
            raise DamagedBackupError(message) from error
    return PfxContents(tuple(found_keys), tuple(found_certificates), description)


def _description_of(pfx: Pfx) -> PfxDescription:
    clear: list[_Placed] = [
        (None, bag) for safe in pfx.safes if isinstance(safe, ClearSafe) for bag in safe.bags
    ]
    encrypted = [safe.encryption for safe in pfx.safes if isinstance(safe, EncryptedSafe)]
    return _description(pfx, clear, encrypted)


def _description(
    pfx: Pfx, placed: list[_Placed], unopened: Iterable[AnyEncryption] = ()
) -> PfxDescription:
    of_keys = [bag.encryption or around for around, bag in placed if isinstance(bag, KeyBag)]
    of_certificates = [around for around, bag in placed if isinstance(bag, CertificateBag)]
    return PfxDescription(
        mac=None if pfx.mac is None else Protection(pfx.mac.name, pfx.mac.rounds),
        keys=_protections(of_keys),
        certificates=_protections([*unopened, *of_certificates]),
    )


def _protections(encryptions: Iterable[AnyEncryption | None]) -> tuple[Protection, ...]:
    """Each once, in order."""
    return tuple(
        dict.fromkeys(
            NOT_ENCRYPTED if each is None else Protection(each.name, each.rounds)
            for each in encryptions
        )
    )
