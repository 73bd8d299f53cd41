"""Times `batch` side by side with a loop of `pk12util`, in one run, on the same profiles.

    python -m tests.benchmarks.batch [PROFILES [OF_THE_LOOP]]

1,000 profiles by default; 10,000 are made of hard links to one profile's databases. The loop is
`xargs -P` with a process for each processor, as `batch` has; half of it runs before and half after
our part, so that a machine that slows down for a while slows both. `pk12util` does no more than to
write its file: it does not read it back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tests import PROFILES

_FIXTURE = PROFILES / "nss387-nopassword"
_NSSBACKUP = (sys.executable, "-m", "nssbackup")
_NICKNAME = "Jane Doe"
_PASSWORD = "benchmark-Passw0rd"
_JOBS = os.cpu_count() or 1
# At 600,000 rounds a file takes long enough that fewer of them say as much.
_TYPED = 200
# The loop takes a minute for every 500 of them.
_LOOPED = 1_000
# Above so many the databases are hard links: 10,000 copies would be 5 GB.
_COPIES = 2_000
_TURNS = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took: seconds, seconds of processors, and the most memory at a time (MB)."""

    wall: float
    cpu: float
    memory: float = 0.0


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    looped = min(count, int(sys.argv[2]) if len(sys.argv) > 2 else _LOOPED)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        place = Path(folder)
        (place / "password").write_text(_PASSWORD, encoding="utf-8")
        homes = _homes(place / "homes", count)
        small = _homes(place / "small", 100)
        some = _links(place / "typed", homes[: min(_TYPED, looped)])
        _line("profiles", count, "processes each", _JOBS)
        _line("", "files/s", "CPU ms/file", "MB of all processes")
        _generated(place, homes, looped)
        _nights(place, count, len(small))
        _typed(place, some)


def _generated(place: Path, homes: Sequence[Path], looped: int) -> None:
    """A password made up for each file, against the loop."""
    with _loop(place, homes[:looped]) as loop:
        first = _batch(place, place / "homes", "made-up")
    _rates(f"pk12util loop, {looped} files of 600,000 rounds", looped, loop)
    _rates("batch, generated passwords", len(homes), first)
    ratio = (len(homes) / first.wall) / (looped / loop.wall)
    _line("... throughput against the loop (target: 10 or more)", ratio)
    outside = 1 - _derivations(2_048) * len(homes) / first.cpu
    _line("... share of its CPU outside key derivation", outside)


def _nights(place: Path, count: int, few: int) -> None:
    """The same again, from nothing and unchanged, and with few profiles."""
    shutil.rmtree(place / "made-up")
    first = _batch(place, place / "homes", "made-up")
    second = _median(lambda: _batch(place, place / "homes", "made-up"))
    few_first = _batch(place, place / "small", "few")
    few_second = _median(lambda: _batch(place, place / "small", "few"))
    _rates("first night", count, first)
    _rates("second night, nothing changed", count, second)
    _line("... times faster, seconds (target: 3 or more)", first.wall / second.wall)
    more = max(1, count - few)
    _line(
        f"... times faster, seconds, each profile beyond {few}",
        (first.wall - few_first.wall) / max(1e-9, second.wall - few_second.wall),
        "ms each:",
        1000 * (second.wall - few_second.wall) / more,
    )
    _rates(f"{few} profiles, first night", few, few_first)
    _rates(f"{few} profiles, second night", few, few_second)


