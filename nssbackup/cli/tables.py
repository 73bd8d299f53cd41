"""Tables and lines: profiles and identities as rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nssbackup.printable import printable

if TYPE_CHECKING:
    from nssbackup.identity.certificate import StoredCertificate
    from nssbackup.identity.model import Identity
    from nssbackup.report import ProfilesReport

Table = tuple[Sequence[str], Iterable[Sequence[str]]]
"""The names of the columns, and the rows."""

# As many digits as tell a person's certificates apart beyond doubt.
FINGERPRINT_DIGITS = 16
_COLUMNS = ("Name", "Issuer", "Usage", "Valid until", "Private key", "Fingerprint")
# Key usage (RFC 5280, section 4.2.1.3) in the words of a person who has two certificates.
_USAGES = {
    "digitalSignature": "signature",
    "nonRepudiation": "signature",
    "keyEncipherment": "encryption",
    "dataEncipherment": "encryption",
    "keyAgreement": "encryption",
    "keyCertSign": "issuing",
    "cRLSign": "issuing",
}
# A name in X.520 has up to 64 characters. Drawing one of a megabyte would take seconds.
_LONGEST_NAME = 100


def profile_table(report: ProfilesReport) -> Table:
    """Return the profiles as a table."""
    words = {True: "yes", False: "no", None: "?"}
    return ("Application", "Profile", "Notes", "Primary password", "Path"), [
        (
            entry.profile.application,
            _shortened(entry.profile.name),
            ", ".join(
                note
                for note, holds in (
                    ("default", entry.profile.default),
                    ("in use", entry.profile.in_use is True),
                    ("perhaps in use", entry.profile.in_use is None),
                    ("legacy databases", entry.profile.store == "legacy"),
                    ("no certificates", entry.profile.store is None),
                )
                if holds
            ),
            words[entry.primary_password] if entry.profile.store else "",
            str(entry.profile.path),
        )
        for entry in report.entries
    ]


def identity_table(identities: Iterable[Identity]) -> Table:
    """Return identities as a table, with their profiles."""
    return (*_COLUMNS, "Profile"), [
        (*_cells(identity), _shortened(identity.profile.name) if identity.profile else "")
        for identity in identities
    ]


def candidate_table(identities: Iterable[Identity]) -> Table:
    """Return identities to choose among as a table, each with the fingerprint that names it."""
    return _COLUMNS, [_cells(identity) for identity in identities]


def _cells(identity: Identity) -> tuple[str, ...]:
    certificate = identity.certificate
    status = certificate.status()
    until = f"{certificate.not_after:%Y-%m-%d}"
    key = f"{_shortened(certificate.key.type)} {certificate.key.bits or ''}".strip()
    return (
        _shortened(certificate.display_name),
        f"{_shortened(certificate.issuer_name)}{' (WIPO)' if identity.wipo else ''}",
        _usage(certificate),
        until if status == "valid" else f"{until} ({status})",
        key if certificate.has_private_key else "missing",
        certificate.sha256[:FINGERPRINT_DIGITS],
    )


def _usage(certificate: StoredCertificate) -> str:
    """Say in a word or two what a key is for, by its key usage."""
    if not certificate.key_usage:
        return "any"
    words = dict.fromkeys(_USAGES[usage] for usage in certificate.key_usage if usage in _USAGES)
    return ", ".join(words) or "other"


def _shortened(name: str) -> str:
    shown = printable(name[: _LONGEST_NAME + 1])
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}…"


def identity_lines(identity: Identity) -> tuple[str, ...]:
    """Return a certificate as lines for a question."""
    certificate, profile = identity.certificate, identity.profile
    return (
        f"  name         {certificate.display_name}",
        f"  issued by    {certificate.issuer_name}",
        f"  valid until  {certificate.not_after:%Y-%m-%d}",
        *((f"  found in     {profile.application}, profile `{profile.name}`",) if profile else ()),
    )
