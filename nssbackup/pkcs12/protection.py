"""The encryptions and MACs of a PFX: from an AlgorithmIdentifier and to one.

Done here are PBES2 with PBKDF2 and AES-CBC (RFC 8018, 6.2), the 3DES of PKCS#12 v1 (RFC 7292,
appendix C), the MAC of RFC 7292 and PBMAC1 (RFC 9879). `Other` has the name and the rounds of the
rest, which `fallback.py` leaves to `cryptography`.

A MAC is an HMAC over the content octets of the authSafe. Guessing a password costs an attacker no
more than the cheapest of these derivations, so their rounds are the strength of the file.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cryptography.hazmat import asn1
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.x509 import ObjectIdentifier

from nssbackup.errors import DamagedBackupError, UnsupportedBackupError
from nssbackup.pkcs12 import kdf, structure
from nssbackup.pkcs12.formats import Format
from nssbackup.pkcs12.kdf import Hash, Kdf, Pbkdf2, Pkcs12Kdf, check_parameters
from nssbackup.pkcs12.structure import AlgorithmIdentifier

_SALT_BYTES = 16
_AES_BLOCK = 16
_3DES_KEY, _3DES_BLOCK = 24, 8
# No HMAC here has a block of more than 128 bytes: a longer key would gain nothing.
_PBMAC1_KEY_BYTES = range(1, 128 + 1)

# Encryptions by one identifier; their parameters are salt and rounds (RFC 7292, appendix C; RFC
# 8018, A.3).
_PBES1_NAMES = {
    ObjectIdentifier(f"1.2.840.113549.1.{arc}"): name
    for arc, name in (
        ("12.1.1", "RC4-128 (PBE-SHA1)"),
        ("12.1.2", "RC4-40 (PBE-SHA1)"),
        ("12.1.3", "3DES (PBE-SHA1)"),
        ("12.1.4", "2-key 3DES (PBE-SHA1)"),
        ("12.1.5", "RC2-128 (PBE-SHA1)"),
        ("12.1.6", "RC2-40 (PBE-SHA1)"),
        ("5.3", "DES (PBE-MD5)"),
        ("5.6", "RC2-64 (PBE-MD5)"),
        ("5.10", "DES (PBE-SHA1)"),
        ("5.11", "RC2-64 (PBE-SHA1)"),
    )
}
# Other algorithms that a PFX may name (RFC 8018, B.2; RFC 5084; RFC 7914).
_OTHER_NAMES = {
    ObjectIdentifier(dotted): name
    for dotted, name in (
        ("1.2.840.113549.3.7", "3DES-CBC"),
        ("1.2.840.113549.3.2", "RC2-CBC"),
        ("1.3.14.3.2.7", "DES-CBC"),
        ("2.16.840.1.101.3.4.1.6", "AES-128-GCM"),
        ("2.16.840.1.101.3.4.1.26", "AES-192-GCM"),
        ("2.16.840.1.101.3.4.1.46", "AES-256-GCM"),
        ("1.2.392.200011.61.1.1.1.2", "Camellia-128-CBC"),
        ("1.2.392.200011.61.1.1.1.4", "Camellia-256-CBC"),
        ("1.3.6.1.4.1.11591.4.11", "scrypt"),
        ("1.2.840.113549.2.5", "MD5"),
        ("2.16.840.1.101.3.4.2.6", "SHA-512/256"),
    )
}


@dataclass(frozen=True, slots=True)
class CbcKey:
    """A block cipher in CBC mode with its key and IV, padded as in RFC 8018, 6.1.1."""

    cipher: BlockCipherAlgorithm = field(repr=False)
    iv: bytes = field(repr=False)

    def encrypt(self, plaintext: bytes) -> bytes:
        """Pad and encrypt."""
        padding = len(self.iv) - len(plaintext) % len(self.iv)
        encryptor = Cipher(self.cipher, modes.CBC(self.iv)).encryptor()
        return encryptor.update(plaintext + bytes([padding]) * padding) + encryptor.finalize()

    def decrypt(self, ciphertext: bytes) -> bytes | None:
        """Decrypt and remove the padding, or return None if the padding is wrong.

        One wrong key in about 256 gives a plausible padding.
        """
        if not ciphertext or len(ciphertext) % len(self.iv):
            return None
        decryptor = Cipher(self.cipher, modes.CBC(self.iv)).decryptor()
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        padding = padded[-1]
        if not 1 <= padding <= len(self.iv) or padded[-padding:] != bytes([padding]) * padding:
            return None
        return padded[:-padding]


@dataclass(frozen=True, slots=True)
class Pbes2:
    """PBES2 with AES in CBC mode; the length of the derived key is that of the AES key."""

    kdf: Pbkdf2
    iv: bytes

    @property
    def name(self) -> str:
        """As in "AES-256-CBC, PBKDF2-HMAC-SHA-256"."""
        return f"AES-{8 * self.kdf.length}-CBC, {_pbkdf2_name(self.kdf)}"

    @property
    def rounds(self) -> int:
        """The rounds of the key derivation."""
        return self.kdf.rounds

    @property
    def kdfs(self) -> tuple[Kdf, ...]:
        """What has to be derived for `key`."""
        return (self.kdf,)

    def key(self, derived: Sequence[bytes]) -> CbcKey:
        """Return the key, from what `kdfs` gave."""
        return CbcKey(AES(derived[0]), self.iv)

    def algorithm(self) -> AlgorithmIdentifier:
        """Return the AlgorithmIdentifier, without the optional length of the key."""
        prf = AlgorithmIdentifier(
            algorithm=structure.HMAC_OIDS[self.kdf.prf], parameters=asn1.Null()
        )
        derivation = structure.Pbkdf2Parameters(
            salt=self.kdf.salt, iterations=self.kdf.rounds, key_length=None, prf=prf
        )
        cipher = structure.AES_CBC_OIDS[self.kdf.length]
        parameters = structure.SchemeParameters(
            derivation=AlgorithmIdentifier(
                algorithm=structure.PBKDF2, parameters=structure.opened(derivation)
            ),
            scheme=AlgorithmIdentifier(algorithm=cipher, parameters=structure.opened(self.iv)),
        )
        return AlgorithmIdentifier(
            algorithm=structure.PBES2, parameters=structure.opened(parameters)
        )


@dataclass(frozen=True, slots=True)
class PbeSha1TripleDes:
    """pbeWithSHAAnd3-KeyTripleDES-CBC: key and IV come from the PKCS#12 KDF with SHA-1."""

    salt: bytes
    rounds: int

    @property
    def name(self) -> str:
        """As in "3DES (PBE-SHA1)"."""
        return _PBES1_NAMES[structure.PBE_SHA1_3DES]

    @property
    def kdfs(self) -> tuple[Kdf, ...]:
        """What has to be derived for `key`."""
        return (
            Pkcs12Kdf(self.salt, self.rounds, "sha1", kdf.KEY, _3DES_KEY),
            Pkcs12Kdf(self.salt, self.rounds, "sha1", kdf.IV, _3DES_BLOCK),
        )

    def key(self, derived: Sequence[bytes]) -> CbcKey:
        """Return the key, from what `kdfs` gave."""
        key, iv = derived
        return CbcKey(TripleDES(key), iv)

    def algorithm(self) -> AlgorithmIdentifier:
        """Return the AlgorithmIdentifier."""
        parameters = structure.Pbes1Parameters(salt=self.salt, iterations=self.rounds)
        return AlgorithmIdentifier(
            algorithm=structure.PBE_SHA1_3DES, parameters=structure.opened(parameters)
        )


