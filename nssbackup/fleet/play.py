"""Play: a playbook of ours run through ansible-runner, and the outcome of each host."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from nssbackup.errors import NssBackupError, UsageError

PLAYBOOKS = Path(__file__).resolve().parent
"""The folder of the playbooks; Ansible finds the collection in the folder `collections` in it."""

# Seconds without an event of Ansible's, the backing up apart: all other tasks of the role end
# within ten minutes.
_SILENCE = 900.0
# From Ansible's last event to its end.
_TIME_TO_END = 30.0
# From the order to end to its end.
_GRACE = 10.0

_MAX_MESSAGE = 2_000
_BAD = frozenset({"runner_on_failed", "runner_item_on_failed", "runner_on_unreachable"})

# The tasks that are shown, and how.
STEPS = {
    "Look at the host": "connecting",
    "Install nssbackup": "installing nssbackup for the time of the run",
    "Back up the certificates": "backing up",
    "Fetch the backups": "fetching the backups",
}

_DONE = "Show the totals"
_WORDS = {
    "backed-up": "backed up",
    "unchanged": "unchanged",
    "planned": "to be backed up",
    "failed": "failed",
}

# ssh asks nothing without a terminal, but ansible-runner gives it one. An unknown host key is
# refused, and a key with a passphrase can't be used.
_ANSWERS = {
    r"continue connecting \(yes/no": "no",
    r"Enter passphrase for key .*:\s*$": "",
    r"(?i)password.*:\s*$": "",
}


class FleetUnavailableError(UsageError):
    """Ansible is not installed here."""

    code = "fleet-unavailable"
    default_hint = "install it beside nssbackup: `pip install 'nssbackup[fleet]'`"


class AnsibleError(UsageError):
    """Ansible could not begin: the inventory, the limit or its configuration is wrong."""

    code = "ansible"


class HostError(NssBackupError):
    """A host has no report of its own."""

    code = "host-failed"
    exit_status = 3


class HostUnreachableError(HostError):
    """A host could not be reached."""

    code = "host-unreachable"
    default_hint = "check that it is switched on and that `ansible -m ping` reaches it"


class FleetStuckError(HostError):
    """Ansible did not end. What came back stays, but there is no report of all hosts."""

    code = "fleet-stuck"
    default_hint = "run it again; the backups that came back are kept, with each host's report"


@dataclass(frozen=True, slots=True)
class Play:
    """Which hosts, and how Ansible works on them.

    Attributes:
        inventory: a file or folder, or hosts with commas between them, as Ansible's `-i` takes it.
        limit: Ansible's pattern of hosts.
        forks: how many hosts at a time; Ansible's own setting by default.
        become: whether to become root there.
        check: whether to say only what would be done.
        time_limit: how many seconds the backing up of a host may take.
    """

    inventory: str
    limit: str | None = None
    forks: int | None = None
    become: bool = False
    check: bool = False
    time_limit: int = 14_400


@dataclass(frozen=True, slots=True)
class HostOutcome:
    """The outcome of a host: `error` is None if the play came to its end there."""

    host: str
    reached: bool
    error: str | None = None


Progress = Callable[[str, str], None]
"""Called with a host and what happens there."""


def run_play(
    name: str, play: Play, variables: Mapping[str, object], private: Path, progress: Progress
) -> tuple[HostOutcome, ...]:
    """Run a playbook of ours; return the outcomes of the hosts, by name.

    Args:
        name: of the playbook.
        play: which hosts.
        variables: of the role; no secret may be among them.
        private: an empty folder for ansible-runner, in a private one for Ansible. The latter's path
            must be short: Ansible makes sockets in it, and on macOS their names may have 103
            characters.
        progress: called with what happens.

    Raises:
        FleetUnavailableError: Ansible is not installed.
        AnsibleError: it could not begin.
        FleetStuckError: it did not end, and was stopped.
        KeyboardInterrupt: Ctrl-C or SIGTERM; Ansible has ended by then.
    """
    runner = runner_module()
    events = _Events(progress, play.time_limit + _SILENCE)
    arguments: dict[str, Any] = {
        "private_data_dir": str(private),
        # The caller's folder, so that relative paths and an `ansible.cfg` work as they do with
        # `ansible-playbook`.
        "project_dir": str(Path.cwd()),
        "playbook": str(PLAYBOOKS / f"{name}.yml"),
        "inventory": [play.inventory],
        "limit": play.limit,
        "forks": play.forks,
        "cmdline": " ".join(["--become"] * play.become + ["--check"] * play.check) or None,
        "extravars": dict(variables),
        "envvars": _environment(private.parent),
        "settings": {"pexpect_timeout": 1},
        "passwords": dict(_ANSWERS),
        "quiet": True,
        "event_handler": events.take,
        "cancel_callback": events.must_end,
    }
    done = None
    with _noting_ctrl_c(events):
        try:
            done = runner.run(**arguments)
        except Exception as error:  # pexpect's and ansible-runner's own, which have no root
            if not (events.finished or events.cancelled or events.stuck):
                message = f"ansible-runner failed: {str(error)[:_MAX_MESSAGE]}"
                raise AnsibleError(message) from error
    if events.cancelled:
        raise KeyboardInterrupt
    if events.finished:
        return events.outcomes()
    if events.stuck:
        message = f"Ansible reported nothing for {events.patience / 60:.0f} minutes and was stopped"
        raise FleetStuckError(message)
    raise AnsibleError(_why(done))


@dataclass(slots=True)
class _Events:
    """Reads the events of a run as they come."""

    progress: Progress
    patience: float
    finished: bool = False
    stuck: bool = False
    cancelled: bool = False
    _last: float = field(default_factory=time.monotonic)
    _ansible: int | None = None
    _told: float | None = None
    _hosts: set[str] = field(default_factory=set)
    _unreachable: set[str] = field(default_factory=set)
    _failed: set[str] = field(default_factory=set)
    _errors: dict[str, str] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> bool:
        """Take an event; return that ansible-runner need not keep it."""
        self._last = time.monotonic()
        self._ansible = event.get("pid", self._ansible)
        kind, data = event.get("event"), event.get("event_data") or {}
        host, task = data.get("host"), data.get("task")
        if kind == "playbook_on_stats":
            self.finished = True
            self._hosts.update(data.get("processed") or {})
            self._unreachable.update(data.get("dark") or {})
            self._failed.update(data.get("failures") or {})
        elif not isinstance(host, str):
            pass
        elif kind == "runner_on_start":
            if step := STEPS.get(str(task)):
                self.progress(host, step)
        elif kind == "runner_on_ok" and task == _DONE:
            self.progress(host, f"done: {_summary(data.get('res') or {})}")
        elif kind in _BAD and not data.get("ignore_errors"):
            # Only the first: what fails later fails because of it.
            self._errors.setdefault(host, error_of(str(task), data.get("res") or {}))
        return False

    def must_end(self) -> bool:
        """Return whether to kill Ansible; ansible-runner asks every second or so.

        Ansible is told to end first: it tells its workers, which since 2.19 are in sessions of
        their own and would otherwise go on until their tasks end.
        """
        silent = time.monotonic() - self._last
        self.stuck = self.stuck or silent > (_TIME_TO_END if self.finished else self.patience)
        if not (self.stuck or self.cancelled):
            return False
        if self._told is None:
            self._told = time.monotonic()
            with suppress(OSError):
                if self._ansible is not None:
                    os.kill(self._ansible, signal.SIGINT)
        return self._ansible is None or time.monotonic() - self._told > _GRACE

    def outcomes(self) -> tuple[HostOutcome, ...]:
        """Return the outcomes of the hosts, by name."""
        return tuple(
            HostOutcome(
                host,
                reached=host not in self._unreachable,
                error=self._errors.get(host, "Ansible did not say what failed")
                if host in self._unreachable | self._failed
                else None,
            )
            for host in sorted(self._hosts)
        )


@contextmanager
def _noting_ctrl_c(events: _Events) -> Iterator[None]:
    """Note Ctrl-C and SIGTERM instead of raising an exception.

    An exception inside ansible-runner would leave Ansible running, in a session of its own that no
    Ctrl-C reaches.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        events.cancelled = True

    before = {
        number: signal.signal(number, note)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) not in (None, signal.SIG_IGN)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def error_of(task: str, result: Mapping[str, Any]) -> str:
    """Return the error of a failed task in its shortest form."""
    for said in (_own_error(result.get("stdout")), result.get("stderr"), result.get("msg")):
        text = " ".join(str(said or "").split()).removeprefix("Task failed: ")
        if text and text != "non-zero return code":
            return text[:_MAX_MESSAGE]
    return f"the task `{task}` failed; its output may hold a secret and is not shown"


