"""Choosing: which of the identities at hand a command is about.

The rules are those of the contract, "Choosing": WIPO by default, the newest valid one of several
renewals, nothing damaged or forged, and whatever else is ambiguous is listed and never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nssbackup.errors import KeyMismatchError, KeyMissingError, NssBackupError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.chain import Chains
from nssbackup.identity.model import Identity, PrivateKey, Profile
from nssbackup.printable import as_typed

# Shorter beginnings of a fingerprint are too likely to be somebody's name or serial number.
_FINGERPRINT_DIGITS = 8
_SHA256_DIGITS = 64
_HEX = frozenset("0123456789abcdef")
# More days than any calendar has.
_MOST_DAYS = 9999 * 366
# Nobody has as many certificates for one purpose; each is compared with each.
_MOST_COMPARED = 100
_MOST_NAMED = 10
_LIST_HINT = "`nssbackup list --all` shows every certificate found"

Select = Callable[[Sequence[Identity], str], Identity]
"""Asks a person which of several identities is meant, given the reason for asking."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The identity that was chosen, and what the user should know about how."""

    identity: Identity
    notes: tuple[str, ...] = ()


class ForgedCertificateError(NssBackupError):
    """The only certificate that matches is not signed by its issuer."""

    code = "certificate-forged"
    exit_status = 11


