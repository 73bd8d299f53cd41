"""The `Store` protocol for cert9.db and key4.db."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nssbackup.errors import (
    DamagedStoreError,
    IntegrityError,
    KeyMissingError,
    KeyNotExportableError,
    PrimaryPasswordRequiredError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity import private_keys
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import OrphanKey, PrivateKey
from nssbackup.secret import Secret
from nssbackup.stores.native import pbe
from nssbackup.stores.native.contents import (
    CURVES,
    EC,
    ED25519,
    EDWARDS,
    OTHER_KEY_TYPES,
    RSA,
    Contents,
    orphan_key,
)
from nssbackup.stores.native.database import (
    Attribute,
    CertificateDatabase,
    KeyDatabase,
    PasswordRecord,
    StoredObject,
)

PASSWORD_CHECK = b"password-check"

_RSA_ATTRIBUTES = (
    Attribute.PRIVATE_EXPONENT,
    Attribute.PRIME_1,
    Attribute.PRIME_2,
    Attribute.EXPONENT_1,
    Attribute.EXPONENT_2,
    Attribute.COEFFICIENT,
)
# How many derivations run at once: no more than a small machine has processors.
_THREADS = 2


@dataclass(frozen=True, slots=True)
class _Encrypted:
    """An encrypted attribute of a key with its signature, parsed, with nothing derived yet."""

    attribute: Attribute
    ciphertext: pbe.Ciphertext
    signature: pbe.Signature | None

    @property
    def rounds(self) -> int:
        return self.ciphertext.rounds + (self.signature.rounds if self.signature else 0)

    def value(self, key: pbe.IntermediateKey) -> bytes:
        try:
            value = self.ciphertext.decrypt(key)
        except pbe.DecryptionError as error:
            message = f"the key database is damaged: CKA_{self.attribute.name} can't be decrypted"
            raise DamagedStoreError(message) from error
        # An encrypted value is signed as plaintext, and without its object's id.
        if self.signature and not self.signature.fits(key, 0, self.attribute, value):
            raise _bad_signature(self.attribute, "wrong")
        return value


@dataclass(frozen=True, slots=True)
class _Clear:
    """An attribute that is not encrypted, with the signature that NSS requires."""

    attribute: Attribute
    object_id: int
    stored: bytes
    signature: pbe.Signature

    @property
    def rounds(self) -> int:
        return self.signature.rounds

    def value(self, key: pbe.IntermediateKey) -> bytes:
        if not self.signature.fits(key, self.object_id, self.attribute, self.stored):
            raise _bad_signature(self.attribute, "wrong")
        return self.stored


class NativeStore:
    """The contents of a store when its snapshot was taken; see `stores.Store`."""

    def __init__(self, certificates: CertificateDatabase | None, keys: KeyDatabase | None) -> None:
        self._certificates = certificates
        self._keys = keys
        self._key: pbe.IntermediateKey | None = None
        self._loaded: Contents | None = None
        self._closed = False

    def close(self) -> None:
        """End the use of the store: every call after this is a ValueError."""
        self._closed = True
        self._certificates = self._keys = self._key = self._loaded = None

    def certificates(self) -> tuple[StoredCertificate, ...]:
        """See `stores.Store.certificates`."""
        return self._contents().certificates

    def notes(self) -> tuple[str, ...]:
        """See `stores.Store.notes`."""
        return self._contents().notes

    def orphan_keys(self) -> tuple[OrphanKey, ...]:
        """See `stores.Store.orphan_keys`."""
        return tuple(orphan_key(stored) for stored in self._contents().orphans)

    def orphan_of(self, certificate: StoredCertificate) -> OrphanKey | None:
        """See `stores.Store.orphan_of`."""
        stored = self._contents().orphan_of(certificate)
        return orphan_key(stored) if stored else None

    def needs_password(self) -> bool | None:
        """See `stores.Store.needs_password`."""
        self._check_open()
        record = self._keys.password_record() if self._keys else None
        if record is None:
            return None
        return _intermediate_key(record, "") is None

    def unlock(self, password: Secret) -> None:
        """See `stores.Store.unlock`."""
        self._check_open()
        if self._keys is None:
            return  # nothing is locked
        record = self._keys.password_record()
        if record is None:
            if not self._keys.private_keys():
                return
            message = "the key database is damaged: it has keys and no password record"
            raise DamagedStoreError(message)
        self._key = _intermediate_key(record, password.reveal())
        if self._key is None:
            message = "the primary password is wrong"
            raise WrongPrimaryPasswordError(message)

    def private_key(self, of: StoredCertificate) -> PrivateKey:
        """See `stores.Store.private_key`."""
        stored = self.key_object(of)
        if stored is None:
            message = f"the private key of `{of.display_name}` is not in this store"
            raise KeyMissingError(message, hint="`nssbackup list` shows where keys are present")
        if stored.get(Attribute.EXTRACTABLE) == b"\0":
            message = "the private key is marked as not extractable (CKA_EXTRACTABLE)"
            raise KeyNotExportableError(message)
        kind = stored.number(Attribute.KEY_TYPE)
        if kind == RSA:
            return private_keys.from_rsa(self._rsa_values(stored))
        curve = stored.get(Attribute.EC_PARAMS) or b""
        if kind == EC and curve in CURVES:
            return private_keys.from_ec(CURVES[curve], int.from_bytes(self._value(stored), "big"))
        if kind in (EC, EDWARDS) and curve == ED25519:
            return private_keys.from_ed25519(self._value(stored))
        name = OTHER_KEY_TYPES.get(kind or 0) or f"type {kind}, parameters {curve.hex() or None}"
        raise type_not_exportable(name)

    def key_object(self, of: StoredCertificate) -> StoredObject | None:
        """Return the stored private key of a certificate, or None."""
        return self._contents().key_of(of)

    @property
    def global_salt(self) -> bytes | None:
        """The salt that the password is hashed with; None if there is no password record."""
        self._check_open()
        record = self._keys.password_record() if self._keys else None
        return record.global_salt if record else None

    def encryption(self) -> tuple[pbe.IntermediateKey, int]:
        """Return the intermediate key and the rounds that new values need; it must be unlocked."""
        record = self._keys.password_record() if self._keys else None
        if record is None:
            message = "the key database has no password record"
            raise DamagedStoreError(message)
        check = pbe.parse_ciphertext(record.check, "the password record")
        return self._unlocked(), check.rounds

    def _rsa_values(self, stored: StoredObject) -> private_keys.RsaValues:
        values = self._values(
            *(self._clear(stored, a) for a in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT)),
            *(self._encrypted(stored, attribute) for attribute in _RSA_ATTRIBUTES),
        )
        numbers = {attribute: int.from_bytes(value, "big") for attribute, value in values.items()}
        return private_keys.RsaValues(
            modulus=numbers[Attribute.MODULUS],
            public_exponent=numbers[Attribute.PUBLIC_EXPONENT],
            private_exponent=numbers[Attribute.PRIVATE_EXPONENT],
            prime1=numbers[Attribute.PRIME_1],
            prime2=numbers[Attribute.PRIME_2],
            exponent1=numbers[Attribute.EXPONENT_1],
            exponent2=numbers[Attribute.EXPONENT_2],
            coefficient=numbers[Attribute.COEFFICIENT],
        )

    def _contents(self) -> Contents:
        self._check_open()
        if self._loaded is None:
            self._loaded = Contents.read(self._certificates, self._keys)
        return self._loaded

    def _check_open(self) -> None:
        if self._closed:
            message = "the store is closed"
            raise ValueError(message)

    def _value(self, stored: StoredObject) -> bytes:
        """Return CKA_VALUE: the whole secret of a key that is not RSA."""
        return self._values(self._encrypted(stored, Attribute.VALUE))[Attribute.VALUE]

    def _values(self, *items: _Encrypted | _Clear) -> dict[Attribute, bytes]:
        """Decrypt and check attributes of one key, unless that takes too many rounds."""
        key = self._unlocked()
        pbe.check_total_rounds(sum(item.rounds for item in items))
        # The derivations are PBKDF2 in OpenSSL, which releases Python's lock.
        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                values = list(pool.map(lambda item: item.value(key), items))
        except RuntimeError:  # no more threads are allowed (`ulimit -u`)
            values = [item.value(key) for item in items]
        return {item.attribute: value for item, value in zip(items, values, strict=True)}

    def _encrypted(self, stored: StoredObject, attribute: Attribute) -> _Encrypted:
        name = f"CKA_{attribute.name} of the key"
        ciphertext = pbe.parse_ciphertext(stored.require(attribute), name)
        signature = self._signature(stored, attribute)
        if signature is None and ciphertext.signed:
            raise _bad_signature(attribute, "missing")
        return _Encrypted(attribute, ciphertext, signature)

    def _clear(self, stored: StoredObject, attribute: Attribute) -> _Clear:
        signature = self._signature(stored, attribute)
        if signature is None:
            raise _bad_signature(attribute, "missing")
        return _Clear(attribute, stored.id, stored.require(attribute), signature)

    def _signature(self, stored: StoredObject, attribute: Attribute) -> pbe.Signature | None:
        blob = self._keys.signature(stored.id, attribute) if self._keys else None
        if blob is None:
            return None
        return pbe.parse_signature(blob, f"the signature of CKA_{attribute.name}")

    def _unlocked(self) -> pbe.IntermediateKey:
        if self._key is None:
            message = "the store is locked: its primary password was not given"
            raise PrimaryPasswordRequiredError(message)
        return self._key


def type_not_exportable(name: str) -> KeyNotExportableError:
    """Return the error for a key of a type that nssbackup can't handle."""
    message = f"the private key is of a type that nssbackup can't export ({name})"
    return KeyNotExportableError(message)


def _intermediate_key(record: PasswordRecord, password: str) -> pbe.IntermediateKey | None:
    """Return the key that a password makes, or None if the password is wrong.

    Raises:
        StoreError: the password record is damaged or of an unknown kind.
    """
    check = pbe.parse_ciphertext(record.check, "the password record")
    key = pbe.intermediate_key(record.global_salt, password)
    try:
        return key if check.decrypt(key) == PASSWORD_CHECK else None
    except pbe.DecryptionError:
        return None


def _bad_signature(attribute: Attribute, state: str) -> IntegrityError:
    message = f"the integrity signature of CKA_{attribute.name} of the key is {state}"
    return IntegrityError(message)
