"""Every reader opens what `batch` writes: its files share one salt between key and certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from nssbackup.batch.options import BatchOptions, Roots
from nssbackup.batch.user_backup import back_up_user
from nssbackup.batch.users import Source, User
from nssbackup.secret import Secret
from nssbackup.system.files import make_folder
from tests.builders.homes import JANE, add_home
from tests.peers import need
from tests.peers.exports import exportable, fingerprint
from tests.peers.readers import Reader, readers

PASSWORD = "Correct-Horse-Battery-Staple-47"


@pytest.mark.parametrize("format_", ["modern", "compatible"])
@pytest.mark.parametrize("reader", readers(), ids=lambda reader: reader.name)
def test_a_reader_opens_a_file_of_batch(
    reader: Reader, format_: str, tmp_path: Path, require_peers: bool
) -> None:
    need(reader.missing(), required=require_peers)
    (expected,) = (each for each in exportable() if each.case == JANE)
    home = add_home(tmp_path / "homes", "jane", JANE)
    make_folder(tmp_path / "out" / ".nssbackup")
    options = BatchOptions(
        Roots(), tmp_path / "out", "h", formats=(format_,), passwords=Secret(PASSWORD)
    )
    (item,) = back_up_user(User("jane", (Source("jane", home, is_home=True),)), options).items
    assert item.file is not None
    opened = reader.open(tmp_path / "out" / item.file, PASSWORD)
    found = [fingerprint(der) for der in opened.certificates]
    assert found[0] == expected.fingerprint
    assert sorted(found) == sorted(expected.certificates)
    if "key" not in reader.cannot:
        assert opened.key_pkcs8 == expected.key
