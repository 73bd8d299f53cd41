"""`export`: where the file goes, what is in it, which certificate is taken."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import FIXTURES, LIMIT
from tests.builders.store import StoreBuilder, issue, name, rsa_key
from tests.cli.failures import TAKEN
from tests.cli.runner import FAST, STRONG, Cli, Result, names, unprivileged
from tests.conftest import MakeProfile, SnapshotOf

DEFAULT = "Jane Doe-WIPO Customer CA G2-2056-05-01.pfx"
MODERN = ("windows", "firefox", "openssl", "java", "dotnet")
COMPATIBLE = ("windows-old", "macos", "ios", "java-old", "pct-safe")


@pytest.fixture
def store(profile: MakeProfile) -> Path:
    """A profile with one WIPO identity and no primary password."""
    return profile("ec-p256")


def openssl_info(file: Path, password: str = STRONG) -> str:
    """What OpenSSL says of the encryption of a file that it opens."""
    return subprocess.run(
        ["openssl", "pkcs12", "-info", "-noout", "-in", file, "-passin", "stdin"],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    ).stderr


def wipo_store(folder: Path, *people: tuple[str, bytes]) -> Path:
    """A store with an identity of WIPO's for each common name and nickname."""
    builder = StoreBuilder(folder)
    issuer, by = name("WIPO Test CA", "WIPO"), rsa_key(9)
    builder.add_certificate(issue(by, issuer, ca=True))
    for number, (common_name, nickname) in enumerate(people):
        key = rsa_key(number)
        builder.add_identity(key, issue(key, common_name, issuer, by), nickname)
    return builder.write()


def exported(result: Result) -> dict[str, Any]:
    assert result.status == 0, result.stderr
    return result.document


# --- where it goes


def test_the_default_name_is_name_issuer_and_end(cli: Cli, store: Path) -> None:
    assert cli.export(store).stdout == f"{cli.here / DEFAULT}\n"
    assert names(cli.here) == [DEFAULT]


@pytest.mark.parametrize(
    "common_name",
    [
        *("a/b\\c", 'x<>:"|?*y', "..", "../../up", "CON", "tab\there", "n" * 60, "Ärzte 密码 🔑"),
        "-o",
    ],
)
def test_the_default_name_is_safe_on_every_file_system(cli: Cli, common_name: str) -> None:
    result = cli.export(wipo_store(cli.folder / "store", (common_name, b"nick")))
    assert result.status == 0
    (found,) = names(cli.here)
    assert not set(found) & set('<>:"/\\|?*')
    assert found.isprintable()
    assert len(found.encode()) <= 255
    assert found.endswith(".pfx")
    assert not found.startswith(".")
    left = {"here", "home", "password", "store", "temporary"}
    assert left == {name for name in names(cli.folder) if not name.startswith("forked-")}


@pytest.mark.posix("Windows has no such names")
@pytest.mark.parametrize(
    ("given", "written"),
    [
        *(("a", "a.pfx"), ("a.pfx", "a.pfx"), ("a.p12", "a.p12"), ("a.PFX", "a.PFX")),
        *(("a.txt", "a.txt.pfx"), ("a b", "a b.pfx"), ("-odd.pfx", "-odd.pfx")),
        *(("./a", "a.pfx"), ("Ä#?%.pfx", "Ä#?%.pfx"), ("pfx", "pfx.pfx")),
    ],
)
def test_pfx_is_added_where_the_ending_is_another(
    cli: Cli, store: Path, given: str, written: str
) -> None:
    assert cli.export(store, f"--output={given}").status == 0
    assert names(cli.here) == [written]


@pytest.mark.parametrize("given", ["folder", "folder/", ".", "./", "folder/sub.pfx"])
def test_a_folder_gets_a_file_of_the_default_name(cli: Cli, store: Path, given: str) -> None:
    folder = cli.here / given
    folder.mkdir(parents=True, exist_ok=True)
    assert cli.export(store, "-o", given).status == 0
    assert DEFAULT in names(folder)


def test_the_default_name_is_never_taken_from_another_file(
    cli: Cli, store: Path, snapshot_of: SnapshotOf
) -> None:
    (cli.here / DEFAULT).write_bytes(TAKEN)
    before = snapshot_of(cli.here)
    assert cli.export(store).status == 30
    assert snapshot_of(cli.here) == before


def test_force_replaces_a_file(cli: Cli, store: Path) -> None:
    (cli.here / "a.pfx").write_bytes(TAKEN)
    (cli.here / "a.pfx").chmod(0o644)
    assert cli.export(store, "-o", "a.pfx", "--force").status == 0
    assert cli.verify(cli.here / "a.pfx")[0]["ok"]
    assert (cli.here / "a.pfx").stat().st_mode & 0o777 == 0o600


