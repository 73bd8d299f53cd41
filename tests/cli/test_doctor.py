"""`doctor`: what it prints of states that are really there, and what it ends with."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import is_root
from tests.builders.store import StoreBuilder, issue, name, rsa_key
from tests.cli.runner import FAST, Cli, unprivileged, without_one
from tests.conftest import MakeProfile, Unchanged
from tests.peers import need
from tests.peers.firefox import Firefox
from tests.peers.nss import Nss, available
from tests.peers.process import run

WIPO = name("WIPO Test CA", "WIPO")
EVIL = "\x1b[31mred\x07\r\u202egnp.exe\u2066\x9b2J"
REPORT = (
    *("backup_possible", "status", "identity", "profiles", "findings", "engines", "versions"),
    *("password_needed", "searched", "choice_needed", "choices"),
)
PROFILE = ("application", "name", "path", "store", "in_use", "findings")
NOBODY = 65534


def in_firefox(cli: Cli, folder: Path, name_: str = "work") -> Path:
    """Put a profile where Firefox has them."""
    root = cli.home / ".mozilla" / "firefox"
    root.mkdir(parents=True, exist_ok=True)
    number = len(list(root.iterdir()))
    with (root / "profiles.ini").open("a", encoding="utf-8") as ini:
        ini.write(f"[Profile{number}]\nName={name_}\nIsRelative=1\nPath=abc.{name_}\n\n")
    return folder.rename(root / f"abc.{name_}")


def codes(found: list[dict[str, Any]]) -> set[str]:
    return {one["code"] for one in found}


def test_all_is_well_in_a_few_lines_and_nothing_on_stderr(cli: Cli, profile: MakeProfile) -> None:
    folder = in_firefox(cli, profile("firefox-nopassword"))
    result = cli.run("doctor")
    assert (result.status, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"Firefox profile `work` (default): {folder}"
    assert lines[1].startswith("  Note: The certificate of `Jane Doe` (issued by WIPO Customer CA")
    assert lines[-1] == "A backup is possible now: run `nssbackup export`."


def test_a_problem_is_told_with_what_to_do_and_the_conclusion(
    cli: Cli, profile: MakeProfile
) -> None:
    in_firefox(cli, profile("certificate-without-key"))
    result = cli.run("doctor")
    assert (result.status, result.stderr) == (22, "")
    lines = result.stdout.splitlines()
    problem = next(number for number, line in enumerate(lines) if line.startswith("  Problem: "))
    assert lines[problem + 1].startswith("    What to do: The key is created where a certificate")
    assert lines[-1].startswith("No backup is possible yet: the private key of `Jane Doe` is not")


@pytest.mark.parametrize(
    ("fixture", "status"),
    [
        ("ec-p256", 0),
        ("nss387-password", 0),
        ("two-people", 21),
        ("foreign-only", 20),
        ("key-without-certificate", 20),
        ("certificate-without-key", 22),
        ("dsa", 22),
    ],
)
def test_the_document_has_the_same_keys_in_every_case(
    cli: Cli, profile: MakeProfile, fixture: str, status: int
) -> None:
    folder = in_firefox(cli, profile(fixture))
    result = cli.run("doctor", "--json")
    assert (result.status, result.stderr) == (status, "")
    document = result.document
    assert without_one(document, REPORT) == set()
    assert document["status"] == status
    assert document["backup_possible"] is (status == 0)
    assert document["choice_needed"] is (fixture in ("two-people", "foreign-only"))
    assert ("error" in document) is (status != 0)
    (one,) = document["profiles"]
    assert without_one(one, PROFILE) == set()
    assert one["path"] == str(folder)
    assert cli.run("doctor").status == status


def test_nothing_is_changed_asked_or_left(
    cli: Cli, profile: MakeProfile, unchanged: Unchanged
) -> None:
    folder = in_firefox(cli, profile("nss387-password"))
    with unchanged(folder), unchanged(cli.home):
        talk = cli.talk("doctor", answers=())
        assert talk.status == 0
        assert "you will be asked for the Primary Password" in " ".join(talk.text.split())
    assert list(cli.temporary.iterdir()) == []


def test_a_terminal_gets_lines_that_fit_without_colour(cli: Cli, profile: MakeProfile) -> None:
    in_firefox(cli, profile("key-without-certificate"))
    talk = cli.talk("doctor", answers=())
    assert talk.status == 20
    assert "\x1b" not in talk.transcript
    lines = talk.text.replace("\r", "").splitlines()
    # A path stays whole, so that it can be copied.
    assert all(len(line) <= 100 or str(cli.folder) in line for line in lines), max(lines, key=len)
    problem = next(line for line in lines if line.startswith("  Problem:"))
    behind = lines[lines.index(problem) + 1]
    assert behind.startswith("    What to do: ")
    assert lines[lines.index(behind) + 1].startswith("      ")


def test_quiet_leaves_notes_out_and_verbose_adds_versions(cli: Cli, profile: MakeProfile) -> None:
    in_firefox(cli, profile("chain-incomplete"))
    quiet = cli.run("doctor", "-q").stdout
    assert "Warning:" in quiet
    assert "Note:" not in quiet
    assert "Engine" not in quiet
    assert quiet.splitlines()[-1].startswith("A backup is possible now")
    plain, verbose = cli.run("doctor").stdout, cli.run("doctor", "-v").stdout
    assert "Versions:" not in plain
    assert "Engine" not in plain
    assert "Engine `native`: works here." in verbose
    assert re.search(r"Versions: nssbackup \S+, python 3\.\d+\.\d+, cryptography \d", verbose)


def test_the_command_that_is_named_does_it(cli: Cli, profile: MakeProfile) -> None:
    first = profile("firefox-nopassword").rename(cli.folder / "a 'profile' ($old)")
    result = cli.run("doctor", "Jane Doe", "--profile", first, "--app", "firefox")
    assert result.status == 10  # the folder is no known application's
    result = cli.run("doctor", "Jane Doe", "--profile", first)
    (command,) = re.findall(r"run `(nssbackup export .*)`", result.stdout)
    words = shlex.split(command)[1:]
    done = cli.run(*words, "--password-file", cli.password_file(), *FAST)
    assert done.status == 0
    assert (cli.here / done.stdout.strip()).is_file()


def test_after_a_refresh_the_old_profile_is_named_and_used(cli: Cli, profile: MakeProfile) -> None:
    old = cli.home / "Desktop" / "Alte Firefox-Daten" / "abc.default"
    old.parent.mkdir(parents=True)
    profile("firefox-nopassword").rename(old)
    new = in_firefox(cli, profile("key-without-certificate"), "new")
    shutil.copy(old / "key4.db", new / "key4.db")
    result = cli.run("doctor")
    assert result.status == 0
    assert "*Refresh Firefox* puts old profiles there" in result.stdout
    assert "(left behind by a refresh)" in result.stdout
    assert str(old) in result.stdout
    done = cli.run("export", "--password-file", cli.password_file(), *FAST)
    assert done.status == 0
    named = cli.run("doctor", "--profile", "new")
    assert named.status == 20
    assert "leave `--profile` out" in named.stdout


def test_a_lock_that_is_held_is_a_note(cli: Cli, profile: MakeProfile) -> None:
    folder = in_firefox(cli, profile("ec-p256"))
    with (folder / ".parentlock").open("wb") as lock:
        fcntl.fcntl(lock, fcntl.F_SETLK, struct.pack("hhqqi0q", fcntl.F_WRLCK, 0, 0, 0, 0))
        result = cli.run("doctor")
    assert result.status == 0
    assert "Firefox has this profile open now; it can still be read." in result.stdout


CASES = {
    "one": ("ec-p256",),
    "two people": ("two-people",),
    "one each in two profiles": ("ec-p256", "firefox-nopassword"),
    "another issuer": ("foreign-only",),
    "no key": ("certificate-without-key",),
    "no certificate": ("key-without-certificate",),
    "a key that stays": ("dsa",),
    "renewed": ("renewed",),
    "expired": ("expired",),
    "damaged": ("ec-p256", "bad"),
    "only damaged": ("bad",),
    "empty": ("none",),
    "closed": ("closed",),
    "closed and another": ("ec-p384", "closed"),
    "nothing": (),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("words", [(), ("Jane",), ("nobody",)])
def test_the_status_is_that_of_an_unattended_export(
    cli: Cli,
    profile: MakeProfile,
    not_mine: Callable[[Path, int], None],
    case: str,
    words: tuple[str, ...],
) -> None:
    for number, fixture in enumerate(CASES[case]):
        known = fixture if fixture not in ("bad", "none", "closed") else "ec-p521"
        folder = in_firefox(cli, profile(known), f"p{number}")
        if fixture == "bad":
            (folder / "cert9.db").write_bytes(b"no database at all" * 99)
        elif fixture == "none":
            (folder / "cert9.db").unlink()
            (folder / "key4.db").unlink()
        elif fixture == "closed":
            not_mine(folder, 0)
    prefix = unprivileged() if "closed" in case else ()
    done = cli.run("doctor", "--json", *words, prefix=prefix)
    export = cli.run(
        "export", "--json", *words, "--password-file", cli.password_file(), *FAST, prefix=prefix
    )
    assert done.status == export.status
    document = done.document
    assert document["backup_possible"] is (export.status == 0)
    asked = export.status == 21 or (export.status == 20 and not words and case == "another issuer")
    assert document["choice_needed"] is asked
    if export.status == 0:
        assert document["identity"]["sha256"] == export.document["identity"]["sha256"]
    else:
        assert document["identity"] is None or export.status == 22
        assert document["error"]["code"] == export.error["code"]


# --- what may not be read


@pytest.fixture
def not_mine(cli: Cli) -> Callable[[Path, int], None]:
    """Closes a file or folder, and gives it to another user where that is possible."""
    for folder in (cli.folder, *cli.folder.parents):
        if folder.stat().st_uid != os.geteuid() or folder == Path("/tmp"):  # noqa: S108
            break
        folder.chmod(0o755)

    def close(path: Path, mode: int) -> None:
        path.chmod(mode)
        if is_root():
            os.chown(path, NOBODY, NOBODY)

    return close


WHOSE = "belongs to the user `nobody`" if is_root() else "is yours"
HOW = "Run nssbackup as `nobody` or as an administrator" if is_root() else "chmod -R u+rX"


def test_a_file_that_may_not_be_read_is_named_with_its_owner(
    cli: Cli, profile: MakeProfile, not_mine: Callable[[Path, int], None]
) -> None:
    folder = in_firefox(cli, profile("ec-p256"))
    not_mine(folder / "key4.db", 0)
    result = cli.run("doctor", prefix=unprivileged())
    assert (result.status, result.stderr) == (11, "")
    assert f"Problem: The file `{folder / 'key4.db'}` {WHOSE}, and you may not" in result.stdout
    assert HOW in result.stdout
    assert result.stdout.splitlines()[-1].startswith(
        "No backup is possible yet: the databases of a profile can't be read."
    )


@pytest.mark.parametrize("named", [False, True])
def test_a_closed_folder_is_named_with_its_owner(
    cli: Cli, profile: MakeProfile, not_mine: Callable[[Path, int], None], named: bool
) -> None:
    folder = in_firefox(cli, profile("ec-p256"))
    not_mine(folder, 0)
    words = ("--profile", folder) if named else ()
    result = cli.run("doctor", *words, prefix=unprivileged())
    assert (result.status, result.stderr) == (11, "")
    assert f"Problem: The folder `{folder}` {WHOSE}, and you may not look" in result.stdout
    assert HOW in result.stdout
    assert "you may not look into the folder of a profile" in result.stdout.splitlines()[-1]
    folder.chmod(0o755)


def test_a_closed_profile_is_called_so_by_every_command(
    cli: Cli, profile: MakeProfile, not_mine: Callable[[Path, int], None]
) -> None:
    folder = in_firefox(cli, profile("ec-p256"))
    not_mine(folder, 0)
    for command in ("list", "export"):
        done = cli.run(command, "--json", prefix=unprivileged())
        assert (done.status, done.error["code"]) == (11, "store-unreadable")
        assert f"may not look into the folder `{folder}`" in done.error["message"]
    beside = in_firefox(cli, profile("ec-p384"), "other")
    done = cli.run("list", "--json", prefix=unprivileged())
    assert done.status == 0
    assert [one["profile"] for one in done.document["errors"]] == [str(folder)]
    assert [one["profile"] for one in done.document["identities"]] == [str(beside)]
    folder.chmod(0o755)


def test_export_says_what_the_doctor_found(cli: Cli, profile: MakeProfile) -> None:
    in_firefox(cli, profile("key-without-certificate"))
    done = cli.run("export", "--json", "--password-file", cli.password_file(), *FAST)
    assert done.status == 20
    assert done.error["hint"].startswith("there is a private key, but not its certificate: ")


def test_a_closed_root_is_named_with_its_owner(
    cli: Cli, profile: MakeProfile, not_mine: Callable[[Path, int], None]
) -> None:
    in_firefox(cli, profile("ec-p256"))
    not_mine(cli.home / ".mozilla", 0)
    result = cli.run("doctor", "--json", prefix=unprivileged())
    assert result.status == 10
    found = {one["code"]: one for one in result.document["findings"]}
    assert f"`{cli.home / '.mozilla'}`" in found["root-unreadable"]["message"]
    assert WHOSE in found["root-unreadable"]["message"]
    assert "no-profile" in found
    (cli.home / ".mozilla").chmod(0o755)


def test_a_file_of_ones_own_that_may_not_be_read(cli: Cli, profile: MakeProfile) -> None:
    folder = in_firefox(cli, profile("ec-p256"))
    (folder / "cert9.db").chmod(0)
    result = cli.run("doctor", prefix=unprivileged())
    assert f"The file `{folder / 'cert9.db'}` is yours, and you may not read it." in result.stdout
    assert f"`chmod -R u+rX {folder / 'cert9.db'}`" in result.stdout


# --- what is named and not there


def test_no_profile_at_all(cli: Cli) -> None:
    result = cli.run("doctor")
    assert (result.status, result.stderr) == (10, "")
    assert "none of the folders in which Firefox, Thunderbird and programs like" in result.stdout
    assert "What to do: Give the folder that holds cert9.db and key4.db" in result.stdout
    document = cli.run("doctor", "--json").document
    assert codes(document["findings"]) == {"no-profile", "elsewhere"}
    assert document["searched"] == []
    assert "in which Thunderbird keeps profiles" in cli.run("doctor", "--app", "thunderbird").stdout


def test_a_profile_that_is_not_there_is_a_report_too(cli: Cli) -> None:
    result = cli.run("doctor", "--json", "--profile", "nobody")
    assert result.status == 10
    assert without_one(result.document, REPORT) == set()
    assert codes(result.document["findings"]) == {"no-profile"}
    assert result.error["code"] == "no-profile"


def test_a_folder_without_databases_is_looked_at_all_the_same(cli: Cli) -> None:
    folder = cli.folder / "tor"
    folder.mkdir()
    (folder / "prefs.js").write_text('user_pref("security.nocertdb", true);\n')
    result = cli.run("doctor", "--json", "--profile", folder)
    assert result.status == 10
    (one,) = result.document["profiles"]
    assert codes(one["findings"]) == {"certificates-not-kept", "no-databases"}
    text = cli.run("doctor", "--profile", folder).stdout
    assert text.startswith(f"Profile `tor`: {folder}\n")
    assert "The program keeps no certificates in this profile" in text


def test_a_profile_without_databases_can_be_named(cli: Cli, profile: MakeProfile) -> None:
    in_firefox(cli, profile("ec-p256"), "full")
    empty = cli.folder / "empty"
    empty.mkdir()
    in_firefox(cli, empty, "empty")
    result = cli.run("doctor", "--json", "--profile", "empty")
    assert result.status == 10
    assert [one["name"] for one in result.document["profiles"]] == ["empty"]
    both = cli.run("doctor", "--json", "--profile", "empty", "--profile", "full")
    assert both.status == 0
    assert [one["name"] for one in both.document["profiles"]] == ["empty", "full"]


def test_a_wrong_application_is_wrong_usage(cli: Cli) -> None:
    result = cli.run("doctor", "--json", "--app", "mosaic")
    assert (result.status, result.error["code"]) == (2, "usage")


def test_names_that_act_on_a_terminal_are_shown_escaped(cli: Cli) -> None:
    builder = StoreBuilder(cli.folder / "store")
    der = issue(rsa_key(), EVIL, name(f"WIPO {EVIL}"), rsa_key(9), days=(-20, 5))
    builder.add_identity(rsa_key(), der, EVIL.encode())
    builder.add_certificate(issue(rsa_key(1), f"{EVIL}2", WIPO, rsa_key(9)))
    folder = builder.write()
    one_line = EVIL.replace("\r", "")
    (folder / "pkcs11.txt").write_text(f"library=/{one_line}.so\nname={one_line}\n")
    folder = in_firefox(cli, folder, f"evil{one_line}")
    results = [
        cli.run("doctor"),
        cli.run("doctor", "-v"),
        cli.run("doctor", EVIL),
        cli.run("doctor", f"no{EVIL}"),
        cli.run("doctor", "--profile", EVIL),
        cli.run("doctor", "--profile", folder),
    ]
    for result in results:
        assert "Traceback" not in result.stderr
        shown = (result.stdout + result.stderr).replace("\n", "")
        assert not set(shown) & set("\x1b\x07\r\x9b\u202e\u2066")
    assert "\\x1b" in results[0].stdout
    talk = cli.talk("doctor", answers=())
    assert not set(talk.transcript) & set("\x1b\x07\x9b\u202e\u2066")
    document = cli.run("doctor", "--json").document
    assert EVIL in document["choices"][0]["common_name"]


# --- with real programs


def test_modules_that_modutil_added_are_found(cli: Cli, require_peers: bool) -> None:
    generations = [nss for nss in available() if (nss.bin / "modutil").exists()]
    need(None if generations else "modutil is not installed", required=require_peers)
    for nss in generations:
        folder = cli.folder / nss.release
        nss.create(folder)
        libraries = nss.lib or Path("/usr/lib/x86_64-linux-gnu")
        # Any PKCS#11 module will do; NSS's list of CAs is one, under its own name and another's.
        card = cli.folder / f"{nss.release}-card.so"
        shutil.copy(next(libraries.glob("**/libnssckbi.so")), card)
        for title, library in (("Roots", libraries / "libnssckbi.so"), ('My "Card" ü', card)):
            _add_module(nss, folder, title, library)
        (one,) = cli.run("doctor", "--json", "--profile", folder).document["profiles"]
        (found,) = (f for f in one["findings"] if f["code"] == "security-module")
        assert f'module `My "Card" ü` (`{card}`)' in found["message"]


def _add_module(nss: Nss, folder: Path, title: str, library: Path) -> None:
    env = {} if nss.lib is None else {"LD_LIBRARY_PATH": str(nss.lib)}
    words = ("-add", title, "-libfile", library, "-dbdir", f"sql:{folder}", "-force")
    run([nss.bin / "modutil", *words], env=env, stdin=b"\n")


def test_a_real_firefox_that_runs(cli: Cli, profile: MakeProfile, require_peers: bool) -> None:
    need(Firefox.missing(), required=require_peers)
    folder = in_firefox(cli, profile("firefox-nopassword"))
    prefs = {"security.nocertdb": False, "security.osclientcerts.autoload": False}
    with Firefox(folder, prefs=prefs) as firefox:
        assert firefox.certificates()
        result = cli.run("doctor", "--json")
    assert result.status == 0
    (one,) = result.document["profiles"]
    assert codes(one["findings"]) == {"certificate-with-key", "in-use"}
    # Firefox has written its own files by now, and set what `user.js` says.
    assert (folder / "pkcs11.txt").is_file()
    (folder / "user.js").write_text('user_pref("security.nocertdb", true);\n')
    (folder / "cert9.db").unlink()
    (folder / "key4.db").unlink()
    with Firefox(folder, prefs={"security.nocertdb": True}):
        result = cli.run("doctor", "--json", "--profile", "work")
    (one,) = result.document["profiles"]
    assert codes(one["findings"]) >= {"certificates-not-kept", "no-databases"}
