from __future__ import annotations

from pathlib import PurePath, PurePosixPath, PureWindowsPath

import pytest

from nssbackup.system.sqlite import database_uri


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PurePosixPath("/home/a b/key4.db"), "file:///home/a%20b/key4.db?mode=ro"),
        (PurePosixPath("/p?x#y%z/k.db"), "file:///p%3Fx%23y%25z/k.db?mode=ro"),
        (PurePosixPath("/ü/k.db"), "file:///%C3%BC/k.db?mode=ro"),
        (PureWindowsPath(r"C:\Users\J D\key4.db"), "file:///C:/Users/J%20D/key4.db?mode=ro"),
        (
            PureWindowsPath(r"\\server\share\p\key4.db"),
            "file:////server/share/p/key4.db?mode=ro",
        ),
    ],
)
def test_the_uri_is_one_that_sqlite_takes(path: PurePath, uri: str) -> None:
    """sqlite.org/uri.html: no authority but `localhost`, so that of a UNC path is doubled."""
    built = database_uri(path)
    assert built == uri or built == uri.replace("file:////", "file://///")
