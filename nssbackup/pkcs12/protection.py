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
from cryptography.hazmat.decrepit.ciphers import algorithms as decrepit
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.x509 import ObjectIdentifier

from nssbackup.errors import DamagedBackupError, UnsupportedBackupError
from nssbackup.pkcs12 import kdf, rc2, structure
from nssbackup.pkcs12.formats import Format
from nssbackup.pkcs12.kdf import Hash, Kdf, Pbkdf1, Pbkdf2, Pkcs12Kdf, check_parameters
from nssbackup.pkcs12.structure import AlgorithmIdentifier

_SALT_BYTES = 16
_AES_BLOCK = 16
_3DES_KEY = 24
# No HMAC here has a block of more than 128 bytes: a longer key would gain nothing.
_PBMAC1_KEY_BYTES = range(1, 128 + 1)

# The name of an algorithm here for which `cryptography` has none.
_RC2 = "RC2"


@dataclass(frozen=True, slots=True)
class CipherKind:
    """A cipher with the lengths of its key and IV in bytes; the IV of a stream cipher is empty."""

    name: str
    cipher: str
    key: int
    iv: int = 8


# RFC 7292, appendix C: PKCS#12 v1.
_PKCS12_PBE = {
    ObjectIdentifier(f"1.2.840.113549.1.12.1.{number}"): kind
    for number, kind in (
        (1, CipherKind("RC4-128 (PBE-SHA1)", "ARC4", 16, 0)),
        (2, CipherKind("RC4-40 (PBE-SHA1)", "ARC4", 5, 0)),
        (3, CipherKind("3DES (PBE-SHA1)", "TripleDES", 24)),
        (4, CipherKind("2-key 3DES (PBE-SHA1)", "TripleDES", 16)),
        (5, CipherKind("RC2-128 (PBE-SHA1)", _RC2, 16)),
        (6, CipherKind("RC2-40 (PBE-SHA1)", _RC2, 5)),
    )
}
_PBE_SHA1_3DES = ObjectIdentifier("1.2.840.113549.1.12.1.3")
# RFC 8018, A.3: PKCS#5 v1.5.
_PKCS5_PBE: dict[ObjectIdentifier, tuple[CipherKind, Hash]] = {
    ObjectIdentifier("1.2.840.113549.1.5.3"): (CipherKind("DES (PBE-MD5)", "TripleDES", 8), "md5"),
    ObjectIdentifier("1.2.840.113549.1.5.6"): (CipherKind("RC2-64 (PBE-MD5)", _RC2, 8), "md5"),
    ObjectIdentifier("1.2.840.113549.1.5.10"): (
        CipherKind("DES (PBE-SHA1)", "TripleDES", 8),
        "sha1",
    ),
    ObjectIdentifier("1.2.840.113549.1.5.11"): (CipherKind("RC2-64 (PBE-SHA1)", _RC2, 8), "sha1"),
}
# RFC 8018, B.2, and RFC 3657: the ciphers of PBES2.
_PBES2 = {
    **{
        oid: CipherKind(f"AES-{8 * size}-CBC", "AES", size, _AES_BLOCK)
        for size, oid in structure.AES_CBC_OIDS.items()
    },
    ObjectIdentifier("1.2.840.113549.3.7"): CipherKind("3DES-CBC", "TripleDES", 24),
    ObjectIdentifier("1.3.14.3.2.7"): CipherKind("DES-CBC", "TripleDES", 8),
    **{
        ObjectIdentifier(f"1.2.392.200011.61.1.1.1.{number}"): CipherKind(
            f"Camellia-{8 * size}-CBC", "Camellia", size, 16
        )
        for number, size in ((2, 16), (3, 24), (4, 32))
    },
}
# What a PFX may name and nobody here opens (RFC 5084; RFC 7914).
_OTHER_NAMES = {
    ObjectIdentifier(dotted): name
    for dotted, name in (
        ("1.2.840.113549.3.2", "RC2-CBC"),
        ("2.16.840.1.101.3.4.1.6", "AES-128-GCM"),
        ("2.16.840.1.101.3.4.1.26", "AES-192-GCM"),
        ("2.16.840.1.101.3.4.1.46", "AES-256-GCM"),
        ("1.3.6.1.4.1.11591.4.11", "scrypt"),
        ("2.16.840.1.101.3.4.2.6", "SHA-512/256"),
    )
}


