"""Passwords: from a terminal, from a file, or made up; never from an argument or variable."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nssbackup import secret
from nssbackup.cli.output import Output, StreamError
from nssbackup.errors import CancelledError, QuestionError, UsageError, reason
from nssbackup.printable import printable
from nssbackup.secret import Secret

if TYPE_CHECKING:
    from nssbackup.identity.model import Profile

_STDIN = "-"
_NUL = "\0"  # where a password ends for a program in C
_NO_TEXT = "\nThat can't be a password: not all of it is text. "
_MAX_BYTES = 64 * 1024
ATTEMPTS = 3


def is_interactive() -> bool:
    """Whether questions can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and _is_answered(sys.stdin.fileno())


def is_console(kernel32: Any, handle: int) -> bool:  # noqa: ANN401 - a library has no type
    """Whether a handle of Windows is one of a console, which alone has a mode.

    To Python every character device is a terminal, NUL too (bpo-28654).
    learn.microsoft.com, "GetConsoleMode".

    Args:
        kernel32: the library of that name.
        handle: the handle.
    """
    import ctypes

    mode_of = kernel32.GetConsoleMode
    mode_of.restype = ctypes.c_int
    mode_of.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32)]
    return bool(mode_of(handle, ctypes.byref(ctypes.c_uint32())))


if sys.platform == "win32":

    def _is_answered(descriptor: int) -> bool:
        import ctypes
        import msvcrt

        return is_console(ctypes.WinDLL("kernel32"), msvcrt.get_osfhandle(descriptor))

else:

    def _is_answered(descriptor: int) -> bool:
        """Whether somebody may answer on what Python calls a terminal."""
        del descriptor
        return True


def ask(prompt: str) -> Secret:
    """Ask for a password without showing it; again where what was typed is no text.

    Raises:
        CancelledError: the input ended, or was never text.
        QuestionError: the terminal can't hide what is typed.
    """
    for attempt in range(ATTEMPTS):
        with suppress(UnicodeError):  # which holds what was typed, and must be no error's cause
            typed = _typed(f"{_NO_TEXT if attempt else ''}{printable(prompt)}: ")
            if _NUL not in typed:
                return Secret(typed)
    message = "what was typed as a password is not all text"
    hint = "see to it that the terminal sends the encoding of the locale, such as UTF-8"
    raise CancelledError(message, hint=hint)


def _typed(prompt: str) -> str:
    import getpass

    from nssbackup.cli.echo import echo_put_back

    with warnings.catch_warnings(), echo_put_back():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            typed = getpass.getpass(prompt, stream=sys.stderr)
        except (EOFError, OSError) as error:  # OSError: the terminal is gone
            _end_line()
            message = "cancelled at the question for a password"
            raise CancelledError(message) from error
        except getpass.GetPassWarning as error:
            message = "the terminal can't hide a password"
            raise QuestionError(message) from error
        except KeyboardInterrupt:
            _end_line()
            raise
    # Windows gives what lies beyond 16 bits in halves; a half alone is a byte that was no text.
    return typed.encode("utf-16", "surrogatepass").decode("utf-16")


def _end_line() -> None:
    """Leave the line of a question that got no answer."""
    with suppress(StreamError):
        Output().question("")


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
            if sys.stdin is None:
                message = f"`{option}` names stdin, and that is closed"
                raise UsageError(message)
            data = sys.stdin.buffer.readline(_MAX_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.readline(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            message = f"the first line of the file of `{option}` is too long for a password"
            raise UsageError(message)
        # Windows editors put a byte order mark in front.
        text = data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
        if _NUL in text:
            message = f"the password in the file of `{option}` holds a NUL character"
            raise UsageError(message, hint="save the file as UTF-8")
        return Secret(text)
    except OSError as error:
        message = f"the file of `{option}` can't be read: {reason(error)}"
        raise UsageError(message) from error
    except UnicodeDecodeError:
        # Without its cause: that one holds the bytes.
        message = f"the password in the file of `{option}` is not UTF-8"
        raise UsageError(message) from None


def generate() -> Secret:
    """See `secret.generate`."""
    return secret.generate()


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
