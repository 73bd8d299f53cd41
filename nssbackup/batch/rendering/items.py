"""Items: what the document says of one, whatever it says.

A fleet's document was made on other machines. Here a value that is missing or of another type
becomes an empty text, an unknown number or "no", and no reading of it fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_NOTHING: Mapping[str, object] = {}
# RFC 4514: `CN=` at the beginning of an attribute, `\` before what would end it.
_COMMON_NAME = re.compile(r"(?:^|[,+])\s*CN=((?:\\.|[^,+\\])*)", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([^0-9A-Fa-f])")
# More than anyone reads in one row; the document has them all.
_MOST_WARNINGS = 20


@dataclass(frozen=True, slots=True)
class Certificate:
    """The document's IDENTITY; what it does not say is empty or None."""

    common_name: str
    nickname: str
    email: str
    subject: str
    issuer: str
    serial: str
    sha1: str
    sha256: str
    not_before: str
    not_after: str
    ends: datetime | None
    status: str
    wipo: bool
    key_type: str
    key_bits: int | None
    chain_complete: bool

    @classmethod
    def read(cls, document: Mapping[str, object]) -> Certificate:
        """What an IDENTITY says."""
        key = mapping(document.get("key"))
        not_after = text(document, "not_after")
        return cls(
            common_name=text(document, "common_name"),
            nickname=text(document, "nickname"),
            email=text(document, "email"),
            subject=text(document, "subject"),
            issuer=text(document, "issuer"),
            serial=text(document, "serial"),
            sha1=text(document, "sha1"),
            sha256=text(document, "sha256"),
            not_before=text(document, "not_before"),
            not_after=not_after,
            ends=moment(not_after),
            status=text(document, "status"),
            wipo=document.get("wipo") is True,
            key_type=text(key, "type"),
            key_bits=number(key, "bits"),
            chain_complete=document.get("chain_complete") is True,
        )

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.common_name or self.nickname or self.subject or self.sha256

    @property
    def issuer_name(self) -> str:
        """The issuer's common name; all of its name where there is none."""
        found = _COMMON_NAME.search(self.issuer)
        return _ESCAPED.sub(r"\1", found[1]).strip() if found else self.issuer


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an item failed."""

    status: int | None
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a report; what the document does not say is empty or None."""

    status: str
    host: str
    user: str
    home: str
    application: str
    profile: str
    profile_name: str
    certificate: Certificate | None
    file: str
    sha256: str
    size: int | None
    expiring: bool
    warnings: tuple[str, ...]
    problem: Problem | None

    @classmethod
    def read(cls, document: object) -> Item:
        """What one of the document's items says."""
        item = mapping(document)
        identity, error = mapping(item.get("identity")), mapping(item.get("error"))
        return cls(
            status=text(item, "status"),
            host=text(item, "host"),
            user=text(item, "user"),
            home=text(item, "home"),
            application=text(item, "application"),
            profile=text(item, "profile"),
            profile_name=text(item, "profile_name"),
            certificate=Certificate.read(identity) if identity else None,
            file=text(item, "file"),
            sha256=text(item, "sha256"),
            size=number(item, "bytes"),
            expiring=item.get("expiring") is True,
            warnings=tuple(str(each) for each in sequence(item.get("warnings"))[:_MOST_WARNINGS]),
            problem=_problem(error) if error else None,
        )

    @property
    def failed(self) -> bool:
        """Whether it is one of the failures."""
        return self.status == "failed"


def _problem(error: Mapping[str, object]) -> Problem:
    return Problem(
        number(error, "status"), text(error, "code"), text(error, "message"), text(error, "hint")
    )


def mapping(value: object) -> Mapping[str, object]:
    """An object of the document; empty where it is none."""
    return value if isinstance(value, Mapping) else _NOTHING


def sequence(value: object) -> Sequence[object]:
    """An array of the document; empty where it is none."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def text(document: Mapping[str, object], key: str) -> str:
    """A text of the document; empty where there is none."""
    value = document.get(key)
    return "" if value is None else str(value)


def number(document: Mapping[str, object], key: str) -> int | None:
    """A whole number of the document; None where there is none."""
    value = document.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def moment(said: str) -> datetime | None:
    """An RFC 3339 time, in UTC; None where the text is none."""
    try:
        time = datetime.fromisoformat(said)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
