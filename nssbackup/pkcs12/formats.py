"""The formats of a PFX (how it is encrypted), and which destination opens which."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from nssbackup.errors import UsageError
from nssbackup.pkcs12.kdf import Hash
from nssbackup.secret import Secret

# Windows imports at most 600,000 rounds, which is why NSS stops there (commit 5defcbf2a). OpenSSL
# writes 2,048, and no current program writes less.
MOST_ROUNDS = 600_000
FEWEST_ROUNDS = 2_048


@dataclass(frozen=True, slots=True)
class Format:
    """A way to encrypt a PFX.

    `name` is the value of `--format`; `encryption` and `mac` are the names that the reader gives.
    """

    name: str
    scheme: Literal["pbes2-aes-256", "pbe-sha1-3des"]
    mac_hash: Hash
    encryption: str
    mac: str


# What pk12util and Firefox write since NSS 3.65 for the key, here for the certificates too.
MODERN = Format(
    name="modern",
    scheme="pbes2-aes-256",
    mac_hash="sha256",
    encryption="AES-256-CBC, PBKDF2-HMAC-SHA-256",
    mac="HMAC-SHA-256",
)
# The best that old Windows and macOS open, and with all rounds: from Firefox 60 to 84 (NSS 3.37 to
# 3.64) every backup had 600,000 with this key encryption and MAC, and Windows 7 and the macOS
# Keychain imported them.
COMPATIBLE = Format(
    name="compatible",
    scheme="pbe-sha1-3des",
    mac_hash="sha1",
    encryption="3DES (PBE-SHA1)",
    mac="HMAC-SHA-1",
)
FORMATS = MappingProxyType({each.name: each for each in (MODERN, COMPATIBLE)})


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a PFX will be opened.

    Attributes:
        name: the value of `--for`.
        title: the name in words, for help and questions.
        formats: the formats it opens; more than one means a file of each.
        rounds: how many rounds to write by default.
        ascii_warning: the warning for a password that isn't ASCII, or None.
    """

    name: str
    title: str
    formats: tuple[Format, ...]
    rounds: int = MOST_ROUNDS
    ascii_warning: str | None = None


# Measured with a file of each format and `Pässwörd`: Java 17 opens neither ("Password is not
# ASCII"); Java 25 opens the modern one and not the compatible one ("Given final block not properly
# padded"). OpenSSL and `cryptography` open both. Java before 17 was not at hand.
_JAVA_WARNING = "Java 17 and older can't open a PFX whose password is not plain ASCII"
_OLD_JAVA_WARNING = "Java can't open a compatible PFX whose password is not plain ASCII"

_ALL = (
    Destination("windows", "Windows 10 1709, Windows Server 2019 and later", (MODERN,)),
    Destination("firefox", "Firefox, Thunderbird and NSS", (MODERN,)),
    Destination("openssl", "OpenSSL 1.1 and later", (MODERN,)),
    Destination("java", "Java 8u301 and later", (MODERN,), ascii_warning=_JAVA_WARNING),
    # Pkcs12LoaderLimits: 300,000 rounds for each key derivation and the MAC, 1,000,000 in all
    # (dotnet/runtime, src/libraries/Common/src/System/Security/Cryptography/X509Certificates).
    Destination("dotnet", ".NET 9 and later (X509CertificateLoader)", (MODERN,), rounds=300_000),
    Destination("windows-old", "Windows before 10 1709, Server 2016 and older", (COMPATIBLE,)),
    Destination("macos", "macOS Keychain", (COMPATIBLE,)),
    Destination("ios", "iPhone and iPad", (COMPATIBLE,)),
    Destination("java-old", "Java before 8u301", (COMPATIBLE,), ascii_warning=_OLD_JAVA_WARNING),
    Destination("pct-safe", "PCT-SAFE", (COMPATIBLE,)),
    Destination(
        "any",
        "not known yet: one file of each format",
        (MODERN, COMPATIBLE),
        ascii_warning=_JAVA_WARNING,
    ),
)
DESTINATIONS = MappingProxyType({each.name: each for each in _ALL})


def format_named(name: str) -> Format:
    """Return the format of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in FORMATS:
        message = f"there is no format `{name}`"
        raise UsageError(message, hint=f"the formats are {', '.join(FORMATS)}")
    return FORMATS[name]


def destination_named(name: str) -> Destination:
    """Return the destination of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in DESTINATIONS:
        begun = [one for one in DESTINATIONS if one.startswith(name.casefold())]
        near = begun or get_close_matches(name.casefold(), DESTINATIONS, 1)
        meant = f"did you mean `{near[0]}`? " if near else ""
        message = f"there is no destination `{name}`"
        raise UsageError(message, hint=f"{meant}the destinations are {', '.join(DESTINATIONS)}")
    return DESTINATIONS[name]


def checked_rounds(rounds: int | None) -> int:
    """Return the rounds to write: those asked for, or 600,000.

    Raises:
        UsageError: they are not between 2,048 and 600,000.
    """
    if rounds is None:
        return MOST_ROUNDS
    if not FEWEST_ROUNDS <= rounds <= MOST_ROUNDS:
        message = f"{rounds:,} rounds are not between {FEWEST_ROUNDS:,} and {MOST_ROUNDS:,}"
        raise UsageError(message)
    return rounds


def password_warnings(destination: Destination | None, password: Secret) -> tuple[str, ...]:
    """Return what to warn of before a file for `destination` is written with this password."""
    if destination is None or destination.ascii_warning is None or password.reveal().isascii():
        return ()
    return (destination.ascii_warning,)
