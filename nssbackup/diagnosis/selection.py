"""Selection: the identity that `export` takes, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nssbackup.errors import KeyMissingError
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.chain import unverified_links
from nssbackup.identity.choosing import Select, choose, choose_all
from nssbackup.identity.model import Identity, Profile
from nssbackup.report import ReadFailure
from nssbackup.stores import EngineName
from nssbackup.stores.inventory import Inventory, no_more_profiles, take_inventory

# WIPO writes to its holders two weeks before the end; a month leaves time to act.
EXPIRY_NOTICE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for.

    Attributes:
        certificate: the user's CERT argument; None for the WIPO identity.
        given: certificates from a file, the wanted one first: its key is looked for. Then there is
            no `certificate`.
        need_key: whether the private key is needed.
        engine: what reads the stores.
    """

    certificate: str | None = None
    given: tuple[StoredCertificate, ...] = ()
    need_key: bool = True
    engine: EngineName = "auto"


@dataclass(frozen=True, slots=True)
class Selection:
    """The identity to export.

    Attributes:
        identity: the identity.
        copies: the same identity in other profiles, to be read if this one can't be.
        notes: how it was chosen, and what its holder should know.
        failures: the profiles that were skipped because they could not be read.
    """

    identity: Identity
    copies: tuple[Identity, ...]
    notes: tuple[str, ...]
    failures: tuple[ReadFailure, ...]


def select_identity(
    profiles: Sequence[Profile],
    wanted: Wanted,
    left_behind: Callable[[], Sequence[Profile]] = no_more_profiles,
    select: Select | None = None,
    failed: Callable[[ReadFailure], None] = lambda _: None,
) -> Selection:
    """Select the identity to export; every command that needs to know it asks here.

    Args:
        profiles: where to look, in the order of their rank.
        wanted: what to look for.
        left_behind: returns more profiles to look in, if something is missing in the first ones.
        select: asks a person to choose; None if nobody can be asked.
        failed: called with each profile that can't be read, before anything is chosen.

    Raises:
        NssBackupError: nothing can be selected.
    """
    inventory = _inventory(profiles, wanted, left_behind, failed)
    certificate = wanted.certificate
    if wanted.given:
        certificate = wanted.given[0].sha256
        if wanted.need_key:
            _check_key_of(wanted.given[0], inventory)
    choice = choose(inventory.identities, certificate, select, need_key=wanted.need_key)
    notes = (*_skipped(inventory), *choice.notes)
    return _selection(choice.identity, inventory, notes, need_key=wanted.need_key)


def select_all(
    profiles: Sequence[Profile],
    wanted: Wanted,
    left_behind: Callable[[], Sequence[Profile]] = no_more_profiles,
    failed: Callable[[ReadFailure], None] = lambda _: None,
) -> tuple[tuple[Selection, ...], tuple[str, ...]]:
    """Select every matching identity that is neither expired nor superseded.

    Args and errors are those of `select_identity`; nobody is asked.

    Returns:
        The identities, and what was left out.
    """
    inventory = _inventory(profiles, wanted, left_behind, failed)
    identities, notes = choose_all(inventory.identities, wanted.certificate)
    selections = (_selection(each, inventory, (), need_key=True) for each in identities)
    return tuple(selections), (*_skipped(inventory), *notes)


def _inventory(
    profiles: Sequence[Profile],
    wanted: Wanted,
    left_behind: Callable[[], Sequence[Profile]],
    failed: Callable[[ReadFailure], None],
) -> Inventory:
    inventory = take_inventory(profiles, wanted.engine, given=wanted.given, left_behind=left_behind)
    for failure in inventory.failures:
        failed(failure)
    return inventory


def _skipped(inventory: Inventory) -> Iterator[str]:
    return (f"profile `{profile.name}`: {note}" for profile, note in inventory.notes)


def _selection(
    identity: Identity, inventory: Inventory, notes: tuple[str, ...], *, need_key: bool
) -> Selection:
    joined = inventory.notes_on(identity) if need_key else ()
    return Selection(
        identity,
        inventory.copies_of(identity),
        (*notes, *joined, *identity_warnings(identity)),
        inventory.failures,
    )


def identity_warnings(identity: Identity, now: datetime | None = None) -> Iterator[str]:
    """Yield what the holder should know: when the certificate ends, and what its chain lacks."""
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
    yield from authenticity_warnings(identity)
    if not identity.chain and not certificate.self_issued:
        yield f"the certificate of its issuer, {certificate.issuer_name}, is not included"
    elif not identity.chain_complete:
        missing = identity.chain[-1].issuer_name
        yield f"the certification path is incomplete: {missing} is not included"


def _check_key_of(certificate: StoredCertificate, inventory: Inventory) -> None:
    """Raise KeyMissingError unless a profile has the key of a certificate from a file."""
    if any(
        one.certificate.sha256 == certificate.sha256 and one.certificate.has_private_key
        for one in inventory.identities
    ):
        return
    name = certificate.display_name
    message = f"no profile holds the private key of `{name}`, the certificate in the given file"
    hint = "`nssbackup doctor` shows which keys there are and where else to look"
    raise KeyMissingError(message, hint=hint)


def authenticity_warnings(identity: Identity) -> Iterator[str]:
    """Say what is doubtful about a certificate: its encoding, its signature, its chain."""
    certificate = identity.certificate
    if certificate.departures:
        yield (
            "the certificate departs from the standard, and some programs refuse it:"
            f" {'; '.join(certificate.departures)}"
        )
    if identity.signature == "forged":
        yield (
            "the certificate is damaged or forged: the CA certificate of its issuer does not"
            " verify its signature"
        )
    elif identity.signature == "other":
        yield (
            f"the signature of the certificate is by another key of {certificate.issuer_name}"
            " than the one in the CA certificate found"
        )
    for one, issuer in unverified_links(identity):
        yield (
            f"the signature of `{one.display_name}` can't be verified, because its algorithm is"
            f" not supported; it was joined to `{issuer.display_name}` by name and key identifier"
        )
