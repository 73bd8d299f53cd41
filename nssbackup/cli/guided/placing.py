"""Placing: the questions where a backup goes, and where its second copy."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from nssbackup.backups.writing import PFX_ENDINGS, default_name, with_ending
from nssbackup.cli.guided.places import Kind, Place, backup_places, connected_drives, current_folder
from nssbackup.cli.guided.questions import agreed, pick
from nssbackup.cli.output import Output
from nssbackup.errors import NssBackupError
from nssbackup.identity.model import Identity
from nssbackup.pkcs12 import Destination, destination_named
from nssbackup.system.files import check_writable

_SECOND_COPY = (
    "If this computer is lost or breaks, only a copy kept elsewhere, such as on a USB drive, saves",
    "the certificate: its issuer does not have your private key.",
)
# WIPO's advice to those who keep their certificates in PCT-SAFE.
_COPY_OUTSIDE = (
    "If this computer or PCT-SAFE is removed, the backup in PCT-SAFE's folder goes with it. WIPO",
    "advises to keep a copy outside that folder.",
)

_TITLES: dict[Kind, str] = {
    "pct-safe": "PCT-SAFE's folder",
    "documents": "Your Documents folder",
    "current": "The current folder",
    "drive": "Drive",
}
_LOOK_AGAIN, _NO_COPY = "Look again, after plugging in a USB drive", "No second copy"
_QUOTES = "\"'"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the files go: what the questions settle before the password.

    Attributes:
        folder: of the backup; it may have to be made.
        name: of the file, in `folder` and in `copy`.
        pct_safe: whether `folder` is PCT-SAFE's.
        copy: the folder of the second copy, None for none.
        replaced: the files that exist, and may be replaced.
    """

    folder: Path
    name: str
    pct_safe: bool = False
    copy: Path | None = None
    replaced: tuple[Path, ...] = ()

    @property
    def file(self) -> Path:
        """The backup."""
        return self.folder / self.name

    @property
    def copies(self) -> tuple[Path, ...]:
        """The folders of the copies."""
        return (self.copy,) if self.copy else ()

    @property
    def destination(self) -> Destination | None:
        """What picks the format; None for the default one."""
        return destination_named("pct-safe") if self.pct_safe else None


def ask_place(talk: Output, identity: Identity) -> Plan:
    """Ask where the backup goes, until that is a place where it can be written."""
    places = backup_places(current_folder())
    name = default_name(identity)
    talk.say()
    talk.question("Where should the backup go?")
    while True:
        answer = pick(
            talk,
            [_described(place) for place in places],
            "Type a number, or another folder or file" if places else "Type a folder or file",
            "the place of the backup",
            default=0 if places else None,
        )
        if isinstance(answer, int):
            plan: Plan | None = Plan(places[answer].path, name)
        else:
            plan = _typed(talk, answer, name)
        while plan is not None and _is_there(plan.file):
            plan = _other_name(talk, plan)
            if plan is not None and plan.replaced:
                break
        if plan is not None and _writable(talk, plan.folder, plan.name):
            safe = any(p.kind == "pct-safe" and _is_same(p.path, plan.folder) for p in places)
            return replace(plan, pct_safe=safe)


def _typed(talk: Output, answer: str, name: str) -> Plan | None:
    """The folder or file that was typed; None, with the reason said, where it is of no use.

    What ends like a PFX is a file, all else a folder.
    """
    path = _path(talk, answer)
    if path is None:
        return None
    is_file = path.name.casefold().endswith(PFX_ENDINGS) and not _is_folder(path)
    return Plan(path.parent, path.name) if is_file else Plan(path, name)


def _other_name(talk: Output, plan: Plan) -> Plan | None:
    """Ask what to do where the file exists already: the plan then, or None to ask for another."""
    free = _free_name(plan.folder, plan.name)
    talk.question(f"`{plan.file}` exists already.")
    answer = pick(
        talk,
        (f"Keep it, and call the new one `{free}`", "Replace it"),
        "Type a number, or another name",
        "the name of the backup",
        default=0,
    )
    if answer == 1:
        return replace(plan, replaced=(plan.file,))
    if isinstance(answer, int):
        return replace(plan, name=free)
    path = _path(talk, answer, plan.folder)
    return Plan(path.parent, with_ending(path.name)) if path else None