def test_force_replaces_a_link_and_not_what_it_leads_to(cli: Cli, store: Path) -> None:
    aim = cli.file("aim", TAKEN)
    (cli.here / "a.pfx").symlink_to(aim)
    assert cli.export(store, "-o", "a.pfx").status == 30
    assert cli.export(store, "-o", "a.pfx", "--force").status == 0
    assert aim.read_bytes() == TAKEN
    assert not (cli.here / "a.pfx").is_symlink()


@pytest.mark.posix("it looks at file modes")
@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_the_file_is_for_its_owner_alone(cli: Cli, store: Path, umask: int) -> None:
    file = cli.password_file()
    words = ("export", "--profile", store, "--password-file", file, *FAST, "-o", "a.pfx")
    assert cli.run(*words, "--copy-to", cli.home, umask=umask).status == 0
    for written in (cli.here / "a.pfx", cli.home / "a.pfx"):
        assert written.stat().st_mode & 0o7777 == 0o600


def test_copies_are_the_same_file_and_verified(cli: Cli, store: Path) -> None:
    sticks = [cli.folder / "stick 1", cli.folder / "stick 2"]
    for stick in sticks:
        stick.mkdir()
    words = [word for stick in sticks for word in ("--copy-to", stick)]
    found = exported(cli.export(store, "-o", "a.pfx", "--json", *words))
    assert found["copies"] == [str(stick / "a.pfx") for stick in sticks]
    written = [cli.here / "a.pfx", *(stick / "a.pfx" for stick in sticks)]
    assert {hashlib.sha256(one.read_bytes()).hexdigest() for one in written} == {found["sha256"]}
    assert all(verdict["ok"] for verdict in cli.verify(*written))


def test_a_copy_never_replaces_a_file_without_force(
    cli: Cli, store: Path, snapshot_of: SnapshotOf
) -> None:
    (cli.home / "a.pfx").write_bytes(TAKEN)
    before = snapshot_of(cli.here), snapshot_of(cli.home)
    words = ("-o", "a.pfx", "--copy-to", cli.home)
    assert cli.export(store, *words).status == 30
    assert (snapshot_of(cli.here), snapshot_of(cli.home)) == before
    assert cli.export(store, *words, "--force").status == 0


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "PROFILE"),
        ("-o", "PROFILE/backups/a.pfx"),
        ("-o", "link/a.pfx"),
        ("--copy-to", "PROFILE/backups"),
        ("--all-matches", "-o", "PROFILE"),
        ("--certificate-only", "-o", "PROFILE"),
    ],
)
def test_nothing_is_written_into_the_profile(
    cli: Cli, store: Path, snapshot_of: SnapshotOf, words: tuple[str, ...]
) -> None:
    (store / "backups").mkdir()
    (cli.here / "link").symlink_to(store)
    before = snapshot_of(store), snapshot_of(cli.here)
    done = cli.run(
        *("export", "--profile", store, "--json"),
        *(word.replace("PROFILE", str(store)) for word in words),
    )
    assert (done.status, done.error["code"]) == (31, "output-unwritable")
    assert "where nothing is written" in done.error["message"]
    assert (snapshot_of(store), snapshot_of(cli.here)) == before


# --- how it is encrypted


@pytest.mark.parametrize("destination", [*MODERN, *COMPATIBLE])
def test_each_destination_gets_its_format(cli: Cli, store: Path, destination: str) -> None:
    password = cli.password_file()
    words = ("export", "--profile", store, "--password-file", password, "--for", destination)
    found = exported(cli.run(*words, "-o", "a.pfx", "--json"))
    (verdict,) = cli.verify(cli.here / "a.pfx")
    info = openssl_info(cli.here / "a.pfx")
    rounds = verdict["kdf_rounds"]
    assert verdict["mac_rounds"] == verdict["certificate_rounds"] == rounds
    assert info.count(f"Iteration {rounds}") == 3  # MAC, certificates, key
    if destination in MODERN:
        assert found["format"] == "modern"
        assert rounds == (300_000 if destination == "dotnet" else 600_000)
        assert "sha256" in info.splitlines()[0]
        assert (
            info.count(f"PBES2, PBKDF2, AES-256-CBC, Iteration {rounds}, PRF hmacWithSHA256") == 2
        )
    else:
        assert found["format"] == "compatible"
        assert "sha1" in info.splitlines()[0]
        assert info.count("pbeWithSHA1And3-KeyTripleDES-CBC") == 2
    assert "RC2" not in info


