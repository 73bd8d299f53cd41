"""The cryptography of key4.db: encrypted attributes, their signatures, the password check.

Everything here is bytes to bytes. Formats: NSS lib/softoken/sftkpwd.c (blobs, signatures and the
intermediate key) and lib/softoken/lowpbe.c (key derivations). Each blob names its own scheme and
rounds; one key4.db may mix them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field

from cryptography.hazmat import asn1
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.x509 import ObjectIdentifier

from nssbackup.errors import DamagedStoreError, UnsupportedStoreError

# The most rounds for reading one key, added up before the first is done. NSS writes 1 or 10,000
# for each of about 13 derivations; ten times that, if its environment says so, is still read. Two
# million take a second at most, and the password is checked up to three times.
MAX_ROUNDS = 2_000_000
_PRINTABLE = 2**64

_SHA384_SALT_BYTES = 48
_AES_KEY_BYTES = 32
# The lengths that NSS writes. The IV is an OCTET STRING with tag and length, 16 bytes in all.
_SALT_BYTES = 32
_IV_CONTENT_BYTES = 14
_MAC_KEY_BYTES = 32

_PBES2 = "1.2.840.113549.1.5.13"
_PBKDF2 = "1.2.840.113549.1.5.12"
_PBMAC1 = "1.2.840.113549.1.5.14"
_HMAC_SHA256 = "1.2.840.113549.2.9"
_AES256_CBC = "2.16.840.1.101.3.4.1.42"
_PBE_SHA1_3DES = "1.2.840.113549.1.12.5.1.3"


@asn1.sequence
class _Algorithm:
    oid: ObjectIdentifier
    parameters: asn1.TLV


@asn1.sequence
class _Blob:
    """An encrypted value or a signature, and the algorithm that made it."""

    algorithm: _Algorithm
    value: bytes


@asn1.sequence
class _Pair:
    """PBES2-params and PBMAC1-params (RFC 8018, A.4 and A.5), the second part without NULL."""

    key_derivation: _Algorithm
    scheme: asn1.TLV


@asn1.sequence
class _Prf:
    oid: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _Pbkdf2Parameters:
    salt: bytes
    iterations: int
    key_length: int | None
    prf: _Prf | None


@asn1.sequence
class _Pkcs12PbeParameters:
    salt: bytes
    iterations: int


class DecryptionError(Exception):
    """The padding is wrong: the key is wrong, or the ciphertext was changed."""


@dataclass(frozen=True, slots=True)
class IntermediateKey:
    """The hash of password and global salt, from which every key of a store is derived."""

    value: bytes = field(repr=False)


def intermediate_key(global_salt: bytes, password: str) -> IntermediateKey:
    """Hash a password (text; NSS takes its UTF-8 as it is) with the store's global salt.

    A salt of 48 bytes means SHA-384 (NSS 3.118 and later, for a password that is not empty), any
    other SHA-1.
    """
    data = global_salt + password.encode("utf-8", "surrogatepass")
    if len(global_salt) == _SHA384_SALT_BYTES:
        return IntermediateKey(hashlib.sha384(data).digest())
    return IntermediateKey(hashlib.sha1(data, usedforsecurity=False).digest())


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """An encrypted attribute, parsed. `signed` says whether NSS demands a signature for it."""

    salt: bytes
    rounds: int
    iv: bytes | None
    data: bytes = field(repr=False)

    @property
    def signed(self) -> bool:
        """PBES2 values have a signature in metaData; 3DES values are older than signatures."""
        return self.iv is not None

    def decrypt(self, key: IntermediateKey) -> bytes:
        """Return the plaintext.

        Raises:
            DecryptionError: the padding is wrong.
        """
        if self.iv is None:
            secret, iv = _derive_3des(key.value, self.salt, self.rounds)
            cipher: Cipher[modes.CBC] = Cipher(TripleDES(secret), modes.CBC(iv))
            block = TripleDES.block_size
        else:
            secret = _pbkdf2(key.value, self.salt, self.rounds, _AES_KEY_BYTES)
            cipher = Cipher(algorithms.AES(secret), modes.CBC(self.iv))
            block = algorithms.AES.block_size
        unpadder = padding.PKCS7(block).unpadder()
        decryptor = cipher.decryptor()
        try:
            padded = decryptor.update(self.data) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError as error:
            raise DecryptionError from error


@dataclass(frozen=True, slots=True)
class Signature:
    """An integrity signature, parsed: HMAC-SHA-256 under a key derived with PBKDF2."""

    salt: bytes
    rounds: int
    mac: bytes

    def fits(self, key: IntermediateKey, object_id: int, attribute: int, value: bytes) -> bool:
        """Return whether this is the signature of an attribute's value.

        `object_id` is 0 for an encrypted attribute, and `value` its plaintext.
        """
        secret = _pbkdf2(key.value, self.salt, self.rounds, _MAC_KEY_BYTES)
        mac = hmac.digest(secret, _signed(object_id, attribute, value), "sha256")
        return hmac.compare_digest(mac, self.mac)


def encrypt(key: IntermediateKey, plaintext: bytes, rounds: int) -> bytes:
    """Encrypt a value as NSS does since 3.49, and return it as DER.

    NSS refuses such a value without a signature: `sign` the same plaintext.
    """
    salt, iv = os.urandom(_SALT_BYTES), os.urandom(_IV_CONTENT_BYTES)
    encoded_iv = asn1.encode_der(iv)
    secret = _pbkdf2(key.value, salt, rounds, _AES_KEY_BYTES)
    padder = padding.PKCS7(algorithms.AES.block_size).padder()
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(encoded_iv)).encryptor()
    padded = padder.update(plaintext) + padder.finalize()
    pair = _Pair(
        key_derivation=_pbkdf2_algorithm(salt, rounds),
        scheme=_tlv(_Algorithm(oid=ObjectIdentifier(_AES256_CBC), parameters=_tlv(iv))),
    )
    return _blob(_PBES2, pair, encryptor.update(padded) + encryptor.finalize())


def sign(key: IntermediateKey, object_id: int, attribute: int, value: bytes, rounds: int) -> bytes:
    """Return the integrity signature of an attribute, DER; see `Signature.fits`."""
    salt = os.urandom(_SALT_BYTES)
    secret = _pbkdf2(key.value, salt, rounds, _MAC_KEY_BYTES)
    pair = _Pair(
        key_derivation=_pbkdf2_algorithm(salt, rounds),
        scheme=_tlv(_Prf(oid=ObjectIdentifier(_HMAC_SHA256), parameters=None)),
    )
    mac = hmac.digest(secret, _signed(object_id, attribute, value), "sha256")
    return _blob(_PBMAC1, pair, mac)


def parse_ciphertext(blob: bytes, name: str) -> Ciphertext:
    """Parse an encrypted value.

    Args:
        blob: SEQUENCE { AlgorithmIdentifier, OCTET STRING }, DER.
        name: what to call it in a message.

    Raises:
        DamagedStoreError: it has another structure or impossible parameters.
        UnsupportedStoreError: it names an algorithm that NSS does not use here.
    """
    try:
        parsed = asn1.decode_der(_Blob, blob)
        oid = parsed.algorithm.oid.dotted_string
        if oid == _PBE_SHA1_3DES:
            old = parsed.algorithm.parameters.parse(_Pkcs12PbeParameters)
            ciphertext = Ciphertext(old.salt, old.iterations, None, parsed.value)
            block_bytes = TripleDES.block_size // 8
        elif oid == _PBES2:
            pair = parsed.algorithm.parameters.parse(_Pair)
            salt, rounds = _parse_pbkdf2(pair.key_derivation, name)
            iv = _parse_aes(pair.scheme.parse(_Algorithm), name)
            ciphertext = Ciphertext(salt, rounds, iv, parsed.value)
            block_bytes = algorithms.AES.block_size // 8
        else:
            raise _unknown(name, oid)
    except ValueError as error:
        message = f"{name} is damaged: it is not an encrypted value"
        raise DamagedStoreError(message) from error
    return _checked(ciphertext, block_bytes, name)


def old_ciphertext(salt: bytes, rounds: int, data: bytes, name: str) -> Ciphertext:
    """Return a value of key3.db, encrypted with 3DES, whose parameters are stored elsewhere.

    Raises:
        DamagedStoreError: its length or its rounds are impossible.
        UnsupportedStoreError: it needs too many rounds.
    """
    return _checked(Ciphertext(salt, rounds, None, data), TripleDES.block_size // 8, name)


def _checked(ciphertext: Ciphertext, block_bytes: int, name: str) -> Ciphertext:
    if not ciphertext.data or len(ciphertext.data) % block_bytes:
        message = f"{name} is damaged: its ciphertext has an impossible length"
        raise DamagedStoreError(message)
    _check_rounds(ciphertext.rounds, name)
    return ciphertext


def parse_signature(blob: bytes, name: str) -> Signature:
    """Parse an integrity signature; arguments and errors as in `parse_ciphertext`."""
    try:
        parsed = asn1.decode_der(_Blob, blob)
        oid = parsed.algorithm.oid.dotted_string
        if oid != _PBMAC1:
            raise _unknown(name, oid)
        pair = parsed.algorithm.parameters.parse(_Pair)
        salt, rounds = _parse_pbkdf2(pair.key_derivation, name)
        mac = pair.scheme.parse(_Prf).oid.dotted_string
    except ValueError as error:
        message = f"{name} is damaged: it is not a signature"
        raise DamagedStoreError(message) from error
    if mac != _HMAC_SHA256:
        raise _unknown(name, mac)
    _check_rounds(rounds, name)
    return Signature(salt, rounds, parsed.value)


def check_total_rounds(rounds: int) -> None:
    """Refuse what would take too long, before it begins.

    Raises:
        UnsupportedStoreError: the rounds add up to more than `MAX_ROUNDS`.
    """
    if rounds > MAX_ROUNDS:
        # Python refuses to print a number of thousands of digits.
        count = f"{rounds:,}" if rounds < _PRINTABLE else f"more than {_PRINTABLE:,}"
        message = f"the key database asks for {count} key-derivation rounds"
        hint = f"NSS does not write so many; the limit is {MAX_ROUNDS:,} for one key"
        raise UnsupportedStoreError(message, hint=hint)


def _check_rounds(rounds: int, name: str) -> None:
    if rounds < 1:
        message = f"{name} is damaged: it asks for fewer than one key-derivation round"
        raise DamagedStoreError(message)
    check_total_rounds(rounds)


def _parse_pbkdf2(algorithm: _Algorithm, name: str) -> tuple[bytes, int]:
    if algorithm.oid.dotted_string != _PBKDF2:
        raise _unknown(name, algorithm.oid.dotted_string)
    parameters = algorithm.parameters.parse(_Pbkdf2Parameters)
    # Absent means HMAC-SHA-1 (RFC 8018, A.2), which NSS never writes here.
    if parameters.prf is None or parameters.prf.oid.dotted_string != _HMAC_SHA256:
        raise _unknown(name, parameters.prf.oid.dotted_string if parameters.prf else "HMAC-SHA-1")
    if parameters.key_length not in (None, _AES_KEY_BYTES):
        message = f"{name} is damaged: its key length is not that of AES-256"
        raise DamagedStoreError(message)
    return parameters.salt, parameters.iterations


def _parse_aes(algorithm: _Algorithm, name: str) -> bytes:
    """Return the IV: the first 16 bytes of the *encoded* parameter.

    NSS uses the DER of an OCTET STRING of 14 bytes as the IV, tag and length included, and has to
    keep doing so (lib/softoken/lowpbe.c).
    """
    if algorithm.oid.dotted_string != _AES256_CBC:
        raise _unknown(name, algorithm.oid.dotted_string)
    iv = asn1.encode_der(algorithm.parameters)[: algorithms.AES.block_size // 8]
    if len(iv) != algorithms.AES.block_size // 8:
        message = f"{name} is damaged: its initialisation vector is too short"
        raise DamagedStoreError(message)
    return iv


def _signed(object_id: int, attribute: int, value: bytes) -> bytes:
    """Return the bytes that are signed (lib/softoken/sftkpwd.c, sftkdb_SignAttribute)."""
    return object_id.to_bytes(4, "big") + attribute.to_bytes(4, "big") + value


def _blob(oid: str, parameters: _Pair, value: bytes) -> bytes:
    algorithm = _Algorithm(oid=ObjectIdentifier(oid), parameters=_tlv(parameters))
    return asn1.encode_der(_Blob(algorithm=algorithm, value=value))


def _pbkdf2_algorithm(salt: bytes, rounds: int) -> _Algorithm:
    parameters = _Pbkdf2Parameters(
        salt=salt,
        iterations=rounds,
        key_length=_AES_KEY_BYTES,
        prf=_Prf(oid=ObjectIdentifier(_HMAC_SHA256), parameters=None),
    )
    return _Algorithm(oid=ObjectIdentifier(_PBKDF2), parameters=_tlv(parameters))


def _tlv(value: object) -> asn1.TLV:
    return asn1.decode_der(asn1.TLV, asn1.encode_der(value))


def _unknown(name: str, algorithm: str) -> UnsupportedStoreError:
    message = f"{name} uses an algorithm that nssbackup does not know ({algorithm})"
    return UnsupportedStoreError(message, hint="a newer nssbackup may know it")


def _pbkdf2(key: bytes, salt: bytes, rounds: int, length: int) -> bytes:
    return PBKDF2HMAC(hashes.SHA256(), length, salt, rounds).derive(key)


def _derive_3des(key: bytes, salt: bytes, rounds: int) -> tuple[bytes, bytes]:
    """Return key and IV of pbeWithSHA1And3-KeyTripleDES-CBC as NSS derives them.

    Despite the OID this is not the derivation of PKCS#12 but PBKDF1, extended by HMAC-SHA-1
    (lib/softoken/lowpbe.c, nsspkcs5_PBKDF1Extended). The IV is the end of the 40 bytes.
    """
    digest = hashlib.sha1(key + salt, usedforsecurity=False).digest()
    for _ in range(rounds - 1):
        digest = hashlib.sha1(digest, usedforsecurity=False).digest()
    state = salt.ljust(20, b"\0")
    out = b""
    while len(out) < 32:  # noqa: PLR2004 - 24 bytes of key and 8 of IV
        out += hmac.digest(digest, state + salt, "sha1")
        state = hmac.digest(digest, state, "sha1")
    return out[:24], out[-8:]
