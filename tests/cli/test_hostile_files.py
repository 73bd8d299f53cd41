"""Whatever lies where a file should: no command waits for it, reads it without end, or breaks.

What single parsers do with such files is tested with them (tests/unit, tests/fuzz). Here each
command meets some of them; with `--every-fault` all.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests import PROFILES
from tests.builders.homes import JANE, add_home, profile_in
from tests.cli.runner import FAST, Cli, names
from tests.conftest import SnapshotOf

LEGACY = "legacy-nopassword"
EXISTS = "existing.pfx"


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()
    (path / "x").touch()


def bound_socket(path: Path) -> None:
    # The path of a socket has 108 bytes at most.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def full(path: Path) -> None:
    path.symlink_to("/dev/full")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def hole(path: Path) -> None:
    """As large as may be, and nothing in it."""
    path.touch()
    os.truncate(path, 1 << 20)


def empty(path: Path) -> None:
    path.touch()


Kind = Callable[[Path], None]
STRANGE: tuple[Kind, ...] = (fifo, folder, bound_socket, dangling, circle, zeros, full, sparse)
KINDS: tuple[Kind, ...] = (*STRANGE, hole)
DATABASES = ("cert9.db", "key4.db", "cert9.db-journal", "key4.db-wal", "cert8.db", "key3.db")


# Pipes are what passwords and tables may well come from; they are waited for, as by any program.
UNWAITED = tuple(kind for kind in KINDS if kind is not fifo)

CASES: dict[str, Sequence[Kind]] = {
    "test_in_the_place_of_a_backup": KINDS,
    "test_in_the_place_of_a_store_to_restore_to": STRANGE,
    "test_in_the_place_of_a_password": UNWAITED,
    "test_in_the_place_of_a_certificate": (*KINDS, empty),
    "test_in_the_place_of_a_table": UNWAITED,
    "test_a_batch_goes_on_beside_it": STRANGE,
    "test_in_the_place_of_what_a_batch_left": (*STRANGE, empty),
    "test_in_the_place_of_a_list": STRANGE,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What lies where: all of it with `--every-fault`, else a share in which each occurs."""
    every = metafunc.config.getoption("--every-fault")
    if "name" in metafunc.fixturenames:
        pairs = [(name, kind) for name in DATABASES for kind in KINDS]
        metafunc.parametrize(("name", "kind"), pairs if every else pairs[::7])
    elif "kind" in metafunc.fixturenames:
        place = list(CASES).index(metafunc.function.__name__)
        kinds = CASES[metafunc.function.__name__]
        metafunc.parametrize("kind", kinds if every else kinds[place % 4 :: 4])


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(tmp_path_factory.mktemp("user"))


@pytest.fixture
def user(cli: Cli) -> Iterator[Cli]:
    """The user with an empty current folder, in which nothing may be left."""
    for made in (cli.home, cli.here):
        shutil.rmtree(made)
        made.mkdir()
    cli.password_file()
    yield cli
    assert names(cli.temporary) == []


def test_in_the_place_of_a_database(
    user: Cli, snapshot_of: SnapshotOf, tmp_path: Path, name: str, kind: Kind
) -> None:
    profile = tmp_path / "profile"
    shutil.copytree(PROFILES / (LEGACY if name in ("cert8.db", "key3.db") else JANE), profile)
    (profile / name).unlink(missing_ok=True)
    kind(profile / name)
    before = snapshot_of(profile)
    chosen = ("--profile", profile, "--json")
    password = ("--password-file", user.folder / "password")
    # A journal of zeros is none to SQLite.
    harmless = (kind is hole and "-" in name) or (kind is dangling and "-" in name)
    expected = (0,) if harmless else (11,)
    user.run("list", *chosen).behaved(*expected)
    user.run("doctor", *chosen).behaved(*expected, *((20, 22) if harmless else ()))
    user.run("export", *chosen, *password, *FAST, "-o", "x").behaved(*expected)
    user.run("profiles", "--json").behaved(10)
    assert snapshot_of(profile) == before
    assert names(user.here) == (["x.pfx"] if harmless else [])


