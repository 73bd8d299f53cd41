"""PKCS#12: from an identity to the bytes of a `.pfx`, and from such bytes to what is in them."""

from __future__ import annotations

from nssbackup.pkcs12.contents import (
    FoundCertificate,
    FoundKey,
    Pair,
    PfxContents,
    PfxDescription,
    Protection,
)
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
from nssbackup.pkcs12.read import describe, open_pfx
from nssbackup.pkcs12.write import (
    PfxEntry,
    PfxWriter,
    PfxWriters,
    entries_of,
    friendly_name_of,
    issuers_of,
)

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
    "PfxEntry",
    "PfxWriter",
    "PfxWriters",
    "Protection",
    "checked_rounds",
    "describe",
    "destination_named",
    "entries_of",
    "format_named",
    "friendly_name_of",
    "issuers_of",
    "open_pfx",
    "password_warnings",
]
