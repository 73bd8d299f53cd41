"""Mail: a draft message with backups attached, for a mail program to complete and send.

The draft is an RFC 5322 message without the fields that only the sender can give: From, Date and
Message-ID, which mail programs add. `X-Unsent: 1` is Outlook's: it and others then open the draft
for writing instead of reading.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nssbackup.backups.writing import Outputs
from nssbackup.diagnosis.settings import menus
from nssbackup.errors import (
    OutputError,
    OutputExistsError,
    UsageError,
    VerificationError,
    reason,
)
from nssbackup.identity.model import Identity
from nssbackup.pkcs12.safes import FILE_BYTES
from nssbackup.report import WrittenFile
from nssbackup.secret import Secret, weakness
from nssbackup.system.files import safe_name, write_verified
from nssbackup.system.reading import read_bounded

if TYPE_CHECKING:
    from email.message import EmailMessage

EML_ENDINGS = (".eml",)

# A dot-atom on both sides (RFC 5322, 3.4.1), within the length limit of SMTP (RFC 5321, 4.5.3.1).
# Quoted and non-ASCII addresses are rare, and not all mail programs accept them.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_MAX_ADDRESS = 254

# As much of a name as fits a subject.
_MAX_NAME = 100

_MADE_FOR = {
    "modern": "for Firefox, and Windows 10 and later",
    "compatible": "for macOS, iPhone and older Windows",
}
_MACOS = "double-click the file to open it in Keychain Access"
_NOT_MACOS = "needs another file, made with `nssbackup export --for macos`"


class WeakPasswordError(UsageError):
    """A backup that is to be mailed has a password that is easy to guess."""

    code = "weak-password"
    default_hint = "choose a longer one, such as four random words, or insist with `--force`"


@dataclass(frozen=True, slots=True)
class MailOptions:
    """The message to draft.

    Attributes:
        output: its file, or a folder if it exists or ends with a separator; `.eml` is added.
        to: the recipients; empty if the user will enter them.
        weak_password: whether a weak backup password is accepted.

    Raises:
        UsageError: a recipient is not a mail address.
    """

    output: str
    to: tuple[str, ...] = ()
    weak_password: bool = False

    def __post_init__(self) -> None:
        for address in self.to:
            if len(address) > _MAX_ADDRESS or not _ADDRESS.fullmatch(address):
                message = f"`{address}` is not a mail address"
                raise UsageError(
                    message, hint="give one address, as in `--mail-to jane@example.com`"
                )

    def check_password(self, password: Secret, names: Iterable[str | None] = ()) -> None:
        """Refuse to mail a backup with a weak password: copies of it may stay anywhere.

        Args:
            password: the backup password.
            names: the names in the certificate.

        Raises:
            WeakPasswordError: the password is weak.
        """
        if not self.weak_password and weakness(password, names) is not None:
            message = "the backup password is too easy to guess for a backup that is sent by mail"
            raise WeakPasswordError(message)


@dataclass(frozen=True, slots=True)
class MailDraft:
    """A message to be written, once its file is known to be writable.

    Attributes:
        options: what the user asked for.
        outputs: where its file goes.
        replace: whether an existing file may be replaced.
    """

    options: MailOptions
    outputs: Outputs
    replace: bool

    @classmethod
    def of(cls, options: MailOptions, *, replace: bool = False) -> MailDraft:
        """Check early that the message can be written.

        Raises:
            OutputExistsError: the file exists and may not be replaced.
            OutputError: its folder is missing or closed to us.
        """
        with _naming_option():
            outputs = Outputs.of(options.output, endings=EML_ENDINGS, replace=replace)
        return cls(options, outputs, replace)

    def path(self, identity: Identity) -> Path:
        """Return the file for an identity's message.

        Raises:
            OutputExistsError, OutputError: as of `MailDraft.of`.
        """
        with _naming_option():
            (target,) = self.outputs.targets(identity, replace=self.replace)
        return target.path

    def write(self, path: Path, identity: Identity, files: Sequence[WrittenFile]) -> None:
        """Write the message, with the backups as they are on the disk.

        Raises:
            OutputExistsError, OutputError: the file can't be written.
            VerificationError: a backup or the message is not as it was written.
        """
        data = self._message(identity, files).as_bytes()

        def check(written: Path) -> None:
            if written.read_bytes() != data:
                raise _changed(written)

        with _naming_option():
            write_verified(path, data, check, replace=self.replace)

    def _message(self, identity: Identity, files: Sequence[WrittenFile]) -> EmailMessage:
        # 20 ms to load, and few backups are mailed.
        from email.message import EmailMessage
        from email.policy import SMTP

        # SMTP's line ends, and nothing beyond ASCII in the file: every program opens that.
        message = EmailMessage(SMTP.clone(cte_type="7bit"))
        message["Subject"] = _subject(identity)
        if self.options.to:
            message["To"] = ", ".join(self.options.to)
        message["X-Unsent"] = "1"
        message.set_content(_body(identity, files))
        for file in files:
            message.add_attachment(
                _content(file),
                maintype="application",
                subtype="x-pkcs12",
                filename=_attachment_name(file.path),
            )
        for part in message.iter_attachments():
            del part["MIME-Version"]  # the message's own is enough (RFC 2045, section 4)
        return message


def _subject(identity: Identity) -> str:
    return f"Certificate backup: {_who(identity)[:_MAX_NAME]} ({_end(identity)})"


def _body(identity: Identity, files: Sequence[WrittenFile]) -> str:
    attached = "\n\n".join(
        f"Attached: {_attachment_name(file.path)}\n"
        f"  made {_MADE_FOR.get(file.format, f'as {file.format}')}\n"
        f"  SHA-256 of the file:\n"
        f"  {file.sha256}"
        for file in files
    )
    keychain = any(file.format == "compatible" for file in files)
    return f"""\
