"""Tables: profiles, identities and backups as rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nssbackup.identity.model import Identity
from nssbackup.printable import printable
from nssbackup.report import ProfilesReport

Table = tuple[Sequence[str], Iterable[Sequence[str]]]

# As many digits of the fingerprint as name a certificate beyond doubt among a person's own.
_FINGERPRINT_DIGITS = 16
# A name of X.520 has up to 64. To set one of a megabyte in a table takes seconds.
_MOST_SHOWN = 100


def profile_table(report: ProfilesReport) -> Table:
    """The profiles, as `profiles` shows them."""
    words = {True: "yes", False: "no", None: "?"}
    return ("Application", "Profile", "Notes", "Primary password", "Path"), [
        (
            entry.profile.application,
            _shown(entry.profile.name),
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
        (*_identity(identity), _shown(identity.profile.name) if identity.profile else "")
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
    key = f"{_shown(certificate.key.type)} {certificate.key.bits or ''}".strip()
    return (
        _shown(certificate.display_name),
        f"{_shown(certificate.issuer_name)}{' (WIPO)' if identity.wipo else ''}",
        until if status == "valid" else f"{until} ({status})",
        key if certificate.has_private_key else "missing",
        certificate.sha256[:_FINGERPRINT_DIGITS],
    )


def _shown(name: str) -> str:
    """A name as it stands in a table; the end of a long one is left out."""
    shown = printable(name[: _MOST_SHOWN + 1])
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
