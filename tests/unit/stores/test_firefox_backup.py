"""Firefox's own backup file: opened whole, or refused with what is the matter with it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from nssbackup.errors import (
    DamagedContainerError,
    NotEncryptedError,
    NssBackupError,
    UnsupportedContainerError,
    WrongRecoveryPasswordError,
)
from nssbackup.secret import Secret
from nssbackup.stores.firefox_backup import read_databases, read_header
from tests import FIXTURES
from tests.builders.firefox_backup import CHUNK, META, PASSWORD, archive, firefox_backup, of_profile

FILES = of_profile(FIXTURES / "profiles" / "firefox-nopassword")
DATABASES = {name.partition("/")[2]: data for name, data in FILES.items() if name.endswith(".db")}


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "FirefoxBackup_p_20261130-100000.000.html"
    path.write_bytes(data)
    return path


def opened(path: Path, password: str = PASSWORD) -> dict[str, bytes]:
    return read_databases(path, Secret(password))


@pytest.mark.parametrize(
    ("size", "mark_full"), [(None, False), (CHUNK, False), (2 * CHUNK, True), (3 * CHUNK + 7, True)]
)
@pytest.mark.parametrize("version", [1, 2])
def test_every_size_opens(
    tmp_path: Path, size: int | None, version: int, *, mark_full: bool
) -> None:
    data = firefox_backup(archive(FILES, size), version=version, mark_full=mark_full)
    path = written(tmp_path, data)
    assert opened(path) == DATABASES
    header = read_header(path)
    assert (header.created, header.application) == (META["date"], "firefox 153.0")


def test_the_text_of_the_description_counts(tmp_path: Path) -> None:
    meta = {**META, "profileName": 'a "meta": é', "more": {"meta": 1}}
    data = firefox_backup(archive(FILES), meta=meta)
    assert opened(written(tmp_path, data)) == DATABASES
    changed = data.replace(b'"appVersion":"153.0"', b'"appVersion":"154.0"')
    with pytest.raises(DamagedContainerError, match="its description was changed"):
        opened(written(tmp_path, changed))


def test_a_wrong_password_is_told_from_damage(tmp_path: Path) -> None:
    path = written(tmp_path, firefox_backup(archive(FILES)))
    with pytest.raises(WrongRecoveryPasswordError) as caught:
        opened(path, "another")
    assert caught.value.exit_status == 12
    assert "Primary Password" in str(caught.value.hint)


def test_a_backup_that_is_not_encrypted_has_no_certificate(tmp_path: Path) -> None:
    path = written(tmp_path, firefox_backup(archive({}), encrypted=False))
    with pytest.raises(NotEncryptedError) as caught:
        opened(path)
    assert caught.value.exit_status == 20


def test_a_newer_version_is_called_so(tmp_path: Path) -> None:
    path = written(tmp_path, firefox_backup(archive(FILES), version=3))
    with pytest.raises(UnsupportedContainerError, match="has version 3: only 1 and 2 are known"):
        opened(path)


def test_a_missing_or_exchanged_chunk_is_damage(tmp_path: Path) -> None:
    lines = firefox_backup(archive(FILES, 3 * CHUNK + 5)).split(b"\n")
    chunks = [at for at, line in enumerate(lines) if len(line) > CHUNK]
    first, second, third = chunks
    for changed in (
        lines[:second] + lines[third:],
        lines[: third + 1] + lines[third + 2 :],  # the last, short one
        [*lines[:first], lines[second], lines[first], *lines[third:]],
        lines[:third],
        [*lines[:third], lines[third][:-40]],
    ):
        with pytest.raises(DamagedContainerError):
            opened(written(tmp_path, b"\n".join(changed)))


def test_a_change_anywhere_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Never another database, never a traceback."""
    data = firefox_backup(archive(FILES))
    begin = data.index(b'{"version"')
    pick = random.Random(1)  # noqa: S311 - no secret
    for _ in range(12):
        at = pick.randrange(begin, len(data))
        changed = data[:at] + bytes([data[at] ^ 1 << pick.randrange(8)]) + data[at + 1 :]
        status = 0
        try:
            assert opened(written(tmp_path, changed)) == DATABASES
        except NssBackupError as error:
            status = error.exit_status
        assert status in (0, 11, 12, 20)


@pytest.mark.parametrize("name", ["cert9.db", "key4.db"])
def test_a_database_that_is_too_large_is_refused(tmp_path: Path, name: str) -> None:
    files = {f"credentials_and_security/{name}": bytes(33 * 1024 * 1024)}
    path = written(tmp_path, firefox_backup(archive(files)))
    with pytest.raises(UnsupportedContainerError, match="is too large"):
        opened(path)
