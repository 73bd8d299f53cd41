"""Identities: assembled from a store's certificates, and chosen among.

What is chosen follows the contract: WIPO by default, renewals resolved to the newest that is valid
now, everything else that is ambiguous listed and never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nssbackup.errors import KeyMismatchError, KeyMissingError, NssBackupError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.chain import Chains
from nssbackup.identity.model import Identity, PrivateKey, Profile

# Shorter beginnings of a fingerprint are too likely to be somebody's name or serial number.
_FINGERPRINT_DIGITS = 8
_HEX = frozenset("0123456789abcdef")
# More days than any calendar has.
_MOST_DAYS = 9999 * 366

Select = Callable[[Sequence[Identity], str], Identity]
"""Asks a person which of several identities is meant, given the reason for asking."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The identity that was chosen, and what the user should know about how."""

    identity: Identity
    notes: tuple[str, ...] = ()


class NoMatchError(NssBackupError):
    """No certificate is what was asked for; `candidates` are the others there are."""

    code = "no-match"
    exit_status = 20

    def __init__(
        self, message: str, candidates: tuple[Identity, ...], *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


class AmbiguousError(NssBackupError):
    """Several identities are what was asked for: `candidates`."""

    code = "ambiguous"
    exit_status = 21

    def __init__(
        self, message: str, candidates: tuple[Identity, ...], *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


def assemble(
    profile: Profile | None, certificates: Sequence[StoredCertificate]
) -> tuple[Identity, ...]:
    """Make identities of the certificates that may be somebody's.

    Those are the ones with a private key, and without one those that are no CA's. Each gets the
    chain that the same store holds.
    """
    chains = Chains(certificates)
    return tuple(
        Identity(profile, certificate, chains.of(certificate))
        for certificate in certificates
        if certificate.has_private_key or not certificate.is_ca
    )


def listed(identities: Iterable[Identity], *, everything: bool = False) -> tuple[Identity, ...]:
    """What `list` shows, valid before expired, the one that ends last first.

    That is every identity with its key, and WIPO ones without; with `everything` all.
    """
    shown = [i for i in identities if everything or i.certificate.has_private_key or i.wipo]
    return tuple(sorted(shown, key=_newest_first))


def matching(identities: Iterable[Identity], text: str) -> tuple[Identity, ...]:
    """The identities that `text` names; an exact match of one field wins over part matches.

    Fields: nickname, common name, e-mail, issuer, serial number (hex, colons optional), SHA-1 and
    SHA-256 fingerprint or the beginning of one (eight hex digits or more). Letter case is ignored.
    """
    scored = [(_score(identity, text), identity) for identity in identities]
    best = max((score for score, _ in scored), default=0)
    return tuple(identity for score, identity in scored if score == best > 0)


def ending_within(
    identities: Iterable[Identity], days: int, now: datetime | None = None
) -> tuple[Identity, ...]:
    """Those valid now that end within so many days: neither the expired nor the ones to come."""
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
    """Choose the one identity to export.

    Args:
        identities: all there are, in the order of their profiles' rank.
        text: the user's CERT argument, None for the default: WIPO's.
        select: asks a person; None where there is none to ask.
        need_key: whether a certificate without its private key will not do.

    Raises:
        NoMatchError: nothing matches.
        AmbiguousError: several match and nobody can be asked.
        KeyMissingError: the private key of what matches is in none of the stores.
    """
    candidates = _distinct(identities)
    if text is not None:
        found = matching(candidates, text)
        if not found:
            message = f"no certificate matches `{text}`"
            raise NoMatchError(message, listed(candidates), hint=_LIST_HINT)
        reason = f"several certificates match `{text}`"
        return settle(found, reason, select, need_key=need_key)
    found = tuple(i for i in candidates if i.wipo and not i.certificate.is_ca)
    if found:
        reason = "there are several WIPO certificates"
        return settle(found, reason, select, need_key=need_key)
    others = listed(candidates, everything=not need_key)
    message = f"there is no WIPO certificate{' with its private key' if need_key else ''} here"
    if not others:
        raise NoMatchError(message, (), hint=_LIST_HINT)
    if select is None:
        hint = "name one of the others as CERT to export it"
        raise NoMatchError(message, others, hint=hint)
    return Choice(select(others, message))


def settle(
    found: tuple[Identity, ...], reason: str, select: Select | None, *, need_key: bool = True
) -> Choice:
    """The one of several matches, by the rule for renewals or by asking.

    Args:
        found: at least one.
        reason: why it has to be asked.
        select: asks a person; None where there is none to ask.
        need_key: whether a certificate without its private key will not do.

    Raises:
        AmbiguousError: they are several people's and nobody can be asked.
        KeyMissingError: what is left has no private key.
    """
    now = datetime.now(UTC)
    if len(found) == 1:
        return _settled_on(found[0], (), need_key=need_key)
    one_person = len({(i.certificate.subject, i.certificate.issuer) for i in found}) == 1
    if not one_person:
        if select is not None:
            return _settled_on(select(found, reason), (), need_key=need_key)
        hint = "name one by its fingerprint, as in `nssbackup export FINGERPRINT`"
        raise AmbiguousError(reason, tuple(sorted(found, key=_newest_first)), hint=hint)
    ordered = sorted(found, key=_newest_first)
    newest = ordered[0]
    usable = (
        i
        for i in ordered
        if i.certificate.status(now) == "valid" and (i.certificate.has_private_key or not need_key)
    )
    chosen = next(usable, newest)
    until = f"{chosen.certificate.not_after:%Y-%m-%d}"
    notes = [f"of {len(found)} renewals of `{chosen.display_name}` the one until {until} was taken"]
    if chosen is not newest:
        until = f"{newest.certificate.not_after:%Y-%m-%d}"
        notes.append(f"a newer one, valid until {until}, is there without its private key")
    return _settled_on(chosen, tuple(notes), need_key=need_key)


def check_key_fits(identity: Identity, key: PrivateKey) -> None:
    """Let no key out that is not the certificate's.

    Raises:
        KeyMismatchError: the public halves differ.
    """
    if key.public_key != identity.certificate.public_key:
        message = f"the private key found for `{identity.display_name}` does not match it"
        raise KeyMismatchError(message)


_LIST_HINT = "`nssbackup list --all` shows every certificate found"


def _settled_on(identity: Identity, notes: tuple[str, ...], *, need_key: bool) -> Choice:
    if need_key and not identity.certificate.has_private_key:
        message = f"the private key of `{identity.display_name}` is not in this store"
        hint = (
            "it is where the certificate was requested: another browser, profile or computer;"
            " point `--profile` at that profile"
        )
        raise KeyMissingError(message, hint=hint)
    return Choice(identity, notes)


def _distinct(identities: Sequence[Identity]) -> tuple[Identity, ...]:
    """One identity for each certificate.

    The default profile's where it has the key, else the first with the key, else the first.
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


def _newest_first(identity: Identity) -> tuple[bool, float, float, str]:
    certificate = identity.certificate
    return (
        certificate.status() != "valid",
        -certificate.not_after.timestamp(),
        -certificate.not_before.timestamp(),
        certificate.sha256,
    )


def _score(identity: Identity, text: str) -> int:
    """2 for an exact match of a field, 1 for a part match, 0 for none."""
    certificate = identity.certificate
    wanted = text.strip().casefold()
    if not wanted:
        return 0
    digits = wanted.replace(":", "").replace(" ", "").removeprefix("0x")
    if digits and _HEX.issuperset(digits):
        if digits.lstrip("0") == f"{certificate.serial:x}".lstrip("0"):
            return 2
        long_enough = len(digits) >= _FINGERPRINT_DIGITS
        if long_enough and (
            certificate.sha256.startswith(digits) or certificate.sha1.startswith(digits)
        ):
            return 2
    fields = [
        value.casefold()
        for value in (
            certificate.nickname,
            certificate.common_name,
            certificate.email,
            certificate.issuer_name,
            certificate.issuer,
        )
        if value
    ]
    if wanted in fields:
        return 2
    return 1 if any(wanted in field for field in fields) else 0
