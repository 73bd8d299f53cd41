"""The output folder: one run at a time, and nobody else puts anything into it that a run trusts.

What a run reads again or appends to must belong to the caller or root, and nobody else may write to
it. The check goes from the top down: once a folder is safe, nothing in it can be exchanged.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nssbackup.batch.layout import ESCROW_FOLDER, PASSWORDS_FILE, STATE_FOLDER
from nssbackup.batch.state import known_users
from nssbackup.errors import OutputError, UsageError, reason
from nssbackup.system.files import make_folder, remove_leftovers
from nssbackup.system.locking import only_run
from nssbackup.system.ownership import is_own, owner_name

_BACKUP = ".pfx"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@contextmanager
def locked_folder(folder: Path, lock_file: str) -> Iterator[None]:
    """Make an output folder and keep other runs out of it.

    Raises:
        FolderLockedError: another run is working in it.
        OutputError: it can't be made.
    """
    state = folder / STATE_FOLDER
    with ExitStack() as stack:
        make_own_folder(state)
        try:
            stack.enter_context(only_run(state / lock_file))
        except OSError as error:
            raise _unwritable(folder, error) from error
        remove_leftovers(folder)
        remove_leftovers(state)
        yield


def secure(folder: Path, *, repair: bool = True, hosts: bool = False) -> tuple[str, ...]:
    """Check that nobody but the caller and root can change what a run reads again or appends to.

    Args:
        folder: of a batch or of a fleet; may be missing.
        repair: whether to remove the right of others to write to the caller's files.
        hosts: whether it holds the folders of a fleet's hosts.

    Returns:
        What was repaired, and what could not be, in sentences.

    Raises:
        OutputError: something belongs to somebody else, or is a link or the like.
    """
    if sys.platform == "win32" or not folder.exists():
        return ()
    repaired: list[str] = []
    modeless: list[str] = []
    try:
        for path, facts in _read_again(folder, hosts=hosts):
            check_owner(path, facts)
            if facts.st_mode & _WRITABLE_BY_OTHERS:
                if repair:
                    (repaired if _is_repaired(path, facts) else modeless).append(path)
                else:
                    _refuse_if_not_ours(path, facts)
    except OSError as error:
        message = f"the output folder `{folder}` can't be checked: {reason(error)}"
        raise OutputError(message) from error
    notes = []
    if repaired:
        notes.append(
            f"others could write to {len(repaired)} files and folders of the output folder, such"
            f" as `{repaired[0]}`: they can't any more"
        )
    if modeless:
        notes.append(
            f"the drive of `{modeless[0]}` keeps no file permissions: anyone who can use it can"
            " change the backups"
        )
    return tuple(notes)


def check_owner(path: str | Path, facts: os.stat_result) -> None:
    """Check that a file or folder can be trusted by its owner, kind and number of names.

    Raises:
        OutputError: it can't.
    """
    if sys.platform == "win32":
        return
    if facts.st_uid not in (0, os.geteuid()):
        who = owner_name(Path(path)) or f"number {facts.st_uid}"
        message = f"`{path}` in the output folder belongs to `{who}`, who could change it"
        raise OutputError(message, hint=f"`chown {os.geteuid()} {shlex.quote(str(path))}`")
    if not stat.S_ISDIR(facts.st_mode) and not stat.S_ISREG(facts.st_mode):
        kind = "a link" if stat.S_ISLNK(facts.st_mode) else "neither a file nor a folder"
        message = f"`{path}` in the output folder is {kind}"
        raise OutputError(message, hint="move it away")
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1:
        message = f"`{path}` in the output folder has another name as well (a hard link)"
        raise OutputError(message, hint="replace it with a copy of itself")


def make_own_folder(folder: Path) -> None:
    """Make a folder for its owner alone, and those above it, if they are missing.

    Raises:
        OutputError: it can't be made, belongs to somebody else, or others may write to it and that
            can't be changed.
    """
    try:
        make_folder(folder)
        facts = folder.lstat()
        check_owner(folder, facts)
        if sys.platform != "win32" and facts.st_mode & _WRITABLE_BY_OTHERS:
            _is_repaired(str(folder), facts)
    except OSError as error:
        raise _unwritable(folder, error) from error


def check_escrow(folder: Path, *, generated: bool) -> None:
    """Check that passwords don't leave the escrow that earlier runs put them into.

    Args:
        folder: the output folder.
        generated: whether this run writes new passwords in the clear.

    Raises:
        UsageError: it would, beside an escrow.
    """
    escrow = folder / ESCROW_FOLDER
    if generated and escrow.is_dir() and any(escrow.iterdir()):
        message = f"earlier passwords are in escrow in `{escrow}`, and no `--escrow-cert` is given"
        hint = "give `--escrow-cert FILE`, or `--no-escrow` to write new passwords in the clear"
        raise UsageError(message, hint=hint)


def _read_again(folder: Path, *, hosts: bool) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what a run reads again or appends to, each folder before what is in it."""
    yield str(folder), folder.stat()  # the user may have named a link
    below = (folder / name for name in sorted(os.listdir(folder) if hosts else ()))
    for batch in (folder, *(one for one in below if os.path.lexists(one / STATE_FOLDER))):
        if batch != folder:
            yield str(batch), batch.lstat()
        for name in (STATE_FOLDER, ESCROW_FOLDER, PASSWORDS_FILE):
            yield from _tree(batch / name)
        for user in known_users(batch):
            for path, facts in _tree(batch / user):
                # A note that somebody put there is no backup, and is never read.
                if path.endswith(_BACKUP) or not stat.S_ISREG(facts.st_mode):
                    yield path, facts


def _tree(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [str(path)] if os.path.lexists(path) else []
    while waiting:
        name = waiting.pop()
        facts = os.lstat(name)
        yield name, facts
        if stat.S_ISDIR(facts.st_mode):
            waiting += [entry.path for entry in os.scandir(name)]


def _is_repaired(path: str, facts: os.stat_result) -> bool:
    """Remove the right of others to write; return False if the file system keeps no modes."""
    _refuse_if_not_ours(path, facts)
    try:
        os.chmod(path, stat.S_IMODE(facts.st_mode) & ~_WRITABLE_BY_OTHERS)
    except PermissionError:
        return False
    return not os.stat(path).st_mode & _WRITABLE_BY_OTHERS


def _refuse_if_not_ours(path: str, facts: os.stat_result) -> None:
    """Refuse what others may write to and the caller can't or shouldn't change, such as `/tmp`.

    Raises:
        OutputError: it is such a path.
    """
    if facts.st_mode & stat.S_ISVTX:
        message = f"`{path}` is a folder that everybody shares"
        raise OutputError(message, hint="choose an output folder of your own with `--output`")
    if not is_own(Path(path)):
        message = f"others may write to `{path}` in the output folder"
        raise OutputError(message, hint=f"as root: `chmod go-w {shlex.quote(path)}`")


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"the folder `{folder}` can't be written to: {reason(error)}")
