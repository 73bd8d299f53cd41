"""A building for two nights: somebody of every kind that a batch may meet.

`python -m tests.builders.building FOLDER` leaves the homes, the backups and the report of the
second night in a folder, to be looked at.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import PROFILES, is_root
from tests.builders.homes import JANE, LOCKED, PRIMARY, add_home, profile_in
from tests.builders.store import StoreBuilder, ec_key, issue, rsa_key

NOBODY = 47_003  # somebody else's number
FIREFOX = ".mozilla/firefox"

Change = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Resident:
    """A home, what the report says of it on the first night, and on the second.

    Attributes:
        user: the name of the home.
        first: its status; None if it is not in the report.
        make: fills it.
        second: its status on the second night, if it is another one.
        change: what happens to it in between.
    """

    user: str
    first: str | None
    make: Change
    second: str | None = ""
    change: Change | None = None

    @property
    def later(self) -> str | None:
        """Its status on the second night."""
        return self.first if self.second == "" else self.second


def profiles(*fixtures: str, platform: str = "linux") -> Change:
    """Profiles that are copies of fixtures."""

    def make(home: Path) -> None:
        add_home(home.parent, home.name, *fixtures, platform=platform)

    return make


def copied(fixture: str, place: str) -> Change:
    """A profile in a place of the home."""

    def make(home: Path) -> None:
        shutil.copytree(PROFILES / fixture, home / place)

    return make


def exchanged(fixture: str) -> Change:
    """Another profile in the place of the one that was there."""

    def change(home: Path) -> None:
        shutil.rmtree(profile_in(home))
        shutil.copytree(PROFILES / fixture, profile_in(home))

    return change


def databases(data: bytes | None, *names: str) -> Change:
    """A profile whose databases are cut in half, or hold something else."""

    def make(home: Path) -> None:
        add_home(home.parent, home.name, JANE)
        for name in names or ("cert9.db", "key4.db"):
            path = profile_in(home) / name
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2] if data is None else data)

    return make


def ending(days: int) -> Change:
    """A certificate that ends in so many days."""

    def make(home: Path) -> None:
        store = StoreBuilder(home / FIREFOX / "a.default", "")
        key = rsa_key(4)
        name = f"{home.name.capitalize()} Ends-Soon"
        store.add_identity(key, issue(key, name, "WIPO", by=ec_key(9), days=(-300, days)))
        store.write()

    return make


def listed(*folders: str) -> Change:
    """A profile, and a list that names folders outside the home as well."""

    def make(home: Path) -> None:
        add_home(home.parent, home.name, JANE)
        with (home / FIREFOX / "profiles.ini").open("a") as file:
            for number, folder in enumerate(folders, 1):
                file.write(f"\n[Profile{number}]\nIsRelative=0\nPath={folder}\n")

    return make


def linked(place: str) -> Change:
    """A profile, a part of whose path is a link out of the home."""

    def make(home: Path) -> None:
        add_home(home.parent, home.name, JANE)
        elsewhere = home.parent.with_name("elsewhere") / home.name
        elsewhere.parent.mkdir(exist_ok=True)
        (home / place).rename(elsewhere)
        (home / place).symlink_to(elsewhere)

    return make


def chain_of_links(home: Path) -> None:
    """1,500 links, each to the next."""
    home.mkdir()
    for number in range(1_500):
        (home / f"link{number}").symlink_to(f"link{number + 1}")
    (home / ".mozilla").symlink_to("link0")


def fifo(home: Path) -> None:
    """A pipe in the place of a database: reading it would wait for ever."""
    add_home(home.parent, home.name, JANE)
    (profile_in(home) / "key4.db").unlink()
    os.mkfifo(profile_in(home) / "key4.db")


def closed(home: Path) -> None:
    """Profiles that their own owner can't look into."""
    add_home(home.parent, home.name, JANE)
    if is_root():
        for path in (home, *home.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    (home / ".mozilla").chmod(0)


def file_lost(home: Path) -> None:
    """The backup of a user is deleted."""
    for path in (home.parent.with_name("backups") / home.name).glob("*.pfx"):
        path.unlink()


def file_changed(home: Path) -> None:
    """The backup of a user is overwritten."""
    for path in (home.parent.with_name("backups") / home.name).glob("*.pfx"):
        path.write_bytes(b"not what it was")


def nothing(home: Path) -> None:
    """A home with a document in it."""
    home.mkdir()
    (home / "letter.txt").write_text("Dear all,")


DONE, NONE, ENDED, FAILED, GONE = "backed-up", "no-certificate", "expired", "failed", "gone"

RESIDENTS = (
    # Those with a certificate, wherever and in whatever it is.
    Resident("anna", DONE, profiles(JANE)),
    Resident("ben", DONE, profiles(JANE, platform="darwin")),
    Resident("cleo", DONE, profiles(JANE, platform="win32")),
    Resident("dora", DONE, profiles("legacy-nopassword")),
    Resident("emil", DONE, copied(JANE, f"snap/firefox/common/{FIREFOX}/a.default")),
    Resident("frida", DONE, copied(JANE, f".var/app/org.mozilla.firefox/{FIREFOX}/a.default")),
    Resident("gerd", DONE, copied(JANE, ".thunderbird/mail.default")),
    Resident("hana", DONE, copied(JANE, "Desktop/Old Firefox Data/a.default")),
    Resident("ivo.V6", DONE, profiles("nss3110-nopassword", platform="win32")),
    Resident("jana", DONE, profiles("two-people")),
    Resident("kai", DONE, profiles(JANE, "chain3", "foreign-only")),
    Resident("lea", DONE, profiles("rsa4096")),
    Resident("max", DONE, profiles("ec-p521")),
    Resident("nina", DONE, profiles("chain-incomplete")),
    Resident("olaf", DONE, profiles("renewed")),
    Resident("pia", DONE, profiles("foreign-and-wipo")),
    Resident("quin", DONE, ending(12)),
    Resident("rosa", DONE, ending(25)),
    Resident("=cmd|' C calc'!A0", DONE, profiles(JANE)),
    Resident("Zo\u00eb \u65e5\u672c", DONE, profiles(JANE)),
    Resident(os.fsdecode(b"j\xe4ne\n"), DONE, profiles(JANE)),
    Resident("w" * 100, DONE, profiles(JANE)),
    Resident("sven", DONE, listed("/srv/elsewhere", "/srv/there")),
    # Those without one.
    Resident("tara", NONE, nothing),
    Resident("ulla", NONE, profiles("foreign-only")),
    Resident("vera", NONE, profiles("certificate-without-key")),
    Resident("wim", NONE, profiles("key-without-certificate")),
    Resident("xena", NONE, lambda home: (home / FIREFOX / "a.default").mkdir(parents=True)),
    Resident("yann", ENDED, profiles("expired")),
    # Those that fail, each for a reason of its own.
    Resident("zita", FAILED, profiles(LOCKED)),
    Resident("adam", FAILED, profiles("nss387-password-unicode")),
    Resident("bea", FAILED, databases(b"no database" * 100)),
    Resident("carl", FAILED, databases(None)),
    Resident("dirk", FAILED, databases(bytes(4096))),
    Resident("elsa", FAILED, databases(b"", "key4.db")),
    Resident("finn", FAILED, linked(f"{FIREFOX}/00000000.p0")),
    Resident("gina", FAILED, linked(".mozilla")),
    Resident("hugo", FAILED, chain_of_links),
    Resident("ida", FAILED, fifo),
    # Those to whom something happens.
    Resident("jim", FAILED, closed, DONE, lambda home: (home / ".mozilla").chmod(0o700)),
    Resident("kim", FAILED, databases(b"x"), DONE, exchanged(JANE)),
    Resident("leo", ENDED, profiles("expired"), DONE, exchanged("renewed")),
    Resident("mona", NONE, profiles("foreign-only"), DONE, exchanged(JANE)),
    Resident("nils", DONE, profiles(JANE), GONE, exchanged("foreign-only")),
    Resident("otto", DONE, profiles(JANE), GONE, exchanged("certificate-without-key")),
    Resident("paul", DONE, profiles(JANE), GONE, lambda home: shutil.rmtree(home / ".mozilla")),
    Resident("rita", DONE, profiles(JANE), GONE, shutil.rmtree),
    Resident("sara", DONE, profiles(JANE), FAILED, lambda home: databases(b"x")(_emptied(home))),
    Resident("tim", DONE, profiles(JANE), DONE, file_lost),
    Resident("uma", DONE, profiles(JANE), DONE, file_changed),
    Resident("vic", None, lambda _: None, DONE, profiles(JANE)),
    Resident("zelda", FAILED, profiles(LOCKED), DONE, lambda _: None),
    Resident("excluded", None, profiles(JANE)),
)
REPAIRED = {"tim", "uma"}
"""Those whose backup has to be made again on the second night."""


def _emptied(home: Path) -> Path:
    shutil.rmtree(home)
    return home


def build(folder: Path) -> Path:
    """Make the homes of the first day; return the folder that they are in."""
    homes = folder / "homes"
    homes.mkdir()
    for one in RESIDENTS:
        one.make(homes / one.user)
    return homes


def next_day(homes: Path) -> None:
    """Let happen what happens between the nights."""
    for one in RESIDENTS:
        if one.change is not None:
            one.change(homes / one.user)


def words_of_the_night(folder: Path, *, second: bool) -> list[str | Path]:
    """Return the command of a night; for the second, a password is known that was not before."""
    words: list[str | Path] = ["batch", "--homes", folder / "homes", "-o", folder / "backups"]
    words += ["--exclude", "excluded", "--expiring", "30", "--host", "building-7"]
    words += ["--escrow-cert", folder / "it.der"]
    if second:
        table = folder / "primary.csv"
        table.write_text(f"user;password\nzelda;{PRIMARY}\n")
        table.chmod(0o600)
        words += ["--primary-passwords", table]
    return words


def escrow(folder: Path) -> bytes:
    """Write the certificate of the IT department, whose key is `rsa_key(5)`; return it."""
    der = issue(rsa_key(5), "IT")
    (folder / "it.der").write_bytes(der)
    return der


def main(folder: Path) -> None:
    """Build, and let two nights pass."""
    folder.mkdir(mode=0o755)
    homes = build(folder)
    escrow(folder)
    for second in (False, True):
        if second:
            next_day(homes)
        words = map(str, words_of_the_night(folder, second=second))
        subprocess.run([sys.executable, "-m", "nssbackup", *words], check=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
