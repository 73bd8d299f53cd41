"""Firefox may run on the profile while it is backed up, and neither notices the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import need
from tests.peers.exports import FIXTURES, Expected, exportable
from tests.peers.firefox import Firefox
from tests.peers.readers import OpenSsl

_DATABASES = ("cert9.db", "key4.db")
_PASSWORD = "while Firefox runs"


@pytest.mark.parametrize("case", ["firefox-nopassword", "firefox-password"])
def test_a_profile_in_use_is_exported_and_left_alone(
    case: str, tmp_path: Path, require_peers: bool
) -> None:
    need(Firefox.missing(), required=require_peers)
    expected = next(each for each in exportable() if each.case == case)
    home = tmp_path / "home"
    profile = _profile(home, case)
    with Firefox(profile, password=expected.primary_password or None) as firefox:
        before = _databases(profile)
        shown = _run(home, "profiles", "--json")
        pfx = _export(home, tmp_path, expected)
        after = _databases(profile)
        owned = [certificate.sha256 for certificate in firefox.certificates()]
    assert after == before
    assert owned == [expected.fingerprint]
    assert [entry["in_use"] for entry in json.loads(shown)["profiles"]] == [True]
    assert OpenSsl().open(pfx, _PASSWORD).key_pkcs8 == expected.key


def test_what_firefox_imports_while_it_runs_can_be_exported_at_once(
    tmp_path: Path, require_peers: bool
) -> None:
    need(Firefox.missing(), required=require_peers)
    first, second = (
        next(each for each in exportable() if each.case == case)
        for case in ("firefox-nopassword", "ec-p256")
    )
    home = tmp_path / "home"
    profile = _profile(home, first.case)
    from tests.peers.exports import export

    other = export(second, tmp_path / "other", _PASSWORD, "modern")
    with Firefox(profile) as firefox:
        firefox.import_pfx(other, _PASSWORD)
        before = _databases(profile)
        pfx = _export(home, tmp_path, second)
        assert _databases(profile) == before
        assert len(firefox.certificates()) == 2
    assert OpenSsl().open(pfx, _PASSWORD).key_pkcs8 == second.key


def _profile(home: Path, case: str) -> Path:
    root = home / ".mozilla" / "firefox"
    profile = Path(shutil.copytree(FIXTURES / "profiles" / case, root / "abcd1234.default"))
    (root / "profiles.ini").write_text(
        "[Profile0]\nName=default\nIsRelative=1\nPath=abcd1234.default\nDefault=1\n",
        encoding="utf-8",
    )
    return profile


def _export(home: Path, folder: Path, expected: Expected) -> Path:
    for name, text in (("backup", _PASSWORD), ("primary", expected.primary_password)):
        (folder / name).write_text(text, encoding="utf-8")
    out = _run(
        home,
        *("export", expected.fingerprint, "--json", "-o", str(folder / "exported")),
        *("--password-file", str(folder / "backup")),
        *("--primary-password-file", str(folder / "primary")),
    )
    return Path(json.loads(out)["output"])


def _run(home: Path, *arguments: str) -> str:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", "nssbackup", *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    return done.stdout


def _databases(profile: Path) -> dict[str, tuple[bytes, int, int]]:
    """The databases' bytes, sizes and times, and that no journal lies beside them."""
    files = [path for path in profile.iterdir() if path.name.startswith(_DATABASES)]
    return {
        path.name: (path.read_bytes(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }
