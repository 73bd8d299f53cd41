"""Put the peers on a Debian machine: `python -m tests.peers.install`, as root.

Installs missing packages with apt, unpacks the NSS of two Debian releases into a private folder,
and builds python-nss-ng, which is the engine `nss`, against the newer one. Needs nothing but the
standard library. Where it can't install (no root, no apt), it says what is missing and ends with
status 0: the tests then skip those peers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from tests import LIMIT
from tests.peers import nss
from tests.peers.process import PeerError

PROGRAMS = {
    "bash": "bash",
    "certtool": "gnutls-bin",
    "certutil": "libnss3-tools",
    "firefox-esr": "firefox-esr",
    "fish": "fish",
    "ip": "iproute2",
    "keytool": "default-jre-headless",
    "node": "nodejs",
    "openssl": "openssl",
    "sshd": "openssh-server",
    "zsh": "zsh",
}
"""Program -> Debian package that has it; a program from elsewhere (a JDK, a newer node) will do."""

NSS_PACKAGES = ("libnss3", "libnss3-tools")
"""What is unpacked per release. NSPR and SQLite stay the machine's own: theirs would need the
other release's C library, while NSS itself runs with either."""

BINDING_RELEASE = "trixie"
"""python-nss-ng needs NSS 3.100 to build and to load; bookworm's is older. What is built finds
these libraries by itself."""

BUILD_PACKAGES = ("gcc", "libc6-dev", "libnspr4-dev", "pkg-config", "python3-dev")
"""What building it takes beside that release's headers."""

FIREFOX_WITH_SHA384 = 146
"""Firefox 140 has NSS 3.112, one more per release; 3.118 is the first with SHA-384 passwords."""

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)


class InstallError(Exception):
    """An installation step failed; the message holds what the program said."""


def main() -> int:
    """Install what is missing and report what there is; the exit status."""
    lacking = [program for program in PROGRAMS if _place(program) is None]
    if "firefox-esr" not in lacking and _firefox_version() < FIREFOX_WITH_SHA384:
        lacking.append("firefox-esr")
    absent = [release for release in nss.RELEASES if not _has_nss(release)]
    build = _binding() is None
    if (lacking or absent or build) and not may_install():
        wanted = [f"program {name}" for name in lacking] + [f"NSS of {name}" for name in absent]
        wanted += ["python-nss-ng"] * build
        say(f"not root, or no apt: not installed: {', '.join(wanted)}")
        return 0
    try:
        packages = [PROGRAMS[program] for program in lacking]
        packages += [name for name in BUILD_PACKAGES if build and not _has_package(name)]
        if packages:
            install_packages(sorted(packages))
        for release in absent:
            _unpack_nss(release)
        if build:
            _build_binding()
    except InstallError as exc:
        sys.stderr.write(f"failed: {exc}\n")
        return 1
    return _report()


def _report() -> int:
    """Print every peer with its place or version; 1 if one is still missing."""
    missing = 0
    for program in PROGRAMS:
        place = _place(program)
        say(f"{program:12} {place or 'MISSING'}")
        missing += place is None
    found = {peer.release: peer for peer in nss.available()}
    for release in nss.RELEASES:
        peer = found.get(release)
        say(f"nss {release:8} {f'{peer.version} in {peer.bin}' if peer else 'MISSING'}")
        missing += peer is None
    binding = _binding()
    say(f"python-nss-ng {f'with NSS {binding}' if binding else 'MISSING'}")
    missing += binding is None
    if shutil.which("firefox-esr") and (version := _firefox_version()) < FIREFOX_WITH_SHA384:
        say(f"note: Firefox {version} can't open stores with a primary password set by a")
        say("      current Firefox; enable Debian's security archive and upgrade firefox-esr")
    return 1 if missing else 0


def _place(program: str) -> str | None:
    """Return where a program is; a server is among the administrator's, even off the PATH."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def _firefox_version() -> int:
    """Return the first number of the installed Firefox's version; 0 if it does not say."""
    with tempfile.TemporaryDirectory(prefix="firefox-") as home:
        said = subprocess.run(
            ["firefox-esr", "--version"],
            check=False,
            env={**os.environ, "HOME": home},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
        ).stdout.decode("utf-8", "replace")
    version = re.search(r"(\d+)\.[\d.]+", said)
    return int(version[1]) if version else 0


