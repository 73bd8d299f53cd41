"""Passwords: typed or read from a file, never an argument or a variable; and the PFX writers."""

from __future__ import annotations

import codecs
import getpass
import json
import sys
import unicodedata
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nssbackup.cli.printer import Printer, StreamError
from nssbackup.cli.questions import is_interactive
from nssbackup.errors import CancelledError, QuestionError, UsageError, reason
from nssbackup.pkcs12 import (
    Destination,
    Format,
    PfxWriters,
    checked_rounds,
    password_warnings,
)
from nssbackup.printable import printable
from nssbackup.secret import Secret, generate, weakness

if sys.platform == "win32":
    from nssbackup.cli.questions import read_hidden

if TYPE_CHECKING:
    from nssbackup.identity.model import Identity, Profile

_STDIN = "-"
_NUL = "\0"  # ends a password for a program in C
_NOT_TEXT = "\nThat can't be a password: not all of it is text. "
_MAX_BYTES = 64 * 1024
_JSON_BEGINS = b"{"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
ATTEMPTS = 3


def ask(prompt: str) -> Secret:
    """Ask for a password without showing it; again if what was typed is not text.

    Raises:
        CancelledError: the input ended, or was never text.
        QuestionError: the terminal can't hide what is typed.
    """
    for attempt in range(ATTEMPTS):
        with suppress(UnicodeError):  # it holds what was typed, so it must not become a cause
            typed = _typed(f"{_NOT_TEXT if attempt else ''}{printable(prompt)}: ")
            if _NUL not in typed:
                return Secret(typed)
    message = "what was typed as a password is not all text"
    hint = "set the terminal to the encoding of the locale, such as UTF-8"
    raise CancelledError(message, hint=hint)


