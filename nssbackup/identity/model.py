"""The values that the steps pass to one another: profile, private key, identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NoReturn

from nssbackup.identity.certificate import StoredCertificate
from nssbackup.secret import Secret

StoreKind = Literal["sqlite", "legacy"]
Signature = Literal["verified", "forged", "other", "unchecked"]
"""What the issuers at hand say about a certificate's signature.

"forged": an issuer with the name and the key identifier is there, and none of them made it (the
certificate may be damaged, too). "other": only the name is the same; an authority may have renewed
its key. "unchecked": there is no issuer, or the algorithm is unknown here.
"""


@dataclass(frozen=True, slots=True)
class Profile:
    """A folder that holds, or may hold, NSS databases.

    Attributes:
        path: the folder, absolute.
        name: what the application shows for it; the folder's name if no list names it.
        application: "Firefox", or what else the folder belongs to.
        default: whether the application starts with it.
        in_use: whether an application has it open now; None if unknown.
        store: which databases it holds.
        listed: whether a list or a group names it; otherwise a scan found it.
        last_used: when the application last started with it (seconds since 1970).
        closed: whether this user may not look into it.
        container: the file that the profile is in; `path` then goes on inside it.
        contents: the databases of a profile in a container, by their names.
    """

    path: Path
    name: str
    application: str
    default: bool = False
    in_use: bool | None = False
    store: StoreKind | None = None
    listed: bool = False
    last_used: float | None = None
    closed: bool = False
    container: Path | None = None
    contents: Mapping[str, bytes] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class FoundBackup:
    """A backup that Firefox made, as far as the name of the file tells.

    Attributes:
        path: the file.
        created: when.
        profile: the name of the profile.
    """

    path: Path
    created: datetime
    profile: str


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key as PKCS#8 PrivateKeyInfo DER (RFC 5208), and its public half.

    `public_key` is SubjectPublicKeyInfo, DER. Neither repr nor pickle reveals the key.
    """

    pkcs8: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    type: str
    bits: int

    def __reduce__(self) -> NoReturn:
        message = "a PrivateKey can't be pickled"
        raise TypeError(message)


@dataclass(frozen=True, slots=True)
class OrphanKey:
    """A private key without a certificate; `id` tells the keys of one store apart."""

    id: str
    type: str
    bits: int | None


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and the CA certificates of its chain that are at hand.

    Attributes:
        profile: where the certificate's key is; None for an identity from a file.
        chain: from its issuer towards the root; ends at what is missing.
        signature: whether its issuer signed it.
    """

    profile: Profile | None
    certificate: StoredCertificate
    chain: tuple[StoredCertificate, ...] = ()
    signature: Signature = "unchecked"

    @property
    def display_name(self) -> str:
        """What to call the identity."""
        return self.certificate.display_name

    @property
    def names(self) -> tuple[str | None, ...]:
        """The names in the certificate, which are the first guesses at a password."""
        certificate = self.certificate
        return (
            certificate.common_name,
            certificate.email,
            certificate.nickname,
            certificate.issuer_name,
            certificate.subject,
        )

    @property
    def chain_complete(self) -> bool:
        """Whether the chain ends at a self-issued certificate."""
        return (self.certificate, *self.chain)[-1].self_issued

    @property
    def wipo(self) -> bool:
        """Whether the issuer names WIPO: the word, or its full name."""
        return any(map(_names_wipo, self.certificate.issuer_fields))


def _names_wipo(value: str) -> bool:
    folded = value.casefold()
    words = "".join(c if c.isalnum() else " " for c in folded).split()
    full_name = "world intellectual property organization"
    return "wipo" in words or full_name in " ".join(folded.split())


PasswordFor = Callable[[Profile, int], "Secret | None"]
"""Asks for a profile's primary password on the n-th try (from 0); None if there is none to give."""
