"""Namespaces: what a test mounts, or names as a network, is there for its own processes alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path


def unshare(*spaces: str) -> tuple[str, ...]:
    """The words that run a program in namespaces of its own, such as `--mount` and `--net`."""
    return ("unshare", *spaces, *(_propagation() if "--mount" in spaces else ()), "--")


def enter(process: int, *spaces: str) -> tuple[str, ...]:
    """The words that run a program in those of another process, and in its current folder."""
    root = ("--root", "--wd") if "--mount" in spaces else ()
    return ("nsenter", "--target", str(process), *spaces, *root, "--")


@cache
def _propagation() -> tuple[str, ...]:
    """What keeps mounts from getting out; by default `unshare` sees to that itself.

    In a changed root that is no mount, as debootstrap makes it, it can't. Nor need it there, where
    no mount is shared.
    """
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    rooted = any(words[4] == "/" for words in mounts)
    shared = any(word.startswith("shared:") for words in mounts for word in words[6:])
    return () if rooted or shared else ("--propagation", "unchanged")
