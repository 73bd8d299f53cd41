"""Completion: the profiles, applications and certificates that a shell offers.

Typer's scripts hand a value to the shell as it is, and some shells evaluate it. So a value is
offered only if it consists of harmless characters; a certificate is offered by its fingerprint
otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

import typer

import nssbackup
from nssbackup.cli.tables import FINGERPRINT_DIGITS

if TYPE_CHECKING:
    from nssbackup.identity.model import Identity

Offers = list[tuple[str, str]]
"""Values, each with a remark."""

_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_HARMFUL = re.compile(r"[^\w .,@+-]")
_LONGEST_REMARK = 80
# The shell waits for us, so only so many profiles are read.
_PROFILES_READ = 50


def _silent(offers: Callable[[typer.Context], Offers]) -> Callable[[typer.Context], Offers]:
    """Offer nothing on an error: a message would end up in the line being typed."""

    @wraps(offers)
    def offer(context: typer.Context) -> Offers:
        try:
            found = offers(context)
        except Exception:  # noqa: BLE001 - see above
            return []
        return [
            (value, _HARMFUL.sub(" ", remark)[:_LONGEST_REMARK])
            for value, remark in found
            if _HARMLESS.fullmatch(value)
        ]

    return offer


@_silent
def profiles(context: typer.Context) -> Offers:
    """Offer the profiles found, by name or by the name of their folder."""
    wanted = nssbackup.applications_named(context.params.get("app") or ())
    return [
        (one.name if _HARMLESS.fullmatch(one.name) else one.path.name, one.application)
        for one in nssbackup.find_profiles()
        if not wanted or one.application in wanted
    ]


@_silent
def applications(context: typer.Context) -> Offers:
    """Offer the applications whose profiles were found."""
    del context
    names = sorted({one.application for one in nssbackup.find_profiles()})
    return [(name.casefold().replace(" ", "-"), name) for name in names]


@_silent
def certificates(context: typer.Context) -> Offers:
    """Offer the certificates that have their private key."""
    names = context.params.get("profile")
    found = nssbackup.resolve_profiles(names) if names else nssbackup.find_profiles()
    inventory = nssbackup.take_inventory(found[:_PROFILES_READ])
    return [
        (_value(one), f"{one.certificate.issuer_name}, until {one.certificate.not_after:%Y-%m-%d}")
        for one in inventory.identities
        if one.certificate.has_private_key
    ]


def _value(identity: Identity) -> str:
    name = identity.certificate.common_name or ""
    if _HARMLESS.fullmatch(name):
        return name
    return identity.certificate.sha256[:FINGERPRINT_DIGITS]
