"""Doctor: every profile examined, the findings put together, and what `export` would end with."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cryptography

from nssbackup.diagnosis.certificates import CertificateFindings
from nssbackup.diagnosis.files import file_findings, nothing_located
from nssbackup.diagnosis.findings import (
    Case,
    DoctorReport,
    Examined,
    ExportOutcome,
    Finding,
    ProfileFindings,
    examine,
    obstacle,
    sentence,
)
from nssbackup.diagnosis.selection import Selection, Wanted, select_identity
from nssbackup.diagnosis.settings import is_managed, os_findings, setting_findings, where_else
from nssbackup.diagnosis.system_store import system_store_findings
from nssbackup.errors import (
    KeyMissingError,
    NoProfileError,
    NoStoreError,
    NssBackupError,
    PrimaryPasswordRequiredError,
    StoreError,
)
from nssbackup.identity.choosing import AmbiguousError, NoMatchError
from nssbackup.identity.model import Identity
from nssbackup.profiles.roots import find_roots
from nssbackup.stores import EngineName, availability, open_store
from nssbackup.stores.inventory import Inventory, take_inventory
from nssbackup.stores.unlocking import read_key_or_copy

# As many digits of the fingerprint as `list` shows.
_DIGITS = 16

_NOT_FOUND = (NoProfileError, NoStoreError, StoreError, NoMatchError, KeyMissingError)

# The findings that best explain why nothing can be backed up, the clearest first: reason and next
# step.
_EXPLANATIONS: Mapping[str, tuple[str, str]] = {
    "key-without-certificate": (
        "there is a private key, but not its certificate",
        "Look for the certificate as described above.",
    ),
    "folder-unreadable": (
        "you may not look into the folder of a profile",
        "Allow it as described above.",
    ),
    "file-unreadable": (
        "the databases of a profile can't be read",
        "Do what is described above.",
    ),
    "root-unreadable": (
        "you may not look into the folder where profiles may be",
        "Allow it as described above.",
    ),
    "store-damaged": (
        "the databases of a profile are damaged",
        "Point `--profile` at an older copy of it.",
    ),
    "store-unsupported": (
        "nssbackup can't read the databases of a profile",
        "Do what is described above.",
    ),
    "certificates-not-kept": (
        "this browser keeps no certificates",
        "Use Firefox for the certificate.",
    ),
    "no-profile": ("no profile was found", "Give its folder with `--profile FOLDER`."),
}

# Those that may hide the certificate that was asked for by name.
_MAY_HIDE = ("folder-unreadable", "file-unreadable", "store-damaged", "store-unsupported")

# The statuses of an `export` that found nothing. About what it found, its error says enough.
_NOTHING_FOUND = frozenset({10, 11, 20})


def diagnose(case: Case) -> DoctorReport:
    """Say what is in profiles, what is wrong there, and what `export` would end with."""
    system, known = case.system, {profile.path for profile in case.profiles}
    old = tuple(one for one in case.left_behind or () if one.path not in known)
    examined = [
        *(examine(profile, case.engine, left_behind=False) for profile in case.profiles),
        *(examine(profile, case.engine, left_behind=True) for profile in old),
    ]
    inventory: Inventory | None = None
    with suppress(NssBackupError):  # each profile has its own error among the findings
        inventory = take_inventory((*case.profiles, *old), case.engine)
    outcome = expected_outcome(case, {one.profile.path for one in examined if is_managed(one)})
    certificates = CertificateFindings(case, examined, inventory)
    profiles = tuple(_of_profile(one, certificates, outcome) for one in examined)
    searched = _searched(case)
    general = (
        *(nothing_located(searched, case) if not examined else ()),
        *_of_choices(case, outcome),
        *os_findings(examined, system.platform),
        *(system_store_findings(system.platform) if system.confined_to is None else ()),
        *((where_else(system.platform),) if isinstance(outcome.error, _NOT_FOUND) else ()),
    )
    every = [*general, *(finding for one in profiles for finding in one.findings)]
    outcome = _explained(outcome, every, named=case.certificate is not None)
    return DoctorReport(outcome, profiles, general, availability(), _versions(), searched)


def not_located(error: NssBackupError) -> DoctorReport:
    """Return the report if not even the folder was found that the user named."""
    outcome = _explained(ExportOutcome(None, error), (), named=False)
    return DoctorReport(outcome, (), (Finding.of_error(error),), availability(), _versions())


def expected_outcome(case: Case, managed: Collection[Path] = ()) -> ExportOutcome:
    """Return what `export` would end with, after reading the key as it would.

    Args:
        case: what is asked about.
        managed: the profiles whose primary password nobody knows.
    """
    try:
        selection = select_identity(
            case.profiles,
            Wanted(case.certificate, engine=case.engine),
            lambda: case.left_behind or (),
        )
    except AmbiguousError as error:
        return ExportOutcome(None, error, error.candidates)
    except NoMatchError as error:
        # A name that nothing has is a mistake; without one, a person is offered the others.
        return ExportOutcome(None, error, error.candidates if case.certificate is None else ())
    except NssBackupError as error:
        return ExportOutcome(None, error)
    return _of_selection(selection, case.engine, managed)


def _of_selection(
    selection: Selection, engine: EngineName, managed: Collection[Path]
) -> ExportOutcome:
    identity = selection.identity
    try:
        found_key = read_key_or_copy(identity, selection.copies, engine, lambda *_: None)
    except PrimaryPasswordRequiredError as error:
        if identity.profile is None or identity.profile.path in managed:
            return ExportOutcome(identity, error)
        found = _obstacle(identity, engine)
        return ExportOutcome(identity, found, password_needed=found is None)
    except NssBackupError as error:
        return ExportOutcome(identity, error)
    return ExportOutcome(found_key.identity)


def explain(error: NssBackupError, case: Case) -> None:
    """Give an error of `export` a hint with the reason that a diagnosis finds, if it finds one."""
    if error.exit_status in _NOTHING_FOUND:
        report = diagnose(case)
        outside = [one.message for one in report.findings if one.code == "system-store"]
        if report.outcome.reason not in ("", error.message):
            error.hint = f"{report.outcome.reason}: `nssbackup doctor` says where, and what to do"
        elif outside:
            error.hint = f"{outside[0]} `nssbackup doctor` says how to back it up"


def _of_profile(
    one: Examined, certificates: CertificateFindings, outcome: ExportOutcome
) -> ProfileFindings:
    findings = [*certificates.of_profile(one), *setting_findings(one), *file_findings(one)]
    error, identity = outcome.error, outcome.identity
    here = identity is not None and identity.profile == one.profile
    # No finding: that a password is missing. None is asked for here.
    known = {finding.code for finding in findings} | {PrimaryPasswordRequiredError.code}
    if error is not None and here and error.code not in known:
        findings.append(Finding.of_error(error))
    findings.sort(key=lambda finding: finding.rank)
    return ProfileFindings(one.profile, tuple(findings), one.primary_password, one.left_behind)


def _of_choices(case: Case, outcome: ExportOutcome) -> Iterator[Finding]:
    names = ", ".join(f"`{one.certificate.sha256[:_DIGITS]}`" for one in outcome.choices)
    if len(outcome.choices) > 1:
        yield Finding.of(
            "several-certificates",
            f"{len(outcome.choices)} certificates match. On a terminal, `nssbackup export` asks"
            " which one to back up.",
            f"To choose beforehand, name one by its fingerprint, as `nssbackup list` shows it:"
            f" {names}.",
        )
    if case.certificate is None and isinstance(outcome.error, NoMatchError) and outcome.choices:
        yield Finding.of(
            "no-wipo-certificate",
            "None of the certificates with a private key here is from WIPO. Another one is only"
            " backed up if you choose or name it.",
            f"If you want one that is here, name it by its fingerprint: {names}. If you look for"
            " one from WIPO, run nssbackup where it was requested.",
        )


def _explained(
    outcome: ExportOutcome, findings: Sequence[Finding], *, named: bool
) -> ExportOutcome:
    """Return the outcome with the reason and the next step, from what was found.

    Args:
        outcome: the outcome.
        findings: all of them, of all profiles.
        named: whether the user named a certificate.
    """
    error = outcome.error
    if error is None:
        return outcome
    reason, next_step = error.message, sentence(error.hint) if error.hint else ""
    if not next_step:
        hints = (one.hint for one in findings if one.code == error.code and one.hint)
        next_step = next(hints, "")
    codes = {one.code for one in findings if one.severity != "note"}
    if isinstance(error, NoMatchError) and named:
        if hidden := next((code for code in _MAY_HIDE if code in codes), None):
            next_step = f"Not everything could be read: {_EXPLANATIONS[hidden][0]}. {next_step}"
    elif isinstance(error, PrimaryPasswordRequiredError):
        reason = "the keys are protected by a secret of the organization's management console"
        next_step = "Ask its administrators for the backup."
    elif error.exit_status in _NOTHING_FOUND and not outcome.choices:
        known = next((code for code in _EXPLANATIONS if code in codes), None)
        if known is not None:
            reason, next_step = _EXPLANATIONS[known]
    return replace(outcome, reason=reason, next_step=next_step)


def _obstacle(identity: Identity, engine: EngineName) -> NssBackupError | None:
    if identity.profile is None:
        return None
    try:
        with open_store(identity.profile, engine) as store:
            return obstacle(store, identity.certificate)
    except NssBackupError as error:
        return error


def _searched(case: Case) -> tuple[str, ...]:
    if case.left_behind is None and not case.applications:
        return ()
    return tuple(
        dict.fromkeys(
            str(root.path)
            for root in find_roots(case.system)
            if not case.applications or root.application in case.applications
        )
    )


def _versions() -> Mapping[str, str]:
    try:
        own = version("nssbackup")
    except PackageNotFoundError:  # run from its source without being installed
        own = "unknown"
    return {
        "nssbackup": own,
        "python": platform.python_version(),
        "cryptography": cryptography.__version__,
        "sqlite": sqlite3.sqlite_version,
    }
