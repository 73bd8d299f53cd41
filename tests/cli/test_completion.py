"""Completion: what is offered, and that real shells do nothing that a name says."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.builders.store import StoreBuilder, issue
from tests.cli.interactive import SHELLS, TAB, install, interactive, missing
from tests.cli.runner import Cli
from tests.conftest import MakeProfile
from tests.peers import need
from tests.unit.profiles.machine import snapshot

# Names that would do something if a shell evaluated them, or be more or less than one word.
HOSTILE = (
    "$(touch pwned) `touch pwned`; touch pwned & x | touch pwned",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "\\'; touch pwned; \\'",
    "x))':$(touch pwned):((",
    "%(touch pwned) ${x:-$(touch pwned)} $HOME ~ \\",
    "*",
    "!; touch pwned; !! ^a^b",
    "x\ntouch pwned\n",
    "x\x1b[2J\x07",
    "--help",
    "~root",
    "[red]x[/red]",
)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "user")


@pytest.fixture
def office(cli: Cli, profile: MakeProfile) -> Cli:
    """A user with three profiles."""
    names = {"work": "firefox-nopassword", "world wide": "two-people", "private": "ec-p256"}
    add_profiles(cli, {name: profile(fixture) for name, fixture in names.items()})
    return cli


def add_profiles(cli: Cli, profiles: dict[str, Path]) -> None:
    root = cli.home / ".mozilla" / "firefox"
    root.mkdir(parents=True)
    sections = []
    for number, (name, folder) in enumerate(profiles.items()):
        moved = folder.rename(root / f"f{number}")
        sections.append(f"[Profile{number}]\nName={name}\nIsRelative=1\nPath={moved.name}\n")
    (root / "profiles.ini").write_text("".join(sections))


def hostile_profile(folder: Path) -> Path:
    """A profile whose certificates have the hostile names."""
    builder = StoreBuilder(folder)
    for name in HOSTILE:
        key = ec.generate_private_key(ec.SECP256R1())
        builder.add_identity(key, issue(key, name), name.encode())
    return builder.write()


def offered(cli: Cli, *words: str) -> list[str]:
    """What bash is offered for the last word."""
    line = "\n".join(("nssbackup", *words))
    variables = {
        "_NSSBACKUP_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
    }
    done = Cli(cli.folder, variables).run()
    assert (done.status, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1]


def test_commands_and_options_are_offered(cli: Cli) -> None:
    assert {"export", "verify", "doctor"} <= set(offered(cli, ""))
    assert "--generate-password" in offered(cli, "export", "--gen")
    assert {"windows", "windows-old"} == set(offered(cli, "export", "--for", "win"))


@pytest.mark.posix("of the shells of POSIX")
def test_profiles_applications_and_certificates_are_offered(office: Cli) -> None:
    assert set(offered(office, "list", "--profile", "")) == {"work", "f1", "private"}
    assert offered(office, "list", "--app", "fire") == ["firefox"]
    fingerprints = offered(office, "export", "--profile", "work", "")
    listed = office.run("list", "--profile", "work", "--json").document["identities"]
    assert fingerprints == [listed[0]["sha256"][:16]]  # `Jane Doe` has a blank


def test_nothing_is_written_and_a_damaged_profile_is_no_matter(office: Cli) -> None:
    (office.home / ".mozilla/firefox/f2/key4.db").write_bytes(b"damaged")
    before = snapshot(office.folder)
    assert len(offered(office, "export", "")) >= 1
    assert snapshot(office.folder) == before


@pytest.mark.posix("of the shells of POSIX")
def test_only_harmless_characters_are_offered(cli: Cli, tmp_path: Path) -> None:
    hostile_profile(tmp_path / "hostile")
    found = offered(cli, "export", "--profile", str(tmp_path / "hostile"), "")
    assert len(found) == len(HOSTILE)
    assert all(len(one) == 16 and one.isalnum() for one in found)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_and_does_nothing_that_a_name_says(
    cli: Cli, tmp_path: Path, shell: str, require_peers: bool
) -> None:
    need(missing(shell), required=require_peers)
    add_profiles(cli, {"harmless": hostile_profile(tmp_path / "hostile")})
    install(cli, shell)
    with interactive(cli, shell) as terminal:
        assert terminal.typed(f"nssbackup exp{TAB}") == ["export"]
        assert terminal.typed(f"nssbackup list --profile harm{TAB}") == [
            *("list", "--profile", "harmless"),
        ]
        assert terminal.typed(f"nssbackup export {TAB}")[:1] == ["export"]
    assert not list(cli.folder.rglob("pwned"))
