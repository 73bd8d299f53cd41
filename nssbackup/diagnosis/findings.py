"""Findings: what the doctor says, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nssbackup.errors import NssBackupError
from nssbackup.identity.model import Identity, Profile
from nssbackup.report import Json, error_json, identity_json
from nssbackup.stores import Availability

Severity = Literal["problem", "warning", "note"]

# Every code but those of errors, which are problems: something can't be backed up because of one.
# A warning will be one later, or may be behind one; a note is what to know. Codes are only added.
SEVERITIES: Mapping[str, Severity] = {
    # of all profiles
    "no-profile": "problem",
    "root-unreadable": "problem",
    "no-wipo-certificate": "note",
    "several-certificates": "note",
    "os-certificates": "note",
    "elsewhere": "note",
    # of a profile's folder and files
    "folder-unreadable": "problem",
    "file-unreadable": "problem",
    "legacy-databases": "note",
    "older-databases": "note",
    "keys-only": "warning",
    "certificates-only": "warning",
    "no-databases": "note",
    "in-use": "note",
    "perhaps-in-use": "note",
    # of what is in it
    "certificate-with-key": "note",
    "certificate-without-key": "problem",
    "key-elsewhere": "note",
    "key-without-certificate": "problem",
    "certificate-elsewhere": "note",
    "certificate-expired": "warning",
    "certificate-expiring": "warning",
    "certificate-not-yet-valid": "warning",
    "chain-incomplete": "warning",
    "certificate-unreadable": "warning",
    "primary-password": "note",
    # of what its application shows and the profile does not hold
    "certificates-not-kept": "warning",
    "managed-encryption": "warning",
    "security-module": "note",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        code: stable, for scripts.
        severity: what it means for a backup.
        message: one or more sentences.
        hint: what to do, in sentences; None where there is nothing to do.
    """

    code: str
    severity: Severity
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, code: str, message: str, hint: str | None = None) -> Finding:
        """A finding of a code of the table."""
        return cls(code, SEVERITIES[code], message, hint)

    @classmethod
    def of_error(cls, error: NssBackupError, about: str = "") -> Finding:
        """The problem that an error is; `about` stands before its message."""
        hint = sentence(error.hint) if error.hint else None
        return cls(error.code, "problem", sentence(f"{about}{error.message}"), hint)


@dataclass(frozen=True, slots=True)
class ProfileFindings:
    """A profile and what was found there.

    Attributes:
        profile: the profile.
        findings: the worst first.
        primary_password: whether one is set; None where that can't be told.
        left_behind: whether the profile was found in an *Old Firefox Data* folder or the like.
    """

    profile: Profile
    findings: tuple[Finding, ...]
    primary_password: bool | None = None
    left_behind: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether `export` would succeed now.

    Attributes:
        identity: the one it would take; None where none can be taken.
        error: what it would end with; None where a backup is possible.
        password_needed: whether the primary password will be asked for.
        reason: why no backup is possible, as a clause; "" where one is.
        next_step: what to do about it, as a sentence; "" where a backup is possible.
    """

    identity: Identity | None
    error: NssBackupError | None = None
    password_needed: bool = False
    reason: str = ""
    next_step: str = ""

    @property
    def possible(self) -> bool:
        """Whether a backup is possible now."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What `doctor` found.

    Attributes:
        verdict: whether a backup is possible now.
        profiles: in the order of their rank, those left behind last.
        findings: what concerns no single profile.
        engines: which there are, and whether they work here.
        versions: of nssbackup and what it is made of.
        searched: the folders that were searched for profiles; () where profiles were named.
    """

    verdict: Verdict
    profiles: tuple[ProfileFindings, ...]
    findings: tuple[Finding, ...]
    engines: tuple[Availability, ...]
    versions: Mapping[str, str]
    searched: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The exit status: 0, or the one that `export` would end with."""
        return self.verdict.error.exit_status if self.verdict.error else 0

    def to_json(self) -> Json:
        """The `doctor` document."""
        verdict = self.verdict
        document: dict[str, object] = {
            "backup_possible": verdict.possible,
            "status": self.status,
            "identity": identity_json(verdict.identity) if verdict.identity else None,
            "password_needed": verdict.password_needed,
            "profiles": [_profile_json(one) for one in self.profiles],
            "findings": [_finding_json(one) for one in self.findings],
            "engines": [
                {"name": one.name, "available": one.reason is None, "reason": one.reason}
                for one in self.engines
            ],
            "versions": dict(self.versions),
            "searched": list(self.searched),
        }
        if verdict.error is not None:
            document.update(error_json(verdict.error))
        return document


def sentence(clause: str) -> str:
    """A clause as errors have it, as a sentence."""
    text = clause[:1].upper() + clause[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _profile_json(one: ProfileFindings) -> Json:
    profile = one.profile
    return {
        "application": profile.application,
        "name": profile.name,
        "path": str(profile.path),
        "default": profile.default,
        "store": profile.store,
        "in_use": profile.in_use is True,
        "in_use_known": profile.in_use is not None,
        "primary_password": one.primary_password,
        "left_behind": one.left_behind,
        "findings": [_finding_json(finding) for finding in one.findings],
    }


def _finding_json(finding: Finding) -> Json:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "hint": finding.hint,
    }
