"""Targets: the profiles that an identity can be restored to, with databases or without."""

from __future__ import annotations

import os
from pathlib import Path

from nssbackup.errors import NoProfileError
from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import folder_identity, is_folder, without_climbing
from nssbackup.profiles.locate import find_profiles, unlisted_profile
from nssbackup.profiles.resolve import UNKNOWN_APPLICATION
from nssbackup.profiles.system import System


def find_targets(name_or_path: str | None, system: System | None = None) -> tuple[Profile, ...]:
    """The profiles that a text names, or for None those that an application starts with.

    The text is the name of a profile or of its folder, or the path of a folder. Firefox's default
    profiles go before those of other applications. Never ().

    Raises:
        NoProfileError: nothing fits.
    """
    system = system or System.current()
    known = find_profiles(system)
    if name_or_path is None:
        defaults = [one for one in known if one.default]
        of_firefox = [one for one in defaults if one.application == "Firefox"]
        if found := of_firefox or defaults or list(known):
            return tuple(found)
        message = "no profile was found"
        hint = "start Firefox once, which makes one, or name a folder with `--profile PATH`"
        raise NoProfileError(message, hint=hint)
    named = tuple(one for one in known if name_or_path in (one.name, one.path.name))
    if named:
        return named
    path = Path(os.path.expanduser(name_or_path)).absolute()  # noqa: PTH111
    if not is_folder(path):
        message = f"no profile is called `{name_or_path}`, and it is no folder"
        raise NoProfileError(message, hint="`nssbackup profiles` shows the profiles there are")
    folder = without_climbing(path)
    by_folder = {folder_identity(one.path): one for one in known}
    return (
        by_folder.get(folder_identity(folder))
        or unlisted_profile(folder, UNKNOWN_APPLICATION, system),
    )
