"""Makes Berkeley DB 1.85 hash files: of any page size and byte order, their pages laid out anyhow.

Written from the library's sources (NSS lib/dbm: hash.h, page.h, hash.c, h_page.c, h_bigkey.c), to
hold what those produce in years of puts and deletes; the library itself reads them
(tests/peers/test_legacy_stores.py). It shares nothing with the reader under test.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

__all__ = ["ByteOrder", "Records", "berkeley_file", "header_of", "page_of", "with_header"]

ByteOrder = Literal["little", "big"]
Records = Iterable[tuple[bytes, bytes]]

MAGIC, VERSION = 0x00061561, 2
LITTLE, BIG = 1234, 4321
OVERFLOW, PARTIAL_KEY, FULL_KEY, FULL_KEY_DATA = range(4)

_HEADER = struct.Struct(">49I32H")
_FIELDS = (
    *("magic", "version", "lorder", "bsize", "bshift", "dsize", "ssize", "sshift"),
    *("ovfl_point", "last_freed", "max_bucket", "high_mask", "low_mask", "ffactor", "nkeys"),
    *("hdrpages", "h_charkey"),
)
_MIN_HEADER = 512  # bytes that the header takes at least, in whole pages
_CHECK_KEY = b"%$sniglet^&\0"  # its hash stands in the header


def berkeley_file(
    records: Records,
    *,
    page_size: int = 4096,
    byte_order: ByteOrder = "little",
    buckets: int = 2,
    seed: int | None = None,
) -> bytes:
    """A file with these records.

    Args:
        records: keys and data.
        page_size: a power of two from 64 to 32768.
        byte_order: of the words in the pages.
        buckets: how many; 2 or more.
        seed: of a layout by chance: order of the records, overflow pages all over the file, empty
            pages in between, small records in the form of large ones, rubbish in what is free.
            None for the plainest layout.
    """
    return _File(page_size, byte_order, buckets, Random(seed), plain=seed is None).build(records)  # noqa: S311 - a layout is no secret


def header_of(data: bytes) -> dict[str, int]:
    """The named fields of the header, `spares0` to `spares31` and `bitmaps0` to `bitmaps31`."""
    return dict(zip(_names(), _HEADER.unpack_from(data), strict=True))


def with_header(data: bytes, **fields: int) -> bytes:
    """The file with other values in its header."""
    values = {**header_of(data), **fields}
    return _HEADER.pack(*(values[name] for name in _names())) + data[_HEADER.size :]


def page_of(data: bytes, address: int) -> int:
    """Which page of the file the overflow address names."""
    header = header_of(data)
    split, number = address >> 11, address & 0x7FF
    before = header[f"spares{split - 1}"] if split else 0
    return (1 << split) - 1 + header["hdrpages"] + before + number


def _names() -> tuple[str, ...]:
    numbered = (f"{kind}{n}" for kind in ("spares", "bitmaps") for n in range(32))
    return (*_FIELDS, *numbered)


def _hash(key: bytes) -> int:
    """The library's default hash (h_func.c, hash4)."""
    value = 0
    for byte in key:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


@dataclass(slots=True)
class _Page:
    """A page in the making: its words behind the count, and its bytes from `offset` to the end."""

    words: list[int] = field(default_factory=list)
    tail: bytes = b""
    # Where the address of the overflow page stands in `words`, and that page.
    link_at: int | None = None
    link: _Page | None = None


