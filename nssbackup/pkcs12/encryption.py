"""Encryption: one password-based encryption of a PFX, from its AlgorithmIdentifier and to it.

Done here are PBES2 with PBKDF2 and AES-CBC (RFC 8018, 6.2) and the 3DES of PKCS#12 v1
(RFC 7292, appendix C). `ForeignEncryption` knows the name and the rounds of the rest, which
`foreign.py` leaves to `cryptography`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, algorithms, modes

from nssbackup.errors import UnsupportedBackupError
from nssbackup.pkcs12 import algorithms as names
from nssbackup.pkcs12 import kdf, pbkdf2, structure
from nssbackup.pkcs12.formats import Format
from nssbackup.pkcs12.limits import check_parameters
from nssbackup.pkcs12.pbkdf2 import Pbkdf2
from nssbackup.pkcs12.structure import AlgorithmIdentifier
from nssbackup.secret import Secret

_SALT_BYTES = 16
_AES_BLOCK = 16
_3DES_KEY, _3DES_BLOCK = 24, 8


@dataclass(frozen=True, slots=True)
class CipherKey:
    """A cipher in CBC mode with its key and IV, padded as RFC 8018, 6.1.1 step 4 says."""

    cipher: BlockCipherAlgorithm = field(repr=False)
    iv: bytes = field(repr=False)

    def encrypt(self, plaintext: bytes) -> bytes:
        """The ciphertext of `plaintext` and its padding."""
        padding = len(self.iv) - len(plaintext) % len(self.iv)
        encryptor = Cipher(self.cipher, modes.CBC(self.iv)).encryptor()
        return encryptor.update(plaintext + bytes([padding]) * padding) + encryptor.finalize()

    def decrypt(self, ciphertext: bytes) -> bytes | None:
        """The plaintext without its padding, or None where key and ciphertext don't fit.

        A wrong key gives a plausible padding once in about 256 times.
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
    """PBES2 with AES in CBC mode; `bits` are those of the AES key."""

    kdf: Pbkdf2
    bits: int
    iv: bytes

    @property
    def name(self) -> str:
        """As in "AES-256-CBC, PBKDF2-HMAC-SHA-256"."""
        return f"AES-{self.bits}-CBC, {self.kdf.name}"

    @property
    def rounds(self) -> int:
        """Rounds of the key derivation."""
        return self.kdf.rounds

    def work(self, password: Secret) -> int:
        """What `keys` costs, see `kdf.work`."""
        del password
        return kdf.work(self.rounds, self.bits // 8, self.kdf.prf)

    def keys(self, password: Secret) -> tuple[CipherKey, ...]:
        """The keys to try, one for each form that the password may have been given in."""
        return self.keys_from(self.derive(password))

    def derive(self, password: Secret) -> bytes:
        """What PBKDF2 makes of the password: the key without the IV."""
        return self.kdf.derive(kdf.utf8(password), self.bits // 8)

    def keys_from(self, derived: bytes) -> tuple[CipherKey, ...]:
        """The keys, where that has been done."""
        return (CipherKey(algorithms.AES(derived), self.iv),)

    def algorithm(self) -> AlgorithmIdentifier:
        """As in a file."""
        cipher = AlgorithmIdentifier(
            algorithm=names.AES_CBC_OIDS[self.bits], parameters=structure.opened(self.iv)
        )
        parameters = structure.SchemeParameters(derivation=self.kdf.algorithm(), scheme=cipher)
        return AlgorithmIdentifier(algorithm=names.PBES2, parameters=structure.opened(parameters))


@dataclass(frozen=True, slots=True)
class PbeSha1TripleDes:
    """pbeWithSHAAnd3-KeyTripleDES-CBC: key and IV come from the PKCS#12 KDF with SHA-1."""

    salt: bytes
    rounds: int

    @property
    def name(self) -> str:
        """As in "3DES (PBE-SHA1)"."""
        return names.PBES1_NAMES[names.PBE_SHA1_3DES]

    def work(self, password: Secret) -> int:
        """What `keys` costs, see `kdf.work`."""
        lengths = (_3DES_KEY, _3DES_BLOCK)
        once = sum(kdf.work(self.rounds, length, "sha1") for length in lengths)
        return once * len(kdf.bmp_forms(password))

    def keys(self, password: Secret) -> tuple[CipherKey, ...]:
        """The keys to try, one for each form that the password may have been given in."""
        # `cryptography` keeps 3DES apart since 48; elsewhere it warns.
        from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES

        found = []
        for form in kdf.bmp_forms(password):
            key = self._derive(form, kdf.KEY, _3DES_KEY)
            iv = self._derive(form, kdf.IV, _3DES_BLOCK)
            found.append(CipherKey(TripleDES(key), iv))
        return tuple(found)

    def algorithm(self) -> AlgorithmIdentifier:
        """As in a file."""
        parameters = structure.Pbes1Parameters(salt=self.salt, iterations=self.rounds)
        return AlgorithmIdentifier(
            algorithm=names.PBE_SHA1_3DES, parameters=structure.opened(parameters)
        )

    def _derive(self, password: bytes, purpose: kdf.Purpose, length: int) -> bytes:
        return kdf.derive(
            password, self.salt, self.rounds, purpose=purpose, length=length, hash_name="sha1"
        )


@dataclass(frozen=True, slots=True)
class ForeignEncryption:
    """An encryption that isn't done here; `rounds` is None where they can't be told."""

    name: str
    rounds: int | None
    identifier: AlgorithmIdentifier | None = field(default=None, repr=False, compare=False)

    def work(self, password: Secret) -> int:
        """What opening it costs, see `kdf.work`: key and IV, and for some two blocks of a key."""
        return 3 * (self.rounds or 0) * len(kdf.bmp_forms(password))

    def algorithm(self) -> AlgorithmIdentifier:
        """As in a file.

        Raises:
            UnsupportedBackupError: it was not read from one.
        """
        if self.identifier is None:
            raise names.unsupported(self.name)
        return self.identifier


Encryption = Pbes2 | PbeSha1TripleDes
AnyEncryption = Encryption | ForeignEncryption


def fresh(format: Format, rounds: int) -> Encryption:  # noqa: A002 - the noun of the domain
    """An encryption of the format with a salt (and IV) of its own."""
    salt = os.urandom(_SALT_BYTES)
    if format.scheme == "pbe-sha1-3des":
        return PbeSha1TripleDes(salt, rounds)
    return Pbes2(Pbkdf2(salt, rounds, "sha256"), 256, os.urandom(_AES_BLOCK))


def beside(other: Encryption) -> Encryption:
    """Another encryption for the same file, with a derivation in common where that is safe.

    That is so where each has a random IV of its own. The older scheme derives the IV as well, so
    that one salt would be one IV.
    """
    if isinstance(other, Pbes2):
        return replace(other, iv=os.urandom(_AES_BLOCK))
    return replace(other, salt=os.urandom(_SALT_BYTES))


def from_algorithm(algorithm: AlgorithmIdentifier) -> AnyEncryption:
    """The encryption that an AlgorithmIdentifier names.

    Raises:
        DamagedBackupError: its parameters are not well-formed.
        UnsupportedBackupError: it demands too many rounds.
    """
    named = _named(algorithm)
    return replace(named, identifier=algorithm) if isinstance(named, ForeignEncryption) else named


def _named(algorithm: AlgorithmIdentifier) -> AnyEncryption:
    if algorithm.algorithm == names.PBES2:
        return _pbes2(structure.inner(structure.SchemeParameters, algorithm.parameters))
    if algorithm.algorithm not in names.PBES1_NAMES:
        return ForeignEncryption(names.name_of(algorithm.algorithm), None)
    parameters = structure.inner(structure.Pbes1Parameters, algorithm.parameters)
    check_parameters(parameters.salt, parameters.iterations)
    if algorithm.algorithm == names.PBE_SHA1_3DES:
        return PbeSha1TripleDes(parameters.salt, parameters.iterations)
    return ForeignEncryption(names.name_of(algorithm.algorithm), parameters.iterations)


def _pbes2(parameters: structure.SchemeParameters) -> AnyEncryption:
    cipher = names.name_of(parameters.scheme.algorithm)
    if parameters.derivation.algorithm != names.PBKDF2:
        return ForeignEncryption(
            f"{cipher}, {names.name_of(parameters.derivation.algorithm)}", None
        )
    derivation = pbkdf2.from_algorithm(parameters.derivation)
    bits = names.AES_BITS_BY_OID.get(parameters.scheme.algorithm)
    if bits is None:
        return ForeignEncryption(f"{cipher}, {derivation.name}", derivation.rounds)
    iv = structure.inner(bytes, parameters.scheme.parameters)
    if len(iv) != _AES_BLOCK or derivation.length not in (None, bits // 8):
        message = f"the parameters of the PFX's {cipher} contradict one another"
        raise UnsupportedBackupError(message)
    return Pbes2(derivation, bits, iv)
