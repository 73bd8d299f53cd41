"""Backups: the targets that are given to `verify`, `repassword` and `restore`, and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from nssbackup.backups.opening import flaw, pairs_of
from nssbackup.backups.writing import default_name
from nssbackup.diagnosis.selection import identity_warnings
from nssbackup.errors import NssBackupError
from nssbackup.identity import pem, private_keys
from nssbackup.identity.certificate import from_der
from nssbackup.identity.chain import Chains
from nssbackup.identity.choosing import assemble
from nssbackup.pkcs12 import (
    COMPATIBLE,
    FEWEST_ROUNDS,
    MODERN,
    Format,
    PfxContents,
    PfxWriter,
    describe,
    friendly_name_of,
    open_pfx,
    safes,
    structure,
)
from nssbackup.pkcs12.protection import new_encryption
from nssbackup.report import identity_json
from nssbackup.restore import objects
from nssbackup.secret import Secret
from nssbackup.stores.native.contents import public_value
from tests.fuzz import scratch, seeds
from tests.fuzz.target import Target
from tests.unit.pkcs12.identities import (
    authenticated,
    certificate_bag,
    encrypt,
    encrypted_safe,
    key_bag,
)

_PASSWORD = Secret("x")
_ROUNDS = FEWEST_ROUNDS
# RC2-40, RC4-128, two-key 3DES, DES with MD5, and one that nobody knows.
_FOREIGN = ("12.1.6", "12.1.1", "12.1.4", "5.3", "12.1.99")


def ask(contents: PfxContents) -> None:
    """All that any command makes of an opened file."""
    flaw(contents)
    pairs_of(contents)
    for pair in contents.pairs:
        if pair.identity is not None:
            identity_json(pair.identity)
            list(identity_warnings(pair.identity))
            default_name(pair.identity)
            friendly_name_of(pair.identity)
            objects.names(pair.identity.certificate.der)


def _pfx(data: bytes) -> None:
    with suppress(NssBackupError):
        describe(data)
    ask(open_pfx(data, _PASSWORD))


@cache
def _pfx_seeds() -> tuple[bytes, ...]:
    found = []
    for identity, key in seeds.identities():
        found += [
            PfxWriter(_PASSWORD, form, rounds=_ROUNDS).encode(identity, key)
            for form in (MODERN, COMPATIBLE)
        ]
        found += [
            _quick(identity.certificate.der, key.pkcs8, form) for form in (MODERN, COMPATIBLE)
        ]
        bags = [certificate_bag(identity.certificate.der), key_bag(key.pkcs8)]
        safe = structure.data_info(structure.encode_bags(bags))
        found.append(_pfx_of(structure.encode_contents([safe]), mac=False))
    found += [_indefinite(each) for each in found[-3:]]
    found += [_foreign(number) for number in _FOREIGN]
    return tuple(found)


def _pfx_of(content: bytes, *, mac: bool) -> bytes:
    return asn1.encode_der(authenticated(content, _PASSWORD if mac else None))


def _quick(certificate: bytes, pkcs8: bytes, form: Format) -> bytes:
    """A file without a MAC, whose parts are encrypted with a round each."""
    outer, inner = new_encryption(form, 1), new_encryption(form, 1)
    ciphertext = encrypt(inner, _PASSWORD, pkcs8)
    shrouded = structure.EncryptedPrivateKeyInfo(algorithm=inner.algorithm(), data=ciphertext)
    key = structure.SafeBag(
        id=structure.SHROUDED_KEY_BAG, value=structure.opened(shrouded), attributes=None
    )
    bags = structure.encode_bags([certificate_bag(certificate)])
    safe = encrypted_safe(outer, _PASSWORD, bags)
    safes = [safe, structure.data_info(structure.encode_bags([key]))]
    return _pfx_of(structure.encode_contents(safes), mac=False)


def _foreign(number: str) -> bytes:
    """A file with an encryption that is left to OpenSSL; what it protects is rubbish."""
    algorithm = structure.AlgorithmIdentifier(
        algorithm=x509.ObjectIdentifier(f"1.2.840.113549.1.{number}"),
        parameters=structure.opened(structure.Pbes1Parameters(salt=b"saltsalt", iterations=1)),
    )
    safe = structure.encrypted_info(algorithm, bytes(64))
    return _pfx_of(structure.encode_contents([safe]), mac=True)


def _indefinite(der: bytes) -> bytes:
    """The outermost value with an indefinite length, as NSS writes it."""
    header = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    return b"0\x80" + der[header:] + b"\0\0"


def _safes(data: bytes) -> None:
    """The contents of a file whose MAC is right: the first byte says of what level."""
    content = data[1:]
    if data[:1] < b"\x80":
        content = structure.encode_contents([structure.data_info(content)])
    ask(open_pfx(_pfx_of(content, mac=True), _PASSWORD))


def _safes_seeds() -> Iterator[bytes]:
    for identity, key in seeds.identities():
        bags = [certificate_bag(each.der) for each in (identity.certificate, *identity.chain)]
        contents = structure.encode_bags([*bags, key_bag(key.pkcs8)])
        yield b"\0" + contents
        yield b"\xff" + structure.encode_contents([structure.data_info(contents)])
        sealed = asn1.decode_der(
            structure.Pfx, PfxWriter(_PASSWORD, MODERN, rounds=_ROUNDS).encode(identity, key)
        )
        yield b"\xff" + structure.inner(bytes, sealed.auth_safe.content)
    for pkcs8 in seeds.private_keys():
        yield b"\0" + structure.encode_bags([key_bag(pkcs8)])


def _ber(data: bytes) -> None:
    once = safes.normalise(data)
    if safes.normalise(once) != once:
        message = "DER isn't its own normal form"
        raise AssertionError(message)


def _ber_seeds() -> Iterator[bytes]:
    for each in _pfx_seeds():
        yield each
        yield _indefinite(each)
    yield b"\x24\x80" + b"\x04\x02ab" * 3 + b"\0\0"


def _der(data: bytes) -> None:
    certificate = from_der(data)
    for identity in assemble(None, (certificate,)):
        identity_json(identity)
        list(identity_warnings(identity))
        default_name(identity)
        friendly_name_of(identity)
    Chains([certificate, *map(from_der, seeds.certificates()[:3])]).identity(None, certificate)
    objects.names(certificate.der)
    if certificate.public_key:
        public_value(certificate.public_key)


def _pkcs8(data: bytes) -> None:
    private_keys.from_pkcs8(data)


def _pem(data: bytes) -> None:
    with scratch.folder({"input.pem": data}) as folder:
        pem.encode(pem.read_certificates(folder / "input.pem"))


def _pem_seeds() -> Iterator[bytes]:
    yield seeds.authorities()
    found = [x509.load_der_x509_certificate(der) for der in seeds.certificates()[:3]]
    for encoding in (Encoding.PEM, Encoding.DER):
        yield found[0].public_bytes(encoding)
        yield pkcs7.serialize_certificates(found, encoding)
    text = found[0].public_bytes(Encoding.PEM)
    yield b"\xff\xfe" + text.decode().encode("utf-16-le")
    for words in (b"PRIVATE KEY", b"CERTIFICATE REQUEST", b"PKCS7"):
        yield text.replace(b"CERTIFICATE", words)
    yield _pfx_seeds()[0]


TARGETS = (
    Target("pfx", _pfx, _pfx_seeds, 12_000),
    Target("safes", _safes, _safes_seeds, 12_000),
    Target("ber", _ber, _ber_seeds, 8_000),
    Target("der", _der, seeds.certificates, 4_000),
    Target("pkcs8", _pkcs8, seeds.private_keys, 4_000),
    Target("pem", _pem, _pem_seeds, 20_000),
)