@dataclass(frozen=True, slots=True)
class Other:
    """An encryption or MAC that isn't done here; `rounds` is None if unknown."""

    name: str
    rounds: int | None
    algorithm: AlgorithmIdentifier = field(repr=False, compare=False)

    @property
    def cost(self) -> int:
        """What it may cost, in rounds of HMAC-SHA-256: two blocks of a key, and an IV."""
        return 4 * (self.rounds or 0)


@dataclass(frozen=True, slots=True)
class Mac:
    """An HMAC whose key comes from the PKCS#12 KDF, or in PBMAC1 from PBKDF2."""

    hash_name: Hash
    kdf: Kdf

    @property
    def name(self) -> str:
        """As in "HMAC-SHA-256"."""
        name = f"HMAC-{_hash_name(self.hash_name)}"
        if isinstance(self.kdf, Pbkdf2):
            return f"PBMAC1-{name}, {_pbkdf2_name(self.kdf)}"
        return name

    @property
    def rounds(self) -> int:
        """The rounds of the key derivation."""
        return self.kdf.rounds

    def digest(self, key: bytes, content: bytes) -> bytes:
        """Return the MAC of the authSafe's content octets."""
        return hmac.digest(key, content, self.hash_name)

    def mac_data(self, digest: bytes) -> structure.MacData:
        """Return the MAC as a file contains it; not for PBMAC1."""
        algorithm = AlgorithmIdentifier(
            algorithm=structure.HASH_OIDS[self.hash_name], parameters=asn1.Null()
        )
        return structure.MacData(
            mac=structure.DigestInfo(algorithm=algorithm, digest=digest),
            salt=self.kdf.salt,
            iterations=self.kdf.rounds,
        )


