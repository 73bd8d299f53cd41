"""The long run: `python -m tests.fuzz TARGET --seconds N`, coverage-guided, by atheris.

TARGET is one of those that `--list` shows, or `all`, which gives each its turn. Findings go to
`--findings`, inputs that reach something new to `--corpus` (each a folder; without one they are
forgotten). It ends with 0, or with 1 where something was found.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

_CHILD = "NSSBACKUP_FUZZ_CHILD"
# Of libFuzzer itself: the net below `guard`, for what never comes back to Python.
_HANGS_SECONDS = 60
_MEMORY_MB = 2_048
_SMALL = 64
_DONE = re.compile(r"^Done (\d+) in|stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)


def main() -> int:
    """Run the driver."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", default="all")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--findings", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of libFuzzer; 0 is another every time")
    parser.add_argument("--list", action="store_true", help="show the targets")
    parser.add_argument("--replay", type=Path, help="run one file instead")
    wanted = parser.parse_args()
    if wanted.list or wanted.replay:
        return _without_atheris(wanted)
    if os.environ.get(_CHILD):
        _fuzz(wanted)
        return 0
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
        findings = (wanted.findings or temporary / "findings").absolute()
        corpus = (wanted.corpus or temporary / "corpus").absolute()
        scratch = temporary / "scratch"
        for folder in (findings, corpus, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        arguments = [wanted.target, f"--seconds={wanted.seconds}", f"--seed={wanted.seed}"]
        arguments += [f"--corpus={corpus}", f"--findings={findings}"]
        environment = {**os.environ, _CHILD: "1", "TMPDIR": str(scratch)}
        before = set(findings.iterdir())
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", *arguments],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        found = sorted(set(findings.iterdir()) - before)
        counts = [int(a or b) for a, b in _DONE.findall(done.stderr)]
        _say(f"{wanted.target}: {max(counts, default=0)} executions, {len(found)} findings")
        if found or done.returncode:
            _say(done.stderr[-8_000:])
        return 1 if found or done.returncode else 0


def _fuzz(wanted: argparse.Namespace) -> None:
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["nssbackup"]):
        from tests.fuzz.targets import ALL, TARGETS
    from tests.fuzz import guard
    from tests.fuzz.target import expose

    target = ALL if wanted.target == ALL.name else TARGETS[wanted.target]
    scratch = Path(tempfile.gettempdir())
    seeds = scratch.parent / "seeds"
    seeds.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (seeds / f"{number:04}").write_bytes(seed[: target.size])
    guard.confine(scratch)

    def once(data: bytes) -> None:
        with guard.limits():
            expose(target, data)

    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={wanted.seconds}",
            f"-timeout={_HANGS_SECONDS}",
            f"-rss_limit_mb={_MEMORY_MB}",
            f"-max_len={max(target.size, _SMALL)}",
            f"-seed={wanted.seed}",
            f"-artifact_prefix={wanted.findings}/{target.name}-",
            "-print_final_stats=1",
            str(wanted.corpus),
            str(seeds),
        ],
        once,
    )
    atheris.Fuzz()


def _without_atheris(wanted: argparse.Namespace) -> int:
    from tests.fuzz.target import expose
    from tests.fuzz.targets import ALL, TARGETS

    if wanted.list:
        for name in (*TARGETS, ALL.name):
            _say(name)
        return 0
    target = ALL if wanted.target == ALL.name else TARGETS[wanted.target]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        tempfile.tempdir = folder
        expose(target, wanted.replay.read_bytes())
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
