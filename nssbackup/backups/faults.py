"""Faults of a PFX that some programs stumble over, and that `repassword` repairs.

Who stumbles was tried with files of each fault: NSS 3.87 and 3.110, OpenSSL 3.0, Node 20 and Java.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nssbackup.pkcs12 import FoundCertificate, FoundKey, PfxContents


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in words, and what it means for whom."""

    what: str
    effect: str


def faults_of(contents: PfxContents) -> Iterator[Fault]:
    """Yield the faults of a file that opens and works as a backup."""
    yield from _shared_names(contents)
    found: tuple[FoundKey | FoundCertificate, ...] = (*contents.keys, *contents.certificates)
    if any(each.broken_name for each in found):
        yield Fault(
            "a friendlyName is not a valid BMPString", "Firefox (NSS) and Node refuse the file"
        )
    if any("\0" in (each.friendly_name or "") for each in found):
        yield Fault("a friendlyName contains a NUL", "Firefox (NSS) ends the name there")
    if not _are_paired(contents):
        yield Fault(
            "the localKeyIDs don't pair each key with its certificate alone",
            "Firefox (NSS) refuses the file",
        )
    if any(
        pair.identity and not pair.key.fits(pair.identity.certificate) for pair in contents.pairs
    ):
        yield Fault(
            "key and certificate name different algorithms (RSA and RSA-PSS)",
            "OpenSSL and Node refuse the key",
        )


def _shared_names(contents: PfxContents) -> Iterator[Fault]:
    """Yield a fault for each name of several subjects; renewals may share one in NSS."""
    with_key = {pair.identity.certificate.sha256 for pair in contents.pairs if pair.identity}
    by_name: dict[str, dict[str, bool]] = {}
    for found in contents.certificates:
        if found.friendly_name:
            subjects = by_name.setdefault(found.friendly_name.casefold(), {})
            own = found.certificate.sha256 in with_key
            subjects[found.certificate.subject] = subjects.get(found.certificate.subject, own)
    for name, subjects in by_name.items():
        if len(subjects) > 1:
            refused = sum(subjects.values()) > 1
            yield Fault(
                f"{len(subjects)} certificates share the name `{name}`",
                "Firefox (NSS) refuses the file and Java shows one of them"
                if refused
                else "Firefox (NSS) shows only one of them",
            )


def _are_paired(contents: PfxContents) -> bool:
    """Return whether each localKeyID stands on one key and the certificate that fits it."""
    for key in contents.keys:
        same_id = [
            each.certificate
            for each in contents.certificates
            if key.local_key_id is not None and each.local_key_id == key.local_key_id
        ]
        if [each.public_key for each in same_id] != [key.key.public_key]:
            return False
    return True
