"""Questions: lines of text and numbered answers, for any terminal and for a screen reader."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nssbackup.cli.output import Output
from nssbackup.cli.tables import identity_table
from nssbackup.errors import CancelledError
from nssbackup.identity.choosing import Select
from nssbackup.identity.model import Identity

_YES_OR_NO = {"y": True, "yes": True, "n": False, "no": False}


def select(output: Output) -> Select:
    """A question which of several identities is meant."""

    def ask(identities: Sequence[Identity], reason: str) -> Identity:
        output.question(f"{reason[:1].upper()}{reason[1:]}:")
        columns, rows = identity_table(identities)
        numbered = [(str(number), *row) for number, row in enumerate(rows, 1)]
        output.table(("", *columns), numbered, data=False)
        return identities[_number(output, len(identities)) - 1]

    return ask


def line(output: Output, prompt: str, subject: str) -> str:
    """One line of text, without the blanks around it.

    Args:
        output: where the question is shown.
        prompt: the question.
        subject: what the question is about, for the message of the error.

    Raises:
        CancelledError: the input ended.
    """
    # A name may have letters that this terminal's encoding has not; changed before the first read.
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None and sys.stdin.errors != "surrogateescape":
        reconfigure(errors="surrogateescape")
    output.question(f"{prompt} ", end="")
    try:
        typed = sys.stdin.readline()
    except OSError:  # the terminal is gone
        typed = ""
    except KeyboardInterrupt:
        output.question("")
        raise
    if not typed:
        output.question("")
        message = f"cancelled at the question for {subject}"
        raise CancelledError(message)
    return typed.strip()


def pick(
    output: Output, options: Sequence[str], prompt: str, subject: str, default: int | None = None
) -> int | str:
    """The option that was picked from a numbered list, by its index, or the text typed instead.

    Args:
        output: where the question is shown.
        options: one line each.
        prompt: what to type; the default is put behind it.
        subject: what the question is about, for the message of an error.
        default: what an empty answer means; None for cancelling.

    Raises:
        CancelledError: the input ended, or nothing was typed and there is no default.
    """
    for number, option in enumerate(options, 1):
        output.question(f"  {number}  {option}")
    enter = "empty to cancel" if default is None else f"Enter for {default + 1}"
    while True:
        answer = line(output, f"{prompt} ({enter}):", subject)
        if not answer and default is None:
            message = f"cancelled at the question for {subject}"
            raise CancelledError(message)
        if not answer and default is not None:
            return default
        if not answer.isascii() or not answer.isdecimal():
            return answer
        if options and 1 <= int(answer) <= len(options):
            return int(answer) - 1
        output.question(f"There is no {answer} to choose here.")


def agreed(output: Output, question: str, subject: str, *, default: bool) -> bool:
    """The answer to a question for yes or no.

    Raises:
        CancelledError: the input ended.
    """
    choices = "[Y/n]" if default else "[y/N]"
    while True:
        answer = line(output, f"{question} {choices}", subject).casefold()
        if not answer:
            return default
        if answer in _YES_OR_NO:
            return _YES_OR_NO[answer]
        output.question("Please type y for yes or n for no.")


def _number(output: Output, most: int) -> int:
    subject = "the choice of a certificate"
    while True:
        answer = line(output, f"Which one? (1-{most}, empty to cancel)", subject)
        if not answer:
            message = "cancelled at the choice of a certificate"
            raise CancelledError(message)
        if answer.isascii() and answer.isdecimal() and 1 <= int(answer) <= most:
            return int(answer)
