"""Mutation testing: small faults put into the code one after the other, to see if a test notices.

    pip install mutmut
    python -m tests.mutants nssbackup/system/files.py nssbackup/pkcs12/*.py --jobs 2 | tee left
    python -m tests.mutants nssbackup/system/files.py nssbackup/pkcs12/*.py --again left --budget 60

The faults are those of mutmut, which itself leaves out classes and functions with a decorator: here
most classes are data classes. So this takes its table of faults, and does the rest: pytest collects
the tests once; a first run notes which test runs which line; then for each fault a child process is
forked, gets the code of one function exchanged and runs the tests that come by, the quickest
first. What no test notices is given to mypy, which is part of the test command. What is left is
printed. Needs Python 3.11 or later and a system that can fork.

Not changed: what stands outside of functions, defaults of parameters, annotations, and texts with a
blank in them, which are for people (but they are made None, as every value is).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import libcst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

from tests import PROJECT

TESTS = (
    *(
        "tests/unit/stores",
        "tests/unit/pkcs12",
        "tests/unit/backups",
        "tests/unit/identity",
        "tests/unit/restore",
        "tests/unit/system",
        *map(str, sorted(Path("tests/unit").glob("test_*.py"))),
    ),
    *("tests/property", "tests/contract"),
)
# What one test may take before it counts as hung, over what it takes without a fault.
_SECONDS, _TIMES = 3.0, 10
_MEMORY = 4 * 1024**3
# Void is what Python itself can't compile.
_OUTCOMES = ("killed", "hung", "types", "survived", "untested", "void")
_KILLED, _HUNG, _TYPED, _SURVIVED, _UNTESTED, _VOID = _OUTCOMES
_NO_FAULT = 98


@dataclass(frozen=True)
class Mutant:
    """One fault: the function it is in, and two nodes of the syntax tree."""

    path: Path
    function: str
    line: int
    lines: frozenset[int]
    tree: Any = field(repr=False)
    old: Any = field(repr=False)
    new: Any = field(repr=False)

    def source(self) -> str:
        """The whole module with the fault in it."""
        return str(self.tree.deep_replace(self.old, self.new).code)

    @property
    def words(self) -> str:
        """Where it is, and what it is; lines may come and go above it."""
        return f"{self.path} {self.function}: {self.diff()}"

    def diff(self) -> str:
        """What was there and what is there now, each on one line."""
        old, new = (" ".join(self.tree.code_for_node(n).split()) for n in (self.old, self.new))
        return f"{old}  ->  {new}"


def mutants_in(path: Path) -> Iterator[Mutant]:
    """Every fault of a file, in its order."""
    wrapper = MetadataWrapper(libcst.parse_module((PROJECT / path).read_text(encoding="utf-8")))
    places = wrapper.resolve(PositionProvider)
    for name, function in _functions(wrapper.module.body):
        for node, statement in _nodes(function.body, None):
            for kind, operator in mutation_operators:
                if not isinstance(node, kind) or (operator is operator_string and _prose(node)):
                    continue
                for new in operator(node):
                    line = places[node].start.line
                    lines = _lines(statement, places) | {line}
                    yield Mutant(path, name, line, frozenset(lines), wrapper.module, node, new)


def _functions(body: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for statement in body:
        if isinstance(statement, libcst.FunctionDef):
            yield prefix + statement.name.value, statement
        elif isinstance(statement, libcst.ClassDef):
            yield from _functions(statement.body.body, f"{prefix}{statement.name.value}.")


def _nodes(node: Any, statement: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - libcst is not everywhere
    """All that may be changed in a node, each with the innermost statement that it is in."""
    if isinstance(node, (libcst.Annotation, libcst.Decorator, libcst.Param)):
        return
    if isinstance(node, libcst.Call) and getattr(node.func, "value", "") in ("len", "isinstance"):
        return
    if isinstance(node, (libcst.SimpleStatementLine, libcst.BaseCompoundStatement)):
        statement = node
    yield node, statement
    for child in node.children:
        yield from _nodes(child, statement)


def _lines(statement: Any, places: Any) -> set[int]:  # noqa: ANN401
    """The lines of a statement, of a compound one those of its head."""
    if statement is None:
        return set()
    place = places[statement]
    body = getattr(getattr(statement, "body", None), "body", None)
    compound = isinstance(statement, libcst.BaseCompoundStatement)
    end = places[body[0]].start.line if compound and body else place.end.line + 1
    return set(range(place.start.line, max(end, place.start.line + 1)))


def _prose(node: Any) -> bool:  # noqa: ANN401
    return isinstance(node, libcst.SimpleString) and " " in node.value


def exchange(mutant: Mutant) -> None:
    """Give the function that a fault is in its other code.

    Raises:
        ValueError: its closure is another one.
    """
    waiting: list[CodeType] = [compile(mutant.source(), mutant.path, "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        if getattr(code, "co_qualname", None) == mutant.function:  # since Python 3.11
            _function(mutant).__code__ = code
            return
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    raise LookupError(mutant.function)


def _function(mutant: Mutant) -> FunctionType:
    found: Any = importlib.import_module(_module(mutant.path))
    for name in mutant.function.split("."):
        found = vars(found)[name]
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    unwrapped = inspect.unwrap(found)
    assert isinstance(unwrapped, FunctionType)
    return unwrapped


def clear_caches() -> None:
    """Forget what functions of ours remember, so that every test runs all that it needs."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "nssbackup":
            for value in list(vars(module).values()):
                with contextlib.suppress(Exception):
                    value.cache_clear()


