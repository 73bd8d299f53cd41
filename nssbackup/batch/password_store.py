"""Where generated passwords are kept: on the disk before the file that they open has its name.

With certificates of an IT department they go into escrow: a CMS EnvelopedData (RFC 5652, section 6)
for each backup, AES-256, which only the holders of those certificates' keys can open. Without,
they are lines of `passwords.csv`. Both name the SHA-256 of the backup, so the password of a file
can be found even after a renewal was cut short. Neither is ever rewritten.
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

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import PublicKeyAlgorithmOID

from nssbackup.batch.layout import ESCROW_FOLDER, PASSWORDS_FILE
from nssbackup.batch.options import BatchOptions
from nssbackup.batch.output_folder import check_owner, make_own_folder
from nssbackup.errors import OutputError, UsageError, reason
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.pem import read_certificates
from nssbackup.printable import inert
from nssbackup.secret import Secret
from nssbackup.system.files import (
    PRIVATE_MODE,
    create_private,
    flush_folder,
    write_verified,
)
from nssbackup.system.locking import locked

_COLUMNS = ("user", "profile", "fingerprint", "file", "sha256", "created", "password")
_DIGEST = re.compile(rb"[0-9a-f]{64}")
_FEWEST_BITS = 2048
# A row has a few hundred bytes; this is some hundred thousand of them.
_LONGEST_LINE, _MAX_BYTES = 64 * 1024, 256 * 1024 * 1024
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """A generated password and what it opens.

    Attributes:
        profile: the folder that the key came from.
        fingerprint: SHA-256 of the certificate.
        file: the backup, relative to the output folder, with `/`.
        sha256: of the backup.
        created: RFC 3339.
    """

    user: str
    profile: str
    fingerprint: str
    file: str
    sha256: str
    created: str
    password: Secret = field(repr=False)

    def cells(self) -> tuple[str, ...]:
        """Return the row, with the password in the clear."""
        facts = (self.user, self.profile, self.fingerprint, self.file, self.sha256, self.created)
        return (*facts, self.password.reveal())


Finder = Callable[[str, str], bool]
"""Tells whether the password of a backup is kept: takes its file, as in `Entry`, and SHA-256."""


@dataclass(frozen=True, slots=True)
class PasswordsFile:
    """`passwords.csv` in the output folder, readable by its owner only."""

    folder: Path

    def keep(self, entries: Sequence[Entry]) -> None:
        """Keep passwords; when this returns they are on the disk.

        Raises:
            OutputError: they can't be written.
        """
        if not entries:
            return
        path = self.folder / PASSWORDS_FILE
        flags = os.O_RDWR | os.O_APPEND
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with _as_output_error(path):
            with suppress(FileExistsError):
                os.close(create_private(path))
            descriptor = os.open(path, flags)
            try:
                check_owner(path, os.fstat(descriptor))
                with locked(descriptor):
                    _append(descriptor, entries)
            finally:
                os.close(descriptor)
            flush_folder(self.folder)

    def finder(self) -> Finder:
        """Return what tells whether a password is kept, as of now.

        Raises:
            OutputError: the file can't be read.
        """
        digests: set[str] = set()
        path = self.folder / PASSWORDS_FILE
        with (
            _as_output_error(path, "read"),
            suppress(FileNotFoundError),
            open(path, "rb", opener=_opened) as file,
        ):
            while line := file.readline(_LONGEST_LINE):
                digests.update(found.decode("ascii") for found in _DIGEST.findall(line))
        return lambda _, sha256: sha256 in digests


def _opened(path: str, flags: int) -> int:
    """Open a regular file of a bounded size; never wait for a FIFO."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_size <= _MAX_BYTES:
        return descriptor
    os.close(descriptor)
    number = errno.EFBIG if stat.S_ISREG(facts.st_mode) else errno.EINVAL
    raise OSError(number, os.strerror(number))


def _append(descriptor: int, entries: Sequence[Entry]) -> None:
    """Append lines and flush them to the disk."""
    if hasattr(os, "fchmod"):
        with suppress(PermissionError):  # a file system without modes
            os.fchmod(descriptor, PRIVATE_MODE)
    size = os.fstat(descriptor).st_size
    header, rows = _csv([_COLUMNS]), _csv(entry.cells() for entry in entries)
    torn = _after_last_line(descriptor, size)
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
    """Return what completes an unfinished last line.

    A killed run leaves part of a row, an editor a whole one without its line end. The two can't be
    told apart, and a password that is cut off is lost, so all of it stays.
    """
    if not torn:
        return b""
    # No cell contains a line end: an open quotation mark would swallow the next rows.
    return b'"\r\n' if torn.count(b'"') % 2 else b"\r\n"


