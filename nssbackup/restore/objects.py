"""The PKCS#11 objects that an identity becomes in cert9.db and key4.db.

They are what `pk12util` and Firefox make of a PKCS#12 file, attribute by attribute
(lib/softoken/pkcs11.c and sftkdb.c; compared with stores that they wrote): the certificate, both
halves of the key, and the signatures in metaData. Values are as stored: big-endian, and `EMPTY` for
an attribute that is present without a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from nssbackup.errors import RestoreError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import PrivateKey
from nssbackup.stores.native import pbe
from nssbackup.stores.native.contents import public_value

EMPTY = b"\xa5\x00\x5a"
# The tag of a certificate's version, and the bit of a length in several octets (X.690, 8.1.3.5).
_VERSION, _LONG = b"\xa0", 0x80
_TRUE, _FALSE = b"\1", b"\0"
_CERTIFICATE, _PUBLIC_KEY, _PRIVATE_KEY = (number.to_bytes(4, "big") for number in (1, 2, 3))
NSS_TRUST, TRUST = bytes.fromhex("ce534353"), b"\0\0\0\x0b"
_X509 = bytes(4)
_RSA, _EC = bytes(4), b"\0\0\0\3"
_TRUSTED_CA, _MUST_VERIFY = bytes.fromhex("ce534352"), bytes.fromhex("ce534353")
_VALID_CA, _TRUST_ANCHOR = bytes.fromhex("ce53435b"), b"\0\0\0\2"

_CURVES = {
    "secp256r1": bytes.fromhex("06082a8648ce3d030107"),
    "secp384r1": bytes.fromhex("06052b81040022"),
    "secp521r1": bytes.fromhex("06052b81040023"),
}

# The usages of an EC key; an RSA key may be used for everything but deriving.
# CKA_ENCRYPT, WRAP, VERIFY, VERIFY_RECOVER; SENSITIVE, DECRYPT, UNWRAP, SIGN, SIGN_RECOVER.
_PUBLIC_USAGES = {"a104": False, "a106": False, "a10a": True, "a10b": False}
_PRIVATE_USAGES = {"a103": True, "a105": False, "a107": False, "a108": True, "a109": True}

Columns = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class NewObject:
    """A row to add: its database, its id, and the columns that are not NULL."""

    private: bool
    id: int
    columns: Columns = field(repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """A row to change: the values of its columns before (None for NULL) and after."""

    private: bool
    id: int
    before: Mapping[str, bytes | None] = field(repr=False)
    after: Columns = field(repr=False)


@dataclass(frozen=True, slots=True)
class Additions:
    """What to add to a store: objects, changes, and the signatures of metaData by name."""

    objects: tuple[NewObject, ...]
    signatures: Mapping[str, bytes] = field(repr=False)
    changes: tuple[Change, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is added."""
        return not (self.objects or self.signatures or self.changes)


