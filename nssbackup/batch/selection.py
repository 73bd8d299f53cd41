"""Selection: which of a user's identities are backed up, and from which of their copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nssbackup.batch.orders import Orders
from nssbackup.identity.choosing import matching
from nssbackup.identity.model import Identity
from nssbackup.stores.inventory import Inventory


@dataclass(frozen=True, slots=True)
class Chosen:
    """An identity to back up: the same one in several profiles, the best copy first."""

    copies: tuple[Identity, ...]

    @property
    def identity(self) -> Identity:
        """The best of them."""
        return self.copies[0]


def select(inventory: Inventory, orders: Orders, now: datetime | None = None) -> tuple[Chosen, ...]:
    """The identities with their key that the orders mean, each once.

    Without a CERT those are WIPO's, or with `all_issuers` all; expired ones only if they are asked
    for. The order is that of the profiles.
    """
    now = now or datetime.now(UTC)
    usable = [
        identity
        for identity in inventory.identities
        if identity.certificate.has_private_key
        and (orders.expired or identity.certificate.status(now) != "expired")
    ]
    copies: dict[str, list[Identity]] = {}
    for identity in _wanted(usable, orders):
        copies.setdefault(identity.certificate.sha256, []).append(identity)
    return tuple(
        # The default profile's before the others, and these in their order.
        Chosen((best, *sorted(inventory.copies_of(best), key=_is_secondary)))
        for best in (min(same, key=_is_secondary) for same in copies.values())
    )


def _wanted(usable: Sequence[Identity], orders: Orders) -> Sequence[Identity]:
    if orders.certificates:
        named = {
            identity.certificate.sha256
            for text in orders.certificates
            for identity in matching(usable, text)
        }
        return [identity for identity in usable if identity.certificate.sha256 in named]
    if orders.all_issuers:
        return usable
    return [identity for identity in usable if identity.wipo and not identity.certificate.is_ca]


def _is_secondary(identity: Identity) -> bool:
    return identity.profile is None or not identity.profile.default
