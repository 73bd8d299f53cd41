"""The guide for IT: its commands run, its units and its task are what systemd and Windows take."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from nssbackup.batch.report import HOME_STATUSES
from tests import LIMIT, PROJECT
from tests.builders.homes import JANE, add_home, backups, report_of
from tests.cli.runner import Cli

GUIDE = (PROJECT / "nssbackup/batch/README.md").read_text(encoding="utf-8")
PASSPHRASE = "the two of us"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the steps are for a Unix shell")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def server(cli: Cli) -> Cli:
    """A computer with homes, an empty output folder, and nssbackup as the guide installs it."""
    add_home(cli.folder / "homes", "jane", JANE)
    add_home(cli.folder / "homes", "zoe", "foreign-only")
    (cli.folder / "backups").mkdir(mode=0o700)
    programs = cli.folder / "bin"
    programs.mkdir()
    for name, words in (("nssbackup", " -m nssbackup"), ("python", "")):
        path = programs / name
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{words} "$@"\n')
        path.chmod(0o755)
    return cli


def here(server: Cli, text: str) -> str:
    """The guide's words with the folders of this test in the place of the server's."""
    places = {
        "/opt/nssbackup/bin": server.folder / "bin",
        "/etc/nssbackup": server.folder / "etc",
        "/srv/backups": server.folder / "backups",
        "/home": server.folder / "homes",
    }
    for place, path in places.items():
        text = re.sub(rf"(?<![\w/]){place}(?![\w.])", str(path), text)
    assert not re.search(r"(?<![\w/-])/(home|srv|opt|etc)\b", text)  # no folder of this computer
    return text


def shell(server: Cli, script: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-euc", script],
        input=f"{PASSPHRASE}\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        cwd=server.here,
        env=server.variables(),
        start_new_session=True,  # no terminal: what asks for a passphrase reads it from stdin
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_ten_steps() -> None:
    steps = re.findall(r"^## (\d+)\. ", GUIDE, re.MULTILINE)
    assert steps == [str(number) for number in range(1, 11)]


@pytest.mark.skipif(not shutil.which("openssl"), reason="OpenSSL is not installed")
def test_the_steps_run_from_nothing_to_an_opened_backup(server: Cli) -> None:
    (server.here / "open.py").write_text(blocks("python")[0])
    steps = here(server, "".join(blocks("sh")))
    # OpenSSL asks its terminal for the passphrase, and there is none.
    steps = steps.replace("openssl req ", f"openssl req -passout 'pass:{PASSPHRASE}' ")
    steps = steps.replace("openssl cms ", f"openssl cms -passin 'pass:{PASSPHRASE}' ")
    printed = shell(server, steps)
    assert "Jane Doe" in printed
    escrow = json.loads(printed[printed.rindex('{\n "user"') :])
    (backup,) = backups(server.folder / "backups")
    assert escrow["file"] == f"jane/{backup.name}"
    document = report_of(server.folder / "backups")
    assert document["totals"]["homes"]["backed-up"] == 1
    assert document["totals"]["homes"]["no-certificate"] == 1


@pytest.mark.skipif(not shutil.which("openssl"), reason="OpenSSL is not installed")
def test_the_line_for_cron_is_quiet_and_what_systemd_runs(server: Cli) -> None:
    (line,) = here(server, "".join(blocks("cron"))).splitlines()
    when, command = re.match(r"((?:\d+|\*)(?: (?:\d+|\*)){4}) root (.*)", line).groups()  # type: ignore[union-attr]
    assert when == "30 1 * * *"
    assert "%" not in command  # cron would make it a new line
    service, _ = blocks("ini")
    assert f"\nExecStart={command}\n" in here(server, service)
    shell(server, here(server, "".join(blocks("sh")[:2])).replace("req ", "req -nodes "))
    assert shell(server, f"{command} 2>&1") == ""
    assert len(backups(server.folder / "backups")) == 1


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_units(server: Cli) -> None:
    units = [server.here / f"nssbackup.{kind}" for kind in ("service", "timer")]
    for path, text in zip(units, blocks("ini"), strict=True):
        path.write_text(here(server, text))
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"

# Of "Task Scheduler Schema" in Microsoft's documentation: what an element may contain. A list is a
# sequence, a set may come in any order, and a text is a pattern.
BOOLEAN, DURATION = "true|false", r"P(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?"
SCHEMA: dict[str, list[str] | set[str] | str] = {
    "Task": {"RegistrationInfo", "Triggers", "Settings", "Data", "Principals", "Actions"},
    "RegistrationInfo": {"URI", "Source", "Author", "Version", "Date", "Description"},
    "Description": ".+",
    "Triggers": ["CalendarTrigger"],
    "CalendarTrigger": [
        *("Enabled", "StartBoundary", "EndBoundary", "Repetition", "ExecutionTimeLimit"),
        *("RandomDelay", "ScheduleByDay"),
    ],
    "StartBoundary": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
    "ScheduleByDay": {"DaysInterval"},
    "DaysInterval": r"[1-9]\d?|[12]\d\d|3[0-5]\d|36[0-5]",
    "Principals": ["Principal"],
    "Principal": {"UserId", "LogonType", "GroupId", "DisplayName", "RunLevel"},
    "UserId": r"S-1-5-18",
    "RunLevel": "LeastPrivilege|HighestAvailable",
    "Settings": {
        *("AllowStartOnDemand", "RestartOnFailure", "MultipleInstancesPolicy", "Priority"),
        *("DisallowStartIfOnBatteries", "StopIfGoingOnBatteries", "AllowHardTerminate"),
        *("StartWhenAvailable", "RunOnlyIfNetworkAvailable", "WakeToRun", "Enabled", "Hidden"),
        *("DeleteExpiredTaskAfter", "IdleSettings", "ExecutionTimeLimit", "RunOnlyIfIdle"),
    },
    "MultipleInstancesPolicy": "Parallel|Queue|IgnoreNew|StopExisting",
    "DisallowStartIfOnBatteries": BOOLEAN,
    "StartWhenAvailable": BOOLEAN,
    "ExecutionTimeLimit": DURATION,
    "Actions": ["Exec"],
    "Exec": {"Command", "Arguments", "WorkingDirectory"},
    "Command": r"[A-Z]:\\[\w\\]+\.exe",
    "Arguments": ".+",
}


def flaws(element: ET.Element) -> list[str]:
    """What the schema does not allow in an element."""
    name = element.tag.removeprefix(f"{{{NAMESPACE}}}")
    allowed = SCHEMA.get(name)
    children = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in element]
    if allowed is None or len(set(children)) != len(children):
        return [name]
    if isinstance(allowed, str):
        fits = not children and bool(re.fullmatch(allowed, element.text or ""))
    elif isinstance(allowed, set):
        fits = set(children) <= allowed
    else:
        fits = children == [child for child in allowed if child in children]
    inner = [flaw for child in element for flaw in flaws(child)]
    return inner if fits else [name, *inner]


def test_the_task_for_windows_follows_the_schema(server: Cli) -> None:
    (text,) = blocks("xml")
    task = ET.XML(text)
    assert (task.tag, task.get("version")) == (f"{{{NAMESPACE}}}Task", "1.2")
    assert flaws(task) == []
    names = {"": NAMESPACE}
    principal, actions = task.find(".//Principal", names), task.find("Actions", names)
    assert principal is not None
    assert actions is not None
    assert principal.get("id") == actions.get("Context")
    # Windows' own folders are not here; the rest of the words are those of the command.
    words = (task.findtext(".//Arguments", "", names)).split()
    places = {r"C:\Users": server.folder / "homes", r"D:\backups": server.folder / "backups"}
    escrow = words.index("--escrow-cert")
    del words[escrow : escrow + 2]
    assert server.run(*(places.get(word, word) for word in words)).status == 0
    assert len(backups(server.folder / "backups")) == 1


def test_the_small_schema_sees_what_is_wrong() -> None:
    (text,) = blocks("xml")
    for old, new in (
        (NAMESPACE, f"{NAMESPACE}s"),
        ("<DaysInterval>1", "<DaysInterval>0"),
        ("IgnoreNew", "Ignore"),
        ("PT6H", "6 hours"),
        ("StartWhenAvailable>", "StartWhenThere>"),
        ("      <StartBoundary>2026-01-01T01:30:00</StartBoundary>\n", ""),
    ):
        changed = text.replace(old, new)
        if not new:  # behind the schedule instead of before it
            changed = changed.replace("</ScheduleByDay>\n", f"</ScheduleByDay>\n{old}")
        assert changed != text
        assert flaws(ET.XML(changed)), old


def test_every_status_of_a_home_has_its_advice() -> None:
    for status in HOME_STATUSES:
        assert re.search(rf"^\| `{status}` \|", GUIDE, re.MULTILINE), status
