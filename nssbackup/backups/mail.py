"""Mail: a draft message with backups attached, for a mail program to open, complete and send.

The draft is what RFC 5322 calls a message, without the fields that only the sender can give: From
is the account it is sent from, Date the time when it is complete (3.6.1), Message-ID belongs to
what was sent. Mail programs put in all three. `X-Unsent: 1` has Outlook, which invented the field,
and others open it for writing instead of reading.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nssbackup.backups.outputs import Outputs
from nssbackup.errors import (
    NssBackupError,
    OutputError,
    OutputExistsError,
    UsageError,
    VerificationError,
    reason,
)
from nssbackup.identity.model import Identity
from nssbackup.pkcs12.ber import FILE_BYTES
from nssbackup.report import WrittenFile
from nssbackup.secret import Secret, weakness
from nssbackup.system.files import check_writable, safe_name, write_verified
from nssbackup.system.reading import read_bounded

if TYPE_CHECKING:
    from email.message import EmailMessage
    from email.policy import EmailPolicy

EML_ENDINGS = (".eml",)

# A dot-atom on both sides (RFC 5322, 3.4.1) and no longer than mail can go (RFC 5321, 4.5.3.1):
# quoted names and addresses in other letters are rare, and not all mail programs take them.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_MAX_ADDRESS = 254

# RFC 5322, 2.1.1, without the line end.
_MAX_LINE = 998
# As much of a name as a subject has use for.
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
    default_hint = "take a longer one, such as four random words, or insist with `--force`"


@dataclass(frozen=True, slots=True)
class MailOptions:
    """The message to draft.

    Attributes:
        output: its file, or a folder if it exists or ends with a separator; `.eml` is added.
        to: the addresses it goes to; none if the user will give them.
        weak_password: whether a backup password that is easy to guess will do.

    Raises:
        UsageError: an address is none.
    """

    output: str
    to: tuple[str, ...] = ()
    weak_password: bool = False

    def __post_init__(self) -> None:
        for address in self.to:
            if len(address) > _MAX_ADDRESS or not _ADDRESS.fullmatch(address):
                message = f"`{address}` is no mail address"
                raise UsageError(
                    message, hint="give one address, as in `--mail-to jane@example.com`"
                )

    def check_password(self, password: Secret) -> None:
        """Let no backup go by mail whose password is easy to guess: copies of it remain anywhere.

        Raises:
            WeakPasswordError: it is.
        """
        if not self.weak_password and weakness(password) is not None:
            message = "the backup password is too easy to guess for a backup that is sent by mail"
            raise WeakPasswordError(message)


@dataclass(frozen=True, slots=True)
class MailDraft:
    """A message to be written, when its file is known to be writable.

    Attributes:
        options: what the user said.
        outputs: where its file goes.
        replace: whether an existing file may be replaced.
    """

    options: MailOptions
    outputs: Outputs
    replace: bool

    @classmethod
    def of(cls, options: MailOptions, *, replace: bool = False) -> MailDraft:
        """Find out early what is wrong with where the message is to go.

        Raises:
            OutputExistsError: the file named exists and may not be replaced.
            OutputError: its folder is missing or closed to us.
        """
        try:
            outputs = Outputs.of(options.output, endings=EML_ENDINGS, replace=replace)
        except (OutputError, OutputExistsError) as error:
            raise _of_message(error) from error
        return cls(options, outputs, replace)

    def path(self, identity: Identity) -> Path:
        """The file for an identity's message.

        Raises:
            OutputExistsError, OutputError: as of `MailDraft.of`.
        """
        (target,) = self.outputs.targets(identity)
        try:
            check_writable(target.path, replace=self.replace)
        except (OutputError, OutputExistsError) as error:
            raise _of_message(error) from error
        return target.path

    def write(self, path: Path, identity: Identity, files: Sequence[WrittenFile]) -> None:
        """Write the message; its attachments are read from the disk, where they were verified.

        Raises:
            OutputExistsError, OutputError: the file can't be written.
            VerificationError: a backup is not as it was written, or the message not as it should.
        """
        attachments = [(_attachment_name(file.path), _content(file)) for file in files]
        message = self._message(identity, files, attachments)

        def check(written: Path) -> None:
            self._verify(written.read_bytes(), attachments)

        try:
            write_verified(path, message.as_bytes(), check, replace=self.replace)
        except (OutputError, OutputExistsError) as error:
            raise _of_message(error) from error

    def _message(
        self,
        identity: Identity,
        files: Sequence[WrittenFile],
        attachments: Sequence[tuple[str, bytes]],
    ) -> EmailMessage:
        from email.message import EmailMessage

        message = EmailMessage(_policy())
        message["Subject"] = _subject(identity)
        if self.options.to:
            message["To"] = ", ".join(self.options.to)
        message["X-Unsent"] = "1"
        message.set_content(_body(identity, files))
        for name, content in attachments:
            message.add_attachment(
                content, maintype="application", subtype="x-pkcs12", filename=name
            )
        for part in message.iter_attachments():
            del part["MIME-Version"]  # the message's own is enough (RFC 2045, section 4)
        return message

    def _verify(self, data: bytes, attachments: Sequence[tuple[str, bytes]]) -> None:
        """Hold a message that was written against what it should be."""
        from email import message_from_bytes

        parsed = message_from_bytes(data, policy=_policy())
        found = [(part.get_filename(), part.get_content()) for part in parsed.iter_attachments()]
        to = str(parsed.get("To", ""))
        lines = data.split(b"\r\n")
        mismatches = tuple(
            flaw
            for flaw, holds in (
                ("its attachments are not the backups", found == list(attachments)),
                ("it is no draft", parsed["X-Unsent"] == "1"),
                ("its addresses are others", to == ", ".join(self.options.to)),
                (
                    "its lines are no mail's",
                    all(len(line) <= _MAX_LINE and b"\n" not in line for line in lines),
                ),
            )
            if not holds
        )
        if mismatches:
            message = f"the message written is not what it should be: {'; '.join(mismatches)}"
            raise VerificationError(message, mismatches)


def _policy() -> EmailPolicy[EmailMessage]:
    """Mail's own line ends, and nothing beyond ASCII in the file: every program opens that."""
    from email.policy import SMTP

    return SMTP.clone(cte_type="7bit")


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

