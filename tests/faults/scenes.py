"""Scenes: a user, a command that writes, and how to tell whether it was done, or not at all."""

from __future__ import annotations

import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from nssbackup.errors import NoStoreError, NssBackupError
from nssbackup.identity.model import Profile
from nssbackup.pkcs12 import open_pfx
from nssbackup.secret import Secret
from nssbackup.stores import open_store
from tests import FIXTURES
from tests.cli.runner import FAST, Cli
from tests.peers.exports import exported
from tests.peers.faults import Warm
from tests.peers.restores import BACKUP_PASSWORD, identity_of, password_of

State = tuple[Any, ...]
"""What a command was to change, as far as it is there."""

CASE = "nss387-password"
NEW_PASSWORD = "Backup-Pass-4711-ärger"
OLD_NAME, NEW_NAME = "old.pfx", "new.pfx"


class Scene(ABC):
    """A command and its surroundings, laid out anew as often as needed."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.cli = Cli(folder)
        self.password = self.cli.file("password-file", f"{NEW_PASSWORD}\n")
        self.old_password = self.cli.file("old-password-file", f"{BACKUP_PASSWORD}\n")
        self.primary = self.cli.file("primary-file", f"{password_of(CASE)}\n")

    @property
    def profile(self) -> Path:
        """The folder of the profile."""
        return self.cli.home / "profile"

    @property
    def folders(self) -> tuple[Path, ...]:
        """What is below them is touched by the command."""
        return (
            *(self.cli.home, self.cli.here, self.cli.temporary),
            *(self.password, self.old_password, self.primary),
        )

    def warm(self, *, reads: bool) -> Warm:
        """A process that the command can be forked from, and that has learned it."""
        return Warm(
            self.folders, self.cli.here, self.cli.variables(), self.cli.folder / "log", reads
        )

    def lay(self) -> None:
        """All as it is before, and nothing else."""
        for folder in (self.cli.home, self.cli.here, self.cli.temporary):
            for entry in folder.iterdir():
                if stat.S_ISDIR(entry.lstat().st_mode):
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        self.fill()

    @abstractmethod
    def fill(self) -> None:
        """Put there what the command needs."""

    @property
    @abstractmethod
    def words(self) -> tuple[str | Path, ...]:
        """The command."""

    @abstractmethod
    def state(self) -> State:
        """What is there; anything in between is an error."""

    @property
    @abstractmethod
    def statuses(self) -> frozenset[int]:
        """How it may end when the operating system refuses it something."""

    def leftovers(self) -> list[Path]:
        """The files that are there and are neither what was laid nor the command's results."""
        known = self.known()
        # Python tries a folder for temporary files out by writing "blat" to a file in it.
        return [
            path
            for path in self._files()
            if path not in known and not b"blat".startswith(path.read_bytes())
        ]

    @abstractmethod
    def known(self) -> set[Path]:
        """The files that may be there at the end."""

    def secrets(self) -> list[str]:
        """Which files hold a secret in the clear, or one that has no business there."""
        return [
            f"{path}: {kind}"
            for path in self._files()
            if path not in (self.password, self.old_password, self.primary)
            for kind in _secrets_in(path.read_bytes())
        ]

    def _files(self) -> Iterator[Path]:
        for folder in (self.cli.home, self.cli.here, self.cli.temporary):
            for path in folder.rglob("*"):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


def _secrets_in(data: bytes) -> Iterator[str]:
    for password in (NEW_PASSWORD, BACKUP_PASSWORD, password_of(CASE)):
        for encoding in ("utf-8", "utf-16-be", "utf-16-le"):
            if password.encode(encoding) in data:
                yield "a password"
    for part in _key_parts(CASE):
        if part in data:
            yield "a part of the key"


