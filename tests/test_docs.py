"""The documents: every command explains itself, and the README says what the program does."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

import nssbackup
from nssbackup.batch.report import BatchItem, BatchReport, Items
from nssbackup.cli import app
from nssbackup.errors import NssBackupError
from nssbackup.fleet.report import FleetReport, HostResult
from nssbackup.pkcs12 import DESTINATIONS, FORMATS
from tests import LIMIT, PROJECT

README = PROJECT / "README.md"
COMMANDS = (
    *("profiles", "list", "export", "verify", "repassword", "restore", "doctor", "batch", "fleet"),
)

# The statuses that no error class has: success, and a batch of which a part failed.
WITHOUT_CLASS = {0, 3}


def help_of(*words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "nssbackup", *words, "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
        cwd=Path.home(),
    ).stdout


def readme() -> str:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) > 100
    return text


def statuses_of_classes() -> set[int]:
    for module in pkgutil.walk_packages(nssbackup.__path__, "nssbackup."):
        # The worker of the engine `nss` is a script, and needs what not every machine has.
        if not module.name.endswith(("__main__", ".worker")):
            importlib.import_module(module.name)
    waiting: list[type[NssBackupError]] = [NssBackupError]
    found = set()
    while waiting:
        one = waiting.pop()
        found.add(one.exit_status)
        waiting.extend(one.__subclasses__())
    return found


def test_the_commands_of_the_contract_are_there() -> None:
    listed = help_of()
    for command in COMMANDS:
        assert re.search(rf"^ +{command} +\S", listed, re.MULTILINE)


def test_every_command_and_every_option_has_a_help_text() -> None:
    command = typer.main.get_command(app)
    commands = getattr(command, "commands", {})
    assert set(COMMANDS) <= set(commands)
    for name, one in commands.items():
        text = (one.help or "").strip()
        assert text.endswith("."), name
        assert "$ " not in text, name  # examples stand in the README
        for parameter in one.params:
            if parameter.param_type_name == "option":
                assert getattr(parameter, "help", None), f"{name} {parameter.name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits_its_options(command: str) -> None:
    text = help_of(command)
    assert f"Usage: nssbackup {command}" in text
    for option in ("--json", "--quiet", "--verbose"):
        assert option in text


def test_the_help_of_export_names_every_destination_and_format() -> None:
    text = re.sub(r"[\s│|]+", "", help_of("export"))
    for name in (*DESTINATIONS, *FORMATS):
        assert name in text


def test_the_exit_table_of_the_readme_is_the_classes() -> None:
    lines = readme().splitlines()
    heads = [
        n for n, line in enumerate(lines) if re.match(r"\|\s*status\s*\|", line, re.IGNORECASE)
    ]
    assert heads, "the README has no table `| status | meaning |`"
    rows = []
    for line in lines[heads[0] + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip(" `") for cell in line.strip().strip("|").split("|")])
    # Statuses and meanings alternate, whether in two columns or in four.
    found = [int(cell) for row in rows for cell in row[::2] if cell]
    meanings = [
        cell for row in rows for number, cell in zip(row[::2], row[1::2], strict=True) if number
    ]
    assert len(set(found)) == len(found)
    assert all(meanings)
    assert set(found) >= statuses_of_classes() | {0}
    assert set(found) <= {*statuses_of_classes(), *WITHOUT_CLASS, 13, 40}


def test_the_readme_names_every_command_and_destination() -> None:
    text = readme()
    for command in COMMANDS:
        assert f"nssbackup {command}" in text
    for option in set(re.findall(r"`(--[a-z][a-z-]+)", text)):
        assert any(option in help_of(*words) for words in ((), *((c,) for c in COMMANDS))), option
    for destination in DESTINATIONS:
        assert destination in text


def test_the_readme_shows_an_export_at_once() -> None:
    assert any("nssbackup export" in line for line in readme().splitlines()[:15])


def test_the_readme_holds_nothing_of_the_machine_it_was_written_on() -> None:
    text = README.read_text(encoding="utf-8")
    for pattern in (
        r"/(work|tmp|root|home/(?!(jane|user|you)\b)\w+)/",
        r"(?i)artifactory|nexus|devpi|pypi\.(?!org)\w+|:\d{4,5}/simple|index-url",
        r"\b(10|127|192\.168|172\.(1[6-9]|2\d|3[01]))(\.\d+){2,3}\b",
        r"(?i)\blocalhost\b|\.local\b|\.internal\b",
    ):
        assert not re.search(pattern, text), pattern


def test_the_library_example_runs(tmp_path: Path) -> None:
    (code,) = re.findall(
        r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "fixtures").symlink_to(README.parent / "fixtures")
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=LIMIT,
    )
    written = tmp_path / "MyWIPOCert.pfx"
    digest = hashlib.sha256(written.read_bytes()).hexdigest()
    assert done.stdout == f"MyWIPOCert.pfx {digest}\n"


def test_the_example_of_json_is_what_is_printed(tmp_path: Path) -> None:
    blocks = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", readme(), re.DOTALL)]
    (shown,) = (block for block in blocks if "identity" in block)
    (tmp_path / "password").write_text("Correct-Horse-Battery-Staple-47\n")
    profile = README.parent / "fixtures" / "profiles" / "firefox-nopassword"
    words = ("export", "--json", "--profile", str(profile), "--password-file", "password")
    printed = json.loads(
        subprocess.run(
            [sys.executable, "-m", "nssbackup", *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT,
            cwd=tmp_path,
        ).stdout
    )
    identity = printed["identity"]
    assert identity.pop("profile") == str(profile)
    assert shown["identity"].pop("profile")
    assert identity == shown.pop("identity")
    assert {key: printed[key] for key in shown if key not in ("sha256", "bytes")} == {
        key: value for key, value in shown.items() if key not in ("sha256", "bytes")
    }
    assert printed.keys() == {"identity", *shown}


def test_the_readme_names_every_key_of_a_report() -> None:
    (text,) = re.findall(r"\*\*Reports\.\*\*.*", readme())
    now = datetime.now(UTC)
    items = Items()
    items.add(BatchItem("failed", "host", "jane"))
    batch = BatchReport(now, now, "host", Path("/"), (), items=items).to_json()
    fleet = FleetReport(now, now, Path("/"), (), False, None, (HostResult("h", True, None, {}),))
    one = batch["items"][0]  # type: ignore[index] # JSON
    for key in (*batch, *items.totals, *one, *fleet.to_json(), *fleet.hosts[0].to_json()):
        assert f"`{key}`" in text, key
