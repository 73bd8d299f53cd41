"""Times the engines side by side with `pk12util -o`, in one table, fixture by fixture.

    python -m tests.benchmarks.engines [RUNS]

What is timed is a key taken out of a store, in a process of its own as a person waits for it:
`nssbackup export` with each engine, and `pk12util -o`, all at 600,000 rounds. They take turns, and
a figure is the median of the turns. Where an engine can't be had, or this `pk12util` can't open
the store, there is a dash.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nssbackup.stores import availability
from tests import FIXTURES

_PASSWORD = "benchmark-Passw0rd"
_TIMEOUT = 300

_Action = Callable[[], bool]


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    index = json.loads((FIXTURES / "profiles.json").read_text(encoding="utf-8"))["profiles"]
    nss = not any(one.reason for one in availability() if one.name == "nss")
    print(f"{'seconds, median of ' + str(runs):32} {'native':>8} {'nss':>8} {'pk12util':>8}")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for case, facts in index.items():
            usable = [
                one for one in facts["identities"] if one["has_key"] and one["key_type"] != "dsa"
            ]
            if usable:
                print(_line(Path(folder), case, facts, usable[0], runs, nss=nss), flush=True)


def _line(
    place: Path, case: str, facts: dict[str, Any], one: dict[str, Any], runs: int, *, nss: bool
) -> str:
    profile = Path(shutil.copytree(FIXTURES / "profiles" / case, place / case))
    backup, primary = place / "backup-password", place / "primary-password"
    backup.write_text(_PASSWORD, encoding="utf-8")
    primary.write_text(facts["password"] or "", encoding="utf-8")
    ours = {engine: _ours(engine, profile, one, backup, primary) for engine in ("native", "nss")}
    kind = "dbm" if (profile / "key3.db").exists() else "sql"
    theirs = [
        *("pk12util", "-d", f"{kind}:{profile}", "-n", one["nickname"]),
        *("-o", str(place / "theirs.p12"), "-w", str(backup), "-k", str(primary)),
    ]
    actions: list[_Action | None] = [
        lambda: _run(ours["native"]),
        (lambda: _run(ours["nss"])) if nss else None,
        (lambda: _run(theirs)) if shutil.which("pk12util") else None,
    ]
    times: list[list[float]] = [[], [], []]
    for turn in range(runs + 1):
        for number, action in enumerate(actions):
            start = time.perf_counter()
            if action is None or not action():
                actions[number] = None
            elif turn:  # the first warms the caches
                times[number].append(time.perf_counter() - start)
    figures = (f"{statistics.median(each):8.2f}" if each else f"{'-':>8}" for each in times)
    return f"{case:32} {' '.join(figures)}"


def _ours(
    engine: str, profile: Path, one: dict[str, Any], backup: Path, primary: Path
) -> list[str]:
    return [
        *(sys.executable, "-m", "nssbackup", "export", one["fingerprint"], "--engine", engine),
        *("--profile", str(profile), "-o", str(profile / "ours.pfx"), "--force"),
        *("--password-file", str(backup), "--primary-password-file", str(primary)),
    ]


def _run(command: list[str]) -> bool:
    """Whether a command did what it is for."""
    done = subprocess.run(command, check=False, capture_output=True, timeout=_TIMEOUT)
    return done.returncode == 0


if __name__ == "__main__":
    main()
