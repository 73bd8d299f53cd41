"""Questions: lines of text and numbered answers, for any terminal and for a screen reader."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nssbackup.cli.printer import Printer
from nssbackup.cli.tables import identity_lines, identity_table
from nssbackup.errors import CancelledError, QuestionError

if TYPE_CHECKING:
    from nssbackup.identity.choosing import Select
    from nssbackup.identity.model import Identity, Profile

_YES_OR_NO = {"y": True, "yes": True, "n": False, "no": False}


def is_interactive() -> bool:
    """Return whether questions can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and _is_console(sys.stdin.fileno())


if sys.platform == "win32":
    import ctypes
    import msvcrt

    _ECHO = 0x4
    _get_mode = ctypes.WinDLL("kernel32").GetConsoleMode
    _get_mode.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32)]
    _set_mode = ctypes.WinDLL("kernel32").SetConsoleMode
    _set_mode.argtypes = [ctypes.c_void_p, ctypes.c_uint32]

    def _is_console(descriptor: int) -> bool:
        """Return whether a descriptor is a console, which alone has a mode (GetConsoleMode).

        To Python every character device is a terminal, even NUL (bpo-28654).
        """
        handle = msvcrt.get_osfhandle(descriptor)
        return bool(_get_mode(handle, ctypes.byref(ctypes.c_uint32())))

    def read_hidden(prompt: str) -> str:
        """Return a line that the console does not show, typed with the console's own editing.

        `getpass` would read key by key, and take Left or Delete for characters.

        Raises:
            EOFError: the input ended.
            OSError: the console can't hide it, or is gone.
        """
        printer = Printer()
        printer.question(prompt, end="")
        handle, mode = msvcrt.get_osfhandle(sys.stdin.fileno()), ctypes.c_uint32()
        if not _get_mode(handle, ctypes.byref(mode)) or not _set_mode(handle, mode.value & ~_ECHO):
            raise ctypes.WinError()
        try:
            typed = sys.stdin.readline()
        finally:
            _set_mode(handle, mode.value)
        printer.question("")
        if not typed:
            raise EOFError
        return typed.removesuffix("\n")

else:

    def _is_console(descriptor: int) -> bool:
        del descriptor
        return True


def line(printer: Printer, prompt: str, subject: str) -> str:
    """Return the line typed, without the blanks around it.

    Args:
        printer: shows the question.
        prompt: the question.
        subject: what it is about, for the error message.

    Raises:
        CancelledError: the input ended.
    """
    # A name may hold characters that the terminal's encoding lacks.
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None and sys.stdin.errors != "surrogateescape":
        reconfigure(errors="surrogateescape")
    printer.question(f"{prompt} ", end="")
    try:
        typed = sys.stdin.readline()
    except OSError:  # the terminal is gone
        typed = ""
    except KeyboardInterrupt:
        printer.question("")
        raise
    if not typed:
        printer.question("")
        raise _cancelled(subject)
    return typed.strip()


def pick(
    printer: Printer, options: Sequence[str], prompt: str, subject: str, default: int | None = None
) -> int | str:
    """Return the index of the option picked from a numbered list, or the text typed instead.

    Args:
        printer: shows the question.
        options: one line each.
        prompt: what to type; the default is added to it.
        subject: what the question is about, for the error message.
        default: the index that an empty answer means; None if it means cancelling.

    Raises:
        CancelledError: the input ended, or nothing was typed and there is no default.
    """
    for number, option in enumerate(options, 1):
        printer.question(f"  {number}  {option}")
    return _number_or_text(printer, len(options), prompt, subject, default)


def _number_or_text(
    printer: Printer, count: int, prompt: str, subject: str, default: int | None = None
) -> int | str:
    enter = "Enter to cancel" if default is None else f"Enter for {default + 1}"
    while True:
        answer = line(printer, f"{prompt} ({enter}):", subject)
        if not answer:
            if default is None:
                raise _cancelled(subject)
            return default
        if not (answer.isascii() and answer.isdecimal()):
            return answer
        if 1 <= int(answer) <= count:
            return int(answer) - 1
        printer.question(f"There is no number {answer} in the list.")


def agreed(printer: Printer, question: str, subject: str, *, default: bool) -> bool:
    """Return the answer to a yes-or-no question.

    Raises:
        CancelledError: the input ended.
    """
    choices = "[Y/n]" if default else "[y/N]"
    while True:
        answer = line(printer, f"{question} {choices}", subject).casefold()
        if not answer:
            return default
        if answer in _YES_OR_NO:
            return _YES_OR_NO[answer]
        printer.question("Please type y for yes or n for no.")


def select_on(printer: Printer, single: str = "Back this one up?") -> Select | None:
    """Return the function that asks which certificate is meant; None without a terminal.

    Args:
        printer: shows the question.
        single: what to ask if there is only one.
    """
    if not is_interactive():
        return None

    def ask(identities: Sequence[Identity], reason: str) -> Identity:
        printer.question(f"{reason[:1].upper()}{reason[1:]}.")
        subject = "the choice of a certificate"
        if len(identities) == 1:
            for each in identity_lines(identities[0]):
                printer.question(each)
            if agreed(printer, single, subject, default=True):
                return identities[0]
            raise _cancelled(subject)
        columns, rows = identity_table(identities)
        numbered = [(str(number), *row) for number, row in enumerate(rows, 1)]
        printer.table((("", *columns), numbered), data=False)
        while True:
            answer = _number_or_text(printer, len(identities), "Which one?", subject)
            if isinstance(answer, int):
                return identities[answer]
            printer.question("Please type the number of a row.")

    return ask


def choose_profile(printer: Printer, profiles: Sequence[Profile]) -> Profile:
    """Return the one profile to restore to.

    Raises:
        QuestionError: there are several, and no terminal to ask on.
        CancelledError: the question was left unanswered.
    """
    if len(profiles) == 1:
        return profiles[0]
    if not is_interactive():
        names = ", ".join(f"`{one.path}`" for one in profiles)
        message = f"several profiles may be meant: {names}"
        raise QuestionError(message, hint="name one by its folder with `--profile PATH`")
    printer.question("There are several profiles to restore to:")
    options = [f"{one.name} ({one.application}, {one.path})" for one in profiles]
    while True:
        answer = pick(printer, options, "Which one?", "the choice of a profile")
        if isinstance(answer, int):
            return profiles[answer]
        named = [one for one in profiles if answer in (one.name, one.path.name)]
        if len(named) == 1:
            return named[0]
        printer.question(f"`{answer}` is not in the list.")


def _cancelled(subject: str) -> CancelledError:
    return CancelledError(f"cancelled at the question for {subject}")
