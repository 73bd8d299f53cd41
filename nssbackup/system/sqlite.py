"""SQLite databases of unknown origin: opened and queried so that nothing in them can do harm.

SQLite takes in the whole schema of a database before the first row of the first query, and what it
makes of one is up to seventy times as large. So the schema is read under narrow limits. After that
only plain tables are queried: a view can be made to never end, a computed column to fill the
memory, and a trigger does something when a row is added.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path, PurePath

from nssbackup.errors import DamagedStoreError, UnsupportedStoreError
from nssbackup.system.reading import Budget

# For the schema: bytes of a row, processor time, and steps (see `Budget.limit`). Those of NSS and
# Firefox have 1.4 KB in a row and are read in two steps.
_SCHEMA_ROW_BYTES = 8 * 1024
_SCHEMA_SECONDS = 0.5
_SCHEMA_STEPS = 20

# For everything after that: bytes of a row.
_ROW_BYTES = 8 * 1024 * 1024

# A table of plain columns: the only parentheses inside it are those of keys. An index of plain
# columns. SQLite writes the first words of these statements itself; a comment may be anywhere.
_PLAIN_TABLE = re.compile(
    r'CREATE TABLE ("?)([\w ]+?)\1\s*\((?:[^()/-]|(?:KEY|UNIQUE)\s*\([\w\s,"]*\))*\)[^()/-]*',
    re.IGNORECASE,
)
_PLAIN_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX [\w\s]+\([\w\s,]*\)\s*", re.IGNORECASE)


def connect(database: str | Path, *, uri: bool = False, timeout: float = 0) -> sqlite3.Connection:
    """Open a database; `load_schema` has to be called before the first query of a table.

    Raises:
        sqlite3.Error: it can't be opened.
    """
    connection = sqlite3.connect(
        database, uri=uri, timeout=timeout, isolation_level=None, check_same_thread=False
    )
    # Nobody has checked that what it calls text is UTF-8.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SCHEMA_ROW_BYTES)
    Budget(_SCHEMA_SECONDS, _SCHEMA_STEPS).limit(connection)
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    return connection


def load_schema(connection: sqlite3.Connection, path: PurePath) -> None:
    """Have SQLite take in the schema of a database that `connect` opened.

    After this it can be queried, within the budget that its user sets with `Budget.limit`. `path`
    is for messages.

    Raises:
        UnsupportedStoreError: the schema is larger than any of NSS.
        DamagedStoreError: it can't be read.
    """
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except (sqlite3.Error, UnicodeError) as error:
        if str(error) in {"interrupted", "string or blob too big"}:
            message = f"`{path}` is damaged: its schema is larger than that of any NSS database"
            raise UnsupportedStoreError(message) from error
        message = f"`{path}` is damaged: {error}"
        raise DamagedStoreError(message) from error
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _ROW_BYTES)
    connection.set_progress_handler(None, 0)


def plain_tables(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the tables that are safe to read: the statement that made each, by its name.

    Raises:
        sqlite3.Error: the schema can't be read.
    """
    # The name is that in the statement: SQLite goes by it, not by the column `name`.
    found = map(_PLAIN_TABLE.fullmatch, _statements(connection))
    return {match[2]: match[0] for match in found if match}


def check_plain(connection: sqlite3.Connection, path: PurePath) -> None:
    """Raise unless a database has only plain tables and indexes, so that rows can be added.

    Raises:
        UnsupportedStoreError: it has something else.
        sqlite3.Error: its schema can't be read.
    """
    for statement in _statements(connection):
        if not _PLAIN_TABLE.fullmatch(statement) and not _PLAIN_INDEX.fullmatch(statement):
            message = f"`{path}` has more than the plain tables and indexes that NSS makes"
            raise UnsupportedStoreError(message)


def _statements(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT sql FROM sqlite_master WHERE typeof(sql) = 'text'"
    return [sql for (sql,) in connection.execute(query)]


def database_uri(path: PurePath) -> str:
    """Return a `file:` URI that SQLite opens read-only, for a path with any characters in it.

    SQLite accepts no authority but `localhost` (sqlite.org/uri.html), so the server of a UNC path
    moves into the path.
    """
    uri = path.as_uri()
    if not uri.startswith("file:///"):
        uri = "file:////" + uri.removeprefix("file://")
    return f"{uri}?mode=ro"
