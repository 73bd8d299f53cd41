"""Every way a command can fail, provoked for real: what is typed, and what has to come of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.builders.store import StoreBuilder, issue, name, rsa_key
from tests.cli.runner import FAST, Cli
from tests.conftest import MakeProfile

Words = tuple[str | Path, ...]

TAKEN = b"somebody else's file"
GARBAGE = b"".join(sha256(b"%d" % n).digest() for n in range(600))


@dataclass(frozen=True, slots=True)
class Failure:
    """A command that fails.

    Attributes:
        title: what is wrong, for the test's name.
        status: the exit status it must have.
        words: makes the arguments, and whatever they need to fail.
        code: the error class's code.
    """

    title: str
    status: int
    code: str
    words: Callable[[Cli, MakeProfile], Words]

    def __str__(self) -> str:
        return f"{self.status}-{self.title.replace(' ', '-')}"


def _export(store: str, *more: str) -> Callable[[Cli, MakeProfile], Words]:
    def words(cli: Cli, profile: MakeProfile) -> Words:
        (cli.here / "taken.pfx").write_bytes(TAKEN)
        password = cli.password_file()
        rounds = () if FAST[0] in more else FAST
        return "export", "--profile", profile(store), "--password-file", password, *rounds, *more

    return words


def _plain(*words: str) -> Callable[[Cli, MakeProfile], Words]:
    return lambda _cli, _profile: words


def _asked_nobody(cli: Cli, profile: MakeProfile) -> Words:
    cli.export(profile("ec-p256"), "-o", "a.pfx")
    return "verify", "a.pfx"


def _damaged(command: str) -> Callable[[Cli, MakeProfile], Words]:
    def words(cli: Cli, profile: MakeProfile) -> Words:
        folder = profile("ec-p256")
        folder.joinpath("cert9.db").write_bytes(GARBAGE)
        more = ("--password-file", cli.password_file()) if command == "export" else ()
        return command, "--profile", folder, *more

    return words


def _fifo(_cli: Cli, profile: MakeProfile) -> Words:
    folder = profile("ec-p256")
    folder.joinpath("cert9.db").unlink()
    os.mkfifo(folder / "cert9.db")
    # A FIFO alone is no database, so that the folder is none of a profile without its key4.db.
    return "list", "--profile", folder


def _empty_folder(cli: Cli, _profile: MakeProfile) -> Words:
    return "list", "--profile", cli.home


def _wrong_primary(cli: Cli, profile: MakeProfile) -> Words:
    wrong = cli.file("primary", "wrong\n")
    return *_export("nss387-password")(cli, profile), "--primary-password-file", wrong


def _foreign_key(cli: Cli, _profile: MakeProfile) -> Words:
    """A store whose row for the private key holds the values of another key."""
    builder = StoreBuilder(cli.folder / "swapped")
    wipo = name("WIPO Test CA", "WIPO")
    row = builder.add_identity(rsa_key(1), issue(rsa_key(1), "Jane Doe", wipo, rsa_key(2)))[1]
    other = builder.add_key(rsa_key(3))
    for column in ("a123", "a124", "a125", "a126", "a127", "a128"):
        attribute = int(column[1:], 16)
        row[column] = other[column]
        if builder.meta is not None:
            meta = builder.meta
            meta[f"sig_key_{row['id']:08x}_{attribute:08x}"] = meta[
                f"sig_key_{other['id']:08x}_{attribute:08x}"
            ]
    builder.private.remove(other)
    password = cli.password_file()
    return "export", "--profile", builder.write(), "--password-file", password, *FAST


def _verify(content: bytes) -> Callable[[Cli, MakeProfile], Words]:
    def words(cli: Cli, _profile: MakeProfile) -> Words:
        password = cli.password_file()
        return "verify", "--password-file", password, cli.file("bad.pfx", content)

    return words


def _bad_password(content: bytes) -> Callable[[Cli, MakeProfile], Words]:
    def words(cli: Cli, profile: MakeProfile) -> Words:
        given = cli.file("bad-password", content)
        return "export", "--profile", profile("ec-p256"), "--password-file", given, *FAST

    return words


def _password_folder(cli: Cli, profile: MakeProfile) -> Words:
    return "export", "--profile", profile("ec-p256"), "--password-file", cli.home


FAILURES = (
    Failure("no such option", 2, "usage", _plain("list", "--bogus")),
    Failure("no such command", 2, "usage", _plain("bogus")),
    Failure("option without value", 2, "usage", _plain("list", "--profile")),
    Failure("too many arguments", 2, "usage", _plain("list", "one", "two")),
    Failure("verify without files", 2, "usage", _plain("verify")),
    Failure("no such destination", 2, "usage", _plain("export", "--for", "mars")),
    Failure("no such format", 2, "usage", _plain("export", "--format", "best")),
    Failure("rounds not a number", 2, "usage", _plain("export", "--kdf-rounds", "many")),
    Failure("too few rounds", 2, "usage", _export("ec-p256", "--kdf-rounds", "2047")),
    Failure("too many rounds", 2, "usage", _export("ec-p256", "--kdf-rounds", "600001")),
    Failure("no rounds", 2, "usage", _export("ec-p256", "--kdf-rounds", "0")),
    Failure("negative rounds", 2, "usage", _export("ec-p256", "--kdf-rounds", "-1")),
    Failure("for and format", 2, "usage", _export("ec-p256", "--for", "any", "--format", "modern")),
    Failure("two password sources", 2, "usage", _export("ec-p256", "--generate-password")),
    Failure("empty password", 2, "usage", _bad_password(b"\nsecond line\n")),
    Failure("password file of no bytes", 2, "usage", _bad_password(b"")),
    Failure("password not UTF-8", 2, "usage", _bad_password(b"p\xe4ssword\n")),
    Failure("password file is a folder", 2, "usage", _password_folder),
    Failure("password file missing", 2, "usage", _plain("export", "--password-file", "missing")),
    Failure("copy beside the file", 2, "usage", _export("ec-p256", "--copy-to", ".")),
    Failure(
        "copy to one folder twice", 2, "usage", _export("ec-p256", *("--copy-to", "../home") * 2)
    ),
    Failure(
        "both passwords from stdin",
        2,
        "usage",
        _plain("export", "--password-file", "-", "--primary-password-file", "-"),
    ),
    Failure("no password", 2, "question-without-terminal", _asked_nobody),
    Failure("no profile here", 10, "no-profile", _plain("profiles")),
    Failure("no profile to list", 10, "no-profile", _plain("list")),
    Failure("no profile to export", 10, "no-profile", _plain("export", "--generate-password")),
    Failure("no such profile", 10, "no-profile", _plain("list", "--profile", "nobody")),
    Failure("empty profile name", 10, "no-profile", _plain("list", "--profile", "")),
    Failure("folder without databases", 10, "no-store", _empty_folder),
    Failure("damaged store listed", 11, "store-damaged", _damaged("list")),
    Failure("damaged store exported", 11, "store-damaged", _damaged("export")),
    Failure("fifo as database", 11, "store-unreadable", _fifo),
    Failure("no primary password", 12, "primary-password-required", _export("nss387-password")),
    Failure("wrong primary password", 12, "wrong-primary-password", _wrong_primary),
    Failure("nothing of that name", 20, "no-match", _export("ec-p256", "nobody")),
    Failure("empty CERT", 20, "no-match", _export("ec-p256", "")),
    Failure("nothing from WIPO", 20, "no-match", _export("foreign-only")),
    Failure("no certificate at all", 20, "no-match", _export("key-without-certificate")),
    Failure("two people", 21, "ambiguous", _export("two-people")),
    Failure("no private key", 22, "key-missing", _export("certificate-without-key")),
    Failure("key of a kind not handled", 22, "key-not-exportable", _export("dsa")),
    Failure("key of another certificate", 22, "key-inconsistent", _foreign_key),
    Failure("output exists", 30, "output-exists", _export("ec-p256", "-o", "taken.pfx")),
    Failure("output exists under .pfx", 30, "output-exists", _export("ec-p256", "-o", "taken")),
    Failure("output folder missing", 31, "output-unwritable", _export("ec-p256", "-o", "no/a.pfx")),
    Failure("output folder/ missing", 31, "output-unwritable", _export("ec-p256", "-o", "no/")),
    Failure("copy folder missing", 31, "output-unwritable", _export("ec-p256", "--copy-to", "no")),
    Failure(
        "copy folder is a file",
        31,
        "output-unwritable",
        _export("ec-p256", "--copy-to", "taken.pfx"),
    ),
    Failure("output in a file", 31, "output-unwritable", _export("ec-p256", "-o", "taken.pfx/a")),
    Failure(
        "output name too long",
        31,
        "output-unwritable",
        _export("ec-p256", "-o", "n" * 300 + ".pfx"),
    ),
    Failure("backup is garbage", 32, "backup-damaged", _verify(GARBAGE)),
    Failure("backup is empty", 32, "backup-damaged", _verify(b"")),
)
