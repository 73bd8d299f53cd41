"""Every record of any file of the kind comes out; any other bytes end in one error, and soon.

That the builder's files are of the kind is proved in tests/peers/test_legacy_stores.py, by the
library itself.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssbackup.errors import DamagedStoreError, UnsupportedStoreError
from nssbackup.stores.legacy import berkeley
from nssbackup.stores.legacy.berkeley import read_records
from tests import PROFILES
from tests.builders.berkeley import (
    FULL_KEY,
    FULL_KEY_DATA,
    OVERFLOW,
    PARTIAL_KEY,
    ByteOrder,
    berkeley_file,
    header_of,
    page_of,
    with_header,
)

ORDERS: list[ByteOrder] = ["little", "big"]
PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768]
# The first overflow page of a plain file with two buckets: address 2049 is the bitmap.
FIRST = 2050


def read(data: bytes) -> dict[bytes, bytes]:
    listed = list(read_records(data, "some.db"))
    records = dict(listed)
    assert len(records) == len(listed)
    return records


def damage(data: bytes) -> str:
    with pytest.raises(DamagedStoreError) as info:
        read(data)
    assert info.value.message.startswith("`some.db` is damaged: ")
    return info.value.message.removeprefix("`some.db` is damaged: ")


@cache
def some_records(count: int = 40, seed: int = 0, largest: int = 200) -> dict[bytes, bytes]:
    random = Random(seed)  # noqa: S311 - any bytes will do
    return {
        random.randbytes(random.randint(1, 60)): random.randbytes(random.randint(1, largest))
        for _ in range(count)
    }


@cache
def large(page_size: int = 512) -> bytes:
    """A plain file with one record whose key and data take several pages each."""
    return berkeley_file([(b"k" * 1200, b"d" * 1500)], page_size=page_size)


def words(data: bytes, address: int, *, bucket: bool = False) -> tuple[int, ...]:
    """The words of an overflow page, or of a bucket's first page, as far as they are used."""
    start = _start(data, address, bucket=bucket)
    (used,) = struct.unpack_from("<H", data, start)
    return struct.unpack_from(f"<{used + 3}H", data, start)


def with_words(data: bytes, address: int, *values: int, bucket: bool = False) -> bytes:
    start = _start(data, address, bucket=bucket)
    return b"".join(
        (data[:start], struct.pack(f"<{len(values)}H", *values), data[start + 2 * len(values) :])
    )


def _start(data: bytes, address: int, *, bucket: bool) -> int:
    header = header_of(data)
    number = address + header["hdrpages"] if bucket else page_of(data, address)
    return number * header["bsize"]


# --- what is in a file


@settings(max_examples=300)
@given(
    page_size=st.sampled_from(PAGE_SIZES),
    byte_order=st.sampled_from(ORDERS),
    buckets=st.integers(2, 40),
    seed=st.none() | st.integers(0, 2**32),
    content=st.integers(0, 2**32),
    count=st.integers(0, 40),
    largest=st.sampled_from([10, 200, 2000, 40_000]),
)
def test_every_record_comes_out_of_any_layout(
    page_size: int,
    byte_order: ByteOrder,
    buckets: int,
    seed: int | None,
    content: int,
    count: int,
    largest: int,
) -> None:
    records = some_records(count, content, largest)
    data = berkeley_file(
        records.items(),
        page_size=page_size,
        byte_order=byte_order,
        buckets=buckets,
        seed=seed,
    )
    assert read(data) == records


@pytest.mark.parametrize("page_size", [512, 4096])
@pytest.mark.parametrize("around", ["page", "two pages"])
def test_records_of_about_a_page_come_out(page_size: int, around: str) -> None:
    """Whether a record is large, and where its key and its data end, turns on single bytes."""
    base = page_size if around == "page" else 2 * page_size
    for key_size in (1, 20, *range(base - 30, base + 3)):
        for total in range(base - 30, base + 3):
            record = (b"k" * key_size, bytes(max(1, total - key_size)))
            assert read(berkeley_file([record], page_size=page_size)) == dict([record])


def test_many_buckets_and_half_a_doubling_come_out() -> None:
    records = some_records(3000, largest=60)
    for buckets in (2, 3, 63, 64, 65, 300):
        assert read(berkeley_file(records.items(), page_size=1024, buckets=buckets)) == records


