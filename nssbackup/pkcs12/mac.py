"""Mac: the password-based MAC of a PFX (RFC 7292, section 4 and appendix B; RFC 9879, PBMAC1).

It is an HMAC over the content octets of the authSafe's OCTET STRING. Guessing a password costs
an attacker no more than this MAC does, so its rounds are the strength of the file.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass

from cryptography.hazmat import asn1

from nssbackup.errors import DamagedBackupError
from nssbackup.pkcs12 import algorithms, kdf, pbkdf2, structure
from nssbackup.pkcs12.formats import Format
from nssbackup.pkcs12.kdf import Hash
from nssbackup.pkcs12.limits import check_parameters
from nssbackup.pkcs12.pbkdf2 import Pbkdf2
from nssbackup.secret import Secret

_SALT_BYTES = 16
# No HMAC here has a block of more than 128 bytes: a longer key would buy nothing.
_PBMAC1_KEY_BYTES = range(1, 128 + 1)


@dataclass(frozen=True, slots=True)
class Pkcs12Mac:
    """HMAC with a key of the PKCS#12 KDF, both with one hash; the key is as long as the hash."""

    hash_name: Hash
    salt: bytes
    rounds: int

    @property
    def name(self) -> str:
        """As in "HMAC-SHA-256"."""
        return f"HMAC-{algorithms.hash_title(self.hash_name)}"

    def work(self, password: Secret) -> int:
        """What `keys` costs, see `kdf.work`."""
        return kdf.work(self.rounds, 1, self.hash_name) * len(kdf.bmp_forms(password))

    def keys(self, password: Secret) -> tuple[bytes, ...]:
        """The keys to try, one for each form that the password may have been given in."""
        length = hmac.new(b"", b"", self.hash_name).digest_size
        return tuple(
            kdf.derive(
                form,
                self.salt,
                self.rounds,
                purpose=kdf.MAC,
                length=length,
                hash_name=self.hash_name,
            )
            for form in kdf.bmp_forms(password)
        )

    def digest(self, key: bytes, content: bytes) -> bytes:
        """The MAC of the authSafe's content octets."""
        return hmac.digest(key, content, self.hash_name)

    def mac_data(self, digest: bytes) -> structure.MacData:
        """The MAC as it stands in a file."""
        algorithm = structure.AlgorithmIdentifier(
            algorithm=algorithms.HASH_OIDS[self.hash_name], parameters=asn1.Null()
        )
        return structure.MacData(
            mac=structure.DigestInfo(algorithm=algorithm, digest=digest),
            salt=self.salt,
            iterations=self.rounds,
        )


@dataclass(frozen=True, slots=True)
class Pbmac1:
    """HMAC with a key of PBKDF2. NSS 3.102 and later and OpenSSL 3.4 and later know it."""

    kdf: Pbkdf2
    length: int
    hash_name: Hash

    @property
    def name(self) -> str:
        """As in "PBMAC1-HMAC-SHA-256, PBKDF2-HMAC-SHA-256"."""
        return f"PBMAC1-HMAC-{algorithms.hash_title(self.hash_name)}, {self.kdf.name}"

    @property
    def rounds(self) -> int:
        """Rounds of the key derivation; those of the MacData mean nothing here."""
        return self.kdf.rounds

    def work(self, password: Secret) -> int:
        """What `keys` costs, see `kdf.work`."""
        del password
        return kdf.work(self.rounds, self.length, self.kdf.prf)

    def keys(self, password: Secret) -> tuple[bytes, ...]:
        """The keys to try, one for each form that the password may have been given in."""
        return (self.kdf.derive(kdf.utf8(password), self.length),)

    def digest(self, key: bytes, content: bytes) -> bytes:
        """The MAC of the authSafe's content octets."""
        return hmac.digest(key, content, self.hash_name)


@dataclass(frozen=True, slots=True)
class ForeignMac:
    """A MAC that isn't done here; `rounds` is None where they can't be told."""

    name: str
    rounds: int | None

    def work(self, password: Secret) -> int:
        """What checking it costs, see `kdf.work`; the hash is one that is slow for all we know."""
        return 4 * (self.rounds or 0) * len(kdf.bmp_forms(password))


Mac = Pkcs12Mac | Pbmac1
AnyMac = Mac | ForeignMac


def fresh(format: Format, rounds: int) -> Pkcs12Mac:  # noqa: A002 - the noun of the domain
    """A MAC of the format with a salt of its own."""
    return Pkcs12Mac(format.mac_hash, os.urandom(_SALT_BYTES), rounds)


def from_mac_data(data: structure.MacData) -> AnyMac:
    """The MAC that a file names.

    Raises:
        DamagedBackupError: its parameters are not well-formed.
        UnsupportedBackupError: it demands too many rounds.
    """
    algorithm = data.mac.algorithm
    if algorithm.algorithm == algorithms.PBMAC1:
        return _pbmac1(structure.inner(structure.SchemeParameters, algorithm.parameters))
    rounds = 1 if data.iterations is None else data.iterations
    check_parameters(data.salt, rounds)
    hash_name = algorithms.HASH_BY_OID.get(algorithm.algorithm)
    if hash_name is None:
        return ForeignMac(f"HMAC-{algorithms.name_of(algorithm.algorithm)}", rounds)
    return Pkcs12Mac(hash_name, data.salt, rounds)


def _pbmac1(parameters: structure.SchemeParameters) -> AnyMac:
    if parameters.derivation.algorithm != algorithms.PBKDF2:
        return ForeignMac(f"PBMAC1, {algorithms.name_of(parameters.derivation.algorithm)}", None)
    derivation = pbkdf2.from_algorithm(parameters.derivation)
    hash_name = algorithms.HASH_BY_HMAC_OID.get(parameters.scheme.algorithm)
    if hash_name is None:
        return ForeignMac(f"PBMAC1, {derivation.name}", derivation.rounds)
    # RFC 9879 demands the length of the key, which PBES2 may leave to the cipher.
    if derivation.length is None or derivation.length not in _PBMAC1_KEY_BYTES:
        message = "the PFX's MAC (PBMAC1) does not say how long its key is"
        raise DamagedBackupError(message)
    return Pbmac1(derivation, derivation.length, hash_name)
