"""Chains: the CA certificates from a certificate's issuer towards its root, as far as they go."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from nssbackup.identity.certificate import StoredCertificate, load_certificate

# WIPO's chain has two or three certificates, the longest on the public web about six. The others
# are for a store of CA certificates that sign one another in circles: steps of one chain, and of
# all that are looked for among the same certificates.
_MAX_LENGTH = 10
_MAX_STEPS = 1_000
_MAX_STEPS_IN_ALL = 10_000
# Of the processor, for the same: a step takes a tenth of a millisecond, on some curves a whole one.
_SECONDS = 1.0

# Keys that take milliseconds to check a signature with: no CA has such.
_MAX_RSA_BITS, _MAX_EXPONENT_BITS, _MAX_DSA_BITS = 8_192, 64, 3_072


def find_chain(
    certificate: StoredCertificate, pool: Iterable[StoredCertificate]
) -> tuple[StoredCertificate, ...]:
    """The longest path of issuers that the pool holds, nearest issuer first.

    Each link is one whose subject is the name before's issuer and whose key verifies the
    signature before. The path ends at a self-issued certificate or at what the pool lacks. Among
    paths of one length, issuers named by key identifier, valid now and ending last come first.
    """
    return Chains(pool).of(certificate)


class Chains:
    """Some certificates, and the chains that there are among them; see `find_chain`."""

    def __init__(self, pool: Iterable[StoredCertificate]) -> None:
        self._by_subject: dict[str, list[StoredCertificate]] = {}
        for candidate in {c.der: c for c in pool}.values():
            # By the name's text: the same name in other string types (UTF8String for
            # PrintableString) is the same name (RFC 5280, 7.1).
            self._by_subject.setdefault(candidate.subject, []).append(candidate)
        self._steps = 0
        self._left = _MAX_STEPS_IN_ALL
        self._seconds = _SECONDS
        self._deadline = 0.0

    def of(self, certificate: StoredCertificate) -> tuple[StoredCertificate, ...]:
        """The chain of a certificate, which need not be among them."""
        began = time.thread_time()
        self._deadline = began + self._seconds
        self._steps = min(_MAX_STEPS, self._left)
        self._left -= self._steps
        chain = self._longest(certificate, (certificate.der,))
        self._left += self._steps
        self._seconds -= time.thread_time() - began
        return chain

    def _longest(
        self, certificate: StoredCertificate, path: tuple[bytes, ...]
    ) -> tuple[StoredCertificate, ...]:
        """The longest path above `certificate`; `path` holds the DERs already on it."""
        if certificate.self_issued or len(path) > _MAX_LENGTH or self._is_over():
            return ()
        best: tuple[StoredCertificate, ...] = ()
        for issuer in self._issuers(certificate):
            if self._is_over():
                break
            self._steps -= 1
            # A key that `certificate` doesn't know is not loaded here either.
            if issuer.der in path or issuer.public_key is None:
                continue
            if not _signed_by(certificate.der, issuer.der):
                continue
            found = (issuer, *self._longest(issuer, (*path, issuer.der)))
            if len(found) > len(best):
                best = found
        return best

    def _is_over(self) -> bool:
        return not self._steps or time.thread_time() > self._deadline

    def _issuers(self, certificate: StoredCertificate) -> list[StoredCertificate]:
        now = datetime.now(UTC)
        return sorted(
            self._by_subject.get(certificate.issuer, ()),
            key=lambda c: (
                certificate.authority_key_id is not None
                and certificate.authority_key_id == c.subject_key_id,
                c.status(now) == "valid",
                c.not_after,
                c.sha256,
            ),
            reverse=True,
        )


# A building's profiles hold the same few CA certificates over and over.
@lru_cache(maxsize=4096)
def _signed_by(certificate: bytes, issuer: bytes) -> bool:
    """Whether the key of one certificate verifies the signature of another, both as DER."""
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

    signed = load_certificate(certificate)
    try:
        key = load_certificate(issuer).public_key()
        parameters = signed.signature_algorithm_parameters
        data, signature = signed.tbs_certificate_bytes, signed.signature
        algorithm = signed.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey):
            exponent = key.public_numbers().e
            slow = key.key_size > _MAX_RSA_BITS or exponent.bit_length() > _MAX_EXPONENT_BITS
            if slow or algorithm is None or parameters is None or isinstance(parameters, ec.ECDSA):
                return False
            key.verify(signature, data, parameters, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if not isinstance(parameters, ec.ECDSA):
                return False
            key.verify(signature, data, parameters)
        elif isinstance(key, dsa.DSAPublicKey):
            if algorithm is None or key.key_size > _MAX_DSA_BITS:
                return False
            key.verify(signature, data, algorithm)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, data)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
