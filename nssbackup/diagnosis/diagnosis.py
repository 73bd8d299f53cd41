"""Diagnosis: every profile examined, what was found put together, and the verdict."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from nssbackup.diagnosis.contents import Contents
from nssbackup.diagnosis.elsewhere import (
    managed,
    nothing_located,
    os_findings,
    setting_findings,
    where_else,
)
from nssbackup.diagnosis.examination import Case, Examined, examine, reunions
from nssbackup.diagnosis.files import file_findings
from nssbackup.diagnosis.findings import DoctorReport, Finding, ProfileFindings, Verdict
from nssbackup.diagnosis.verdict import explained, reach_verdict
from nssbackup.errors import (
    KeyMissingError,
    NoProfileError,
    NoStoreError,
    NssBackupError,
    PrimaryPasswordRequiredError,
    StoreError,
)
from nssbackup.identity.choosing import Choice, NoMatchError
from nssbackup.profiles.roots import find_roots
from nssbackup.stores import availability

# As many digits of the fingerprint as `list` shows.
_DIGITS = 16

_MISSING = (NoProfileError, NoStoreError, StoreError, NoMatchError, KeyMissingError)

_WORST_FIRST = {"problem": 0, "warning": 1, "note": 2}


def diagnose(case: Case) -> DoctorReport:
    """Say what is in profiles, what is wrong there, and whether a backup is possible."""
    system, known = case.system, {profile.path for profile in case.profiles}
    old = [profile for profile in case.left_behind or () if profile.path not in known]
    examined = [
        *(examine(profile, case.engine, left_behind=False) for profile in case.profiles),
        *(examine(profile, case.engine, left_behind=True) for profile in old),
    ]
    contents = Contents(case, examined, reunions(examined, case.engine))
    verdict, choices = reach_verdict(case, {one.profile.path for one in examined if managed(one)})
    found = tuple(_of_profile(one, contents, verdict) for one in examined)
    searched = _searched(case)
    general = (
        *(nothing_located(searched, case) if not examined else ()),
        *_of_choices(case, choices),
        *os_findings(examined, system.platform),
        *((where_else(system.platform),) if _is_missing(verdict) else ()),
    )
    every = [*general, *(finding for one in found for finding in one.findings)]
    verdict = explained(verdict, every, named=case.certificate is not None)
    return _report(verdict, found, general, searched)


def not_located(error: NssBackupError) -> DoctorReport:
    """What to say where not even a folder could be found that the user named."""
    verdict = explained(Verdict(None, error), (), named=False)
    return _report(verdict, (), (Finding.of_error(error),), ())


def _report(
    verdict: Verdict,
    profiles: tuple[ProfileFindings, ...],
    general: tuple[Finding, ...],
    searched: tuple[str, ...],
) -> DoctorReport:
    return DoctorReport(verdict, profiles, general, availability(), _versions(), searched)


def _of_profile(one: Examined, contents: Contents, verdict: Verdict) -> ProfileFindings:
    findings = [*contents.findings(one), *setting_findings(one), *file_findings(one)]
    error, identity = verdict.error, verdict.identity
    here = identity is not None and identity.profile == one.profile
    # That a password is missing is no news: it is never asked for here.
    known = {finding.code for finding in findings} | {PrimaryPasswordRequiredError.code}
    if error is not None and here and error.code not in known:
        findings.append(Finding.of_error(error))
    return ProfileFindings(
        one.profile, tuple(_sorted(findings)), one.primary_password, one.left_behind
    )


def _of_choices(case: Case, choices: Sequence[Choice]) -> Iterator[Finding]:
    if len(choices) > 1:
        names = ", ".join(f"`{one.identity.certificate.sha256[:_DIGITS]}`" for one in choices)
        yield Finding.of(
            "several-certificates",
            f"{len(choices)} certificates can be meant. On a terminal `nssbackup export` lets you"
            " choose one.",
            f"To choose beforehand, name one by its fingerprint, as `nssbackup list` shows it:"
            f" {names}.",
        )
    if choices and case.certificate is None and not any(one.identity.wipo for one in choices):
        yield Finding.of(
            "no-wipo-certificate",
            "None of the certificates with a private key here is from WIPO. Another one is backed"
            " up only when you choose or name it.",
            "If you look for one of WIPO, it is elsewhere: see with which browser and on which"
            " computer it was requested.",
        )


def _is_missing(verdict: Verdict) -> bool:
    """Whether the certificate or its key was not found at all."""
    return isinstance(verdict.error, _MISSING)


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda one: _WORST_FIRST[one.severity])


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
    import cryptography

    try:
        own = version("nssbackup")
    except PackageNotFoundError:  # run from its source without having been installed
        own = "unknown"
    return {
        "nssbackup": own,
        "python": platform.python_version(),
        "cryptography": cryptography.__version__,
        "sqlite": sqlite3.sqlite_version,
    }