@dataclass
class Baseline:
    """Without a fault: how long each test takes, which lines it runs, and which fail."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)


class Driver:
    """A pytest plugin that runs the collected tests over and over."""

    def __init__(self, mutants: list[Mutant], jobs: int, budget: float) -> None:
        self.mutants = mutants
        self.outcomes: list[tuple[Mutant, str]] = []
        self.baseline = Baseline()
        self._jobs = jobs
        self._budget = budget
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True
        for mutant in self.mutants:
            importlib.import_module(_module(mutant.path))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "baseline"
            status = _wait(self._fork(session, lambda: self._first_run(session, file)))
            assert status == 0, status
            self.baseline = pickle.loads(file.read_bytes())  # noqa: S301 - our own
        _say(
            f"{len(session.items)} tests in {sum(self.baseline.seconds.values()):.0f} s,"
            f" {len(self.baseline.failed)} left out as they fail: {sorted(self.baseline.failed)}"
        )
        self._run_all(session)
        return True

    def _first_run(self, session: pytest.Session, file: Path) -> int:
        baseline = Baseline()
        measured = coverage.Coverage(
            data_file=None, branch=False, config_file=False, source=[str(PROJECT / "nssbackup")]
        )
        measured.start()
        for item in session.items:
            clear_caches()
            measured.switch_context(item.nodeid)
            self._failed = False
            start = time.perf_counter()
            item.ihook.pytest_runtest_protocol(item=item, nextitem=_after(session.items, item))
            baseline.seconds[item.nodeid] = time.perf_counter() - start
            if self._failed:
                baseline.failed.add(item.nodeid)
        measured.stop()
        data = measured.get_data()
        for name in data.measured_files():
            relative = str(Path(name).relative_to(PROJECT))
            baseline.lines[relative] = {
                line: set(contexts) - {""}
                for line, contexts in data.contexts_by_lineno(name).items()
            }
        file.write_bytes(pickle.dumps(baseline))
        return 0

    def _run_all(self, session: pytest.Session) -> None:
        items = {item.nodeid: item for item in session.items}
        running: dict[int, tuple[Mutant, float]] = {}
        waiting = list(reversed(self.mutants))
        began = time.monotonic()
        while waiting or running:
            while waiting and len(running) < self._jobs:
                mutant = waiting.pop()
                chosen = self._tests_of(mutant)
                if not chosen:
                    self._settle(mutant, _UNTESTED, began)
                    continue
                tests = [items[name] for name in chosen]
                seconds = sum(self.baseline.seconds[name] for name in chosen)
                pid = self._fork(session, lambda m=mutant, t=tests: self._attempt(m, t))  # type: ignore[misc]
                running[pid] = (mutant, time.monotonic() + 60 + _TIMES * seconds)
            for pid in list(running):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    code = os.waitstatus_to_exitcode(status)
                    special = {0: _SURVIVED, -signal.SIGALRM: _HUNG, _NO_FAULT: _VOID}
                    outcome = special.get(code, _KILLED)
                    self._settle(running.pop(pid)[0], outcome, began)
                elif time.monotonic() > running[pid][1]:
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(0.002)

    def _settle(self, mutant: Mutant, outcome: str, began: float) -> None:
        self.outcomes.append((mutant, outcome))
        if outcome in (_SURVIVED, _UNTESTED):
            _say(f"{outcome}: {mutant.path}:{mutant.line} {mutant.function}: {mutant.diff()}")
        if len(self.outcomes) % 100 == 0:
            _say(
                f"  {len(self.outcomes)} of {len(self.mutants)} in {time.monotonic() - began:.0f} s"
            )

    def _tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that run one of its lines, as many as there is time for.

        Those of the module itself and of bounds come first, then the quickest.
        """
        lines = self.baseline.lines.get(str(mutant.path), {})
        found: set[str] = set().union(*(lines.get(line, set()) for line in mutant.lines))
        own = (f"test_{mutant.path.stem}.", "test_bounds.")
        ordered = sorted(
            found - self.baseline.failed,
            key=lambda name: (not any(o in name for o in own), self.baseline.seconds[name]),
        )
        chosen: list[str] = []
        left = self._budget
        for name in ordered:
            left -= self.baseline.seconds[name]
            if left < 0 and chosen:
                break
            chosen.append(name)
        return chosen

    def _attempt(self, mutant: Mutant, tests: list[pytest.Item]) -> int:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        try:
            exchange(mutant)
        except (SyntaxError, ValueError):
            return _NO_FAULT
        for item in tests:
            clear_caches()
            signal.setitimer(
                signal.ITIMER_REAL, _SECONDS + _TIMES * self.baseline.seconds[item.nodeid]
            )
            item.ihook.pytest_runtest_protocol(item=item, nextitem=_after(tests, item))
            if self._failed:
                return 1
        return 0

    def _fork(self, session: pytest.Session, action: Callable[[], int]) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 99
        try:
            os.setsid()
            for descriptor in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
            manager = session.config.pluginmanager
            manager.unregister(manager.getplugin("terminalreporter"))
            self._failed = False
            status = action()
        finally:
            os._exit(status)


