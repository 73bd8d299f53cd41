"""Vault: where made-up passwords are kept, on the disk before the file that they open has its name.

With the certificates of an IT department they go into escrow: a CMS EnvelopedData (RFC 5652,
section 6) for each backup, AES-256, which only the holders of those certificates' keys can open.
Without, they are lines of `passwords.csv`. Both name the SHA-256 of the backup, so that the
password of the file that is there is found even after a renewal was cut short. Neither is ever
rewritten: what is there stays.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nssbackup.batch.cells import inert
from nssbackup.batch.naming import ESCROW_FOLDER, PASSWORDS_FILE
from nssbackup.batch.orders import Orders
from nssbackup.errors import OutputError, UsageError, reason
from nssbackup.secret import Secret
from nssbackup.system.files import (
    PRIVATE_MODE,
    create_private,
    flush_folder,
    make_folder,
    write_verified,
)
from nssbackup.system.locking import locked

if TYPE_CHECKING:
    from nssbackup.identity.certificate import StoredCertificate

_COLUMNS = ("user", "profile", "fingerprint", "file", "sha256", "created", "password")
_DIGEST = re.compile(rb"[0-9a-f]{64}")
_FEWEST_BITS = 2048
# A row has a few hundred bytes; this is some hundred thousand of them.
_LONGEST_LINE, _MAX_BYTES = 64 * 1024, 256 * 1024 * 1024
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """A password, and all there is to say about what it opens.

    Attributes:
        user: whose it is.
        profile: the folder that the key came from.
        fingerprint: SHA-256 of the certificate.
        file: the backup, relative to the batch's folder, with `/`.
        sha256: of the backup.
        created: when, RFC 3339.
        password: what opens it.
    """

    user: str
    profile: str
    fingerprint: str
    file: str
    sha256: str
    created: str
    password: Secret = field(repr=False)

    def cells(self) -> tuple[str, ...]:
        """What stands in the columns, with the password in the clear."""
        facts = (self.user, self.profile, self.fingerprint, self.file, self.sha256, self.created)
        return (*facts, self.password.reveal())


Finder = Callable[[str, str], bool]
"""Whether something is there for a backup: its file, as in `Entry`, and its SHA-256."""


class Vault(Protocol):
    """A place for passwords."""

    def keep(self, entries: Sequence[Entry]) -> None:
        """Keep passwords; when this returns they are on the disk.

        Raises:
            OutputError: they can't be written.
        """
        ...

    def finder(self) -> Finder:
        """What tells whether the password of a backup is here, as of now.

        Raises:
            OutputError: what is here can't be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class PasswordsFile:
    """`passwords.csv` in the batch's folder, for its owner's eyes only."""

    folder: Path

    def keep(self, entries: Sequence[Entry]) -> None:
        """See `Vault`."""
        if not entries:
            return
        path = self.folder / PASSWORDS_FILE
        flags = os.O_RDWR | os.O_APPEND
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with _reported(path):
            with suppress(FileExistsError):
                os.close(create_private(path))
            descriptor = os.open(path, flags)
            try:
                with locked(descriptor):
                    _append(descriptor, entries)
            finally:
                os.close(descriptor)
            flush_folder(self.folder)

    def finder(self) -> Finder:
        """See `Vault`."""
        digests: set[str] = set()
        path = self.folder / PASSWORDS_FILE
        with _reported(path), suppress(FileNotFoundError), open(path, "rb", opener=_opened) as file:
            while line := file.readline(_LONGEST_LINE):
                digests.update(found.decode("ascii") for found in _DIGEST.findall(line))
        return lambda _, sha256: sha256 in digests


