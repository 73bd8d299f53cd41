"""Stores written from scratch, byte by byte as NSS would, and any way it would not.

Independent of `nssbackup`: its own DER, its own derivations (hashlib), its own schema. A builder's
rows are plain dictionaries until `write` is called, so that a test can spoil any of them first.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

Scheme = Literal["aes", "3des"]
Key = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | dsa.DSAPrivateKey
    | x25519.X25519PrivateKey
)
Signer = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Row = dict[str, object]

PBES2, PBKDF2, PBMAC1 = (f"1.2.840.113549.1.5.{n}" for n in (13, 12, 14))
HMAC_SHA256, AES256_CBC = "1.2.840.113549.2.9", "2.16.840.1.101.3.4.1.42"
PBE_3DES = "1.2.840.113549.1.12.5.1.3"
EMPTY = b"\xa5\x00\x5a"  # NSS's mark for "present and empty"

# The 120 attributes that NSS 3.87 and 3.110 have columns for (lib/softoken/sdb.c).
COLUMNS = tuple(
    "a" + name
    for name in (  # noqa: SIM905 - readable
        "0 1 2 3 10 11 12 80 81 82 83 84 85 86 87 88 89 8a 8b 90 100 101 102 103 104 105 106 107"
        " 108 109 10a 10b 10c 110 111 120 121 122 123 124 125 126 127 128 129 130 131 132 133 134"
        " 160 161 162 163 164 165 166 170 180 181 200 201 202 210 300 301 302 400 401 402 403 404"
        " 405 406 480 481 482 500 501 502 503 40000211 40000212 80000001 ce534351 ce534352"
        " ce534353 ce534354 ce534355 ce534356 ce534357 ce534358 ce534364 ce534365 ce534366"
        " ce534367 ce534368 ce534369 ce534373 ce534374 ce536351 ce536352 ce536353 ce536354"
        " ce536355 ce536356 ce536357 ce536358 ce536359 ce53635a ce53635b ce53635c ce53635d"
        " ce53635e ce53635f ce536360 ce5363b4 ce5363b5 d5a0db00"
    ).split()
)
CURVES = {
    "secp256r1": bytes.fromhex("06082a8648ce3d030107"),
    "secp384r1": bytes.fromhex("06052b81040022"),
    "secp521r1": bytes.fromhex("06052b81040023"),
}
ED25519 = bytes.fromhex("06032b6570")
X25519 = bytes.fromhex("06032b656e")


# --- DER


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def seq(*parts: bytes) -> bytes:
    return tlv(0x30, b"".join(parts))


def octets(content: bytes) -> bytes:
    return tlv(0x04, content)


def integer(number: int) -> bytes:
    return tlv(
        0x02, number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, "big", signed=True)
    )


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray([40 * first + second])
    for number in rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(0x80 | number & 0x7F)
        out += bytes(reversed(digits))
    return tlv(0x06, bytes(out))


# --- the cryptography of key4.db


def intermediate(salt: bytes, password: str) -> bytes:
    digest = hashlib.sha384 if len(salt) == 48 else hashlib.sha1
    return digest(salt + password.encode()).digest()


def pbkdf2_parameters(
    salt: bytes,
    rounds: int,
    *,
    length: int | None = 32,
    prf: bytes | None = None,
    kdf: str = PBKDF2,
) -> bytes:
    parts = [octets(salt), integer(rounds)]
    parts += [] if length is None else [integer(length)]
    parts.append(seq(oid(HMAC_SHA256)) if prf is None else prf)
    return seq(oid(kdf), seq(*parts))


def aes_blob(key: bytes, plaintext: bytes, rounds: int = 1, salt: bytes | None = None) -> bytes:
    """PBES2 with NSS's 14-byte IV, whose DER encoding is the real IV."""
    salt, iv = os.urandom(32) if salt is None else salt, os.urandom(14)
    secret = hashlib.pbkdf2_hmac("sha256", key, salt, rounds, 32)
    data = _cbc(algorithms.AES(secret), b"\x04\x0e" + iv, plaintext)
    return aes_structure(pbkdf2_parameters(salt, rounds), octets(iv), data)


def aes_structure(kdf: bytes, iv: bytes, data: bytes, cipher: str = AES256_CBC) -> bytes:
    return seq(seq(oid(PBES2), seq(kdf, seq(oid(cipher), iv))), octets(data))


def des_blob(key: bytes, plaintext: bytes, rounds: int = 1, salt: bytes | None = None) -> bytes:
    """NSS's 3DES: PBKDF1, stretched by HMAC-SHA-1, whatever the name of the OID says."""
    salt = os.urandom(20) if salt is None else salt
    digest = hashlib.sha1(key + salt).digest()  # noqa: S324 - NSS's format
    for _ in range(rounds - 1):
        digest = hashlib.sha1(digest).digest()  # noqa: S324
    padded = salt + bytes(max(0, 20 - len(salt)))
    first = hmac.new(digest, padded + salt, "sha1").digest()
    again = hmac.new(digest, padded, "sha1").digest()
    out = first + hmac.new(digest, again + salt, "sha1").digest()
    data = _cbc(TripleDES(out[:24]), out[32:], plaintext)
    return seq(seq(oid(PBE_3DES), seq(octets(salt), integer(rounds))), octets(data))


