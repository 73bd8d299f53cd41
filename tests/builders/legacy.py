"""Legacy stores written from scratch, cert8.db and key3.db, as NSS would and any way it would not.

Like `store`, whose cryptography it uses, it shares nothing with `nssbackup`. A
builder's records are in two dictionaries until `write` is called, so that a test can spoil them.
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.builders.berkeley import ByteOrder, berkeley_file
from tests.builders.store import Key, des_blob, integer, intermediate, public_value, seq, tlv

# DER of the OID pbeWithSha1AndTripleDES-CBC without tag and length, as the password record has it.
PBE_3DES = bytes.fromhex("2a864886f70d010c050103")
# Flags of a certificate with a private key, for TLS, and of one about which nothing is said.
USER, UNKNOWN = 0x40, 0x800
CHECK = b"password-check"


def certificate_record(
    der: bytes,
    nickname: bytes = b"Jane Doe",
    *,
    ssl: int = USER,
    email: int = 0,
    code: int = 0,
    version: int = 8,
) -> bytes:
    """What stands under a certificate's key; lengths over 65,535 lose their upper bits."""
    name = nickname + b"\0" if nickname else b""
    numbers = (ssl, email, code, len(der) & 0xFFFF, len(name))
    header = b"".join(number.to_bytes(2, "big") for number in numbers)
    return bytes([version, 1, 0]) + header + der + name


def certificate_key(der: bytes) -> bytes:
    """Under what a certificate lies: its type, the serial number and the issuer."""
    parsed = x509.load_der_x509_certificate(der)
    return b"\1" + integer(parsed.serial_number)[2:] + parsed.issuer.public_bytes()


def elsewhere_record(key: bytes, length: int, name: bytes | None = None) -> bytes:
    """What stands in the place of a record that lies in cert8.dir."""
    return bytes([8, 8, 0, 0]) + length.to_bytes(4, "little") + (name or file_name(key)) + b"\0"


def file_name(key: bytes) -> bytes:
    """The name of the file in cert8.dir for a record's key."""
    digest = hashlib.sha1(key).digest()  # noqa: S324 - NSS's choice
    return b"b" + base64.b64encode(digest).replace(b"/", b"-")


def check_record(
    key: bytes,
    *,
    salt: bytes | None = None,
    rounds: int = 1,
    digits: int = 2,
    oid: bytes = PBE_3DES,
    text: bytes = CHECK,
) -> bytes:
    """The password record; more rounds than one stand behind the salt, in `digits` bytes."""
    salt = os.urandom(20) if salt is None else salt
    written = salt
    if rounds != 1:
        written += rounds.to_bytes(digits, "big") + bytes([digits])
    # A text of 14 bytes becomes one of 16, which is the end of the structure.
    data = des_blob(key, text, min(rounds, 20_000), salt)[-16:]
    return bytes([3, len(written), 1]) + written + b"\0" + bytes([len(oid)]) + oid + data


def key_record(blob: bytes, nickname: bytes = b"") -> bytes:
    """A private key's record around the encrypted key."""
    return bytes([3, 0, len(nickname) + 1]) + nickname + b"\0" + blob


def pkcs8(key: Key) -> bytes:
    """A private key as NSS encrypts it here: PKCS#8, with a DSA key of NSS's own kind."""
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    if isinstance(key, dsa.DSAPrivateKey):
        numbers = key.private_numbers()
        x = tlv(0x04, integer(numbers.x))
        assert der.endswith(x)
        both = seq(integer(numbers.public_numbers.y), integer(numbers.x))
        return seq(_content(der)[: -len(x)] + tlv(0x04, both))
    return der


