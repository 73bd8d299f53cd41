"""The questions where a backup will be opened, where it goes, and where its second copy goes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import platformdirs
import psutil

from nssbackup.backups.writing import PFX_ENDINGS, default_name, with_ending
from nssbackup.cli import current_folder
from nssbackup.cli.printer import Printer
from nssbackup.cli.questions import agreed, pick
from nssbackup.errors import NssBackupError, OutputError, UsageError, reason
from nssbackup.identity.model import Identity
from nssbackup.pkcs12.formats import Destination, destination_named
from nssbackup.system.files import check_writable, is_writable

# Where desktops and people mount drives.
_MOUNTED_BELOW = {"linux": ("/media", "/run/media", "/mnt"), "darwin": ("/Volumes",)}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder to offer, and what to call it."""

    path: Path
    title: str

    def __str__(self) -> str:
        return f"{self.title}: {self.path}"


def backup_folders() -> tuple[Folder, ...]:
    """Return the folders to offer for a backup: Documents and the current one."""
    current = current_folder()
    return _usable(
        (
            Folder(platformdirs.user_documents_path(), "Your Documents folder"),
            *((Folder(current, "The current folder"),) if current else ()),
        )
    )


def connected_drives() -> tuple[Folder, ...]:
    """Return the removable drives that are connected now.

    Windows says which drives are removable. On Linux and macOS they are the block devices mounted
    where removable drives go; a network share there might take forever to answer.
    """
    return _usable(
        Folder(Path(part.mountpoint), f"Drive {Path(part.mountpoint).name}".rstrip())
        for part in psutil.disk_partitions(all=True)
        if _is_removable(part)
    )


def _is_removable(part: Any) -> bool:  # noqa: ANN401 - psutil has no types
    if sys.platform == "win32":
        return "removable" in part.opts.split(",")
    above = _MOUNTED_BELOW.get(sys.platform, ())
    return part.device.startswith("/dev/") and any(
        f"{part.mountpoint}/".startswith(f"{folder}/") for folder in above
    )


def _usable(folders: Iterable[Folder]) -> tuple[Folder, ...]:
    """Return the folders that exist and can be written to, each once."""
    found: dict[str, Folder] = {}
    for folder in folders:
        if os.path.isdir(folder.path) and is_writable(folder.path):
            found.setdefault(os.path.normcase(os.path.realpath(folder.path)), folder)
    return tuple(found.values())


@contextmanager
def new_folders(folders: Sequence[Path]) -> Iterator[None]:
    """Create the folders that are missing; if the block fails, remove those still empty.

    Raises:
        OutputError: the system did not let us create one.
    """
    made: list[Path] = []
    try:
        for folder in folders:
            for part in (*reversed(folder.parents), folder):
                if not os.path.isdir(part):
                    _make(part)
                    made.append(part)
        yield
    except BaseException:
        for part in reversed(made):
            with suppress(OSError):
                part.rmdir()
        raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        message = f"the folder `{folder}` can't be created: {reason(error)}"
        raise OutputError(message) from error


# The destinations that most people need, by the names of `--for`, in plain words.
_DESTINATIONS = {
    "windows": "Firefox on any computer, or Windows 10 or 11",
    "macos": "Mac: Safari, Chrome, Mail (Keychain)",
    "ios": "iPhone or iPad",
    "any": "I don't know yet: make both kinds of file",
}
_SECOND_COPY = (
    "If this computer is lost or breaks, only a copy kept elsewhere, such as on a USB drive, saves"
    " the certificate: its issuer does not have your private key."
)
_LOOK_AGAIN, _NO_COPY = "Look again, after plugging in a USB drive", "No second copy"
_QUOTES = "\"'"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the questions settle before the password.

    Attributes:
        destination: where the files will be opened.
        folder: of the backup; it may not exist yet.
        name: of the file, in `folder` and in `copy`.
        copy: the folder of the second copy; None for none.
        replaced: the files that exist and may be replaced.
    """

    destination: Destination
    folder: Path
    name: str
    copy: Path | None = None
    replaced: tuple[Path, ...] = ()

    @property
    def file(self) -> Path:
        """Return the backup, or the first of two."""
        return self.folder / self.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files of the backup, one per format."""
        return self._files_in(self.folder)

    @property
    def second_files(self) -> tuple[Path, ...]:
        """Return the files of the second copy."""
        return self._files_in(self.copy) if self.copy else ()

    @property
    def copies(self) -> tuple[Path, ...]:
        """Return the folders of the copies."""
        return (self.copy,) if self.copy else ()

    def _files_in(self, folder: Path) -> tuple[Path, ...]:
        stem, _, ending = self.name.rpartition(".")
        others = (f"{stem}.{each.name}.{ending}" for each in self.destination.formats[1:])
        return tuple(folder / name for name in (self.name, *others))


def ask_destination(printer: Printer) -> Destination:
    """Ask where the backup will be opened, which picks its format."""
    printer.question("Where will you open the backup?")
    names = list(_DESTINATIONS)
    while True:
        answer = pick(
            printer,
            list(_DESTINATIONS.values()),
            "Type a number, or a name that `--for` takes",
            "the program that opens the backup",
            default=0,
        )
        try:
            return destination_named(names[answer] if isinstance(answer, int) else answer)
        except UsageError as error:
            printer.question(f"{_sentence(error.message)} {_sentence(error.hint or '')}".rstrip())


