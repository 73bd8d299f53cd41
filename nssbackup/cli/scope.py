"""Scope: the profiles that a command looks at, by `--profile` and `--app`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nssbackup.cli.output import Output

if TYPE_CHECKING:
    from nssbackup.identity.model import Profile


@dataclass(frozen=True, slots=True)
class Scope:
    """The profiles to look at; `everything` unless the user named some."""

    profiles: tuple[Profile, ...]
    everything: bool

    def left_behind(self) -> Sequence[Profile]:
        """The profiles to look at besides, where these are not enough."""
        from nssbackup.profiles import find_left_behind

        return find_left_behind() if self.everything else ()


def scope(names: Sequence[str] | None, apps: Sequence[str] | None, output: Output) -> Scope:
    """The profiles named, or all there are of the applications named."""
    from nssbackup.profiles import applications_named, find_profiles, resolve_profiles

    wanted = applications_named(apps or ())
    found = resolve_profiles(names) if names else find_profiles()
    found = tuple(profile for profile in found if not wanted or profile.application in wanted)
    for profile in found:
        output.detail(f"profile `{profile.name}`: {profile.path} ({profile.store or 'no'} store)")
    return Scope(found, everything=not names and (not wanted or "Firefox" in wanted))
