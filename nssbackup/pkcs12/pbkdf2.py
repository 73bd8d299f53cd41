"""Pbkdf2: the key derivation of PBES2 and PBMAC1 (RFC 8018, section 5.2 and A.2)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat import asn1

from nssbackup.errors import UnsupportedBackupError
from nssbackup.pkcs12 import algorithms, structure
from nssbackup.pkcs12.kdf import Hash
from nssbackup.pkcs12.limits import check_parameters
from nssbackup.pkcs12.structure import AlgorithmIdentifier


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    """PBKDF2's parameters; `length` is that of the key in bytes where they say it."""

    salt: bytes
    rounds: int
    prf: Hash
    length: int | None = None

    @property
    def name(self) -> str:
        """As in "PBKDF2-HMAC-SHA-256"."""
        return f"PBKDF2-HMAC-{algorithms.hash_title(self.prf)}"

    def derive(self, password: bytes, length: int) -> bytes:
        """`length` bytes from a password in UTF-8; lets other threads run meanwhile."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

        digest: hashes.HashAlgorithm = getattr(hashes, self.prf.upper())()
        return PBKDF2HMAC(digest, length, self.salt, self.rounds).derive(password)

    def algorithm(self) -> AlgorithmIdentifier:
        """As in a file: the PRF with NULL parameters, the key's length only where it is set."""
        prf = AlgorithmIdentifier(algorithm=algorithms.HMAC_OIDS[self.prf], parameters=asn1.Null())
        parameters = structure.Pbkdf2Parameters(
            salt=self.salt, iterations=self.rounds, key_length=self.length, prf=prf
        )
        return AlgorithmIdentifier(
            algorithm=algorithms.PBKDF2, parameters=structure.opened(parameters)
        )


def from_algorithm(derivation: AlgorithmIdentifier) -> Pbkdf2:
    """The parameters as a file holds them.

    Raises:
        DamagedBackupError: they are not well-formed.
        UnsupportedBackupError: it is another key derivation, another PRF or too many rounds.
    """
    if derivation.algorithm != algorithms.PBKDF2:
        message = f"the key derivation {algorithms.name_of(derivation.algorithm)} isn't known here"
        raise UnsupportedBackupError(message)
    parameters = structure.inner(structure.Pbkdf2Parameters, derivation.parameters)
    check_parameters(parameters.salt, parameters.iterations)
    # RFC 8018, A.2: DEFAULT algid-hmacWithSHA1
    prf: Hash | None = "sha1"
    if parameters.prf is not None:
        prf = algorithms.HASH_BY_HMAC_OID.get(parameters.prf.algorithm)
    if prf is None:
        message = "the PFX derives its keys with a function that isn't known here"
        raise UnsupportedBackupError(message)
    return Pbkdf2(parameters.salt, parameters.iterations, prf, parameters.key_length)
