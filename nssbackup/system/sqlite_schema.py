"""Schema: what a database says that it holds, checked before SQLite takes it in and acts on it.

The schemas of NSS and of Firefox's profile groups are a page or two of ordinary tables and indexes.
"""

from __future__ import annotations

import os
import re
import sqlite3
import struct
import time
from io import RawIOBase
from pathlib import PurePath

from nssbackup.errors import DamagedStoreError

# That of NSS has 2 KB, and what SQLite makes of one is up to seventy times as large.
_MAX_BYTES = 64 * 1024
_MAX_PAGES = 1_000

# sqlite.org/fileformat: the header of the file, where the page size stands in it, and the pages of
# a table.
_HEADER_BYTES = 100
_PAGE_SIZE = slice(16, 18)
_LARGEST_PAGE = 65_536
_INTERIOR, _LEAF = 5, 13
_INTERIOR_BYTES, _LEAF_BYTES = 12, 8
# A pointer to the cell, and the shortest beginning of one.
_CELL_BYTES = 4
_MORE, _BITS = 0x80, 7
_VARINT_BYTES = 9

# Tables and indexes of plain columns. SQLite writes the first words itself, and an expression in a
# table has parentheses of its own.
_PLAIN = re.compile(
    r"CREATE (?:TABLE [^()]*\([^()]*\)[^()]*|(?:UNIQUE )?INDEX [\w\s]+\([\w\s,]*\)\s*)",
    re.IGNORECASE,
)
_STEPS_BETWEEN_LOOKS = 100


def check_size(file: RawIOBase, path: PurePath) -> None:
    """Refuse a database whose schema would fill the memory: SQLite takes all of it in at once.

    That happens before the first row of the first query, and there is no way to bound it that all
    versions of SQLite and Python have. So the table of the schema, whose first page is that of the
    file, is gone through here. No text is read; each row says how long it is.

    Args:
        file: the database, opened unbuffered; nobody writes to it, and no journal belongs to it.
        path: what it is called in a message.

    Raises:
        DamagedStoreError: the schema is larger than 64 KiB, or its pages are none.
    """
    try:
        size = _bytes_of_schema(file)
    except (struct.error, IndexError, ZeroDivisionError) as error:
        message = f"`{path}` is damaged: its schema can't be read"
        raise DamagedStoreError(message) from error
    if size > _MAX_BYTES:
        message = f"`{path}` is damaged: its schema is larger than any of NSS"
        raise DamagedStoreError(message)


def check_plain(database: sqlite3.Connection, path: PurePath) -> None:
    """Refuse a database in which reading or adding a row could set off more than that.

    A view can be made to never end, and so can a trigger; an index of an expression or a column
    that is computed can fill the memory.

    Raises:
        DamagedStoreError: it has one of these, or its schema can't be read.
    """
    try:
        schema = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    except (sqlite3.Error, UnicodeError) as error:
        message = f"`{path}` is damaged: {error}"
        raise DamagedStoreError(message) from error
    if not all(isinstance(sql, str) and _PLAIN.fullmatch(sql) for (sql,) in schema):
        message = f"`{path}` is damaged: it has more than the plain tables of NSS"
        raise DamagedStoreError(message)


def limit_time(database: sqlite3.Connection, deadline: float) -> None:
    """Have SQLite stop with an error once this thread's `time.thread_time()` is over a deadline."""
    database.set_progress_handler(lambda: time.thread_time() > deadline, _STEPS_BETWEEN_LOOKS)


def _bytes_of_schema(file: RawIOBase) -> int:
    """How large the rows of the schema are together; more than the bound where they are too many.

    Raises:
        struct.error, IndexError, ZeroDivisionError: it is no database, or its pages point nowhere.
    """
    file.seek(0)
    page_size = int.from_bytes(file.read(_HEADER_BYTES)[_PAGE_SIZE], "big")
    page_size = _LARGEST_PAGE if page_size == 1 else page_size
    pages = file.seek(0, os.SEEK_END) // page_size
    waiting, found = [1], 0
    for _ in range(_MAX_PAGES):
        if not waiting or found > _MAX_BYTES:
            return found
        number = waiting.pop()
        if not 0 < number <= pages:
            raise IndexError
        file.seek((number - 1) * page_size)
        page = file.read(page_size)
        start = _HEADER_BYTES if number == 1 else 0
        kind, count = struct.unpack_from(">B2xH", page, start)
        if kind == _INTERIOR:
            if len(waiting) + count >= _MAX_PAGES:
                break
            cells = struct.unpack_from(f">{count}H", page, start + _INTERIOR_BYTES)
            (last,) = struct.unpack_from(">I", page, start + _LEAF_BYTES)
            waiting += [last, *(struct.unpack_from(">I", page, cell)[0] for cell in cells)]
        elif kind == _LEAF:
            cells = struct.unpack_from(f">{count}H", page, start + _LEAF_BYTES)
            found += sum(_CELL_BYTES + _varint(page, cell) for cell in cells)
        else:
            raise IndexError
    return _MAX_BYTES + 1


def _varint(page: bytes, at: int) -> int:
    """A number of SQLite's, or one that is larger where it is none."""
    value = 0
    for place in range(at, at + _VARINT_BYTES):
        value = value << _BITS | page[place] & ~_MORE
        if page[place] < _MORE:
            break
    return value
