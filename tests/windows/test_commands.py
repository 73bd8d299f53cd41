"""The commands on Windows, from a profile in its place there to a backup that opens again."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import PROFILES
from tests.builders.homes import add_home
from tests.builders.store import issue, rsa_key
from tests.cli.runner import COMMAND, FAST, STRONG, Cli, finish, names
from tests.conftest import MakeProfile

FIREFOX = "AppData/Roaming/Mozilla/Firefox"
LIST = "[Profile0]\nName=work\nIsRelative=1\nPath=Profiles/x1y2.work\nDefault=1\n"
NAME = "Jane Doe-WIPO Customer CA G2-2056-05-01.pfx"


@pytest.fixture
def jane(cli: Cli, profile: MakeProfile) -> Cli:
    """A user with a profile where Windows' Firefox has it."""
    root = cli.home / FIREFOX
    (root / "Profiles").mkdir(parents=True)
    (root / "profiles.ini").write_bytes(LIST.replace("\n", "\r\n").encode())
    profile("firefox-nopassword").rename(root / "Profiles" / "x1y2.work")
    return cli


def test_a_profile_is_found_where_windows_has_it(jane: Cli) -> None:
    (found,) = jane.run("profiles", "--json").document["profiles"]
    assert (found["name"], found["default"]) == ("work", True)
    assert found["path"] == str(jane.home / FIREFOX / "Profiles" / "x1y2.work")


def test_a_backup_is_made_and_a_pattern_names_it(jane: Cli) -> None:
    done = jane.run("export", "--password-file", jane.password_file(), *FAST)
    assert (done.status, names(jane.here)) == (0, [NAME])
    assert done.stdout.endswith(f"{NAME}\n")
    again = jane.run("export", "--password-file", jane.password_file(), *FAST)
    assert again.status == 30
    (found,) = jane.verify(Path("*.pfx"))
    assert (found["file"], found["ok"]) == (NAME, True)


def test_a_pattern_that_fits_nothing_is_a_missing_file(cli: Cli) -> None:
    done = cli.run("verify", "--password-file", cli.password_file(), "*.pfx")
    assert done.status == 32
    assert "`*.pfx` can't be read" in done.stdout


def test_a_reader_that_went_away_is_no_failure(jane: Cli) -> None:
    with subprocess.Popen(
        [*COMMAND, "list"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=jane.here,
        env=jane.variables(),
    ) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


def test_an_error_of_windows_is_said_in_english(cli: Cli) -> None:
    done = cli.run("export", "--certificate", "nothing.pem", "--password-file", "none")
    assert done.status == 2
    assert "no such file or directory" in done.stderr


@contextmanager
def held(file: Path, *, share_reading: bool = False) -> Iterator[None]:
    """Have a file open as programs do that keep others out, such as a spreadsheet."""
    if sys.platform != "win32":
        raise AssertionError
    import _winapi

    access = 0x80000000 if share_reading else 0xC0000000
    handle = _winapi.CreateFile(str(file), access, int(share_reading), 0, 3, 0, 0)
    yield
    _winapi.CloseHandle(handle)


HELD = "another program has the file open"


def test_a_database_that_another_program_holds_is_named(jane: Cli) -> None:
    database = jane.home / FIREFOX / "Profiles" / "x1y2.work" / "key4.db"
    with held(database):
        done = jane.run("list")
        assert done.status == 11
        assert f"key4.db` can't be read: {HELD}\n" in done.stderr
        assert "hint: close the program that has it open" in done.stderr
        assert "key4.db` is open in another program" in jane.run("doctor").stdout
    assert jane.run("list").status == 0


def test_a_list_of_passwords_open_in_a_spreadsheet_is_named(cli: Cli) -> None:
    homes = cli.folder / "homes"
    add_home(homes, "jane", "firefox-nopassword", platform="win32")
    words = ("batch", homes, "-o", "out", "--generate-passwords", *FAST)
    assert cli.run(*words).status == 0
    passwords = cli.here / "out" / "passwords.csv"
    with held(passwords):
        done = cli.run(*words)
        assert done.status == 31
        assert f"passwords.csv` can't be read: {HELD}" in done.stderr
    add_home(homes, "john", "firefox-nopassword", platform="win32")
    with held(passwords, share_reading=True):
        done = cli.run(*words)
        assert done.status == 3
        assert f"passwords.csv` can't be written: {HELD}" in done.stderr
    assert cli.run(*words).status == 0


def test_an_output_that_another_program_holds_is_named(jane: Cli) -> None:
    words = ("export", "--password-file", jane.password_file(), *FAST, "-o", "a.pfx", "--force")
    assert jane.run(*words).status == 0
    with held(jane.here / "a.pfx"):
        done = jane.run(*words)
        assert (done.status, HELD in done.stderr) == (31, True)


def test_a_closed_folder_is_known_before_the_password(jane: Cli) -> None:
    # Without a password, and nobody to ask. Nothing can be made in this folder of Linux.
    done = jane.run("export", "-o", "Z:\\sys\\a.pfx")
    assert done.status == 31
    assert "the folder `Z:\\sys` can't be written to" in done.stderr


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("nul", "`nul.pfx` is the name of a device on Windows"),
        ("aux.pfx", "`aux.pfx` is the name of a device on Windows"),
        ("Jane:2025", "`Jane:2025.pfx` can't be a name on Windows, because of the `:`"),
        ("con/a.pfx", "`con` is the name of a device on Windows"),
    ],
)
def test_a_name_that_windows_keeps_is_refused(jane: Cli, output: str, said: str) -> None:
    done = jane.run("export", "-o", output)
    assert (done.status, names(jane.here)) == (31, [])
    assert said in done.stderr


