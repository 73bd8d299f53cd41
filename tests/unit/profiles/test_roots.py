from __future__ import annotations

import itertools
import re
from fnmatch import translate
from pathlib import PurePath, PurePosixPath, PureWindowsPath

import pytest

from nssbackup.errors import UsageError
from nssbackup.profiles import applications_named, find_profiles, folder, roots
from nssbackup.profiles.roots import application_in, candidate_roots
from nssbackup.profiles.system import Platform, System
from tests.unit.profiles.machine import Machine
from tests.unit.profiles.test_lock import unix

HOMES: dict[Platform, PurePath] = {
    "linux": PurePosixPath("/home/anna"),
    "darwin": PurePosixPath("/Users/anna"),
    "win32": PureWindowsPath(r"C:\Users\anna"),
}

# Written out here a second time, from the fact sheet and not from the table.
EXPECTED: dict[Platform, str] = {
    "linux": """
        Firefox: .mozilla/firefox
        Firefox: .config/mozilla/firefox
        Firefox: snap/firefox/common/.mozilla/firefox
        Firefox: snap/firefox/common/.config/mozilla/firefox
        Firefox: .var/app/org.mozilla.firefox/.mozilla/firefox
        Firefox: .var/app/org.mozilla.firefox/config/mozilla/firefox
        Firefox: .var/app/org.mozilla.firefox/.config/mozilla/firefox
        Thunderbird: .thunderbird
        Thunderbird: .config/thunderbird
        Thunderbird: snap/thunderbird/common/.thunderbird
        Thunderbird: .var/app/org.mozilla.Thunderbird/.thunderbird
        SeaMonkey: .mozilla/seamonkey
        SeaMonkey: .config/mozilla/seamonkey
        IceCat: .mozilla/icecat
        IceCat: .config/mozilla/icecat
        LibreWolf: .librewolf
        LibreWolf: .config/librewolf/librewolf
        LibreWolf: .var/app/io.gitlab.librewolf-community/.librewolf
        LibreWolf: .var/app/io.gitlab.librewolf-community/config/librewolf/librewolf
        Waterfox: .waterfox
        Waterfox: .var/app/net.waterfox.waterfox/.waterfox
        Floorp: .floorp
        Floorp: .config/floorp
        Floorp: .var/app/one.ablaze.floorp/.floorp
        Zen: .zen
        Zen: .config/zen
        Zen: .var/app/app.zen_browser.zen/.zen
        Zen: .var/app/io.github.zen_browser.zen/.zen
        CachyOS Browser: .cachy
        Pale Moon: .moonchild productions/pale moon
        Basilisk: .moonchild productions/basilisk
        Basilisk: .basilisk-dev/basilisk
        Tor Browser: .local/share/torbrowser/tbb/x86_64/tor-browser/Browser/TorBrowser/Data/Browser
        Tor Browser: .var/app/org.torproject.torbrowser-launcher/data/torbrowser/tbb/x86_64/tor-browser_en-US/Browser/TorBrowser/Data/Browser
        Tor Browser: tor-browser/Browser/TorBrowser/Data/Browser
        Mullvad Browser: .mullvad/mullvadbrowser
        Mullvad Browser: .local/share/mullvad-browser/Browser/TorBrowser/Data/Browser
        Chromium: .pki/nssdb (bare)
        Chromium: .local/share/pki/nssdb (bare)
        Chromium: snap/chromium/current/.pki/nssdb (bare)
        Chromium: snap/chromium/2890/.local/share/pki/nssdb (bare)
        Chromium: .var/app/org.chromium.Chromium/.pki/nssdb (bare)
        Chromium: .var/app/com.google.Chrome/data/pki/nssdb (bare)
        Evolution: .local/share/evolution (bare)
        LibreOffice: .config/libreoffice (bare)
    """,  # noqa: E501 - a path has no place to break
    "darwin": """
        Firefox: Library/Application Support/Firefox
        Firefox: Library/Group Containers/AB12CD34EF.org.mozilla.firefox/Library/Application Support/Profiles
        Thunderbird: Library/Thunderbird
        SeaMonkey: Library/Application Support/SeaMonkey
        IceCat: Library/Application Support/IceCat
        LibreWolf: Library/Application Support/LibreWolf
        Waterfox: Library/Application Support/Waterfox
        Waterfox: Library/Group Containers/PZWYM7N4GF.net.waterfox.waterfox.browserprofiles/Library/Application Support/Profiles
        Floorp: Library/Application Support/Floorp
        Zen: Library/Application Support/zen
        Pale Moon: Library/Application Support/Pale Moon
        Basilisk: Library/Application Support/Basilisk
        Tor Browser: Library/Application Support/TorBrowser-Data/Browser
        Mullvad Browser: Library/Application Support/MullvadBrowser
    """,  # noqa: E501 - a path has no place to break
    "win32": """
        Firefox: AppData/Roaming/Mozilla/Firefox
        Firefox: AppData/Local/Packages/Mozilla.Firefox_n80bbvh6b1yt2/LocalCache/Roaming/Mozilla/Firefox
        Thunderbird: AppData/Roaming/Thunderbird
        Thunderbird: AppData/Local/Packages/MozillaThunderbird.MZLA_h5892qc0xkpca/LocalCache/Roaming/Thunderbird
        SeaMonkey: AppData/Roaming/Mozilla/SeaMonkey
        IceCat: AppData/Roaming/Mozilla/icecat
        LibreWolf: AppData/Roaming/librewolf
        LibreWolf: AppData/Local/Packages/31856maltejur.LibreWolf_ssmwz6s360tct/LocalCache/Roaming/librewolf
        Waterfox: AppData/Roaming/Waterfox
        Floorp: AppData/Roaming/Floorp
        Zen: AppData/Roaming/zen
        Pale Moon: AppData/Roaming/Moonchild Productions/Pale Moon
        Basilisk: AppData/Roaming/Basilisk-Dev/Basilisk
        Basilisk: AppData/Roaming/Moonchild Productions/Basilisk
        Tor Browser: Desktop/Tor Browser/Browser/TorBrowser/Data/Browser
        Mullvad Browser: AppData/Roaming/Mullvad/MullvadBrowser
        Evolution: AppData/Local/evolution (bare)
    """,  # noqa: E501 - a path has no place to break
}

