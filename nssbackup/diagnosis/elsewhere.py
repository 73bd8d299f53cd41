"""Elsewhere: certificates that a browser shows or a person has, and that are in no profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nssbackup.diagnosis.examination import Case, Examined
from nssbackup.diagnosis.files import as_owner, belongs_to
from nssbackup.diagnosis.findings import Finding, sentence
from nssbackup.profiles.folder import is_closed
from nssbackup.profiles.locate import UNKNOWN_APPLICATION
from nssbackup.profiles.roots import candidate_roots
from nssbackup.profiles.settings import third_party_modules
from nssbackup.profiles.system import Platform, System

# Preferences: mozilla/enterprise-firefox:modules/libpref/init/StaticPrefList.yaml.
_NO_DATABASE = "security.nocertdb"
_MANAGED = "security.storage.encryption.enabled"
_OS_CERTIFICATES = "security.osclientcerts.autoload"

# They ship `security.nocertdb` set (mullvad/mullvad-browser:browser/app/profile/
# 001-base-profile.js, the part that both have in common).
_KEEP_NOTHING = frozenset({"Tor Browser", "Mullvad Browser"})

# Thunderbird ships `security.osclientcerts.autoload` unset (mozilla/releases-comm-central:
# mail/app/profile/all-thunderbird.js); the others have no such module, being made of a Firefox
# before 75 or of something else.
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
        "Chrome, Chromium and their like keep certificates in a database of their own, which is"
        " looked at where it is known to lie."
    ),
}

# As many folders as a sentence bears.
_NAMED = 8


def managed(one: Examined) -> bool:
    """Whether a management console of Firefox Enterprise holds the secret to the key database."""
    return one.preferences.get(_MANAGED) is True and one.primary_password is not False


def setting_findings(one: Examined) -> Iterator[Finding]:
    """What a profile's settings say about certificates that are not in it."""
    shipped = one.profile.application in _KEEP_NOTHING
    keeps_none = one.preferences.get(_NO_DATABASE, shipped)
    if keeps_none is True:
        yield Finding.of(
            "certificates-not-kept",
            sentence(
                f"{one.program} is set to keep no certificates here (`{_NO_DATABASE}`): one that"
                " is imported or requested is gone when the program is closed, and can't be backed"
                " up"
            ),
            "Use Firefox for the certificate: import the file that you have of it there, or request"
            " a new one there.",
        )
    if managed(one):
        yield Finding.of(
            "managed-encryption",
            "This profile is managed by an organization (Firefox Enterprise), and its keys are"
            " protected by a secret of the management console, which you don't know.",
            "Ask the administrators of the organization for the backup.",
        )
    for module in third_party_modules(one.profile.path):
        yield Finding.of(
            "security-module",
            sentence(
                f"{one.program} is set up here to use a smart card, a token or another device, by"
                f" the module `{module.name or module.library}` (`{module.library}`). It shows the"
                " certificates on that, too, and they are not in the profile"
            ),
            "A private key doesn't leave a smart card: keep the card safe, and ask who issued it"
            " for a second one.",
        )


def os_findings(examined: Sequence[Examined], platform: Platform) -> Iterator[Finding]:
    """Whether any of the applications shows the operating system's certificates, too."""
    store = _OS_STORES.get(platform)
    showing = {one.program for one in examined if _shows_os(one)}
    if store is None or not showing:
        return
    yield Finding.of(
        "os-certificates",
        sentence(
            f"{_listed(sorted(showing))} can show certificates of {store}, and of smart cards that"
            f" the system knows, among those of a profile (`{_OS_CERTIFICATES}`). They are in no"
            " profile, and nssbackup can't read them"
        ),
        _IN_OS[platform],
    )


def where_else(platform: Platform) -> Finding:
    """Where a certificate may be that is in none of the profiles."""
    return Finding.of(
        "elsewhere",
        "A certificate that is not here may be with another user account or on another computer, on"
        f" a smart card, or with another program. {_IN_OS[platform]}",
        "Run nssbackup as the user and on the computer with which the certificate was requested.",
    )


def nothing_located(searched: Sequence[str], case: Case) -> Iterator[Finding]:
    """Why there is no profile at all."""
    for folder in _closed_folders(case.system):
        yield Finding.of(
            "root-unreadable",
            f"The folder `{folder}`, where profiles may lie, {belongs_to(folder)}, and you may not"
            " look into it.",
            as_owner(folder),
        )
    names = sorted(case.applications) or ["Firefox", "Thunderbird", "programs like them"]
    keep = "keeps" if len(names) == 1 else "keep"
    if searched:
        found = f"Searched were {_listed(f'`{one}`' for one in searched)}."
    else:
        found = f"This user has none of the folders in which {_listed(names)} {keep} profiles."
    yield Finding.of(
        "no-profile",
        f"No profile was found. {found}",
        "Give the folder that holds cert9.db and key4.db with `--profile FOLDER`. Firefox shows it"
        " on its page `about:profiles` as the root directory.",
    )


def _shows_os(one: Examined) -> bool:
    application = one.profile.application
    # A folder that no known root holds may be anything's; preferences show a relative of Firefox.
    unknown = application == UNKNOWN_APPLICATION and not one.preferences
    if unknown or application in _WITHOUT_OS_MODULE:
        return False
    shipped = application not in _WITHOUT_OS_CERTIFICATES
    return one.preferences.get(_OS_CERTIFICATES, shipped) is True


def _closed_folders(system: System) -> list[Path]:
    """The folders on the way to a possible root that this user may not look into."""
    found = []
    for candidate in candidate_roots(system):
        path = Path(candidate.path)
        if is_closed(path):
            # The one that is closed may lie above: what is in it can't even be asked for.
            found.append(next((one for one in (path, *path.parents) if _is_there(one)), path))
    return list(dict.fromkeys(found))


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    if len(every) > _NAMED:
        every = [*every[:_NAMED], f"{len(every) - _NAMED} more"]
    *others, last = every
    return f"{', '.join(others)} and {last}" if others else last
