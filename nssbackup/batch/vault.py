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
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nssbackup.batch.locking import locked
from nssbackup.batch.naming import ESCROW_FOLDER, PASSWORDS_FILE
from nssbackup.draft import create_private
from nssbackup.errors import OutputError, UsageError
from nssbackup.files import PRIVATE_MODE, flush_folder, make_folder, write_verified
from nssbackup.printable import printable
from nssbackup.secret import Secret

_COLUMNS = ("user", "profile", "fingerprint", "file", "sha256", "created", "password")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FEWEST_BITS = 2048
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


class Vault(Protocol):
    """A place for passwords."""

    def keep(self, entries: Sequence[Entry]) -> None:
        """Keep passwords; when this returns they are on the disk.

        Raises:
            OutputError: they can't be written.
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


def _append(descriptor: int, entries: Sequence[Entry]) -> None:
    """Put lines behind what is there, and see to it that they are on the disk."""
    if hasattr(os, "fchmod"):
        with suppress(PermissionError):  # a file system without modes
            os.fchmod(descriptor, PRIVATE_MODE)
    size = os.fstat(descriptor).st_size
    whole = _whole_lines(descriptor, size)
    if whole < size:
        os.ftruncate(descriptor, whole)
    rows = [entry.cells() for entry in entries]
    data = _csv(rows if whole else [_COLUMNS, *rows])
    if os.write(descriptor, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def _whole_lines(descriptor: int, size: int) -> int:
    """Where the last whole line ends.

    Half a line is what a killed run or a full disk leaves; the backup that it is about never got
    its name. No cell has a line end in it.
    """
    position = size
    while position:
        start = max(0, position - _BLOCK)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[_harmless(cell) for cell in row] for row in rows])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _harmless(cell: str) -> str:
    """What is one line, and what a spreadsheet shows as it is and does not compute."""
    return f"'{printable(cell)}" if cell.startswith(_FORMULA) else printable(cell)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        message = f"`{path}` can't be written: {reason}"
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
            where = self.folder / ESCROW_FOLDER / Path(entry.file).parent
            with _reported(where):
                make_folder(where)
            names = dict(zip(_COLUMNS, entry.cells(), strict=True))
            text = json.dumps(names, indent=1, ensure_ascii=False) + "\n"
            name = f"{Path(entry.file).name}.{entry.sha256[:16]}.p7m"
            data = enveloped(text.encode("utf-8", "surrogatepass"), self.recipients)
            write_verified(where / name, data, lambda _: None, replace=True)


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

    from nssbackup.pem import read_certificates

    found: dict[bytes, None] = {}
    notes = []
    for path in paths:
        certificates = read_certificates(path)
        # The chain that may be in the file is not the department.
        people = [one for one in certificates if not one.is_ca] or certificates[:1]
        for certificate in people:
            who = certificate.common_name or certificate.subject
            # As far as `cryptography` goes (PKCS7EnvelopeBuilder.add_recipient).
            if certificate.key.type != "RSA":
                message = f"the certificate of `{who}` has no RSA key"
                hint = "passwords can be put into escrow for RSA certificates only"
                raise UsageError(message, hint=hint)
            if (certificate.key.bits or 0) < _FEWEST_BITS:
                message = f"the RSA key of `{who}` is too short for escrow"
                raise UsageError(message, hint=f"use a certificate of {_FEWEST_BITS} bits or more")
            if certificate.status() != "valid":
                notes.append(f"the escrow certificate of `{who}` is {certificate.status()}")
            found.setdefault(certificate.der)
    try:
        enveloped(b"", found)
    except (ValueError, UnsupportedAlgorithm) as error:
        message = "this system's cryptography can't put passwords into escrow"
        raise UsageError(message, hint="RSA encryption is switched off here") from error
    return tuple(found), tuple(notes)
