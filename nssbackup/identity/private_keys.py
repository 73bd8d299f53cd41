"""Private keys: from numbers or PKCS#8 to a checked `PrivateKey`.

`cryptography` tests the primes of an RSA key again, which takes longer than decrypting a whole
store (27 ms for 2048 bits, 190 ms for 4096). We trust the program that made the key to have found
primes and only check that the values still belong together. The caller then compares the public
half with the certificate's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import gcd

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from nssbackup.errors import KeyInconsistentError, KeyNotExportableError
from nssbackup.identity.model import PrivateKey

# NSS stops at 16,384 bits (lib/freebl/blapit.h, RSA_MAX_MODULUS_BITS); below 512 nothing signs.
_RSA_BITS = range(512, 16_384 + 1)

# The first bytes of a PrivateKeyInfo (RFC 5208, section 5) or its successor (RFC 5958): a version
# and the OID of the algorithm.
_LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..|\x83...)"
_HEADER = re.compile(
    rb"\x30" + _LENGTH + rb"\x02\x01[\x00\x01]\x30" + _LENGTH + rb"\x06([\x01-\x7f])", re.DOTALL
)
# RSA and RSASSA-PSS (RFC 8017), EC (RFC 5480), Ed25519 and Ed448 (RFC 8410).
_HANDLED = frozenset(
    bytes.fromhex(each)
    for each in ("2a864886f70d010101", "2a864886f70d01010a", "2a8648ce3d0201", "2b6570", "2b6571")
)
# RFC 3279, 2.3.2 and 2.3.3, PKCS#3, RFC 8410.
_NOT_HANDLED = {
    bytes.fromhex("2a8648ce380401"): "DSA",
    bytes.fromhex("2a8648ce3e0201"): "DH",
    bytes.fromhex("2a864886f70d010301"): "DH",
    bytes.fromhex("2b656e"): "X25519",
    bytes.fromhex("2b656f"): "X448",
}

_Supported = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


@dataclass(frozen=True, slots=True, repr=False)
class RsaValues:
    """The eight integers of an RSA private key (RFC 8017, A.1.2)."""

    modulus: int
    public_exponent: int
    private_exponent: int
    prime1: int
    prime2: int
    exponent1: int
    exponent2: int
    coefficient: int

    def check(self) -> None:
        """Raise KeyInconsistentError unless the values make one key."""
        n, e, d = self.modulus, self.public_exponent, self.private_exponent
        p, q = self.prime1, self.prime2
        if n.bit_length() not in _RSA_BITS:
            message = f"an RSA key of {n.bit_length()} bits is out of range"
            raise KeyInconsistentError(message)
        consistent = (
            # Bounded before the multiplication, which would take forever with huge numbers.
            1 < p < n
            and 1 < q < n
            and p * q == n
            and e % 2 == 1
            and 1 < e < n
            and 0 < d < n
            # d can be the inverse modulo lcm(p-1, q-1) or (p-1)(q-1); both satisfy these two.
            and e * d % (p - 1) == 1
            and e * d % (q - 1) == 1
            and self.exponent1 == d % (p - 1)
            and self.exponent2 == d % (q - 1)
            and gcd(p, q) == 1
            and 0 < self.coefficient < p
            and self.coefficient * q % p == 1
        )
        if not consistent:
            message = "the values of the RSA key do not belong together"
            raise KeyInconsistentError(message)


def from_rsa(values: RsaValues) -> PrivateKey:
    """Return the RSA key with these values; KeyInconsistentError if they don't belong together."""
    values.check()
    numbers = rsa.RSAPrivateNumbers(
        p=values.prime1,
        q=values.prime2,
        d=values.private_exponent,
        dmp1=values.exponent1,
        dmq1=values.exponent2,
        iqmp=values.coefficient,
        public_numbers=rsa.RSAPublicNumbers(values.public_exponent, values.modulus),
    )
    try:
        return _private_key(numbers.private_key(unsafe_skip_rsa_key_validation=True))
    except ValueError as error:
        message = "the values of the RSA key do not belong together"
        raise KeyInconsistentError(message) from error


def from_ec(curve: ec.EllipticCurve, scalar: int) -> PrivateKey:
    """Return the EC key with this scalar; KeyInconsistentError if the curve has no such key."""
    try:
        return _private_key(ec.derive_private_key(scalar, curve))
    except (ValueError, UnsupportedAlgorithm) as error:
        message = f"the private key is out of range for the curve {curve.name}"
        raise KeyInconsistentError(message) from error


def from_ed25519(seed: bytes) -> PrivateKey:
    """Return the Ed25519 key of a seed (RFC 8032, 5.1.5); KeyInconsistentError if not 32 bytes."""
    try:
        return _private_key(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
    except ValueError as error:
        message = "the Ed25519 private value is not 32 bytes long"
        raise KeyInconsistentError(message) from error


def from_pkcs8(der: bytes) -> PrivateKey:
    """Return the key in an unencrypted PKCS#8 PrivateKeyInfo, DER (RFC 5208).

    Raises:
        KeyInconsistentError: it is malformed, or its values do not belong together.
        KeyNotExportableError: its type is not supported.
    """
    header = _HEADER.match(der)
    if header is None:
        raise _not_pkcs8()
    algorithm = der[header.end() : header.end() + header[1][0]]
    # Others are not even loaded: OpenSSL would compute the public value of a DSA or DH key, whose
    # numbers can be of any size.
    if algorithm not in _HANDLED:
        raise _not_handled(_NOT_HANDLED.get(algorithm))
    try:
        key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm as error:
        raise _not_handled(None) from error
    except (ValueError, TypeError, InternalError) as error:
        raise _not_pkcs8() from error
    if not isinstance(key, _Supported):
        raise _not_handled(type(key).__name__.removesuffix("PrivateKey"))
    if isinstance(key, rsa.RSAPrivateKey):
        n = key.private_numbers()
        public = n.public_numbers
        RsaValues(public.n, public.e, n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp).check()
    return _private_key(key)


def _not_pkcs8() -> KeyInconsistentError:
    message = "the private key is not a valid PKCS#8 structure"
    return KeyInconsistentError(message)


def _not_handled(name: str | None) -> KeyNotExportableError:
    unknown = "the type of the private key is not supported"
    message = f"{name} keys are not supported" if name else unknown
    return KeyNotExportableError(message)


def _private_key(key: _Supported) -> PrivateKey:
    if isinstance(key, rsa.RSAPrivateKey):
        kind, bits = "RSA", key.key_size
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        kind, bits = "EC", key.key_size
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        kind, bits = "Ed25519", 256
    else:
        kind, bits = "Ed448", 456
    return PrivateKey(
        pkcs8=key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        public_key=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        type=kind,
        bits=bits,
    )
