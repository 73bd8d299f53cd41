"""Completion: what is proposed, and what real shells make of it.

Bash, zsh and fish are driven on a terminal. PowerShell is not to be had on Debian: there the two
ends of the protocol are tested, what its script would ask and how the answer is quoted.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from nssbackup.profiles import applications_named
from tests import LIMIT
from tests.builders.store import StoreBuilder, issue
from tests.cli.interactive import SHELLS, TAB, Interactive, install, interactive, missing
from tests.cli.runner import Cli, Result
from tests.conftest import MakeProfile
from tests.peers import need
from tests.unit.profiles.machine import snapshot

# Names that would do something if anything evaluated them, or be more or less than one word.
HOSTILE = (
    "$(touch pwned) `touch pwned`; touch pwned & x | touch pwned",
    "> pwned <(touch pwned) (touch pwned) {a,b} # x",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "\\'; touch pwned; \\'",
    '\\"; touch pwned; \\"',
    "\\$(touch pwned) \\`touch pwned\\`",
    "\u2019; touch pwned; \u2019",
    "x))':$(touch pwned):((",
    "%(touch pwned) ${x:-$(touch pwned)} $HOME ~ \\",
    "*",
    "[a-z]* ? a=b:c@d",
    "!; touch pwned; !! ^a^b",
    "  two  blanks ",
    "Seán \u201cS\u201d O'Brien",
)

# Nobody could type them, or they would be taken for something else; a fingerprint stands for them.
UNTYPABLE = (
    "x\ntouch pwned\n",
    "x\rtouch pwned\r",
    "\x1b[2J\x07",
    "x\ttouch pwned",
    "\u202emoc.elpmaxe",
    "--help",
    "~root",
)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "user")


@pytest.fixture
def office(cli: Cli, profile: MakeProfile) -> Cli:
    """A user with three profiles and a few files."""
    root = cli.home / ".mozilla" / "firefox"
    root.mkdir(parents=True)
    names = {"work": "firefox-nopassword", "world wide": "two-people", "private": "ec-p256"}
    sections = []
    for number, (name, fixture) in enumerate(names.items()):
        profile(fixture).rename(root / fixture)
        sections.append(f"[Profile{number}]\nName={name}\nIsRelative=1\nPath={fixture}\n")
    (root / "profiles.ini").write_text("".join(sections))
    (cli.here / "my usb").mkdir()
    (cli.here / "my usb.pfx").touch()
    return cli


def asked(cli: Cli, *words: str, by: str = "fish") -> Result:
    """What is answered to a shell; the last word is the one that is being typed."""
    line = "\n".join(("nssbackup", *words, *([""] if by == "fish" else [])))
    variables = {"_NSSBACKUP_COMPLETE": by, "_NSSBACKUP_WORDS": line}
    return Cli(cli.folder, {**cli.environment, **variables}).run()


def answered(cli: Cli, *words: str) -> tuple[str, dict[str, str]]:
    """The kind of the answer, and its values with what is said about them."""
    result = asked(cli, *words)
    assert (result.status, result.stderr) == (0, "")
    kind, *lines = result.stdout.splitlines()
    pairs = [line.split("\t") for line in lines]
    assert len({value for value, _ in pairs}) == len(pairs)
    return kind, {value: about for value, about in pairs}  # noqa: C416 - each a pair, or it fails


def proposed(cli: Cli, *words: str) -> list[str]:
    """The values that are proposed for the last word."""
    kind, values = answered(cli, *words)
    assert kind == "values"
    return list(values)


def hostile_profiles(cli: Cli) -> dict[str, Path]:
    """A profile for each of the hostile names."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = {}
    for number, name in enumerate((*HOSTILE, *UNTYPABLE)):
        builder = StoreBuilder(cli.folder / "hostile" / str(number))
        builder.add_identity(key, issue(key, name), name.encode())
        made[name] = builder.write()
    return made


def fingerprint(cli: Cli, profile: Path) -> str:
    (identity,) = cli.run("list", "--json", "--profile", profile).document["identities"]
    return str(identity["sha256"])


# --- what is proposed


def test_commands_come_first_and_say_what_they_do(cli: Cli) -> None:
    _, values = answered(cli, "")
    assert {"profiles", "list", "export", "verify"} <= set(values)
    assert values["verify"].startswith("Open backups")
    assert proposed(cli, "ex") == ["export"]
    assert proposed(cli, "nothing") == []