def signature(key: bytes, object_id: int, attribute: int, value: bytes, rounds: int = 1) -> bytes:
    salt = os.urandom(32)
    secret = hashlib.pbkdf2_hmac("sha256", key, salt, rounds, 32)
    message = object_id.to_bytes(4, "big") + attribute.to_bytes(4, "big") + value
    mac = hmac.new(secret, message, "sha256").digest()
    scheme = seq(oid(HMAC_SHA256))
    return seq(seq(oid(PBMAC1), seq(pbkdf2_parameters(salt, rounds), scheme)), octets(mac))


def _cbc(cipher: algorithms.AES | TripleDES, iv: bytes, plaintext: bytes) -> bytes:
    block = len(iv)
    pad = block - len(plaintext) % block
    encryptor = Cipher(cipher, modes.CBC(iv)).encryptor()
    return encryptor.update(plaintext + bytes([pad]) * pad) + encryptor.finalize()


# --- certificates


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key that all tests of a run share; other numbers give other keys."""
    del number  # is part of the cache's key
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(number: int = 0, curve: str = "secp256r1") -> ec.EllipticCurvePrivateKey:
    curves: dict[str, ec.EllipticCurve] = {
        "secp256r1": ec.SECP256R1(),
        "secp384r1": ec.SECP384R1(),
        "secp521r1": ec.SECP521R1(),
    }
    return ec.derive_private_key(int.from_bytes(b"nssbackup-%d" % number, "big"), curves[curve])


def name(common_name: str | None, organization: str | None = None) -> x509.Name:
    parts = ((NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATION_NAME, organization))
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts if text is not None])


def key_usage(*bits: str) -> x509.KeyUsage:
    """The extension with these bits, by the names of `cryptography`."""
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in bits for name in names})


def own_id(key: Key) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def issuer_id(key: Signer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def issue(
    key: Key,
    subject: x509.Name | str = "Jane Doe",
    issuer: x509.Name | str | None = None,
    by: Signer | None = None,
    *,
    ca: bool | None = False,
    days: tuple[int, int] = (-30, 300),
    serial: int | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
) -> bytes:
    """A certificate (DER); self-signed unless `issuer` and `by` are given."""
    now = datetime.now(UTC).replace(microsecond=0)
    subject = name(subject) if isinstance(subject, str) else subject
    issuer = name(issuer) if isinstance(issuer, str) else issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signer = by or key
    assert isinstance(signer, Signer)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, algorithm).public_bytes(Encoding.DER)


def unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def public_value(key: Key) -> bytes:
    """What NSS makes a CKA_ID of."""
    if isinstance(key, rsa.RSAPrivateKey):
        return unsigned(key.public_key().public_numbers().n)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if isinstance(key, dsa.DSAPrivateKey):
        return unsigned(key.public_key().public_numbers().y)
    return key.public_key().public_bytes_raw()


def cka_id(key: Key) -> bytes:
    return hashlib.sha1(public_value(key)).digest()  # noqa: S324 - NSS's choice


# --- the store


@dataclass
class StoreBuilder:
    """A store in the making; `write` puts cert9.db and key4.db into `folder`.

    Attributes:
        public, private: the object rows (column -> value, "id" among them).
        meta: metaData, id -> (item1, item2); None for a key4.db without that table.
        missing: columns that the tables are made without.
    """

    folder: Path
    password: str = ""
    scheme: Scheme = "aes"
    rounds: int = 1
    salt: bytes = field(default_factory=lambda: os.urandom(20))
    public: list[Row] = field(default_factory=list)
    private: list[Row] = field(default_factory=list)
    meta: dict[str, tuple[object, object]] | None = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    next_id: int = 0x1E615A90

    def __post_init__(self) -> None:
        if self.meta is not None:
            self.meta["password"] = (self.salt, self.encrypt(b"password-check"))

    @property
    def key(self) -> bytes:
        return intermediate(self.salt, self.password)

    def encrypt(self, plaintext: bytes) -> bytes:
        blob = aes_blob if self.scheme == "aes" else des_blob
        return blob(self.key, plaintext, self.rounds)

    def sign(self, row: Row, attribute: int, value: bytes, *, clear: bool) -> None:
        number = row["id"]
        assert isinstance(number, int)
        if self.meta is not None:
            mac = signature(self.key, number if clear else 0, attribute, value, self.rounds)
            self.meta[f"sig_key_{number:08x}_{attribute:08x}"] = (mac, None)

    def _row(self, rows: list[Row], kind: int, **columns: object) -> Row:
        self.next_id += 1
        row = {"id": self.next_id, "a0": kind.to_bytes(4, "big"), "a1": b"\1", "a2": b"\0"}
        rows.append({**row, "a170": b"\1", **columns})
        return rows[-1]

    def add_certificate(self, der: bytes, nickname: bytes = b"", key_id: bytes = EMPTY) -> Row:
        parsed = x509.load_der_x509_certificate(der)
        return self._row(
            self.public,
            1,
            a3=nickname or EMPTY,
            a11=der,
            a80=bytes(4),
            a81=parsed.issuer.public_bytes(),
            a82=integer(parsed.serial_number),
            a101=parsed.subject.public_bytes(),
            a102=key_id,
        )

    def add_trust(self, certificate: Row, kind: int, **values: object) -> Row:
        facts = {column: certificate[column] for column in ("a81", "a82")}
        return self._row(self.public, kind, **facts, **values)

    def add_identity(self, key: Key, der: bytes, nickname: bytes = b"") -> tuple[Row, Row]:
        """A certificate and its key, paired as NSS does it."""
        return self.add_certificate(der, nickname, cka_id(key)), self.add_key(key)

    def add_key(self, key: Key) -> Row:
        flags = {f"a{n}": b"\1" for n in (103, 105, 107, 108, 109, 162, 165)}
        flags |= {"a2": b"\1", "a3": EMPTY, "a101": EMPTY, "a10c": b"\1", "a163": b"\0"}
        row = self._row(self.private, 3, a102=cka_id(key), ad5a0db00=public_value(key))
        row.update({**flags, "a164": b"\0", "a110": EMPTY, "a111": EMPTY})
        if isinstance(key, rsa.RSAPrivateKey):
            n = key.private_numbers()
            row["a100"] = bytes(4)
            clear = {0x120: n.public_numbers.n, 0x122: n.public_numbers.e}
            for attribute, number in clear.items():
                row[f"a{attribute:x}"] = unsigned(number)
                self.sign(row, attribute, unsigned(number), clear=True)
            for attribute, number in enumerate((n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp), 0x123):
                self.set_secret(row, attribute, unsigned(number))
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            size = (key.curve.key_size + 7) // 8
            self.set_secret(row, 0x11, key.private_numbers().private_value.to_bytes(size, "big"))
            row.update(a100=b"\0\0\0\3", a180=CURVES[key.curve.name])
        elif isinstance(key, dsa.DSAPrivateKey):
            d = key.private_numbers()
            self.set_secret(row, 0x11, unsigned(d.x))
            p = d.public_numbers.parameter_numbers
            row.update(a100=b"\0\0\0\1", a130=unsigned(p.p), a131=unsigned(p.q), a132=unsigned(p.g))
        else:
            self.set_secret(row, 0x11, key.private_bytes_raw())
            edwards = isinstance(key, ed25519.Ed25519PrivateKey)
            row["a100"] = b"\0\0\0\x40" if edwards else b"\0\0\0\x41"
            row["a180"] = ED25519 if edwards else X25519
        return row

    def set_secret(self, row: Row, attribute: int, value: bytes) -> None:
        """Encrypt a value into a row and, as NSS does for AES alone, sign it."""
        row[f"a{attribute:x}"] = self.encrypt(value)
        if self.scheme == "aes":
            self.sign(row, attribute, value, clear=False)

    def write(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write("cert9.db", "nssPublic", self.public, None)
        self._write("key4.db", "nssPrivate", self.private, self.meta)
        return self.folder

    def _write(
        self, file: str, table: str, rows: list[Row], meta: dict[str, tuple[object, object]] | None
    ) -> None:
        path = self.folder / file
        path.unlink(missing_ok=True)
        extra = dict.fromkeys(column for row in rows for column in row if column != "id")
        columns = [c for c in dict.fromkeys((*COLUMNS, *extra)) if c not in self.missing]
        with closing(sqlite3.connect(path)) as db, db:
            names = ", ".join(columns)
            db.execute(f"CREATE TABLE {table} (id PRIMARY KEY UNIQUE ON CONFLICT ABORT, {names})")
            indexes = {"issuer": "a81", "subject": "a101", "label": "a3", "ckaid": "a102"}
            for index, column in indexes.items():
                if column in columns:
                    db.execute(f"CREATE INDEX {index} ON {table} ({column})")
            for row in rows:
                kept = {c: v for c, v in row.items() if c not in self.missing}
                marks = ", ".join("?" * len(kept))
                statement = f"INSERT INTO {table} ({', '.join(kept)}) VALUES ({marks})"  # noqa: S608
                db.execute(statement, tuple(kept.values()))
            if meta is not None:
                db.execute(
                    "CREATE TABLE metaData"
                    " (id PRIMARY KEY UNIQUE ON CONFLICT REPLACE, item1, item2)"
                )
                items = [(key, *values) for key, values in meta.items()]
                db.executemany("INSERT INTO metaData VALUES (?, ?, ?)", items)
