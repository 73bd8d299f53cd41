"""Computers of the tests' own: network namespaces with an sshd, users, a /home and a /tmp each.

All of it hangs on one process, the first of a process namespace: when that ends (and it does when
this one does, however), the kernel ends every process in it and takes away the namespaces, with
their interfaces and mounts. Nothing is made in the machine's own network: the bridge that joins
the computers is in a namespace as well, which has no other way out. The addresses are of
TEST-NET-1 (RFC 5737), which is nobody's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import is_root
from tests.builders.namespaces import enter, unshare
from tests.peers.process import PeerError, run

PROGRAMS = ("ip", "unshare", "nsenter", "mount", "ssh", "ssh-keygen", "sshd")
LIMIT = 180.0
_NET = "192.0.2"
_START = LIMIT

# Waits for its cable, which the bridge's namespace plugs in.
_CABLE = """
set -e
folder=$1
echo $$ > "$folder/pid.new"
mv "$folder/pid.new" "$folder/pid"
read -r _
ip link set lo up
ip address add "$2/24" dev eth0
ip link set eth0 up
"""

# The host's own files are mounted where they are looked for; /tmp is the last, because what is
# mounted may lie in the machine's. Python is started once: not every place is seen from here.
_SERVER = """
mount -t tmpfs -o mode=755 host /run
mkdir -m 755 /run/sshd /run/host
mount --bind "$folder/etc" /run/host
mount --bind "$folder/etc/passwd" /etc/passwd
mount --bind "$folder/etc/shadow" /etc/shadow
mount --bind "$folder/home" /home
mount --bind "$folder/tmp" /tmp
cd /
"$3" -c 'import ssl, sqlite3'
exec "$4" -D -e -f /run/host/sshd_config
"""

# The machine's root may have a shell that does anything when it starts: on one, a version manager
# that waits a minute for a lock, at each login.
_PASSWD = """\
root:x:0:0:root:/run/host/root:/bin/sh
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_SHADOW = """\
root:*:19000:0:99999:7:::
sshd:!:19000::::::
nobody:*:19000:0:99999:7:::
"""

_SILENT = """
exec cat
"""

_SSHD = """\
ListenAddress {address}
HostKey /run/host/host_key
AuthorizedKeysFile /run/host/authorized_keys
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AcceptEnv LC_*
Subsystem sftp internal-sftp
"""