def test_options_come_behind_a_hyphen_with_their_help(cli: Cli) -> None:
    _, values = answered(cli, "export", "--pr")
    assert set(values) == {"--profile", "--primary-password-file"}
    assert values["--profile"] == "A profile's name or folder, or any folder with NSS databases"
    assert "-q" in proposed(cli, "list", "-")
    assert proposed(cli, "--vers") == ["--version"]


def test_the_values_of_a_choice_are_proposed(cli: Cli) -> None:
    assert proposed(cli, "export", "--for", "win") == ["windows", "windows-old"]
    assert proposed(cli, "export", "--format=c") == ["--format=compatible"]
    assert proposed(cli, "--show-completion", "") == ["bash", "zsh", "fish", "powershell"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("verify", ""), "files"),
        (("verify", "a.pfx", ""), "files"),
        (("export", "-o", ""), "files"),
        (("export", "--password-file", "x"), "files"),
        (("export", "--password-file=x"), "files"),
        (("export", "--copy-to", ""), "folders"),
        (("export", "--profile", "./"), "folders"),
    ],
)
def test_files_and_folders_are_left_to_the_shell(
    cli: Cli, words: tuple[str, ...], kind: str
) -> None:
    assert answered(cli, *words) == (kind, {})


@pytest.mark.parametrize("option", ["--kdf-rounds", "--name"])
def test_nothing_is_proposed_where_nothing_is_known(cli: Cli, option: str) -> None:
    assert proposed(cli, "export", option, "") == []


def test_profiles_are_proposed_by_name(office: Cli) -> None:
    _, values = answered(office, "export", "--profile", "")
    assert set(values) == {"work", "world wide", "private"}
    assert values["work"] == "Firefox: ~/.mozilla/firefox/firefox-nopassword"
    assert proposed(office, "list", "--profile", "WOR") == ["work", "world wide"]
    assert proposed(office, "list", "--profile=wor") == ["--profile=work", "--profile=world wide"]
    assert answered(office, "list", "--app", "thunderbird", "--profile", "")[1] == {}
    for command in ("export", "list", "restore", "doctor"):
        assert proposed(office, command, "--profile", "priv") == ["private"]


def test_applications_are_proposed_as_they_can_be_given(cli: Cli) -> None:
    _, values = answered(cli, "list", "--app", "")
    assert values["firefox"] == "Firefox"
    for value, application in values.items():
        assert application in applications_named([value])


def test_certificates_are_proposed_by_name_with_issuer_and_end(office: Cli) -> None:
    _, values = answered(office, "export", "--profile", "world wide", "")
    assert set(values) == {"Jane Doe", "Zoë Müller"}
    assert values["Zoë Müller"] == "WIPO Customer CA G2, until 2056-05-01"
    assert proposed(office, "export", "--profile", "work", "") == ["Jane Doe"]
    assert proposed(office, "list", "zoë") == ["Zoë Müller"]
    assert asked(office, "export", "--app", "thunderbird", "").stdout == ""
    assert proposed(office, "export", "Jane Doe", "") == []


@pytest.mark.parametrize(
    ("fixture", "about"),
    [
        ("renewed", "WIPO Customer CA G2, until 2056-05-01"),
        ("expired", "WIPO Customer CA G2, until 2021-05-01 (expired)"),
        ("foreign-and-wipo", "2 certificates, of WIPO Customer CA G2 and Example Mail CA"),
        ("certificate-without-key", "WIPO Customer CA G2, until 2056-05-01, without its key"),
        ("firefox-password", "WIPO Customer CA G2, until 2056-05-01"),
    ],
)
def test_a_name_is_proposed_once_with_what_tells_its_certificates_apart(
    cli: Cli, profile: MakeProfile, fixture: str, about: str
) -> None:
    given = ("export", "--profile", str(profile(fixture)), "")
    kind, values = answered(cli, *given)
    assert kind == "values"
    assert set(values) == {"Jane Doe"}
    assert sorted(values["Jane Doe"].split()) == sorted(about.split())


def test_what_nobody_can_type_is_proposed_by_its_fingerprint(cli: Cli) -> None:
    profiles = hostile_profiles(cli)
    for name in UNTYPABLE:
        folder = profiles[name]
        _, values = answered(cli, "export", "--profile", str(folder), "")
        ((value, about),) = values.items()
        assert fingerprint(cli, folder).startswith(value)
        assert len(value) >= 8
        assert about.isprintable()


