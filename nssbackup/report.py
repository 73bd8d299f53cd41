"""What a command found or did, and the same as JSON.

The command line makes its text from these values too, so text and JSON can't disagree. JSON keys
are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nssbackup.errors import NssBackupError
from nssbackup.secret import Secret

if TYPE_CHECKING:
    from nssbackup.identity.model import FoundBackup, Identity, Profile

Json = Mapping[str, object]
"""A JSON object, or a part of one."""


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """A profile, and whether its store has a primary password (None if unknown)."""

    profile: Profile
    primary_password: bool | None


@dataclass(frozen=True, slots=True)
class ProfilesReport:
    """The profiles and the Firefox backups found."""

    entries: tuple[ProfileEntry, ...]
    firefox_backups: tuple[FoundBackup, ...] = ()

    def to_json(self) -> Json:
        """Return the contract's `profiles` document."""
        return {
            "profiles": [
                {
                    "application": entry.profile.application,
                    "name": entry.profile.name,
                    "path": str(entry.profile.path),
                    "default": entry.profile.default,
                    "in_use": entry.profile.in_use is True,
                    "in_use_known": entry.profile.in_use is not None,
                    "store": entry.profile.store,
                    "primary_password": entry.primary_password,
                }
                for entry in self.entries
            ],
            "firefox_backups": [
                {"path": str(one.path), "created": rfc3339(one.created), "profile": one.profile}
                for one in self.firefox_backups
            ],
        }


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A profile that couldn't be read."""

    profile: Profile
    error: NssBackupError


@dataclass(frozen=True, slots=True)
class ListReport:
    """The identities found, and the profiles that couldn't be read."""

    identities: tuple[Identity, ...]
    failures: tuple[ReadFailure, ...]

    def to_json(self) -> Json:
        """Return the contract's `list` document."""
        return {
            "identities": [identity_json(identity) for identity in self.identities],
            "errors": [
                {
                    "profile": str(failure.profile.path),
                    "kind": failure.error.code,
                    "message": failure.error.message,
                }
                for failure in self.failures
            ],
        }


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that was written and verified, and its verified copies."""

    path: Path
    copies: tuple[Path, ...]
    format: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What `export` or `repassword` wrote.

    Attributes:
        identity: what is in the files, the first of `identities`.
        files: one per format.
        password: the generated password; None if the user gave one.
        eml: the mail draft; None without `--eml`.
        identities: all that `repassword` wrote; empty for `export`.
    """

    identity: Identity
    files: tuple[WrittenFile, ...]
    password: Secret | None = None
    eml: Path | None = None
    identities: tuple[Identity, ...] = ()

    def to_json(self) -> Json:
        """Return the contract's `export` document; `files` is added if there are several."""
        first = self.files[0]
        document: dict[str, object] = {
            "identity": identity_json(self.identity),
            **_written(first),
            "verified": True,
        }
        if self.identities:
            document["identities"] = [identity_json(each) for each in self.identities]
        if len(self.files) > 1:
            document["files"] = [_written(file) for file in self.files]
        if self.eml is not None:
            document["eml"] = str(self.eml)
        if self.password is not None:
            document["password"] = self.password.reveal()
        return document


@dataclass(frozen=True, slots=True)
class ExportsReport:
    """What `export --all-matches` wrote.

    Attributes:
        exports: at least one.
        error: the first failure; None if every identity was written.
    """

    exports: tuple[ExportReport, ...]
    error: NssBackupError | None = None

    def to_json(self) -> Json:
        """Return the contract's document, with the `error` document if one failed."""
        document: dict[str, object] = {"exports": [each.to_json() for each in self.exports]}
        return document if self.error is None else {**document, **error_json(self.error)}


@dataclass(frozen=True, slots=True)
class FirefoxBackupFacts:
    """What `verify` adds about a Firefox backup."""

    created: str | None
    application: str


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """What `verify` found in one file; `error` is None if it is a working backup.

    Encryption and MAC are in words; they and their rounds are None if missing or unknown.
    """

    path: Path
    identity: Identity | None = None
    identities: tuple[Identity, ...] = ()
    encryption: str | None = None
    kdf_rounds: int | None = None
    certificate_encryption: str | None = None
    certificate_rounds: int | None = None
    mac: str | None = None
    mac_rounds: int | None = None
    warnings: tuple[str, ...] = ()
    error: NssBackupError | None = None
    firefox: FirefoxBackupFacts | None = None

    @property
    def ok(self) -> bool:
        """Return whether the file is a working backup."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The files that `verify` opened."""

    files: tuple[VerifiedFile, ...]

    def to_json(self) -> Json:
        """Return the contract's `verify` document."""
        return {"files": [_verified(file) for file in self.files]}


def rfc3339(time: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC, to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def identity_json(identity: Identity) -> Json:
    """Return the contract's IDENTITY."""
    certificate, profile = identity.certificate, identity.profile
    return {
        "profile": str(profile.path) if profile else None,
        "container": str(profile.container) if profile and profile.container else None,
        "nickname": certificate.nickname,
        "subject": certificate.subject,
        "common_name": certificate.common_name,
        "email": certificate.email,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial:x}",
        "sha1": certificate.sha1,
        "sha256": certificate.sha256,
        "not_before": rfc3339(certificate.not_before),
        "not_after": rfc3339(certificate.not_after),
        "status": certificate.status(),
        "usage": list(certificate.usage),
        "signature": identity.signature,
        "departures": list(certificate.departures),
        "wipo": identity.wipo,
        "key": {
            "present": certificate.has_private_key,
            "type": certificate.key.type,
            "bits": certificate.key.bits,
        },
        "chain": [issuer.subject for issuer in identity.chain],
        "chain_complete": identity.chain_complete,
        "trust": dict(certificate.trust),
    }


def error_json(error: NssBackupError, candidates: Sequence[Identity] = ()) -> Json:
    """Return the contract's `error` document, with the candidates of an open choice."""
    document = dict(error_fields(error))
    if candidates:
        document["candidates"] = [identity_json(identity) for identity in candidates]
    return {"error": document}


def error_fields(error: NssBackupError) -> Json:
    """Return an error as it stands in a document."""
    return {
        "status": error.exit_status,
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
    }


def _written(file: WrittenFile) -> Json:
    return {
        "output": str(file.path),
        "copies": [str(copy) for copy in file.copies],
        "format": file.format,
        "sha256": file.sha256,
        "bytes": file.size,
    }


def _verified(file: VerifiedFile) -> Json:
    document: dict[str, object] = {
        "file": str(file.path),
        "ok": file.ok,
        "identity": identity_json(file.identity) if file.identity else None,
        "identities": [identity_json(each) for each in file.identities],
        "warnings": list(file.warnings),
    }
    if file.firefox is not None:
        document["kind"] = "firefox-backup"
        document["created"] = file.firefox.created
        document["application"] = file.firefox.application
    else:
        document["encryption"] = file.encryption
        document["kdf_rounds"] = file.kdf_rounds
        document["certificate_encryption"] = file.certificate_encryption
        document["certificate_rounds"] = file.certificate_rounds
        document["mac"] = file.mac
        document["mac_rounds"] = file.mac_rounds
    if file.error is not None:
        document.update(error_json(file.error))
    return document
