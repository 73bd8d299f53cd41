"""Verdict: whether a backup is possible now. The key is really read, as `export` would read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nssbackup.diagnosis.examination import Case, obstacle
from nssbackup.diagnosis.findings import Finding, Verdict, sentence
from nssbackup.errors import (
    NssBackupError,
    PrimaryPasswordRequiredError,
)
from nssbackup.identity.choosing import AmbiguousError, Choice, NoMatchError, choose
from nssbackup.identity.model import Identity, Profile
from nssbackup.stores import EngineName, open_store
from nssbackup.stores.inventory import take_inventory
from nssbackup.stores.unlocking import KEY_DAMAGE, read_key

# What explains best that nothing can be backed up, the clearest first: why, and what to do.
_EXPLANATIONS: Mapping[str, tuple[str, str]] = {
    "key-without-certificate": (
        "there is a private key, but not its certificate",
        "Look for the certificate as described above.",
    ),
    "folder-unreadable": (
        "you may not look into the folder of a profile",
        "Run nssbackup as the user whom it belongs to.",
    ),
    "file-unreadable": (
        "you may not read the databases of a profile",
        "Run nssbackup as the user whom they belong to.",
    ),
    "root-unreadable": (
        "you may not look into the folder where profiles lie",
        "Run nssbackup as the user whom it belongs to.",
    ),
    "store-damaged": (
        "the databases of a profile are damaged",
        "Point `--profile` at an older copy of it.",
    ),
    "store-unsupported": (
        "the databases of a profile are of a kind that can't be read",
        "See the hint above.",
    ),
    "certificates-not-kept": (
        "this browser keeps no certificates",
        "Use Firefox for the certificate.",
    ),
    "no-profile": (
        "no profile was found",
        "Give its folder with `--profile FOLDER`.",
    ),
}

# Of what explains, that which may hide the certificate that was asked for by name.
_MAY_HIDE = ("folder-unreadable", "file-unreadable", "store-damaged", "store-unsupported")


def reach_verdict(case: Case, managed: Collection[Path]) -> tuple[Verdict, tuple[Choice, ...]]:
    """Find the identity that `export` would take, and try to read its key.

    Args:
        case: what is asked about.
        managed: the profiles whose primary password nobody knows.

    Returns:
        The verdict, and what `export` would have to ask a person to choose among.
    """
    try:
        inventory = take_inventory(
            case.profiles, case.engine, left_behind=lambda: case.left_behind or ()
        )
        choices = _choices(inventory.identities, case.certificate)
    except NssBackupError as error:
        return Verdict(None, error), ()
    verdicts = [
        _try(one.identity, inventory.copies_of(one.identity), case.engine, managed)
        for one in choices
    ]
    return next((one for one in verdicts if one.possible), verdicts[0]), choices


def explained(verdict: Verdict, findings: Sequence[Finding], *, named: bool) -> Verdict:
    """The verdict with why and what to do, from what was found.

    Args:
        verdict: as it was reached.
        findings: all of them, of all profiles.
        named: whether the user named a certificate.
    """
    error = verdict.error
    if error is None:
        return verdict
    reason, next_step = error.message, sentence(error.hint) if error.hint else ""
    if not next_step:
        hints = (one.hint for one in findings if one.code == error.code and one.hint)
        next_step = next(hints, "")
    codes = {one.code for one in findings}
    hidden = [code for code in _MAY_HIDE if code in codes]
    if isinstance(error, NoMatchError) and named:
        if hidden:
            next_step = f"It may be where {_EXPLANATIONS[hidden[0]][0]}. {next_step}"
    elif isinstance(error, PrimaryPasswordRequiredError):
        reason = "the keys are protected by a secret of the organization's management console"
        next_step = "Ask its administrators for the backup."
    elif error.exit_status in _WITHOUT_IDENTITY:
        known = next((code for code in _EXPLANATIONS if code in codes), None)
        if known is not None:
            reason, next_step = _EXPLANATIONS[known]
    return replace(verdict, reason=reason, next_step=next_step)


# The statuses of an `export` that found nothing to take; of what it found, the error itself says
# what is the matter.
_WITHOUT_IDENTITY = frozenset({10, 11, 20})


def _choices(identities: Sequence[Identity], certificate: str | None) -> tuple[Choice, ...]:
    """What `export` would take, or what it would offer to a person."""
    try:
        return (choose(identities, certificate),)
    except AmbiguousError as error:
        offered = error.candidates
    except NoMatchError as error:
        if certificate is not None or not error.candidates:
            raise
        offered = error.candidates
    with_key = [one for one in offered if one.certificate.has_private_key]
    # Without any, the first says what is missing.
    return tuple(choose(identities, one.certificate.sha256) for one in with_key or offered[:1])


def _try(
    identity: Identity, copies: Sequence[Identity], engine: EngineName, managed: Collection[Path]
) -> Verdict:
    verdict = _read(identity, engine, managed)
    if isinstance(verdict.error, KEY_DAMAGE):
        for copy in copies:
            other = _read(copy, engine, managed)
            if other.possible:
                return other
    return verdict


def _read(identity: Identity, engine: EngineName, managed: Collection[Path]) -> Verdict:
    try:
        read_key(identity, engine, lambda _profile, _attempt: None)
    except PrimaryPasswordRequiredError as error:
        if identity.profile is None or identity.profile.path in managed:
            return Verdict(identity, error)
        found = _obstacle(identity, identity.profile, engine)
        return Verdict(identity, found, password_needed=found is None)
    except NssBackupError as error:
        return Verdict(identity, error)
    return Verdict(identity)


def _obstacle(identity: Identity, profile: Profile, engine: EngineName) -> NssBackupError | None:
    try:
        with open_store(profile, engine) as store:
            return obstacle(store, identity.certificate)
    except NssBackupError as error:
        return error
