"""Mutation: inputs like the seeds and unlike them, the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

# Where lengths and counts turn over.
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0x81, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_WORDS = (b"\0", b"\xff" * 4, b"0\x80", b"\0\0", b"\x1b[2J", "\u202e".encode(), b"\xed\xa0\x80")
_MOST_CHANGES = 6

_Change = Callable[[bytes, Random, Sequence[bytes]], bytes]


def mutants(seeds: Sequence[bytes], count: int, size: int) -> Iterator[bytes]:
    """So many changed seeds, none larger than `size`."""
    random = Random(count)  # noqa: S311 - the same inputs every time
    for _ in range(count):
        data = random.choice(seeds)
        for _ in range(random.randint(1, _MOST_CHANGES)):
            data = random.choice(_CHANGES)(data, random, seeds)
        yield data[:size]


def _place(data: bytes, random: Random) -> tuple[int, int]:
    begin = random.randint(0, len(data))
    return begin, min(len(data), begin + random.choice((1, 2, 4, 8, 64)))


def _flip(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _number(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    size = random.choice((1, 2, 4))
    value = random.choice(_NUMBERS) % (1 << 8 * size)
    begin, _end = _place(data, random)
    written = value.to_bytes(size, "big")
    return (
        data[:begin] + (written if random.random() < 0.5 else written[::-1]) + data[begin + size :]
    )


def _drop(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    begin, end = _place(data, random)
    return data[:begin] + data[end:]


def _repeat(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    begin, end = _place(data, random)
    return data[:end] + data[begin:end] * random.choice((1, 2, 30)) + data[end:]


def _insert(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    begin, _end = _place(data, random)
    return data[:begin] + random.choice(_WORDS) + data[begin:]


def _cut(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    return data[: random.randint(0, len(data))]


def _splice(data: bytes, random: Random, seeds: Sequence[bytes]) -> bytes:
    other = random.choice(seeds)
    begin, end = sorted(random.randint(0, len(other)) for _ in range(2))
    at = random.randint(0, len(data))
    return data[:at] + other[begin:end] + data[at + random.choice((0, end - begin)) :]


def _resize(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """Another length for an ASN.1 value: its short form, or one that it hasn't got."""
    places = [at for at in range(len(data) - 1) if data[at] in (0x02, 0x04, 0x30, 0x31, 0xA0)]
    if not places:
        return data
    at = random.choice(places) + 1
    length = random.choice((b"\0", b"\x80", b"\x84\xff\xff\xff\xff", b"\x81\x7f", b"\x82\0\x01"))
    return data[:at] + length + data[at + 1 :]


def _nest(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    depth = random.choice((1, 40, 3000))
    return random.choice((b"0\x80", b"\x24\x80", b"[", b'{"a":')) * depth + data


# Bits and numbers more often than what leaves little of a seed.
_CHANGES: tuple[_Change, ...] = (
    *(_flip, _flip, _flip, _number, _number, _drop, _repeat, _insert, _splice, _resize, _resize),
    *(_cut, _nest),
)
