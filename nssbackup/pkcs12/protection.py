"""The encryptions and MACs of a PFX: from an AlgorithmIdentifier and to one.

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
from cryptography.x509 import ObjectIdentifier

from nssbackup.errors import DamagedBackupError, UnsupportedBackupError
from nssbackup.pkcs12 import ciphers, kdf, structure
from nssbackup.pkcs12.ciphers import AES_BLOCK, CipherKey, CipherKind
from nssbackup.pkcs12.formats import Format
from nssbackup.pkcs12.kdf import Hash, Kdf, Pbkdf1, Pbkdf2, Pkcs12Kdf, check_parameters
from nssbackup.pkcs12.structure import AlgorithmIdentifier

_SALT_BYTES = 16
# No HMAC here has a block of more than 128 bytes: a longer key would gain nothing.
_PBMAC1_KEY_BYTES = range(1, 128 + 1)


@dataclass(frozen=True, slots=True)
class Pbes2:
    """PBES2 (RFC 8018, 6.2); the length of the derived key is that of the cipher's key."""

    kdf: Pbkdf2
    iv: bytes
    kind: CipherKind

    @property
    def name(self) -> str:
        """As in "AES-256-CBC, PBKDF2-HMAC-SHA-256"."""
        return f"{self.kind.name}, {_pbkdf2_name(self.kdf)}"

    @property
    def rounds(self) -> int:
        """The rounds of the key derivation."""
        return self.kdf.rounds

    @property
    def kdfs(self) -> tuple[Kdf, ...]:
        """What has to be derived for `key`."""
        return (self.kdf,)

    def key(self, derived: Sequence[bytes]) -> CipherKey:
        """Return the key, from what `kdfs` gave."""
        return CipherKey(self.kind, derived[0], self.iv)

    def algorithm(self) -> AlgorithmIdentifier:
        """Return the AlgorithmIdentifier, without the optional length of the key."""
        prf = AlgorithmIdentifier(
            algorithm=structure.HMAC_OIDS[self.kdf.prf], parameters=asn1.Null()
        )
        derivation = structure.Pbkdf2Parameters(
            salt=self.kdf.salt, iterations=self.kdf.rounds, key_length=None, prf=prf
        )
        cipher = next(oid for oid, kind in ciphers.PBES2.items() if kind == self.kind)
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
class Pbes1:
    """An encryption of PKCS#12 v1: key and IV come from the PKCS#12 KDF with SHA-1.

    Those of PKCS#5 v1.5 take both from one result of PBKDF1 with `hash_name`.
    """

    kind: CipherKind
    salt: bytes = field(repr=False)
    rounds: int
    hash_name: Hash | None = None

    @property
    def name(self) -> str:
        """As in "3DES (PBE-SHA1)"."""
        return self.kind.name

    @property
    def kdfs(self) -> tuple[Kdf, ...]:
        """What has to be derived for `key`."""
        if self.hash_name is not None:
            return (Pbkdf1(self.salt, self.rounds, self.hash_name),)
        lengths = ((kdf.KEY, self.kind.key), (kdf.IV, self.kind.iv))
        return tuple(
            Pkcs12Kdf(self.salt, self.rounds, "sha1", purpose, length)
            for purpose, length in lengths
            if length
        )

    def key(self, derived: Sequence[bytes]) -> CipherKey:
        """Return the key, from what `kdfs` gave."""
        both = b"".join(derived)
        size = self.kind.key
        return CipherKey(self.kind, both[:size], both[size : size + self.kind.iv])

    def algorithm(self) -> AlgorithmIdentifier:
        """Return the AlgorithmIdentifier."""
        parameters = structure.Pbes1Parameters(salt=self.salt, iterations=self.rounds)
        oid = next(oid for oid, kind in ciphers.PKCS12_PBE.items() if kind == self.kind)
        return AlgorithmIdentifier(algorithm=oid, parameters=structure.opened(parameters))


@dataclass(frozen=True, slots=True)
class Other:
    """An encryption or MAC that can't be opened here; `rounds` is None if unknown."""

    name: str
    rounds: int | None


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


Encryption = Pbes1 | Pbes2
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
    if oid in ciphers.PKCS12_PBE or oid in ciphers.PBES2:
        return {**ciphers.PKCS12_PBE, **ciphers.PBES2}[oid].name
    if oid in ciphers.PKCS5_PBE:
        return ciphers.PKCS5_PBE[oid][0].name
    if oid in structure.HASH_BY_OID:
        return _hash_name(structure.HASH_BY_OID[oid])
    return ciphers.OTHER_NAMES.get(oid, oid.dotted_string)