def test_what_is_said_about_a_name_is_one_printable_line(cli: Cli) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = "\x1b]0;x\x07\r\n\tWIPO\u202e"
    builder = StoreBuilder(cli.folder / "p")
    der = issue(key, "Jane Doe", issuer=issuer, by=key)
    builder.add_identity(key, der)
    builder.write()
    _, values = answered(cli, "export", "--profile", str(builder.folder), "")
    assert values["Jane Doe"].isprintable()
    assert len(values["Jane Doe"]) <= 100


def test_of_very_many_proposals_there_is_a_limit(cli: Cli) -> None:
    root = cli.home / ".mozilla" / "firefox"
    for number in range(300):
        folder = root / f"{number}.p"
        folder.mkdir(parents=True)
        (folder / "cert9.db").touch()
    assert len(proposed(cli, "export", "--profile", "")) == 100


# --- in silence


@pytest.mark.parametrize(
    "variables",
    [
        {"_NSSBACKUP_COMPLETE": "zsh"},
        {"_NSSBACKUP_COMPLETE": "bash", "_NSSBACKUP_WORDS": "nssbackup\n"},
        {"_NSSBACKUP_COMPLETE": "tcsh", "_NSSBACKUP_WORDS": "nssbackup\n"},
        {"_NSSBACKUP_COMPLETE": "zsh", "_NSSBACKUP_WORDS": "nssbackup\nexport\n--app\nx\n"},
        {"_NSSBACKUP_COMPLETE": "zsh", "_NSSBACKUP_WORDS": "nssbackup\nlist\n--profile\n/x\n"},
    ],
)
def test_whatever_goes_wrong_nothing_is_said(cli: Cli, variables: dict[str, str]) -> None:
    result = Cli(cli.folder, variables).run("export", "--no-such-option")
    assert result == Result(0, "", "")


def test_a_damaged_profile_is_passed_over_in_silence(office: Cli) -> None:
    (office.home / ".mozilla/firefox/firefox-nopassword/cert9.db").write_bytes(b"no database")
    assert proposed(office, "export", "Z") == ["Zoë Müller"]
    result = asked(office, "export", "--profile", "work", "")
    assert result == Result(0, "", "")


@pytest.mark.parametrize("words", [("--version", "x"), ("--show-completion", "zsh", "x")])
def test_options_on_the_line_are_not_carried_out(cli: Cli, words: tuple[str, ...]) -> None:
    assert proposed(cli, *words) == []


def test_nothing_is_written_anywhere(office: Cli) -> None:
    before = snapshot(office.folder)
    for words in (("export", ""), ("export", "--profile", ""), ("list", "--app", "")):
        assert proposed(office, *words)
    assert snapshot(office.folder) == before


def test_a_shell_does_not_wait_for_ever() -> None:
    code = (
        "import os, time; from nssbackup.cli import completion as c; c._PATIENCE = 0.01;"
        "c.proposed = lambda *_: time.sleep(600);"
        "c.answer(None, {'_NSSBACKUP_COMPLETE': 'zsh', '_NSSBACKUP_WORDS': 'nssbackup'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=LIMIT
    )
    assert (done.stdout, done.stderr) == (b"", b"")


# --- PowerShell, as far as it goes without one


def powershell(cli: Cli, *words: str) -> dict[str, str]:
    """What PowerShell would get: the values as it would read them, and what is said about each."""
    result = asked(cli, *words, by="powershell")
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.isascii()
    lines = result.stdout.splitlines()[1:]
    pairs = [[unescaped(part) for part in line.split("\t")] for line in lines]
    return {literal(value): about for value, about in pairs}


def unescaped(text: str) -> str:
    """What `[regex]::Unescape` makes of a text."""
    units = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)
    assert "\\u" not in units
    return re.sub(r"\\(.)", r"\1", units).encode("utf-16", "surrogatepass").decode("utf-16")


def literal(word: str) -> str:
    """The text that a word is to PowerShell; it takes any of five characters for an apostrophe."""
    apostrophe = "['\u2018\u2019\u201a\u201b]"
    if re.fullmatch(r"[A-Za-z0-9_./\\:+=-]+", word):
        return word
    assert re.fullmatch(rf"'(?:{apostrophe}{{2}}|(?!{apostrophe}).)*'", word), word
    return re.sub(f"({apostrophe}){apostrophe}", r"\1", word[1:-1])


def test_powershell_gets_literals(cli: Cli) -> None:
    profiles = hostile_profiles(cli)
    for name in HOSTILE:
        assert set(powershell(cli, "list", "--profile", str(profiles[name]), "")) == {name}