def _opened(path: str, flags: int) -> int:
    """Open what may be looked through: not a FIFO, for which one would wait, nor terabytes.

    Raises:
        OSError: it is none.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_size <= _MAX_BYTES:
        return descriptor
    os.close(descriptor)
    number = errno.EFBIG if stat.S_ISREG(facts.st_mode) else errno.EINVAL
    raise OSError(number, os.strerror(number))


def _append(descriptor: int, entries: Sequence[Entry]) -> None:
    """Put lines behind what is there, and see to it that they are on the disk."""
    if hasattr(os, "fchmod"):
        with suppress(PermissionError):  # a file system without modes
            os.fchmod(descriptor, PRIVATE_MODE)
    size = os.fstat(descriptor).st_size
    header, rows = _csv([_COLUMNS]), _csv(entry.cells() for entry in entries)
    torn = _behind_last_line(descriptor, size)
    if len(torn) == size and header.startswith(torn):
        os.ftruncate(descriptor, 0)
        size, data = 0, header + rows
    else:
        data = _ending(torn) + rows
    if os.write(descriptor, data) != len(data):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def _ending(torn: bytes) -> bytes:
    """What makes a line of the last one.

    A run that was killed leaves part of a row; an editor, a whole one without its line end. Which
    it is can't be told, and a password that is cut off is lost: all of it stays.
    """
    if not torn:
        return b""
    # No cell has a line end in it: quotation marks that are open would swallow the next rows.
    return b'"\r\n' if torn.count(b'"') % 2 else b"\r\n"


def _behind_last_line(descriptor: int, size: int) -> bytes:
    """What stands behind the last line end."""
    found = b""
    while len(found) < size and b"\n" not in found:
        start = max(0, size - len(found) - _BLOCK)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, size - len(found) - start) + found
    return found.rpartition(b"\n")[2]


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[inert(cell) for cell in row] for row in rows])
    return text.getvalue().encode("utf-8", "backslashreplace")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"`{path}` can't be written: {reason(error)}"
        raise OutputError(message) from error


@dataclass(frozen=True, slots=True)
class Escrow:
    """CMS messages in the folder `escrow`, to the holders of some certificates.

    `recipients` are their certificates, DER.
    """

    folder: Path
    recipients: tuple[bytes, ...]

    def keep(self, entries: Sequence[Entry]) -> None:
        """See `Vault`."""
        for entry in entries:
            where = self._path(entry.file, entry.sha256).parent
            with _reported(where):
                make_folder(where)
            names = dict(zip(_COLUMNS, entry.cells(), strict=True))
            text = json.dumps(names, indent=1, ensure_ascii=False) + "\n"
            data = enveloped(text.encode("utf-8", "surrogatepass"), self.recipients)
            path = self._path(entry.file, entry.sha256)
            write_verified(path, data, lambda _: None, replace=True)

    def finder(self) -> Finder:
        """See `Vault`."""
        # Path's own raises for a name too long, and the names are from a file.
        return lambda file, sha256: os.path.isfile(self._path(file, sha256))  # noqa: PTH113 - see above

    def _path(self, file: str, sha256: str) -> Path:
        return self.folder / ESCROW_FOLDER / f"{file}.{sha256[:16]}.p7m"


def vault_of(orders: Orders) -> Vault:
    """Where the passwords that are made up go."""
    if orders.escrow:
        return Escrow(orders.folder, orders.escrow)
    return PasswordsFile(orders.folder)


def enveloped(data: bytes, recipients: Iterable[bytes]) -> bytes:
    """A CMS EnvelopedData, DER, that the holder of any of these certificates' keys can open."""
    from cryptography import x509
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(data)
    builder = builder.set_content_encryption_algorithm(AES256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old certificates' sins, which are not ours to tell
        for der in recipients:
            builder = builder.add_recipient(x509.load_der_x509_certificate(der))
        return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def recipients_in(paths: Sequence[Path]) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """The certificates in files, DER, each once, and what is to be said about them.

    Raises:
        UsageError: a file holds none, or one that nothing can be encrypted to.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    from nssbackup.identity.pem import read_certificates

    found: dict[bytes, None] = {}
    notes = []
    for path in paths:
        certificates = read_certificates(path)
        # The chain that may be in the file is not the department.
        issuers = {one.issuer for one in certificates if one.issuer != one.subject}
        people = [one for one in certificates if not one.is_ca] or [
            one for one in certificates if one.subject not in issuers
        ]
        notes += [
            f"the CA certificate of `{one.display_name}` in `{path.name}` gets no passwords"
            for one in certificates
            if one not in people and one.subject not in issuers
        ]
        for certificate in people:
            _check_recipient(certificate)
            if certificate.status() != "valid":
                notes.append(
                    f"the escrow certificate of `{certificate.display_name}` is"
                    f" {certificate.status()}"
                )
            found.setdefault(certificate.der)
    try:
        enveloped(b"", found)
    except (ValueError, UnsupportedAlgorithm) as error:
        message = "this system's cryptography can't put passwords into escrow"
        raise UsageError(message, hint="RSA encryption is switched off here") from error
    return tuple(found), tuple(notes)


def _check_recipient(certificate: StoredCertificate) -> None:
    """As far as `cryptography` goes (PKCS7EnvelopeBuilder.add_recipient), which is PKCS#1 v1.5.

    Raises:
        UsageError: nothing can be encrypted to it, or nobody should.
    """
    from cryptography import x509
    from cryptography.x509.oid import PublicKeyAlgorithmOID

    who = certificate.display_name
    if certificate.key.type != "RSA":
        message = f"the certificate of `{who}` has no RSA key"
        hint = "passwords can be put into escrow for RSA certificates only"
        raise UsageError(message, hint=hint)
    algorithm = x509.load_der_x509_certificate(certificate.der).public_key_algorithm_oid
    if algorithm != PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5:  # the name for RSA of any kind
        message = f"the RSA key of `{who}` is for signatures only"
        raise UsageError(message, hint="use a certificate whose key is RSA, not RSA-PSS")
    if (certificate.key.bits or 0) < _FEWEST_BITS:
        message = f"the RSA key of `{who}` is too short for escrow"
        raise UsageError(message, hint=f"use a certificate of {_FEWEST_BITS} bits or more")
