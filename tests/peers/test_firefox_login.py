"""A real Firefox with a fresh profile logs in with an exported certificate, over mutual TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers import need
from tests.peers.exports import PASSWORDS, authorities, export, exportable
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
        Website(authorities(expected)) as website,
        Firefox(tmp_path / "profile", prefs=_PREFS) as firefox,
    ):
        firefox.import_ca(website.authority)
        firefox.import_pfx(pfx, password)
        assert f"hello {expected.fingerprint}" in firefox.open_url(website.url)