def test_powershell_gets_the_rest_of_what_is_typed(office: Cli) -> None:
    assert set(powershell(office, "export", "--profile", "'wor")) == {"work", "world wide"}
    assert powershell(office, "export", "Z") == {
        "Zoë Müller": "WIPO Customer CA G2, until 2056-05-01"
    }


# --- in real shells


@pytest.mark.parametrize("name", [*SHELLS, "powershell"])
def test_the_script_asks_as_it_is_answered(cli: Cli, name: str, require_peers: bool) -> None:
    done = cli.run("--show-completion", name)
    assert (done.status, done.stderr) == (0, "")
    assert f"_NSSBACKUP_COMPLETE={name}" in re.sub(r"[ ']", "", done.stdout)
    if name in SHELLS:
        need(missing(name), required=require_peers)
        script = cli.file("script", done.stdout)
        checked = subprocess.run(
            [name, "-n", script], capture_output=True, check=True, timeout=LIMIT
        )
        assert (checked.stdout, checked.stderr) == (b"", b"")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, require_peers: bool) -> str:
    need(missing(request.param), required=require_peers)
    return str(request.param)


def test_a_shell_completes_what_is_typed(office: Cli, shell: str) -> None:
    install(office, shell)
    with interactive(office, shell) as terminal:
        check_completed(terminal)


def check_completed(terminal: Interactive) -> None:
    expected = {
        "exp<Tab>": ["export"],
        "export --prim<Tab>": ["export", "--primary-password-file"],
        "export --for pct<Tab>": ["export", "--for", "pct-safe"],
        "export --profile p<Tab>": ["export", "--profile", "private"],
        "export --profile worl<Tab>": ["export", "--profile", "world wide"],
        "export --profile=worl<Tab>": ["export", "--profile=world wide"],
        "export --profile my<Tab>": ["export", "--profile", "my usb/"],
        "export --copy-to my<Tab>": ["export", "--copy-to", "my usb/"],
        "export -o 'my usb.<Tab>": ["export", "-o", "my usb.pfx"],
        "export Z<Tab>": ["export", "Zoë Müller"],
        "export J<Tab>": ["export", "Jane Doe"],
        'export "J<Tab>': ["export", "Jane Doe"],
        "export 'J<Tab>": ["export", "Jane Doe"],
        "export Jane\\ <Tab>": ["export", "Jane Doe"],
        "export --profile 'world wide' Z<Tab>": ["export", "--profile", "world wide", "Zoë Müller"],
        "export --profile private Z<Tab>": ["export", "--profile", "private", "Z"],
    }
    for keys, arguments in expected.items():
        found = terminal.typed(f"nssbackup {keys}".replace("<Tab>", TAB))
        # Shells differ in whether a folder gets its slash.
        assert [one.rstrip("/") for one in found] == [one.rstrip("/") for one in arguments], keys


def test_a_shell_does_nothing_that_a_name_says(cli: Cli, shell: str) -> None:
    profiles = hostile_profiles(cli)
    install(cli, shell)
    with interactive(cli, shell) as terminal:
        for name, folder in profiles.items():
            words = ["export", "--profile", f"../hostile/{folder.name}"]
            expected = fingerprint(cli, folder)[:16] if name in UNTYPABLE else name
            for quote in ("", '"', "'") if name in HOSTILE else ("",):
                found = terminal.typed(f"nssbackup {' '.join(words)} {quote}{TAB}")
                assert found == [*words, expected], (shell, quote)
    assert list(cli.here.iterdir()) == []
    assert list(cli.folder.rglob("pwned*")) == []


def test_zsh_finds_the_script_in_a_folder_for_such_scripts(
    office: Cli, require_peers: bool
) -> None:
    need(missing("zsh"), required=require_peers)
    functions = office.home / "functions"
    functions.mkdir()
    script = office.run("--show-completion", "zsh").stdout
    (functions / "_nssbackup").write_text(script)
    install(office, "zsh", "fpath=(~/functions $fpath); autoload -Uz compinit; compinit -i\n")
    with interactive(office, "zsh") as terminal:
        for _ in range(2):  # the first time the file is read, the second it is a function
            assert terminal.typed(f"nssbackup export Z{TAB}") == ["export", "Zoë Müller"]


def test_bash_runs_the_program_that_stands_on_the_line(office: Cli, require_peers: bool) -> None:
    need(missing("bash"), required=require_peers)
    install(office, "bash")
    with interactive(office, "bash") as terminal:
        (office.folder / "programs").rename(office.home / "bin")
        assert terminal.typed(f"~/bin/nssbackup export Z{TAB}") == ["export", "Zoë Müller"]
