"""Findings: what a diagnosis found, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from nssbackup.errors import (
    KeyNotExportableError,
    NssBackupError,
    PrimaryPasswordRequiredError,
    StoreError,
)
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import Identity, Profile
from nssbackup.profiles.locate import UNKNOWN_APPLICATION
from nssbackup.profiles.settings import Preferences, read_preferences
from nssbackup.profiles.system import System
from nssbackup.report import Json, error_json, identity_json
from nssbackup.stores import Availability, EngineName, Store, open_store

Severity = Literal["problem", "warning", "note"]

# The codes of findings that are not errors; errors are problems. A problem keeps something from
# being backed up, a warning may do so later, a note is good to know. Codes are only added.
SEVERITIES: Mapping[str, Severity] = {
    # about all profiles
    "no-profile": "problem",
    "root-unreadable": "problem",
    "no-wipo-certificate": "note",
    "several-certificates": "note",
    "os-certificates": "note",
    "system-store": "note",
    "elsewhere": "note",
    # about a profile's folder and files
    "folder-unreadable": "problem",
    "file-unreadable": "problem",
    "legacy-databases": "note",
    "older-databases": "note",
    "keys-only": "warning",
    "certificates-only": "warning",
    "no-databases": "note",
    "in-use": "note",
    "perhaps-in-use": "note",
    # about certificates and keys
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
    "certificate-doubtful": "warning",
    "primary-password": "note",
    # about settings and devices
    "refreshed": "note",
    "certificates-not-kept": "warning",
    "managed-encryption": "warning",
    "security-module": "note",
}

# What was found comes before what is wrong or missing.
_FOUND = frozenset({"certificate-with-key", "certificate-elsewhere", "key-elsewhere"})
_ORDER = {"problem": 1, "warning": 2, "note": 3}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: for scripts; it never changes.
        severity: what it means for a backup.
        message: one or more sentences.
        hint: what to do, in sentences; None if there is nothing to do.
        fingerprint: SHA-256 of the certificate that it is about, if it is in no profile.
    """

    code: str
    severity: Severity
    message: str
    hint: str | None = None
    fingerprint: str | None = None

    @classmethod
    def of(
        cls, code: str, message: str, hint: str | None = None, *, fingerprint: str | None = None
    ) -> Finding:
        """Return a finding with a code of the table."""
        return cls(code, SEVERITIES[code], message, hint, fingerprint)

    @classmethod
    def of_error(cls, error: NssBackupError, about: str = "") -> Finding:
        """Return an error as a problem; `about` is put before its message."""
        hint = sentence(error.hint) if error.hint else None
        return cls(error.code, "problem", sentence(f"{about}{error.message}"), hint)

    @property
    def rank(self) -> int:
        """Return the place among the findings of a profile: the smallest comes first."""
        return 0 if self.code in _FOUND else _ORDER[self.severity]

    def to_json(self) -> Json:
        """Return the finding's entry in the document."""
        document = {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
        }
        return document | ({"fingerprint": self.fingerprint} if self.fingerprint else {})