def ask_file(printer: Printer, identity: Identity, destination: Destination) -> Plan:
    """Ask where the backup goes, until it can be written there."""
    folders = backup_folders()
    name = default_name(identity)
    printer.say()
    printer.question("Where should the backup go?")
    while True:
        answer = pick(
            printer,
            [str(folder) for folder in folders],
            "Type a number, or another folder or file" if folders else "Type a folder or file",
            "the folder of the backup",
            default=0 if folders else None,
        )
        if isinstance(answer, int):
            plan: Plan | None = Plan(destination, folders[answer].path, name)
        else:
            plan = _typed_plan(printer, answer, name, destination)
        while plan is not None and any(map(_exists, plan.files)) and not plan.replaced:
            plan = _other_name(printer, plan)
        if plan is not None and _is_writable(printer, plan.folder, plan.name):
            return plan


def _typed_plan(printer: Printer, answer: str, name: str, destination: Destination) -> Plan | None:
    """Return the plan for a path that was typed; None, after saying why, if it is of no use.

    What ends like a PFX is a file, everything else a folder.
    """
    path = _typed_path(printer, answer)
    if path is None:
        return None
    if path.name.casefold().endswith(PFX_ENDINGS) and not _is_folder(path):
        return Plan(destination, path.parent, path.name)
    return Plan(destination, path, name)


def _other_name(printer: Printer, plan: Plan) -> Plan | None:
    """Ask what to do if the file exists; None to ask for another folder."""
    existing = tuple(filter(_exists, plan.files))
    free = _free_name(plan)
    printer.question(f"`{existing[0]}` already exists.")
    answer = pick(
        printer,
        (f"Keep it, and call the new one `{free}`", "Replace it"),
        "Type a number, or another name",
        "the name of the backup",
        default=0,
    )
    if answer == 1:
        return replace(plan, replaced=existing)
    if isinstance(answer, int):
        return replace(plan, name=free)
    path = _typed_path(printer, answer, plan.folder)
    return replace(plan, folder=path.parent, name=with_ending(path.name)) if path else None


def ask_copy(printer: Printer, plan: Plan) -> Plan:
    """Ask where a second copy goes, until it can be written there, or there is to be none."""
    printer.say()
    printer.say(_SECOND_COPY)
    printer.question("Where should a second copy go?")
    while True:
        drives = [one for one in connected_drives() if not _contains(one.path, plan.folder)]
        if not drives:
            printer.question("No USB drive was found.")
        answer = pick(
            printer,
            [*map(str, drives), _LOOK_AGAIN, _NO_COPY],
            "Type a number, or another folder",
            "the second copy",
            default=0 if drives else len(drives) + 1,
        )
        if answer == len(drives) + 1:
            return plan
        if answer == len(drives):
            continue
        folder = drives[answer].path if isinstance(answer, int) else _typed_path(printer, answer)
        with_copy = _with_copy(printer, plan, folder) if folder else None
        if with_copy is not None:
            return with_copy


def _with_copy(printer: Printer, plan: Plan, folder: Path) -> Plan | None:
    """Return the plan with a copy in this folder; None if there can't or shouldn't be one."""
    if _is_same(folder, plan.folder):
        printer.question("The backup itself goes there: please choose another folder.")
        return None
    if not _is_writable(printer, folder, plan.name):
        return None
    plan = replace(plan, copy=folder)
    existing = tuple(filter(_exists, plan.second_files))
    if not existing:
        return plan
    question = f"`{existing[0]}` already exists. Replace it?"
    if not agreed(printer, question, "the second copy", default=False):
        return None
    return replace(plan, replaced=(*plan.replaced, *existing))


def _typed_path(printer: Printer, answer: str, folder: Path | None = None) -> Path | None:
    """Return what was typed as an absolute path; None, after saying why, if it can't be one."""
    if any(character < " " or character == "\x7f" for character in answer):
        printer.question("That contains control characters: please type it again.")
        return None
    # A name dragged into the window, or copied as a path, comes in quotes or with backslashes.
    if len(answer) > 1 and answer[0] == answer[-1] and answer[0] in _QUOTES:
        answer = answer[1:-1]
    elif os.sep == "/":
        answer = re.sub(r"\\(.)", r"\1", answer)
    path = Path(os.path.expanduser(answer))
    current = folder or current_folder()
    return current / path if current else path


def _is_writable(printer: Printer, folder: Path, name: str) -> bool:
    """Return whether a file can be written there; say why not, or ask to create the folder."""
    # A missing folder is created in the nearest one that exists, which has to let us.
    above = folder
    while not _exists(above) and above != above.parent:
        above = above.parent
    if _exists(above) and not _is_folder(above):
        printer.question(f"`{above}` is not a folder. The name of a backup ends in `.pfx`.")
        return False
    try:
        check_writable(folder / name if above == folder else above / folder.name, replace=True)
    except NssBackupError as error:
        printer.question(_sentence(error.message))
        return False
    question = f"The folder `{folder}` does not exist. Create it?"
    return above == folder or agreed(printer, question, "a new folder", default=False)


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}." if clause else ""


def _free_name(plan: Plan) -> str:
    """Return a name like the plan's that is free for all its files."""
    stem, _, ending = plan.name.rpartition(".")
    names = (f"{stem}-{number}.{ending}" for number in count(2))
    return next(name for name in names if not any(map(_exists, replace(plan, name=name).files)))


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _is_same(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one folder, which may not exist yet."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


def _contains(folder: Path, inner: Path) -> bool:
    """Return whether a folder is another one, or above it."""
    return Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(folder))
