"""`profiles` and `list` over a home folder made up for the purpose."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from tests import FIXTURES
from tests.builders.store import StoreBuilder, issue, name, rsa_key
from tests.cli.runner import Cli, names
from tests.conftest import MakeProfile

LEGACY, XDG = (".mozilla", "firefox"), (".config", "mozilla", "firefox")
WIPO = name("WIPO Test CA", "WIPO")
EVIL = "\x1b[31mred\x07\r\u202egnp.exe\u2066\x9b2J"


def root_of(cli: Cli, parts: tuple[str, ...], ini: str) -> Path:
    root = cli.home.joinpath(*parts)
    root.mkdir(parents=True)
    (root / "profiles.ini").write_text(ini, encoding="utf-8")
    return root


def entry(number: int, name_: str, path: str, *, default: bool = False) -> str:
    mark = "Default=1\n" if default else ""
    return f"[Profile{number}]\nName={name_}\nIsRelative=1\nPath={path}\n{mark}\n"


def profiles_of(cli: Cli) -> dict[str, dict[str, Any]]:
    found = cli.run("profiles", "--json")
    assert found.status == 0, found.stderr
    return {one["name"]: one for one in found.document["profiles"]}


@pytest.mark.posix("roots of Linux")
def test_profiles_of_both_linux_roots_are_found(cli: Cli, profile: MakeProfile) -> None:
    old = root_of(cli, LEGACY, entry(0, "old", "aaa.old", default=True))
    new = root_of(cli, XDG, entry(0, "new", "bbb.new", default=True))
    profile("ec-p256").rename(old / "aaa.old")
    profile("nss387-password").rename(new / "bbb.new")
    found = profiles_of(cli)
    assert found.keys() == {"old", "new"}
    assert found["old"]["path"] == str(old / "aaa.old")
    assert found["new"]["path"] == str(new / "bbb.new")
    assert {one["application"] for one in found.values()} == {"Firefox"}
    assert [found[n]["primary_password"] for n in ("old", "new")] == [False, True]


@pytest.mark.posix("roots of Linux")
def test_xdg_config_home_names_the_root(cli: Cli, profile: MakeProfile) -> None:
    elsewhere = cli.folder / "elsewhere"
    root = elsewhere / "mozilla" / "firefox"
    root.mkdir(parents=True)
    (root / "profiles.ini").write_text(entry(0, "moved", "ccc.moved"))
    profile("ec-p256").rename(root / "ccc.moved")
    other = Cli(cli.folder, {"XDG_CONFIG_HOME": str(elsewhere)})
    assert profiles_of(other).keys() == {"moved"}
    assert cli.run("profiles").status == 10


def test_the_default_is_the_installations(cli: Cli, profile: MakeProfile) -> None:
    install = "[Install4F96D1932A9F858E]\nDefault=bbb.second\nLocked=1\n\n"
    ini = install + entry(0, "first", "aaa.first", default=True) + entry(1, "second", "bbb.second")
    root = root_of(cli, LEGACY, ini)
    profile("ec-p256").rename(root / "aaa.first")
    profile("ec-p384").rename(root / "bbb.second")
    found = profiles_of(cli)
    assert found["second"]["default"] is True
    assert found["first"]["default"] is False
    table = cli.run("profiles").stdout.splitlines()
    assert "default" in next(line.split() for line in table if "bbb.second" in line)
    assert "default" not in next(line.split() for line in table if "aaa.first" in line)


def test_a_profile_that_an_application_holds_is_in_use(cli: Cli, profile: MakeProfile) -> None:
    root = root_of(cli, LEGACY, entry(0, "open", "aaa.open") + entry(1, "shut", "bbb.shut"))
    for store, folder in (("ec-p256", "aaa.open"), ("ec-p384", "bbb.shut")):
        profile(store).rename(root / folder)
        (root / folder / ".parentlock").touch()  # Firefox never removes it
    with (root / "aaa.open" / ".parentlock").open("wb") as lock:
        fcntl.fcntl(lock, fcntl.F_SETLK, struct.pack("hhqqi0q", fcntl.F_WRLCK, 0, 0, 0, 0))
        found = profiles_of(cli)
        listed = cli.run("list", "--profile", "open")
    assert (found["open"]["in_use"], found["shut"]["in_use"]) == (True, False)
    assert listed.status == 0
    assert profiles_of(cli)["open"]["in_use"] is False


def test_a_profile_without_databases_has_no_store(cli: Cli, profile: MakeProfile) -> None:
    root = root_of(cli, LEGACY, entry(0, "new", "aaa.new") + entry(1, "old", "bbb.old"))
    (root / "aaa.new").mkdir()
    (root / "bbb.old").mkdir()
    for file in ("cert8.db", "key3.db"):
        (root / "bbb.old" / file).write_bytes(b"\0" * 64)
    profile("ec-p256").rename(root / "unlisted")
    found = profiles_of(cli)
    assert (found["new"]["store"], found["new"]["primary_password"]) == (None, None)
    assert found["old"]["store"] == "legacy"
    assert found["unlisted"]["store"] == "sqlite"


def test_one_damaged_profile_is_a_row_in_errors(cli: Cli, profile: MakeProfile) -> None:
    root = root_of(cli, LEGACY, entry(0, "good", "aaa.good") + entry(1, "bad", "bbb.bad"))
    profile("ec-p256").rename(root / "aaa.good")
    shutil.copytree(root / "aaa.good", root / "bbb.bad")
    (root / "bbb.bad" / "cert9.db").write_bytes(b"no database at all")
    result = cli.run("list", "--json")
    assert result.status == 0
    (error,) = result.document["errors"]
    assert error["profile"] == str(root / "bbb.bad")
    assert error["kind"] == "store-damaged"
    assert error["message"]
    assert len(result.document["identities"]) == 1
    text = cli.run("list")
    assert text.status == 0
    assert "warning: profile `bad`" in text.stderr
    assert "Jane Doe" in text.stdout
    assert cli.run("profiles").status == 0


def test_a_damaged_key_database_is_an_error_or_a_missing_key(
    cli: Cli, profile: MakeProfile
) -> None:
    folder = profile("ec-p256")
    (folder / "key4.db").write_bytes(b"no database at all")
    result = cli.run("list", "--json", "--profile", folder, "--profile", profile("ec-p384"))
    assert result.status == 0
    assert [one["profile"] for one in result.document["errors"]] == [str(folder)]
    assert profiles_status(cli, folder) == 11


def profiles_status(cli: Cli, folder: Path) -> int:
    return cli.run("list", "--profile", folder).status


def test_nothing_readable_is_11(cli: Cli, profile: MakeProfile) -> None:
    root = root_of(cli, LEGACY, entry(0, "bad", "aaa.bad") + entry(1, "empty", "bbb.empty"))
    profile("ec-p256").rename(root / "aaa.bad")
    (root / "bbb.empty").mkdir()
    (root / "aaa.bad" / "cert9.db").write_bytes(b"no database at all")
    assert cli.run("list").status == 11
    assert profiles_of(cli)["bad"]["primary_password"] is not True


def test_no_profile_is_10_and_profiles_without_database_too(cli: Cli) -> None:
    assert cli.run("profiles").status == 10
    assert cli.run("list").status == 10
    root = root_of(cli, LEGACY, entry(0, "empty", "aaa.empty") + entry(1, "gone", "bbb.gone"))
    (root / "aaa.empty").mkdir()
    assert cli.run("list").status == 10
    assert profiles_of(cli).keys() == {"empty"}


@pytest.mark.parametrize(
    "ini", ["", "garbage", "[Profile0]\n", "\0\0\0", "[Profile0]\nPath=../..\n"]
)
def test_a_list_of_nonsense_hides_no_profile(cli: Cli, profile: MakeProfile, ini: str) -> None:
    root = root_of(cli, LEGACY, ini)
    profile("ec-p256").rename(root / "aaa.work")
    assert "aaa.work" in profiles_of(cli)


def test_a_profile_is_named_by_name_folder_and_path(cli: Cli, profile: MakeProfile) -> None:
    root = root_of(cli, LEGACY, entry(0, "work", "aaa.work") + entry(1, "home", "bbb.home"))
    profile("ec-p256").rename(root / "aaa.work")
    profile("ec-p384").rename(root / "bbb.home")
    for given in ("work", "aaa.work", str(root / "aaa.work"), "~/.mozilla/firefox/aaa.work"):
        (found,) = cli.run("list", "--json", "--profile", given).document["identities"]
        assert found["key"]["bits"] == 256
    both = cli.run("list", "--json", "--profile", "work", "--profile", "home")
    assert len(both.document["identities"]) == 2
    twice = cli.run("list", "--json", "--profile", "work", "--profile", str(root / "aaa.work"))
    assert len(twice.document["identities"]) == 1
    assert cli.run("list", "--profile", "work", "--profile", "nobody").status == 10
    assert "`work`" in cli.run("list", "--profile", "nobody").stderr


def test_names_that_act_on_a_terminal_are_shown_escaped(cli: Cli) -> None:
    builder = StoreBuilder(cli.folder / "store")
    builder.add_identity(rsa_key(), issue(rsa_key(), EVIL, WIPO, rsa_key(9)), EVIL.encode())
    folder = builder.write()
    root = root_of(cli, LEGACY, entry(0, "evil\x1b[2J\u202e", "aaa.evil"))
    folder.rename(root / "aaa.evil")
    words = ("--password-file", cli.password_file(), "--kdf-rounds", "2048")
    results = [
        cli.run("profiles"),
        cli.run("list"),
        cli.run("list", EVIL),
        cli.run("export", "-v", *words),
        cli.run("export", *words, "-o", EVIL),
        cli.run("list", "--profile", f"no{EVIL}"),
        cli.run("verify", "--password-file", cli.password_file(), *names(cli.here)),
        cli.run("list", "--json"),
    ]
    for result in results:
        shown = (result.stdout + result.stderr).replace("\n", "")
        assert not set(shown) & set("\x1b\x07\r\x9b\u202e\u2066")
    assert "\\x1b" in results[1].stdout
    assert results[7].document["identities"][0]["common_name"] == EVIL


def test_a_list_has_the_valid_and_the_last_to_end_first(cli: Cli) -> None:
    builder = StoreBuilder(cli.folder / "store")
    spans = ((-90, -30), (-20, 100), (-90, -10), (-20, 900), (-20, 400))
    for number, days in enumerate(spans):
        der = issue(rsa_key(), f"P{number}", WIPO, rsa_key(9), days=days)
        builder.add_certificate(der)
    builder.add_key(rsa_key())
    found = cli.run("list", "--json", "--profile", builder.write()).document["identities"]
    assert [one["common_name"] for one in found] == ["P3", "P4", "P1", "P2", "P0"]
    assert [one["status"] for one in found] == ["valid"] * 3 + ["expired"] * 2


def test_list_shows_own_and_wipo_certificates_and_all_others(cli: Cli) -> None:
    builder = StoreBuilder(cli.folder / "store")
    other = name("Other CA")
    builder.add_certificate(issue(rsa_key(9), WIPO, ca=True))
    builder.add_identity(rsa_key(0), issue(rsa_key(0), "own", other, rsa_key(8)))
    builder.add_certificate(issue(rsa_key(1), "wipo", WIPO, rsa_key(9)))
    builder.add_certificate(issue(rsa_key(2), "friend", other, rsa_key(8)))
    folder = builder.write()

    def listed(*words: str) -> dict[str, bool]:
        found = cli.run("list", "--json", "--profile", folder, *words).document["identities"]
        return {one["common_name"]: one["key"]["present"] for one in found}

    assert listed() == {"own": True, "wipo": False}
    assert listed("--all") == {"own": True, "wipo": False, "friend": False}
    text = cli.run("list", "--profile", folder).stdout
    assert "missing" in next(line for line in text.splitlines() if line.startswith("wipo"))


@pytest.mark.parametrize(
    ("issuer", "wipo"),
    [
        (name("WIPO Customer CA"), True),
        (name("ca", "World Intellectual Property Organization"), True),
        (name("ca", "world  intellectual PROPERTY organization (Geneva)"), True),
        (name("ca of Wipo"), True),
        (name("Swiporama CA"), False),
        (name("ca", "Intellectual Property Organization"), False),
    ],
)
def test_what_wipo_is_stands_in_the_issuer(cli: Cli, issuer: Any, wipo: bool) -> None:  # noqa: ANN401 - a name or text
    builder = StoreBuilder(cli.folder / "store")
    builder.add_identity(rsa_key(), issue(rsa_key(), "Jane", issuer, rsa_key(9)))
    (found,) = cli.run("list", "--json", "--profile", builder.write()).document["identities"]
    assert found["wipo"] is wipo


def test_an_empty_list_is_a_success_that_says_so(cli: Cli, profile: MakeProfile) -> None:
    result = cli.run("list", "--profile", profile("key-without-certificate"))
    assert (result.status, result.stdout) == (0, "")
    assert "no client certificate" in result.stderr
    assert "--all" in result.stderr
    result = cli.run("list", "--all", "--profile", cli.folder / "profiles/key-without-certificate")
    assert (result.status, result.stdout) == (0, "")
    assert result.stderr == "no certificate was found; `nssbackup doctor` says why\n"
    found = cli.run("list", "--json", "--profile", cli.folder / "profiles/key-without-certificate")
    assert found.document == {"identities": [], "errors": []}


def test_every_fixture_is_listed_as_its_maker_sees_it(cli: Cli, profile: MakeProfile) -> None:
    path = FIXTURES / "profiles.json"
    facts = json.loads(path.read_text(encoding="utf-8"))["profiles"]
    words = [word for store in sorted(facts) for word in ("--profile", os.fspath(profile(store)))]
    found = cli.run("list", "--all", "--json", *words).document
    assert found["errors"] == []
    seen = {
        (Path(one["profile"]).name, one["sha256"], one["key"]["present"], one["wipo"])
        for one in found["identities"]
    }
    assert seen == {
        (store, one["fingerprint"], one["has_key"], one["wipo"])
        for store, fact in facts.items()
        for one in fact["identities"]
    }
