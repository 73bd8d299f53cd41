from __future__ import annotations

from pathlib import PurePath, PurePosixPath, PureWindowsPath

import pytest

from nssbackup.profiles.roots import candidate_roots
from nssbackup.profiles.system import Platform, System

ANNA = PurePosixPath("/home/anna")
LEGACY = "/home/anna/.mozilla/firefox"
CONFIG = "/home/anna/.config/mozilla/firefox"
MAC = PurePosixPath("/Users/anna")
WINDOWS = PureWindowsPath(r"C:\Users\anna")


@pytest.mark.parametrize(
    ("platform", "home", "environment", "paths"),
    [
        pytest.param("linux", ANNA, {}, [LEGACY, CONFIG], id="linux"),
        pytest.param(
            "linux",
            ANNA,
            {"XDG_CONFIG_HOME": "/data/anna"},
            [LEGACY, "/data/anna/mozilla/firefox", CONFIG],
            id="linux with XDG_CONFIG_HOME",
        ),
        pytest.param(
            "linux",
            ANNA,
            {"XDG_CONFIG_HOME": "/home/anna/.config"},
            [LEGACY, CONFIG],
            id="linux with XDG_CONFIG_HOME as it is anyway",
        ),
        pytest.param(
            "linux",
            ANNA,
            {"XDG_CONFIG_HOME": "config"},
            [LEGACY, CONFIG],
            id="linux with a relative XDG_CONFIG_HOME",
        ),
        pytest.param(
            "linux", ANNA, {"XDG_CONFIG_HOME": ""}, [LEGACY, CONFIG], id="linux with an empty one"
        ),
        pytest.param(
            "linux", ANNA, {"APPDATA": "/x"}, [LEGACY, CONFIG], id="linux with a foreign variable"
        ),
        pytest.param(
            "darwin",
            MAC,
            {"XDG_CONFIG_HOME": "/x"},
            ["/Users/anna/Library/Application Support/Firefox"],
            id="macOS",
        ),
        pytest.param(
            "win32",
            WINDOWS,
            {},
            [r"C:\Users\anna\AppData\Roaming\Mozilla\Firefox"],
            id="Windows without APPDATA",
        ),
        pytest.param(
            "win32",
            WINDOWS,
            {"APPDATA": r"\\server\profiles\anna"},
            [r"\\server\profiles\anna\Mozilla\Firefox"],
            id="Windows with APPDATA on a share",
        ),
        pytest.param(
            "win32",
            WINDOWS,
            {"APPDATA": r"AppData\Roaming"},
            [r"C:\Users\anna\AppData\Roaming\Mozilla\Firefox"],
            id="Windows with a relative APPDATA",
        ),
    ],
)
def test_firefox_has_these_roots(
    platform: Platform, home: PurePath, environment: dict[str, str], paths: list[str]
) -> None:
    roots = candidate_roots(System(platform, home, environment))
    assert [str(root.path) for root in roots] == paths
    assert {root.application for root in roots} == {"Firefox"}