def install_packages(packages: list[str]) -> None:
    """Install Debian packages, from the security archive too where the machine has no line for it.

    The main archive may have a Firefox that is too old for the stores of current ones. The
    machine's own lists stay as they are: apt gets a copy of them, and the line that is missing.
    """
    with tempfile.TemporaryDirectory(prefix="apt-") as temporary:
        parts, lists = Path(temporary, "parts"), Path(temporary, "lists")
        shutil.copytree("/etc/apt/sources.list.d", parts)
        (lists / "partial").mkdir(parents=True)
        mirror, suite = _mirror(), f"{_codename()}-security"
        configured = "".join(
            file.read_text(encoding="utf-8")
            for file in (Path("/etc/apt/sources.list"), *sorted(parts.iterdir()))
            if file.is_file()
        )
        # The archives lie side by side on Debian's servers and on full mirrors.
        if suite not in configured and mirror.rstrip("/").endswith("/debian"):
            address = f"{mirror.rstrip('/')}-security"
            (parts / "security.list").write_text(f"deb {address} {suite} main\n", encoding="utf-8")
        apt = [
            "apt-get",
            "-o",
            f"Dir::Etc::SourceParts={parts}",
            "-o",
            f"Dir::State::Lists={lists}",
        ]
        # apt's own user can't enter the folder otherwise, and would warn of it.
        apt += ["-o", "APT::Sandbox::User=root"]
        run(*apt, "update")
        # The packages' services and questions have no place in an unattended run.
        run(*apt, "install", "--yes", "--no-install-recommends", *packages)


def may_install() -> bool:
    """Tell whether this process may use apt on this machine."""
    return os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _has_nss(release: str) -> bool:
    """Tell whether the NSS of a release is unpacked and starts."""
    peer = next((peer for peer in nss.available() if peer.release == release), None)
    if peer is None or (release == BINDING_RELEASE and _nss_facts() is None):
        return False
    try:
        with peer.scratch() as database:
            return database.names() == ()
    except PeerError:
        return False


def _unpack_nss(release: str) -> None:
    """Download the NSS of a Debian release and unpack it into its prefix.

    The machine's own apt configuration is left alone: apt runs with lists, caches and sources of
    its own, in a temporary folder. Signatures are checked as ever, with Debian's own keyring.
    """
    target = nss.prefix(release)
    target.parent.mkdir(parents=True, exist_ok=True)
    keyring = next((path for path in KEYRINGS if path.is_file()), None)
    if keyring is None:
        message = "debian-archive-keyring is not installed"
        raise InstallError(message)
    # Beside the target, so that the finished folder can be renamed into place.
    with tempfile.TemporaryDirectory(prefix=f"{release}-", dir=target.parent) as temporary:
        work = Path(temporary)
        for folder in ("state/lists/partial", "cache/archives/partial", "debs", "root"):
            (work / folder).mkdir(parents=True)
        (work / "state" / "status").touch()
        sources = work / "debian.sources"
        sources.write_text(
            f"Types: deb\nURIs: {_mirror()}\nSuites: {release}\nComponents: main\n"
            f"Signed-By: {keyring}\n",
            encoding="utf-8",
        )
        options = {
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": work / "state",
            "Dir::State::Status": work / "state" / "status",
            "Dir::Cache": work / "cache",
            "Acquire::Languages": "none",
            # apt's own user can't enter a home folder.
            "APT::Sandbox::User": "root",
        }
        apt = [
            "apt-get",
            *(word for item in options.items() for word in ("-o", "=".join(map(str, item)))),
        ]
        run(*apt, "update")
        headers = ["libnss3-dev"] if release == BINDING_RELEASE else []
        run(*apt, "download", *NSS_PACKAGES, *headers, cwd=work / "debs")
        for deb in sorted((work / "debs").glob("*.deb")):
            run("dpkg", "-x", str(deb), str(work / "root"))
        if target.exists():
            shutil.rmtree(target)
        (work / "root").rename(target)
    target.chmod(0o755)


