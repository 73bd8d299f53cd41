"""Strength: whether a password that a person chose is easy to guess, and one that can't be."""

from __future__ import annotations

import math

from nssbackup.secret import Secret

# What a person's password should be worth at least; with 600,000 rounds a guess costs about a
# quarter of a second of one processor.
_WEAK_BITS = 60

# 31 characters that look unlike one another in every font: 28 of them make 138 bits.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_GENERATED = 28
_GROUP = 4


def generate() -> Secret:
    """A password of 138 bits that is easy to type, as in `k3v9-...`."""
    import secrets  # loads hashes, which a command without a password to make has no use for

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