@dataclass(slots=True)
class _File:
    page_size: int
    byte_order: ByteOrder
    buckets: int
    random: Random
    plain: bool
    overflow: list[_Page] = field(default_factory=list)

    def build(self, records: Records) -> bytes:
        listed = list(records)
        if not self.plain:
            self.random.shuffle(listed)
        # Buckets are numbered by as many low bits of the hash as there are doublings of the table;
        # those that are not split yet take the records of their later halves.
        high = (1 << (self.buckets - 1).bit_length()) - 1
        if high == self.buckets - 1:
            high = 2 * self.buckets - 1
        low = high >> 1
        contents: list[list[tuple[bytes, bytes]]] = [[] for _ in range(self.buckets)]
        for key, data in listed:
            bucket = _hash(key) & high
            contents[bucket if bucket < self.buckets else bucket & low].append((key, data))
        first_pages = [self._bucket(bucket) for bucket in contents]
        return self._encoded(first_pages, len(listed), high, low)

    # --- a bucket's pages

    def _bucket(self, records: Records) -> _Page:
        first = page = _Page()
        for key, data in records:
            if not self.plain and self.random.random() < 0.1:
                page = self._next(page)
            room = self.page_size - 2 * (len(page.words) + 2 + 3) - 4 - len(page.tail)
            size = len(key) + len(data)
            if size > self.page_size - 14 or (not self.plain and self.random.random() < 0.1):
                page = self._large(self._next(page), key, data)
                continue
            if size > room or page.words[1:2] == [FULL_KEY_DATA]:
                page = self._next(page)
            page.tail = data + key + page.tail
            offset = self.page_size - len(page.tail)
            page.words += [offset + len(data), offset]
        return first

    def _large(self, page: _Page, key: bytes, data: bytes) -> _Page:
        """Put a large record on pages of its own (h_bigkey.c, dbm_big_insert); the last of them."""
        room = self.page_size - 14
        while True:
            piece, key = key[:room], key[room:]
            page.tail = piece
            page.words = [self.page_size - len(piece), PARTIAL_KEY]
            following = self._next(page)
            if not key:
                break
            page = following
        free = room - len(page.tail)
        if free in (0, len(data)):
            page.words[1] = FULL_KEY
        else:
            # Where the data ends here as well there is free space left, by which one can tell.
            piece, data = data[:free], data[free:]
            page.tail = piece + page.tail
            page.words[1] = FULL_KEY_DATA
            page.words[3] = self.page_size - len(page.tail)
            if not data:
                return following
        page = following
        while True:
            piece, data = data[:room], data[room:]
            page.tail = piece
            page.words = [self.page_size - len(piece), FULL_KEY if data else FULL_KEY_DATA]
            if not data:
                return page
            page = self._next(page)

    def _next(self, page: _Page) -> _Page:
        """A new overflow page behind a page; at times behind an empty one that it had already."""
        new = _Page()
        self.overflow.append(new)
        page.link, page.link_at = new, len(page.words)
        page.words += [0, OVERFLOW]
        whole = page.words[1] not in (PARTIAL_KEY, FULL_KEY)
        if not self.plain and whole and self.random.random() < 0.1:
            return self._next(new)
        return new

    # --- the file

    def _encoded(self, first: list[_Page], count: int, high: int, low: int) -> bytes:
        point = (self.buckets - 1).bit_length()
        header_pages = -(-_MIN_HEADER // self.page_size)
        # Overflow pages lie behind the buckets of the doubling in which they were needed. The
        # first of all is the bitmap of those in use, which only a writer looks at.
        groups: list[list[_Page | None]] = [[] for _ in range(point + 1)]
        groups[point].append(None)
        for page in self.overflow:
            groups[point if self.plain else self.random.randint(0, point)].append(page)
            if not self.plain and self.random.random() < 0.1:
                groups[self.random.randint(0, point)].append(None)  # one that was given up
        assert all(len(group) < 1 << 11 for group in groups), "more overflow pages than addresses"
        addresses = {
            id(page): (split << 11) + number
            for split, group in enumerate(groups)
            for number, page in enumerate(group, 1)
            if page is not None
        }
        spares = [sum(len(group) for group in groups[: n + 1]) for n in range(32)]
        pages: list[bytes] = [b""] * header_pages
        buckets = [*first, *(_Page() for _ in range((1 << point) - len(first)))]
        for split, group in enumerate(groups):
            born = buckets[1 << split >> 1 : 1 << split]
            pages += [self._page(page, addresses) for page in (*born, *group)]
        header = {
            "magic": MAGIC,
            "version": VERSION,
            "lorder": LITTLE if self.byte_order == "little" else BIG,
            "bsize": self.page_size,
            "bshift": self.page_size.bit_length() - 1,
            "dsize": 256,
            "ssize": 256,
            "sshift": 8,
            "ovfl_point": point,
            "last_freed": (point << 11) + 1,
            "max_bucket": self.buckets - 1,
            "high_mask": high,
            "low_mask": low,
            "ffactor": 65536,
            "nkeys": count,
            "hdrpages": header_pages,
            "h_charkey": _hash(_CHECK_KEY),
            **{f"spares{n}": value for n, value in enumerate(spares)},
            **{f"bitmaps{n}": 0 for n in range(32)},
            "bitmaps0": (point << 11) + 1,
        }
        packed = _HEADER.pack(*(header[name] for name in _names()))
        body = b"".join(pages[header_pages:])
        return packed.ljust(header_pages * self.page_size, b"\0") + body

    def _page(self, page: _Page | None, addresses: dict[int, int]) -> bytes:
        if page is None:  # the bitmap: every overflow page is in use; or a page that nobody has
            return b"\xff" * self.page_size
        words = list(page.words)
        if page.link is not None and page.link_at is not None:
            # Where the end of a key and the beginning of its data share a page, the second word
            # of the last pair is the offset of that data.
            words[page.link_at] = addresses[id(page.link)]
        offset = self.page_size - len(page.tail)
        free = offset - 2 * (len(words) + 3)
        order = "<" if self.byte_order == "little" else ">"
        packed = struct.pack(f"{order}{len(words) + 3}H", len(words), *words, free, offset)
        filler = b"\0" if self.plain else b"\xa5"
        return packed + filler * free + page.tail