Place = tuple[str, str, bool]


def expected(platform: Platform) -> list[Place]:
    """The application, the folder below the home, and whether it is a profile itself."""
    lines = (line.strip() for line in EXPECTED[platform].strip().splitlines())
    places = (line.partition(": ") for line in lines)
    return [(name, path.removesuffix(" (bare)"), "(bare)" in path) for name, _, path in places]


EACH = [(platform, place) for platform in HOMES for place in expected(platform)]


@pytest.mark.parametrize(
    ("platform", "place"), EACH, ids=[f"{platform}-{place[1]}" for platform, place in EACH]
)
def test_a_profile_in_every_place_is_found_on_every_machine(
    machine: Machine, platform: Platform, place: Place
) -> None:
    application, below, bare = place
    folder = machine.home / below
    folder = machine.profile(folder if bare else folder / "ab12.default")
    (profile,) = find_profiles(Machine(machine.home, platform).system())
    assert (profile.path, profile.application, profile.store) == (folder, application, "sqlite")


@pytest.mark.parametrize("platform", HOMES)
def test_the_table_has_these_places_and_no_others(platform: Platform) -> None:
    home = HOMES[platform]
    wanted = [(name, (home / below).as_posix(), bare) for name, below, bare in expected(platform)]
    had = candidate_roots(System(platform, home, {}))
    for one in had:
        fits = re.compile(translate(one.path.as_posix()), re.IGNORECASE).match
        assert any((name, bare) == (one.application, one.bare) and fits(path)
                   for name, path, bare in wanted), one.path  # fmt: skip
    assert len(had) == len(wanted)


@pytest.mark.parametrize("platform", HOMES)
def test_a_place_of_one_platform_is_none_of_another(machine: Machine, platform: Platform) -> None:
    for other, (_, below, bare) in EACH:
        if other != platform and below not in {path for _, path, _ in expected(platform)}:
            folder = machine.home / below
            machine.profile(folder if bare else folder / "ab12.default")
    assert find_profiles(Machine(machine.home, platform).system()) == ()


FIREFOX = [below for name, below, _ in expected("linux") if name == "Firefox"]
LEGACY, CONFIG = (f"/home/anna/{below}" for below in FIREFOX[:2])
SANDBOXED = [f"/home/anna/{below}" for below in FIREFOX[2:]]
APPDATA = r"C:\Users\anna\AppData\Roaming\Mozilla\Firefox"
GROUPED = "Library/Group Containers/*mozilla*/Library/Application Support/Profiles"
STORE = (
    r"C:\Users\anna\AppData\Local\Packages\Mozilla.Firefox*_*\LocalCache\Roaming\Mozilla\Firefox"
)


