"""NSS's own Berkeley DB 1.85, which is inside libnssdbm3 and reached through its list of modules.

secmod.db, the list of PKCS#11 modules of old, is such a file, and the only one that the library
lets its callers put any name and text into. A module is a record: the name of it is the key, and
the text stands in the data. The library runs in a process of its own, which this file is as well.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import PROJECT
from tests.peers.nss import Nss
from tests.peers.process import run

__all__ = ["missing", "modules_of", "record_of", "write_modules"]

Operation = tuple[str, str, str]
"""`add` or `delete`, the name of a module, its text."""

# struct lgdbDataStr up to the names (lib/softoken/legacydb/pk11db.c): version 0.6, offset of the
# names, of the slots, flags, SSL flags, orders of trust and ciphers, reserved.
_NAMES = 32


def missing(nss: Nss) -> str | None:
    """None, or the reason why the library of this NSS can't be used."""
    return None if _library(nss).is_file() else f"{nss.name} has no libnssdbm3.so"


def write_modules(nss: Nss, path: Path, operations: Sequence[Operation]) -> None:
    """Add modules to a file, and delete them, one after the other; the file is made."""
    _child(nss, "write", path, json.dumps(list(operations)).encode())


def modules_of(nss: Nss, path: Path) -> dict[str, str]:
    """The texts of all modules of a file, by name."""
    found = json.loads(_child(nss, "read", path, b""))
    return {str(name): str(text) for name, text in found.items()}


def record_of(name: str, text: str) -> tuple[bytes, bytes]:
    """The record of a module as the library writes it (lgdb_EncodeData)."""
    parts = (name.encode(), b"", text.encode())
    names = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    # Orders of trust and ciphers as they are by default; no slots.
    header = bytearray(_NAMES)
    header[1] = 6
    header[2:4] = _NAMES.to_bytes(2, "big")
    header[4:6] = (_NAMES + len(names)).to_bytes(2, "big")
    header[16:20] = (50).to_bytes(4, "big")
    return name.encode(), bytes(header) + names + bytes(2)


def _library(nss: Nss) -> Path:
    folder = nss.lib or Path("/usr/lib") / f"{os.uname().machine}-linux-gnu"
    return folder / "libnssdbm3.so"


def _child(nss: Nss, action: str, path: Path, stdin: bytes) -> bytes:
    env = {} if nss.lib is None else {"LD_LIBRARY_PATH": str(nss.lib)}
    env["PYTHONPATH"] = str(PROJECT)
    words: list[str | Path] = [sys.executable, "-m", "tests.peers.dbm", action, _library(nss), path]
    return run(words, stdin=stdin, env=env)


def _write(library: ctypes.CDLL, path: bytes, operations: Sequence[Operation]) -> None:
    for action, name, text in operations:
        spec = f'name="{name}" parameters="{text}"'.encode()
        call = library.legacy_AddSecmodDB if action == "add" else library.legacy_DeleteSecmodDB
        if call(None, b"secmod.db", path, spec, 1):
            message = f"{action} {name[:20]!r} failed"
            raise SystemExit(message)


def _read(library: ctypes.CDLL, path: bytes) -> Mapping[str, str]:
    call = library.legacy_ReadSecmodDB
    call.restype = ctypes.POINTER(ctypes.c_char_p)
    listed = call(None, b"secmod.db", path, b"", 0)
    found = {}
    number = 1  # the first is NSS's own
    while listed[number]:
        words = dict(word.split("=", 1) for word in listed[number].decode().split() if "=" in word)
        found[words["name"].strip('"')] = words.get("parameters", "").strip('"')
        number += 1
    return found


def _main(action: str, library: str, path: str) -> None:
    loaded = ctypes.CDLL(library)
    if action == "write":
        _write(loaded, os.fsencode(path), json.load(sys.stdin))
    else:
        json.dump(_read(loaded, os.fsencode(path)), sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
