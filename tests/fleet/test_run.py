"""A run from its options to its report, without Ansible: what the role is told, what is merged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nssbackup.cli import app
from nssbackup.fleet import run
from nssbackup.fleet.play import HostOutcome, Play, Progress
from tests.builders.store import issue, rsa_key
from tests.fleet.test_documents import DOCUMENT, ITEM

ALWAYS = {f"nssbackup_{name}" for name in ("folder", "requirement", "run", "timeout")}


@dataclass
class Hosts:
    """The hosts in the place of Ansible: what each leaves as its report, what they were told."""

    reports: dict[str, str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)

    def play(
        self,
        _name: str,
        play: Play,
        variables: Mapping[str, object],
        _private: Path,
        _progress: Progress,
    ) -> tuple[HostOutcome, ...]:
        self.told = dict(variables)
        for host, text in self.reports.items():
            path = Path(self.told["nssbackup_folder"], host, "report.json")
            if play.check:
                path = Path(self.told["nssbackup_documents"], f"{host}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tuple(HostOutcome(host, reached=True) for host in self.reports)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hosts:
    hosts = Hosts({"ada": json.dumps(DOCUMENT)})
    monkeypatch.setattr(run, "run_play", hosts.play)
    monkeypatch.setattr(run, "runner_module", lambda: None)
    monkeypatch.chdir(tmp_path)
    return hosts


def fleet(*words: str | Path) -> int:
    """Run the command in this process; returns its status."""
    with pytest.raises(SystemExit) as ended:
        app(["fleet", "one,two", "-o", "out", *map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity"])
def test_a_host_s_nonsense_is_its_own_failure(
    hosts: Hosts, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    bad = json.dumps({**DOCUMENT, "items": [{**ITEM, "bytes": 4711}]}).replace("4711", number)
    hosts.reports["berta"] = bad
    assert fleet() == 3
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    found = {item["host"]: item["status"] for item in report["items"]}
    assert found == {"ada": "backed-up", "berta": "failed"}
    assert "warning: berta: its report is not one of `nssbackup batch`\n" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("--json",), ("--quiet",), ("--dry-run",)])
def test_what_is_about_no_item_is_told_and_stands_in_the_report(
    hosts: Hosts, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    (tmp_path / "it.der").write_bytes(issue(rsa_key(3), "IT", days=(-30, -1)))
    hosts.reports["berta"] = json.dumps({**DOCUMENT, "notes": ["a key is missing"]})
    assert fleet("--escrow-cert", "it.der", *words) == 0
    said = capsys.readouterr()
    notes = ["the escrow certificate of `IT` is expired", "ada: a note", "berta: a key is missing"]
    assert [line for line in said.err.splitlines() if line.startswith("warning: ")] == [
        f"warning: {note}" for note in notes
    ]
    if "--json" in words:
        assert json.loads(said.out)["notes"] == notes
    assert (tmp_path / "out").exists() is ("--dry-run" not in words)


def test_the_role_is_told_nothing_that_nobody_said(hosts: Hosts) -> None:
    assert fleet() == 0
    assert set(hosts.told) == ALWAYS
    assert fleet("--dry-run") == 0
    assert set(hosts.told) == {*ALWAYS, "nssbackup_documents"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--all-issuers",), {"all_issuers": True}),
        (("--expired", "--force"), {"expired": True, "force": True}),
        (("--expiring", "0"), {"expiring": 0}),
        (("--python", "/usr/bin/python3"), {"python": "/usr/bin/python3"}),
        (("--cert", "jane"), {"certificates": ["jane"]}),
        (("--home", "/h/jane"), {"home": ["/h/jane"], "homes": [], "roots": []}),
        (("--homes", "/h"), {"home": [], "homes": ["/h"], "roots": []}),
        (("--for", "windows"), {"for": "windows", "format": ""}),
        (("--format", "modern"), {"for": "", "format": "modern"}),
        (
            ("--password-file", "p"),
            {"password_file": "HERE/p", "passwords": "", "escrow_certificates": []},
        ),
        (
            ("--primary-passwords", "t"),
            {"primary_password_file": "", "primary_passwords": "HERE/t"},
        ),
    ],
)
def test_options_take_the_place_of_the_inventorys_values(
    hosts: Hosts, tmp_path: Path, words: tuple[str, ...], expected: dict[str, object]
) -> None:
    (tmp_path / "p").write_text("Correct-Horse-Battery-Staple-47\n")
    (tmp_path / "t").write_text("user,password\njane,one\n")
    assert fleet(*words) == 0
    told = {key: value for key, value in hosts.told.items() if key not in ALWAYS}
    assert told == {
        f"nssbackup_{key}": value.replace("HERE", str(tmp_path))
        if isinstance(value, str)
        else value
        for key, value in expected.items()
    }


def test_a_table_that_every_host_would_get_is_warned_of(
    hosts: Hosts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "all.csv").write_text("user,password\njane,Correct-Horse-47\n")
    assert fleet("--passwords", "all.csv") == 0
    assert "`--passwords` has rows without a `host`" in capsys.readouterr().err
    (tmp_path / "all.csv").write_text("host,user,password\nada,jane,Correct-Horse-47\n")
    assert fleet("--passwords", "all.csv") == 0
    assert "without a `host`" not in capsys.readouterr().err
    assert hosts.told["nssbackup_passwords"] == str(tmp_path / "all.csv")