Encryption = Pbes2 | PbeSha1TripleDes
AnyEncryption = Encryption | Other
AnyMac = Mac | Other


def unsupported(name: str) -> UnsupportedBackupError:
    """Return the error for a file that uses the algorithm `name`."""
    message = f"the PFX uses {name}, which can't be opened here"
    hint = (
        "import the file into a program that knows it, such as Firefox, Windows or the macOS"
        " Keychain, and make a new one there: from Firefox with `nssbackup export`"
    )
    return UnsupportedBackupError(message, hint=hint)


def name_of(oid: ObjectIdentifier) -> str:
    """Return the name of an algorithm, or its dotted number if unknown."""
    for names in (_PBES1_NAMES, _OTHER_NAMES):
        if oid in names:
            return names[oid]
    if oid in structure.AES_BYTES_BY_OID:
        return f"AES-{8 * structure.AES_BYTES_BY_OID[oid]}-CBC"
    if oid in structure.HASH_BY_OID:
        return _hash_name(structure.HASH_BY_OID[oid])
    return oid.dotted_string


def new_encryption(pfx_format: Format, rounds: int) -> Encryption:
    """Return an encryption of the format with a salt (and IV) of its own."""
    salt = os.urandom(_SALT_BYTES)
    if pfx_format.scheme == "pbe-sha1-3des":
        return PbeSha1TripleDes(salt, rounds)
    return Pbes2(Pbkdf2(salt, rounds, "sha256", 32), os.urandom(_AES_BLOCK))


def sharing_salt(other: Encryption) -> Encryption:
    """Return another encryption for the same file that shares the derivation if that is safe.

    It is safe with a random IV for each. The older scheme derives the IV too, so that one salt
    would mean one IV.
    """
    if isinstance(other, Pbes2):
        return replace(other, iv=os.urandom(_AES_BLOCK))
    return replace(other, salt=os.urandom(_SALT_BYTES))


def new_mac(pfx_format: Format, rounds: int) -> Mac:
    """Return a MAC of the format with a salt of its own."""
    return pkcs12_mac(pfx_format.mac_hash, os.urandom(_SALT_BYTES), rounds)


def pkcs12_mac(hash_name: Hash, salt: bytes, rounds: int) -> Mac:
    """Return the MAC of RFC 7292, appendix B; its key is as long as the hash."""
    length = hashlib.new(hash_name).digest_size
    return Mac(hash_name, Pkcs12Kdf(salt, rounds, hash_name, kdf.MAC, length))


def encryption_of(algorithm: AlgorithmIdentifier) -> AnyEncryption:
    """Read the encryption that an AlgorithmIdentifier names.

    Raises:
        DamagedBackupError: its parameters are malformed.
        UnsupportedBackupError: it demands too many rounds.
    """
    if algorithm.algorithm == structure.PBES2:
        return _pbes2(algorithm)
    if algorithm.algorithm not in _PBES1_NAMES:
        return Other(name_of(algorithm.algorithm), None, algorithm)
    parameters = structure.inner(structure.Pbes1Parameters, algorithm.parameters)
    check_parameters(parameters.salt, parameters.iterations)
    if algorithm.algorithm == structure.PBE_SHA1_3DES:
        return PbeSha1TripleDes(parameters.salt, parameters.iterations)
    return Other(name_of(algorithm.algorithm), parameters.iterations, algorithm)


