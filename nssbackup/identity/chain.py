"""Chains: the CA certificates from a certificate's issuer towards its root, as far as they go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from nssbackup.identity.ber import elements, first_element
from nssbackup.identity.certificate import StoredCertificate, read_certificate
from nssbackup.identity.model import Identity, Profile, Signature
from nssbackup.system.reading import Budget

Link = Literal["verified", "wrong", "unchecked"]
"""What the key of an issuer says about a signature."""

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

# The algorithm of a signature tells the type of the key that made it (RFC 8017, 5758, 8410).
_KEY_OF: tuple[tuple[str, type], ...] = (
    ("1.2.840.113549.1.1.", rsa.RSAPublicKey),
    ("1.2.840.10045.4.", ec.EllipticCurvePublicKey),
    ("1.2.840.10040.4.", dsa.DSAPublicKey),
    ("2.16.840.1.101.3.4.3.", dsa.DSAPublicKey),
    ("1.3.101.112", ed25519.Ed25519PublicKey),
    ("1.3.101.113", ed448.Ed448PublicKey),
)


def link(certificate: StoredCertificate, issuer: StoredCertificate) -> Link:
    """Verify the signature of a certificate with the key of another.

    It is "unchecked" if the algorithm or the key is unknown here (MD2, MD5) or takes too long.
    """
    if issuer.public_key is None:
        return "unchecked"
    return _link(certificate.der, issuer.public_key)


def unverified_links(identity: Identity) -> Iterator[tuple[StoredCertificate, StoredCertificate]]:
    """Iterate over the links of a chain that are joined by name and key identifier only."""
    chain = (identity.certificate, *identity.chain)
    return (
        (one, issuer)
        for one, issuer in zip(chain, identity.chain, strict=False)
        if link(one, issuer) == "unchecked"
    )


class Chains:
    """Makes identities of certificates: finds their chains among others and checks signatures."""

    def __init__(self, pool: Iterable[StoredCertificate]) -> None:
        self._issuers: dict[str, list[StoredCertificate]] = {}
        for candidate in {c.der: c for c in pool if c.is_ca}.values():
            # By the name's text: the same name in other string types (UTF8String for
            # PrintableString) is the same name (RFC 5280, 7.1).
            self._issuers.setdefault(candidate.subject, []).append(candidate)
        self._steps = 0
        self._budget = Budget(_SECONDS, _MAX_STEPS_IN_ALL)

    def identity(self, profile: Profile | None, certificate: StoredCertificate) -> Identity:
        """Make an identity of a certificate, which need not be in the pool."""
        self._steps = _MAX_STEPS
        with self._budget:
            chain = self._chain(certificate)
            if chain and link(certificate, chain[0]) == "verified":
                return Identity(profile, certificate, chain, "verified")
            return Identity(profile, certificate, chain, self._signature(certificate))

    def _chain(self, certificate: StoredCertificate) -> tuple[StoredCertificate, ...]:
        """Return the best chain: nearest issuer first, without the certificate itself.

        Preferred is one valid now, then one that ends in a self-signed root, then the shortest,
        then the one that ends last.
        """
        now = datetime.now(UTC)

        def rank(chain: tuple[StoredCertificate, ...]) -> tuple[bool, bool, int, float]:
            return (
                all(each.status(now) == "valid" for each in chain),
                bool(chain) and _is_root(chain[-1]),
                -len(chain),
                min((each.not_after.timestamp() for each in chain), default=0.0),
            )

        return max(self._paths((certificate,), now), key=rank)

    def _paths(
        self, path: tuple[StoredCertificate, ...], now: datetime
    ) -> Iterator[tuple[StoredCertificate, ...]]:
        """Iterate over the chains above the last certificate of a path."""
        last = path[-1]
        goes_on = False
        if not (_is_root(last) or len(path) > _MAX_LENGTH or self._is_over()):
            for issuer in self._candidates(last, now):
                if self._is_over():
                    break
                if all(issuer.der != each.der for each in path) and self._joins(last, issuer):
                    goes_on = True
                    yield from self._paths((*path, issuer), now)
        if not goes_on:
            yield path[1:]

    def _signature(self, certificate: StoredCertificate) -> Signature:
        """Tell whether the issuer of a certificate, as far as it is known, signed it."""
        issuers = [*self._issuers.get(certificate.issuer, ())]
        if certificate.self_issued:
            issuers.append(certificate)
        wrong, wrong_with_id = True, None
        for issuer in issuers:
            self._step()
            found = "unchecked" if self._is_over() else link(certificate, issuer)
            if found == "verified":
                return "verified"
            wrong &= found == "wrong"
            if _has_same_key_id(certificate, issuer):
                wrong_with_id = found == "wrong" and wrong_with_id is not False
        if wrong_with_id:
            return "forged"
        return "other" if issuers and wrong else "unchecked"

    def _joins(self, certificate: StoredCertificate, issuer: StoredCertificate) -> bool:
        self._step()
        found = link(certificate, issuer)
        if found == "unchecked":
            # OpenSSL and NSS join by name, unless both have a key identifier and these differ.
            known = certificate.authority_key_id and issuer.subject_key_id
            return not known or _has_same_key_id(certificate, issuer)
        return found == "verified"

    def _step(self) -> None:
        self._steps -= 1
        self._budget.take()

    def _is_over(self) -> bool:
        return self._steps <= 0 or self._budget.is_spent()

    def _candidates(self, certificate: StoredCertificate, now: datetime) -> list[StoredCertificate]:
        """Return those with the issuer's name, the best first: not all may be tried."""
        return sorted(
            self._issuers.get(certificate.issuer, ()),
            key=lambda c: (
                _has_same_key_id(certificate, c),
                c.status(now) == "valid",
                c.self_issued,
                c.not_after,
                c.sha256,
            ),
            reverse=True,
        )


