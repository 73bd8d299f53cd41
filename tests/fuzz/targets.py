"""Targets: all there are, by name."""

from __future__ import annotations

from tests.fuzz import backups, stores, texts
from tests.fuzz.target import Target, expose

TARGETS = {each.name: each for each in (*stores.TARGETS, *backups.TARGETS, *texts.TARGETS)}
_LIST = tuple(TARGETS.values())


def _any(data: bytes) -> None:
    """The first byte says which target the rest is for."""
    if data:
        expose(_LIST[data[0] % len(_LIST)], data[1:])


ALL = Target(
    "all",
    _any,
    lambda: (bytes([at]) + seed for at, one in enumerate(_LIST) for seed in one.seeds()),
    max(one.size for one in _LIST) + 1,
)