@pytest.mark.parametrize(
    ("platform", "environment", "paths"),
    [
        ("linux", {}, [LEGACY, CONFIG, *SANDBOXED]),
        (
            "linux",
            {"XDG_CONFIG_HOME": "/data/anna"},
            [LEGACY, "/data/anna/mozilla/firefox", CONFIG, *SANDBOXED],
        ),
        ("linux", {"XDG_CONFIG_HOME": "/home/anna/.config"}, [LEGACY, CONFIG, *SANDBOXED]),
        ("linux", {"XDG_CONFIG_HOME": "config"}, [LEGACY, CONFIG, *SANDBOXED]),
        ("linux", {"XDG_CONFIG_HOME": ""}, [LEGACY, CONFIG, *SANDBOXED]),
        ("linux", {"APPDATA": "/x"}, [LEGACY, CONFIG, *SANDBOXED]),
        ("linux", {"MOZ_APP_DATA": "/x/data"}, [LEGACY, CONFIG, *SANDBOXED, "/x/data"]),
        ("linux", {"MOZ_APP_DATA": "data"}, [LEGACY, CONFIG, *SANDBOXED]),
        (
            "darwin",
            {"XDG_CONFIG_HOME": "/x", "MOZ_APP_DATA": "/x/data"},
            [
                "/Users/anna/Library/Application Support/Firefox",
                f"/Users/anna/{GROUPED}",
                "/x/data",
            ],
        ),
        ("win32", {}, [APPDATA, STORE]),
        (
            "win32",
            {"APPDATA": r"\\server\profiles\anna"},
            [r"\\server\profiles\anna\Mozilla\Firefox", APPDATA, STORE],
        ),
        ("win32", {"APPDATA": r"AppData\Roaming", "MOZ_APP_DATA": r"\data"}, [APPDATA, STORE]),
        ("win32", {"MOZ_APP_DATA": r"D:\x"}, [APPDATA, STORE, r"D:\x"]),
    ],
)
def test_firefox_has_these_roots(
    platform: Platform, environment: dict[str, str], paths: list[str]
) -> None:
    candidates = candidate_roots(System(platform, HOMES[platform], environment))
    assert [str(one.path) for one in candidates if one.application == "Firefox"] == paths


@unix
def test_the_current_revision_of_a_snap_is_shown_by_its_number(machine: Machine) -> None:
    old = machine.profile(machine.home / "snap/chromium/2880/.pki/nssdb")
    new = machine.profile(machine.home / "snap/chromium/2890/.pki/nssdb")
    (machine.home / "snap/chromium/current").symlink_to("2890")
    assert [one.path for one in find_profiles(machine.system())] == [old, new]


@pytest.mark.posix("Windows allows no such name")
def test_signs_of_a_pattern_in_the_homes_own_name_are_none(machine: Machine) -> None:
    special = Machine(machine.home / "[a]*?")
    folder = special.profile(special.home / "snap/chromium/2890/.pki/nssdb")
    special.profile(machine.home / "a/snap/chromium/2890/.pki/nssdb")
    assert [one.path for one in find_profiles(special.system())] == [folder]


def test_a_pattern_ends(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert roots.MATCH_LIMIT <= 1_000
    assert folder.SCAN_LIMIT <= 10_000
    for number in range(9):
        machine.profile(machine.home / f".var/app/org.{number}/.pki/nssdb")
    assert len(find_profiles(machine.system())) == 9
    monkeypatch.setattr(roots, "MATCH_LIMIT", 5)
    assert len(find_profiles(machine.system())) == 5
    monkeypatch.setattr(folder, "SCAN_LIMIT", 4)
    assert len(find_profiles(machine.system())) == 4


@pytest.mark.parametrize(
    ("names", "applications"),
    [
        ([], set()),
        (["Firefox"], {"Firefox"}),
        (["palemoon", "PALE MOON", "pale-moon"], {"Pale Moon"}),
        (["chromium"], {"Chromium"}),
        (["evolution"], {"Evolution", "Chromium"}),
        (["google-chrome", "brave", "Edge"], {"Chromium"}),
        (["tor", "mullvad", "cachyos"], {"Tor Browser", "Mullvad Browser", "CachyOS Browser"}),
    ],
)
def test_an_application_goes_by_these_names(names: list[str], applications: set[str]) -> None:
    assert applications_named(names) == applications
    assert applications_named(iter(names)) == applications


@pytest.mark.parametrize("name", ["", "-", "Internet Explorer", "fire fox 2"])
def test_another_name_is_a_usage_error_that_lists_them(name: str) -> None:
    with pytest.raises(UsageError, match=f"`{name}`") as caught:
        applications_named(["firefox", name])
    assert caught.value.hint is not None
    for application in ("Firefox", "Thunderbird", "Chromium", "Evolution", "Tor Browser"):
        assert application in caught.value.hint


@pytest.mark.parametrize(
    ("text", "application"),
    [
        ("Old Firefox Data", "Firefox"),
        ("Alte Firefox-Daten", "Firefox"),
        ("以前のFirefoxデータ", "Firefox"),
        ("Old Thunderbird Data", "Thunderbird"),
        ("PALE MOON 2020", "Pale Moon"),
        ("Lizenzen", None),
        ("", None),
    ],
)
def test_an_application_is_known_by_a_word_in_a_folders_name(
    text: str, application: str | None
) -> None:
    assert application_in(text) == application


def test_no_place_is_twice_in_the_table() -> None:
    for platform, home in HOMES.items():
        found = candidate_roots(System(platform, home, {}))
        assert not any(a.path == b.path for a, b in itertools.combinations(found, 2))