@dataclass(frozen=True, slots=True)
class CipherKey:
    """A cipher with its key and IV; a block cipher is in CBC mode, padded as in RFC 8018, 6.1.1."""

    kind: CipherKind
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)

    def encrypt(self, plaintext: bytes) -> bytes:
        """Pad and encrypt with a block cipher."""
        padding = len(self.iv) - len(plaintext) % len(self.iv)
        encryptor = self._cipher().encryptor()
        return encryptor.update(plaintext + bytes([padding]) * padding) + encryptor.finalize()

    def decrypt(self, ciphertext: bytes) -> bytes | None:
        """Decrypt and remove the padding, or return None if the padding is wrong.

        One wrong key in about 256 gives a plausible padding; without one, every key does.
        """
        block = self.kind.iv
        if not ciphertext or (block and len(ciphertext) % block):
            return None
        if self.kind.cipher == _RC2:
            padded = rc2.decrypt_cbc(self.key, 8 * self.kind.key, self.iv, ciphertext)
        else:
            decryptor = self._cipher().decryptor()
            padded = decryptor.update(ciphertext) + decryptor.finalize()
        if not block:
            return padded
        padding = padded[-1]
        if not 1 <= padding <= block or padded[-padding:] != bytes([padding]) * padding:
            return None
        return padded[:-padding]

    def cost(self, ciphertext: bytes) -> int:
        """Return what `decrypt` costs in rounds of HMAC-SHA-256: little, but for RC2 in Python."""
        return 400 * (len(ciphertext) // rc2.BLOCK) if self.kind.cipher == _RC2 else 0

    def _cipher(self) -> Cipher[modes.CBC | None]:
        key = self.key
        if self.kind.cipher == "TripleDES" and self.kind.key < _3DES_KEY:
            # Two keys: the first is used again. DES: all three are the same.
            key = (key * 3)[:_3DES_KEY]
        algorithm = AES if self.kind.cipher == "AES" else getattr(decrepit, self.kind.cipher)
        return Cipher(algorithm(key), modes.CBC(self.iv) if self.kind.iv else None)


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
        cipher = next(oid for oid, kind in _PBES2.items() if kind == self.kind)
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
        oid = next(oid for oid, kind in _PKCS12_PBE.items() if kind == self.kind)
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
    if oid in _PKCS12_PBE or oid in _PBES2:
        return {**_PKCS12_PBE, **_PBES2}[oid].name
    if oid in _PKCS5_PBE:
        return _PKCS5_PBE[oid][0].name
    if oid in structure.HASH_BY_OID:
        return _hash_name(structure.HASH_BY_OID[oid])
    return _OTHER_NAMES.get(oid, oid.dotted_string)


def new_encryption(pfx_format: Format, rounds: int) -> Encryption:
    """Return an encryption of the format with a salt (and IV) of its own."""
    salt = os.urandom(_SALT_BYTES)
    if pfx_format.scheme == "pbe-sha1-3des":
        return pbe_sha1_3des(salt, rounds)
    return pbes2_aes(Pbkdf2(salt, rounds, "sha256", 32), os.urandom(_AES_BLOCK))


def pbes2_aes(derivation: Pbkdf2, iv: bytes) -> Pbes2:
    """Return PBES2 with AES-CBC and a key of the derived length."""
    return Pbes2(derivation, iv, _PBES2[structure.AES_CBC_OIDS[derivation.length]])


def pbe_sha1_3des(salt: bytes, rounds: int) -> Pbes1:
    """Return pbeWithSHAAnd3-KeyTripleDES-CBC."""
    return Pbes1(_PKCS12_PBE[_PBE_SHA1_3DES], salt, rounds)


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
    oid = algorithm.algorithm
    if oid == structure.PBES2:
        return _pbes2(algorithm)
    if oid not in _PKCS12_PBE and oid not in _PKCS5_PBE:
        return Other(name_of(oid), None)
    parameters = structure.inner(structure.Pbes1Parameters, algorithm.parameters)
    check_parameters(parameters.salt, parameters.iterations)
    if oid in _PKCS12_PBE:
        return Pbes1(_PKCS12_PBE[oid], parameters.salt, parameters.iterations)
    kind, hash_name = _PKCS5_PBE[oid]
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
    kind = _PBES2.get(parameters.scheme.algorithm)
    derivation = _pbkdf2(parameters.derivation, kind.key if kind else None)
    if kind is None:
        return Other(f"{cipher}, {_pbkdf2_name(derivation)}", derivation.rounds)
    if kind.cipher == "AES" and derivation.length in structure.AES_CBC_OIDS:
        # NSS before 3.34 wrote AES-256 under the OID of AES-128 (Mozilla bug 1416265).
        kind = _PBES2[structure.AES_CBC_OIDS[derivation.length]]
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