def typed(cli: Cli, line: str) -> subprocess.Popen[bytes]:
    """Start a command with a command line of Windows, as a shell hands it on."""
    return subprocess.Popen(
        f"{subprocess.list2cmdline(COMMAND)} {line}",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cli.here,
        env=cli.variables(),
    )


def test_a_backslash_before_the_last_quotation_mark(jane: Cli) -> None:
    folder = f"{jane.home / FIREFOX / 'Profiles' / 'x1y2.work'}\\"
    done = finish(typed(jane, f'list --profile "{folder}"'))
    assert (done.status, "Jane Doe" in done.stdout) == (0, True)
    done = finish(typed(jane, f'list --profile "{folder}" --json'))
    assert done.status == 2
    assert '" --json` was read as one word' in done.stderr
    assert "leave out the `\\` before a quotation mark" in done.stderr


@pytest.mark.parametrize(
    "content",
    [b"correct horse 7 \r\n", "correct horse 7\r\n".encode("utf-16")],
    ids=["echo in cmd", "echo in PowerShell 5.1"],
)
def test_a_primary_password_written_by_a_shell(cli: Cli, content: bytes) -> None:
    words = ("--primary-password-file", cli.file("primary", content))
    done = cli.export(PROFILES / "firefox-password", *words)
    assert done.status == 0, done


def test_a_list_of_profiles_in_the_ansi_code_page(jane: Cli) -> None:
    profiles = jane.home / FIREFOX / "Profiles"
    (profiles / "x1y2.work").rename(profiles / "Jörg")
    ini = LIST.replace("x1y2.work", "Jörg").replace("work", "Büro")
    (jane.home / FIREFOX / "profiles.ini").write_bytes(ini.encode("mbcs"))
    (found,) = jane.run("profiles", "--json").document["profiles"]
    assert (found["name"], found["path"]) == ("Büro", str(profiles / "Jörg"))


def test_control_characters_are_refused_in_a_new_password(jane: Cli) -> None:
    file = jane.file("password", f"{STRONG}\x1b[D\n")
    done = jane.run("export", "--password-file", file)
    assert done.status == 2
    assert "a password with control characters is refused" in done.stderr


def test_a_batch_goes_over_the_users_of_another_computer(cli: Cli) -> None:
    users = cli.folder / "c$" / "Users"
    add_home(users, "jane.V6", "firefox-nopassword", platform="win32")
    # Wine has no shares. This form of a path begins as theirs do, and is as little a drive's.
    root = f"\\\\?\\{users}"
    done = cli.run("batch", root, "-o", "out", "--generate-passwords", "--host", "PC-7", *FAST)
    assert done.status == 0, done
    report = json.loads((cli.here / "out" / "report.json").read_bytes())
    (item,) = report["items"]
    assert (report["host"], item["user"], item["status"]) == ("PC-7", "jane", "backed-up")


@contextmanager
def own_store() -> Iterator[tuple[Any, ctypes.c_void_p]]:
    """Windows' functions for certificates, and the user's store `MY`."""
    crypt = ctypes.WinDLL("crypt32")  # type: ignore[attr-defined,unused-ignore] # Windows has it
    for name in ("CertOpenSystemStoreW", "CertEnumCertificatesInStore"):
        getattr(crypt, name).restype = ctypes.c_void_p
    store = ctypes.c_void_p(crypt.CertOpenSystemStoreW(None, "MY"))
    yield crypt, store
    crypt.CertControlStore(store, 0, 3, None)  # CERT_STORE_CTRL_COMMIT
    crypt.CertCloseStore(store, 0)


def test_a_certificate_in_windows_own_store_is_named(cli: Cli) -> None:
    own = issue(rsa_key(0), "Somebody")
    with own_store() as (crypt, store):
        assert crypt.CertAddEncodedCertificateToStore(store, 1, own, len(own), 3, None)
    try:
        findings = cli.run("doctor", "--json").document["findings"]
        (found,) = (one for one in findings if one["code"] == "system-store")
        assert "`Somebody`" in found["message"]
        refused = cli.run("export", "--password-file", cli.password_file())
        assert "is in Windows' own store" in refused.stderr
    finally:
        with own_store() as (crypt, store):
            added = ctypes.c_void_p(crypt.CertEnumCertificatesInStore(store, None))
            crypt.CertDeleteCertificateFromStore(added)