def _has_package(name: str) -> bool:
    """Tell whether a Debian package is installed."""
    said = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return said.stdout == b"installed"


def _nss_facts() -> Path | None:
    """Return the pkg-config file of the NSS that python-nss-ng is built against."""
    root = nss.prefix(BINDING_RELEASE)
    return next(iter(sorted(root.glob("usr/lib/*-linux-gnu*/pkgconfig/nss.pc"))), None)


def _binding() -> str | None:
    """Return the version of the NSS that python-nss-ng loads here; None if it can't be loaded."""
    said = subprocess.run(
        [sys.executable, "-I", "-c", "from nss import nss; print(nss.nss_get_version())"],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT,
    )
    return said.stdout.decode().strip() if said.returncode == 0 else None


def _build_binding() -> None:
    """Build the project's extra `nss` for this Python, against the unpacked NSS."""
    facts = _nss_facts()
    if facts is None:
        message = f"the NSS of {BINDING_RELEASE} has no pkg-config file"
        raise InstallError(message)
    with tempfile.TemporaryDirectory(prefix="pkgconfig-") as folder:
        # The file says where Debian would have put it all.
        text = facts.read_text(encoding="utf-8")
        moved = re.sub(r"(?m)^prefix=.*$", f"prefix={facts.parents[3]}", text)
        Path(folder, "nss.pc").write_text(moved, encoding="utf-8")
        path = os.pathsep.join(filter(None, (folder, os.environ.get("PKG_CONFIG_PATH"))))
        # Not from pip's cache: what lies there finds the libraries of another build.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        source = ["--no-binary", "python-nss-ng"]
        name = _requirement("python-nss-ng")
        run(
            *pip,
            *source,
            "--force-reinstall",
            "--no-deps",
            name,
            variables={"PKG_CONFIG_PATH": path},
        )


def _requirement(name: str) -> str:
    """Return a requirement of the project by the name of the package, without its conditions."""
    for each in metadata.requires("nssbackup") or ():
        if re.match(rf"{re.escape(name)}\b", each):
            return each.partition(";")[0].strip()
    message = f"the project does not require {name}"
    raise InstallError(message)


def _mirror() -> str:
    """Return the address of the Debian archive in the machine's own apt configuration."""
    codename = _codename()
    lists = Path("/etc/apt/sources.list.d")
    for file in sorted(lists.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            # Comments may stand between the fields, and a field may go on in the next lines.
            lines = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
            pairs = re.findall(r"^([\w-]+):(.*(?:\n[ \t].*)*)", lines, re.MULTILINE)
            fields = {str(name).lower(): str(value).split() for name, value in pairs}
            disabled = fields.get("enabled", ["yes"]) == ["no"]
            if not disabled and codename in fields.get("suites", []) and fields.get("uris"):
                return fields["uris"][0]
    for file in (Path("/etc/apt/sources.list"), *sorted(lists.glob("*.list"))):
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        for line in text.splitlines():
            found = re.match(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", line)
            if found and found[2] == codename:
                return found[1]
    message = f"no source for {codename} in the apt configuration of this machine"
    raise InstallError(message)


def _codename() -> str:
    """Return the name of the Debian release this machine runs."""
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", text, re.MULTILINE)
    if found is None:
        message = "/etc/os-release names no release"
        raise InstallError(message)
    return found[1]


def say(line: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{line}\n")


def run(
    *argv: str,
    cwd: Path | None = None,
    allowed: tuple[int, ...] = (0,),
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end, quietly.

    Raises:
        InstallError: it ended with none of the allowed statuses, or took longer than a quarter of
            an hour.
    """
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            argv,
            check=False,
            cwd=cwd,
            env=env | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=900,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        message = f"{argv[0]}: {exc}"
        raise InstallError(message) from exc
    if done.returncode not in allowed:
        said = done.stdout.decode("utf-8", "replace").strip()
        message = f"{argv[0]} {argv[-1]}: {said[-2000:]}"
        raise InstallError(message)


if __name__ == "__main__":
    sys.exit(main())
