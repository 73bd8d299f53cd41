"""Secret: a password that can't be shown by accident; making one, and judging one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

# 31 characters that look different in every font: 28 of them make 138 bits.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_GENERATED = 28
_GROUP = 4

# zxcvbn scores 0 to 4; 4 means more than 10^10 guesses. It raises an error above 72 characters.
_STRONG = 4
_JUDGED = 72


class Secret:
    """A password as Unicode text; only `reveal` returns it.

    Its repr, str and format are `***`, it can't be pickled or copied, and two secrets are equal
    only if they are the same object, so that comparing them tells nothing about their text.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the password itself."""
        return self._text

    def __bool__(self) -> bool:
        """Return whether the password has any characters."""
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
    """Return a new password of 138 bits that is easy to type, such as `k3v9-...`."""
    import secrets  # 18 ms, and few commands make a password

    text = "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED))
    return Secret("-".join(text[i : i + _GROUP] for i in range(0, _GENERATED, _GROUP)))


def weakness(password: Secret, known: Iterable[str | None] = ()) -> str | None:
    """Return why a password is easy to guess, or None if it isn't.

    Args:
        password: the password; an empty one is refused elsewhere, and not judged here.
        known: names that a guesser would try first, such as those in the certificate.
    """
    if not password:
        return None
    from zxcvbn import zxcvbn  # 30 ms, and needed only when a person types a password

    names = [name for name in known if name]
    words = [word for name in names for word in re.split(r"[\W_]+", name) if word]
    if zxcvbn(password.reveal()[:_JUDGED], user_inputs=[*names, *words])["score"] >= _STRONG:
        return None
    return "the backup password is easy to guess: use a longer one, such as four random words"
