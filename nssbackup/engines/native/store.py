"""NativeStore: the `Store` protocol over the two databases and their cryptography."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import ec

from nssbackup import keys
from nssbackup.certificate import MalformedCertificateError, StoredCertificate, from_der
from nssbackup.engines.native import pbe
from nssbackup.engines.native.database import (
    Attribute,
    CertificateDatabase,
    KeyDatabase,
    PasswordRecord,
    StoredObject,
)
from nssbackup.engines.native.objects import Maker
from nssbackup.engines.native.pairing import pair
from nssbackup.errors import (
    DamagedStoreError,
    IntegrityError,
    KeyMissingError,
    KeyNotExportableError,
    PrimaryPasswordRequiredError,
    WrongPrimaryPasswordError,
)
from nssbackup.model import OrphanKey, PrivateKey
from nssbackup.secret import Secret

PASSWORD_CHECK = b"password-check"

_RSA, _EC, _EDWARDS = 0x0, 0x3, 0x40
_OTHER_KEY_TYPES = {0x1: "DSA", 0x41: "X25519", 0x49: "ML-KEM", 0x4A: "ML-DSA"}
_RSA_ATTRIBUTES = (
    Attribute.PRIVATE_EXPONENT,
    Attribute.PRIME_1,
    Attribute.PRIME_2,
    Attribute.EXPONENT_1,
    Attribute.EXPONENT_2,
    Attribute.COEFFICIENT,
)
# CKA_EC_PARAMS is the DER of the curve's OID.
_CURVES: dict[bytes, ec.EllipticCurve] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
    bytes.fromhex("06052b81040023"): ec.SECP521R1(),
}
_ED25519 = bytes.fromhex("06032b6570")

# How many derivations run at once; more than the processors of a small machine gains nothing.
_THREADS = 2

# NSS's kind of trust object and PKCS#11's (lib/util/pkcs11n.h, PKCS#11 3.2 CK_TRUST).
_TRUST_WORDS = {
    0xCE534351: "trusted",
    0xCE534352: "trusted-ca",
    0xCE534353: "must-verify",
    0xCE53435A: "not-trusted",
    1: "trusted",
    2: "trusted-ca",
    3: "not-trusted",
    4: "must-verify",
}
_USAGES = {
    Attribute.TRUST_SERVER: "server",
    Attribute.TRUST_CLIENT: "client",
    Attribute.TRUST_CODE: "code",
    Attribute.TRUST_EMAIL: "email",
    Attribute.NSS_TRUST_SERVER: "server",
    Attribute.NSS_TRUST_CLIENT: "client",
    Attribute.NSS_TRUST_CODE: "code",
    Attribute.NSS_TRUST_EMAIL: "email",
}

Trust = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Encrypted:
    """An encrypted attribute of a key with its signature, parsed and nothing derived yet."""

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
        # The signature of an encrypted value is over its plaintext and names no object.
        if self.signature and not self.signature.fits(key, 0, self.attribute, value):
            raise _bad_signature(self.attribute, "wrong")
        return value


@dataclass(frozen=True, slots=True)
class _Clear:
    """An attribute that lies there in clear, under a signature that NSS demands of it."""

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


@dataclass(frozen=True, slots=True)
class _Contents:
    certificates: tuple[StoredCertificate, ...]
    keys: dict[str, StoredObject] = field(repr=False)
    orphans: tuple[StoredObject, ...] = field(repr=False)
    notes: tuple[str, ...]


class NativeStore:
    """A store as it was at the moment of its snapshot; see `engines.Store`."""

    def __init__(self, certificates: CertificateDatabase | None, keys: KeyDatabase | None) -> None:
        self._certificates = certificates
        self._keys = keys
        self._key: pbe.IntermediateKey | None = None
        self._loaded: _Contents | None = None
        self._closed = False

    def close(self) -> None:
        """End the use of the store: what is asked of it from now on is a ValueError."""
        self._closed = True
        self._certificates = self._keys = self._key = self._loaded = None

    def certificates(self) -> tuple[StoredCertificate, ...]:
        """See `engines.Store.certificates`."""
        return self._contents().certificates

    def notes(self) -> tuple[str, ...]:
        """See `engines.Store.notes`."""
        return self._contents().notes

    def orphan_keys(self) -> tuple[OrphanKey, ...]:
        """See `engines.Store.orphan_keys`."""
        return tuple(_orphan(stored) for stored in self._contents().orphans)

    def orphan_of(self, certificate: StoredCertificate) -> OrphanKey | None:
        """See `engines.Store.orphan_of`."""
        stored = _key_of(certificate, self._contents().orphans)
        return _orphan(stored) if stored else None

    def needs_password(self) -> bool | None:
        """See `engines.Store.needs_password`."""
        self._check_open()
        record = self._keys.password_record() if self._keys else None
        if record is None:
            return None
        return _intermediate_key(record, "") is None

    def unlock(self, password: Secret) -> None:
        """See `engines.Store.unlock`."""
        self._check_open()
        if self._keys is None:
            return  # nothing is locked; the key will be found missing
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
        """See `engines.Store.private_key`."""
        stored = self.key_object(of)
        if stored is None:
            message = f"the private key of `{of.common_name or of.subject}` is not in this store"
            raise KeyMissingError(message, hint="`nssbackup list` shows where keys are present")
        if stored.get(Attribute.EXTRACTABLE) == b"\0":
            message = "the private key is marked as one that must not leave the store"
            raise KeyNotExportableError(message)
        kind = stored.number(Attribute.KEY_TYPE)
        if kind == _RSA:
            return keys.from_rsa(self._rsa_values(stored))
        curve = stored.get(Attribute.EC_PARAMS) or b""
        if kind == _EC and curve in _CURVES:
            return keys.from_ec(_CURVES[curve], int.from_bytes(self._value(stored), "big"))
        if kind in (_EC, _EDWARDS) and curve == _ED25519:
            return keys.from_ed25519(self._value(stored))
        name = _OTHER_KEY_TYPES.get(kind or 0) or f"type {kind}, parameters {curve.hex() or None}"
        raise type_not_exportable(name)

    def key_object(self, of: StoredCertificate) -> StoredObject | None:
        """The private key that belongs to a certificate, as it is stored; None if there is none."""
        contents = self._contents()
        # A certificate from elsewhere may be a renewal on a key that has a certificate here.
        every = (*contents.keys.values(), *contents.orphans)
        return contents.keys.get(of.sha256) or _key_of(of, every)

    @property
    def global_salt(self) -> bytes | None:
        """What the password is hashed with; None where there is no password record."""
        self._check_open()
        record = self._keys.password_record() if self._keys else None
        return record.global_salt if record else None

    def maker(self, ids: Iterator[int]) -> Maker:
        """What makes new objects for this store, which must be unlocked; ids that are free."""
        record = self._keys.password_record() if self._keys else None
        if record is None:
            message = "the key database has no password record"
            raise DamagedStoreError(message)
        check = pbe.parse_ciphertext(record.check, "the password record")
        return Maker(self._unlocked(), check.rounds, ids)

    def _rsa_values(self, stored: StoredObject) -> keys.RsaValues:
        values = self._values(
            *(self._clear(stored, a) for a in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT)),
            *(self._encrypted(stored, attribute) for attribute in _RSA_ATTRIBUTES),
        )
        numbers = {attribute: int.from_bytes(value, "big") for attribute, value in values.items()}
        return keys.RsaValues(
            modulus=numbers[Attribute.MODULUS],
            public_exponent=numbers[Attribute.PUBLIC_EXPONENT],
            private_exponent=numbers[Attribute.PRIVATE_EXPONENT],
            prime1=numbers[Attribute.PRIME_1],
            prime2=numbers[Attribute.PRIME_2],
            exponent1=numbers[Attribute.EXPONENT_1],
            exponent2=numbers[Attribute.EXPONENT_2],
            coefficient=numbers[Attribute.COEFFICIENT],
        )

    def _contents(self) -> _Contents:
        self._check_open()
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _check_open(self) -> None:
        if self._closed:
            message = "the store is closed"
            raise ValueError(message)

    def _load(self) -> _Contents:
        objects: list[StoredObject] = []
        certificates: list[StoredCertificate] = []
        notes = []
        found, trust_objects = self._certificates.objects() if self._certificates else ((), ())
        for stored in found:
            try:
                certificate = from_der(stored.get(Attribute.VALUE) or b"")
            except MalformedCertificateError as error:
                notes.append(f"certificate object {stored.id:08x} was passed over: {error}")
                continue
            if all(certificate.der != other.der for other in certificates):
                objects.append(stored)
                certificates.append(certificate)
        trust = _trust(trust_objects)
        private_keys = self._keys.private_keys() if self._keys else ()
        pairs = pair(
            [
                (o.id, o.get(Attribute.ID), c.public_key)
                for o, c in zip(objects, certificates, strict=True)
            ],
            private_keys,
        )
        paired = {stored.id for stored in pairs.values()}
        return _Contents(
            certificates=tuple(
                replace(
                    certificate,
                    nickname=_text(stored.get(Attribute.LABEL)),
                    email=_text(stored.get(Attribute.NSS_EMAIL)) or certificate.email,
                    trust=trust.get(_serial_key(stored), ()),
                    has_private_key=stored.id in pairs,
                )
                for stored, certificate in zip(objects, certificates, strict=True)
            ),
            keys={
                certificate.sha256: pairs[stored.id]
                for stored, certificate in zip(objects, certificates, strict=True)
                if stored.id in pairs
            },
            orphans=tuple(stored for stored in private_keys if stored.id not in paired),
            notes=tuple(notes),
        )

    def _value(self, stored: StoredObject) -> bytes:
        """CKA_VALUE, which is all that is secret of a key other than RSA."""
        return self._values(self._encrypted(stored, Attribute.VALUE))[Attribute.VALUE]

    def _values(self, *items: _Encrypted | _Clear) -> dict[Attribute, bytes]:
        """Decrypt and check attributes of one key; nothing is derived if it is too much."""
        key = self._unlocked()
        pbe.check_total_rounds(sum(item.rounds for item in items))
        # The derivations are PBKDF2 in OpenSSL, which runs beside Python: two at a time.
        with ThreadPoolExecutor(_THREADS) as pool:
            values = pool.map(lambda item: item.value(key), items)
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
            message = "the store is locked: its primary password has not been given"
            raise PrimaryPasswordRequiredError(message)
        return self._key


def type_not_exportable(name: str) -> KeyNotExportableError:
    """The error for a key of a type that isn't handled yet."""
    message = f"the private key is of a type that can't be exported yet ({name})"
    return KeyNotExportableError(message)


