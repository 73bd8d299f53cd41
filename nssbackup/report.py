"""Reports: what a command found or did, and the same as JSON.

One result, two renderers: text is made of these values elsewhere, and cannot disagree with the
JSON. Keys are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nssbackup.errors import NssBackupError
from nssbackup.identity.model import Identity, Profile
from nssbackup.secret import Secret

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """A profile, and whether its store has a primary password (None: can't be told)."""

    profile: Profile
    primary_password: bool | None


@dataclass(frozen=True, slots=True)
class ProfilesReport:
    """What `profiles` shows."""

    entries: tuple[ProfileEntry, ...]

    def to_json(self) -> Json:
        """The contract's `profiles` document."""
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
            ]
        }


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A profile that could not be read."""

    profile: Profile
    error: NssBackupError


@dataclass(frozen=True, slots=True)
class ListReport:
    """What `list` shows: identities, and the profiles that could not be read."""

    identities: tuple[Identity, ...]
    failures: tuple[ReadFailure, ...]

    def to_json(self) -> Json:
        """The contract's `list` document."""
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
    """A PFX that was written and verified, and its verified copies."""

    path: Path
    copies: tuple[Path, ...]
    format: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What `export` did.

    `password` only where nssbackup made it up, `eml` only where a message was drafted.
    """

    identity: Identity
    files: tuple[WrittenFile, ...]
    password: Secret | None = None
    eml: Path | None = None

    def to_json(self) -> Json:
        """The contract's `export` document; further files of `--for any` stand under `files`."""
        first = self.files[0]
        document: dict[str, object] = {
            "identity": identity_json(self.identity),
            **_written(first),
            "verified": True,
        }
        if len(self.files) > 1:
            document["files"] = [_written(file) for file in self.files]
        if self.eml is not None:
            document["eml"] = str(self.eml)
        if self.password is not None:
            document["password"] = self.password.reveal()
        return document


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """What `verify` found in one file. `error` is None where it is a working backup.

    Encryption and MAC are in words, with their rounds; None where there is none or it is unknown.
    """

    path: Path
    identity: Identity | None = None
    encryption: str | None = None
    kdf_rounds: int | None = None
    certificate_encryption: str | None = None
    certificate_rounds: int | None = None
    mac: str | None = None
    mac_rounds: int | None = None
    warnings: tuple[str, ...] = ()
    error: NssBackupError | None = None

    @property
    def ok(self) -> bool:
        """Whether the file would work."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found."""

    files: tuple[VerifiedFile, ...]

    def to_json(self) -> Json:
        """The contract's `verify` document."""
        return {"files": [_verified(file) for file in self.files]}


def identity_json(identity: Identity) -> Json:
    """The contract's IDENTITY."""
    certificate = identity.certificate
    return {
        "profile": str(identity.profile.path) if identity.profile else None,
        "nickname": certificate.nickname,
        "subject": certificate.subject,
        "common_name": certificate.common_name,
        "email": certificate.email,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial:x}",
        "sha1": certificate.sha1,
        "sha256": certificate.sha256,
        "not_before": _rfc3339(certificate.not_before),
        "not_after": _rfc3339(certificate.not_after),
        "status": certificate.status(),
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
    """The contract's `error` document, with the candidates where a choice is open."""
    document: dict[str, object] = {
        "status": error.exit_status,
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
    }
    if candidates:
        document["candidates"] = [identity_json(identity) for identity in candidates]
    return {"error": document}


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
        "encryption": file.encryption,
        "kdf_rounds": file.kdf_rounds,
        "certificate_encryption": file.certificate_encryption,
        "certificate_rounds": file.certificate_rounds,
        "mac": file.mac,
        "mac_rounds": file.mac_rounds,
        "warnings": list(file.warnings),
    }
    if file.error is not None:
        document.update(error_json(file.error))
    return document


def _rfc3339(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