def lacking() -> str | None:
    """What keeps this machine from having such computers; None if nothing does."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if missing := [name for name in PROGRAMS if _program(name) is None]:
        return f"not installed: {', '.join(missing)}"
    if not is_root():
        return "network namespaces need root"
    try:
        run([*_isolated(), "ip", "link", "add", "probe", "type", "veth", "peer", "name", "eborp"])
    except PeerError as error:
        return f"no network namespaces here: {error}"
    return None


def _isolated() -> tuple[str, ...]:
    return unshare("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


@dataclass(frozen=True, slots=True)
class Host:
    """A computer: its name, its address, and its folder on this machine."""

    name: str
    address: str
    folder: Path

    @property
    def homes(self) -> Path:
        """What it has as /home."""
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        """What it has as /tmp."""
        return self.folder / "tmp"


class Network:
    """Computers joined by a bridge, and the controller, which is the bridge's own namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, Host] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._key = folder / "client_key"
        self._first = 0

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path) -> Iterator[Network]:
        """A network without computers, whose files go to a new folder."""
        folder.mkdir()
        network = cls(folder)
        try:
            network._begin()
            yield network
        finally:
            network.close()

    def _begin(self) -> None:
        # `cat` ends when its standard input does, which this process holds.
        holder = subprocess.Popen(
            [*_isolated(), "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        self._processes.append(holder)
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
        self._first = int(_wait_for(lambda: children.read_text().strip()))
        # When it is no longer `unshare`, all namespaces are there.
        name = Path(f"/proc/{self._first}/comm")
        _wait_for(lambda: "ready" if name.read_text().strip() == "cat" else "")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "add", "bridge0", "type", "bridge")
        self.run("ip", "address", "add", f"{_NET}.1/24", "dev", "bridge0")
        self.run("ip", "link", "set", "bridge0", "up")
        # For sockets, of ssh and Ansible: below a test's own folder their names get too long.
        self.run("mount", "-t", "tmpfs", "-o", "mode=755", "controller", "/run")
        self.run("mkdir", "/run/tmp")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key])

    def close(self) -> None:
        """End the first process; the kernel ends the others and does the rest."""
        if self._processes:
            self._processes[0].kill()
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(_START)
        self._processes.clear()

    def command(self, *words: str | Path) -> list[str]:
        """The words that run a program on the controller."""
        return [*enter(self._first, "--net", "--mount", "--pid"), *map(str, words)]

    def run(self, *words: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run a program on the controller to its end and return what it printed."""
        path = {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}
        return run(self.command(*words), env={**path, **(env or {})}, timeout=LIMIT).decode()

    def add_host(self, name: str, *, listens: bool = True) -> Host:
        """A computer with an empty /home; or one where no sshd is."""
        host = Host(name, f"{_NET}.{len(self.hosts) + 11}", self.folder / name)
        for made in ("etc", "home", "tmp"):
            (host.folder / made).mkdir(parents=True)
        host.temporary.chmod(0o1777)
        keys = host.folder / "etc"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / "host_key"])
        shutil.copy(self._key.with_suffix(".pub"), keys / "authorized_keys")
        (keys / "sshd_config").write_text(_SSHD.format(address=host.address))
        (keys / "root").mkdir(mode=0o700)
        (keys / "passwd").write_text(_PASSWD)
        (keys / "shadow").write_text(_SHADOW)
        script = _CABLE + (_SERVER if listens else _SILENT)
        words = ("sh", "-c", script, "host", host.folder, host.address, python(), sshd())
        log = host.folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                self.command(*unshare("--net", "--mount"), *words),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
            )
        self._processes.append(process)
        pid = host.folder / "pid"
        number = _wait_for(lambda: pid.read_text().strip() if pid.exists() else "", log)
        cable = f"veth{len(self.hosts)}"
        other_end = ("type", "veth", "peer", "name", "eth0", "netns", number)
        self.run("ip", "link", "add", cable, *other_end)
        self.run("ip", "link", "set", cable, "master", "bridge0", "up")
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        if listens:
            _wait_for(lambda: "listening" if b"listening" in log.read_bytes() else "", log)
        self.hosts[name] = host
        return host

    def inventory(
        self,
        path: Path,
        unknown: Collection[str] = (),
        variables: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Path:
        """An Ansible inventory of all the computers, whose keys are known but for the named.

        Args:
            path: of the new file.
            unknown: the computers whose keys are not known.
            variables: more of some computers.
        """
        known = path.with_suffix(".known_hosts")
        known.write_text(
            "".join(
                f"{host.address} {(host.folder / 'etc' / 'host_key.pub').read_text()}"
                for host in self.hosts.values()
                if host.name not in unknown
            )
        )
        options = f"-F none -o IdentitiesOnly=yes -o UserKnownHostsFile={known}"
        common = {
            "ansible_user": "root",
            "ansible_python_interpreter": python(),
            "ansible_control_path_dir": "/run/ssh",
            "ansible_remote_tmp": "/tmp/.ansible",  # noqa: S108 - the host's own
            "ansible_ssh_private_key_file": str(self._key),
            "ansible_ssh_common_args": options,
            # Ansible's own without compression: the way is short.
            "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=60s",
        }
        lines = ["all:", "  vars:", *(f"    {key}: {value!r}" for key, value in common.items())]
        lines += ["  hosts:"]
        for host in self.hosts.values():
            own = {"ansible_host": host.address, **(variables or {}).get(host.name, {})}
            lines.append(f"    {host.name}: {json.dumps(own)}")
        path.write_text("\n".join(lines) + "\n")
        return path


def python() -> str:
    """The Python of the hosts: the one that the tests' environment was made from."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def sshd() -> str:
    """The program, which wants to be called by its whole path."""
    return _program("sshd") or "sshd"


def _wait_for(look: Callable[[], str], log: Path | None = None) -> str:
    """What a look at last finds."""
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    message = f"it did not come up: {log.read_text() if log else ''}"
    raise PeerError(message)
