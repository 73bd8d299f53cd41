"""The documents: they say what the program does, and every command explains itself."""

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

import nssbackup
from nssbackup.batch.report import BatchItem, BatchReport, HostResult
from nssbackup.cli import commands as cli_commands
from nssbackup.errors import NssBackupError
from nssbackup.pkcs12 import DESTINATIONS, FORMATS
from tests import LIMIT, PROJECT

FIXTURE = PROJECT / "fixtures" / "profiles" / "firefox-nopassword"
COMMANDS = (
    *("profiles", "list", "export", "verify", "repassword", "restore", "doctor", "batch", "fleet"),
)
DOCUMENTS = (
    *("README.md", "CHANGELOG.md", ".github/SECURITY.md", ".github/CONTRIBUTING.md"),
    *("nssbackup/README.md", "nssbackup/cli/README.md", "nssbackup/batch/README.md"),
    *("tests/README.md", "fixtures/README.md"),
)
# No error class has these: success, and a batch of which a part failed.
WITHOUT_CLASS = {0, 3}


def text_of(document: str) -> str:
    return (PROJECT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    """Return the code blocks of a document that are marked with a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(document), re.MULTILINE | re.DOTALL)


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=True, timeout=LIMIT, cwd=cwd
    )


def help_of(*words: str) -> str:
    return run("-m", "nssbackup", *words, "--help", cwd=Path.home()).stdout


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


def anchors(document: Path) -> set[str]:
    """Return the names under which the headings of a document can be linked to."""
    heads = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_commands_of_the_contract_are_there() -> None:
    listed = help_of()
    for command in COMMANDS:
        assert re.search(rf"^ +{command} +\S", listed, re.MULTILINE)


def test_every_command_and_option_has_a_help_text() -> None:
    assert set(COMMANDS) <= set(cli_commands.COMMANDS)
    for name in cli_commands.COMMANDS:
        one = cli_commands.load_command(name)
        assert (one.help or "").strip().endswith("."), name
        for parameter in one.params:
            if parameter.param_type_name == "option":
                assert getattr(parameter, "help", None), f"{name} {parameter.name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_the_common_options(command: str) -> None:
    text = help_of(command)
    assert f"Usage: nssbackup {command}" in text
    for option in ("--json", "--quiet", "--verbose"):
        assert option in text


def test_the_help_of_export_has_every_destination() -> None:
    text = re.sub(r"[\s│|]+", "", help_of("export"))
    for name in (*DESTINATIONS, *FORMATS):
        assert name in text


def test_the_exit_table_is_that_of_the_classes() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", text_of("nssbackup/cli/README.md"), re.MULTILINE)
    found = [int(status) for status, _ in rows]
    assert len(set(found)) == len(found)
    assert set(found) == statuses_of_classes() | WITHOUT_CLASS


def test_the_documents_name_what_there_is() -> None:
    for command in COMMANDS:
        assert f"`nssbackup {command}`" in text_of("README.md")
    for name in (*DESTINATIONS, *FORMATS):
        assert f"`{name}`" in text_of("nssbackup/cli/README.md")
    options = "".join(help_of(*words) for words in ((), *((one,) for one in COMMANDS)))
    for document in ("README.md", "nssbackup/cli/README.md", "nssbackup/batch/README.md"):
        for option in re.findall(r"`(--[a-z][a-z-]+)", text_of(document)):
            assert option in options, f"{document}: {option}"


def test_the_map_has_every_folder() -> None:
    mapped = set(re.findall(r"^\| `([\w/]+)/` \|", text_of("nssbackup/README.md"), re.MULTILINE))
    folders = {path.parent.name for path in (PROJECT / "nssbackup").glob("*/__init__.py")}
    assert {one for one in mapped if "/" not in one} == folders


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_points_to_exists(document: str) -> None:
    folder = (PROJECT / document).parent
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text_of(document)):
        path, _, anchor = link.partition("#")
        target = folder / path if path else PROJECT / document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
    for path in re.findall(r"`((?:nssbackup|tests|fixtures)/[\w./-]*)`", text_of(document)):
        assert (PROJECT / path).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_holds_nothing_of_a_machine(document: str) -> None:
    for pattern in (
        r"/(work|tmp|root|home/(?!(jane|user|you)\b)\w+)/",
        r"(?i)artifactory|nexus|devpi|pypi\.(?!org)\w+|:\d{4,5}/simple|index-url",
        r"\b(10|127|192\.168|172\.(1[6-9]|2\d|3[01]))(\.\d+){2,3}\b",
        r"(?i)\blocalhost\b|\.local\b|\.internal\b",
    ):
        assert not re.search(pattern, text_of(document)), pattern


def test_the_first_screen_shows_what_is_printed(tmp_path: Path) -> None:
    first = "\n".join(text_of("README.md").splitlines()[:15])
    assert "$ nssbackup export" in first
    (line,) = (one for one in blocks("README.md", "sh") if "--generate-password" in one)
    words = line.rpartition(".venv/bin/nssbackup ")[2].split()
    words[words.index("--profile") + 1] = str(FIXTURE)
    done = run("-m", "nssbackup", *words, cwd=tmp_path)
    assert done.stdout == f"{tmp_path}/MyWIPOCert.pfx\n"
    said = next(one for one in done.stderr.splitlines() if one.startswith("Backed up"))
    assert said in first


def test_the_library_example_runs(tmp_path: Path) -> None:
    (code,) = blocks("nssbackup/README.md", "python")
    (tmp_path / "fixtures").symlink_to(PROJECT / "fixtures")
    done = run("-c", code, cwd=tmp_path)
    digest = hashlib.sha256((tmp_path / "MyWIPOCert.pfx").read_bytes()).hexdigest()
    assert done.stdout == f"MyWIPOCert.pfx {digest}\n"


def test_the_example_of_json_is_what_is_printed(tmp_path: Path) -> None:
    (shown,) = (
        one
        for one in map(json.loads, blocks("nssbackup/cli/README.md", "json"))
        if "identity" in one
    )
    (tmp_path / "password").write_text("Correct-Horse-Battery-Staple-47\n")
    words = ("export", "--json", "--profile", str(FIXTURE), "--password-file", "password")
    printed = json.loads(run("-m", "nssbackup", *words, cwd=tmp_path).stdout)
    assert printed["identity"].pop("profile") == str(FIXTURE)
    assert shown["identity"].pop("profile")
    for document in (printed, shown):  # of a file that is encrypted anew each time
        assert document.pop("sha256")
        assert document.pop("bytes") > 1000
    assert printed == shown


def test_the_guide_for_it_names_every_key_of_a_report() -> None:
    now = datetime.now(UTC)
    hosts = (HostResult("h", reached=True, error=None, totals={}),)
    items = (BatchItem("failed", "host", "jane"),)
    report = BatchReport(now, now, None, Path("/"), (), items=items, hosts=hosts)
    batch = report.to_json()
    one = batch["items"][0]  # type: ignore[index] # JSON
    for key in (*batch, *report.totals, *one, *hosts[0].to_json()):
        assert f"`{key}`" in text_of("nssbackup/batch/README.md"), key