def ask_copy(talk: Output, plan: Plan) -> Plan:
    """Ask where a second copy goes, until that is none, or a place where it can be written."""
    for each in ("", *(_COPY_OUTSIDE if plan.pct_safe else _SECOND_COPY)):
        talk.say(each)
    talk.question("Where should a second copy go?")
    while True:
        places = _copy_places(plan)
        if not any(place.kind == "drive" for place in places):
            talk.question("No USB drive was found.")
        answer = pick(
            talk,
            [*map(_described, places), _LOOK_AGAIN, _NO_COPY],
            "Type a number, or another folder",
            "the second copy",
            # A copy is urged where the backup itself is not safe.
            default=0 if plan.pct_safe and places else len(places) + 1,
        )
        if answer == len(places) + 1:
            return plan
        if answer == len(places):
            continue
        folder = places[answer].path if isinstance(answer, int) else _path(talk, answer)
        settled = _with_copy(talk, plan, folder) if folder else None
        if settled is not None:
            return settled


def _copy_places(plan: Plan) -> list[Place]:
    """The drives, and for a backup in PCT-SAFE's folder the places outside it."""
    places = [place for place in connected_drives() if not _holds(place.path, plan.folder)]
    if plan.pct_safe:
        others = backup_places(current_folder())
        places += [place for place in others if not _is_same(place.path, plan.folder)]
    return places


def _with_copy(talk: Output, plan: Plan, folder: Path) -> Plan | None:
    """The plan with a copy in this folder; None where there can't or shall not be one."""
    if _is_same(folder, plan.folder):
        talk.question("The backup itself goes there: please choose another folder.")
        return None
    if not _writable(talk, folder, plan.name):
        return None
    file = folder / plan.name
    if not _is_there(file):
        return replace(plan, copy=folder)
    question = f"`{file}` exists already. Replace it?"
    if not agreed(talk, question, "the second copy", default=False):
        return None
    return replace(plan, copy=folder, replaced=(*plan.replaced, file))


def _described(place: Place) -> str:
    title = f"{_TITLES[place.kind]} {place.name}".rstrip()
    return f"{title}: {place.path}"


def _path(talk: Output, answer: str, folder: Path | None = None) -> Path | None:
    """What was typed as an absolute path; None, with the reason said, where it can't be one."""
    if any(character < " " or character == "\x7f" for character in answer):
        talk.question("That has keys in it that are no text: please type it once more.")
        return None
    # Dragged into the window, or copied as a path, a name comes in quotes or with backslashes.
    if len(answer) > 1 and answer[0] == answer[-1] and answer[0] in _QUOTES:
        answer = answer[1:-1]
    elif os.sep == "/":
        answer = re.sub(r"\\(.)", r"\1", answer)
    path = Path(os.path.expanduser(answer))  # noqa: PTH111 - Path's own raises for an unknown user
    current = folder or current_folder()
    return current / path if current else path


def _writable(talk: Output, folder: Path, name: str) -> bool:
    """Whether a file can be written there; else why not is said, or the folder agreed upon."""
    # Where the folder is missing, the one that it will be made in has to let us.
    above = folder
    while not _is_there(above) and above != above.parent:
        above = above.parent
    if _is_there(above) and not _is_folder(above):
        talk.question(f"`{above}` is not a folder. The name of a backup ends in `.pfx`.")
        return False
    try:
        check_writable(folder / name if above == folder else above / folder.name, replace=True)
    except NssBackupError as error:
        talk.question(f"{error.message[:1].upper()}{error.message[1:]}.")
        return False
    question = f"The folder `{folder}` does not exist. Create it?"
    return above == folder or agreed(talk, question, "a new folder", default=False)


def _free_name(folder: Path, name: str) -> str:
    """A name like this one that no file in the folder has."""
    stem, _, ending = name.rpartition(".")
    numbered = (f"{stem}-{number}.{ending}" for number in count(2))
    return next(one for one in numbered if not _is_there(folder / one))


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - see files


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one folder, which may yet have to be made."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


def _holds(folder: Path, inner: Path) -> bool:
    """Whether a folder is another one or above it."""
    return Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(folder))