@dataclass(frozen=True, slots=True)
class ProfileFindings:
    """A profile and what was found there.

    Attributes:
        profile: the profile.
        findings: first what is there, then the worst.
        primary_password: whether one is set; None if unknown.
        left_behind: whether a refresh of Firefox left it on the desktop or in the home folder.
    """

    profile: Profile
    findings: tuple[Finding, ...]
    primary_password: bool | None = None
    left_behind: bool = False

    def to_json(self) -> Json:
        """Return the profile's entry in the document."""
        profile = self.profile
        return {
            "application": profile.application,
            "name": profile.name,
            "path": str(profile.path),
            "default": profile.default,
            "store": profile.store,
            "in_use": profile.in_use is True,
            "in_use_known": profile.in_use is not None,
            "primary_password": self.primary_password,
            "left_behind": self.left_behind,
            "findings": [finding.to_json() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """What `export` would end with if nobody could be asked, given the passwords it needs.

    Attributes:
        identity: the one it would take; None if it would take none.
        error: what it would fail with; None if it would succeed.
        choices: what a person on a terminal would be asked to choose from; () if nothing.
        password_needed: whether it needs the primary password.
        reason: why it would fail, as a clause; "" if it would succeed.
        next_step: what to do about that, as a sentence; "" if it would succeed.
    """

    identity: Identity | None
    error: NssBackupError | None = None
    choices: tuple[Identity, ...] = ()
    password_needed: bool = False
    reason: str = ""
    next_step: str = ""

    @property
    def possible(self) -> bool:
        """Return whether it would succeed."""
        return self.error is None

    @property
    def status(self) -> int:
        """Return its exit status."""
        return self.error.exit_status if self.error else 0


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """The result of a diagnosis.

    Attributes:
        outcome: what `export` would end with.
        profiles: in the order of their rank, those left behind last.
        findings: those about no single profile.
        engines: which there are, and whether they work here.
        versions: of nssbackup and what it is built on.
        searched: the folders that were searched for profiles; () if profiles were named.
    """

    outcome: ExportOutcome
    profiles: tuple[ProfileFindings, ...]
    findings: tuple[Finding, ...]
    engines: tuple[Availability, ...]
    versions: Mapping[str, str]
    searched: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """Return the exit status: the one that `export` would end with."""
        return self.outcome.status

    def to_json(self) -> Json:
        """Return the `doctor` document."""
        outcome = self.outcome
        document: dict[str, object] = {
            "backup_possible": outcome.possible,
            "status": self.status,
            "choice_needed": bool(outcome.choices),
            "choices": [identity_json(identity) for identity in outcome.choices],
            "identity": identity_json(outcome.identity) if outcome.identity else None,
            "password_needed": outcome.password_needed,
            "profiles": [one.to_json() for one in self.profiles],
            "findings": [one.to_json() for one in self.findings],
            "engines": [
                {"name": one.name, "available": one.reason is None, "reason": one.reason}
                for one in self.engines
            ],
            "versions": dict(self.versions),
            "searched": list(self.searched),
        }
        if outcome.error is not None:
            document.update(error_json(outcome.error))
        return document


def sentence(clause: str) -> str:
    """Return a clause, as errors have it, as a sentence."""
    text = clause[:1].upper() + clause[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


@dataclass(frozen=True, slots=True)
class Case:
    """What a diagnosis is about.

    Attributes:
        profiles: where `export` would look, in the order of their rank.
        certificate: the user's CERT argument; None for the WIPO identity.
        left_behind: what refreshes of Firefox left; None if that was not searched for.
        applications: those that the profiles were limited to; empty for no limit.
        system: the machine.
        engine: what reads the stores.
    """

    profiles: tuple[Profile, ...]
    certificate: str | None = None
    left_behind: tuple[Profile, ...] | None = None
    applications: frozenset[str] = frozenset()
    system: System = field(default_factory=System.current)
    engine: EngineName = "auto"


@dataclass(frozen=True, slots=True)
class Examined:
    """A profile, and what could be learned about it.

    Attributes:
        profile: the profile.
        left_behind: whether a refresh of Firefox left it.
        preferences: what its files set.
        certificates: all in the store.
        notes: what was skipped.
        primary_password: whether one is set; None if unknown.
        obstacles: certificates whose private key can't be exported, with the reason, as far as
            that shows without a password.
        error: why the store, or a part of it, can't be read.
    """

    profile: Profile
    left_behind: bool
    preferences: Preferences
    certificates: tuple[StoredCertificate, ...] = ()
    notes: tuple[str, ...] = ()
    primary_password: bool | None = None
    obstacles: tuple[tuple[StoredCertificate, NssBackupError], ...] = ()
    error: NssBackupError | None = None

    @property
    def program(self) -> str:
        """Return what to call the application in a sentence."""
        application = self.profile.application
        return "the program" if application == UNKNOWN_APPLICATION else application


def examine(profile: Profile, engine: EngineName, *, left_behind: bool) -> Examined:
    """Look at a profile; an error is part of the result."""
    examined = Examined(profile, left_behind, read_preferences(profile.path))
    if profile.store is None:
        return examined
    try:
        with open_store(profile, engine) as store:
            examined = replace(examined, certificates=store.certificates(), notes=store.notes())
            examined = replace(examined, obstacles=_obstacles(store, examined.certificates))
            return replace(examined, primary_password=store.needs_password())
    except NssBackupError as error:
        return replace(examined, error=error)


def _obstacles(
    store: Store, certificates: Sequence[StoredCertificate]
) -> tuple[tuple[StoredCertificate, NssBackupError], ...]:
    pairs = ((one, obstacle(store, one)) for one in certificates if one.has_private_key)
    return tuple((certificate, error) for certificate, error in pairs if error is not None)


def obstacle(store: Store, certificate: StoredCertificate) -> NssBackupError | None:
    """Return why a key can't be exported from a locked store, apart from the lock."""
    try:
        store.private_key(certificate)
    except PrimaryPasswordRequiredError:
        return None
    except (KeyNotExportableError, StoreError) as error:
        return error
    except NssBackupError:  # an engine may see no key at all before the store is unlocked
        return None
    return None