def test_a_file_of_version_1_is_read() -> None:
    records = some_records()
    assert read(with_header(berkeley_file(records.items()), version=1)) == records


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("file", ["cert8.db", "key3.db"])
def test_a_real_database_written_anew_holds_the_same(file: str, byte_order: ByteOrder) -> None:
    records = read((PROFILES / "legacy-renewed" / file).read_bytes())
    assert len(records) >= 5
    for page_size in PAGE_SIZES:
        data = berkeley_file(records.items(), page_size=page_size, byte_order=byte_order, seed=1)
        assert read(data) == records


def test_what_was_deleted_is_not_read() -> None:
    """A delete takes the words of a pair away and may leave its bytes where they were."""
    data = berkeley_file([(b"gone", b"x"), (b"kept", b"y")], page_size=512)
    number = next(n for n in (0, 1) if words(data, n, bucket=True)[0])
    used, *pairs = words(data, number, bucket=True)
    if used == 2:  # one record in each bucket
        assert read(with_words(data, number, 0, bucket=True)).keys() < {b"gone", b"kept"}
    else:
        shorter = with_words(data, number, 2, *pairs[:2], bucket=True)
        assert len(read(shorter)) == 1


# --- headers


@pytest.mark.parametrize("size", [0, 1, 100, 195])
def test_less_than_a_header_is_damage(size: int) -> None:
    assert damage(bytes(size)) == "it is too short"


def test_a_header_and_nothing_behind_it_is_no_header_too_short() -> None:
    assert damage(berkeley_file([])[:196]) == "its header contradicts itself"


def test_a_key_or_data_may_be_empty() -> None:
    records = {b"": b"data", b"key": b""}
    assert read(berkeley_file(records.items())) == records


def test_more_records_than_any_store_has_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = berkeley_file(some_records(3).items())
    monkeypatch.setattr(berkeley, "_MAX_RECORDS", 3)
    assert len(read(data)) == 3
    monkeypatch.setattr(berkeley, "_MAX_RECORDS", 2)
    with pytest.raises(UnsupportedStoreError, match="more than 2 records"):
        read(data)


@pytest.mark.parametrize(
    "fields",
    [
        {"magic": 0x00053162},  # a btree
        {"magic": 0x61150600},  # the header in little-endian words
        {"version": 0},
        {"version": 3},
        {"lorder": 0},
        {"lorder": 3412},
    ],
    ids=str,
)
def test_another_kind_of_file_is_named_as_such(fields: dict[str, int]) -> None:
    data = with_header(berkeley_file(some_records().items()), **fields)
    assert damage(data) == "it is not a Berkeley DB 1.85 hash file"


def test_a_sqlite_database_is_no_such_file() -> None:
    data = (PROFILES / "nss387-nopassword" / "cert9.db").read_bytes()
    assert damage(data) == "it is not a Berkeley DB 1.85 hash file"


@pytest.mark.parametrize(
    "fields",
    [
        *({"bsize": size} for size in (0, 1, 2, 256, 511, 1000, 4095, 65536, 2**31, 2**32 - 1)),
        *({"max_bucket": number} for number in (10_000, 2**31 - 1, 2**31, 2**32 - 1)),
    ],
    ids=str,
)
def test_a_header_that_makes_no_sense_is_damage(fields: dict[str, int]) -> None:
    data = with_header(berkeley_file(some_records().items()), **fields)
    assert damage(data) == "its header contradicts itself"


@pytest.mark.parametrize(
    "fields",
    [
        {"hdrpages": 2**32 - 1},
        {"hdrpages": 1000},
        {"spares0": 2**32 - 1},
        {"spares0": 1000},
    ],
    ids=str,
)
def test_buckets_beyond_the_end_are_damage(fields: dict[str, int]) -> None:
    data = with_header(berkeley_file(some_records().items()), **fields)
    assert damage(data) == "its end is missing"


@pytest.mark.parametrize("nkeys", [0, 1, 2**31, 2**32 - 1])
def test_the_count_of_keys_is_not_believed(nkeys: int) -> None:
    records = some_records()
    assert read(with_header(berkeley_file(records.items()), nkeys=nkeys)) == records


# --- pages


def test_a_file_cut_anywhere_gives_no_fewer_records_in_silence() -> None:
    records = some_records(30, largest=1500)
    data = berkeley_file(records.items(), page_size=512, buckets=4)
    for size in range(0, len(data), 64):
        with suppress(DamagedStoreError):
            assert read(data[:size]) == records


def test_a_page_with_more_entries_than_room_is_damage() -> None:
    data = berkeley_file([(b"key", b"data")], page_size=512)
    number = next(n for n in (0, 1) if words(data, n, bucket=True)[0])
    for used in (1, 3, 254, 255, 256, 65_534, 65_535):
        spoiled = with_words(data, number, used, bucket=True)
        assert damage(spoiled) == "a page has more entries than fit"


