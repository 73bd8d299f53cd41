"""Secrets: no password and no byte of a private key is ever where it doesn't belong."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import signal
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from nssbackup.backups.verify import Expected
from nssbackup.pkcs12 import MODERN, PfxWriters, entries_of
from nssbackup.profiles import resolve_profiles
from nssbackup.report import ExportReport
from nssbackup.secret import Secret
from nssbackup.stores.inventory import take_inventory
from nssbackup.stores.unlocking import read_key
from tests import FIXTURES
from tests.cli.runner import FAST, Cli, Result, finish, open_for_reader
from tests.conftest import MakeProfile

KEYS = FIXTURES / "keys"
BACKUP, PRIMARY, WRONG = "Backup-Pass-4711-ärger", "correct horse 7", "Wrong-Guess-0815"
STORES = ("nss387-password", "firefox-password", "tripledes-password")


def key_bytes(name: str) -> list[bytes]:
    """The secret numbers of a fixture's private key, as bytes."""
    key = load_pem_private_key((KEYS / f"{name}-1.pem").read_bytes(), None)
    if isinstance(key, rsa.RSAPrivateKey):
        n = key.private_numbers()
        numbers = [n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp]
    else:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        numbers = [key.private_numbers().private_value]
    return [number.to_bytes((number.bit_length() + 7) // 8, "big") for number in numbers]


@cache
def forms(name: str) -> tuple[bytes, ...]:
    """Every password and key as it might be written somewhere."""
    return tuple(_forms(name))


def _forms(name: str) -> Iterator[bytes]:
    for password in (BACKUP, PRIMARY, WRONG):
        for encoding in ("utf-8", "utf-16-be", "utf-16-le"):
            yield password.encode(encoding)
        yield ascii(password)[1:-1].encode()
        yield base64.b64encode(password.encode()).rstrip(b"=")[:-1]
    for secret in key_bytes(name):
        # A part is as bad as the whole; and base64 has three ways to begin.
        part = secret[8:40]
        yield part
        yield part.hex().encode()
        yield part.hex().upper().encode()
        yield str(int.from_bytes(secret, "big")).encode()
        for skipped in range(3):
            yield base64.b64encode(secret[8 + skipped : 38 + skipped])


def assert_clean(name: str, place: str, *contents: bytes | str) -> None:
    for content in contents:
        data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
        for form in forms(name):
            assert form not in data, f"a secret is in {place}"


def files_in(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        yield os.fsencode(path.name)
        if path.is_file():
            yield path.read_bytes()


def given(cli: Cli) -> tuple[Path, Path]:
    """The password files, in a folder that is not searched."""
    return cli.file("backup-password", f"{BACKUP}\n"), cli.file("primary-password", f"{PRIMARY}\n")


@pytest.mark.parametrize("name", STORES)
def test_nothing_secret_is_in_the_output_of_any_command(
    cli: Cli, profile: MakeProfile, name: str
) -> None:
    folder = profile(name)
    backup, primary = given(cli)
    wrong = cli.file("wrong-password", f"{WRONG}\n")
    common = ("export", "-v", "--profile", folder, *FAST, "--password-file")
    results: list[Result] = []
    for more in ((), ("--json",)):
        files = ("--primary-password-file", primary, "-o", f"a{len(more)}.pfx")
        results += [
            cli.run(*common, backup, *files, *more),
            cli.run(*common, backup, *files, *more),  # exists
            cli.run(*common, backup, *more),  # no primary password
            cli.run(*common, backup, "--primary-password-file", wrong, *more),
            cli.run(*common, wrong, "--primary-password-file", wrong, *more),
            cli.run(*common, backup, "nobody", *more),
            cli.run("list", "-v", "--all", "--profile", folder, *more),
            cli.run("verify", "-v", "--password-file", backup, "a0.pfx", *more),
            cli.run("verify", "-v", "--password-file", wrong, "a0.pfx", *more),
            cli.run(*common, cli.file("bad", BACKUP.encode("latin-1")), *more),
            cli.run(*common, backup, "--password", *more),
        ]
    assert {result.status for result in results} == {0, 2, 12, 20, 30, 32}
    for result in results:
        assert_clean(name, "the output", result.stdout, result.stderr)
    assert_clean(name, "the profile", *files_in(folder))
    assert_clean(name, "the temporary files", *files_in(cli.temporary))
    assert_clean(name, "the home folder", *files_in(cli.home))
    assert_clean(name, "the backup", *files_in(cli.here))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc on this system")
@pytest.mark.parametrize("name", STORES)
def test_nothing_secret_is_in_the_process_list_of_an_export(
    cli: Cli, profile: MakeProfile, name: str
) -> None:
    backup, _ = given(cli)
    fifo = cli.folder / "fifo"
    os.mkfifo(fifo)
    process = cli.start(
        *("export", "--profile", profile(name), "--password-file", backup, "-o", "a.pfx"),
        *("--primary-password-file", fifo),
    )
    with process:
        # It has read the backup password and the certificates, and waits for the other password.
        with open(open_for_reader(fifo, process), "wb") as end:  # noqa: PTH123 - a descriptor
            seen = [process_list(process.pid)]
            end.write(f"{PRIMARY}\n".encode())
        while process.poll() is None:
            seen.append(process_list(process.pid))
            assert_clean(name, "the temporary files", *_files_now(cli.temporary))
        result = finish(process)
    assert result.status == 0, result.stderr
    assert seen[0]
    assert_clean(name, "the process list", *seen)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this system")
@pytest.mark.parametrize(
    ("with_", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
@pytest.mark.parametrize("writing", [False, True])
def test_nothing_secret_is_in_an_interrupted_export(
    cli: Cli, profile: MakeProfile, with_: signal.Signals, status: int, *, writing: bool
) -> None:
    name = "nss387-password"
    backup, _ = given(cli)
    fifo = cli.folder / "fifo"
    os.mkfifo(fifo)
    words = ("export", "-v", "--profile", profile(name), "--password-file", backup)
    with cli.start(*words, "--primary-password-file", fifo) as process:
        with open(open_for_reader(fifo, process), "wb") as end:  # noqa: PTH123 - a descriptor
            if writing:
                end.write(f"{PRIMARY}\n".encode())
            else:  # and if Python didn't hear it, as it began to read just then: there is an end
                process.send_signal(with_)
        if writing:
            # With all rounds, it is written in a moment and then verified for a while.
            while not _holds_open(process.pid, cli.here):
                assert process.poll() is None
            process.send_signal(with_)
        result = finish(process)
    assert result.status == status, result
    assert [path for path in cli.here.iterdir() if path.suffix == ".pfx"] == []
    assert_clean(name, "the output", result.stdout, result.stderr)
    assert_clean(name, "what is left", *files_in(cli.temporary), *files_in(cli.here))


def test_nothing_secret_is_in_a_conversation(cli: Cli, profile: MakeProfile) -> None:
    name = "nss387-password"
    talk = cli.talk(
        *("export", "-v", "--profile", profile(name), "-o", "a.pfx", *FAST),
        answers=[
            ("Primary password of", f"{WRONG}\n"),
            ("Wrong. Primary password of", f"{PRIMARY}\n"),
            ("New password", f"{BACKUP}\n"),
            ("The same again", f"{BACKUP}\n"),
        ],
    )
    assert talk.status == 0
    assert_clean(name, "the terminal", talk.transcript)


def process_list(pid: int) -> bytes:
    """What is shown of a process: its arguments, and its environment."""
    shown = b""
    for name in ("cmdline", "environ"):
        with suppress(OSError):  # it has ended, or root alone may look
            shown += Path(f"/proc/{pid}/{name}").read_bytes()
    return shown


def _holds_open(pid: int, folder: Path) -> bool:
    """Whether a process has a file in a folder open, with a name or without."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed in between
            if str(link.readlink()).startswith(f"{folder}/"):
                return True
    return False


def _files_now(folder: Path) -> list[bytes]:
    try:
        return list(files_in(folder))
    except OSError:  # gone between the listing and the reading
        return []


# --- the values themselves


@pytest.fixture
def values(profile: MakeProfile, tmp_path: Path) -> list[object]:
    """Every value of the library that holds a secret."""
    (found,) = resolve_profiles([str(profile("nss387-password"))])
    (identity, *_) = take_inventory([found]).identities
    key = read_key(identity, "auto", lambda _profile, _attempt: Secret(PRIMARY))
    secret = Secret(BACKUP)
    pfx_writers = PfxWriters.start(secret, (MODERN,), 2048)
    expected = Expected(entries_of([(identity, key)]), MODERN, 2048)
    report = ExportReport(identity, (), secret)
    writer = pfx_writers.by_format[MODERN]
    assert len(writer.encode(identity, key)) > 0
    pfx = tmp_path / "a.pfx"
    pfx.write_bytes(
        PfxWriters.start(secret, (MODERN,), 2048).by_format[MODERN].encode(identity, key)
    )
    from nssbackup.pkcs12 import open_pfx

    contents = open_pfx(pfx.read_bytes(), secret)
    return [secret, key, pfx_writers, writer, expected, report, contents, contents.keys]


def test_no_value_shows_its_secret(values: list[object]) -> None:
    for value in values:
        shown = (
            repr(value),
            str(value),
            f"{value}",
            f"{value!s:>40}",
            f"{[value]}",
        )
        assert_clean("nss387-password", type(value).__name__, *shown)
        key = load_pem_private_key((KEYS / "nss387-password-1.pem").read_bytes(), None)
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        for text in shown:
            assert repr(der[40:60])[2:-1] not in text


def test_no_value_with_a_secret_can_be_pickled_or_copied(values: list[object]) -> None:
    for value in values:
        with pytest.raises(TypeError):
            pickle.dumps(value)
        with pytest.raises(TypeError):
            copy.deepcopy(value)


def test_a_traceback_through_a_secret_shows_none(values: list[object]) -> None:
    def fail(value: object) -> None:
        message = f"a fault with {value}"
        raise ValueError(message)

    for value in values:
        with pytest.raises(ValueError, match="a fault") as caught:
            fail(value)
        lines = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert_clean("nss387-password", "a traceback", "".join(lines.format()))


def test_secrets_are_equal_only_to_themselves() -> None:
    one, other = Secret("same"), Secret("same")
    assert one != other
    assert one == one  # noqa: PLR0124 - the claim
    assert one.reveal() == other.reveal()
    assert bool(one)
    assert not Secret("")


def test_replacing_a_field_keeps_the_secret_hidden(values: list[object]) -> None:
    report = next(value for value in values if isinstance(value, ExportReport))
    assert BACKUP not in repr(replace(report, files=()))
