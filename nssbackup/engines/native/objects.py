"""Objects: the PKCS#11 objects that an identity becomes in cert9.db and key4.db.

What `pk12util` and Firefox make of a PKCS#12 file, attribute by attribute (lib/softoken/pkcs11.c
and sftkdb.c; compared with the stores that they write): the certificate, both halves of the key,
and what the signatures in metaData cover. Values here are as stored: big-endian, `EMPTY` where an
attribute is present without a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
)

from nssbackup.certificate import StoredCertificate, load_certificate
from nssbackup.engines.native import pbe
from nssbackup.engines.native.pairing import key_id, public_value
from nssbackup.errors import KeyNotExportableError
from nssbackup.model import PrivateKey

EMPTY = b"\xa5\x00\x5a"
_TRUE, _FALSE = b"\1", b"\0"
_CERTIFICATE, _PUBLIC_KEY, _PRIVATE_KEY = (number.to_bytes(4, "big") for number in (1, 2, 3))
_NSS_TRUST = bytes.fromhex("ce534353")
_X509 = bytes(4)
_RSA, _EC, _EDWARDS = bytes(4), b"\0\0\0\3", b"\0\0\0\x40"
_TRUSTED_CA, _MUST_VERIFY = bytes.fromhex("ce534352"), bytes.fromhex("ce534353")

_CURVES = {
    "secp256r1": bytes.fromhex("06082a8648ce3d030107"),
    "secp384r1": bytes.fromhex("06052b81040022"),
    "secp521r1": bytes.fromhex("06052b81040023"),
}
_ED25519 = bytes.fromhex("06032b6570")

# CKA_ENCRYPT, WRAP, VERIFY, VERIFY_RECOVER; SENSITIVE, DECRYPT, UNWRAP, SIGN, SIGN_RECOVER: whether
# every key has it, or RSA keys alone.
_PUBLIC_USAGES = {"a104": False, "a106": False, "a10a": True, "a10b": False}
_PRIVATE_USAGES = {"a103": True, "a105": False, "a107": False, "a108": True, "a109": False}

Columns = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class NewObject:
    """A row to be: its database, its id, and the columns that are not NULL."""

    private: bool
    id: int
    columns: Columns = field(repr=False)


@dataclass(frozen=True, slots=True)
class Additions:
    """What is added to a store: objects, and the signatures of metaData by their names."""

    objects: tuple[NewObject, ...]
    signatures: Mapping[str, bytes] = field(repr=False)


class Maker:
    """Makes objects for one store.

    Args:
        key: the unlocked store's intermediate key.
        rounds: how many rounds its password record has; every new value gets as many.
        ids: object ids that are free.
    """

    def __init__(self, key: pbe.IntermediateKey, rounds: int, ids: Iterator[int]) -> None:
        self._key = key
        self._rounds = rounds
        self._ids = ids
        self._objects: list[NewObject] = []
        self._signatures: dict[str, bytes] = {}

    def additions(self) -> Additions:
        """All that was made."""
        return Additions(tuple(self._objects), dict(self._signatures))

    def add_certificate(self, certificate: StoredCertificate, nickname: str | None) -> None:
        """A certificate; `nickname` is what the store will call it."""
        spki = certificate.public_key
        columns = {
            **_common(_CERTIFICATE, private=False),
            "a3": _label(nickname),
            "a11": certificate.der,
            "a80": _X509,
            **_names(certificate),
            "a102": key_id(public_value(spki)) if spki else EMPTY,
        }
        if certificate.email:
            columns["ace534352"] = certificate.email.encode("utf-8", "surrogateescape")
        self._add(columns, private=False)

    def add_trusted_ca(self, certificate: StoredCertificate) -> None:
        """A trust object: the CA is trusted for servers and e-mail."""
        values = {
            "ace536358": _TRUSTED_CA,  # servers
            "ace536359": _MUST_VERIFY,  # clients
            "ace53635a": _MUST_VERIFY,  # code
            "ace53635b": _TRUSTED_CA,  # e-mail
            "ace536360": _FALSE,
            "ace5363b4": hashlib.sha1(certificate.der, usedforsecurity=False).digest(),
            "ace5363b5": hashlib.md5(certificate.der, usedforsecurity=False).digest(),
        }
        names = _names(certificate)
        made = self._add(
            {
                **_common(_NSS_TRUST, private=False),
                "a3": EMPTY,
                "a81": names["a81"],
                "a82": names["a82"],
                **values,
            },
            private=False,
        )
        for column, value in values.items():
            self._sign("cert", made.id, column, made.id, value)

    def add_key(self, key: PrivateKey, nickname: str | None, subject: bytes) -> None:
        """Both halves of a key pair.

        Args:
            key: the private key.
            nickname: the label of the private half.
            subject: the certificate's subject, DER.

        Raises:
            KeyNotExportableError: the store can't hold a key of this type.
        """
        facts, secrets = _parts(key)
        rsa_key = facts["a100"] == _RSA
        public = public_value(key.public_key)
        shared = {"a102": key_id(public), "a110": EMPTY, "a111": EMPTY, "a163": _FALSE}
        point = {} if rsa_key else {"a181": _point(key, public)}
        made = self._add(
            {
                **_common(_PUBLIC_KEY, private=False),
                "a3": EMPTY,
                "a101": EMPTY,
                **shared,
                **_usages(_PUBLIC_USAGES, rsa_key=rsa_key),
                **facts,
                **point,
            },
            private=False,
        )
        self._sign_numbers("cert", made)
        made = self._add(
            {
                **_common(_PRIVATE_KEY, private=True),
                "a3": _label(nickname),
                "a101": subject,
                **shared,
                **_usages(_PRIVATE_USAGES, rsa_key=rsa_key),
                "a162": _TRUE,
                "a164": _FALSE,
                "a165": _FALSE,
                "ad5a0db00": public,
                **facts,
                **{
                    column: pbe.encrypt(self._key, value, self._rounds)
                    for column, value in secrets.items()
                },
            },
            private=True,
        )
        self._sign_numbers("key", made)
        for column, value in secrets.items():
            self._sign("key", made.id, column, 0, value)

    def _add(self, columns: Columns, *, private: bool) -> NewObject:
        made = NewObject(private, next(self._ids), columns)
        self._objects.append(made)
        return made

    def _sign_numbers(self, kind: str, made: NewObject) -> None:
        """The modulus and the public exponent lie in clear under a signature."""
        for column in ("a120", "a122"):
            if column in made.columns:
                self._sign(kind, made.id, column, made.id, made.columns[column])

    def _sign(self, kind: str, number: int, column: str, signed_id: int, value: bytes) -> None:
        attribute = int(column[1:], 16)
        self._signatures[f"sig_{kind}_{number:08x}_{attribute:08x}"] = pbe.sign(
            self._key, signed_id, attribute, value, self._rounds
        )


def _usages(columns: Mapping[str, bool], *, rsa_key: bool) -> dict[str, bytes]:
    """What a key may be used for: an RSA key for all but deriving."""
    usages = {column: _TRUE if rsa_key or each else _FALSE for column, each in columns.items()}
    return {**usages, "a10c": _FALSE if rsa_key else _TRUE}


def _common(kind: bytes, *, private: bool) -> dict[str, bytes]:
    """CKA_CLASS, CKA_TOKEN, CKA_PRIVATE and CKA_MODIFIABLE."""
    return {"a0": kind, "a1": _TRUE, "a2": _TRUE if private else _FALSE, "a170": _TRUE}


def _names(certificate: StoredCertificate) -> dict[str, bytes]:
    parsed = load_certificate(certificate.der)
    number = parsed.serial_number
    content = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return {
        "a81": parsed.issuer.public_bytes(),
        "a82": b"\x02" + bytes([len(content)]) + content,
        "a101": parsed.subject.public_bytes(),
    }


def _parts(key: PrivateKey) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What lies in clear of a key, and what is encrypted, by column."""
    loaded = load_der_private_key(key.pkcs8, None, unsafe_skip_rsa_key_validation=True)
    if isinstance(loaded, rsa.RSAPrivateKey):
        n = loaded.private_numbers()
        clear = (n.public_numbers.n, n.public_numbers.e)
        secret = (n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp)
        return (
            {"a100": _RSA} | dict(zip(("a120", "a122"), map(_unsigned, clear), strict=True)),
            {f"a{0x123 + at:x}": _unsigned(number) for at, number in enumerate(secret)},
        )
    if isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.curve.name in _CURVES:
        size = (loaded.curve.key_size + 7) // 8
        value = loaded.private_numbers().private_value.to_bytes(size, "big")
        return {"a100": _EC, "a180": _CURVES[loaded.curve.name]}, {"a11": value}
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        return {"a100": _EDWARDS, "a180": _ED25519}, {"a11": loaded.private_bytes_raw()}
    message = f"a profile can't hold a private key of this type ({key.type})"
    raise KeyNotExportableError(message)


def _point(key: PrivateKey, public: bytes) -> bytes:
    """CKA_EC_POINT: an OCTET STRING around the point, but for Ed25519."""
    if key.type != "EC":
        return public
    long = b"\x81" if len(public) > 0x7F else b""  # noqa: PLR2004 - DER's short form ends here
    return b"\x04" + long + bytes([len(public)]) + public


def _label(nickname: str | None) -> bytes:
    return nickname.encode("utf-8", "surrogateescape") if nickname else EMPTY


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
