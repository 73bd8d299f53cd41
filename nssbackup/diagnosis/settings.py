"""Settings: what a profile's settings mean for its certificates, and where Firefox's menus are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from nssbackup.diagnosis.findings import Examined, Finding, sentence
from nssbackup.identity.model import Profile
from nssbackup.profiles.lists import read_ini
from nssbackup.profiles.locate import UNKNOWN_APPLICATION
from nssbackup.profiles.settings import (
    Preferences,
    last_refresh,
    read_preferences,
    third_party_modules,
)
from nssbackup.profiles.system import Platform

# Preferences: mozilla/enterprise-firefox:modules/libpref/init/StaticPrefList.yaml.
_NO_DATABASE = "security.nocertdb"
_MANAGED = "security.storage.encryption.enabled"
_OS_CERTIFICATES = "security.osclientcerts.autoload"

# They ship with `security.nocertdb` set (mullvad/mullvad-browser:browser/app/profile/
# 001-base-profile.js, which both have).
_KEEP_NOTHING = frozenset({"Tor Browser", "Mullvad Browser"})

# Thunderbird ships with `security.osclientcerts.autoload` off (mozilla/releases-comm-central:
# mail/app/profile/all-thunderbird.js). The others have no such module: they are based on a Firefox
# before 75, or on something else.
_WITHOUT_OS_CERTIFICATES = frozenset({"Thunderbird"})
_WITHOUT_OS_MODULE = frozenset(
    {"SeaMonkey", "Pale Moon", "Basilisk", "Chromium", "Evolution", "LibreOffice"}
)
_OS_STORES: dict[Platform, str] = {
    "win32": "the certificate store of Windows",
    "darwin": "the Keychain of macOS",
}

_IN_OS: dict[Platform, str] = {
    "win32": (
        "Edge, Chrome and other programs keep certificates in the store of Windows. To look there,"
        " run `certmgr.msc` and open Personal, Certificates; if yours is there with its key,"
        " export it there (All Tasks, Export, with the private key)."
    ),
    "darwin": (
        "Safari, Chrome and other programs keep certificates in the Keychain. To look there, open"
        " Keychain Access, My Certificates; if yours is there with its key, export it there (File,"
        " Export Items)."
    ),
    "linux": (
        "Chrome, Chromium and their relatives keep certificates in a database of their own;"
        " nssbackup searches it in its usual places."
    ),
}

# More folders than this would not fit a sentence.
_NAMED = 8

# The way to Firefox's certificate manager since the redesign of its settings, and before; both as
# seen in Firefox itself.
_REDESIGN = 153
_SINCE_REDESIGN = (
    *("Settings", "Privacy and security", "Connection and software security", "Advanced settings"),
    *("Manage certificates", "Your Certificates"),
)
_BEFORE_REDESIGN = (
    *("Settings", "Privacy & Security", "Certificates", "View Certificates", "Your Certificates"),
)


def menus(button: str) -> tuple[tuple[str, str], ...]:
    """Return the versions of Firefox, each with the way to a button such as Import."""
    return (
        (f"Firefox {_REDESIGN} and later", " > ".join((*_SINCE_REDESIGN, button))),
        ("earlier Firefox", " > ".join((*_BEFORE_REDESIGN, button))),
    )


def clicks(button: str, profile: Profile | None = None) -> str:
    """Return the way to a button as a part of a hint, for the version that a profile is of."""
    ways = menus(button)
    if profile is not None and profile.application == "Firefox":
        with suppress(OSError, ValueError, KeyError):
            # toolkit/xre/nsAppRunner.cpp (WriteVersion): LastVersion=153.8.0_20261103133748/...
            known = read_ini(profile.path / "compatibility.ini")["Compatibility"]
            redesigned = int(known["LastVersion"].partition(".")[0]) >= _REDESIGN
            ways = ways[:1] if redesigned else ways[1:]
    return ", or ".join(f"in {version} {way}" for version, way in ways)


def hiding_setting(profile: Profile) -> str | None:
    """Return by which setting a profile's application ignores its databases, or None.

    Such an application keeps certificates in memory only, so it would never show a restored one.
    """
    return _hiding_setting(profile, read_preferences(profile.path))


def is_managed(one: Examined) -> bool:
    """Return whether a console of Firefox Enterprise holds the secret to the key database."""
    return one.preferences.get(_MANAGED) is True and one.primary_password is not False


def setting_findings(one: Examined) -> Iterator[Finding]:
    """Yield what a profile's settings say about certificates that are not in it."""
    if when := last_refresh(one.profile.path):
        yield Finding.of(
            "refreshed",
            f"Firefox was refreshed on {when:%Y-%m-%d}: this profile is new since then. It got the"
            " keys of the old one, but not its certificates.",
        )
    if setting := _hiding_setting(one.profile, one.preferences):
        yield Finding.of(
            "certificates-not-kept",
            sentence(
                f"{one.program} keeps no certificates in this profile ({setting}): one that is"
                " imported or requested is gone when the program is closed, and can't be backed up"
            ),
            "Use Firefox for the certificate: import your file there, or request a new one there.",
        )
    if is_managed(one):
        yield Finding.of(
            "managed-encryption",
            "This profile is managed by an organization (Firefox Enterprise). Its keys are"
            " protected by a secret that only the management console has.",
            "Ask the administrators of the organization for the backup.",
        )
    for module in third_party_modules(one.profile.path):
        yield Finding.of(
            "security-module",
            sentence(
                f"{one.program} is set up here to use a smart card, a token or another device,"
                f" through the module `{module.name or module.library}` (`{module.library}`)."
                " Certificates on that are shown too, but are not in the profile"
            ),
            "A private key can't leave a smart card: keep the card safe, and ask its issuer for a"
            " second one.",
        )