def _intermediate_key(record: PasswordRecord, password: str) -> pbe.IntermediateKey | None:
    """The key a password makes, or None where it is the wrong one.

    Raises:
        StoreError: the password record is damaged or of an unknown kind.
    """
    check = pbe.parse_ciphertext(record.check, "the password record")
    key = pbe.intermediate_key(record.global_salt, password)
    try:
        return key if check.decrypt(key) == PASSWORD_CHECK else None
    except pbe.DecryptionError:
        return None


def _key_of(certificate: StoredCertificate, among: tuple[StoredObject, ...]) -> StoredObject | None:
    """The key of a certificate, which need not be in the store."""
    return pair([(0, None, certificate.public_key)], among).get(0)


def _orphan(stored: StoredObject) -> OrphanKey:
    kind = stored.number(Attribute.KEY_TYPE)
    parameters = stored.get(Attribute.EC_PARAMS) or b""
    name, bits = _OTHER_KEY_TYPES.get(kind or 0, "unknown"), None
    if kind == _RSA:
        modulus = int.from_bytes(stored.get(Attribute.MODULUS) or b"", "big")
        name, bits = "RSA", modulus.bit_length() or None
    elif kind in (_EC, _EDWARDS) and parameters == _ED25519:
        name, bits = "Ed25519", 256
    elif kind == _EC:
        name, bits = "EC", _CURVES[parameters].key_size if parameters in _CURVES else None
    return OrphanKey(f"{stored.id:08x}", name, bits)


def _trust(objects: tuple[StoredObject, ...]) -> dict[tuple[bytes, bytes], Trust]:
    """What trust objects say, by issuer and serial number."""
    return {
        _serial_key(stored): tuple(
            (_USAGES[attribute], _TRUST_WORDS.get(stored.number(attribute) or 0, "unknown"))
            for attribute in stored.attributes
            if attribute in _USAGES
        )
        for stored in objects
    }


def _bad_signature(attribute: Attribute, state: str) -> IntegrityError:
    message = f"the integrity signature of CKA_{attribute.name} of the key is {state}"
    return IntegrityError(message)


def _serial_key(stored: StoredObject) -> tuple[bytes, bytes]:
    return stored.get(Attribute.ISSUER) or b"", stored.get(Attribute.SERIAL_NUMBER) or b""


def _text(value: bytes | None) -> str | None:
    """A label as text; bytes that are no UTF-8 survive as surrogates. None where it is empty."""
    return value.decode("utf-8", "surrogateescape") if value else None
