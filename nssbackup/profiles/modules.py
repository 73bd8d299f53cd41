r"""The PKCS#11 modules of a profile: what its `pkcs11.txt` has NSS load beside its own.

A smart card or USB token is used through such a module, and its private keys are in no profile.
The file is only looked at: no module is ever loaded, and the paths to databases in it are not
believed, as they go wrong when a profile is copied.

The format is that of nss-dev/nss:lib/util/utilmod.c (nssutil_ReadSecmodDB): stanzas of lines
`key=value`, ended by an empty line; `#` in column 0 makes a comment; a value runs to the end of its
line, or is in `"` with `\\` before what is meant literally (lib/util/utilpars.c); letter case of a
key doesn't count; a line of `NSS=` with the word "internal" in it marks NSS's own module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from nssbackup.system.reading import read_text

FILE = "pkcs11.txt"

# One with three modules has 2 KiB; NSS itself cuts lines at 2 KiB.
SIZE_LIMIT = 1 << 20

# What is no smart card: the CA certificates that NSS or p11-kit bring along, NSS's own software
# token, and the two by which Firefox shows the certificates of Windows and macOS
# (mozilla/gecko-dev:security/certverifier/NSSCertDBTrustDomain.cpp).
_OWN = ("nssckbi", "p11-kit-trust", "softokn3", "osclientcerts", "ipcclientcerts")

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Module:
    """A PKCS#11 module: the name it was added under, and its library, most often a path."""

    name: str
    library: str


def third_party_modules(folder: Path) -> tuple[Module, ...]:
    """The modules that reach smart cards and tokens; () where there is no list to be read."""
    return tuple(
        Module(stanza.get("name", ""), stanza["library"])
        for stanza in _stanzas(read_text(folder / FILE, SIZE_LIMIT))
        if stanza.get("library")
        and "internal" not in stanza.get("nss", "")
        # Windows paths are split at both separators, so they stand for all.
        and not any(own in PureWindowsPath(stanza["library"]).name.casefold() for own in _OWN)
    )


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """The stanzas as their keys in lower case and values, of a repeated key the first."""
    stanza: dict[str, str] = {}
    for line in (*text.replace("\r\n", "\n").split("\n"), ""):
        if line.startswith("#"):
            continue
        if not line:
            if stanza:
                yield stanza
            stanza = {}
            continue
        key, _, value = line.partition("=")
        stanza.setdefault(key.casefold(), _unquoted(value))


def _unquoted(value: str) -> str:
    if quoted := _QUOTED.match(value):
        return _ESCAPE.sub(r"\1", quoted[1])
    return value.strip()
