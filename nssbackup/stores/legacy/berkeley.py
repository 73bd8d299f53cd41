"""Berkeley DB 1.85 hash files (cert8.db and key3.db): bytes to records.

Written by hand, because no maintained library reads this version. The file is read bucket by
bucket, so nothing is hashed and no index is trusted. Format: the library's sources in NSS,
lib/dbm/src (hash.h, hash_page.c, hash_bigkey.c). The header is always big-endian; pages have the
byte order that the header names.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from nssbackup.errors import DamagedStoreError, UnsupportedStoreError

_MAGIC = 0x00061561
_VERSIONS = (1, 2)
_BYTE_ORDERS = {1234: "<", 4321: ">"}
_HEADER = struct.Struct(">17I32I")
# A page is a block of the file system it was made on (hash.c, init_hash), and its offsets are
# 16-bit words.
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 16))

# NSS has four records for a certificate; none has ten thousand certificates.
_MAX_RECORDS = 100_000

# What may take the place of a data offset, which is never so small (hash.h).
_OVERFLOW, _PARTIAL_KEY, _FULL_KEY, _FULL_KEY_DATA = range(4)
_MARKS = range(4)

# An overflow address: the doubling of the table it was made in, and its number there (hash.h).
_SPLIT_SHIFT, _SPLIT_MASK = 11, 0x7FF


def read_records(data: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield every key with its data, in the order of the file.

    Args:
        data: the whole file.
        name: the file's name, for the message of an error.

    Raises:
        DamagedStoreError: it is not such a file, or contradicts itself.
        UnsupportedStoreError: it has too many records.
    """
    records = _File.of(data, name).records()
    for count, record in enumerate(records):
        if count == _MAX_RECORDS:
            message = f"`{name}` has more than {_MAX_RECORDS:,} records"
            raise UnsupportedStoreError(message)
        yield record


@dataclass(frozen=True, slots=True)
class _Page:
    """The words of a page, and the bytes they point to.

    `words` begins with the number of words used; then come pairs, then the free space.
    """

    data: bytes = field(repr=False)
    words: tuple[int, ...]

    @property
    def used(self) -> int:
        return self.words[0]

    @property
    def mark(self) -> int:
        """The second word of the first pair, which tells about a big pair."""
        return self.words[2]

    @property
    def tail(self) -> bytes:
        """The part of a big pair that this page holds."""
        return self.data[self.words[1] :]


@dataclass(frozen=True, slots=True)
class _File:
    """The file, and which of its pages were read: each belongs to one thing only."""

    data: bytes = field(repr=False)
    name: str
    byte_order: str
    page_size: int
    header_pages: int
    last_bucket: int
    spares: tuple[int, ...]
    read: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, data: bytes, name: str) -> _File:
        if len(data) < _HEADER.size:
            raise _damaged(name, "it is too short")
        magic, version, order, page_size, *rest = _HEADER.unpack_from(data)
        last_bucket, header_pages, spares = rest[6], rest[11], tuple(rest[13:])
        if magic != _MAGIC or version not in _VERSIONS or order not in _BYTE_ORDERS:
            raise _damaged(name, "it is not a Berkeley DB 1.85 hash file")
        if page_size not in _PAGE_SIZES or last_bucket > len(data) // page_size:
            raise _damaged(name, "its header contradicts itself")
        return cls(data, name, _BYTE_ORDERS[order], page_size, header_pages, last_bucket, spares)

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        for bucket in range(self.last_bucket + 1):
            page: _Page | None = self._page(self._bucket_page(bucket))
            while page is not None:
                page = yield from self._records_on(page)

    def _records_on(self, page: _Page) -> Generator[tuple[bytes, bytes], None, _Page | None]:
        """Yield the records of a page; return the bucket's next page or None."""
        end = self.page_size
        for at in range(1, page.used, 2):
            key, data = page.words[at : at + 2]
            if data == _OVERFLOW:
                return self._overflow_page(key)
            if data in _MARKS:
                self._require(at == 1, "a large record begins in the middle of a page")
                record, following = self._big_record(page)
                yield record
                return following
            self._require(data <= key <= end, "a record points outside its page")
            yield page.data[key:end], page.data[data:key]
            end = data
        return None

    def _big_record(self, page: _Page) -> tuple[tuple[bytes, bytes], _Page | None]:
        """Return a record that continues on other pages, and the bucket's next page."""
        pieces = [page.tail]
        while page.mark == _PARTIAL_KEY:
            page = self._next_of(page)
            pieces.append(page.tail)
        key, pieces = b"".join(pieces), []
        if page.mark == _FULL_KEY_DATA:
            # The end of the key and the beginning of the data share the page.
            first = page.words[page.used]
            self._require(first <= page.words[1], "a record points outside its page")
            pieces.append(page.data[first : page.words[1]])
            if page.words[page.used + 1]:  # free space: the data ends here, too
                return (key, pieces[0]), self._next_of(page)
        else:
            self._require(page.mark == _FULL_KEY, "a large record has no end")
        page = self._next_of(page)
        while page.mark == _FULL_KEY:
            pieces.append(page.tail)
            page = self._next_of(page)
        self._require(page.mark == _FULL_KEY_DATA, "a large record has no end")
        pieces.append(page.tail)
        following = self._overflow_page(page.words[3]) if page.used > 2 else None  # noqa: PLR2004 - a second pair
        return (key, b"".join(pieces)), following

    def _next_of(self, page: _Page) -> _Page:
        """Return the page that a page of a big pair names in its last pair."""
        self._require(page.used >= 4, "a large record has no end")  # noqa: PLR2004 - two pairs
        return self._overflow_page(page.words[page.used - 1])

    def _bucket_page(self, bucket: int) -> int:
        # After each doubling of the table come the overflow pages that were made during it.
        before = self.spares[bucket.bit_length() - 1] if bucket else 0
        return bucket + self.header_pages + before

    def _overflow_page(self, address: int) -> _Page:
        bucket = (1 << (address >> _SPLIT_SHIFT)) - 1
        return self._page(self._bucket_page(bucket) + (address & _SPLIT_MASK))

    def _page(self, number: int) -> _Page:
        start = number * self.page_size
        data = self.data[start : start + self.page_size]
        # The library takes pages beyond the end for empty. It writes every bucket, so records are
        # missing here.
        self._require(len(data) == self.page_size, "its end is missing")
        self._require(number not in self.read, "two records share a page")
        self.read.add(number)
        (used,) = struct.unpack_from(f"{self.byte_order}H", data)
        fits = used % 2 == 0 and 2 * used + 6 <= self.page_size
        self._require(fits, "a page has more entries than fit")
        return _Page(data, struct.unpack_from(f"{self.byte_order}{used + 3}H", data))

    def _require(self, holds: bool, reason: str) -> None:
        if not holds:
            raise _damaged(self.name, reason)


def _damaged(name: str, reason: str) -> DamagedStoreError:
    message = f"`{name}` is damaged: {reason}"
    return DamagedStoreError(message)
