"""A building: computers with an sshd of their own, which `nssbackup fleet` backs up.

The computers are real to Ansible: it logs in to them over the network, as it would anywhere. One of
them answers nobody, one is not who it was, and on one a profile is broken; what the others have
must come home.

All nights are one test: each computer has to be given nssbackup each time, and that is what takes
the time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests import PROFILES, PROJECT
from tests.cli.runner import Cli
from tests.fleet.network import LIMIT, Host, Network, lacking
from tests.peers.process import PeerError, run

COLLECTIONS = PROJECT / "nssbackup" / "fleet" / "collections"
Facts = dict[str, tuple[int, int, bytes]]

PRIMARY = "correct horse 7"  # of the fixtures that have one

SITE = """\
- name: A playbook of somebody's own
  hosts: all
  gather_facts: false
  roles:
    - role: nssbackup.fleet.backup
"""


@pytest.fixture
def network(require_peers: bool, tmp_path: Path) -> Iterator[Network]:
    reason = lacking()
    if reason is None and find_spec("ansible_runner") is None:
        reason = "the extra `fleet` is not installed"
    if reason is not None:
        if require_peers:
            pytest.fail(reason)
        pytest.skip(reason)
    with Network.open(tmp_path / "network") as opened:
        yield opened


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory, require_peers: bool) -> Path:
    """What the hosts install from: they have no way to any index."""
    folder = tmp_path_factory.mktemp("wheels")
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", *isolation)
    try:
        run([*pip, "--wheel-dir", folder, PROJECT, "pip"], timeout=LIMIT)
    except PeerError as error:
        if require_peers:
            raise
        pytest.skip(f"no wheels for the hosts: {error}")
    return folder


@dataclass(frozen=True, slots=True)
class Controller:
    """Who backs up: on the computer that the bridge is on."""

    network: Network
    cli: Cli
    inventory: Path

    @classmethod
    def of(
        cls,
        network: Network,
        folder: Path,
        unknown: Collection[str] = (),
        variables: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Controller:
        folder.mkdir()
        cli = Cli(folder)
        # Ansible looks a thousand times a second whether a task has ended, and there is work to do.
        (cli.home / ".ansible.cfg").write_text("[defaults]\ninternal_poll_interval = 0.05\n")
        return cls(network, cli, network.inventory(folder / "inventory.yml", unknown, variables))

    @property
    def output(self) -> Path:
        return self.cli.here / "certificates"

    def start(self, *words: str | Path, **more: str) -> subprocess.Popen[bytes]:
        """Start a program of this environment there."""
        return subprocess.Popen(
            self.network.command(sys.executable, *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.cli.here,
            env={**self.cli.variables(), "TMPDIR": "/run/tmp", **more},
        )

    def run(self, *words: str | Path, **more: str) -> tuple[int, str, str]:
        with self.start(*words, **more) as process:
            try:
                out, err = process.communicate(timeout=LIMIT)
            finally:
                process.kill()
        return process.returncode, out.decode(), err.decode()

    def fleet(self, *words: str | Path) -> tuple[int, dict[str, Any], str]:
        """Run `nssbackup fleet --json`."""
        target = ("-m", "nssbackup", "fleet", self.inventory, "-o", self.output, "--json")
        status, out, err = self.run(*target, *words)
        document = json.loads(out)
        assert isinstance(document, dict)
        return status, document, err


def put(host: Host, user: str, fixture: str) -> Path:
    """A user whose Firefox has a profile."""
    root = host.homes / user / ".mozilla" / "firefox"
    folder = shutil.copytree(PROFILES / fixture, root / "abcd1234.default-release")
    (root / "profiles.ini").write_text(
        "[Profile0]\nName=default-release\nIsRelative=1\nPath=abcd1234.default-release\nDefault=1\n"
    )
    # What was written just now may be written again in the same moment: batch would look twice.
    for path in (*root.parent.rglob("*"), root.parent, host.homes / user):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder


def facts(folder: Path) -> Facts:
    """Every file below a folder: mode, time of the last change, bytes."""
    return {
        path.relative_to(folder).as_posix(): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def statuses(document: dict[str, Any], host: str) -> list[str]:
    return sorted(item["status"] for item in document["items"] if item["host"] == host)


def test_a_building_is_backed_up_night_after_night(
    network: Network, wheels: Path, tmp_path: Path
) -> None:
    hosts = {name: network.add_host(name) for name in ("ada", "berta", "carl", "fritz")}
    network.add_host("emil", listens=False)
    put(hosts["ada"], "jane", "two-people")
    put(hosts["berta"], "jane", "firefox-password")
    put(hosts["berta"], "otto", "foreign-only")
    put(hosts["carl"], "jane", "nss3110-nopassword")
    broken = put(hosts["carl"], "kurt", "firefox-nopassword")
    (broken / "cert9.db").write_bytes(b"this is no database" * 1000)
    put(hosts["fritz"], "jane", "firefox-nopassword")
    # What no option says the inventory may: of one computer, that there is but one home.
    variables = {"ada": {"nssbackup_home": ["/home/jane"]}}
    controller = Controller.of(network, tmp_path / "controller", ["fritz"], variables)
    run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=IT"),
            *("-days", "30", "-keyout", tmp_path / "it.key", "-out", tmp_path / "it.pem"),
        ]
    )
    primary = controller.cli.file("primary", f"{PRIMARY}\n")
    options = (
        *("--wheels", wheels, "--all-issuers", "--escrow-cert", tmp_path / "it.pem"),
        *("--primary-password-file", primary, "--expiring", "30"),
    )
    before = {name: facts(host.homes) for name, host in hosts.items()}
    # Nobody has a way to any other address.
    assert "default" not in network.run("ip", "route", "show", "table", "all")

    # The first night.
    status, document, said = controller.fleet(*options)
    assert status == 3, (document, said)
    check_document(document)
    check_reports(controller.output, document)
    check_files(controller, document, tmp_path)
    check_nothing_is_left(network)
    assert {name: facts(host.homes) for name, host in hosts.items()} == before

    # The second night, by a playbook of somebody's own: nothing is new, and nothing is done.
    first = facts(controller.output)
    recap, said = playbook(controller, wheels, tmp_path, primary)
    assert re.search(r"^ada +: ok=\d+ +changed=0 +unreachable=0 +failed=0", recap, re.MULTILINE)
    check_nothing_is_new(first, facts(controller.output))
    again = json.loads((controller.output / "ada" / "report.json").read_text())
    assert [item["status"] for item in again["items"]] == ["unchanged", "unchanged"]
    check_nothing_is_left(network)
    # No secret in what Ansible says of itself, however much it is asked to say.
    assert "primary-password-file" in said
    assert PRIMARY not in said

    # A dry run says what would be done, and does nothing.
    put(hosts["carl"], "zoe", "ec-p256")
    second = facts(controller.output)
    status, document, said = controller.fleet("--limit", "carl", "--dry-run", *options)
    assert status == 3, (document, said)
    assert document["dry_run"]
    assert statuses(document, "carl") == ["failed", "planned", "unchanged"]
    assert facts(controller.output) == second
    check_nothing_is_left(network)


def check_document(document: dict[str, Any]) -> None:
    """The document of the first night: all that can be had is there, and the rest is named."""
    hosts = {host["host"]: (host["reached"], host["error"]) for host in document["hosts"]}
    for name, why in (("emil", "refused"), ("fritz", "host key verification failed")):
        reached, error = hosts.pop(name)
        assert (reached, why in error.lower()) == (False, True), error
        (absent,) = (one for one in document["items"] if one["host"] == name)
        assert absent["error"]["code"] == "host-unreachable"
    assert hosts == dict.fromkeys(("ada", "berta", "carl"), (True, None))
    assert statuses(document, "ada") == ["backed-up", "backed-up"]
    assert statuses(document, "berta") == ["backed-up", "backed-up"]
    assert statuses(document, "carl") == ["backed-up", "failed"]
    assert (document["host"], document["expiring_days"]) == (None, 30)
    assert document["roots"] == ["/home/jane", "/home"]
    assert document["totals"]["failed"] == 3
    (unread,) = (one for one in document["items"] if one["host"] == "carl" and one["error"])
    assert (unread["user"], unread["error"]["code"]) == ("kurt", "store-damaged")


def check_nothing_is_new(first: Facts, second: Facts) -> None:
    """Of a host that has nothing new only the state and the report were written again."""
    assert set(first) == set(second)
    touched = {name for name in second if first[name] != second[name]}
    own = {"ada", "ada/.nssbackup", *(f"ada/report.{kind}" for kind in ("csv", "html", "json"))}
    assert {name for name in touched if not name.startswith("ada/.nssbackup/")} <= own


def playbook(controller: Controller, wheels: Path, folder: Path, primary: Path) -> tuple[str, str]:
    """Run the role as Ansible's users do; returns the recap, and all that was said."""
    site = controller.cli.file("site.yml", SITE)
    variables = {
        "nssbackup_folder": str(controller.output),
        "nssbackup_wheels": str(wheels),
        "nssbackup_all_issuers": True,
        "nssbackup_escrow_certificates": [str(folder / "it.pem")],
        "nssbackup_primary_password_file": str(primary),
        "nssbackup_expiring": 30,
    }
    log = controller.cli.folder / "ansible.log"
    program = Path(sys.executable).parent / "ansible-playbook"
    words = ("-i", controller.inventory, "--limit", "ada", "-vvv", "--diff")
    status, out, err = controller.run(
        *(program, site, *words, "--extra-vars", json.dumps(variables)),
        ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
        ANSIBLE_LOG_PATH=str(log),
        ANSIBLE_NOCOLOR="1",
    )
    assert status == 0, out + err
    return out.partition("PLAY RECAP")[2], out + err + log.read_text()