This is a backup of a certificate with its private key.

Certificate: {_who(identity)}
Issued by: {_line(identity.certificate.issuer_name)}
{_end(identity).capitalize()}
SHA-256 fingerprint of the certificate:
  {identity.certificate.sha256}

{attached}

The file is encrypted with its backup password. The password is not in this
message. Do not send it along: anyone who has both can act in the name of the
certificate's owner. Keep the password somewhere else.

To import the backup, save the attached file on the computer and give the
backup password when asked:

{_in_firefox()}
- Windows: double-click the file and follow the Certificate Import Wizard
- macOS: {_MACOS if keychain else _NOT_MACOS}
"""


def _in_firefox() -> str:
    """Return how to import the file in each version of Firefox, as a list."""
    return "\n".join(
        textwrap.fill(f"- {version}: {way}", 72, subsequent_indent="  ")
        for version, way in menus("Import")
    )


def _who(identity: Identity) -> str:
    return _line(identity.display_name)


def _end(identity: Identity) -> str:
    certificate = identity.certificate
    word = "expired on" if certificate.status() == "expired" else "valid until"
    return f"{word} {certificate.not_after:%Y-%m-%d}"


def _line(text: str) -> str:
    """Return a name as one line: line ends and other control characters become blanks."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _attachment_name(path: Path) -> str:
    """Return the file's name in a form that any system can save."""
    return f"{safe_name(path.stem)}{path.suffix}"


def _content(file: WrittenFile) -> bytes:
    """Return a backup's bytes from the disk, if they are those that were verified."""
    try:
        data = read_bounded(file.path, FILE_BYTES)
    except OSError as error:
        message = f"`{file.path}` can't be read again: {reason(error)}"
        raise OutputError(message) from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise _changed(file.path)
    return data


def _changed(path: Path) -> VerificationError:
    change = "it changed after it was written"
    return VerificationError(f"`{path}` can't be used: {change}", (change,))


@contextmanager
def _naming_option() -> Iterator[None]:
    """Name the option `--eml` in the hint of an error."""
    try:
        yield
    except OutputExistsError as error:
        hint = "choose another name with `--eml`, or replace it with `--force`"
        raise OutputExistsError(error.message, hint=hint) from error
    except OutputError as error:
        raise OutputError(error.message, hint="choose another file with `--eml`") from error