def _has_same_key_id(certificate: StoredCertificate, issuer: StoredCertificate) -> bool:
    known = certificate.authority_key_id
    return known is not None and known == issuer.subject_key_id


def _is_root(certificate: StoredCertificate) -> bool:
    """Tell whether a certificate is self-signed, as far as that can be checked."""
    return certificate.self_issued and link(certificate, certificate) != "wrong"


# A building's profiles hold the same few CA certificates over and over.
@lru_cache(maxsize=4096)
def _link(der: bytes, issuer_key: bytes) -> Link:
    """Verify the signature of a certificate (DER) with a key (SubjectPublicKeyInfo, DER)."""
    reading = read_certificate(der)
    certificate = reading.certificate
    oid = certificate.signature_algorithm_oid.dotted_string
    kind = next((kind for prefix, kind in _KEY_OF if oid.startswith(prefix)), None)
    try:
        key = load_der_public_key(issuer_key)
        if kind is None or _is_slow(key):
            return "unchecked"
        if isinstance(key, kind) and _names_one_algorithm(certificate):
            _verify(key, certificate, reading.signed)
            return "verified"
    except InvalidSignature:
        pass
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return "unchecked"
    return "wrong"


def _verify(key: object, certificate: x509.Certificate, signed: bytes) -> None:
    """Raise InvalidSignature unless a key of the right type made a signature.

    `cryptography` has no parameters for MD5, so that it raises a TypeError or UnsupportedAlgorithm.
    """
    signature, algorithm = certificate.signature, certificate.signature_hash_algorithm
    parameters: Any = certificate.signature_algorithm_parameters
    if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
        key.verify(signature, signed, parameters, algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, parameters)
    elif isinstance(key, dsa.DSAPublicKey) and algorithm is not None:
        key.verify(signature, signed, algorithm)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        key.verify(signature, signed)


def _is_slow(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        return key.key_size > _MAX_RSA_BITS or exponent.bit_length() > _MAX_EXPONENT_BITS
    return isinstance(key, dsa.DSAPublicKey) and key.key_size > _MAX_DSA_BITS


def _names_one_algorithm(certificate: x509.Certificate) -> bool:
    """Tell whether both places that name the algorithm agree (RFC 5280, section 4.1.1.2)."""
    whole = first_element(certificate.public_bytes(Encoding.DER))
    body, outer, _ = elements(whole.content)
    # The sequence behind the version, if there is one, and the serial number.
    inner = next(each for each in elements(body.content) if each.tag == outer.tag)
    return inner.whole == outer.whole