def check_reports(output: Path, document: dict[str, Any]) -> None:
    """The reports of all hosts are there, and each names what failed."""
    assert json.loads((output / "report.json").read_text()) == document
    for name in ("report.html", "report.csv"):
        text = (output / name).read_text(encoding="utf-8-sig")
        for word in ("emil", "carl", "kurt", "refused"):
            assert word in text, (name, word)


def check_files(controller: Controller, document: dict[str, Any], folder: Path) -> None:
    """Each backup is private, and opens with its password, which only the escrow's key tells."""
    output = controller.output
    for path in output.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert not list(output.rglob("passwords.csv"))
    backups = [item for item in document["items"] if item["file"]]
    assert {item["file"] for item in backups} == {
        path.relative_to(output).as_posix() for path in output.rglob("*.pfx")
    }
    for item in backups:
        host, _, rest = item["file"].partition("/")
        (sealed,) = (output / host / "escrow").glob(f"{rest}.*.p7m")
        decrypt = ("openssl", "cms", "-decrypt", "-inform", "DER")
        text = run([*decrypt, "-in", sealed, "-inkey", folder / "it.key"])
        (verdict,) = controller.cli.verify(
            output / item["file"], password=json.loads(text)["password"]
        )
        assert verdict["ok"]
        assert verdict["identity"]["sha256"] == item["identity"]["sha256"]


