"""Packing and unpacking: what goes to a host, and what is believed of what comes home."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from nssbackup.errors import DamagedBackupError, OutputError
from nssbackup.fleet import transfer
from nssbackup.fleet.transfer import pack, pack_for_host, unpack
from tests.builders.homes import JANE, add_home
from tests.cli.runner import Cli
from tests.fleet.test_documents import ITEM

EMPTY: dict[str, Any] = {"roots": [], "notes": [], "items": []}
Facts = dict[str, tuple[int, int, int, int, bytes]]

BACKUP = "jane/Jane Doe-WIPO-2056-05-01.pfx"
CONTENTS = {
    ".nssbackup/jane.json": b"state",
    ".nssbackup/lock": b"",
    BACKUP: b"pfx",
    f"escrow/{BACKUP}.0123456789abcdef.p7m": b"sealed",
    "passwords.csv": b"user,password\njane,secret-1\n",
    "report.csv": b"report",
    "report.html": b"report",
    "report.json": json.dumps(EMPTY).encode(),
}


def fill(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in contents.items():
            file.writestr(name, data)
    return path


def contents_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_all_comes_home_but_the_lock(tmp_path: Path) -> None:
    there = fill(tmp_path / "there", CONTENTS)
    pack(there, tmp_path / "after.zip")
    done = unpack(tmp_path / "after.zip", tmp_path / "home")
    expected = {name: data for name, data in CONTENTS.items() if not name.endswith("lock")}
    assert contents_of(tmp_path / "home") == expected
    assert (set(done.new), done.replaced, done.unchanged) == (set(expected), [], [])
    assert done.changed
    for path in (tmp_path / "home", *(tmp_path / "home").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    assert (tmp_path / "after.zip").stat().st_mode & 0o777 == 0o600


def test_a_backup_comes_after_its_password_and_before_the_state(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "after.zip", CONTENTS)
    assert [name.rpartition("/")[2] for name in unpack(archive, tmp_path / "home").new] == [
        "Jane Doe-WIPO-2056-05-01.pfx.0123456789abcdef.p7m",
        "passwords.csv",
        "Jane Doe-WIPO-2056-05-01.pfx",
        "jane.json",
        "lock",
        "report.csv",
        "report.html",
        "report.json",
    ]


def test_no_password_and_no_report_goes_to_a_host(tmp_path: Path) -> None:
    here = fill(tmp_path / "here", CONTENTS)
    certificate = tmp_path / "it.pem"
    certificate.write_bytes(b"certificate")
    wheels = fill(tmp_path / "wheels", {"a-1-py3-none-any.whl": b"wheel", "b.txt": b"none"})
    files = {"escrow-0.pem": certificate, "wheels": wheels}
    pack_for_host(here, tmp_path / "nssbackup.zip", files)
    with zipfile.ZipFile(tmp_path / "nssbackup.zip") as file:
        assert set(file.namelist()) == {
            "__main__.py",
            "escrow-0.pem",
            "out/.nssbackup/jane.json",
            "out/.nssbackup/passwords-elsewhere",
            "out/escrow/passwords-elsewhere",
            f"out/{BACKUP}",
            "wheels/a-1-py3-none-any.whl",
        }
    pack_for_host(tmp_path / "absent", tmp_path / "first.zip", {})
    with zipfile.ZipFile(tmp_path / "first.zip") as file:
        assert file.namelist() == ["__main__.py", "out/.nssbackup/passwords-elsewhere"]


# What people, their editors and file managers leave beside what a batch makes.
OTHERS = (
    *("passwords.csv~", "passwords.csv.bak", ".~lock.passwords.csv#", "#passwords.csv#"),
    *("passwords (copy).csv", "Passwords.csv", "passwords.pfx", "note 10:30.txt", ".DS_Store"),
    *("jane/opened by IT.json", "jane/note 10:30.txt", "jane/note 10:30.pfx", "jane/a.pfx.txt"),
    *("jane/old/Jane Doe.pfx", "jane/lock", "jane/.nssbackup-0123456789abcdef.tmp"),
    *(".nssbackup/jane.json~", ".nssbackup/jane/passwords.json", ".nssbackup/a.pfx"),
    *(".nssbackup/.nssbackup-0123456789abcdef.tmp", ".nssbackup/fleet.lock", ".trash/a.pfx"),
    *("escrow/passwords.json", "escrow/a.pfx", "Escrow/b.pfx", "report.json.bak"),
    *("reports/report.json", "jane/undecodable\udcff.pfx"),
)


def test_what_no_batch_made_stays_on_the_controller(tmp_path: Path) -> None:
    here = fill(tmp_path / "here", {**CONTENTS, **dict.fromkeys(OTHERS, b"secret")})
    pack_for_host(here, tmp_path / "nssbackup.zip", {})
    with zipfile.ZipFile(tmp_path / "nssbackup.zip") as file:
        assert set(file.namelist()) == {
            "__main__.py",
            "out/.nssbackup/jane.json",
            "out/.nssbackup/passwords-elsewhere",
            "out/escrow/passwords-elsewhere",
            f"out/{BACKUP}",
        }
        file.extractall(tmp_path / "there")
    # And what the host has can come home: with its mark, no run here would miss a password.
    pack(tmp_path / "there" / "out", tmp_path / "after.zip")
    done = unpack(tmp_path / "after.zip", here)
    assert (done.new, done.replaced) == ([], [])
    assert set(done.unchanged) == {".nssbackup/jane.json", BACKUP}


def test_what_is_there_already_is_not_touched(
    tmp_path: Path, snapshot_of: Callable[[Path], Facts]
) -> None:
    contents = {name: CONTENTS[name] for name in (BACKUP, "report.json")}
    archive = zipped(tmp_path / "after.zip", contents)
    unpack(archive, tmp_path / "home")
    before = snapshot_of(tmp_path / "home"), snapshot_of(tmp_path / "home" / "jane")
    done = unpack(archive, tmp_path / "home")
    assert (done.new, done.replaced, done.changed) == ([], [], False)
    assert (snapshot_of(tmp_path / "home"), snapshot_of(tmp_path / "home" / "jane")) == before


def test_only_a_renewed_backup_is_a_change_not_a_report(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", CONTENTS)
    quiet = {
        "report.json": json.dumps({**EMPTY, "notes": ["new"]}).encode(),
        ".nssbackup/jane.json": b"other",
    }
    done = unpack(zipped(tmp_path / "1.zip", quiet), home)
    assert (set(done.replaced), done.changed) == (set(quiet), False)
    done = unpack(zipped(tmp_path / "2.zip", {BACKUP: b"renewed"}), home)
    assert (done.replaced, done.changed) == ([BACKUP], True)
    assert (home / BACKUP).read_bytes() == b"renewed"


def test_a_host_gets_its_own_passwords_only(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("host,user,password\nada,jane,mine\nberta,zoe,hers\n")
    files = dict.fromkeys(("passwords", "primary-passwords"), tmp_path / "all.csv")
    pack_for_host(tmp_path / "ada", tmp_path / "nssbackup.zip", files)
    with zipfile.ZipFile(tmp_path / "nssbackup.zip") as file:
        for name in files:
            assert file.read(name).split() == [
                b"host,user,profile,fingerprint,password",
                b"ada,jane,,,mine",
            ]


def test_an_earlier_backup_and_the_escrow_stay(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", CONTENTS)
    escrow = f"escrow/{BACKUP}.0123456789abcdef.p7m"
    theirs = {BACKUP: b"theirs", escrow: b"for somebody else"}
    kept = f"{BACKUP.removesuffix('.pfx')}.{sha256(b'pfx').hexdigest()[:16]}.pfx"
    other = f"{escrow}.{sha256(b'for somebody else').hexdigest()[:16]}"
    for _ in range(2):
        unpack(zipped(tmp_path / "after.zip", theirs), home)
        assert contents_of(home) == {
            **CONTENTS,
            BACKUP: b"theirs",
            kept: b"pfx",
            other: b"for somebody else",
        }
    pack_for_host(home, tmp_path / "nssbackup.zip", {})
    with zipfile.ZipFile(tmp_path / "nssbackup.zip") as file:
        assert f"out/{BACKUP}" in file.namelist()
        assert f"out/{kept}" not in file.namelist()


def test_new_passwords_are_put_behind_the_old_ones(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"passwords.csv": b"user,password\njane,secret-1"})
    archive = zipped(tmp_path / "after.zip", {"passwords.csv": b"user,password\nzoe,secret-2\n"})
    for _ in range(2):
        unpack(archive, home)
        found = (home / "passwords.csv").read_bytes()
        assert found == b"user,password\njane,secret-1\nzoe,secret-2\n"


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "a/../../outside",
        "/outside",
        "a//b",
        "./a",
        "C:outside",
        "a\\..\\outside",
        "a\nb",
        "a" * 256,
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "after.zip", {BACKUP: b"pfx", name: b"evil"})
    with pytest.raises(DamagedBackupError, match="a name that is not allowed"):
        unpack(archive, tmp_path / "home")
    assert [path.name for path in tmp_path.iterdir()] == ["after.zip"]


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "after.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DamagedBackupError, match="a name that is not allowed"):
        unpack(tmp_path / "after.zip", tmp_path / "home")


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_a_link_in_the_folder_is_replaced_and_never_followed(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (home / "report.csv").symlink_to(outside / "kept")
    unpack(zipped(tmp_path / "1.zip", {"report.csv": b"report"}), home)
    assert not (home / "report.csv").is_symlink()
    (home / "jane").symlink_to(outside)
    with pytest.raises(OutputError, match="is a link"):
        unpack(zipped(tmp_path / "2.zip", {BACKUP: b"pfx"}), home)
    assert contents_of(outside) == {"kept": b"kept"}


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_FILE", "MAX_ALL"])
def test_an_archive_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    archive = zipped(tmp_path / "after.zip", {"a.pfx": b"pfx", "b.pfx": b"pfx"})
    monkeypatch.setattr(transfer, limit, 1)
    with pytest.raises(DamagedBackupError, match="too large: 2 files, 6 bytes"):
        unpack(archive, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_file_that_is_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "after.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.pfx", b"0" * 1_000_000)
    data = archive.read_bytes()
    archive.write_bytes(data.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(DamagedBackupError):
        unpack(archive, tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("cut", [0, 10, -30])
def test_half_an_archive_leaves_everything_as_it_was(tmp_path: Path, cut: int) -> None:
    archive = zipped(tmp_path / "after.zip", CONTENTS)
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(DamagedBackupError):
        unpack(archive, tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("seed", range(4))
def test_an_archive_damaged_anywhere_is_refused_in_words(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret: the same bytes every time
    method = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[seed]
    archive = tmp_path / "after.zip"
    with zipfile.ZipFile(archive, "w", method) as file:
        file.writestr("jane/Jan\u00e9.pfx", b"pfx" * 300)
        file.writestr("report.json", json.dumps(EMPTY).encode())
    whole = archive.read_bytes()
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        archive.write_bytes(data)
        try:
            unpack(archive, tmp_path / "home")
        except (DamagedBackupError, OutputError):
            refused += 1
    assert refused > 100


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "after.zip", "w") as file:
        file.writestr(BACKUP, b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr(BACKUP, b"two")
    with pytest.raises(DamagedBackupError, match="twice"):
        unpack(tmp_path / "after.zip", tmp_path / "home")


@pytest.mark.parametrize("status", ["backed-up", "unchanged"])
@pytest.mark.parametrize("there", [b"other", None])
def test_a_backup_is_what_the_report_says(tmp_path: Path, status: str, there: bytes | None) -> None:
    item = {**ITEM, "status": status, "file": BACKUP, "sha256": sha256(b"pfx").hexdigest()}
    report = {"report.json": json.dumps({**EMPTY, "items": [item]}).encode()}
    good = zipped(tmp_path / "good.zip", {**report, BACKUP: b"pfx"})
    unpack(good, tmp_path / "good")
    bad = zipped(tmp_path / "bad.zip", {**report, **({BACKUP: there} if there else {})})
    with pytest.raises(DamagedBackupError, match="not the file that the report describes"):
        unpack(bad, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize("report", [b"", b"[" * 100_000, b"7", b'{"items": 7}', b'{"items": [7]}'])
def test_an_archive_with_an_invalid_report_is_refused(tmp_path: Path, report: bytes) -> None:
    archive = zipped(tmp_path / "after.zip", {"report.json": report, BACKUP: b"pfx"})
    with pytest.raises(DamagedBackupError, match="not one of `nssbackup batch`"):
        unpack(archive, tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["report.json", BACKUP])
def test_a_small_archive_costs_little_however_much_is_in_it(tmp_path: Path, name: str) -> None:
    """58 kB of archive once cost the controller 1,470 MB."""
    archive = tmp_path / "after.zip"
    contents = {**CONTENTS, name: b'{"items":[' + b"[]," * 23_000_000}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for inside, data in contents.items():
            file.writestr(inside, data)
    contents.clear()
    assert archive.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(DamagedBackupError, match="too large"):
            unpack(archive, tmp_path / "home")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert not (tmp_path / "home").exists()


def test_a_file_that_many_items_name_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {**ITEM, "file": BACKUP, "sha256": sha256(b"pfx").hexdigest()}
    report = json.dumps({**EMPTY, "items": [item] * 20}).encode()
    archive = zipped(tmp_path / "after.zip", {"report.json": report, BACKUP: b"pfx"})
    read: list[str] = []
    opened = zipfile.ZipFile.open

    def note(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> object:
        read.append(entry.filename)
        return opened(file, entry)

    monkeypatch.setattr(zipfile.ZipFile, "open", note)
    unpack(archive, tmp_path / "home")
    assert read.count(BACKUP) == 2  # once for its digest, once to write it


def test_the_programs_of_the_role_say_what_is_the_matter(tmp_path: Path) -> None:
    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nssbackup.fleet", *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(temporary)},
        )

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    fill(tmp_path / "there", {BACKUP: b"pfx"})
    (tmp_path / "absolute").write_text("password")
    files = json.dumps({"password-file": str(tmp_path / "absolute")})
    done = run("pack", "there", files)
    packed = Path(done.stdout)
    with zipfile.ZipFile(packed / "nssbackup.zip") as file:
        assert file.namelist() == [
            "__main__.py",
            f"out/{BACKUP}",
            "out/.nssbackup/passwords-elsewhere",
            "password-file",
        ]
    assert packed.stat().st_mode & 0o077 == 0
    again = run("pack", "there", json.dumps({"password-file": "absent"}))
    assert (again.returncode, again.stdout) == (31, "")
    assert again.stderr == "`absent` can't be packed: no such file or directory\n"
    assert list(packed.parent.iterdir()) == [packed]
    with zipfile.ZipFile(tmp_path / "after.zip", "w") as file:
        file.writestr(BACKUP, b"pfx")
    done = run("unpack", "after.zip", "home")
    assert json.loads(done.stdout) == {
        "changed": True,
        "new": [BACKUP],
        "replaced": [],
        "unchanged": [],
    }
    broken = run("unpack", "there/" + BACKUP, "home")
    assert (broken.returncode, "Traceback" in broken.stderr) == (32, False)
    assert run("nonsense").returncode == 2


def test_a_host_knows_that_passwords_are_in_escrow(cli: Cli, tmp_path: Path) -> None:
    """The host's own `batch` refuses, and the mark that told it does not come back."""
    here = fill(tmp_path / "here", CONTENTS)
    pack_for_host(here, tmp_path / "nssbackup.zip", {})
    with zipfile.ZipFile(tmp_path / "nssbackup.zip") as file:
        file.extractall(cli.here)
    add_home(tmp_path / "homes", "jane", JANE)
    words = ("batch", "--homes", tmp_path / "homes", "-o", "out", "--json")
    refused = cli.run(*words)
    assert (refused.status, refused.error["code"]) == (2, "usage")
    assert "are in escrow" in str(refused.error["message"])
    assert cli.run(*words, "--no-escrow").status == 0
    pack(cli.here / "out", tmp_path / "after.zip")
    with zipfile.ZipFile(tmp_path / "after.zip") as file:
        assert not [name for name in file.namelist() if name.startswith("escrow/")]