@pytest.mark.parametrize(("format_", "word"), [("modern", "AES-256"), ("compatible", "3DES")])
def test_the_format_is_the_one_asked_for(cli: Cli, store: Path, format_: str, word: str) -> None:
    found = exported(cli.export(store, "--format", format_, "-o", "a.pfx", "--json"))
    assert found["format"] == format_
    assert word in cli.verify(cli.here / "a.pfx")[0]["encryption"]


def test_for_any_writes_both_formats(cli: Cli, store: Path) -> None:
    result = cli.export(store, "--for", "any", "-o", "a", "--copy-to", cli.home)
    assert result.status == 0
    assert names(cli.here) == ["a.compatible.pfx", "a.pfx"] == names(cli.home)
    assert result.stdout.splitlines() == [
        *(str(cli.here / "a.pfx"), str(cli.home / "a.pfx")),
        *(str(cli.here / "a.compatible.pfx"), str(cli.home / "a.compatible.pfx")),
    ]
    modern, compatible = cli.verify(cli.here / "a.pfx", cli.here / "a.compatible.pfx")
    assert "AES-256" in modern["encryption"]
    assert "3DES" in compatible["encryption"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "needs another file, made with `--for macos`"),
        (("--for", "macos"), "double-click a.pfx to open it in Keychain Access"),
        (("--for", "any"), "double-click a.compatible.pfx to open it in Keychain Access"),
    ],
)
def test_what_is_said_of_macos_is_true_of_the_file(
    cli: Cli, store: Path, words: tuple[str, ...], said: str
) -> None:
    assert f"  macOS: {said}\n" in cli.export(store, *words, "-o", "a").stderr


def test_for_any_writes_neither_where_one_exists(
    cli: Cli, store: Path, snapshot_of: SnapshotOf
) -> None:
    (cli.here / "a.compatible.pfx").write_bytes(TAKEN)
    before = snapshot_of(cli.here)
    assert cli.export(store, "--for", "any", "-o", "a").status == 30
    assert snapshot_of(cli.here) == before


@pytest.mark.parametrize("rounds", [2048, 2049, 600_000])
def test_the_rounds_are_those_asked_for(cli: Cli, store: Path, rounds: int) -> None:
    assert cli.export(store, "--kdf-rounds", str(rounds), "-o", "a").status == 0
    assert f"Iteration {rounds}" in openssl_info(cli.here / "a.pfx")


# --- what is in it


def test_the_name_is_the_friendly_name(cli: Cli, store: Path) -> None:
    assert cli.export(store, "--name", "Meine WIPO-Kennung €", "-o", "a").status == 0
    assert cli.verify(cli.here / "a.pfx")[0]["identity"]["nickname"] == "Meine WIPO-Kennung €"


def test_the_chain_goes_along_unless_unwanted(cli: Cli, store: Path) -> None:
    assert len(exported(cli.export(store, "-o", "a", "--json"))["identity"]["chain"]) == 2
    bare = cli.export(store, "-o", "b", "--no-chain", "--json")
    assert exported(bare)["identity"]["chain"] == []
    with_chain, without = cli.verify(cli.here / "a.pfx", cli.here / "b.pfx")
    assert len(with_chain["identity"]["chain"]) == 2
    assert without["identity"]["chain"] == []
    assert "not included" not in bare.stderr  # who leaves it out need not be told


def test_an_incomplete_chain_is_said(cli: Cli, profile: MakeProfile) -> None:
    result = cli.export(profile("chain-incomplete"))
    assert result.status == 0
    assert "warning: the certification path is incomplete" in result.stderr


@pytest.mark.parametrize("store", ["nss387-nopassword", "ec-p384", "ec-p521", "rsa4096", "chain3"])
def test_the_key_is_the_fixtures(cli: Cli, profile: MakeProfile, store: str) -> None:
    assert cli.export(profile(store), "-o", "a").status == 0
    keys = FIXTURES / "keys"
    opened = subprocess.run(
        [*("openssl", "pkcs12", "-nocerts", "-nodes", "-passin", "stdin"), "-in", "a.pfx"],
        input=f"{STRONG}\n".encode(),
        capture_output=True,
        check=True,
        timeout=LIMIT,
        cwd=cli.here,
    ).stdout
    der = [
        subprocess.run(
            ["openssl", "pkey", "-outform", "DER"],
            input=pem,
            capture_output=True,
            check=True,
            timeout=LIMIT,
        ).stdout
        for pem in (opened, (keys / f"{store}-1.pem").read_bytes())
    ]
    assert der[0] == der[1]


# --- nothing of it touches the profile