class Maker:
    """Makes objects for one store.

    Args:
        key: the unlocked store's intermediate key.
        rounds: the rounds of its password record, used for every new value.
        ids: free object ids.
    """

    def __init__(self, key: pbe.IntermediateKey, rounds: int, ids: Iterator[int]) -> None:
        self._key = key
        self._rounds = rounds
        self._ids = ids
        self._objects: list[NewObject] = []
        self._changes: list[Change] = []
        self._signatures: dict[str, bytes] = {}

    def additions(self) -> Additions:
        """Return everything that was made."""
        return Additions(tuple(self._objects), dict(self._signatures), tuple(self._changes))

    def add_certificate(
        self, certificate: StoredCertificate, nickname: str | None, key_id: bytes
    ) -> None:
        """Add a certificate with its nickname and the CKA_ID of its key."""
        columns = {
            **_common(_CERTIFICATE, private=False),
            "a3": _label(nickname),
            "a11": certificate.der,
            "a80": _X509,
            **names(certificate.der),
            "a102": key_id or EMPTY,
        }
        if certificate.email:
            columns["ace534352"] = certificate.email.encode("utf-8", "surrogateescape")
        self._add(columns, private=False)

    def add_trusted_ca(self, certificate: StoredCertificate) -> None:
        """Add a trust object: trusted for servers and e-mail, as by `certutil -t C,C,`."""
        values = {
            "ace536358": _TRUSTED_CA,  # servers
            "ace536359": _VALID_CA,  # clients
            "ace53635a": _MUST_VERIFY,  # code
            "ace53635b": _TRUSTED_CA,  # e-mail
            "ace536360": _FALSE,
            "ace5363b4": hashlib.sha1(certificate.der, usedforsecurity=False).digest(),
            "ace5363b5": hashlib.md5(certificate.der, usedforsecurity=False).digest(),
        }
        named = names(certificate.der)
        made = self._add(
            {
                **_common(NSS_TRUST, private=False),
                "a3": EMPTY,
                "a81": named["a81"],
                "a82": named["a82"],
                **values,
            },
            private=False,
        )
        for column, value in values.items():
            self._sign("cert", made.id, column, made.id, value)

    def change_to_trusted_ca(self, number: int, row: Columns) -> None:
        """Change a trust object to say the same; its other attributes stay.

        Args:
            number: its id.
            row: its columns, of NSS's kind or of PKCS#11's, which NSS writes since 3.114.
        """
        trusted = _TRUSTED_CA if row["a0"] == NSS_TRUST else _TRUST_ANCHOR
        columns = ("ace536358", "ace53635b") if row["a0"] == NSS_TRUST else ("a62c", "a62f")
        self.change(
            Change(
                private=False,
                id=number,
                before={column: row.get(column) for column in columns},
                after=dict.fromkeys(columns, trusted),
            )
        )
        for column in columns:
            self._sign("cert", number, column, number, trusted)

    def change(self, change: Change) -> None:
        """Change a row."""
        self._changes.append(change)

    def add_public_key(self, key: PrivateKey, key_id: bytes) -> None:
        """Add the public half of a key pair, which tells NSS of the private one while locked.

        Raises:
            RestoreError: NSS can't use a key of this type.
        """
        facts, _ = _parts(key)
        rsa_key = facts["a100"] == _RSA
        point = {} if rsa_key else {"a181": _point(public_value(key.public_key))}
        made = self._add(
            {
                **_common(_PUBLIC_KEY, private=False),
                "a3": EMPTY,
                "a101": EMPTY,
                **_shared(key_id),
                **_usages(_PUBLIC_USAGES, rsa_key=rsa_key),
                **facts,
                **point,
            },
            private=False,
        )
        self._sign_numbers("cert", made)

    def add_private_key(
        self, key: PrivateKey, key_id: bytes, nickname: str | None, subject: bytes
    ) -> None:
        """Add the private half.

        Args:
            key: the private key.
            key_id: its CKA_ID.
            nickname: its label.
            subject: the certificate's subject, DER.

        Raises:
            RestoreError: NSS can't use a key of this type.
        """
        facts, secrets = _parts(key)
        made = self._add(
            {
                **_common(_PRIVATE_KEY, private=True),
                "a3": _label(nickname),
                "a101": subject,
                **_shared(key_id),
                **_usages(_PRIVATE_USAGES, rsa_key=facts["a100"] == _RSA),
                "a162": _TRUE,
                "a164": _FALSE,
                "a165": _FALSE,
                "ad5a0db00": public_value(key.public_key),
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
        """Sign the modulus and the public exponent, which are not encrypted."""
        for column in ("a120", "a122"):
            if column in made.columns:
                self._sign(kind, made.id, column, made.id, made.columns[column])

    def _sign(self, kind: str, number: int, column: str, signed_id: int, value: bytes) -> None:
        attribute = int(column[1:], 16)
        self._signatures[f"sig_{kind}_{number:08x}_{attribute:08x}"] = pbe.sign(
            self._key, signed_id, attribute, value, self._rounds
        )


def _usages(columns: Mapping[str, bool], *, rsa_key: bool) -> dict[str, bytes]:
    """Return the columns of the usages of a key, including CKA_DERIVE."""
    usages = {column: _TRUE if rsa_key or each else _FALSE for column, each in columns.items()}
    return {**usages, "a10c": _FALSE if rsa_key else _TRUE}


def _common(kind: bytes, *, private: bool) -> dict[str, bytes]:
    """Return CKA_CLASS, CKA_TOKEN, CKA_PRIVATE and CKA_MODIFIABLE."""
    return {"a0": kind, "a1": _TRUE, "a2": _TRUE if private else _FALSE, "a170": _TRUE}


def _shared(key_id: bytes) -> dict[str, bytes]:
    """Return what both halves have: CKA_ID, CKA_START_DATE, CKA_END_DATE and CKA_LOCAL."""
    return {"a102": key_id, "a110": EMPTY, "a111": EMPTY, "a163": _FALSE}


def names(certificate: bytes) -> dict[str, bytes]:
    """Return issuer, serial number and subject, byte for byte as in the certificate (DER).

    NSS looks certificates up by these bytes.
    """
    tbs = _elements(_elements(certificate)[0])
    if tbs[0][:1] == _VERSION:
        del tbs[0]
    serial, _, issuer, _, subject = tbs[:5]
    return {"a81": issuer, "a82": serial, "a101": subject}


def _elements(value: bytes) -> list[bytes]:
    """Return the elements of a constructed value, each with its tag and length."""
    at, end = _content(value, 0)
    found = []
    while at < end:
        _, after = _content(value, at)
        found.append(value[at:after])
        at = after
    return found


def _content(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the value at an offset begins and ends (X.690, 8.1.3)."""
    length, start = data[at + 1], at + 2
    if length & _LONG:
        size = length & ~_LONG
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    return start, start + length


def _parts(key: PrivateKey) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the clear and the encrypted columns of a key."""
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
    # NSS imports no Ed25519 key from a PFX, and lists none.
    message = f"Firefox can't use a private key of this type ({key.type})"
    raise RestoreError(message, hint="it takes RSA keys, and EC keys on P-256, P-384 and P-521")


def _point(public: bytes) -> bytes:
    """Return CKA_EC_POINT: an OCTET STRING around the point."""
    long = b"\x81" if len(public) > 0x7F else b""  # noqa: PLR2004 - DER's short form ends here
    return b"\x04" + long + bytes([len(public)]) + public


def _label(nickname: str | None) -> bytes:
    return nickname.encode("utf-8", "surrogateescape") if nickname else EMPTY


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