def _typed(prompt: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            if sys.platform == "win32":
                typed = read_hidden(prompt)
            else:
                typed = getpass.getpass(prompt, stream=sys.stderr)
        except (EOFError, OSError) as error:  # OSError: the terminal is gone
            _end_line()
            message = "cancelled at the question for a password"
            raise CancelledError(message) from error
        except getpass.GetPassWarning as error:
            message = "the terminal can't hide a password"
            hint = "use another terminal, or an option that reads the password from a file"
            raise QuestionError(message, hint=hint) from error
        except KeyboardInterrupt:
            _end_line()
            raise
    typed.encode()  # raises if a byte was no text
    return typed


def _end_line() -> None:
    with suppress(StreamError):
        Printer().question("")


def read_file(source: str, option: str) -> Secret:
    """Return the first line of a file, without its line end, or the password of an escrow file.

    An escrow file of `batch`, once decrypted, is a JSON document with the password in it.

    Args:
        source: the path, which may be a pipe; `-` is stdin.
        option: the option that named it, for the error message.

    Raises:
        UsageError: it can't be read, or is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    if source == _STDIN and is_interactive():
        return ask("Password")
    if source == _STDIN and sys.stdin is None:
        message = f"`{option}` names stdin, which is closed"
        raise UsageError(message)
    try:
        if source == _STDIN:
            data = _first_line(sys.stdin.buffer)
        else:
            with Path(source).open("rb") as file:
                data = _first_line(file)
        if len(data) > _MAX_BYTES:
            message = f"the first line of the `{option}` file is too long for a password"
            raise UsageError(message)
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except OSError as error:
        message = f"the `{option}` file can't be read: {reason(error)}"
        raise UsageError(message) from error
    except UnicodeDecodeError:
        # Without its cause, which holds the bytes.
        message = f"the password in the `{option}` file is not UTF-8"
        hint = "save the file as UTF-8, or as UTF-16 with a byte order mark"
        raise UsageError(message, hint=hint) from None
    escrowed = _escrowed(text)
    text = escrowed or text.partition("\n")[0].removesuffix("\r")
    if _NUL in text:
        message = f"the password in the `{option}` file contains a NUL character"
        raise UsageError(message, hint="save the file as UTF-8")
    return Secret(text)


def _first_line(file: BinaryIO) -> bytes:
    """Return the first line; more of JSON and of UTF-16, whose line end is not one byte."""
    data = file.readline(_MAX_BYTES + 1)
    more = data.startswith(_UTF_16) or data.strip() == _JSON_BEGINS
    return data + file.read(_MAX_BYTES) if more else data


def _escrowed(text: str) -> str | None:
    """Return the password in a decrypted escrow file; None if the text is something else."""
    if text.partition("\n")[0].strip() != _JSON_BEGINS.decode():
        return None
    try:
        document = json.loads(text)
    except ValueError:
        return None
    password = document.get("password")
    return password if "sha256" in document and isinstance(password, str) else None


def primary_password(source: str | None) -> Callable[[Profile, int], Secret | None]:
    """Return the function that gets a primary password: from the file, else from the terminal."""
    given = cache(lambda: read_file(source or "", "--primary-password-file"))

    def answer(profile: Profile, attempt: int) -> Secret | None:
        if source is not None:
            text = given().reveal()
            # `echo PASSWORD > FILE` in a Windows shell writes a blank at the end.
            texts = list(dict.fromkeys((text, text.rstrip(" "))))
            return Secret(texts[attempt]) if attempt < len(texts) else None
        if not is_interactive() or attempt == ATTEMPTS:
            return None
        again = "Wrong. " if attempt else ""
        return ask(f"{again}Primary password of profile `{profile.name}`")

    return answer


def recovery_password(source: str | None) -> Callable[[Path, int], Secret | None]:
    """Return the function that gets the recovery password of a Firefox backup."""

    def answer(path: Path, attempt: int) -> Secret | None:
        if source is not None:
            return read_file(source, "--recovery-password-file") if attempt == 0 else None
        if not is_interactive() or attempt == ATTEMPTS:
            return None
        return ask(f"{'Wrong. ' if attempt else ''}Recovery password of {path.name}")

    return answer


def of_backup(
    source: str | None, option: str, name: str = "Password"
) -> Callable[[Path, int], Secret | None]:
    """Return the function that gets a backup's password: from the file, else from the terminal.

    Args:
        source: the file given, or None.
        option: the option that takes it.
        name: what the question calls the password.
    """

    def answer(path: Path, attempt: int) -> Secret | None:
        if source is not None:
            return read_file(source, option) if attempt == 0 else None
        if attempt == ATTEMPTS:
            return None
        if not is_interactive():
            message = f"the password of `{path.name}` is needed"
            raise QuestionError(message, hint=f"give it with `{option} FILE`")
        return ask(f"{'Wrong. ' if attempt else ''}{name} of {path.name}")

    return answer


def new_password(warn: Callable[[str], None]) -> Secret:
    """Ask twice for the password of a new backup.

    Raises:
        QuestionError: there is no terminal to ask on.
        CancelledError: no two answers were the same, or the input ended.
    """
    if not is_interactive():
        message = "a backup password is needed"
        hint = "give it with `--password-file FILE`, or use `--generate-password`"
        raise QuestionError(message, hint=hint)
    for _ in range(ATTEMPTS):
        password = ask("New password for the backup")
        if (unusable := why_unusable(password)) is not None:
            warn(unusable)
        elif password.reveal() == ask("The same again").reveal():
            return password
        else:
            warn("the two passwords differ")
    message = "no backup password was chosen"
    raise CancelledError(message)


def why_unusable(password: Secret) -> str | None:
    """Return why a password must not be given to a new backup, or None."""
    if not password:
        return "an empty password is refused: Firefox and Windows can't use such a file"
    if any(unicodedata.category(character) == "Cc" for character in password.reveal()):
        return "a password with control characters is refused: other programs can't take it"
    return None


def trailing_blank(password: Secret) -> str | None:
    """Return what to say about a new password that ends in a blank, or None."""
    text = password.reveal()
    return "the backup password ends in a blank" if text != text.rstrip() else None


def check_one_source(
    *,
    password_file: str | None = None,
    generate: bool = False,
    primary: str | None = None,
    recovery: str | None = None,
) -> None:
    """Check that no password has two sources, and that stdin is not the source of two.

    Raises:
        UsageError: this is not so.
    """
    if password_file is not None and generate:
        message = "`--password-file` and `--generate-password` exclude each other"
        raise UsageError(message)
    if [password_file, primary, recovery].count(_STDIN) > 1:
        message = "two passwords can't be read from stdin"
        raise UsageError(message, hint="put one of them in a file that only you can read")


@dataclass(slots=True)
class NewBackup:
    """Where the password of a new backup comes from.

    Attributes:
        printer: gets the warnings, and a generated password.
        formats: there is one PFX writer for each.
        destination: where the files will be opened; None if unknown.
        rounds: of `--kdf-rounds`; None for the destination's number, or 600,000.
        password_file: the file of `--password-file`; None to ask.
        generate: whether to generate a password.
        mailed: whether the backup goes into a mail draft.
    """

    printer: Printer
    formats: tuple[Format, ...]
    destination: Destination | None = None
    rounds: int | None = None
    password_file: str | None = None
    generate: bool = False
    mailed: bool = False
    _started: PfxWriters | None = None

    def start_derivations(self) -> None:
        """Start deriving keys in the background, unless the password has to be asked for.

        They take as long as everything before the writing, so they start first.

        Raises:
            UsageError: the file can't be read, its password can't be used, or the rounds are out
                of range.
        """
        default = self.destination.rounds if self.destination else None
        self.rounds = checked_rounds(default if self.rounds is None else self.rounds)
        if self.generate:
            self._started = self._start(generate())
        elif self.password_file is not None:
            password = read_file(self.password_file, "--password-file")
            if (unusable := why_unusable(password)) is not None:
                raise UsageError(unusable)
            self._started = self._start(password)

    def writers(self, identity: Identity) -> PfxWriters:
        """Return the PFX writers; ask for the password first if it isn't known.

        Args:
            identity: what will be written; its names make bad passwords.
        """
        if self.generate and self._started is not None:
            # Before anything is written: a backup without its password is worthless.
            self.printer.generated_password(self._started.password)
            return self._started
        asked = self._started is None
        writers = self._started or self._start(new_password(self.printer.warn))
        if asked or self.mailed:
            weak = weakness(writers.password, identity.names)
            if weak is not None:
                self.printer.warn(weak)
        return writers

    @property
    def generated(self) -> Secret | None:
        """Return the generated password; None if a person knows the password anyway."""
        return self._started.password if self.generate and self._started else None

    def _start(self, password: Secret) -> PfxWriters:
        blank = trailing_blank(password)
        for warning in (
            *((blank,) if blank else ()),
            *password_warnings(self.destination, password),
        ):
            self.printer.warn(warning)
        return PfxWriters.start(password, self.formats, self.rounds)
