"""Identities of every key type, and the parts of a PFX to put together by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from nssbackup.identity import private_keys
from nssbackup.identity.certificate import from_der
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import PfxContents, PfxDescription, Protection, kdf, structure
from nssbackup.pkcs12.kdf import Pbkdf2
from nssbackup.pkcs12.protection import Encryption, Mac, pbes2_aes, pkcs12_mac
from nssbackup.secret import Secret

Assemble = Callable[..., bytes]
ClearBags = Callable[..., structure.ContentInfo]

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

KEYS: dict[str, Callable[[], Private]] = {
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "p-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Case:
    """An identity with its chain, its key, and both in the forms that peers take."""

    identity: Identity
    key: PrivateKey
    key_pem: bytes
    certificate_pem: bytes
    chain_pem: bytes


def _issue(
    name: str, key: Private, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )


@functools.cache
def case_of(kind: str) -> Case:
    """An identity with a key of this kind, made once in a run."""
    root_key, ca_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    key = KEYS[kind]()
    root = _issue("Root CA", root_key, "Root CA", root_key, ca=True)
    ca = _issue("Issuing CA", ca_key, "Root CA", root_key, ca=True)
    own = _issue("Zoë Example", key, "Issuing CA", ca_key, ca=False)
    pkcs8 = (PrivateFormat.PKCS8, NoEncryption())
    return Case(
        identity=Identity(
            None,
            replace(from_der(own.public_bytes(Encoding.DER)), nickname="zoë 日本 😀"),
            (
                replace(from_der(ca.public_bytes(Encoding.DER)), nickname="the issuing CA"),
                from_der(root.public_bytes(Encoding.DER)),
            ),
        ),
        key=private_keys.from_pkcs8(key.private_bytes(Encoding.DER, *pkcs8)),
        key_pem=key.private_bytes(Encoding.PEM, *pkcs8),
        certificate_pem=own.public_bytes(Encoding.PEM),
        chain_pem=ca.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM),
    )


def identity_of(contents: PfxContents) -> Identity:
    assert contents.identity is not None
    return contents.identity


def key_of(contents: PfxContents) -> PrivateKey:
    assert contents.key is not None
    return contents.key


def mac_of(description: PfxDescription) -> Protection:
    assert description.mac is not None
    return description.mac


def encrypt(how: Encryption, password: Secret, plaintext: bytes) -> bytes:
    """Encrypt as a PFX with this password would."""
    encoded = kdf.encoded(password)
    return how.key([each.derive(each.input(encoded)) for each in how.kdfs]).encrypt(plaintext)


def encrypted_safe(how: Encryption, password: Secret, contents: bytes) -> structure.ContentInfo:
    return structure.encrypted_info(how.algorithm(), encrypt(how, password, contents))


def authenticated(content: bytes, password: Secret | None, mac: Mac | None = None) -> structure.Pfx:
    """A PFX around an AuthenticatedSafe with a MAC of one round, or without one for None."""
    mac_data = None
    if password is not None:
        mac = mac or pkcs12_mac("sha256", b"salt", 1)
        mac_data = mac.mac_data(
            mac.digest(mac.kdf.derive(mac.kdf.input(kdf.encoded(password))), content)
        )
    return structure.Pfx(version=3, auth_safe=structure.data_info(content), mac_data=mac_data)


def certificate_bag(der: bytes) -> structure.SafeBag:
    bag = structure.CertBag(id=structure.X509_CERTIFICATE, value=structure.opened(der))
    return structure.SafeBag(id=structure.CERT_BAG, value=structure.opened(bag), attributes=None)


def key_bag(pkcs8: bytes) -> structure.SafeBag:
    value = asn1.decode_der(asn1.TLV, pkcs8)
    return structure.SafeBag(id=structure.KEY_BAG, value=value, attributes=None)


def pkcs8_of(key: Private) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def pfx_of(keys: Sequence[Private], certificates: Sequence[bytes], password: Secret) -> bytes:
    """A PFX of any keys and certificates (DER), in the clear but for its MAC."""
    bags = [certificate_bag(der) for der in certificates]
    bags += [key_bag(pkcs8_of(key)) for key in keys]
    content = structure.encode_contents([structure.data_info(structure.encode_bags(bags))])
    return asn1.encode_der(authenticated(content, password))


def old_nss_pfx(certificate: bytes, pkcs8: bytes, password: Secret) -> bytes:
    """A PFX as NSS before 3.34 wrote it with AES-256.

    PBKDF2 gets the BMPString with its NUL (Mozilla bug 1399867), and the cipher is named AES-128
    (bug 1416265).
    """
    how = pbes2_aes(Pbkdf2(b"sixteen bytes ok", 2_000, "sha1", 32), b"sixteen bytes iv")
    parameters = structure.Pbkdf2Parameters(
        salt=how.kdf.salt, iterations=how.kdf.rounds, key_length=32, prf=None
    )
    scheme = structure.AlgorithmIdentifier(
        algorithm=structure.AES_CBC_OIDS[16], parameters=structure.opened(how.iv)
    )
    derivation = structure.AlgorithmIdentifier(
        algorithm=structure.PBKDF2, parameters=structure.opened(parameters)
    )
    algorithm = structure.AlgorithmIdentifier(
        algorithm=structure.PBES2,
        parameters=structure.opened(
            structure.SchemeParameters(derivation=derivation, scheme=scheme)
        ),
    )
    key = how.key([how.kdf.derive(kdf.encoded(password).bmp)])
    ids = asn1.SetOf(
        [
            structure.Attribute(
                id=structure.LOCAL_KEY_ID, values=asn1.SetOf([structure.opened(b"1")])
            )
        ]
    )
    own = certificate_bag(certificate)
    shrouded = structure.EncryptedPrivateKeyInfo(algorithm=algorithm, data=key.encrypt(pkcs8))
    bags = [
        structure.SafeBag(id=own.id, value=own.value, attributes=ids),
    ]
    keys = [
        structure.SafeBag(
            id=structure.SHROUDED_KEY_BAG, value=structure.opened(shrouded), attributes=ids
        )
    ]
    content = structure.encode_contents(
        [
            structure.encrypted_info(algorithm, key.encrypt(structure.encode_bags(bags))),
            structure.data_info(structure.encode_bags(keys)),
        ]
    )
    return asn1.encode_der(authenticated(content, password))
