"""Plays: our playbooks through ansible-runner, and what came of each host."""

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

from nssbackup.fleet.errors import AnsibleError, FleetStuckError, FleetUnavailableError

PLAYBOOKS = Path(__file__).resolve().parent
"""Where the playbooks are; Ansible finds the collection in the folder `collections` beside them."""

# Far above what lies between two events of Ansible's, apart from the one task with a limit of its
# own: the other tasks of the role have ten minutes.
_SILENCE = 900.0
# After its last event Ansible has nothing left to do but to end.
_FAREWELL = 30.0
# For ending in an orderly way when it is told to.
_GRACE = 10.0

_MAX_MESSAGE = 2_000
_BAD = frozenset({"runner_on_failed", "runner_item_on_failed", "runner_on_unreachable"})

# What a task tells the person who watches; the others pass in silence.
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

# ssh asks nothing where there is no terminal, but ansible-runner gives it one. So the answers:
# a host whose key is not known is not the host, and a key whose passphrase is asked can't be used.
_ANSWERS = {
    r"continue connecting \(yes/no": "no",
    r"Enter passphrase for key .*:\s*$": "",
    r"(?i)password.*:\s*$": "",
}


@dataclass(frozen=True, slots=True)
class Play:
    """Which hosts, and how Ansible goes about them.

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
class Outcome:
    """What came of a host: `error` is None where the play went to its end."""

    host: str
    reached: bool
    error: str | None = None


Progress = Callable[[str, str], None]
"""Is told a host and what happens there."""


def run_play(
    name: str, play: Play, variables: Mapping[str, object], private: Path, progress: Progress
) -> tuple[Outcome, ...]:
    """Run a playbook of ours.

    Args:
        name: of the playbook.
        play: which hosts.
        variables: of the role; no secret may be among them.
        private: an empty folder for what ansible-runner writes, in a private one for what Ansible
            does. The latter's path must be short: Ansible makes sockets in it, and the longest name
            of one has 103 characters on macOS.
        progress: is told what happens.

    Returns:
        The hosts, by name.

    Raises:
        FleetUnavailableError: Ansible is not installed.
        AnsibleError: it could not begin.
        FleetStuckError: it came to no end, and was ended.
        KeyboardInterrupt: Ctrl-C or SIGTERM; Ansible has ended by then.
    """
    runner = runner_module()
    watch = _Watch(progress, play.time_limit + _SILENCE)
    arguments: dict[str, Any] = {
        "private_data_dir": str(private),
        # The caller's folder, so that relative paths and an `ansible.cfg` in it mean what they do
        # for `ansible-playbook`.
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
        "event_handler": watch.see,
        "cancel_callback": watch.must_end,
    }
    done = None
    with _told_of_ctrl_c(watch):
        try:
            done = runner.run(**arguments)
        except Exception as error:  # pexpect's and ansible-runner's own, which have no root
            if not (watch.finished or watch.cancelled or watch.stuck):
                message = f"ansible-runner failed: {str(error)[:_MAX_MESSAGE]}"
                raise AnsibleError(message) from error
    if watch.cancelled:
        raise KeyboardInterrupt
    if watch.finished:
        return watch.outcomes()
    if watch.stuck:
        message = f"Ansible said nothing for {watch.patience / 60:.0f} minutes and was ended"
        raise FleetStuckError(message)
    raise AnsibleError(*_why(done))


@dataclass(slots=True)
class _Watch:
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

    def see(self, event: Mapping[str, Any]) -> bool:
        """Take an event in; returns that ansible-runner need not keep it."""
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
            # The first tells what is the matter; what fails afterwards fails because of it.
            self._errors.setdefault(host, error_of(str(task), data.get("res") or {}))
        return False

    def must_end(self) -> bool:
        """Whether Ansible is to be killed: ansible-runner asks this every second or so.

        It is told to end first. It tells those that work for it, who are in sessions of their own
        from 2.19 on and would live on for as long as their tasks do.
        """
        silent = time.monotonic() - self._last
        self.stuck = self.stuck or silent > (_FAREWELL if self.finished else self.patience)
        if not (self.stuck or self.cancelled):
            return False
        if self._told is None:
            self._told = time.monotonic()
            with suppress(OSError):
                if self._ansible is not None:
                    os.kill(self._ansible, signal.SIGINT)
        return self._ansible is None or time.monotonic() - self._told > _GRACE

    def outcomes(self) -> tuple[Outcome, ...]:
        """What came of the hosts."""
        return tuple(
            Outcome(
                host,
                reached=host not in self._unreachable,
                error=self._errors.get(host, "Ansible does not say what failed")
                if host in self._unreachable | self._failed
                else None,
            )
            for host in sorted(self._hosts)
        )


@contextmanager
def _told_of_ctrl_c(watch: _Watch) -> Iterator[None]:
    """Have Ctrl-C, and being told to end by systemd or `kill`, noted instead of raised.

    An exception in the midst of ansible-runner would leave Ansible running, in a session of its own
    where no Ctrl-C arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are for the main thread alone
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        watch.cancelled = True

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
    """What a failed task says is the matter, in as few words as it has."""
    for said in (_own_error(result.get("stdout")), result.get("stderr"), result.get("msg")):
        text = " ".join(str(said or "").split()).removeprefix("Task failed: ")
        if text and text != "non-zero return code":
            return text[:_MAX_MESSAGE]
    return f"the task `{task}` failed, and what it said may hold a secret and is not shown"


def _summary(result: Mapping[str, Any]) -> str:
    """The totals of a host in words."""
    totals = result.get("msg")
    if not isinstance(totals, dict):
        return "nothing"
    if isinstance(totals.get("message"), str):  # nothing was found to be backed up
        return str(totals["message"])[:_MAX_MESSAGE]
    # The host's own words: what is no number is not counted.
    found = {key: count for key, count in totals.items() if type(count) is int and count}
    counts = [f"{found[key]} {words}" for key, words in _WORDS.items() if key in found]
    return ", ".join(counts) or "nothing"


def _own_error(stdout: object) -> str | None:
    """The message of our own command line, whose errors are JSON on stdout."""
    try:
        document = json.loads(str(stdout))
        error = document["error"]
        return f"{error['message']} ({error['hint']})" if error["hint"] else str(error["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _environment(temporary: Path) -> dict[str, str]:
    """What is different for Ansible; the rest is the caller's, their `ANSIBLE_` variables too."""
    defaults = {
        # ansible-runner turns the checking of host keys off where nobody asks for it.
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
        # The programs of the environment that nssbackup runs in are not on everybody's PATH.
        "PATH": os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        ),
    }


def runner_module() -> Any:  # noqa: ANN401 - it has no types
    """The module ansible_runner.

    Raises:
        FleetUnavailableError: it, or Ansible itself, is not installed.
    """
    try:
        import ansible  # type: ignore[import-untyped]
        import ansible_runner  # type: ignore[import-untyped]
    except ImportError as error:  # on Windows its own imports fail
        message = "a fleet needs Ansible, which is not installed here"
        hint = "Ansible runs on Linux and macOS" if sys.platform == "win32" else None
        raise FleetUnavailableError(message, hint=hint) from error
    del ansible
    return ansible_runner


def _why(done: Any) -> tuple[str]:  # noqa: ANN401 - a class without types
    """What Ansible said before it gave up."""
    try:
        with done.stdout as file:
            said = file.read()[-_MAX_MESSAGE * 4 :]
    except Exception:  # noqa: BLE001 - whatever keeps its words from us
        said = ""
    lines = [line.strip() for line in said.splitlines() if "ERROR" in line]
    text = " ".join(lines) or " ".join(said.split()) or f"it ended with status {done.rc}"
    return (f"Ansible could not begin: {text[-_MAX_MESSAGE:]}",)
