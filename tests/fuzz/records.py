"""Records: any bytes as a list of records, for targets that know what a file is made of.

A record is a byte that says what it is, another with a detail, two lengths of two bytes each, and
as many bytes. What is missing at the end is empty.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_HEADER = struct.Struct(">BBHH")
_MOST = 200


class Record(NamedTuple):
    """One of them; each target has its own meaning for the four."""

    kind: int
    detail: int
    first: bytes = b""
    second: bytes = b""


def decode(data: bytes) -> Iterator[Record]:
    """The records in some bytes."""
    at = 0
    for _ in range(_MOST):
        if at + _HEADER.size > len(data):
            return
        kind, detail, first, second = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size
        at = start + first + second
        yield Record(kind, detail, data[start : start + first], data[start + first : at])


def encode(records: Iterable[Record]) -> bytes:
    """The bytes that `decode` takes for these records."""
    return b"".join(
        _HEADER.pack(one.kind, one.detail, len(one.first), len(one.second)) + one.first + one.second
        for one in records
    )