def _summary(result: Mapping[str, Any]) -> str:
    """Return the totals of a host in words."""
    totals = result.get("msg")
    if not isinstance(totals, dict):
        return "nothing"
    if isinstance(totals.get("message"), str):  # nothing was found to back up
        return str(totals["message"])[:_MAX_MESSAGE]
    # From the host: only whole numbers are shown.
    found = {key: count for key, count in totals.items() if type(count) is int and count}
    counts = [f"{found[key]} {words}" for key, words in _WORDS.items() if key in found]
    return ", ".join(counts) or "nothing"


def _own_error(stdout: object) -> str | None:
    """Return the message of our own command line, whose errors are JSON on stdout."""
    try:
        document = json.loads(str(stdout))
        error = document["error"]
        return f"{error['message']} ({error['hint']})" if error["hint"] else str(error["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _environment(temporary: Path) -> dict[str, str]:
    """Return what is set for Ansible; the caller's other variables are kept."""
    defaults = {
        # ansible-runner turns the checking of host keys off by default.
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_EXTRA_ARGS": "-o ServerAliveInterval=15 -o ServerAliveCountMax=4",
    }
    return {
        **{name: os.environ.get(name, value) for name, value in defaults.items()},
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_LOCAL_TEMP": str(temporary),
        "TMPDIR": str(temporary),
        # The environment that nssbackup runs in need not be on the PATH.
        "PATH": os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        ),
    }


def runner_module() -> Any:  # noqa: ANN401 - it has no types
    """Return the module ansible_runner.

    Raises:
        FleetUnavailableError: it, or Ansible itself, is not installed.
    """
    try:
        import ansible  # type: ignore[import-untyped]
        import ansible_runner  # type: ignore[import-untyped]
    except ImportError as error:  # on Windows its own imports fail
        message = "`nssbackup fleet` needs Ansible, which is not installed here"
        hint = "Ansible runs on Linux and macOS" if sys.platform == "win32" else None
        raise FleetUnavailableError(message, hint=hint) from error
    del ansible
    return ansible_runner


def _why(done: Any) -> str:  # noqa: ANN401 - a class without types
    """Return what Ansible said before it gave up."""
    try:
        with done.stdout as file:
            said = file.read()[-_MAX_MESSAGE * 4 :]
    except Exception:  # noqa: BLE001 - whatever keeps its words from us
        said = ""
    lines = [line.strip() for line in said.splitlines() if "ERROR" in line]
    text = " ".join(lines) or " ".join(said.split()) or f"it ended with status {done.rc}"
    return f"Ansible could not begin: {text[-_MAX_MESSAGE:].rstrip('. ')}"
