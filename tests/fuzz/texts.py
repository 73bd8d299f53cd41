"""Texts: lists, settings, groups and tables, and names that go on a terminal or into a folder."""

from __future__ import annotations

import json
import sqlite3
import struct
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from nssbackup.backups.writing import default_name
from nssbackup.batch import state
from nssbackup.batch.password_table import Owner, PasswordTable
from nssbackup.batch.rendering.page import page
from nssbackup.batch.rendering.spreadsheet import spreadsheet
from nssbackup.batch.report import BatchItem, BatchReport, HomeResult, in_order
from nssbackup.identity.certificate import from_der
from nssbackup.identity.choosing import assemble
from nssbackup.printable import printable
from nssbackup.profiles.lists import (
    GROUPS_FOLDER,
    listed_path,
    member_folder,
    parse_ini,
    read_group_members,
    read_lists,
)
from nssbackup.profiles.locate import user_folders
from nssbackup.profiles.settings import read_preferences, third_party_modules
from nssbackup.profiles.system import System
from nssbackup.report import identity_json
from nssbackup.system.files import safe_name
from tests.fuzz import scratch, seeds
from tests.fuzz.target import Target

_SYSTEMS = (
    System("linux", PurePosixPath("/home/jane"), {}),
    System("darwin", PurePosixPath("/Users/jane"), {}),
    System("win32", PureWindowsPath(r"C:\Users\jane"), {}, ansi="cp1252"),
)


def _ini(data: bytes) -> None:
    for entry in parse_ini(data).values():
        for value in entry.values():
            for system in _SYSTEMS:
                for relative in (True, False):
                    listed_path(value, system.home, system, relative=relative)
                member_folder(value, system.home, system)
    with scratch.folder({"profiles.ini": data, "installs.ini": data}) as folder:
        for system in (System("linux", folder, {}), System.of_home(folder)):
            for one in read_lists(folder, system):
                system.translate(one.path)
                printable(one.name).encode()


def _ini_seeds() -> Iterator[bytes]:
    text = (
        "[General]\nStartWithLastProfile=1\nVersion=2\n\n[Install4F96D1932A9F858E]\n"
        "Default=Profiles/ab12.default\nLocked=1\n\n; remark\n[Profile1]\nName=Jörg\n"
        "IsRelative=1\nPath=../Profiles/ab12.default\nDefault=1\n\n[Profile0]\nName=x\n"
        "IsRelative=0\nPath=C:\\Users\\x\\y\nStoreID=0a1b2c3d\n"
    )
    yield text.encode()
    yield b"\xef\xbb\xbf" + text.encode()
    yield b"\xff\xfe" + text.encode("utf-16-le")
    yield text.encode("latin-1").replace(b"\n", b"\r\n")
    yield b"[Profile0]\nIsRelative=0\nPath=~/x\n[Profile1]\nIsRelative=0\nPath=/tmp/\xff\0\n"


def _prefs(data: bytes) -> None:
    with scratch.folder({"prefs.js": data, "user.js": data[::-1]}) as folder:
        for name, value in read_preferences(folder).items():
            printable(f"{name}{value}").encode()


def _prefs_seeds() -> Iterator[bytes]:
    yield (
        b"// Mozilla User Preferences\n/* two\nlines */\n"
        b'user_pref("security.osclientcerts.autoload", false);\n'
        b'user_pref("a.number", -17);\r\nsticky_pref(\'it\\\'s\', "\\x41\\u20ac\\ud83d\\n");\n'
        b'pref("locked", "x", sticky, locked);\n# end\nuser_pref("broken", \n'
    )
    yield b'user_pref("a", "' + "ü密🔑".encode() * 20 + b'");'


def _modules(data: bytes) -> None:
    with scratch.folder({"pkcs11.txt": data}) as folder:
        for module in third_party_modules(folder):
            printable(f"{module.name}{module.library}").encode()


def _modules_seeds() -> Iterator[bytes]:
    yield (
        b"library=\nname=NSS Internal PKCS #11 Module\nparameters=configdir='/x' certPrefix=\"\"\n"
        b"NSS=Flags=internal,critical trustOrder=75 cipherOrder=100\n\n"
        b'library=/usr/lib/opensc-pkcs11.so\nname="Smart \\"card\\""\nNSS=slotParams={0x01=[]}\n\n'
        b"# remark\nlibrary=C:\\x\\softokn3.dll\nname=y\r\n\r\n"
    )
    yield seeds.file("firefox-nopassword", "../../profiles.json")[:2_000]


def _group(data: bytes) -> None:
    with scratch.folder({f"{GROUPS_FOLDER}/0a1b2c3d.sqlite": data}) as folder:
        for system in (System("linux", folder, {}), System.of_home(folder, "win32")):
            for one in read_group_members(folder, system):
                system.translate(one.path)
                printable(one.name).encode()


@cache
def _group_seeds() -> tuple[bytes, ...]:
    found = []
    firefox = (
        "CREATE TABLE Profiles (id INTEGER NOT NULL, path TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
        " avatar TEXT NOT NULL, PRIMARY KEY(id))"
    )
    for schema in (firefox, "CREATE TABLE Profiles (path, name, id, avatar)"):
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
            database.execute("PRAGMA page_size=512")
            database.execute(schema)
            rows = [(1, "ab12.one", "One", "x"), (2, r"..\..\D:\x", "Jörg \x1b[2J", "y")]
            database.executemany(
                "INSERT INTO Profiles (id, path, name, avatar) VALUES (?, ?, ?, ?)", rows
            )
            found.append(database.serialize())
    return tuple(found)


