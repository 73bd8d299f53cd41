"""Secret: a password that can't be shown by accident."""

from __future__ import annotations

from typing import NoReturn


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
