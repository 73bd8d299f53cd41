"""Names that want to do something: on a terminal, as the name of a file, in reports.

`files.safe_name` and `printable` are tested with any text there is in tests/fuzz (`names`); here
such names go through every command.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.builders.homes import add_home, backups, profile_in
from tests.builders.store import StoreBuilder, ec_key, issue, name, rsa_key
from tests.cli.runner import FAST, STRONG, Cli, Result, names

# Nickname in the store, common name in the certificate.
NAMES: dict[str, tuple[bytes, str]] = {
    "lines": (b"Jane\nnssbackup: error: gone\r\n", "Jane\nBacked up\r\u2028\u2029\x85"),
    "escapes": (b"\x1b]0;x\x07\x1b[2J\x1b[31mJane", "\x9b2J\x1b[8mJane\x1b]8;;http://x\x07"),
    "bidi": ("\u202egnp.enaJ\u2066".encode(), "\u202egnp.exe\u200f\u2067\u061c"),
    "device": (b"CON", "NUL"),
    "device-ending": (b"com1.pfx", "LPT¹.txt"),
    "trailing": (b"Jane. . ", "Jane... "),
    "path": (b"../../../etc/passwd", "..\\..\\C:\\x/y"),
    "option": (b"--force", "-rf"),
    "half": (b"\xff\xfe\xed\xa0\x80Jane", "\ud7ff\ufeffJane\u00ad\U000e0041"),
    "formula": (b"=cmd|' /C calc'!A0", "@SUM(1+1)"),
    "markup": (b"<script>alert(1)</script>", "[bold red]Jane[/] {x} %s {{7*7}}"),
    "nothing": (b" ", "\u200b"),
}
ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
WIPO = name("WIPO \x1b[7m CA \u202e", "WIPO\n")


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    made = Cli(tmp_path_factory.mktemp("user"))
    made.password_file()
    return made


@pytest.fixture(scope="module")
def certificates() -> dict[str, bytes]:
    return {
        case: issue(ec_key(at), common_name, WIPO, ec_key(99))
        for at, (case, (_, common_name)) in enumerate(NAMES.items())
    }


def filled(folder: Path, certificates: dict[str, bytes]) -> Path:
    builder = StoreBuilder(folder)
    for at, (case, (nickname, _)) in enumerate(NAMES.items()):
        builder.add_identity(ec_key(at), certificates[case], nickname)
    return builder.write()


def is_inert(text: str) -> bool:
    return not {unicodedata.category(one) for one in text.replace("\n", "")} & ACTING


def tame(ended: Result, *statuses: int) -> Result:
    """It behaved, and nothing of what it wrote does anything."""
    ended.behaved(*statuses)
    assert is_inert(ended.stdout)
    assert is_inert(ended.stderr)
    return ended


def is_safe(path: Path) -> bool:
    stem = path.name.partition(".")[0].rstrip().casefold()
    return (
        path.name == PureWindowsPath(path.name).name
        and is_inert(path.name)
        and "\n" not in path.name
        and not set(path.name) & set('<>:"/\\|?*')
        and path.name.strip(". ") == path.name
        and stem not in ("con", "nul", "com1", "lpt1", "lpt¹")
        and len(path.name.encode()) <= 255
    )


def test_through_every_command(cli: Cli, certificates: dict[str, bytes], tmp_path: Path) -> None:
    profile = filled(tmp_path / "from", certificates)
    target = StoreBuilder(tmp_path / "to\u202e\x1b[2J\n").write()
    password = ("--password-file", cli.folder / "password")
    chosen = ("--profile", profile)
    shown = tame(cli.run("list", *chosen), 0).stdout
    document = tame(cli.run("list", "--json", *chosen), 0).document
    by_name = {each["common_name"]: each["sha256"] for each in document["identities"]}
    assert set(by_name) == {common_name for _, common_name in NAMES.values()}
    assert all(fingerprint[:16] in shown for fingerprint in by_name.values())
    tame(cli.run("doctor", "-v", *chosen), 0, 21)
    tame(cli.run("export", *chosen, *password, "-o", "x"), 21)
    tame(cli.run("export", "\x1b[2J\u202e\n", *chosen, *password, "-o", "x"), 20)
    out = tmp_path / "out"
    out.mkdir()
    for at, fingerprint in enumerate(by_name.values()):
        given = (fingerprint, *chosen, *password, *FAST, "-o", out)
        tame(cli.run("export", *given, *(("--json",) if at % 2 else ())), 0)
    files = sorted(out.iterdir())
    assert len(files) == len(NAMES)
    assert all(map(is_safe, files))
    tame(cli.run("verify", *files, *password), 0)
    old = ("--old-password-file", cli.folder / "password")
    for file in files[::4]:
        tame(cli.run("repassword", file, *old, *password, *FAST, "--force"), 0)
    for file in files:
        tame(cli.run("restore", file, "--profile", target, *password), 0)
    restored = cli.run("list", "--json", "--profile", target).document["identities"]
    assert {each["sha256"] for each in restored} == set(by_name.values())
    tame(cli.run("list", "--profile", target), 0)


def test_a_long_name_is_cut_in_a_table_but_not_in_the_document(cli: Cli, tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "store")
    organisation = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x")])
    der = issue(ec_key(0), organisation, WIPO, ec_key(99))
    builder.add_identity(ec_key(0), der, "\x01e\u0301".encode() * 100_000)
    chosen = ("--profile", builder.write())
    assert len(tame(cli.run("list", *chosen), 0).stdout) < 3_000
    (identity,) = tame(cli.run("list", "--json", *chosen), 0).document["identities"]
    assert len(identity["nickname"]) == 300_000


@pytest.mark.posix("Windows has no such names")
def test_in_a_batch_and_its_reports(
    cli: Cli, certificates: dict[str, bytes], tmp_path: Path
) -> None:
    homes, out = tmp_path / "homes", tmp_path / "out"
    users = ["CON", "a\nb", "\u202ex\x1b[2J", "trailing. ", "-rf", "=1+1"]
    for user in users:
        filled(profile_in(homes / user), certificates)
    (profile_in(homes / "a\nb") / "cert9.db").write_bytes(b"no database")
    batch = ("batch", "--homes", homes, "-o", out, "--generate-passwords")
    tame(cli.run(*batch), 3)
    made = sorted(out.glob("*/*.pfx"))
    assert len(made) == len(NAMES) * (len(users) - 1)
    assert all(is_safe(path) and is_safe(path.parent) for path in made)
    for report in ("report.html", "report.csv", "passwords.csv"):
        assert is_inert((out / report).read_text("utf-8-sig").replace("\r\n", "\n"))
    assert "<script>alert" not in (out / "report.html").read_text("utf-8")
    document = json.loads((out / "report.json").read_bytes())
    assert {item["user"] for item in document["items"]} == set(users)
    tame(cli.run(*batch, "--json"), 3)
    assert names(cli.temporary) == []
    assert STRONG not in (out / "report.json").read_text("utf-8")


@pytest.mark.posix("it has a locale of POSIX")
def test_a_name_beyond_the_locale_is_written_as_far_as_it_goes(
    tmp_path: Path,
) -> None:
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    cli = Cli(tmp_path, variables)
    builder = StoreBuilder(cli.folder / "store")
    builder.add_identity(rsa_key(0), issue(rsa_key(0), "Łukasz Żak", WIPO, rsa_key(9)), b"x")
    assert cli.export(builder.write()).status == 0
    (made,) = names(cli.here)
    assert made.startswith("_ukasz _ak-WIPO")
    out = cli.folder / "out"
    home = add_home(cli.folder / "homes", "lukasz")
    (cli.folder / "store").rename(home / ".mozilla" / "firefox" / "p")
    assert cli.run("batch", "--home", home, "-o", out).status == 0
    assert len(backups(out)) == 1