@pytest.mark.parametrize(
    "pair",
    [(513, 500), (65_535, 500), (500, 501), (500, 65_535), (4, 512)],
    ids=str,
)
def test_offsets_out_of_the_page_or_out_of_order_are_damage(pair: tuple[int, int]) -> None:
    data = berkeley_file([(b"key", b"data")], page_size=512)
    number = next(n for n in (0, 1) if words(data, n, bucket=True)[0])
    assert damage(with_words(data, number, 2, *pair, bucket=True)) == (
        "a record points outside its page"
    )


def test_a_second_pair_that_overlaps_the_first_is_damage() -> None:
    data = berkeley_file([(b"key", b"data")], page_size=512)
    spoiled = with_words(data, 0, 4, 500, 400, 450, 300, bucket=True)
    assert damage(spoiled) == "a record points outside its page"


def test_an_overflow_page_that_points_at_itself_is_damage() -> None:
    """NSS 3.87 hangs for ever here."""
    data = berkeley_file(some_records(60).items(), page_size=512)
    number = next(n for n in (0, 1) if words(data, n, bucket=True)[0])
    spoiled = with_words(data, FIRST, 2, FIRST, OVERFLOW)
    assert OVERFLOW in words(data, number, bucket=True)
    assert damage(spoiled) == "two records share a page"


def test_an_overflow_page_that_is_a_bucket_is_damage() -> None:
    data = berkeley_file(some_records(60).items(), page_size=512)
    # Page 0 of the second doubling's group is bucket 1 itself.
    assert damage(with_words(data, FIRST, 2, 2048, OVERFLOW)) == "two records share a page"


@pytest.mark.parametrize("address", [0xFFFF, 0x7FF, 2048 + 900, 31 << 11])
def test_an_overflow_page_out_of_the_file_is_damage(address: int) -> None:
    data = berkeley_file(some_records(60).items(), page_size=512)
    assert damage(with_words(data, FIRST, 2, address, OVERFLOW)) in {
        "its end is missing",
        "two records share a page",
    }


@pytest.mark.parametrize("mark", [PARTIAL_KEY, FULL_KEY, FULL_KEY_DATA])
def test_a_large_record_in_the_middle_of_a_page_is_damage(mark: int) -> None:
    data = berkeley_file([(b"key", b"data")], page_size=512)
    spoiled = with_words(data, 0, 4, 500, 490, 480, mark, bucket=True)
    assert damage(spoiled) == "a large record begins in the middle of a page"


def test_a_large_record_comes_out_and_its_pages_are_as_expected() -> None:
    """What the tests of damage below rely on: three pages of key, the last with data, four more."""
    data = large()
    assert read(data) == {b"k" * 1200: b"d" * 1500}
    marks = [words(data, FIRST + n)[2] for n in range(6)]
    assert marks == [
        *(PARTIAL_KEY, PARTIAL_KEY, FULL_KEY_DATA),
        *(FULL_KEY, FULL_KEY, FULL_KEY_DATA),
    ]


@pytest.mark.parametrize("page", range(5))
@pytest.mark.parametrize("target", range(6))
def test_a_large_record_that_never_ends_is_damage(page: int, target: int) -> None:
    used, first, mark, _, *rest = words(large(), FIRST + page)
    spoiled = with_words(large(), FIRST + page, used, first, mark, FIRST + target, *rest)
    if target == page + 1:
        assert spoiled == large()
    elif target <= page:
        assert damage(spoiled) == "two records share a page"
    else:  # a shorter record, if it can be one
        with suppress(DamagedStoreError):
            read(spoiled)


@pytest.mark.parametrize("page", range(5))
def test_a_large_record_without_a_next_page_is_damage(page: int) -> None:
    _, first, mark, *_ = words(large(), FIRST + page)
    spoiled = with_words(large(), FIRST + page, 2, first, mark, 0, 0)
    assert damage(spoiled) == "a large record has no end"


@pytest.mark.parametrize("page", range(1, 6))
def test_a_large_record_that_goes_on_on_an_empty_page_is_damage(page: int) -> None:
    """As where the library filled a page to the last byte: it loses the record then."""
    spoiled = with_words(large(), FIRST + page, 0, 506, 512)
    assert damage(spoiled) == "a large record has no end"


