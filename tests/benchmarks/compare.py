"""Times nssbackup side by side with `certutil` and `pk12util`, in one run, as ratios.

    python -m tests.benchmarks.compare [RUNS]

Every figure is a whole process, as a person waits for it. The commands of a comparison take turns,
and the ratio is the median of the ratios turn by turn, so that a machine that slows down for a
while slows both. Above 1 means that nssbackup takes longer.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import FIXTURES

_NSSBACKUP = (sys.executable, "-m", "nssbackup")
_PROFILES = 300
_BACKUP_PASSWORD = "benchmark-Passw0rd"
_TIMEOUT = 300


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two things to do, what they are called, and how many times each."""

    title: str
    ours: Callable[[], None]
    theirs: Callable[[], None]

    def run(self, runs: int) -> str:
        """Do both in turn and give one line of figures, in seconds."""
        pairs = []
        for turn in range(runs + 1):
            pair = _seconds(self.ours), _seconds(self.theirs)
            if turn:  # the first warms the caches
                pairs.append(pair)
        return _line(self.title, pairs)


def _line(title: str, pairs: list[tuple[float, float]]) -> str:
    """A line of the table: medians of both, and the ratio turn by turn."""
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = [a / b for a, b in pairs]
    return (
        f"{title:<62} {ours:8.5f} {theirs:8.5f} {statistics.median(ratios):6.2f}"
        f"  ({min(ratios):.2f}-{max(ratios):.2f})"
    )


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(f"{'':62} {'ours':>8} {'theirs':>8} {'ratio':>6}  (min-max of {runs} turns)")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        place = Path(folder)
        print(_start_up().run(runs))
        for case, password in (("nss387-nopassword", None), ("nss387-password", _primary())):
            print(_export(place, case, password).run(runs))
        print(_list(place, runs))


def _start_up() -> Comparison:
    return Comparison(
        "start-up: nssbackup --help / import typer",
        lambda: _run([*_NSSBACKUP, "--help"]),
        lambda: _run([sys.executable, "-c", "import typer"]),
    )


def _export(place: Path, case: str, primary: str | None) -> Comparison:
    """A verified export against an export and a look at it, at 600,000 rounds both."""
    profile = Path(shutil.copytree(FIXTURES / "profiles" / case, place / case))
    backup_file, primary_file = place / "backup-password", place / "primary-password"
    backup_file.write_text(_BACKUP_PASSWORD, encoding="utf-8")
    primary_file.write_text(primary or "", encoding="utf-8")
    nickname = _nickname(profile)
    output = place / "theirs.p12"
    unlock = ["-k", str(primary_file)] if primary else []

    def ours() -> None:
        passwords = ["--password-file", str(backup_file)]
        if primary:
            passwords += ["--primary-password-file", str(primary_file)]
        file = str(place / "ours.pfx")
        _run([*_NSSBACKUP, "export", "--profile", str(profile), "-o", file, "--force", *passwords])

    def theirs() -> None:
        output.unlink(missing_ok=True)
        common = ["-d", f"sql:{profile}", "-w", str(backup_file), *unlock]
        _run(["pk12util", "-o", str(output), "-n", nickname, *common])
        _run(["pk12util", "-l", str(output), *common])

    words = "with" if primary else "without"
    return Comparison(f"export, {words} primary password / pk12util -o, -l", ours, theirs)


def _list(place: Path, runs: int) -> str:
    """`list` of many profiles against a loop of `certutil -L`, each without its start-up."""
    home = place / "home"
    root = home / ".mozilla" / "firefox"
    folders = [root / f"{number:08d}.user{number}" for number in range(_PROFILES)]
    for folder in folders:
        shutil.copytree(FIXTURES / "profiles" / "nss387-nopassword", folder)
    sections = (
        f"[Profile{number}]\nName=user{number}\nIsRelative=1\nPath={folder.name}\n"
        for number, folder in enumerate(folders)
    )
    (root / "profiles.ini").write_text("\n".join(sections), encoding="utf-8")
    environment = {**os.environ, "HOME": str(home)}
    one = ["--profile", str(folders[0])]

    def ours() -> None:
        _run([*_NSSBACKUP, "list", "--json"], environment)

    def ours_start_up() -> None:
        _run([*_NSSBACKUP, "list", "--json", *one], environment)

    def theirs() -> None:
        for folder in folders:
            _run(["certutil", "-L", "-d", f"sql:{folder}"])

    def theirs_start_up() -> None:
        _run(["certutil", "-H"])

    turns = []
    for turn in range(max(3, runs // 3) + 1):
        one_of_ours = (_seconds(ours) - _seconds(ours_start_up)) / (_PROFILES - 1)
        one_of_theirs = _seconds(theirs) / _PROFILES
        if turn:
            turns.append((one_of_ours, one_of_theirs, one_of_theirs - _seconds(theirs_start_up)))
    title = f"list, each of {_PROFILES} profiles, our start-up apart / certutil -L"
    return "\n".join(
        (
            _line(title, [(ours, theirs) for ours, theirs, _ in turns]),
            _line("... and without its start-up either", [(a, b) for a, _, b in turns]),
        )
    )


def _nickname(profile: Path) -> str:
    """The nickname of the profile's one user certificate, from `certutil -L`."""
    listing = subprocess.run(
        ["certutil", "-L", "-d", f"sql:{profile}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
    ).stdout
    (line,) = (line for line in listing.splitlines() if line.endswith("u,u,u"))
    return line.removesuffix("u,u,u").strip()


def _primary() -> str:
    """The primary password of the fixture, as its index says."""
    from json import loads

    index = loads((FIXTURES / "profiles.json").read_text(encoding="utf-8"))
    return str(index["profiles"]["nss387-password"]["password"])


def _seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    result = subprocess.run(
        command, check=False, capture_output=True, env=environment, timeout=_TIMEOUT
    )
    # certutil -H ends with 1 after its help.
    if result.returncode not in (0, 1) or (result.returncode and command[1] != "-H"):
        message = f"{command[:3]} failed: {result.stderr.decode(errors='replace')}"
        raise SystemExit(message)


if __name__ == "__main__":
    main()