def mac_of(data: structure.MacData) -> AnyMac:
    """Read the MAC of a file.

    Raises:
        DamagedBackupError: its parameters are malformed.
        UnsupportedBackupError: it demands too many rounds.
    """
    algorithm = data.mac.algorithm
    if algorithm.algorithm == structure.PBMAC1:
        return _pbmac1(algorithm)
    rounds = 1 if data.iterations is None else data.iterations
    check_parameters(data.salt, rounds)
    hash_name = structure.HASH_BY_OID.get(algorithm.algorithm)
    if hash_name is None:
        return Other(f"HMAC-{name_of(algorithm.algorithm)}", rounds, algorithm)
    return pkcs12_mac(hash_name, data.salt, rounds)


def _pbes2(algorithm: AlgorithmIdentifier) -> AnyEncryption:
    parameters = structure.inner(structure.SchemeParameters, algorithm.parameters)
    cipher = name_of(parameters.scheme.algorithm)
    if parameters.derivation.algorithm != structure.PBKDF2:
        name = f"{cipher}, {name_of(parameters.derivation.algorithm)}"
        return Other(name, None, algorithm)
    length = structure.AES_BYTES_BY_OID.get(parameters.scheme.algorithm)
    derivation = _pbkdf2(parameters.derivation, length)
    if length is None:
        return Other(f"{cipher}, {_pbkdf2_name(derivation)}", derivation.rounds, algorithm)
    iv = structure.inner(bytes, parameters.scheme.parameters)
    if len(iv) != _AES_BLOCK or derivation.length != length:
        message = f"the parameters of the PFX's {cipher} contradict one another"
        raise UnsupportedBackupError(message)
    return Pbes2(derivation, iv)


def _pbmac1(algorithm: AlgorithmIdentifier) -> AnyMac:
    parameters = structure.inner(structure.SchemeParameters, algorithm.parameters)
    if parameters.derivation.algorithm != structure.PBKDF2:
        name = f"PBMAC1, {name_of(parameters.derivation.algorithm)}"
        return Other(name, None, algorithm)
    derivation = _pbkdf2(parameters.derivation, None)
    hash_name = structure.HASH_BY_HMAC_OID.get(parameters.scheme.algorithm)
    if hash_name is None:
        return Other(f"PBMAC1, {_pbkdf2_name(derivation)}", derivation.rounds, algorithm)
    # RFC 9879 demands the length of the key, which PBES2 may leave to the cipher.
    if derivation.length not in _PBMAC1_KEY_BYTES:
        message = "the PFX's MAC (PBMAC1) does not say how long its key is"
        raise DamagedBackupError(message)
    return Mac(hash_name, derivation)


def _pbkdf2(derivation: AlgorithmIdentifier, length: int | None) -> Pbkdf2:
    """Read PBKDF2's parameters; `length` is that of a key if they don't say it, None for 0."""
    parameters = structure.inner(structure.Pbkdf2Parameters, derivation.parameters)
    check_parameters(parameters.salt, parameters.iterations)
    # RFC 8018, A.2: DEFAULT algid-hmacWithSHA1
    prf: Hash | None = "sha1"
    if parameters.prf is not None:
        prf = structure.HASH_BY_HMAC_OID.get(parameters.prf.algorithm)
    if prf is None:
        message = "the PFX derives its keys with a function that isn't known here"
        raise UnsupportedBackupError(message)
    return Pbkdf2(parameters.salt, parameters.iterations, prf, parameters.key_length or length or 0)


def _pbkdf2_name(derivation: Pbkdf2) -> str:
    return f"PBKDF2-HMAC-{_hash_name(derivation.prf)}"


def _hash_name(name: Hash) -> str:
    """Return the name of a hash as people write it: "SHA-256"."""
    return f"SHA-{name.removeprefix('sha')}"