@pytest.mark.parametrize(
    ("name_", "password"), [("nss387-password", "correct horse 7"), ("tripledes", None)]
)
def test_no_command_changes_a_byte_of_the_profile(
    cli: Cli, profile: MakeProfile, snapshot_of: SnapshotOf, name_: str, password: str | None
) -> None:
    root = cli.home / ".mozilla" / "firefox"
    root.mkdir(parents=True)
    (root / "profiles.ini").write_text("[Profile0]\nName=work\nIsRelative=1\nPath=abc.work\n")
    folder = profile(name_).rename(root / "abc.work")
    primary = cli.file("primary", f"{password or ''}\n")
    asked = {
        "_NSSBACKUP_COMPLETE": "complete_bash",
        "COMP_WORDS": "nssbackup\nlist\n--profile\n",
        "COMP_CWORD": "3",
    }
    before = snapshot_of(folder), snapshot_of(root)
    results = [
        cli.run("profiles"),
        cli.run("list", "--all"),
        cli.export(folder, "--primary-password-file", primary, "-o", "a"),
        cli.export(folder, "--primary-password-file", cli.file("no", "no\n"), "-o", "b"),
        cli.export(folder, "nobody"),
        cli.export(folder, "-o", "no/a"),
        cli.run("export", "--certificate-only", "-o", "c"),
        cli.run("doctor"),
        cli.run("verify", "--password-file", cli.password_file(), "a.pfx"),
        cli.run("batch", "--home", cli.home, "-o", "o", "--primary-password-file", primary, *FAST),
        Cli(cli.folder, asked).run(),
    ]
    # Where there is no primary password, any will do.
    refused = 0 if password is None else 12
    statuses = [0, 0, 0, refused, 20, 31, 0, 0, 0, 0, 0]
    assert [result.status for result in results] == statuses
    assert results[-1].stdout == "work\n", results[-1]
    assert (snapshot_of(folder), snapshot_of(root)) == before


def test_a_profile_that_cannot_be_written_to_will_do(
    cli: Cli, store: Path, snapshot_of: SnapshotOf
) -> None:
    for file in store.iterdir():
        file.chmod(0o400)
    store.chmod(0o500)
    before = snapshot_of(store)
    file = cli.password_file()
    words = ("export", "--profile", store, "--password-file", file, *FAST)
    assert cli.run(*words, prefix=unprivileged()).status == 0
    assert snapshot_of(store) == before


@pytest.mark.parametrize(
    "folder", ["with space", "Größe 密码", "a#b?c%20d", "%s{0}", "-dash", "quo'\"te"]
)
def test_any_path_of_a_profile_will_do(
    cli: Cli, store: Path, snapshot_of: SnapshotOf, folder: str
) -> None:
    moved = Path(shutil.copytree(store, cli.here / folder))
    before = snapshot_of(moved)
    result = cli.run(
        *("export", f"--profile=./{folder}", "--password-file", cli.password_file(), *FAST),
        *("-o", cli.home),
    )
    assert result.status == 0
    assert snapshot_of(moved) == before


@pytest.mark.posix("Windows has no such names")
def test_a_path_that_is_not_unicode_will_do(cli: Cli, store: Path) -> None:
    moved = os.fsdecode(os.fsencode(cli.here) + b"/\xff\xfe")
    shutil.copytree(store, moved)
    output = f"{moved} backups"
    os.mkdir(output)  # noqa: PTH102 - as text
    found = exported(cli.export(Path(moved), "-o", output, "--json"))
    assert found["identity"]["profile"] == moved
    assert cli.export(Path(moved), "-o", output, "--force").stdout.isprintable() is False
    assert os.listdir(output) == [DEFAULT]  # noqa: PTH208 - as text


def test_a_generated_password_is_known_even_if_the_copy_fails(
    cli: Cli, profile: MakeProfile
) -> None:
    """The stick is pulled out after all checks: the first file is whole, and can be opened."""
    stick = cli.here / "stick"
    stick.mkdir()
    fifo = cli.folder / "primary"
    os.mkfifo(fifo)
    words = ("export", "--profile", profile("nss387-password"), "-o", "a.pfx", *FAST)
    more = ("--generate-password", "--copy-to", stick, "--primary-password-file", fifo)
    with cli.start(*words, *more) as process:
        with fifo.open("wb") as primary:  # waits until it is read: the outputs have been checked
            stick.rmdir()
            primary.write(b"correct horse 7\n")
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 31, err
    said = err.decode()
    assert "`a.pfx` was written and verified before this failed" in said
    (line,) = (each for each in said.splitlines() if each.startswith("Password of the backup: "))
    (found,) = cli.verify(cli.here / "a.pfx", password=line.partition(": ")[2])
    assert found["ok"] is True
    assert out == b""