def _median(run: Callable[[], Cost]) -> Cost:
    """Of what is over in a moment, one in the middle of several."""
    return sorted((run() for _ in range(_TURNS)), key=lambda cost: cost.wall)[_TURNS // 2]


def _typed(place: Path, homes: Path) -> None:
    """One password for all, at equal rounds, against the loop."""
    count = len(list(homes.iterdir()))
    with _loop(place, sorted(homes.iterdir())) as loop:
        words = ("--password-file", str(place / "password"))
        given = _batch(place, homes, "given", *words)
    _rates(f"pk12util loop, {count} files of 600,000 rounds", count, loop)
    _rates("batch, one password, 600,000 rounds, each file verified", count, given)
    _line("... throughput against the loop (target: 1 or more)", loop.wall / given.wall)
    outside = 1 - _derivations(600_000) * count / given.cpu
    _line("... share of its CPU outside key derivation", outside)


def _rates(title: str, count: int, cost: Cost | _Loop) -> None:
    memory = [cost.memory] if isinstance(cost, Cost) else []
    _line(title, count / cost.wall, 1000 * cost.cpu / count, *memory)


def _line(*parts: str | float) -> None:
    cells = [f"{part:.3f}" if isinstance(part, float) else str(part) for part in parts[1:]]
    print(f"{parts[0]:<68}", *(f"{cell:>11}" for cell in cells), flush=True)


def _homes(top: Path, count: int) -> list[Path]:
    """Homes with a profile each, as Firefox makes them."""
    original = Path(shutil.copytree(_FIXTURE, top.parent / f"{top.name}-original"))
    homes = []
    for number in range(count):
        home = top / f"user{number:05}"
        root = home / ".mozilla" / "firefox"
        profile = root / f"{number:08}.default-release"
        profile.mkdir(parents=True)
        for file in original.iterdir():
            if count > _COPIES:
                os.link(file, profile / file.name)
            else:
                shutil.copyfile(file, profile / file.name)
        ini = f"[Profile0]\nName=default-release\nIsRelative=1\nPath={profile.name}\nDefault=1\n"
        (root / "profiles.ini").write_text(ini, encoding="utf-8")
        homes.append(home)
    return homes


def _links(top: Path, homes: Sequence[Path]) -> Path:
    """A folder with the first homes of another, as they are."""
    top.mkdir()
    for home in homes:
        shutil.copytree(home, top / home.name, copy_function=os.link)
    return top


@contextmanager
def _loop(place: Path, homes: Sequence[Path]) -> Iterator[_Loop]:
    """The loop of pk12util, half of it before and half after what is done meanwhile."""
    script = place / "one.sh"
    script.write_text(
        f'exec pk12util -o "$2/$(basename "$1").p12" -n "{_NICKNAME}" -w "{place}/password"'
        ' -d "sql:$(echo "$1"/.mozilla/firefox/*.default-release)" >/dev/null\n',
        encoding="utf-8",
    )
    out = Path(tempfile.mkdtemp(dir=place))
    spent = []

    def half(part: Sequence[Path]) -> None:
        words = ["xargs", f"-P{_JOBS}", "-I{}", "sh", str(script), "{}", str(out)]
        text = "".join(f"{home}\n" for home in part)
        spent.append(_cost(lambda: subprocess.run(words, input=text, text=True, check=True)))

    middle = len(homes) // 2
    half(homes[:middle])
    yield _Loop(spent)
    half(homes[middle:])
    assert len(list(out.iterdir())) == len(homes)


class _Loop:
    """The cost of a loop: known when both halves are done."""

    def __init__(self, spent: list[Cost]) -> None:
        self._spent = spent

    @property
    def wall(self) -> float:
        return sum(each.wall for each in self._spent)

    @property
    def cpu(self) -> float:
        return sum(each.cpu for each in self._spent)


def _batch(place: Path, homes: Path, output: str, *words: str) -> Cost:
    command = [*_NSSBACKUP, "batch", "--homes", str(homes), "-o", str(place / output), "-q", *words]

    with _Memory() as memory:

        def run() -> None:
            with subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as one:
                memory.of(one.pid)
                assert one.wait() == 0

        cost = _cost(run)
    return replace(cost, memory=memory.peak)


def _cost(action: Callable[[], object]) -> Cost:
    cpu, wall = os.times(), time.perf_counter()
    action()
    seconds, after = time.perf_counter() - wall, os.times()
    children = (after.children_user + after.children_system) - (
        cpu.children_user + cpu.children_system
    )
    return Cost(seconds, children)


class _Memory:
    """The most memory (MB) that a process and its children have at a time, while it is watched.

    Pages that are shared count once. The watching is not part of what is timed.
    """

    def __init__(self) -> None:
        self.peak = 0.0
        self._done = threading.Event()
        self._watchers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for watcher in self._watchers:
            watcher.join()

    def of(self, pid: int) -> None:
        """Watch a process from now on."""
        self._watchers.append(threading.Thread(target=self._watch, args=(pid,), daemon=True))
        self._watchers[-1].start()

    def _watch(self, pid: int) -> None:
        while not self._done.wait(0.05):
            self.peak = max(self.peak, sum(map(_memory, [pid, *_children(pid)])))


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except OSError:
        return []


def _memory(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _derivations(rounds: int) -> float:
    """Seconds of CPU for the derivations of one backup: two for the file, two to read it back."""
    from nssbackup.pkcs12.kdf import MAC, Pbkdf2, Pkcs12Kdf, encoded
    from nssbackup.secret import Secret

    salt, times = bytes(16), max(1, 200_000 // rounds)
    password = encoded(Secret(_PASSWORD)).bmp
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(times):
            Pbkdf2(salt, rounds, "sha256", 32).derive(password)
            Pkcs12Kdf(salt, rounds, "sha256", MAC, 32).derive(password)
        best = min(best, (time.process_time() - start) / times)
    return 2 * best


if __name__ == "__main__":
    main()
