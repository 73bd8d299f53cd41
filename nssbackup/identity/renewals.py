"""Renewals and forgeries: which of several matching identities the others replace.

The rules are those of cli.md, "Choosing".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from nssbackup.errors import NssBackupError
from nssbackup.identity.model import Identity

# Nobody has as many certificates for one purpose; each is compared with each.
_MOST_COMPARED = 100
_MOST_NAMED = 10


class ForgedCertificateError(NssBackupError):
    """The only certificate that matches is not signed by its issuer."""

    code = "certificate-forged"
    exit_status = 11


def without_superseded(
    found: tuple[Identity, ...], *, need_key: bool, named: bool
) -> tuple[tuple[Identity, ...], tuple[str, ...]]:
    """Return the matches that no other match replaces, and say what was left out.

    Raises:
        ForgedCertificateError: none of them is signed by its issuer.
    """
    if named:
        return found, ()
    genuine = tuple(i for i in found if i.signature != "forged")
    if not genuine:
        check_genuine(min(found, key=newest_first))
    notes = _notes_on_forged([i for i in found if i.signature == "forged"])
    groups: dict[object, list[Identity]] = {}
    for one in genuine:
        groups.setdefault((one.certificate.subject, one.certificate.key_usage), []).append(one)
    now = datetime.now(UTC)
    left: list[Identity] = []
    for group in groups.values():
        current = _current(group, now, need_key=need_key)
        left += current
        if len(group) <= _MOST_COMPARED:
            notes += _notes_on_replaced(current, group, now)
    kept = {one.certificate.sha256 for one in left}
    return tuple(one for one in genuine if one.certificate.sha256 in kept), tuple(notes)


def are_renewals(one: Identity, other: Identity) -> bool:
    """Tell whether one of two identities renews the other (cli.md, "Renewals")."""
    old, new = sorted((one, other), key=lambda each: each.certificate.not_after)
    older, newer = old.certificate, new.certificate
    return (
        (older.subject, older.issuer, older.key_usage)
        == (newer.subject, newer.issuer, newer.key_usage)
        and older.not_before < newer.not_before
        and older.not_after < newer.not_after
        and (
            new.signature == "verified"
            or (new.signature == "unchecked" and older.authority_key_id == newer.authority_key_id)
        )
    )


def check_genuine(identity: Identity, texts: Iterable[str | None] = ()) -> None:
    """Raise unless a certificate may be genuine, or a CERT argument is its full fingerprint.

    Raises:
        ForgedCertificateError: its issuer is known and did not sign it.
    """
    sha256 = identity.certificate.sha256
    if identity.signature != "forged" or any(digits_of(text or "") == sha256 for text in texts):
        return
    message = (
        f"the certificate `{identity.display_name}` is damaged or forged: the CA certificate"
        " of its issuer does not verify its signature"
    )
    hint = f"to export it all the same, name it by its fingerprint: {sha256}"
    raise ForgedCertificateError(message, hint=hint)


def newest_first(identity: Identity) -> tuple[bool, float, float, str]:
    """Return a key to sort by: valid before expired, the one that ends last first."""
    certificate = identity.certificate
    return (
        certificate.status() != "valid",
        -certificate.not_after.timestamp(),
        -certificate.not_before.timestamp(),
        certificate.sha256,
    )


def digits_of(text: str) -> str:
    """Return a serial number or fingerprint without its colons, blanks and capitals."""
    return text.strip().casefold().replace(":", "").replace(" ", "").removeprefix("0x")


def _current(group: Sequence[Identity], now: datetime, *, need_key: bool) -> list[Identity]:
    """Return those of one person and purpose that none of the others replaces."""
    valid = [one for one in group if one.certificate.status(now) == "valid"]
    # One whose issuer has another key does not make one pointless that verifies.
    trusted = any(one.signature != "other" for one in valid)
    rest = [
        one
        for one in group
        if one.certificate.status(now) != "expired"
        or not (trusted or (valid and one.signature != "verified"))
    ]
    if len(rest) > _MOST_COMPARED:
        return rest

    def rank(identity: Identity) -> tuple[bool, datetime]:
        """Of two renewals the one that is usable now, or else the newer, is the one to take."""
        certificate = identity.certificate
        usable = certificate.status(now) == "valid"
        return usable and (certificate.has_private_key or not need_key), certificate.not_after

    return [
        one
        for one in rest
        if not any(are_renewals(other, one) and rank(other) > rank(one) for other in rest)
    ]


def _notes_on_forged(forged: Sequence[Identity]) -> list[str]:
    why = (
        "skipped as damaged or forged: the CA certificate of its issuer does not verify its"
        " signature"
    )
    notes = [
        f"`{one.display_name}` with fingerprint {one.certificate.sha256[:16]} was {why}"
        for one in forged[:_MOST_NAMED]
    ]
    if len(forged) > _MOST_NAMED:
        notes.append(f"{len(forged) - _MOST_NAMED} more were {why}")
    return notes


def _notes_on_replaced(
    left: Sequence[Identity], group: Sequence[Identity], now: datetime
) -> list[str]:
    """Say for each identity left which ones it replaces."""
    notes, renewed = [], []
    for one in left:
        renewals = [other for other in group if are_renewals(one, other)]
        renewed += renewals
        if not renewals:
            continue
        until = f"{one.certificate.not_after:%Y-%m-%d}"
        notes.append(
            f"of {len(renewals) + 1} renewals of `{one.display_name}` the one until {until}"
            " was taken"
        )
        newest = max(renewals, key=lambda other: other.certificate.not_after).certificate
        if newest.not_after > one.certificate.not_after and newest.status(now) == "valid":
            until = f"{newest.not_after:%Y-%m-%d}"
            notes.append(f"a newer one, valid until {until}, is there without its private key")
    notes += [
        f"`{one.display_name}`, expired on {one.certificate.not_after:%Y-%m-%d}, was skipped"
        for one in group
        if one not in left and one not in renewed
    ]
    return notes
