"""Facts: what tells at a glance that neither a folder nor a file was touched since.

Of the databases that is their size, the time of their last change and which file they are; of a
folder, that no name came or went in it. Nothing is opened, so a night in which nothing changed
costs a few microseconds a profile, on a share too. SQLite changes the time with every transaction,
and the time of the inode's own change (on Windows: of the file's making) can't be put back by a
program that copies or restores an older file.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Mapping

# A file that was written to just now may be written to again within the same tick of the clock.
# FAT's is two seconds, that of a share may be another computer's.
_TICK_NS = 3_000_000_000

Facts = Mapping[str, str]

_ABSENT = "-"


def fact_of(path: str) -> str:
    """What there is to know of a path; links are followed. Never raises."""
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands of them, as text
    except (OSError, ValueError):
        return _ABSENT
    kind = stat.S_IFMT(found.st_mode)
    size = 0 if kind == stat.S_IFDIR else found.st_size
    return f"{kind:o}.{found.st_ino}.{size}.{found.st_mtime_ns}.{found.st_ctime_ns}"


def facts_of(paths: Iterable[str]) -> dict[str, str] | None:
    """The facts of all the paths; None where one of them was changed just now.

    They have to be taken before what they stand for is read.
    """
    now = time.time_ns()
    found = {path: fact_of(path) for path in paths}
    # Of what is missing in a folder that is among them, the folder says when it comes.
    facts = {
        path: fact
        for path, fact in found.items()
        if fact != _ABSENT or found.get(os.path.dirname(path), _ABSENT) == _ABSENT  # noqa: PTH120 - as text
    }
    return facts if all(_is_settled(fact, now) for fact in facts.values()) else None


def unchanged(facts: Facts) -> bool:
    """Whether all of it is still so."""
    return all(fact_of(path) == fact for path, fact in facts.items())


def _is_settled(fact: str, now: int) -> bool:
    if fact == _ABSENT:
        return True
    return max(int(part) for part in fact.split(".")[-2:]) < now - _TICK_NS