def test_the_data_behind_the_end_of_a_key_must_lie_before_it() -> None:
    used, first, mark, following, _, *rest = words(large(), FIRST + 2)
    spoiled = with_words(large(), FIRST + 2, used, first, mark, following, first + 1, *rest)
    assert damage(spoiled) == "a record points outside its page"


# --- any bytes


@cache
def real(name: str) -> bytes:
    return (PROFILES / "legacy-renewed" / name).read_bytes()


def spend_little(data: bytes) -> None:
    """Our error or records; these are never more than the file, as no page is read twice."""
    size = 0
    with suppress(DamagedStoreError):
        for key, record in read_records(data, "some.db"):
            size += len(key) + len(record)
    assert size <= len(data)


@settings(max_examples=400)
@given(
    file=st.sampled_from(["cert8.db", "key3.db", "large", "many"]),
    changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.none() | st.integers(0, 2**20),
)
def test_spoiled_files_end_soon_and_in_one_error(
    file: str, changes: list[tuple[int, int]], cut: int | None
) -> None:
    if file == "large":
        data = large()
    elif file == "many":
        data = berkeley_file(some_records(200, largest=900).items(), page_size=512, seed=2)
    else:
        data = real(file)
    spoiled = bytearray(data[: cut and cut % len(data)])
    for place, value in changes:
        if spoiled:
            # Most places hold free space; headers and the beginnings of pages are the ones.
            spoiled[place % len(spoiled) if value % 2 else place % min(300, len(spoiled))] = value
    spend_little(bytes(spoiled))


@settings(max_examples=300)
@given(
    page_size=st.sampled_from([512, 1024]),
    pages=st.lists(st.lists(st.integers(0, 12) | st.integers(0, 65_535), max_size=12), max_size=12),
    buckets=st.integers(0, 8),
    spares=st.lists(st.integers(0, 6), min_size=3, max_size=3),
)
def test_pages_of_chance_end_soon_and_in_one_error(
    page_size: int, pages: list[list[int]], buckets: int, spares: list[int]
) -> None:
    """Small numbers as words are marks and overflow addresses, so that pages lead to others."""
    plain = berkeley_file([], page_size=page_size)
    fields = {f"spares{number}": value for number, value in enumerate(spares)}
    header = with_header(plain, max_bucket=buckets, **fields)[:page_size]
    body = b"".join(struct.pack(f"<{len(page)}H", *page).ljust(page_size, b"\0") for page in pages)
    spend_little(header + body)


@settings(max_examples=200)
@given(st.binary(max_size=3000))
def test_any_bytes_end_in_one_error(data: bytes) -> None:
    spend_little(data)
    spend_little(berkeley_file([], page_size=512)[:260] + data)


def test_64_megabytes_of_nothing_are_read_to_the_end(tmp_path: Path) -> None:
    """A sparse file costs nothing to send."""
    path = tmp_path / "sparse"
    size, page_size = 64 * 1024 * 1024, 512
    plain = berkeley_file([], page_size=page_size)
    fields = {f"spares{n}": 0 for n in range(32)}
    path.write_bytes(with_header(plain, max_bucket=size // page_size - 2, **fields)[:page_size])
    os.truncate(path, size)
    assert read(path.read_bytes()) == {}


def test_a_key_over_30_000_pages_takes_linear_time() -> None:
    """Put together page by page it would take minutes: each piece copies all before it."""
    page_size, splits = 1024, range(1, 16)
    plain = berkeley_file([], page_size=page_size)
    header = with_header(plain, max_bucket=1, **{f"spares{n}": 2047 * n for n in range(32)})
    chain = [(split << 11) + number for split in splits for number in range(1, 2048)]
    data = bytearray(header[:page_size].ljust(64 * 1024 * 1024, b"\0"))

    def put(page: int, *values: int) -> None:
        struct.pack_into(f"<{len(values)}H", data, page * page_size, *values)

    put(1, 2, chain[0], OVERFLOW, 0, page_size)
    for address, following in zip(chain, [*chain[1:], 0], strict=True):
        put(page_of(header, address), 4, 14, PARTIAL_KEY, following, OVERFLOW, 0, 14)
    put(page_of(header, chain[-1]), 4, 14, FULL_KEY_DATA, 0, 14, 1, 14)
    with pytest.raises(DamagedStoreError, match="two records share a page"):
        list(read_records(bytes(data), "some.db"))
    put(page_of(header, chain[-1]), 4, 14, FULL_KEY_DATA, 31 << 11, 14, 1, 14)
    with pytest.raises(DamagedStoreError, match="its end is missing"):
        list(read_records(bytes(data), "some.db"))
