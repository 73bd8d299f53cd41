"""Warnings about one identity, said alike by every command that handles it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from nssbackup.identity.model import Identity

# WIPO mails its holders two weeks before the end; a month leaves time to act.
EXPIRY_NOTICE = timedelta(days=30)


def identity_warnings(identity: Identity, now: datetime | None = None) -> Iterator[str]:
    """What the holder of a certificate should know: its end, and what is missing above it."""
    now = now or datetime.now(UTC)
    certificate = identity.certificate
    until = f"{certificate.not_after:%Y-%m-%d}"
    status = certificate.status(now)
    if status == "expired":
        yield f"the certificate expired on {until}: it still opens old mail, but no longer logs in"
    elif status == "not-yet-valid":
        yield f"the certificate is not valid before {certificate.not_before:%Y-%m-%d}"
    elif certificate.not_after - now < EXPIRY_NOTICE:
        yield f"the certificate expires on {until}: request a new one in time"
    if not identity.chain and not certificate.self_issued:
        yield f"the certificate of its issuer, {certificate.issuer_name}, is not included"
    elif not identity.chain_complete:
        missing = identity.chain[-1].issuer_name
        yield f"the certification path is incomplete: {missing} is not included"