def check_nothing_is_left(network: Network) -> None:
    """Nothing on the hosts but what Ansible itself keeps there, nothing for a moment here."""
    for host in network.hosts.values():
        assert [path.name for path in host.temporary.iterdir() if path.name != ".ansible"] == []
    assert network.run("ls", "-A", "/run/tmp") == ""


def test_ctrl_c_leaves_nothing_on_the_hosts(
    request: pytest.FixtureRequest, network: Network, tmp_path: Path
) -> None:
    if not request.config.getoption("--every-fault"):
        pytest.skip("a long run: --every-fault")
    host = network.add_host("ada")
    controller = Controller.of(network, tmp_path / "controller")
    # A pip that comes to no end.
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "pip-1-py3-none-any.whl", "w") as file:
        file.writestr("pip/__main__.py", "import time; open('begun', 'w'); time.sleep(1000)")
    words = ("-m", "nssbackup", "fleet", controller.inventory, "-o", controller.output)
    with controller.start(*words, "--wheels", wheels) as process:
        try:
            deadline = time.monotonic() + LIMIT
            while not list(host.temporary.glob("nssbackup-fleet-*/begun")):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            # `nsenter` waits for the program that it started in the other namespaces.
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            os.kill(int(children), signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == 130, err.decode()
    assert b"Traceback" not in err
    assert b"interrupted" in err
    assert out == b""
    check_nothing_is_left(network)
    assert not list(controller.output.glob("ada*"))
    # Nobody is still at work, here or there: they share their list of processes.
    said = network.run("ps", "-e", "-o", "args")
    assert "ansible-playbook" not in said
    assert "pip-1-py3" not in said
