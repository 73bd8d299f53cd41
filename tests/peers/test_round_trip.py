"""Store, file, restored store, file: the same key, certificate and chain, whichever engine did it.

The native engine with every identity of the fixtures, NSS on either side with one of each kind.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest

from nssbackup.backups.export import ExportOptions, export_identity
from nssbackup.backups.writing import Dialogue
from nssbackup.identity.model import Profile
from nssbackup.pkcs12 import FEWEST_ROUNDS, MODERN, PfxContents, PfxWriters, open_pfx
from nssbackup.profiles import resolve_profiles
from nssbackup.restore.restore import RestoreDialogue, restore_backup
from nssbackup.restore.staging import RestoreOptions
from nssbackup.secret import Secret
from nssbackup.stores import EngineName
from nssbackup.stores.nss import NssEngine
from tests import FIXTURES
from tests.peers import need
from tests.peers.exports import Expected, exportable

_WITH_NSS = ("firefox-password-unicode", "rsa4096", "ec-p256", "ec-p521", "chain3", "legacy-ec")
_PASSWORD = Secret("Grüße aus Zürich")


def _export(
    folder: Path, expected: Expected, primary: str, output: Path, engine: EngineName
) -> Path:
    report = export_identity(
        resolve_profiles([str(folder)]),
        ExportOptions(certificate=expected.fingerprint, output=str(output), engine=engine),
        Dialogue(
            primary_password=lambda _, attempt: None if attempt else Secret(primary),
            pfx_writers=lambda _: PfxWriters.start(_PASSWORD, (MODERN,), FEWEST_ROUNDS),
        ),
    )
    return report.files[0].path


@functools.lru_cache(maxsize=2)
def _first(expected: Expected, engine: EngineName) -> bytes:
    """The file of a fixture's identity, which each engine restores."""
    source = FIXTURES / "profiles" / expected.case
    with tempfile.TemporaryDirectory(prefix="round-trip-") as folder:
        output = Path(folder, "first.pfx")
        return _export(source, expected, expected.primary_password, output, engine).read_bytes()


def _contents(pfx: Path) -> tuple[object, ...]:
    opened: PfxContents = open_pfx(pfx.read_bytes(), _PASSWORD)
    (key,) = opened.keys
    return (
        *(key.key.pkcs8, key.friendly_name, key.local_key_id),
        [(one.certificate.der, one.friendly_name) for one in opened.certificates],
    )


@pytest.mark.parametrize(
    ("expected", "reader", "writer"),
    [
        *((each, "native", "native") for each in exportable()),
        *(
            (each, reader, writer)
            for each in exportable()
            if each.case in _WITH_NSS
            for reader, writer in (("native", "nss"), ("nss", "native"))
        ),
    ],
    ids=str,
)
def test_a_restored_store_gives_the_file_it_was_made_of(
    expected: Expected,
    reader: EngineName,
    writer: EngineName,
    tmp_path: Path,
    require_peers: bool,
) -> None:
    if "nss" in (reader, writer):
        need(NssEngine().unavailable(), required=require_peers)
    first = tmp_path / "first.pfx"
    first.write_bytes(_first(expected, reader))
    restored = tmp_path / "restored"
    restored.mkdir()
    report = restore_backup(
        first,
        Profile(restored, "restored", "Firefox"),
        RestoreOptions(engine=writer),
        RestoreDialogue(lambda *_: _PASSWORD, lambda *_: None),
    )
    assert report.changed
    second = _export(restored, expected, "", tmp_path / "second.pfx", writer)
    assert _contents(second) == _contents(first)
    assert _contents(first)[0] == expected.key