@cache
def _key_parts(case: str) -> tuple[bytes, ...]:
    key = load_pem_private_key((FIXTURES / "keys" / f"{case}-1.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    secret = (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    # The middle of each will do, and is the same however the number is padded.
    return tuple(number.to_bytes((number.bit_length() + 7) // 8, "big")[8:24] for number in secret)


@cache
def _opened(data: bytes, password: str) -> str | None:
    """The fingerprint of the identity in a PFX; None where the password does not open it."""
    try:
        contents = open_pfx(data, Secret(password))
    except NssBackupError:
        return None
    assert contents.key is not None
    return contents.identity.certificate.sha256 if contents.identity else None


class _Writing(Scene):
    """A command that makes a PFX."""

    statuses = frozenset({2, 10, 11, 20, 22, 31, 32})

    def state(self) -> State:
        """Each file with a final name: which password opens it."""
        return tuple(
            (path.name, _password_of(path.read_bytes()), stat.S_IMODE(path.stat().st_mode))
            for path in sorted(self.cli.here.iterdir())
            if path.name in (OLD_NAME, NEW_NAME)
        )

    def known(self) -> set[Path]:
        """See `Scene`."""
        return {self.cli.here / OLD_NAME, self.cli.here / NEW_NAME, *self.given()}

    def given(self) -> set[Path]:
        """The files that were laid besides."""
        return {self.profile / name for name in ("cert9.db", "key4.db")}


def _password_of(data: bytes) -> str:
    for name, password in (("new", NEW_PASSWORD), ("old", BACKUP_PASSWORD)):
        if _opened(data, password) == identity_of(CASE).fingerprint:
            return name
    return "none"


class Export(_Writing):
    """`export` to a new file."""

    name = "export"

    def fill(self) -> None:
        self.profile.mkdir()
        for name in ("cert9.db", "key4.db"):
            shutil.copy(FIXTURES / "profiles" / CASE / name, self.profile)

    @property
    def words(self) -> tuple[str | Path, ...]:
        return (
            *("export", "--profile", self.profile, "-o", NEW_NAME, "--json", *FAST),
            *("--password-file", self.password, "--primary-password-file", self.primary),
        )


class ExportOver(Export):
    """`export --force` in the place of an older backup."""

    name = "export --force"

    def fill(self) -> None:
        super().fill()
        _lay_backup(self.cli.here / NEW_NAME)

    @property
    def words(self) -> tuple[str | Path, ...]:
        return (*super().words, "--force")


class Repassword(_Writing):
    """`repassword` to a new file."""

    name = "repassword"

    def fill(self) -> None:
        _lay_backup(self.cli.here / OLD_NAME)

    def given(self) -> set[Path]:
        return set()

    @property
    def words(self) -> tuple[str | Path, ...]:
        return (
            *("repassword", OLD_NAME, "-o", NEW_NAME, "--json", *FAST),
            *("--password-file", self.password, "--old-password-file", self.old_password),
        )


class RepasswordInPlace(Repassword):
    """`repassword --force` of the file itself."""

    name = "repassword --force"

    @property
    def words(self) -> tuple[str | Path, ...]:
        return (
            *("repassword", OLD_NAME, "--force", "--json", *FAST),
            *("--password-file", self.password, "--old-password-file", self.old_password),
        )


def _lay_backup(path: Path) -> None:
    shutil.copy(exported(identity_of(CASE), BACKUP_PASSWORD, "modern"), path)
    path.chmod(0o600)


class Restore(Scene):
    """`restore` into a profile.

    Args:
        folder: of the scene.
        case: the fixture that the profile is made of, `no-databases`, or `cert9-alone`.
        identity: the fixture whose identity is restored.
    """

    name = "restore"
    statuses = frozenset({2, 10, 11, 12, 32, 40})

    def __init__(
        self, folder: Path, case: str = "nss387-password-unicode", identity: str = "chain3"
    ) -> None:
        super().__init__(folder)
        self.case = case
        self.expected = identity_of(identity)
        self.cli.file("primary-file", f"{password_of(case)}\n")

    def fill(self) -> None:
        self.profile.mkdir()
        names = {"no-databases": (), "cert9-alone": ("cert9.db",)}.get(
            self.case, ("cert9.db", "key4.db")
        )
        source = "nss387-nopassword" if self.case == "cert9-alone" else self.case
        for name in names:
            shutil.copy(FIXTURES / "profiles" / source / name, self.profile)
        shutil.copy(exported(self.expected, BACKUP_PASSWORD, "modern"), self.cli.here / OLD_NAME)

    @property
    def words(self) -> tuple[str | Path, ...]:
        return (
            *("restore", OLD_NAME, "--profile", self.profile, "--json"),
            *("--password-file", self.old_password, "--primary-password-file", self.primary),
        )

    def state(self) -> State:
        """The certificates, and those whose key can be taken out, as our reader sees them.

        It changes nothing.
        """
        profile = Profile(self.profile, "profile", "Firefox", store="sqlite")
        before = self.bytes()
        try:
            with open_store(profile, "native") as store:
                there = (self.profile / "key4.db").exists()
                store.unlock(Secret(password_of(self.case) if there else ""))
                every = store.certificates()
                mine = [one for one in every if one.has_private_key]
                for one in mine:
                    store.private_key(one)
                return (
                    frozenset(one.sha256 for one in every),
                    frozenset(one.sha256 for one in mine),
                )
        except NoStoreError:
            return frozenset(), frozenset()
        finally:
            assert self.bytes() == before

    def known(self) -> set[Path]:
        kept = {
            path for folder in self.profile.glob("nssbackup-before-*") for path in folder.iterdir()
        }
        laid = {self.profile / name for name in ("cert9.db", "key4.db")}
        return {self.cli.here / OLD_NAME, *laid, *kept}

    def bytes(self) -> dict[str, bytes]:
        """Every file of the profile."""
        return {
            str(path.relative_to(self.profile)): path.read_bytes()
            for path in self.profile.rglob("*")
            if path.is_file()
        }


class RestoreFresh(Restore):
    """`restore` into a profile that has no databases yet."""

    name = "restore to a fresh profile"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "no-databases")


SCENES: tuple[type[Scene], ...] = (
    *(Export, ExportOver, Repassword, RepasswordInPlace),
    *(Restore, RestoreFresh),
)
