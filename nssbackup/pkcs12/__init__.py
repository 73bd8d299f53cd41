"""PKCS#12: an identity to the bytes of a `.pfx`, and such bytes to what is in them.

Only the tables of `formats` are loaded with the package; writing and reading bring in the
cryptography they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nssbackup.pkcs12.formats import (
    COMPATIBLE,
    DESTINATIONS,
    FEWEST_ROUNDS,
    FORMATS,
    MODERN,
    Destination,
    Format,
    checked_rounds,
    destination_named,
    format_named,
    password_warnings,
)

if TYPE_CHECKING:
    from nssbackup.pkcs12.contents import (
        FoundCertificate,
        FoundKey,
        Pair,
        PfxContents,
        PfxDescription,
        Protection,
    )
    from nssbackup.pkcs12.read import describe, open_pfx
    from nssbackup.pkcs12.write import PfxWriter, PfxWriters, friendly_name_of

__all__ = [
    "COMPATIBLE",
    "DESTINATIONS",
    "FEWEST_ROUNDS",
    "FORMATS",
    "MODERN",
    "Destination",
    "Format",
    "FoundCertificate",
    "FoundKey",
    "Pair",
    "PfxContents",
    "PfxDescription",
    "PfxWriter",
    "PfxWriters",
    "Protection",
    "checked_rounds",
    "describe",
    "destination_named",
    "format_named",
    "friendly_name_of",
    "open_pfx",
    "password_warnings",
]

_LAZY = {
    "FoundCertificate": "contents",
    "FoundKey": "contents",
    "Pair": "contents",
    "PfxContents": "contents",
    "PfxDescription": "contents",
    "Protection": "contents",
    "PfxWriter": "write",
    "PfxWriters": "write",
    "describe": "read",
    "friendly_name_of": "write",
    "open_pfx": "read",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
