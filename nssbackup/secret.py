"""Secret: a password that can't be shown by accident; a new one, and what is weak about one."""

from __future__ import annotations

import math
from typing import NoReturn

# What a person's password should be worth at least; with 600,000 rounds a guess costs about a
# quarter of a second of one processor.
_WEAK_BITS = 60

# 31 characters that look unlike one another in every font: 28 of them make 138 bits.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_GENERATED = 28
_GROUP = 4


class Secret:
    """A password as Unicode text; `reveal` is the only way to it.

    Its repr, str and format are `***`, it can't be pickled or copied into a log record by an
    f-string, and two secrets compare equal only by identity (nothing here is a timing oracle).
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The password itself."""
        return self._text

    def __bool__(self) -> bool:
        """Whether there is a password at all: the empty one is falsy."""
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, _spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        message = "a Secret can't be pickled"
        raise TypeError(message)


def generate() -> Secret:
    """A password of 138 bits that is easy to type, as in `k3v9-...`."""
    import secrets  # slow to load, and most commands make no password

    text = "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED))
    return Secret("-".join(text[i : i + _GROUP] for i in range(0, _GENERATED, _GROUP)))


def weakness(password: Secret) -> str | None:
    """Why a password is easy to guess, or None. A rough measure: length times kinds of letters.

    Nothing is said of an empty one, which is refused.
    """
    text = password.reveal()
    if not text:
        return None
    kinds = (
        (str.islower, 26),
        (str.isupper, 26),
        (str.isdigit, 10),
        (lambda c: c.isascii() and not c.isalnum(), 33),
        (lambda c: not c.isascii(), 100),
    )
    size = sum(count for is_kind, count in kinds if any(map(is_kind, text)))
    # A letter that was there before adds little, and one that is there all the time nothing.
    different = len(set(text))
    letters = different + min((len(text) - different) / 4, different)
    if letters * math.log2(size) >= _WEAK_BITS:
        return None
    return "the backup password is easy to guess: take a longer one, such as four random words"