def os_findings(examined: Sequence[Examined], platform: Platform) -> Iterator[Finding]:
    """Yield whether one of the applications also shows the operating system's certificates."""
    store = _OS_STORES.get(platform)
    showing = {one.program for one in examined if _shows_os(one)}
    if store is None or not showing:
        return
    yield Finding.of(
        "os-certificates",
        sentence(
            f"{listed(sorted(showing))} can also show certificates of {store} and of smart cards"
            f" that the system knows (`{_OS_CERTIFICATES}`). These are in no profile, and nssbackup"
            " can't read them"
        ),
        _IN_OS[platform],
    )


def where_else(platform: Platform) -> Finding:
    """Return where a certificate may be that is in none of the profiles."""
    return Finding.of(
        "elsewhere",
        "A certificate that is not here may be in another user account, on another computer, on a"
        f" smart card, or with another program. {_IN_OS[platform]}",
        "Run nssbackup as the user, and on the computer, that requested the certificate.",
    )


def listed(names: Iterable[str]) -> str:
    """Return names as a part of a sentence, with `and` before the last one."""
    every = list(names)
    if len(every) > _NAMED:
        every = [*every[:_NAMED], f"{len(every) - _NAMED} more"]
    *others, last = every
    return f"{', '.join(others)} and {last}" if others else last


def _hiding_setting(profile: Profile, preferences: Preferences) -> str | None:
    shipped = profile.application in _KEEP_NOTHING
    if preferences.get(_NO_DATABASE, shipped) is not True:
        return None
    if _NO_DATABASE in preferences:
        return f"`{_NO_DATABASE}` is set"
    return f"`{_NO_DATABASE}` is the default of {profile.application}"


def _shows_os(one: Examined) -> bool:
    application = one.profile.application
    # A folder outside all known roots may be anything's; preferences mean a relative of Firefox.
    unknown = application == UNKNOWN_APPLICATION and not one.preferences
    if unknown or application in _WITHOUT_OS_MODULE:
        return False
    shipped = application not in _WITHOUT_OS_CERTIFICATES
    return one.preferences.get(_OS_CERTIFICATES, shipped) is True
