"""A real Firefox with a fresh profile logs in with an exported certificate, over mutual TLS."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.peers import need
from tests.peers.exports import (
    FIXTURES,
    PASSWORDS,
    Expected,
    export,
    exportable,
    fingerprint,
)
from tests.peers.firefox import Firefox
from tests.peers.website import Website

_CASES = ("firefox-nopassword", "firefox-password", "ec-p256", "ec-p384", "tripledes", "chain3")
_PREFS = {"security.default_personal_cert": "Select Automatically"}


@pytest.mark.parametrize("case", _CASES)
def test_firefox_logs_in_with_the_exported_certificate(
    case: str, tmp_path: Path, require_peers: bool
) -> None:
    need(Firefox.missing(), required=require_peers)
    expected = next(each for each in exportable() if each.case == case)
    password = PASSWORDS["umlaut"]
    pfx = export(expected, tmp_path / "backup", password, "modern", rounds=None)
    with (
        Website(_authorities(expected)) as website,
        Firefox(tmp_path / "profile", prefs=_PREFS) as firefox,
    ):
        firefox.import_ca(website.authority)
        firefox.import_pfx(pfx, password)
        assert f"hello {expected.fingerprint}" in firefox.open_url(website.url)


def _authorities(expected: Expected) -> list[bytes]:
    """The CA certificates of the fixture's chain, DER."""
    known = x509.load_pem_x509_certificates((FIXTURES / "authorities.pem").read_bytes())
    encoded = (certificate.public_bytes(Encoding.DER) for certificate in known)
    return [der for der in encoded if fingerprint(der) in expected.certificates]
