"""Passwords: from a terminal, from a file, or made up; never from an argument or variable."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nssbackup import strength
from nssbackup.errors import CancelledError, QuestionError, UsageError
from nssbackup.secret import Secret

if TYPE_CHECKING:
    from nssbackup.model import Profile

_STDIN = "-"
_MAX_BYTES = 64 * 1024
ATTEMPTS = 3


def is_interactive() -> bool:
    """Whether questions can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(prompt: str) -> Secret:
    """Ask for a password without showing it.

    Raises:
        CancelledError: the input ended.
        QuestionError: the terminal can't hide what is typed.
    """
    import getpass

    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return Secret(getpass.getpass(f"{prompt}: ", stream=sys.stderr))
        except EOFError as error:
            message = "cancelled at the question for a password"
            raise CancelledError(message) from error
        except getpass.GetPassWarning as error:
            message = "the terminal can't hide a password"
            raise QuestionError(message) from error


def read_file(source: str, option: str) -> Secret:
    """The first line of a file, or of stdin for `-`, without its line end.

    Args:
        source: the path; a pipe is fine.
        option: the option that named it, for the message of an error.

    Raises:
        UsageError: it can't be read or is not UTF-8.
    """
    try:
        if source == _STDIN:
            if is_interactive():
                return ask("Password")
            data = sys.stdin.buffer.readline(_MAX_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.readline(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            message = f"the first line of the file of `{option}` is too long for a password"
            raise UsageError(message)
        # Windows editors put a byte order mark in front.
        return Secret(data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r"))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        message = f"the file of `{option}` can't be read: {reason}"
        raise UsageError(message) from error
    except UnicodeDecodeError:
        # Without its cause: that one holds the bytes.
        message = f"the password in the file of `{option}` is not UTF-8"
        raise UsageError(message) from None


def generate() -> Secret:
    """See `strength.generate`."""
    return strength.generate()


def primary_password(source: str | None) -> Callable[[Profile, int], Secret | None]:
    """Where the primary password comes from: the file, else the terminal, else nowhere."""

    def answer(profile: Profile, attempt: int) -> Secret | None:
        if source is not None:
            option = "--primary-password-file"
            return read_file(source, option) if attempt == 0 else None
        if not is_interactive() or attempt == ATTEMPTS:
            return None
        again = "" if attempt == 0 else "Wrong. "
        return ask(f"{again}Primary password of profile `{profile.name}`")

    return answer


def of_backup(
    source: str | None, option: str, name: str = "Password"
) -> Callable[[Path, int], Secret | None]:
    """Where the password that a backup has comes from: the file, else the terminal.

    Args:
        source: the path that was given, or None.
        option: the option that takes it.
        name: what it is called where it is asked for.
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


def new_backup_password(warn: Callable[[str], None]) -> Secret:
    """Ask for a new backup password, twice.

    Raises:
        QuestionError: there is no terminal to ask on.
        CancelledError: no two answers were alike, or the input ended.
    """
    if not is_interactive():
        message = "a backup password is needed"
        hint = "give it with `--password-file FILE`, or let one be made with `--generate-password`"
        raise QuestionError(message, hint=hint)
    for _ in range(ATTEMPTS):
        password = ask("New password for the backup")
        if not password:
            warn("an empty password is refused: Firefox and Windows can't use such a file")
        elif password.reveal() == ask("The same again").reveal():
            return password
        else:
            warn("the two passwords differ")
    message = "no backup password was settled on"
    raise CancelledError(message)


def check_one_source(*, password_file: str | None, generate: bool, primary: str | None) -> None:
    """Refuse two sources for one password, and one stdin for two.

    Raises:
        UsageError: there are.
    """
    if password_file is not None and generate:
        message = "`--password-file` and `--generate-password` exclude each other"
        raise UsageError(message)
    if password_file == _STDIN == primary:
        message = "both passwords can't be read from stdin"
        raise UsageError(message, hint="put one of them into a file that only you can read")


def weakness(password: Secret) -> str | None:
    """See `strength.weakness`."""
    return strength.weakness(password)