def _after_last_line(descriptor: int, size: int) -> bytes:
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
def _as_output_error(path: Path, action: str = "written") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"`{path}` can't be {action}: {reason(error)}"
        raise OutputError(message) from error


@dataclass(frozen=True, slots=True)
class EscrowFolder:
    """CMS messages in the folder `escrow`, for the holders of some DER certificates."""

    folder: Path
    recipients: tuple[bytes, ...]

    def keep(self, entries: Sequence[Entry]) -> None:
        """Keep passwords; see `PasswordsFile.keep`."""
        for entry in entries:
            path = self._path(entry.file, entry.sha256)
            make_own_folder(path.parent)
            named = dict(zip(_COLUMNS, entry.cells(), strict=True))
            text = json.dumps(named, indent=1, ensure_ascii=False) + "\n"
            data = enveloped(text.encode("utf-8", "surrogatepass"), self.recipients)
            write_verified(path, data, lambda _: None, replace=True)

    def finder(self) -> Finder:
        """Return what tells whether a password is kept, as of now."""
        # Path.is_file raises if a name is too long, and the names come from a file.
        return lambda file, sha256: os.path.isfile(self._path(file, sha256))

    def _path(self, file: str, sha256: str) -> Path:
        return self.folder / ESCROW_FOLDER / f"{file}.{sha256[:16]}.p7m"


def store_for(options: BatchOptions) -> PasswordsFile | EscrowFolder:
    """Return where a batch keeps the passwords that it generates."""
    if options.escrow:
        return EscrowFolder(options.folder, options.escrow)
    return PasswordsFile(options.folder)


def enveloped(data: bytes, recipients: Iterable[bytes]) -> bytes:
    """Return a DER CMS EnvelopedData that the key of any of these DER certificates opens."""
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(data)
    builder = builder.set_content_encryption_algorithm(AES256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old certificates, which are not ours to judge
        for der in recipients:
            builder = builder.add_recipient(x509.load_der_x509_certificate(der))
        return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def recipients_in(paths: Sequence[Path]) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Return the escrow certificates in files, DER, each once, and notes about them.

    Raises:
        UsageError: a file holds none, or one that nothing can be encrypted to.
    """
    found: dict[bytes, None] = {}
    notes = []
    for path in paths:
        certificates = read_certificates(path)
        # A file may hold the chain as well, whose CAs get no passwords.
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
            if (status := certificate.status()) != "valid":
                name = certificate.display_name
                notes.append(f"the escrow certificate of `{name}` is {status}")
            found.setdefault(certificate.der)
    try:
        enveloped(b"", found)
    except (ValueError, UnsupportedAlgorithm) as error:
        message = "passwords can't be encrypted for escrow on this system"
        hint = "its cryptography has RSA encryption switched off"
        raise UsageError(message, hint=hint) from error
    return tuple(found), tuple(notes)


def _check_recipient(certificate: StoredCertificate) -> None:
    """Check that passwords can be encrypted to a certificate.

    `cryptography` encrypts with PKCS#1 v1.5 only (PKCS7EnvelopeBuilder.add_recipient).

    Raises:
        UsageError: it departs from the standard, or has no RSA key, one for signatures only, or
            one that is too short.
    """
    who = certificate.display_name
    if certificate.departures:  # `cryptography` does not encrypt to such a certificate
        message = f"the certificate of `{who}` departs from the standard: " + "; ".join(
            certificate.departures
        )
        raise UsageError(message, hint="escrow needs a certificate that follows the standard")
    if certificate.key.type != "RSA":
        message = f"the certificate of `{who}` has no RSA key"
        raise UsageError(message, hint="escrow needs a certificate with an RSA key")
    algorithm = x509.load_der_x509_certificate(certificate.der).public_key_algorithm_oid
    if algorithm != PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5:  # the name for RSA of any kind
        message = f"the RSA key of `{who}` is for signatures only"
        raise UsageError(message, hint="use a certificate whose key is RSA, not RSA-PSS")
    if (certificate.key.bits or 0) < _FEWEST_BITS:
        message = f"the RSA key of `{who}` is too short for escrow"
        raise UsageError(message, hint=f"use a certificate of {_FEWEST_BITS} bits or more")
