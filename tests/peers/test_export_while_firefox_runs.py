"""Firefox may run on the profile while it is backed up, and neither notices the other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests import FIXTURES, LIMIT
from tests.cli.runner import names
from tests.peers import need
from tests.peers.exports import Expected, export, exportable
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


def test_what_firefox_imports_can_be_exported_at_once(tmp_path: Path, require_peers: bool) -> None:
    need(Firefox.missing(), required=require_peers)
    first, second = (
        next(each for each in exportable() if each.case == case)
        for case in ("firefox-nopassword", "ec-p256")
    )
    home = tmp_path / "home"
    profile = _profile(home, first.case)
    other = export(second, tmp_path / "other", _PASSWORD, "modern")
    with Firefox(profile) as firefox:
        firefox.import_pfx(other, _PASSWORD)
        before = _databases(profile)
        pfx = _export(home, tmp_path, second)
        assert _databases(profile) == before
        assert len(firefox.certificates()) == 2
    assert OpenSsl().open(pfx, _PASSWORD).key_pkcs8 == second.key


def test_exports_are_right_while_firefox_imports_and_deletes(
    tmp_path: Path, require_peers: bool, request: pytest.FixtureRequest
) -> None:
    """A share of 200 exports, every third with Firefox stopped in the middle of whatever it does.

    While it is stopped not a byte may change; before and afterwards it must find its databases
    neither locked nor damaged, or its next import or deletion fails.
    """
    need(Firefox.missing(), required=require_peers)
    staying, coming = (
        next(each for each in exportable() if each.case == case)
        for case in ("firefox-nopassword", "ec-p256")
    )
    home = tmp_path / "home"
    profile = _profile(home, staying.case)
    other = export(coming, tmp_path / "other", _PASSWORD, "modern")
    statuses: dict[Expected, list[int]] = {staying: [], coming: []}
    ended = threading.Event()
    with Firefox(profile) as firefox, ThreadPoolExecutor(1) as pool:

        def import_and_delete() -> int:
            turns = 0
            while not ended.is_set():
                firefox.import_pfx(other, _PASSWORD)
                firefox.delete_certificate(coming.fingerprint)
                turns += 1
            return turns

        busy = pool.submit(import_and_delete)
        try:
            for number in range(200 if request.config.getoption("--every-fault") else 20):
                expected = (staying, coming)[number % 2]
                with nullcontext() if number % 3 else _stopped(firefox, profile):
                    status, pfx = _try_to_export(home, tmp_path, expected)
                statuses[expected].append(status)
                if status == 0:
                    assert _key_in(pfx) == expected.key
        finally:
            ended.set()
        turns = busy.result()
        assert [one.sha256 for one in firefox.certificates()] == [staying.fingerprint]
    # 11: the store can't be read just now. 20, 22: there is no such certificate, or no key to it.
    assert set(statuses[staying]) <= {0, 11}
    assert set(statuses[coming]) <= {0, 11, 20, 22}
    assert 0 in statuses[staying]
    assert turns > 0
    for name in _DATABASES:
        with closing(sqlite3.connect(profile / name)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@contextmanager
def _stopped(firefox: Firefox, profile: Path) -> Iterator[None]:
    """Stop Firefox, and require that its profile stays as it is."""
    os.kill(firefox.pid, signal.SIGSTOP)
    try:
        _wait_for_every_thread(firefox.pid)
        before = _databases(profile), names(profile)
        yield
        assert (_databases(profile), names(profile)) == before
    finally:
        os.kill(firefox.pid, signal.SIGCONT)


def _wait_for_every_thread(process: int) -> None:
    """Wait until every thread is stopped: one in a system call first ends it, and may write."""
    end = time.monotonic() + LIMIT
    states = {"R"}
    while not states <= set("TZX"):
        assert time.monotonic() < end, states
        time.sleep(0.001)
        with suppress(OSError):  # a thread has just ended
            stats = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/stat")]
            states = {text.rpartition(")")[2].split()[0] for text in stats}


def _try_to_export(home: Path, folder: Path, expected: Expected) -> tuple[int, Path]:
    (folder / "backup").write_text(_PASSWORD, encoding="utf-8")
    pfx = folder / "again.pfx"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nssbackup", "export", expected.fingerprint, "-o", pfx),
            *("--force", "--kdf-rounds", "2048", "--password-file", folder / "backup"),
        ],
        check=False,
        capture_output=True,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        timeout=LIMIT,
    )
    return done.returncode, pfx


def _key_in(pfx: Path) -> bytes:
    key, _, _ = pkcs12.load_key_and_certificates(pfx.read_bytes(), _PASSWORD.encode())
    assert key is not None
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


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
        timeout=LIMIT,
    )
    return done.stdout


def _databases(profile: Path) -> dict[str, tuple[str, int, int]]:
    """Return the SHA-256, size and time of each database and journal."""
    return {
        path.name: (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_size,
            path.stat().st_mtime_ns,
        )
        for path in profile.iterdir()
        if path.name.startswith(_DATABASES)
    }
