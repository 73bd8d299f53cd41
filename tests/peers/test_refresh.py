"""After *Refresh Firefox*, which the real Firefox does here, a certificate is backed up as before.

Debian's Firefox can be made to refresh only with a copy of its program folder: the application asks
for a migrator by the program's own name, `firefox-esr`, and the one there is calls itself `firefox`
(FirefoxProfileMigrator.sys.mjs), so that a refresh would take nothing along, not even `key4.db`. In
the copy the migrator has the other name; it is unchanged otherwise, and so is all else.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests import FIXTURES, LIMIT
from tests.cli.runner import FAST, STRONG, Cli, Result
from tests.conftest import Facts
from tests.peers import need
from tests.peers.exports import Expected, exportable, fingerprint
from tests.peers.firefox import PROGRAM, Firefox
from tests.peers.process import run
from tests.peers.readers import OpenSsl

_MIGRATOR = "modules/FirefoxProfileMigrator.sys.mjs"
_NAME = b'return "firefox";'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, require_peers: bool) -> Path:
    """A Firefox that can refresh."""
    need(Firefox.missing() or OpenSsl().missing(), required=require_peers)
    installed = Path(shutil.which(PROGRAM) or "").resolve().parent
    copy = tmp_path_factory.mktemp("firefox") / "firefox"
    shutil.copytree(
        installed, copy, copy_function=lambda source, link: Path(link).symlink_to(source)
    )
    # Where these lie is where it looks for the others.
    for name in (PROGRAM, "application.ini"):
        (copy / name).unlink()
        shutil.copy(installed / name, copy / name)
    archive = copy / "browser" / "omni.ja"
    archive.unlink()
    with (
        zipfile.ZipFile(installed / "browser" / "omni.ja") as before,
        zipfile.ZipFile(archive, "w") as after,
    ):
        for name in before.namelist():
            data = before.read(name)
            if name == _MIGRATOR:
                assert data.count(_NAME) == 1
                data = data.replace(_NAME, f'return "{PROGRAM}";'.encode())
            after.writestr(name, data)
    return copy / PROGRAM


class Refreshed:
    """The home of a user who had a certificate and refreshed Firefox."""

    def __init__(self, folder: Path, program: Path, wanted: Expected, desktop: str | None) -> None:
        self.cli = Cli(folder)
        self.wanted = wanted
        home = self.cli.home
        if desktop is not None:
            (home / desktop).mkdir()
            (home / ".config").mkdir()
            line = f'XDG_DESKTOP_DIR="$HOME/{desktop}"\n'
            (home / ".config" / "user-dirs.dirs").write_text(line, encoding="utf-8")
        former = Firefox.make_profile(home, "jane")
        shutil.copytree(FIXTURES / "profiles" / wanted.case, former, dirs_exist_ok=True)
        self._run(program)
        self._run(program, MOZ_RESET_PROFILE_RESTART="1")
        (self.profile,) = (path for path in former.parent.glob("*.jane-*") if path.is_dir())
        self.left = home / (desktop or ".") / "Old Firefox Data" / former.name

    def _run(self, program: Path, **environment: str) -> None:
        # A picture is taken, and that's the end.
        picture = self.cli.folder / "picture.png"
        run(
            [
                *(program, "--headless", "--no-remote", "-P", "jane"),
                *("--screenshot", picture, "about:blank"),
            ],
            env={"HOME": str(self.cli.home), "XDG_CONFIG_HOME": "", **environment},
            timeout=LIMIT,
        )

    def rows(self, *arguments: str | Path) -> list[dict[str, Any]]:
        """What `list` shows."""
        found = self.cli.run("list", "--json", *arguments)
        assert found.status == 0, found.stdout
        rows = found.document["identities"]
        assert isinstance(rows, list)
        return rows

    def export(self, *arguments: str | Path) -> Result:
        """Export to `backup.pfx`."""
        primary = self.cli.file("primary", f"{self.wanted.primary_password}\n")
        return self.cli.run(
            *("export", "--json", "-o", "backup.pfx", "--password-file", self.cli.password_file()),
            *(
                *(("--primary-password-file", primary) if self.wanted.primary_password else ()),
                *FAST,
            ),
            *arguments,
        )

    def check_backup(self, certificates: tuple[str, ...]) -> None:
        """Have OpenSSL open it: the key and these certificates are in it."""
        opened = OpenSsl().open(self.cli.here / "backup.pfx", STRONG)
        assert opened.key_pkcs8 == self.wanted.key
        assert tuple(fingerprint(der) for der in opened.certificates) == certificates


@pytest.fixture
def refreshed(tmp_path: Path, program: Path) -> Callable[[str, str | None], Refreshed]:
    def make(case: str, desktop: str | None) -> Refreshed:
        wanted = next(each for each in exportable() if each.case == case)
        return Refreshed(tmp_path, program, wanted, desktop)

    return make


@pytest.mark.parametrize(
    ("case", "desktop"),
    [
        ("firefox-nopassword", "Desktop"),
        ("firefox-password", None),
        ("firefox-password-unicode", "Schreibtisch"),
    ],
)
def test_list_and_export_just_work(
    refreshed: Callable[[str, str | None], Refreshed],
    snapshot_of: Callable[[Path], Facts],
    case: str,
    desktop: str | None,
) -> None:
    user = refreshed(case, desktop)
    # The key went along, the certificate did not, and the pair is in the old profile.
    assert _objects(user.profile) == (1, 0)
    assert _objects(user.left)[0] == 1
    before = [snapshot_of(folder) for folder in (user.profile, user.left)]
    found = user.cli.run("doctor", "--json").document["profiles"]
    codes = [{one["code"] for one in each["findings"]} for each in found]
    assert {"refreshed", "certificate-elsewhere"} <= codes[0]
    assert "refreshed" not in codes[1]
    rows = user.rows()
    assert {(row["sha256"], row["key"]["present"]) for row in rows} == {
        (user.wanted.fingerprint, True)
    }
    done = user.export()
    assert done.status == 0, done.stdout
    assert done.document["identity"]["sha256"] == user.wanted.fingerprint
    user.check_backup(user.wanted.certificates)
    assert [snapshot_of(folder) for folder in (user.profile, user.left)] == before


@pytest.mark.parametrize(
    ("case", "encoding"), [("firefox-nopassword", Encoding.DER), ("firefox-password", Encoding.PEM)]
)
def test_with_the_old_profile_gone_a_given_certificate_helps(
    refreshed: Callable[[str, str | None], Refreshed], case: str, encoding: Encoding
) -> None:
    user = refreshed(case, "Desktop")
    certificate = user.cli.file("certificate", _certificate(user.left, user.wanted, encoding))
    shutil.rmtree(user.left.parent)
    assert user.rows() == []
    assert user.export().status == 20
    done = user.export("--certificate", certificate)
    assert done.status == 0, done.stdout
    assert done.document["identity"]["profile"] == str(user.profile)
    user.check_backup((user.wanted.fingerprint,))


def _objects(profile: Path) -> tuple[int, int]:
    """How many private keys and how many certificates SQLite counts in a store."""
    counts = []
    for name, table, kind in (("key4.db", "nssPrivate", 3), ("cert9.db", "nssPublic", 1)):
        with closing(sqlite3.connect(f"file:{profile / name}?mode=ro", uri=True)) as connection:
            query = f"SELECT count(*) FROM {table} WHERE a0 = ?"  # noqa: S608 - constants
            counts.append(connection.execute(query, (kind.to_bytes(4, "big"),)).fetchone()[0])
    return counts[0], counts[1]


def _certificate(profile: Path, wanted: Expected, encoding: Encoding) -> bytes:
    """The certificate itself, as its owner has it from WIPO."""
    with closing(sqlite3.connect(f"file:{profile / 'cert9.db'}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT a11 FROM nssPublic").fetchall()
    (der,) = {
        der for (der,) in rows if der and hashlib.sha256(der).hexdigest() == wanted.fingerprint
    }
    return x509.load_der_x509_certificate(der).public_bytes(encoding)
