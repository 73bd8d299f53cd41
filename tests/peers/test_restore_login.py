"""A real Firefox takes a restored profile for its own, and logs in with what was restored."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from nssbackup.errors import RestoreError
from nssbackup.stores import EngineName
from nssbackup.stores.nss import NssEngine
from tests.peers import need
from tests.peers.exports import PASSWORDS, Expected, authorities
from tests.peers.firefox import Firefox
from tests.peers.restores import ENGINES, TARGETS, identity_of, restore
from tests.peers.website import Website

_NATIVE: EngineName = "native"
_NSS: EngineName = "nss"

# NSS itself looks at stores of every other origin (test_restore.py).
_ORIGINS = (
    *("firefox-nopassword", "firefox-password", "nss3110-password", "tripledes-password"),
    *("two-people", "key-alone", "certificate-alone"),
)


@pytest.fixture(autouse=True)
def _firefox(require_peers: bool) -> None:
    need(Firefox.missing(), required=require_peers)


def log_in(folder: Path, primary: str, expected: Expected, exported: Path) -> None:
    """Have Firefox list the certificate, log in with it and export it."""
    with (
        Website(authorities(expected)) as website,
        Firefox(folder, password=primary or None) as firefox,
    ):
        assert firefox.has_primary_password() == bool(primary)
        listed = {one.sha256 for one in firefox.certificates()}
        assert expected.fingerprint in listed
        firefox.import_ca(website.authority)
        # Only one of those that are there fits, or the newest is chosen: then the others go.
        for other in listed - {expected.fingerprint}:
            firefox.delete_certificate(other)
        assert f"hello {expected.fingerprint}" in firefox.open_url(website.url)
        firefox.export_pfx(exported, PASSWORDS["umlaut"], sha256=expected.fingerprint)
    assert exported.stat().st_size > 0


@pytest.mark.parametrize(
    ("case", "target", "engine"),
    [
        *((case, "no-databases", _NATIVE) for case in ("chain3", "ec-p256", "ec-p521")),
        *(("nss387-password", target, _NATIVE) for target in _ORIGINS),
        *(("ec-p384", target, _NSS) for target in ("firefox-password-unicode", "key-alone")),
    ],
)
def test_firefox_logs_in_with_it(
    case: str, target: str, engine: EngineName, tmp_path: Path, require_peers: bool
) -> None:
    if engine == "nss":
        need(NssEngine().unavailable(), required=require_peers)
    expected = identity_of(case)
    folder, primary = TARGETS[target].make(tmp_path / "profile", expected)
    assert restore(expected, folder, primary, engine).changed
    log_in(folder, primary, expected, tmp_path / "firefox.p12")


@pytest.mark.parametrize("password", ["", "Grüße aus Zürich"])
def test_into_a_profile_that_firefox_has_made_and_closed(password: str, tmp_path: Path) -> None:
    expected = identity_of("chain3")
    folder = tmp_path / "profile"
    with Firefox(folder) as firefox:
        if password:
            firefox.set_primary_password("", password)
        # While it runs it is told from a closed one, and nothing happens.
        before = _digests(folder)
        with pytest.raises(RestoreError, match="profile `target` is in use by Firefox") as refused:
            restore(expected, folder, password)
        assert "Manage certificates > Your Certificates > Import" in str(refused.value.hint)
        assert _digests(folder) == before
        assert firefox.certificates() == ()
    report = restore(expected, folder, password)
    assert report.aside is not None
    log_in(folder, password, expected, tmp_path / "firefox.p12")
    # What was there before is there still, beside it, and Firefox takes that as well.
    other = tmp_path / "before"
    shutil.copytree(report.aside, other)
    with Firefox(other) as firefox:
        assert firefox.certificates() == ()
        assert firefox.has_primary_password() == bool(password)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_root_that_was_trusted_is_trusted_by_firefox(
    engine: EngineName, tmp_path: Path, require_peers: bool
) -> None:
    if engine == "nss":
        need(NssEngine().unavailable(), required=require_peers)
    expected = identity_of("chain3")
    for trust_ca in (False, True):
        folder = tmp_path / f"{engine}-{trust_ca}"
        folder.mkdir()
        restore(expected, folder, engine=engine, trust_ca=trust_ca)
        with Firefox(folder) as firefox:
            assert firefox.trusts(expected.certificates[-1]) == trust_ca
            assert not firefox.trusts(expected.certificates[-2])


def _digests(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("cert9.db", "key4.db")
    }
