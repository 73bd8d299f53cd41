"""Our exports of the fixture profiles, for the peers to open."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from nssbackup.backups.export import ExportOptions, export_identity
from nssbackup.backups.writing import Dialogue
from nssbackup.pkcs12 import FORMATS, PfxWriters
from nssbackup.profiles import resolve_profiles
from nssbackup.secret import Secret
from tests import FIXTURES

PASSWORDS = {
    "ASCII": "correct horse 4711",
    "umlaut": "Grüße aus Zürich",
    "emoji": "Schlüssel \U0001f511 und Schloß",
}
"""What the backups are encrypted with: plain, in the BMP, and beyond it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """An identity as the peers that made the fixture say it is.

    `key` is PKCS#8 DER, `certificates` the own one and its chain.
    """

    case: str
    fingerprint: str
    primary_password: str
    key: bytes
    nickname: str
    certificates: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.case}-{self.fingerprint[:8]}"


@functools.cache
def exportable() -> tuple[Expected, ...]:
    """Every identity of the fixtures whose key can be exported."""
    index = json.loads((FIXTURES / "profiles.json").read_text(encoding="utf-8"))
    return tuple(
        Expected(
            case=case,
            fingerprint=identity["fingerprint"],
            primary_password=profile["password"] or "",
            key=_pkcs8(FIXTURES / identity["key_file"]),
            nickname=identity["nickname"],
            certificates=(identity["fingerprint"], *identity["chain"]),
        )
        for case, profile in index["profiles"].items()
        for identity in profile["identities"]
        if identity["has_key"] and identity["key_type"] != "dsa"
    )


def export(
    expected: Expected, output: Path, password: str, format_: str, rounds: int | None = 2_048
) -> Path:
    """Export an identity of a fixture as `nssbackup export` does; few rounds make peers fast."""
    formats = (FORMATS[format_],)
    report = export_identity(
        resolve_profiles([str(FIXTURES / "profiles" / expected.case)]),
        ExportOptions(certificate=expected.fingerprint, output=str(output), formats=formats),
        Dialogue(
            primary_password=lambda _, attempt: (
                None if attempt else Secret(expected.primary_password)
            ),
            pfx_writers=lambda _: PfxWriters.start(Secret(password), formats, rounds),
        ),
    )
    return report.files[0].path


@functools.cache
def exported(expected: Expected, password: str, format_: str, rounds: int | None = 2_048) -> Path:
    """Export as `export` does, once for all readers of this process."""
    output = Path(_folder().name) / f"{expected}-{format_}-{len(password)}-{rounds}.pfx"
    return export(expected, output, password, format_, rounds)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="exports-")


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, as the index of the fixtures has it."""
    from cryptography.hazmat.primitives import hashes

    return x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex()


def authorities(expected: Expected) -> list[bytes]:
    """The CA certificates of the fixture's chain, DER."""
    known = x509.load_pem_x509_certificates((FIXTURES / "authorities.pem").read_bytes())
    encoded = (certificate.public_bytes(serialization.Encoding.DER) for certificate in known)
    return [der for der in encoded if fingerprint(der) in expected.certificates]


def _pkcs8(pem: Path) -> bytes:
    key = serialization.load_pem_private_key(pem.read_bytes(), None)
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