class _CandidatesError(NssBackupError):
    """An error that comes with identities to choose from instead: `candidates`."""

    def __init__(
        self, message: str, candidates: tuple[Identity, ...], *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


class NoMatchError(_CandidatesError):
    """No certificate matches; `candidates` are the others."""

    code = "no-match"
    exit_status = 20


class AmbiguousError(_CandidatesError):
    """Several identities match: `candidates`."""

    code = "ambiguous"
    exit_status = 21


def assemble(
    profile: Profile | None, certificates: Sequence[StoredCertificate]
) -> tuple[Identity, ...]:
    """Make identities of the certificates with a private key, and of those that are not a CA's."""
    chains = Chains(certificates)
    return tuple(
        chains.identity(profile, certificate)
        for certificate in certificates
        if certificate.has_private_key or not certificate.is_ca
    )


def listed(identities: Iterable[Identity], *, everything: bool = False) -> tuple[Identity, ...]:
    """Return what `list` shows: valid before expired, the one that ends last first.

    That is every identity with its key, and WIPO ones without; with `everything` all.
    """
    shown = [i for i in identities if everything or i.certificate.has_private_key or i.wipo]
    return tuple(sorted(shown, key=newest_first))


def matching(identities: Iterable[Identity], text: str) -> tuple[Identity, ...]:
    """Return the identities that `text` names; an exact match beats partial ones.

    Fields: nickname, common name, e-mail, issuer, serial number (hex, colons optional), SHA-1 and
    SHA-256 fingerprint or the beginning of one (eight hex digits or more). Letter case is ignored.
    """
    scored = [(_score(identity, text), identity) for identity in identities]
    best = max((score for score, _ in scored), default=0)
    return tuple(identity for score, identity in scored if score == best > 0)


def ending_within(
    identities: Iterable[Identity], days: int, now: datetime | None = None
) -> tuple[Identity, ...]:
    """Return those valid now that end within so many days."""
    now = now or datetime.now(UTC)
    within = timedelta(days=min(days, _MOST_DAYS))
    return tuple(
        identity
        for identity in identities
        if identity.certificate.status(now) == "valid"
        and identity.certificate.not_after - now <= within
    )


def choose(
    identities: Sequence[Identity],
    text: str | None,
    select: Select | None = None,
    *,
    need_key: bool = True,
) -> Choice:
    """Choose one of the identities, which come in the order of their profiles' rank.

    Args:
        identities: all there are.
        text: the user's CERT argument; None for the WIPO identity.
        select: None if there is nobody to ask.
        need_key: whether the private key must be there.

    Raises:
        NoMatchError: nothing matches; for other errors see `settle`.
    """
    candidates = _distinct(identities)
    try:
        found, reason = _found(candidates, text, need_key=need_key)
    except NoMatchError as error:
        if text is not None or select is None or not error.candidates:
            raise
        found, reason = (select(error.candidates, error.message),), ""
    return settle(found, reason, select, need_key=need_key, named=_is_fingerprint(text))


def choose_all(
    identities: Sequence[Identity], text: str | None
) -> tuple[tuple[Identity, ...], tuple[str, ...]]:
    """Choose every match that is neither expired nor superseded, and say what was left out.

    Raises:
        NoMatchError: nothing matches, or only expired certificates do.
        ForgedCertificateError: no match is signed by its issuer.
    """
    found, _ = _found(_distinct(identities), text, need_key=True)
    left, notes = without_superseded(found, need_key=True, named=_is_fingerprint(text))
    current = tuple(i for i in left if i.certificate.status() != "expired")
    if not current:
        message = "every certificate that matches has expired"
        hint = "without `--all-matches`, an expired one is exported when you name it"
        raise NoMatchError(message, left, hint=hint)
    return current, notes


def settle(
    found: tuple[Identity, ...],
    reason: str,
    select: Select | None,
    *,
    need_key: bool = True,
    named: bool = False,
) -> Choice:
    """Choose one of one or more matches, by the rules or by asking, for this reason.

    `named`: the user gave the full fingerprint.

    Raises:
        AmbiguousError: several are left and nobody can be asked.
        ForgedCertificateError: none of them is signed by its issuer.
        KeyMissingError: what is left has no private key.
    """
    left, notes = without_superseded(found, need_key=need_key, named=named)
    if len(left) == 1:
        (chosen,) = left
    elif select is not None:
        chosen, notes = select(left, reason), ()
    else:
        hint = "name one by its fingerprint, as in `nssbackup export FINGERPRINT`"
        raise AmbiguousError(reason, tuple(sorted(left, key=newest_first)), hint=hint)
    if need_key and not chosen.certificate.has_private_key:
        message = f"the private key of `{chosen.display_name}` is not in this store"
        hint = (
            "it is where the certificate was requested: another browser, profile or computer;"
            " point `--profile` at that profile"
        )
        raise KeyMissingError(message, hint=hint)
    return Choice(chosen, notes)


def check_key_fits(identity: Identity, key: PrivateKey) -> None:
    """Raise KeyMismatchError unless the key matches the certificate."""
    if key.public_key != identity.certificate.public_key:
        message = f"the private key found for `{identity.display_name}` does not match it"
        raise KeyMismatchError(message)


def _found(
    candidates: tuple[Identity, ...], text: str | None, *, need_key: bool
) -> tuple[tuple[Identity, ...], str]:
    """Return what matches, and why a person would be asked about it."""
    if text is not None:
        found = matching(candidates, text)
        if not found:
            message = f"no certificate matches `{text}`"
            raise NoMatchError(message, listed(candidates), hint=_LIST_HINT)
        return found, f"several certificates match `{text}`"
    found = tuple(i for i in candidates if i.wipo and not i.certificate.is_ca)
    if found:
        return found, "there are several WIPO certificates"
    others = listed(candidates, everything=not need_key)
    message = f"there is no WIPO certificate{' with its private key' if need_key else ''} here"
    hint = "name one of the others as CERT to export it" if others else _LIST_HINT
    if len(others) == 1:
        profile, fingerprint = others[0].profile, others[0].certificate.sha256[:16]
        where = ("--profile", str(profile.path)) if profile else ()
        command = as_typed(("nssbackup", "export", *where, fingerprint))
        hint = f"to export the only other one, type `{command}`"
    raise NoMatchError(message, others, hint=hint)


def _is_fingerprint(text: str | None) -> bool:
    digits = digits_of(text or "")
    return len(digits) == _SHA256_DIGITS and _HEX.issuperset(digits)


def _distinct(identities: Sequence[Identity]) -> tuple[Identity, ...]:
    """Return one identity for each certificate.

    The default profile's if it has the key, else the first with the key, else the first.
    """
    best: dict[str, Identity] = {}
    for identity in identities:
        known = best.setdefault(identity.certificate.sha256, identity)
        if _copy_rank(identity) > _copy_rank(known):
            best[identity.certificate.sha256] = identity
    return tuple(best.values())


def _copy_rank(identity: Identity) -> tuple[bool, bool]:
    return (
        identity.certificate.has_private_key,
        identity.profile is not None and identity.profile.default,
    )


def _score(identity: Identity, text: str) -> int:
    """Return 2 for an exact match of a field, 1 for a partial one, 0 for none."""
    certificate = identity.certificate
    wanted = text.strip().casefold()
    if not wanted:
        return 0
    digits = digits_of(text)
    if digits and _HEX.issuperset(digits):
        if digits.lstrip("0") == f"{certificate.serial:x}".lstrip("0"):
            return 2
        digests = (certificate.sha256, certificate.sha1)
        if len(digits) >= _FINGERPRINT_DIGITS and any(one.startswith(digits) for one in digests):
            return 2
    names = (certificate.nickname, certificate.common_name, certificate.email)
    fields = [
        value.casefold() for value in (*names, certificate.issuer_name, certificate.issuer) if value
    ]
    if wanted in fields:
        return 2
    return 1 if any(wanted in field for field in fields) else 0


def without_superseded(
    found: tuple[Identity, ...], *, need_key: bool, named: bool
) -> tuple[tuple[Identity, ...], tuple[str, ...]]:
    """Return the matches that no other match replaces, and say what was left out."""
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
    """Tell whether one of two identities renews the other."""
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
    """Raise ForgedCertificateError if its known issuer did not sign a certificate.

    One that a CERT argument names by its full fingerprint is accepted.
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