@pytest.fixture(scope="module")
def backup(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    password = cli.password_file()
    made = tmp_path_factory.mktemp("backup") / "made.pfx"
    given = ("--profile", PROFILES / JANE, "--password-file", password, *FAST)
    cli.run("export", *given, "-o", made).behaved(0)
    return made


def test_in_the_place_of_a_backup(user: Cli, tmp_path: Path, kind: Kind) -> None:
    password = ("--password-file", user.folder / "password", "--json")
    shutil.copytree(PROFILES / JANE, tmp_path / "profile")
    path = tmp_path / "strange.pfx"
    kind(path)
    user.run("verify", path, *password).behaved(32)
    user.run("restore", path, *password, "--profile", tmp_path / "profile").behaved(32)
    old = ("--old-password-file", user.folder / "password")
    user.run("repassword", path, *old, *password, *FAST, "-o", "new").behaved(32)
    assert names(user.here) == []


def test_in_the_place_of_a_store_to_restore_to(
    user: Cli, backup: Path, snapshot_of: SnapshotOf, tmp_path: Path, kind: Kind
) -> None:
    profile = tmp_path / "profile"
    for name in ("cert9.db", "key4.db"):
        shutil.rmtree(profile, ignore_errors=True)
        shutil.copytree(PROFILES / JANE, profile)
        (profile / name).unlink()
        kind(profile / name)
        before = snapshot_of(profile)
        given = ("--password-file", user.folder / "password", "--profile", profile, "--json")
        user.run("restore", backup, *given).behaved(11, 40)
        assert snapshot_of(profile) == before


def test_in_the_place_of_a_password(user: Cli, backup: Path, tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "password"
    kind(path)
    user.run("verify", backup, "--password-file", path, "--json").behaved(2)
    chosen = ("export", "--profile", PROFILES / JANE, "--json", "-o", "x", *FAST)
    user.run(*chosen, "--password-file", path).behaved(2)
    locked = ("export", "--profile", PROFILES / "nss387-password", "--json", "-o", "x", *FAST)
    good = ("--password-file", user.folder / "password")
    user.run(*locked, *good, "--primary-password-file", path).behaved(2)
    old = ("--old-password-file", path)
    user.run("repassword", backup, *old, *good, *FAST, "-o", "new", "--json").behaved(2)
    assert names(user.here) == []


def test_in_the_place_of_a_certificate(user: Cli, tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "certificate.pem"
    kind(path)
    good = ("--password-file", user.folder / "password")
    given = ("--profile", PROFILES / JANE, *good, "-o", "x", *FAST, "--json")
    user.run("export", "--certificate", path, *given).behaved(2)
    assert names(user.here) == []


def test_in_the_place_of_a_table(user: Cli, tmp_path: Path, kind: Kind) -> None:
    home = add_home(tmp_path, "jane", JANE)
    path = tmp_path / "table.csv"
    kind(path)
    batch = ("batch", "--home", home, "-o", tmp_path / "backups", "--json")
    user.run(*batch, "--passwords", path).behaved(2)
    user.run(*batch, "--generate-passwords", "--primary-passwords", path).behaved(2)
    user.run(*batch, "--generate-passwords", "--escrow-cert", path).behaved(2)


def test_a_batch_goes_on_beside_it(
    user: Cli, snapshot_of: SnapshotOf, tmp_path: Path, kind: Kind
) -> None:
    """A home with something strange in every place, beside one that is as it should be."""
    homes = tmp_path / "homes"
    add_home(homes, "jane", JANE)
    add_home(homes, "eve", JANE, JANE)
    profile = profile_in(homes / "eve")
    (profile / "key4.db").unlink()
    for path in (
        *(profile / name for name in ("key4.db", "cert8.db", "prefs.js", "pkcs11.txt", "lock")),
        *(profile.parent / name for name in ("installs.ini", "Profile Groups")),
        homes / "eve/.config",
        homes / "eve/snap",
    ):
        kind(path)
    before = snapshot_of(profile)
    out = tmp_path / "backups"
    done = user.run("batch", "--homes", homes, "-o", out, "--generate-passwords", "--json")
    done.behaved(3)
    by_user = {(item["user"], item["status"]) for item in done.document["items"]}
    assert ("jane", "backed-up") in by_user
    assert ("eve", "backed-up") in by_user
    assert snapshot_of(profile) == before


def test_in_the_place_of_what_a_batch_left(user: Cli, tmp_path: Path, kind: Kind) -> None:
    home, out = add_home(tmp_path, "jane", JANE), tmp_path / "backups"
    batch = ("batch", "--home", home, "-o", out, "--generate-passwords", "--json")
    user.run(*batch).behaved(0)
    (state,) = out.glob(".nssbackup/*.json")
    state.unlink()
    kind(state)
    # A file is done anew, and a folder can't be replaced by one. Nothing else belongs there.
    found = stat.S_IFMT(state.lstat().st_mode)
    user.run(*batch).behaved({stat.S_IFREG: 0, stat.S_IFDIR: 3}.get(found, 31))


def test_in_the_place_of_a_list(user: Cli, kind: Kind) -> None:
    root = user.home / ".mozilla/firefox"
    shutil.copytree(PROFILES / JANE, root / "ab12.default")
    for name in ("profiles.ini", "installs.ini", "Profile Groups"):
        kind(root / name)
    shown = user.run("list", "--json")
    shown.behaved(0)
    assert len(shown.document["identities"]) == 1
    user.run("profiles", "--json").behaved(0)
    user.run("doctor", "--json").behaved(0)
