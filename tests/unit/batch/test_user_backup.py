"""One user's backups: what is written, what is left alone, and what becomes a failure."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nssbackup.backups.verify import verify_backup
from nssbackup.batch.options import BatchOptions, Passwords, Roots
from nssbackup.batch.password_table import PasswordTable
from nssbackup.batch.report import BatchItem
from nssbackup.batch.user_backup import Outcome, back_up_user
from nssbackup.batch.users import Source, User
from nssbackup.identity.certificate import from_der
from nssbackup.pkcs12 import PfxEntry, PfxWriter
from nssbackup.secret import Secret
from nssbackup.system.files import make_folder
from tests import PROFILES
from tests.builders.homes import (
    JANE,
    JANES_FILE,
    LOCKED,
    PRIMARY,
    ROOTS,
    add_home,
    backups,
    everything,
    kept_passwords,
    opened,
    password_rows,
    profile_in,
)
from tests.builders.irregular import CA_NAME
from tests.builders.store import StoreBuilder, ec_key, issue, issuer_id, own_id
from tests.unit.profiles.machine import closed

GIVEN = Secret("Correct-Horse-Battery-Staple-47")


@pytest.fixture
def options(tmp_path: Path) -> BatchOptions:
    folder = tmp_path / "backups"
    make_folder(folder / ".nssbackup")
    return BatchOptions(Roots(), folder, "building-1")


def jane(*homes: Path) -> User:
    return User("jane", tuple(Source("jane", home, is_home=True) for home in homes))


def run(user: User, options: BatchOptions) -> tuple[BatchItem, ...]:
    return back_up_user(user, options).items


def notes_of(outcome: Outcome) -> list[str]:
    return [note for home in outcome.homes for note in home.notes]


def statuses(items: Sequence[BatchItem]) -> list[str]:
    return [item.status for item in items]


def homes(outcome: Outcome) -> list[str]:
    return [home.status for home in outcome.homes]


def messages(items: Sequence[BatchItem]) -> list[str]:
    return [str(item.error["message"]) for item in items if item.error]


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in backups(folder)]


def test_the_wipo_identity_is_backed_up_from_a_home_left_alone(
    tmp_path: Path, options: BatchOptions
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    before = everything(home)
    outcome = back_up_user(jane(home), options)
    (item,) = outcome.items
    assert everything(home) == before
    assert (item.status, item.user, item.home) == ("backed-up", "jane", str(home))
    assert (item.application, item.profile_name) == ("Firefox", "p0")
    assert item.profile == str(profile_in(home))
    assert item.host == "building-1"
    assert item.identity is not None
    assert item.identity["common_name"] == "Jane Doe"
    assert item.file == f"jane/{JANES_FILE}"
    (left,) = opened(options.folder)
    assert item.sha256 in kept_passwords(options.folder)
    assert left.path.stat().st_size == item.size
    assert left.contents.identity is not None
    assert left.contents.identity.certificate.sha256 == item.identity["sha256"]
    (found,) = outcome.homes
    assert (found.profiles, found.identities, found.status) == (1, 1, "backed-up")


def test_a_generated_password_has_138_bits_and_2048_rounds(
    tmp_path: Path, options: BatchOptions
) -> None:
    run(jane(add_home(tmp_path / "homes", "jane", JANE, "rsa4096")), options)
    passwords = kept_passwords(options.folder)
    assert len(set(passwords.values())) == 2
    for left in opened(options.folder):
        described = left.contents.description
        every = (described.mac, *described.keys, *described.certificates)
        assert {each.rounds for each in every if each} == {2_048}
    for password in passwords.values():
        assert len(password.replace("-", "")) == 28
        assert set(password) <= set("23456789abcdefghjkmnpqrstuvwxyz-")


def test_every_identity_is_taken_once(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", "two-people", JANE)
    shutil.copytree(profile_in(home, 1), profile_in(home, 2))
    found = run(jane(home), options)
    assert statuses(found) == ["backed-up"] * 3
    assert len({str(item.identity and item.identity["sha256"]) for item in found}) == 3
    assert len(opened(options.folder)) == 3


def test_files_of_one_name_are_told_apart_by_the_fingerprint(
    tmp_path: Path, options: BatchOptions
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, "rsa4096", "ec-p256")
    found = run(jane(home), options)
    (plain,) = (item for item in found if item.file == f"jane/{JANES_FILE}")
    others = [item for item in found if item is not plain]
    for item in others:
        assert item.identity is not None
        digits = str(item.identity["sha256"])[:8]
        assert item.file == f"jane/{JANES_FILE.removesuffix('.pfx')}-{digits}.pfx"
    assert len(opened(options.folder)) == 3
    # The same the next night, in whatever order they are found.
    again = run(jane(home), options)
    assert {item.file for item in again} == {item.file for item in found}
    assert statuses(again) == ["unchanged"] * 3


def test_a_file_that_is_not_ours_is_not_replaced(tmp_path: Path, options: BatchOptions) -> None:
    make_folder(options.folder / "jane")
    theirs = options.folder / "jane" / JANES_FILE.upper()
    theirs.write_bytes(b"somebody else's")
    (item,) = run(jane(add_home(tmp_path / "homes", "jane", JANE)), options)
    assert item.status == "backed-up"
    assert item.file is not None
    assert item.file.startswith("jane/Jane Doe-WIPO Customer CA G2-2056-05-01-")
    assert theirs.read_bytes() == b"somebody else's"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["Jane at WIPO"]),
        ({"all_issuers": True}, ["Jane at WIPO", "Jane's mail"]),
        ({"certificates": ("mail",)}, ["Jane's mail"]),
        ({"certificates": ("Jane's mail", "Jane at WIPO")}, ["Jane at WIPO", "Jane's mail"]),
        ({"certificates": ("nobody",)}, []),
    ],
)
def test_which_identities_are_meant(
    tmp_path: Path, options: BatchOptions, change: dict[str, object], expected: list[str]
) -> None:
    home = add_home(tmp_path / "homes", "jane", "foreign-and-wipo")
    found = run(jane(home), replace(options, **change))  # type: ignore[arg-type] # of the table
    assert sorted(str(item.identity and item.identity["nickname"]) for item in found) == expected


def test_expired_ones_only_if_they_are_asked_for(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", "renewed")
    assert statuses(run(jane(home), options)) == ["backed-up"]  # the newer one
    found = run(jane(home), replace(options, expired=True))
    assert sorted(statuses(found)) == ["backed-up", "unchanged"]
    (old,) = (item for item in found if item.status == "backed-up")
    assert old.file == "jane/Jane Doe-WIPO Customer CA G2-2021-05-01.pfx"
    assert any("expired" in warning for warning in old.warnings)


def test_an_expired_one_without_a_newer_is_told(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", "expired")
    for _ in range(2):
        outcome = back_up_user(jane(home), options)
        assert (statuses(outcome.items), homes(outcome)) == (["expired"], ["expired"])
        assert outcome.items[0].file is None
    (made,) = run(jane(home), replace(options, expired=True))
    (left,) = run(jane(home), options)
    assert (left.status, left.file, left.sha256) == ("expired", made.file, made.sha256)


def test_only_the_applications_that_are_asked_for(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    shutil.copytree(PROFILES / "chain3", home / ".thunderbird" / "mail")
    assert len(run(jane(home), options)) == 2
    (item,) = run(jane(home), replace(options, applications=("thunderbird",)))
    assert item.application == "Thunderbird"


def test_a_plain_profile_folder_belongs_to_no_home(tmp_path: Path, options: BatchOptions) -> None:
    folder = Path(shutil.copytree(PROFILES / JANE, tmp_path / "plain"))
    (item,) = run(User("plain", (Source("plain", folder, is_home=False),)), options)
    assert (item.status, item.home, item.application) == ("backed-up", None, None)
    assert item.profile == str(folder)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_homes_of_every_system(tmp_path: Path, options: BatchOptions, platform: str) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, platform=platform)
    assert statuses(run(jane(home), options)) == ["backed-up"]


def test_two_homes_of_one_user_are_one_set(tmp_path: Path, options: BatchOptions) -> None:
    here, share = (add_home(tmp_path / top, "jane", JANE) for top in ("homes", "share"))
    shutil.copytree(PROFILES / "chain3", profile_in(share, 1))
    found = run(jane(here, share), options)
    assert sorted(str(item.home) for item in found) == sorted([str(here), str(share)])


def test_the_key_of_a_damaged_copy_comes_from_another(
    tmp_path: Path, options: BatchOptions
) -> None:
    home = tmp_path / "homes" / "jane"
    key, der = ec_key(0), issue(ec_key(0), "Jane Doe", "WIPO", by=ec_key(9))
    for number in (0, 1):
        store = StoreBuilder(profile_in(home, number), "")
        _, private = store.add_identity(key, der)
        if number == 0:
            store.set_secret(private, 0x11, b"another value than the point's")
        store.write()
    (profile_in(home, 0) / ".parentlock").touch()  # the one last used
    (item,) = run(jane(home), options)
    assert item.status == "backed-up"
    assert item.profile == str(profile_in(home, 1))
    assert any("taken from its copy" in warning for warning in item.warnings)
    (again,) = run(jane(home), options)
    assert (again.status, again.profile) == ("unchanged", item.profile)


def test_a_damaged_profile_is_one_row_of_several(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, "chain3")
    (profile_in(home, 0) / "key4.db").write_bytes(b"no database" * 100)
    found = run(jane(home), options)
    failed, done = sorted(found, key=lambda item: item.status != "failed")
    assert (failed.status, done.status) == ("failed", "backed-up")
    assert failed.profile == str(profile_in(home, 0))
    assert failed.error is not None
    assert (failed.error["status"], failed.error["code"]) == (11, "store-damaged")
    # It is tried again, and the other one is left alone.
    assert sorted(statuses(run(jane(home), options))) == ["failed", "unchanged"]


def test_where_no_profile_can_be_read_each_is_a_row(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, "chain3")
    for number, content in enumerate((b"no database" * 100, b"")):
        (profile_in(home, number) / "key4.db").write_bytes(content)
        (profile_in(home, number) / "cert9.db").write_bytes(b"no database" * 100)
    found = run(jane(home), options)
    assert statuses(found) == ["failed", "failed"]
    assert {item.profile for item in found} == {str(profile_in(home, n)) for n in (0, 1)}
    assert all(item.error and item.error["code"] == "store-damaged" for item in found)


def test_what_keeps_us_out_is_a_row() -> None:
    # Outside tmp_path, into which no other user may look.
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        home = add_home(Path(top), "jane", JANE)
        for folder in (home, home / ".mozilla", profile_in(home)):
            with closed(folder):
                options = BatchOptions(Roots(), Path(top) / "backups", "host", dry_run=True)
                (item,) = run(jane(home), options)
            assert item.status == "failed", folder
            assert item.error is not None
            assert (item.error["status"], item.error["code"]) == (11, "store-unreadable")
            assert "permission denied" in str(item.error["message"])
            assert "as `root`" in str(item.error["hint"])


def test_a_home_without_a_profile_is_nothing(tmp_path: Path, options: BatchOptions) -> None:
    (tmp_path / "jane").mkdir()
    outcome = back_up_user(jane(tmp_path / "jane"), options)
    assert outcome.items == ()
    (found,) = outcome.homes
    assert (found.profiles, found.identities, found.status) == (0, 0, "no-certificate")
    assert os.listdir(options.folder) == [".nssbackup"]  # noqa: PTH208 - names
    assert os.listdir(options.folder / ".nssbackup") == []  # noqa: PTH208 - names


def test_why_a_home_has_no_certificate_is_told(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", "key-without-certificate")
    (profile_in(home) / "user.js").write_text('user_pref("security.nocertdb", true);')
    outcome = back_up_user(jane(home), options)
    assert homes(outcome) == ["no-certificate"]
    setting, key = notes_of(outcome)
    assert setting.endswith("of `jane` keeps no certificates: `security.nocertdb` is set")
    assert "1 private key without a certificate" in key


def test_a_wipo_certificate_without_key_is_told(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", "certificate-without-key")
    outcome = back_up_user(jane(home), options)
    assert outcome.items == ()
    (note,) = notes_of(outcome)
    assert "`Jane Doe`" in note
    assert "doctor" in note


@pytest.mark.parametrize(
    ("primary", "expected"),
    [
        (None, "primary-password-required"),
        (Secret("wrong"), "wrong-primary-password"),
        (PasswordTable.of_rows([({"user": "bob"}, Secret(PRIMARY))]), "primary-password-required"),
        (Secret(PRIMARY), None),
        (PasswordTable.of_rows([({"user": "JANE"}, Secret(PRIMARY))]), None),
        (PasswordTable.of_rows([({"user": "jane", "profile": "p0"}, Secret(PRIMARY))]), None),
    ],
)
def test_the_primary_password(
    tmp_path: Path, options: BatchOptions, primary: Passwords | None, expected: str | None
) -> None:
    home = add_home(tmp_path / "homes", "jane", LOCKED, "chain3")
    found = run(jane(home), replace(options, primary=primary))
    errors = [item.error["code"] for item in found if item.error]
    assert errors == ([expected] if expected else [])
    assert statuses(found).count("backed-up") == (1 if expected else 2)
    for item in found:
        assert PRIMARY not in repr(item)


def test_a_password_for_each_and_none_for_some(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, "chain3")
    table = PasswordTable.of_rows([({"user": "jane", "profile": "p1"}, GIVEN)])
    found = run(jane(home), replace(options, passwords=table))
    failed, done = sorted(found, key=lambda item: item.status != "failed")
    assert failed.error is not None
    assert (failed.error["code"], failed.profile_name) == ("no-backup-password", "p0")
    assert done.profile_name == "p1"
    assert done.file is not None
    assert verify_backup(options.folder / done.file, GIVEN).ok


def test_both_formats_are_a_file_each(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    options = replace(options, formats=("modern", "compatible"))
    assert statuses(run(jane(home), options)) == ["backed-up"] * 2
    compatible = JANES_FILE.removesuffix(".pfx") + ".compatible.pfx"
    assert sorted(names(options.folder)) == sorted([f"jane/{JANES_FILE}", f"jane/{compatible}"])
    assert len(opened(options.folder)) == 2
    assert statuses(run(jane(home), options)) == ["unchanged"] * 2


def test_the_chain_goes_along_or_not(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", "chain3")
    run(jane(home), options)
    (left,) = opened(options.folder)
    assert len(left.contents.certificates) == 4
    run(jane(home), replace(options, chain=False))
    (left,) = opened(options.folder)
    assert len(left.contents.certificates) == 1


def test_a_file_that_is_not_what_was_to_be_written_gets_no_name(
    tmp_path: Path, options: BatchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = PfxWriter.encode_all

    def lose_the_chain(self: PfxWriter, entries: Sequence[PfxEntry]) -> bytes:
        lost = [replace(one, identity=replace(one.identity, chain=())) for one in entries]
        return encode(self, lost)

    monkeypatch.setattr(PfxWriter, "encode_all", lose_the_chain)
    (item,) = run(jane(add_home(tmp_path / "homes", "jane", JANE)), options)
    assert item.error is not None
    assert (item.status, item.error["status"]) == ("failed", 32)
    assert [path.name for path in (options.folder / "jane").iterdir()] == []


def test_what_is_no_certificate_is_told(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    store = StoreBuilder(profile_in(home, 1), "")
    store.add_identity(ec_key(1), issue(ec_key(1), "Jane's mail"))
    store.add_certificate(issue(ec_key(2), "Broken"))["a11"] = b"\x30\x03no certificate"
    store.write()
    for _ in range(2):
        outcome = back_up_user(jane(home), options)
        assert homes(outcome) == ["backed-up"]
        (note,) = notes_of(outcome)
        assert note.startswith("profile `00000001.p1` of `jane`: certificate")
        assert "was" in note


# The next night


def test_what_has_not_changed_is_not_touched(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (first,) = run(jane(home), options)
    before = everything(options.folder / "jane")
    (second,) = run(jane(home), options)
    assert second.status == "unchanged"
    assert replace(second, status="backed-up") == first
    assert everything(options.folder / "jane") == before
    assert len(password_rows(options.folder)) == 1


def test_force_makes_it_again_with_a_new_password(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (first,) = run(jane(home), options)
    (second,) = run(jane(home), replace(options, force=True))
    assert (second.status, second.file) == ("backed-up", first.file)
    assert second.sha256 != first.sha256
    assert len(opened(options.folder)) == 1
    assert {row["sha256"] for row in password_rows(options.folder)} == {first.sha256, second.sha256}


@pytest.mark.parametrize("damage", [b"", b"something else", None])
def test_a_backup_that_is_no_longer_what_it_was_is_renewed(
    tmp_path: Path, options: BatchOptions, damage: bytes | None
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), options)
    (path,) = backups(options.folder)
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert statuses(run(jane(home), options)) == ["backed-up"]
    assert [left.path for left in opened(options.folder)] == [path]


def test_a_renewal_is_another_file_and_the_old_one_stays(
    tmp_path: Path, options: BatchOptions
) -> None:
    home = add_home(tmp_path / "homes", "jane", "expired")
    (old,) = run(jane(home), replace(options, expired=True))
    shutil.rmtree(profile_in(home))
    shutil.copytree(PROFILES / "renewed", profile_in(home))
    (new,) = run(jane(home), options)
    assert new.status == "backed-up"
    assert {item.file for item in (old, new)} == set(names(options.folder))


def test_a_backup_outlives_its_certificate(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), options)
    shutil.rmtree(profile_in(home))
    shutil.copytree(PROFILES / "foreign-only", profile_in(home))
    assert run(jane(home), options) == ()
    assert names(options.folder) == [f"jane/{JANES_FILE}"]
    # It comes back: its file is known.
    shutil.rmtree(profile_in(home))
    shutil.copytree(PROFILES / JANE, profile_in(home))
    assert statuses(run(jane(home), options)) == ["unchanged"]


def test_another_chain_or_protection_is_a_renewal(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), options)
    for changed in (
        replace(options, chain=False),
        replace(options, rounds=4_096),
        replace(options, passwords=GIVEN),
    ):
        assert statuses(run(jane(home), changed)) == ["backed-up"]
        assert statuses(run(jane(home), changed)) == ["unchanged"]
    assert names(options.folder) == [f"jane/{JANES_FILE}"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b'{"version": 99}', b"\xff\xfe"])
def test_an_invalid_state_is_none(tmp_path: Path, options: BatchOptions, content: bytes) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (first,) = run(jane(home), options)
    (options.folder / ".nssbackup" / "jane.json").write_bytes(content)
    (second,) = run(jane(home), options)
    assert second.status == "backed-up"
    # The file that is there is nobody's that we know of.
    assert second.file != first.file
    assert len(opened(options.folder)) == 2


@pytest.mark.posix("Windows tells by the time only")
def test_what_a_killed_run_left_is_removed(tmp_path: Path, options: BatchOptions) -> None:
    make_folder(options.folder / "jane")
    half = options.folder / "jane" / ".nssbackup-0123456789abcdef.tmp"
    half.write_bytes(b"half a file")
    run(jane(add_home(tmp_path / "homes", "jane", JANE)), options)
    assert not half.exists()


def test_a_dry_run_fails_where_the_run_would(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, LOCKED, "dsa")
    table = PasswordTable.of_rows([({"user": "bob"}, GIVEN)])
    for other in (options, replace(options, passwords=table)):
        planned = run(jane(home), replace(other, all_issuers=True, dry_run=True))
        done = run(jane(home), replace(other, all_issuers=True))
        failures = [(item.profile, item.error) for item in done if item.error]
        assert [(item.profile, item.error) for item in planned if item.error] == failures
        assert len(failures) in (2, len(done))
        assert len(planned) == len(done)


@pytest.mark.posix("a matter of Unix permissions")
def test_an_unwritable_folder_is_a_failure_of_each_file(
    tmp_path: Path, options: BatchOptions
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (options.folder / "jane").write_bytes(b"a file where a folder should be")
    found = run(jane(home), options)
    assert statuses(found) == ["failed"]
    assert found[0].error is not None
    assert found[0].error["status"] == 31
    assert (found[0].file, found[0].sha256) == (None, None)


_FIREFOX = ROOTS["linux"]
REFRESHED = ec_key(7)
OLD_DATA = "Old Firefox Data"


def busy_home(top: Path, platform: str = "linux") -> Path:
    """A home with a bit of everything that is looked at, and a key whose certificate is missing."""
    home = add_home(top, "jane", JANE, "legacy-nopassword", JANE, JANE, platform=platform)
    for number in (2, 3):
        shutil.rmtree(profile_in(home, number, platform))
    store = StoreBuilder(profile_in(home, 2, platform))
    store.add_key(REFRESHED)
    store.write()
    for folder in (profile_in(home, 3, platform), home / "Vault"):
        folder.mkdir()
    with (home / ROOTS[platform] / "profiles.ini").open("a", encoding="utf-8") as file:
        file.write(f"[Profile4]\nName=vault\nIsRelative=0\nPath={home / 'Vault'}\n")
    (home / OLD_DATA).mkdir()
    (home / "Desktop" / OLD_DATA).mkdir(parents=True)
    if platform == "win32":
        (home / "AppData" / "Local").mkdir()
    if platform == "linux":
        for root in ("snap/firefox/common/.mozilla/firefox/a.b", "snap/chromium/1/.pki/nssdb"):
            shutil.copytree(PROFILES / "chain3", home / root)
        (home / "Data" / "mail").mkdir(parents=True)
        (home / ".thunderbird").symlink_to("Data/mail")
        (home / ".config").mkdir()
        (home / ".config" / "user-dirs.dirs").write_text('XDG_DESKTOP_DIR="$HOME/Bureau"\n')
        (home / ".local" / "bin").mkdir(parents=True)
    return home


_heard: tuple[tuple[str, ...], list[str]] | None = None


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if _heard is not None and event in _heard[0] and isinstance(arguments[0], str | bytes):
        _heard[1].append(os.fsdecode(arguments[0]).removeprefix("file:").partition("?")[0])


sys.addaudithook(_hear)


@contextmanager
def hearing(*events: str) -> Iterator[list[str]]:
    """The paths of all that is opened meanwhile, as they are named."""
    global _heard  # noqa: PLW0603 - Python can't be told to stop calling a hook
    paths: list[str] = []
    _heard = (events, paths)
    try:
        yield paths
    finally:
        _heard = None


# An unchanged night


@pytest.mark.parametrize("fixture", [JANE, "certificate-without-key", "foreign-only"])
def test_an_unchanged_night_opens_no_store(
    tmp_path: Path, options: BatchOptions, fixture: str
) -> None:
    home = add_home(tmp_path / "homes", "jane", fixture, "chain3")
    first = back_up_user(jane(home), options)
    with hearing("sqlite3.connect") as connections:
        second = back_up_user(jane(home), options)
    assert connections == []
    assert second.items == tuple(replace(item, status="unchanged") for item in first.items)
    assert second.homes == first.homes


@pytest.mark.parametrize(
    "touched",
    [
        f"{_FIREFOX}/00000000.p0/key4.db",
        f"{_FIREFOX}/00000000.p0/cert9.db",
        f"{_FIREFOX}/00000000.p0/cert9.db-wal",
        f"{_FIREFOX}/00000001.p1/cert8.db",  # of the older databases
        f"{_FIREFOX}/00000001.p1/cert9.db",  # Firefox has made the current ones of them
        f"{_FIREFOX}/00000003.p3/cert9.db",  # in a listed folder that had none
        "snap/firefox/common/.mozilla/firefox/new/cert9.db",
        "Vault/cert9.db",
        f"{OLD_DATA}/new/cert9.db",  # a refresh has left it
        "Desktop/Alte Firefox-Daten/new/cert9.db",
    ],
)
def test_a_changed_database_is_read(tmp_path: Path, options: BatchOptions, touched: str) -> None:
    home = busy_home(tmp_path / "homes")
    run(jane(home), options)
    with hearing("sqlite3.connect") as connections:
        run(jane(home), options)
    assert connections == []
    path = home / touched
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"\n")
    with hearing("sqlite3.connect") as connections:
        run(jane(home), options)
    assert connections


def test_what_a_refresh_left_behind_is_backed_up(tmp_path: Path, options: BatchOptions) -> None:
    options = replace(options, all_issuers=True)
    home = busy_home(tmp_path / "homes")
    before = run(jane(home), options)
    store = StoreBuilder(home / OLD_DATA / "old.default")
    store.add_certificate(issue(REFRESHED, "Refreshed"))
    store.write()
    after = run(jane(home), options)
    assert sorted(statuses(after)) == ["backed-up", *["unchanged"] * len(before)]


def test_other_options_and_failures_are_no_unchanged_night(
    tmp_path: Path, options: BatchOptions
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, LOCKED)
    assert "failed" in statuses(run(jane(home), options))
    options = replace(options, primary=Secret(PRIMARY))
    assert "backed-up" in statuses(run(jane(home), options))
    for other in (
        replace(options, all_issuers=True),
        replace(options, expired=True),
        replace(options, certificates=("jane",)),
        replace(options, formats=("compatible",)),
        replace(options, force=True),
    ):
        run(jane(home), options)
        with hearing("sqlite3.connect") as connections:
            run(jane(home), other)
        assert connections, other


def test_the_end_of_a_certificate_is_no_unchanged_night(
    tmp_path: Path, options: BatchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (item,) = run(jane(home), options)
    assert item.ends is not None
    monkeypatch.setattr(time, "time", lambda: item.ends.timestamp() - 31 * 86_400)
    with hearing("sqlite3.connect") as connections:
        run(jane(home), options)
    assert connections == []
    monkeypatch.setattr(time, "time", lambda: item.ends.timestamp() - 29 * 86_400)
    with hearing("sqlite3.connect") as connections:
        run(jane(home), options)
    assert connections


def test_nothing_behind_a_link_out_of_the_home_is_looked_into(
    tmp_path: Path, options: BatchOptions
) -> None:
    home = busy_home(tmp_path / "homes")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (home / ".waterfox").mkdir()
    shutil.copytree(PROFILES / "chain3", home / ".waterfox" / "a")
    for name in ("snap", "Desktop", OLD_DATA, "Data", ".waterfox/a", f"{_FIREFOX}/00000000.p0"):
        moved = (home / name).rename(elsewhere / name.replace("/", "_"))
        (home / name).symlink_to(moved)
    with hearing("open", "os.scandir", "os.listdir", "sqlite3.connect") as opened_paths:
        run(jane(home), options)
    assert str(home / _FIREFOX) in opened_paths
    real = [Path(os.path.realpath(path)) for path in opened_paths]
    assert [path for path in real if path.is_relative_to(elsewhere)] == []


# Gone


def under(home: Path, *roots: Path) -> User:
    """A user whose home lies below the first root."""
    source = Source(home.name, home, is_home=True, root=str(roots[0]))
    return User(home.name, (source,), tuple(map(str, roots)))


@pytest.mark.parametrize("lost", ["certificate", "profile", "key"])
def test_what_was_backed_up_and_is_lost_is_gone(
    tmp_path: Path, options: BatchOptions, lost: str
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    user = under(home, tmp_path / "homes")
    assert homes(back_up_user(user, options)) == ["backed-up"]
    shutil.rmtree(profile_in(home))
    if lost == "certificate":
        shutil.copytree(PROFILES / "foreign-only", profile_in(home))
    elif lost == "key":
        shutil.copytree(PROFILES / "certificate-without-key", profile_in(home))
    for _ in range(3):
        outcome = back_up_user(user, options)
        assert (homes(outcome), outcome.items) == (["gone"], ())
        note = notes_of(outcome)[-1]
        assert note.startswith("`Jane Doe` of `jane` was backed up earlier and is no longer found")
        assert "`--forget jane`" in note
    # Other roots and other choices had no backup of it.
    assert homes(back_up_user(under(home, tmp_path), options)) == ["no-certificate"]
    other = replace(options, certificates=("nobody",))
    assert homes(back_up_user(user, other)) == ["no-certificate"]
    shutil.rmtree(profile_in(home), ignore_errors=True)
    shutil.copytree(PROFILES / JANE, profile_in(home))
    assert homes(back_up_user(user, options)) == ["backed-up"]


def test_a_renewed_certificate_is_not_gone(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "homes", "jane", "expired")
    user = under(home, tmp_path / "homes")
    back_up_user(user, replace(options, expired=True))
    shutil.rmtree(profile_in(home))
    shutil.copytree(PROFILES / "renewed", profile_in(home))
    assert homes(back_up_user(user, options)) == ["backed-up"]


def test_of_a_profile_that_can_not_be_read_nothing_is_gone(
    tmp_path: Path, options: BatchOptions
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    user = under(home, tmp_path / "homes")
    back_up_user(user, options)
    for name in ("cert9.db", "key4.db"):
        (profile_in(home) / name).write_bytes(b"no database" * 100)
    outcome = back_up_user(user, options)
    assert (homes(outcome), statuses(outcome.items)) == (["failed"], ["failed"])


def test_a_certificate_in_two_homes_is_in_both(tmp_path: Path, options: BatchOptions) -> None:
    both = [add_home(tmp_path / top, "jane", JANE) for top in ("homes", "share")]
    outcome = back_up_user(jane(*both), options)
    assert (homes(outcome), statuses(outcome.items)) == (["backed-up"] * 2, ["backed-up"])
    assert [home.identities for home in outcome.homes] == [1, 1]


def test_a_home_that_has_moved_is_told(tmp_path: Path, options: BatchOptions) -> None:
    home = add_home(tmp_path / "monday", "jane", JANE)
    (first,) = run(jane(home), options)
    moved = tmp_path / "tuesday"
    home.parent.rename(moved)
    (second,) = run(jane(moved / "jane"), options)
    assert (second.status, second.file) == ("unchanged", first.file)
    assert second.home == str(moved / "jane")
    assert second.profile == str(profile_in(moved / "jane"))


def test_a_profile_behind_a_link_is_its_application_s_failure(
    options: BatchOptions, tmp_path: Path
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    folder = profile_in(home)
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    (failure,) = run(jane(home), options)
    assert (failure.status, failure.profile, failure.application) == (
        "failed",
        str(folder),
        "Firefox",
    )
    assert failure.error is not None
    assert failure.error["hint"] == "name the folder that it leads to as another ROOT"
    assert statuses(run(jane(home), replace(options, applications=("firefox",)))) == ["failed"]
    assert run(jane(home), replace(options, applications=("thunderbird",))) == ()


@pytest.mark.parametrize("link", [".mozilla", ".mozilla/firefox"])
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_of_profiles_behind_a_link_is_a_failure(
    options: BatchOptions, tmp_path: Path, link: str, *, there: bool
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    elsewhere = (home / link).rename(tmp_path / "elsewhere")
    (home / link).symlink_to(elsewhere)
    if not there:
        elsewhere.rename(tmp_path / "unmounted")
    (failure,) = run(jane(home), options)
    assert (failure.status, failure.profile) == ("failed", str(home / link))
    assert "is a link out of the home" in messages([failure])[0]
    assert statuses(run(jane(home), replace(options, applications=("Firefox",)))) == ["failed"]
    # A dangling link may have led to anything's profiles; that of `.mozilla/firefox` is one's own.
    assert run(jane(home), replace(options, applications=("Tor Browser",))) == ()


def test_a_link_that_no_profile_can_be_behind_is_nothing(
    options: BatchOptions, tmp_path: Path
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    for name in (".config", ".thunderbird-data", "Downloads"):
        (tmp_path / name).mkdir()
        (home / name).symlink_to(tmp_path / name)
    assert statuses(run(jane(home), options)) == ["backed-up"]


def test_a_plain_profile_whose_databases_are_links_is_a_failure(
    options: BatchOptions, tmp_path: Path
) -> None:
    folder = tmp_path / "profile"
    shutil.copytree(PROFILES / JANE, folder)
    (tmp_path / "elsewhere").mkdir()
    for name in ("cert9.db", "key4.db"):
        (folder / name).rename(tmp_path / "elsewhere" / name)
        (folder / name).symlink_to(tmp_path / "elsewhere" / name)
    user = User("profile", (Source("profile", folder, is_home=False),))
    (failure,) = run(user, options)
    assert (failure.status, failure.profile) == ("failed", str(folder))


def test_a_listed_folder_outside_the_home_is_said_every_night(
    options: BatchOptions, tmp_path: Path
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    with (profile_in(home).parent / "profiles.ini").open("a") as file:
        for number in (1, 2):
            file.write(f"\n[Profile{number}]\nIsRelative=0\nPath=/srv/{number}\n")
    outcome = back_up_user(jane(home), options)
    (note,) = notes_of(outcome)
    assert note.startswith("a list of profiles of `jane` names `/srv/1` and 1 more, outside the h")
    assert statuses(outcome.items) == ["backed-up"]
    again = back_up_user(jane(home), options)
    assert notes_of(again) == notes_of(outcome)
    assert back_up_user(jane(home), replace(options, applications=("tor",))).homes[0].notes == ()


def test_a_forged_certificate_fails_unless_it_is_named_in_full(
    tmp_path: Path, options: BatchOptions
) -> None:
    home = tmp_path / "homes" / "jane"
    store = StoreBuilder(home / ".mozilla/firefox/p")
    store.add_certificate(issue(ec_key(9), CA_NAME, ca=True, extensions=[own_id(ec_key(9))]))
    genuine, forged = (
        issue(ec_key(number), "Jane", CA_NAME, ec_key(by), extensions=[issuer_id(ec_key(9))])
        for number, by in ((1, 9), (2, 8))
    )
    store.add_identity(ec_key(1), genuine)
    store.add_identity(ec_key(2), forged)
    store.write()
    found = {
        str(item.identity["sha256"]): item for item in run(jane(home), options) if item.identity
    }
    item = found.pop(from_der(forged).sha256)
    assert item.error is not None
    assert (item.status, item.error["code"]) == ("failed", "certificate-forged")
    assert any("damaged or forged" in warning for warning in item.warnings)
    assert [one.status for one in found.values()] == ["backed-up"]
    named = replace(options, certificates=(from_der(forged).sha256,))
    assert statuses(run(jane(home), named)) == ["backed-up"]