def new_encryption(pfx_format: Format, rounds: int) -> Encryption:
    """Return an encryption of the format with a salt (and IV) of its own."""
    salt = os.urandom(_SALT_BYTES)
    if pfx_format.scheme == "pbe-sha1-3des":
        return pbe_sha1_3des(salt, rounds)
    return pbes2_aes(Pbkdf2(salt, rounds, "sha256", 32), os.urandom(AES_BLOCK))


def pbes2_aes(derivation: Pbkdf2, iv: bytes) -> Pbes2:
    """Return PBES2 with AES-CBC and a key of the derived length."""
    return Pbes2(derivation, iv, ciphers.PBES2[structure.AES_CBC_OIDS[derivation.length]])


def pbe_sha1_3des(salt: bytes, rounds: int) -> Pbes1:
    """Return pbeWithSHAAnd3-KeyTripleDES-CBC."""
    return Pbes1(ciphers.PKCS12_PBE[ciphers.PBE_SHA1_3DES], salt, rounds)


def sharing_salt(other: Encryption) -> Encryption:
    """Return another encryption for the same file that shares the derivation if that is safe.

    It is safe with a random IV for each. The older scheme derives the IV too, so that one salt
    would mean one IV.
    """
    if isinstance(other, Pbes2):
        return replace(other, iv=os.urandom(AES_BLOCK))
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
    oid = algorithm.algorithm
    if oid == structure.PBES2:
        return _pbes2(algorithm)
    if oid not in ciphers.PKCS12_PBE and oid not in ciphers.PKCS5_PBE:
        return Other(name_of(oid), None)
    parameters = structure.inner(structure.Pbes1Parameters, algorithm.parameters)
    check_parameters(parameters.salt, parameters.iterations)
    if oid in ciphers.PKCS12_PBE:
        return Pbes1(ciphers.PKCS12_PBE[oid], parameters.salt, parameters.iterations)
    kind, hash_name = ciphers.PKCS5_PBE[oid]
    return Pbes1(kind, parameters.salt, parameters.iterations, hash_name)


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
        return Other(f"HMAC-{name_of(algorithm.algorithm)}", rounds)
    return pkcs12_mac(hash_name, data.salt, rounds)


def _pbes2(algorithm: AlgorithmIdentifier) -> AnyEncryption:
    parameters = structure.inner(structure.SchemeParameters, algorithm.parameters)
    cipher = name_of(parameters.scheme.algorithm)
    if parameters.derivation.algorithm != structure.PBKDF2:
        name = f"{cipher}, {name_of(parameters.derivation.algorithm)}"
        return Other(name, None)
    kind = ciphers.PBES2.get(parameters.scheme.algorithm)
    derivation = _pbkdf2(parameters.derivation, kind.key if kind else None)
    if kind is None:
        return Other(f"{cipher}, {_pbkdf2_name(derivation)}", derivation.rounds)
    if kind.cipher == "AES" and derivation.length in structure.AES_CBC_OIDS:
        # NSS before 3.34 wrote AES-256 under the OID of AES-128 (Mozilla bug 1416265).
        kind = ciphers.PBES2[structure.AES_CBC_OIDS[derivation.length]]
    iv = structure.inner(bytes, parameters.scheme.parameters)
    if len(iv) != kind.iv or derivation.length != kind.key:
        message = f"the parameters of the PFX's {cipher} contradict one another"
        raise UnsupportedBackupError(message)
    return Pbes2(derivation, iv, kind)


def _pbmac1(algorithm: AlgorithmIdentifier) -> AnyMac:
    parameters = structure.inner(structure.SchemeParameters, algorithm.parameters)
    if parameters.derivation.algorithm != structure.PBKDF2:
        name = f"PBMAC1, {name_of(parameters.derivation.algorithm)}"
        return Other(name, None)
    derivation = _pbkdf2(parameters.derivation, None)
    hash_name = structure.HASH_BY_HMAC_OID.get(parameters.scheme.algorithm)
    if hash_name is None:
        return Other(f"PBMAC1, {_pbkdf2_name(derivation)}", derivation.rounds)
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
    return name.upper().replace("SHA", "SHA-")
