"""Restores of our exports into stores of every origin, for the peers to look at."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import store_in
from nssbackup.restore.restore import RestoreDialogue, RestoreReport, restore_backup
from nssbackup.restore.staging import RestoreOptions
from nssbackup.secret import Secret
from nssbackup.stores import EngineName
from tests import FIXTURES
from tests.peers.exports import PASSWORDS, Expected, exportable, exported
from tests.peers.nss import Nss, available

ENGINES: tuple[EngineName, ...] = ("native", "nss")
BACKUP_PASSWORD = PASSWORDS["umlaut"]


@functools.cache
def identity_of(case: str) -> Expected:
    """The identity of a fixture; its valid one, where there are several."""
    found = [each for each in exportable() if each.case == case]
    facts = _index()[case]["identities"]
    valid = {one["fingerprint"] for one in facts if one["status"] == "valid" and one["wipo"]}
    return next((each for each in found if each.fingerprint in valid), found[0])


@functools.cache
def _index() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = json.loads((FIXTURES / "profiles.json").read_text("utf-8"))
    return dict(loaded["profiles"])


def password_of(case: str) -> str:
    """The primary password of a fixture."""
    return str(_index()[case]["password"] or "") if case in _index() else ""


@dataclass(frozen=True, slots=True)
class Target:
    """A profile to restore to: of a fixture, or without databases; and what is done to it first."""

    name: str
    case: str | None
    prepare: Callable[[Path], object] = lambda _: None
    own: bool = False
    """Whether it is made of the fixture of the identity itself."""

    def __str__(self) -> str:
        return self.name

    def make(self, folder: Path, expected: Expected) -> tuple[Path, str]:
        """The profile's folder, and its primary password."""
        case = expected.case if self.own else self.case
        if case is None:
            folder.mkdir(parents=True)
            return folder, ""
        shutil.copytree(FIXTURES / "profiles" / case, folder)
        self.prepare(folder)
        return folder, password_of(case) if (folder / "key4.db").exists() else ""


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


TARGETS = {
    each.name: each
    for each in (
        Target("no-databases", None),
        *(
            Target(case, case)
            for case in (
                *("firefox-nopassword", "firefox-password", "firefox-password-unicode"),
                *("nss387-nopassword", "nss387-password-unicode", "nss3110-password"),
                *("tripledes", "tripledes-password", "two-people"),
            )
        ),
        # What a refresh leaves, after which cert9.db is new: the key without its certificate.
        Target("key-alone", None, _without("cert9.db"), own=True),
        Target("certificate-alone", None, _without("key4.db"), own=True),
    )
}


def restore(
    expected: Expected,
    folder: Path,
    primary: str = "",
    engine: EngineName = "native",
    *,
    trust_ca: bool = False,
    nickname: str | None = None,
) -> RestoreReport:
    """Restore our export of a fixture's identity to the profile in a folder."""
    return restore_backup(
        exported(expected, BACKUP_PASSWORD, "modern"),
        Profile(folder, "target", "Firefox", store=store_in(folder)),
        RestoreOptions(engine=engine, trust_ca=trust_ca, nickname=nickname),
        RestoreDialogue(
            lambda _, attempt: None if attempt else Secret(BACKUP_PASSWORD),
            lambda _, attempt: None if attempt else Secret(primary),
        ),
    )


def toolkits() -> list[Nss]:
    """The tools of each NSS, and those of the newest once more with Firefox's own libraries."""
    found = available()
    place = shutil.which("firefox-esr")
    newest = next((each for each in reversed(found) if each.lib is not None), None)
    if place is not None and newest is not None:
        libraries = Path(place).resolve().parent
        found.append(Nss("firefox", "of Firefox", newest.bin, libraries))
    return found


def reads_sha384(nss: Nss) -> bool:
    """Whether an NSS knows the passwords that a current Firefox sets (since NSS 3.118)."""
    return nss.release == "firefox"