def _user_folders(data: bytes) -> None:
    with scratch.folder({".config/user-dirs.dirs": data}) as folder:
        for system in (System("linux", folder, {}), System.of_home(folder, "linux")):
            list(user_folders("DESKTOP", system))


def _user_folders_seeds() -> Iterator[bytes]:
    yield b'# remark\nXDG_DESKTOP_DIR="$HOME/Bureau"\nXDG_DOCUMENTS_DIR="/srv/\\"x\\\\"\n'
    yield b'XDG_DESKTOP_DIR="$HOME/"\nXDG_DESKTOP_DIR="/.config"\nXDG_DESKTOP_DIR="$HOME/\xff"'


def _passwords(data: bytes) -> None:
    with scratch.folder({"passwords.csv": data}) as folder:
        table = PasswordTable.read(folder / "passwords.csv", "--passwords")
    table.password_of(Owner("jane", ("default",), ("ab" * 32,)))


def _passwords_seeds() -> Iterator[bytes]:
    text = 'User,profile,fingerprint,password\r\njane,,,"a ""b"", c"\n,work,AB:CD:EF:01:23,x\n'
    yield text.encode()
    yield b"\xef\xbb\xbf" + text.encode()
    yield text.encode("utf-16")
    yield "password,user\nüx,jörg\n\n".encode()


def _state(data: bytes) -> None:
    """What a run left for the next one, and the reports that are made of it."""
    with scratch.folder({"state.json": data}) as folder:
        found = state.load(folder / "state.json")
        for backup in found.files.values():
            backup.is_intact(folder)
    if found.last_run is None:
        return
    items = [
        # As a batch with `--expiring` does.
        replace(item, expiring=item.ends is not None and item.ends.year < 2030)
        for item in found.last_run.items
    ]
    began = datetime(2026, 1, 1, tzinfo=UTC)
    homes = found.last_run.homes
    report = BatchReport(began, began, "host", Path("/x"), (), items=in_order(items), homes=homes)
    json.dumps(report.to_json()).encode()
    spreadsheet(report).encode()
    page(report).encode()


@cache
def _state_seeds() -> tuple[bytes, ...]:
    path = scratch.place() / "state.json"
    found = []
    for count in (0, 1, 3):
        known = [identity for identity, _ in seeds.identities()[:count]]
        items = tuple(
            BatchItem("backed-up", "h", "jane", profile="/p", identity=identity_json(one), size=7)
            for one in known
        )
        homes = (HomeResult("h", "/home/jane", "jane", 1, count, "backed-up", ("note",)),)
        records = (state.HomeRecord("/home/jane", "jane", "/home", "s", {"ab": ("CN=x", "x")}),)
        files = {
            f"{one.certificate.sha256}.modern": state.WrittenBackup(
                "x.pfx", "ab" * 32, 7, "cd" * 32, "/p"
            )
            for one in known
        }
        last_run = state.LastRun("w", {"/p": "1"}, False, 2.5, items, homes)
        state.save(path, state.State(files, records, last_run))
        found.append(path.read_bytes())
        path.unlink()
    return tuple(found)


def _names(data: bytes) -> None:
    """Whatever somebody is called: a file name on any system, and a text that does nothing."""
    units = struct.unpack(f"<{len(data) // 2}H", data[: len(data) & ~1])
    for text in (data.decode("utf-8", "surrogateescape"), "".join(map(chr, units))):
        shown = printable(text)
        acting = {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(one) for one in shown}
        _require(not acting, f"{acting} on a terminal")
        name = safe_name(text)
        _require(0 < len(name.encode()) <= 200, "a length that no file name has")
        _require(not set(name) & set('<>:"/\\|?*\0\r\n') and name.isprintable(), "a character")
        _require(name.strip(". ") == name, "dots or blanks at an end")
        _require(not _is_device(name), "a device of Windows")
        _require(Path(name).name == name == PureWindowsPath(name).name, "more than a name")


def _is_device(name: str) -> bool:
    # Python knows them by itself, and warns of its own knowledge from 3.13 on.
    stem = name.partition(".")[0].rstrip(" ").upper()
    ports = {f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"}
    return stem in ports | {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}


def _names_seeds() -> Iterator[bytes]:
    for text in ("Jane Doe", "CON", "nul.txt", "a\nb\x1b[2J", "x\u202egnp.exe", "a. . ", "密" * 90):
        yield text.encode()
        yield text.encode("utf-16-le")
    for identity in assemble(None, [from_der(der) for der in seeds.certificates()]):
        yield default_name(identity).encode()


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise AssertionError(reason)


TARGETS = (
    Target("ini", _ini, _ini_seeds, 4_000),
    Target("prefs", _prefs, _prefs_seeds, 4_000),
    Target("modules", _modules, _modules_seeds, 4_000),
    Target("groups", _group, _group_seeds, 16_000),
    Target("user-folders", _user_folders, _user_folders_seeds, 2_000),
    Target("passwords", _passwords, _passwords_seeds, 4_000),
    Target("state", _state, _state_seeds, 12_000),
    Target("names", _names, _names_seeds, 2_000),
)