def _module(path: Path) -> str:
    return ".".join(part for part in path.with_suffix("").parts if part != "__init__")


def _after(items: Sequence[pytest.Item], item: pytest.Item) -> pytest.Item | None:
    at = items.index(item) + 1
    return items[at] if at < len(items) else None


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program


def notices(mutant: Mutant) -> bool:
    """Whether mypy says something of a fault."""
    cache = PROJECT / ".mypy_cache" / "mutants"
    for cached in cache.rglob(f"{mutant.path.stem}.*"):
        cached.unlink()  # mypy looks at the file that the fault is not in
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mutant.py"
        file.write_text(mutant.source(), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "mypy", "--no-sqlite-cache", "--cache-dir", str(cache)),
            *("--shadow-file", str(mutant.path), str(file), str(mutant.path)),
        ]
        done = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
    return any(line.startswith(f"{mutant.path}:") for line in done.stdout.splitlines())


def _left_in(output: str) -> Iterator[str]:
    """The words of the faults that a run printed as left."""
    for line in output.splitlines():
        outcome, _, fault = line.partition(": ")
        if outcome in (_SURVIVED, _UNTESTED):
            place, _, rest = fault.partition(" ")
            yield f"{place.rpartition(':')[0]} {rest}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--sample", type=int, help="so many of each file's faults, by chance")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--budget", type=float, default=20, help="seconds of tests for a fault")
    parser.add_argument("--again", type=Path, help="only what this output of an earlier run left")
    parser.add_argument("--only", default="", help="functions whose name has this in it")
    parser.add_argument("--tests", nargs="+", default=TESTS)
    options = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311 - not for secrets
    left = None if options.again is None else Counter(_left_in(options.again.read_text("utf-8")))
    mutants: list[Mutant] = []
    all_of: Counter[Path] = Counter()
    for path in options.files:
        found = [m for m in mutants_in(path) if options.only in m.function]
        all_of[path] = len(found)
        if left is not None:
            found = [m for m in found if left[m.words]]
        if options.sample is not None and options.sample < len(found):
            found = [found[n] for n in sorted(chance.sample(range(len(found)), options.sample))]
        mutants += found
    driver = Driver(mutants, options.jobs, options.budget)
    arguments = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", *options.tests]
    status = pytest.main(arguments, plugins=[driver])
    if len(driver.outcomes) != len(mutants):
        sys.exit(f"it did not come to its end: {status}")
    results = [
        (mutant, _TYPED if outcome in (_SURVIVED, _UNTESTED) and notices(mutant) else outcome)
        for mutant, outcome in driver.outcomes
    ]
    _say(f"{'file':44} {'faults':>7} {'tried':>6} " + " ".join(f"{o:>8}" for o in _OUTCOMES))
    for path in options.files:
        counts = Counter(outcome for mutant, outcome in results if mutant.path == path)
        figures = " ".join(f"{counts[outcome]:8}" for outcome in _OUTCOMES)
        _say(f"{path!s:44} {all_of[path]:7} {sum(counts.values()):6} {figures}")
    for mutant, outcome in results:
        if outcome in (_SURVIVED, _UNTESTED):
            _say(f"{outcome}: {mutant.path}:{mutant.line} {mutant.function}: {mutant.diff()}")


if __name__ == "__main__":
    main()
