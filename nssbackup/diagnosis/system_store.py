"""Client certificates in the operating system's own store: named, and never exported from there.

WIPO's guide was written for Internet Explorer, whose certificates are in Windows' store. Edge and
Chrome use that store too, and people look for such a certificate in Firefox.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from nssbackup.diagnosis.findings import Finding
from nssbackup.identity.certificate import (
    MalformedCertificateError,
    StoredCertificate,
    from_der,
)
from nssbackup.identity.model import Identity
from nssbackup.profiles.system import Platform

_NAMES = {"win32": "Windows' own store", "darwin": "the macOS Keychain"}
# Steps 8 to 17 of WIPO's guide.
_HOW = {
    "win32": "To back it up, press Windows+R and run `certmgr.msc`. Under Personal > Certificates,"
    " right-click it and choose All Tasks > Export. Choose to export the private key, and PKCS #12"
    " with all certificates in the certification path and with certificate privacy. Never tick"
    " `Delete the private key if the export is successful`. Set a password, and choose a file.",
    "darwin": "To back it up, open Keychain Access, select the certificate under `My Certificates`,"
    " and choose File > Export Items with the format Personal Information Exchange (.p12).",
}
_SECONDS = 10
_TOOL = "/usr/bin/security"


def system_store_findings(platform: Platform) -> Iterator[Finding]:
    """Yield a finding for each client certificate in the system's own store, WIPO's first."""
    read = _READERS.get(platform)
    if read is None or platform != sys.platform:
        return
    found = {one.sha256: one for der in read() if (one := _client_certificate(der)) is not None}
    for one in sorted(found.values(), key=lambda each: not Identity(None, each).wipo):
        yield Finding.of(
            "system-store",
            f"The certificate of `{one.display_name}` (issued by {one.issuer_name}, valid until"
            f" {one.not_after:%Y-%m-%d}) is in {_NAMES[platform]}, and not in a profile.",
            _HOW[platform],
            fingerprint=one.sha256,
        )


def _client_certificate(der: bytes) -> StoredCertificate | None:
    try:
        certificate = from_der(der)
    except MalformedCertificateError:
        return None
    return None if certificate.is_ca else certificate


def _of_windows() -> Iterator[bytes]:
    """Yield the certificates of the user's store `MY`, DER."""
    enumerate_store = getattr(ssl, "enum_certificates", None)
    if enumerate_store is None:
        return
    try:
        for data, encoding, _ in enumerate_store("MY"):
            if encoding == "x509_asn":
                yield data
    except OSError:  # the store can't be opened; there is nothing to name then
        return


def _of_macos() -> Iterator[bytes]:
    """Yield the certificates of the Keychain that have their private key, DER."""
    identities = _security("find-identity", "-v").upper()
    try:
        every = x509.load_pem_x509_certificates(_security("find-certificate", "-a", "-p").encode())
    except ValueError:  # none, or one that is not understood
        return
    for certificate in every:
        der = certificate.public_bytes(Encoding.DER)
        if from_der(der).sha1.upper() in identities:
            yield der


def _security(*words: str) -> str:
    """Return what macOS's own tool prints; it asks nothing for these."""
    try:
        done = subprocess.run(  # noqa: S603 - macOS's own tool
            [_TOOL, *words],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


_READERS: Mapping[str, Callable[[], Iterator[bytes]]] = {
    "win32": _of_windows,
    "darwin": _of_macos,
}