def saved_password_key(secret: bytes = bytes(24)) -> tuple[bytes, bytes]:
    """Firefox's key for its saved passwords: its name, and PKCS#8 of an RSA key that is none."""
    name = bytes.fromhex("f8000000000000000000000000000001")
    numbers = (0, int.from_bytes(name, "big"), 0, int.from_bytes(secret, "big"), 0, 0, 0, 0, 21)
    rsa_encryption = bytes.fromhex("06092a864886f70d0101010500")
    inner = seq(*(integer(number) for number in numbers))
    return name, seq(integer(0), seq(rsa_encryption), tlv(0x04, inner))


def _content(der: bytes) -> bytes:
    """The content of a SEQUENCE of 128 bytes and more."""
    return der[2 + (der[1] & 0x7F) :]


@dataclass
class LegacyBuilder:
    """A legacy store in the making; `write` puts cert8.db and key3.db into `folder`.

    Attributes:
        certificates, keys: the records of the two databases.
        rounds: of the password record; keys are always encrypted with one.
        page_size, byte_order, seed: of the files, see `berkeley_file`.
    """

    folder: Path
    password: str = ""
    rounds: int = 1
    salt: bytes = field(default_factory=lambda: os.urandom(20))
    page_size: int = 4096
    byte_order: ByteOrder = "little"
    buckets: int = 2
    seed: int | None = None
    certificates: dict[bytes, bytes] = field(default_factory=dict)
    keys: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.certificates[b"\0Version\0"] = bytes([8, 0, 0])
        self.keys[b"Version"] = b"\3"
        self.keys[b"global-salt"] = self.salt
        self.keys[CHECK] = check_record(self.key, rounds=self.rounds)

    @property
    def key(self) -> bytes:
        """What the password and the global salt make."""
        return intermediate(self.salt, self.password)

    def add_identity(self, key: Key, der: bytes, nickname: bytes = b"Jane Doe") -> None:
        """A certificate and its key."""
        self.add_certificate(der, nickname)
        self.add_key(key)

    def add_certificate(self, der: bytes, nickname: bytes = b"Jane Doe", **flags: int) -> None:
        """A certificate, and the records of its nickname and subject as NSS has them."""
        subject = x509.load_der_x509_certificate(der).subject.public_bytes()
        name, key = nickname + b"\0", certificate_key(der)[1:]
        self.certificates[certificate_key(der)] = certificate_record(der, nickname, **flags)
        self.certificates[b"\2" + name] = (
            bytes([8, 2, 0]) + len(subject).to_bytes(2, "big") + subject
        )
        numbers = (1, len(name), 0)
        header = b"".join(number.to_bytes(2, "big") for number in numbers)
        lengths = len(key).to_bytes(2, "big") + bytes(2)
        self.certificates[b"\3" + subject] = bytes([8, 3, 0]) + header + name + lengths + key

    def add_elsewhere(self, der: bytes, nickname: bytes = b"Jane Doe") -> Path:
        """A certificate whose record lies in cert8.dir; the file."""
        key, record = certificate_key(der), certificate_record(der, nickname)
        self.certificates[key] = elsewhere_record(key, len(record))
        folder = self.folder / "cert8.dir"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / file_name(key).decode()
        path.write_bytes(record)
        return path

    def add_key(self, key: Key, *, name: bytes | None = None, plain: bytes | None = None) -> None:
        """A private key, under its public value unless another name is given."""
        blob = des_blob(self.key, pkcs8(key) if plain is None else plain)
        self.keys[public_value(key) if name is None else name] = key_record(blob)

    def add_saved_password_key(self) -> None:
        """The key that every Firefox with saved passwords has beside the others."""
        name, plain = saved_password_key()
        self.keys[name] = key_record(des_blob(self.key, plain))

    def write(self) -> Path:
        """Write both files; the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_file("cert8.db", self.certificates)
        self.write_file("key3.db", self.keys)
        return self.folder

    def write_file(self, name: str, records: dict[bytes, bytes]) -> None:
        """Write one file."""
        data = berkeley_file(
            records.items(),
            page_size=self.page_size,
            byte_order=self.byte_order,
            buckets=self.buckets,
            seed=self.seed,
        )
        (self.folder / name).write_bytes(data)