The file is locked with its backup password. The password is not in this
message, and it must not be sent along: whoever has both can act in the name
of the certificate's owner. Keep the password somewhere else.

To import the backup, save the attached file on the computer and give the
backup password when asked:

- Firefox: Settings, Privacy & Security, Certificates, View Certificates,
  Your Certificates, Import
- Windows: double-click the file and follow the Certificate Import Wizard
- macOS: {_MACOS if keychain else _NOT_MACOS}
"""


def _who(identity: Identity) -> str:
    return _line(identity.display_name)


def _end(identity: Identity) -> str:
    certificate = identity.certificate
    word = "expired on" if certificate.status() == "expired" else "valid until"
    return f"{word} {certificate.not_after:%Y-%m-%d}"


def _line(text: str) -> str:
    """A name that can't break out of its line: line ends and other controls become blanks."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _attachment_name(path: Path) -> str:
    """The file's name, as any other system can save it."""
    return f"{safe_name(path.stem)}{path.suffix}"


def _content(file: WrittenFile) -> bytes:
    """A backup's bytes from the disk, which must be those that were verified."""
    try:
        data = read_bounded(file.path, FILE_BYTES)
    except OSError as error:
        message = f"`{file.path}` can't be read again: {reason(error)}"
        raise OutputError(message) from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        flaw = "it changed since it was written"
        message = f"`{file.path}` can't be attached: {flaw}"
        raise VerificationError(message, (flaw,))
    return data


def _of_message(error: NssBackupError) -> NssBackupError:
    """The same error with the option that is meant."""
    hint = "choose another file with `--eml`"
    if isinstance(error, OutputExistsError):
        hint = "choose another name with `--eml`, or replace it with `--force`"
    return type(error)(error.message, hint=hint)
