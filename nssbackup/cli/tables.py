"""Tables: profiles, identities and backups as rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nssbackup.model import Identity
from nssbackup.report import ProfilesReport

Table = tuple[Sequence[str], Iterable[Sequence[str]]]

# As many digits of the fingerprint as name a certificate beyond doubt among a person's own.
_FINGERPRINT_DIGITS = 16


def profile_table(report: ProfilesReport) -> Table:
    """The profiles, as `profiles` shows them."""
    words = {True: "yes", False: "no", None: "?"}
    return ("Application", "Profile", "Notes", "Primary password", "Path"), [
        (
            entry.profile.application,
            entry.profile.name,
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
    """The identities, as `list` shows them."""
    return ("Name", "Issuer", "Valid until", "Private key", "Fingerprint", "Profile"), [
        (*_identity(identity), identity.profile.name if identity.profile else "")
        for identity in identities
    ]


def candidate_table(identities: Iterable[Identity]) -> Table:
    """Identities to choose among, each with the fingerprint that names it."""
    return ("Name", "Issuer", "Valid until", "Private key", "Fingerprint"), [
        _identity(identity) for identity in identities
    ]


def _identity(identity: Identity) -> tuple[str, ...]:
    certificate = identity.certificate
    status = certificate.status()
    until = f"{certificate.not_after:%Y-%m-%d}"
    key = f"{certificate.key.type} {certificate.key.bits or ''}".strip()
    return (
        certificate.common_name or certificate.nickname or certificate.subject,
        f"{certificate.issuer_name}{' (WIPO)' if identity.wipo else ''}",
        until if status == "valid" else f"{until} ({status})",
        key if certificate.has_private_key else "missing",
        certificate.sha256[:_FINGERPRINT_DIGITS],
    )
