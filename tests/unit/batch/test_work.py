"""One user's backups: what is written, what is left alone, and what becomes a failure."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest

from nssbackup.backups.verify import verify_backup
from nssbackup.batch import facts
from nssbackup.batch import state as states
from nssbackup.batch.glance import glance
from nssbackup.batch.orders import Orders, Passwords
from nssbackup.batch.report import BatchItem
from nssbackup.batch.tables import PasswordTable
from nssbackup.batch.users import Member, User
from nssbackup.batch.work import back_up_user
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.pkcs12 import PfxWriter
from nssbackup.profiles.folder import DATABASES, store_in
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
from tests.builders.store import StoreBuilder, ec_key, issue
from tests.unit.profiles.machine import closed

GIVEN = Secret("Correct-Horse-Battery-Staple-47")


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    folder = tmp_path / "backups"
    make_folder(folder / ".nssbackup")
    return Orders(folder, "building-1")


def jane(*homes: Path) -> User:
    return User("jane", tuple(Member("jane", home, home=True) for home in homes))


def run(user: User, orders: Orders) -> tuple[BatchItem, ...]:
    return back_up_user(user, orders).items


def statuses(items: Sequence[BatchItem]) -> list[str]:
    return [item.status for item in items]


def messages(items: Sequence[BatchItem]) -> list[str]:
    return [str(item.error["message"]) for item in items if item.error]


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in backups(folder)]


def test_the_wipo_identity_is_backed_up_and_the_home_left_as_it_was(
    tmp_path: Path, orders: Orders
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    before = everything(home)
    outcome = back_up_user(jane(home), orders)
    (item,) = outcome.items
    assert everything(home) == before
    assert (item.status, item.user, item.home) == ("backed-up", "jane", str(home))
    assert (item.application, item.profile_name) == ("Firefox", "p0")
    assert item.profile == str(profile_in(home))
    assert item.host == "building-1"
    assert item.identity is not None
    assert item.identity["common_name"] == "Jane Doe"
    assert item.file == f"jane/{JANES_FILE}"
    (left,) = opened(orders.folder)
    assert item.sha256 in kept_passwords(orders.folder)
    assert left.path.stat().st_size == item.size
    assert left.contents.identity is not None
    assert left.contents.identity.certificate.sha256 == item.identity["sha256"]
    assert outcome.profiles == 1


def test_what_is_written_is_for_the_owner_alone(tmp_path: Path, orders: Orders) -> None:
    run(jane(add_home(tmp_path / "homes", "jane", JANE)), orders)
    for path in [orders.folder, *orders.folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_generated_password_costs_a_guess_2048_rounds_and_has_138_bits(
    tmp_path: Path, orders: Orders
) -> None:
    run(jane(add_home(tmp_path / "homes", "jane", JANE, "rsa4096")), orders)
    passwords = kept_passwords(orders.folder)
    assert len(set(passwords.values())) == 2
    for left in opened(orders.folder):
        described = left.contents.description
        every = (described.mac, *described.keys, *described.certificates)
        assert {each.rounds for each in every if each} == {2_048}
    for password in passwords.values():
        assert len(password.replace("-", "")) == 28
        assert set(password) <= set("23456789abcdefghjkmnpqrstuvwxyz-")


def test_every_identity_is_taken_once_however_many_profiles_hold_it(
    tmp_path: Path, orders: Orders
) -> None:
    home = add_home(tmp_path / "homes", "jane", "two-people", JANE)
    shutil.copytree(profile_in(home, 1), profile_in(home, 2))
    found = run(jane(home), orders)
    assert statuses(found) == ["backed-up"] * 3
    assert len({str(item.identity and item.identity["sha256"]) for item in found}) == 3
    assert len(opened(orders.folder)) == 3


def test_files_of_one_name_are_told_apart_by_the_fingerprint(
    tmp_path: Path, orders: Orders
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, "rsa4096", "ec-p256")
    found = run(jane(home), orders)
    (plain,) = (item for item in found if item.file == f"jane/{JANES_FILE}")
    others = [item for item in found if item is not plain]
    for item in others:
        assert item.identity is not None
        digits = str(item.identity["sha256"])[:8]
        assert item.file == f"jane/{JANES_FILE.removesuffix('.pfx')}-{digits}.pfx"
    assert len(opened(orders.folder)) == 3
    # The same the next night, in whatever order they are found.
    again = run(jane(home), orders)
    assert {item.file for item in again} == {item.file for item in found}
    assert statuses(again) == ["unchanged"] * 3


def test_a_file_that_is_not_ours_is_not_replaced(tmp_path: Path, orders: Orders) -> None:
    make_folder(orders.folder / "jane")
    theirs = orders.folder / "jane" / JANES_FILE.upper()
    theirs.write_bytes(b"somebody else's")
    (item,) = run(jane(add_home(tmp_path / "homes", "jane", JANE)), orders)
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
    tmp_path: Path, orders: Orders, change: dict[str, object], expected: list[str]
) -> None:
    home = add_home(tmp_path / "homes", "jane", "foreign-and-wipo")
    found = run(jane(home), replace(orders, **change))  # type: ignore[arg-type] # of the table
    assert sorted(str(item.identity and item.identity["nickname"]) for item in found) == expected


def test_expired_ones_only_if_they_are_asked_for(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", "renewed")
    assert names(orders.folder) == []
    assert len(run(jane(home), orders)) == 1
    found = run(jane(home), replace(orders, expired=True))
    assert sorted(statuses(found)) == ["backed-up", "unchanged"]
    (old,) = (item for item in found if item.status == "backed-up")
    assert old.file == "jane/Jane Doe-WIPO Customer CA G2-2021-05-01.pfx"
    assert any("expired" in warning for warning in old.warnings)


def test_only_the_applications_that_are_asked_for(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    shutil.copytree(PROFILES / "chain3", home / ".thunderbird" / "mail")
    assert len(run(jane(home), orders)) == 2
    (item,) = run(jane(home), replace(orders, applications=("thunderbird",)))
    assert item.application == "Thunderbird"


def test_a_plain_profile_folder_belongs_to_no_home(tmp_path: Path, orders: Orders) -> None:
    folder = Path(shutil.copytree(PROFILES / JANE, tmp_path / "plain"))
    (item,) = run(User("plain", (Member("plain", folder, home=False),)), orders)
    assert (item.status, item.home, item.application) == ("backed-up", None, None)
    assert item.profile == str(folder)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_homes_of_every_system(tmp_path: Path, orders: Orders, platform: str) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, platform=platform)
    assert statuses(run(jane(home), orders)) == ["backed-up"]


def test_two_homes_of_one_user_are_one_set_of_backups(tmp_path: Path, orders: Orders) -> None:
    here, share = (add_home(tmp_path / top, "jane", JANE) for top in ("homes", "share"))
    shutil.copytree(PROFILES / "chain3", profile_in(share, 1))
    found = run(jane(here, share), orders)
    assert sorted(str(item.home) for item in found) == sorted([str(here), str(share)])


def test_the_key_comes_from_another_copy_where_the_best_is_damaged(
    tmp_path: Path, orders: Orders
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
    (item,) = run(jane(home), orders)
    assert item.status == "backed-up"
    assert item.profile == str(profile_in(home, 1))
    assert any("taken from its copy" in warning for warning in item.warnings)
    (again,) = run(jane(home), orders)
    assert (again.status, again.profile) == ("unchanged", item.profile)


def test_a_damaged_profile_is_a_row_beside_the_others(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, "chain3")
    (profile_in(home, 0) / "key4.db").write_bytes(b"no database" * 100)
    found = run(jane(home), orders)
    failed, done = sorted(found, key=lambda item: item.status != "failed")
    assert (failed.status, done.status) == ("failed", "backed-up")
    assert failed.profile == str(profile_in(home, 0))
    assert failed.error is not None
    assert (failed.error["status"], failed.error["code"]) == (11, "store-damaged")
    # It is tried again, and the other one is left alone.
    assert sorted(statuses(run(jane(home), orders))) == ["failed", "unchanged"]


def test_where_no_profile_can_be_read_each_is_a_row(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, "chain3")
    for number, content in enumerate((b"no database" * 100, b"")):
        (profile_in(home, number) / "key4.db").write_bytes(content)
        (profile_in(home, number) / "cert9.db").write_bytes(b"no database" * 100)
    found = run(jane(home), orders)
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
                orders = Orders(Path(top) / "backups", "host", dry_run=True)
                (item,) = run(jane(home), orders)
            assert item.status == "failed", folder
            assert item.error is not None
            assert (item.error["status"], item.error["code"]) == (11, "store-unreadable")
            assert "permission denied" in str(item.error["message"])
            assert "administrator" in str(item.error["hint"])


def test_a_home_that_is_gone_is_a_row(tmp_path: Path, orders: Orders) -> None:
    (item,) = run(jane(tmp_path / "gone"), orders)
    assert item.error is not None
    assert "no such file" in str(item.error["message"])
    assert names(orders.folder) == []


def test_a_home_without_a_profile_is_nothing(tmp_path: Path, orders: Orders) -> None:
    (tmp_path / "jane").mkdir()
    outcome = back_up_user(jane(tmp_path / "jane"), orders)
    assert (outcome.items, outcome.profiles) == ((), 0)
    assert os.listdir(orders.folder) == [".nssbackup"]  # noqa: PTH208 - names
    assert os.listdir(orders.folder / ".nssbackup") == []  # noqa: PTH208 - names


def test_a_wipo_certificate_without_its_key_is_told_of(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", "certificate-without-key")
    outcome = back_up_user(jane(home), orders)
    assert outcome.items == ()
    (note,) = outcome.notes
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
    tmp_path: Path, orders: Orders, primary: Passwords | None, expected: str | None
) -> None:
    home = add_home(tmp_path / "homes", "jane", LOCKED, "chain3")
    found = run(jane(home), replace(orders, primary=primary))
    errors = [item.error["code"] for item in found if item.error]
    assert errors == ([expected] if expected else [])
    assert statuses(found).count("backed-up") == (1 if expected else 2)
    for item in found:
        assert PRIMARY not in repr(item)


def test_one_password_for_all(tmp_path: Path, orders: Orders) -> None:
    orders = replace(orders, passwords=GIVEN, rounds=600_000)
    (item,) = run(jane(add_home(tmp_path / "homes", "jane", JANE)), orders)
    assert item.file is not None
    verified = verify_backup(orders.folder / item.file, GIVEN)
    assert verified.ok
    assert (verified.kdf_rounds, verified.mac_rounds) == (600_000, 600_000)
    assert password_rows(orders.folder) == []


def test_a_password_for_each_and_none_for_some(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, "chain3")
    table = PasswordTable.of_rows([({"user": "jane", "profile": "p1"}, GIVEN)])
    found = run(jane(home), replace(orders, passwords=table))
    failed, done = sorted(found, key=lambda item: item.status != "failed")
    assert failed.error is not None
    assert (failed.error["code"], failed.profile_name) == ("no-backup-password", "p0")
    assert done.profile_name == "p1"
    assert done.file is not None
    assert verify_backup(orders.folder / done.file, GIVEN).ok


def test_both_formats_are_a_file_each(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    orders = replace(orders, formats=("modern", "compatible"))
    assert statuses(run(jane(home), orders)) == ["backed-up"] * 2
    compatible = JANES_FILE.removesuffix(".pfx") + ".compatible.pfx"
    assert sorted(names(orders.folder)) == sorted([f"jane/{JANES_FILE}", f"jane/{compatible}"])
    assert len(opened(orders.folder)) == 2
    assert statuses(run(jane(home), orders)) == ["unchanged"] * 2


def test_the_chain_goes_along_or_not(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", "chain3")
    run(jane(home), orders)
    (left,) = opened(orders.folder)
    assert len(left.contents.certificates) == 4
    run(jane(home), replace(orders, chain=False))
    (left,) = opened(orders.folder)
    assert len(left.contents.certificates) == 1


def test_a_file_that_is_not_what_was_to_be_written_gets_no_name(
    tmp_path: Path, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = PfxWriter.encode

    def lose_the_chain(self: PfxWriter, identity: Identity, key: PrivateKey) -> bytes:
        return encode(self, replace(identity, chain=()), key)

    monkeypatch.setattr(PfxWriter, "encode", lose_the_chain)
    (item,) = run(jane(add_home(tmp_path / "homes", "jane", JANE)), orders)
    assert item.error is not None
    assert (item.status, item.error["status"]) == ("failed", 32)
    assert [path.name for path in (orders.folder / "jane").iterdir()] == []


# The next night


def test_what_has_not_changed_is_not_touched(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (first,) = run(jane(home), orders)
    before = {path: path.stat() for path in backups(orders.folder)}
    (second,) = run(jane(home), orders)
    assert second.status == "unchanged"
    assert replace(second, status="backed-up") == first
    assert {path: path.stat() for path in backups(orders.folder)} == before
    assert len(password_rows(orders.folder)) == 1


def test_with_force_it_is_done_again_under_a_new_password(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (first,) = run(jane(home), orders)
    (second,) = run(jane(home), replace(orders, force=True))
    assert (second.status, second.file) == ("backed-up", first.file)
    assert second.sha256 != first.sha256
    assert len(opened(orders.folder)) == 1
    assert {row["sha256"] for row in password_rows(orders.folder)} == {first.sha256, second.sha256}


@pytest.mark.parametrize("damage", [b"", b"something else", None])
def test_a_backup_that_is_no_longer_what_it_was_is_renewed(
    tmp_path: Path, orders: Orders, damage: bytes | None
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), orders)
    (path,) = backups(orders.folder)
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert statuses(run(jane(home), orders)) == ["backed-up"]
    assert [left.path for left in opened(orders.folder)] == [path]


def test_a_renewed_certificate_is_another_file_and_the_old_one_stays(
    tmp_path: Path, orders: Orders
) -> None:
    home = add_home(tmp_path / "homes", "jane", "expired")
    (old,) = run(jane(home), replace(orders, expired=True))
    shutil.rmtree(profile_in(home))
    shutil.copytree(PROFILES / "renewed", profile_in(home))
    (new,) = run(jane(home), orders)
    assert new.status == "backed-up"
    assert {item.file for item in (old, new)} == set(names(orders.folder))


def test_what_is_gone_from_the_profile_stays_in_the_backups(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), orders)
    shutil.rmtree(profile_in(home))
    shutil.copytree(PROFILES / "foreign-only", profile_in(home))
    assert run(jane(home), orders) == ()
    assert names(orders.folder) == [f"jane/{JANES_FILE}"]
    # It comes back: its file is known.
    shutil.rmtree(profile_in(home))
    shutil.copytree(PROFILES / JANE, profile_in(home))
    assert statuses(run(jane(home), orders)) == ["unchanged"]


def test_another_chain_or_protection_is_a_renewal(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), orders)
    for changed in (
        replace(orders, chain=False),
        replace(orders, rounds=4_096),
        replace(orders, passwords=GIVEN),
    ):
        assert statuses(run(jane(home), changed)) == ["backed-up"]
        assert statuses(run(jane(home), changed)) == ["unchanged"]
    assert names(orders.folder) == [f"jane/{JANES_FILE}"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b'{"version": 99}', b"\xff\xfe"])
def test_a_state_of_no_use_is_none_at_all(tmp_path: Path, orders: Orders, content: bytes) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (first,) = run(jane(home), orders)
    (orders.folder / ".nssbackup" / "jane.json").write_bytes(content)
    (second,) = run(jane(home), orders)
    assert second.status == "backed-up"
    # The file that is there is nobody's that we know of.
    assert second.file != first.file
    assert len(opened(orders.folder)) == 2


def test_what_a_killed_run_left_is_removed(tmp_path: Path, orders: Orders) -> None:
    make_folder(orders.folder / "jane")
    half = orders.folder / "jane" / ".nssbackup-0123456789abcdef.tmp"
    half.write_bytes(b"half a file")
    run(jane(add_home(tmp_path / "homes", "jane", JANE)), orders)
    assert not half.exists()


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    tmp_path: Path, orders: Orders
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, LOCKED)
    before = everything(orders.folder)
    orders = replace(orders, primary=Secret(PRIMARY), dry_run=True)
    found = run(jane(home), orders)
    assert statuses(found) == ["planned"] * 2
    assert {item.sha256 for item in found} == {None}
    assert {item.file for item in found} >= {f"jane/{JANES_FILE}"}
    assert everything(orders.folder) == before


def test_a_dry_run_fails_where_the_run_would(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, LOCKED, "dsa")
    table = PasswordTable.of_rows([({"user": "bob"}, GIVEN)])
    for other in (orders, replace(orders, passwords=table)):
        planned = run(jane(home), replace(other, all_issuers=True, dry_run=True))
        done = run(jane(home), replace(other, all_issuers=True))
        failures = [(item.profile, item.error) for item in done if item.error]
        assert [(item.profile, item.error) for item in planned if item.error] == failures
        assert len(failures) in (2, len(done))
        assert len(planned) == len(done)


@pytest.mark.skipif(os.name == "nt", reason="a matter of Unix permissions")
def test_a_folder_that_can_not_be_written_to_is_a_failure_of_each_file(
    tmp_path: Path, orders: Orders
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (orders.folder / "jane").write_bytes(b"a file where a folder should be")
    found = run(jane(home), orders)
    assert statuses(found) == ["failed"]
    assert found[0].error is not None
    assert found[0].error["status"] == 31
    assert (found[0].file, found[0].sha256) == (None, None)


# A glance


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled as soon as they are written."""
    monkeypatch.setattr(facts, "_TICK_NS", -1)


@pytest.mark.usefixtures("settled")
def test_a_glance_is_enough_where_nothing_was_touched(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, "chain3")
    first = run(jane(home), orders)
    seen = glance(jane(home), orders, orders.wanted)
    assert seen is not None
    assert sorted(map(repr, seen.items)) == sorted(
        repr(replace(i, status="unchanged")) for i in first
    )


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "touched",
    [
        "key4.db",
        "cert9.db",
        "key4.db-journal",
        "cert9.db-wal",
        "../profiles.ini",
        "../new.profile/cert9.db",
        "../../../.thunderbird/mail/cert9.db",
        "../../../.config/mozilla/firefox/new/cert9.db",
        "../Profile Groups/0123abcd.sqlite",
    ],
)
def test_a_glance_sees_whatever_may_change_what_there_is(
    tmp_path: Path, orders: Orders, touched: str
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), orders)
    assert glance(jane(home), orders, orders.wanted)
    path = Path(os.path.normpath(profile_in(home) / touched))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"\n")
    assert glance(jane(home), orders, orders.wanted) is None


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


_FIREFOX = ROOTS["linux"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "touched",
    [
        f"{_FIREFOX}/00000001.p1/cert8.db",  # of the older databases
        f"{_FIREFOX}/00000001.p1/key3.db",
        f"{_FIREFOX}/00000001.p1/cert9.db",  # Firefox has made the current ones of them
        f"{_FIREFOX}/00000003.p3/cert9.db",  # in a listed folder that had none
        "snap/firefox/common/.mozilla/firefox/new/cert9.db",
        "snap/chromium/1/.pki/nssdb/key4.db",
        "snap/chromium/2/.pki/nssdb/cert9.db",  # fits a pattern
        "snap/chromium/1/.local/share/pki/nssdb/cert9.db",
        "Vault/cert9.db",
        ".local/share/pki/nssdb/cert9.db",  # below a folder that was not there
        ".config/user-dirs.dirs",
        "Data/mail/new/cert9.db",  # behind a link that stays in the home
        f"{OLD_DATA}/new/cert9.db",  # a refresh has left it
        f"Desktop/{OLD_DATA}/new/cert9.db",
        "Alte Firefox-Daten/new/cert9.db",
        "Desktop/Alte Firefox-Daten/new/cert9.db",
    ],
)
def test_a_glance_sees_what_changes_in_a_busy_home(
    tmp_path: Path, orders: Orders, touched: str
) -> None:
    home = busy_home(tmp_path / "homes")
    run(jane(home), orders)
    assert glance(jane(home), orders, orders.wanted)
    path = home / touched
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"\n")
    assert glance(jane(home), orders, orders.wanted) is None


@pytest.mark.usefixtures("settled")
def test_what_a_refresh_left_behind_is_backed_up_and_then_watched(
    tmp_path: Path, orders: Orders
) -> None:
    orders = replace(orders, all_issuers=True)
    home = busy_home(tmp_path / "homes")
    before = run(jane(home), orders)
    store = StoreBuilder(home / OLD_DATA / "old.default")
    store.add_certificate(issue(REFRESHED, "Refreshed"))
    store.write()
    assert glance(jane(home), orders, orders.wanted) is None
    after = run(jane(home), orders)
    assert sorted(statuses(after)) == ["backed-up", *["unchanged"] * len(before)]
    assert glance(jane(home), orders, orders.wanted)
    with (home / OLD_DATA / "old.default" / "cert9.db").open("ab") as file:
        file.write(b"\n")
    assert glance(jane(home), orders, orders.wanted) is None


@pytest.mark.usefixtures("settled")
def test_a_desktop_that_lies_elsewhere_is_watched(tmp_path: Path, orders: Orders) -> None:
    home = busy_home(tmp_path / "homes")
    desktop = home / "Files" / "Bureau"
    desktop.mkdir(parents=True)
    (home / ".config" / "user-dirs.dirs").write_text('XDG_DESKTOP_DIR="$HOME/Files/Bureau"\n')
    run(jane(home), orders)
    assert glance(jane(home), orders, orders.wanted)
    (desktop / OLD_DATA / "new").mkdir(parents=True)
    assert glance(jane(home), orders, orders.wanted) is None


_heard: list[str] | None = None


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if _heard is not None and event in ("open", "os.scandir", "os.listdir", "sqlite3.connect"):
        path = arguments[0]
        if isinstance(path, str | bytes):
            _heard.append(os.fsdecode(path).removeprefix("file:").partition("?")[0])


sys.addaudithook(_hear)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """The paths of all files and folders that are opened meanwhile, as they are named."""
    global _heard  # noqa: PLW0603 - Python can't be told to stop calling a hook
    paths: list[str] = []
    _heard = paths
    try:
        yield paths
    finally:
        _heard = None


def _part_of_a_profile(path: Path) -> bool:
    """Whether a path is of a profile that has databases, and not one of these."""
    databases = {name for names in DATABASES.values() for name in names}
    folder = path if path.is_dir() else path.parent
    return path.name not in databases and store_in(folder) is not None


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
def test_whatever_is_looked_into_is_looked_at_by_the_next_glance(
    tmp_path: Path, orders: Orders, platform: str
) -> None:
    home = busy_home(tmp_path / "homes", platform)
    with hearing() as opened_paths:
        found = run(jane(home), orders)
    assert set(statuses(found)) == {"backed-up"}
    state = states.load(states.state_path(orders.folder, "jane"))
    assert state is not None
    looked_into = {Path(path) for path in opened_paths if path.startswith(str(home))}
    assert home / OLD_DATA in looked_into
    assert profile_in(home, 0, platform) / "key4.db" in looked_into
    for path in looked_into:
        # Firefox changes a profile all the time; what counts in it are the databases.
        if not _part_of_a_profile(path):
            # Of what is not there, the folder that it would come into says when it comes.
            missing = takewhile(lambda one: not os.path.lexists(one), (path, *path.parents))
            there = next(one for one in (path, *path.parents) if os.path.lexists(one))
            assert {str(one) for one in (*missing, there)} & state.facts.keys(), path


@pytest.mark.usefixtures("settled")
def test_nothing_behind_a_link_out_of_the_home_is_looked_into(
    tmp_path: Path, orders: Orders
) -> None:
    home = busy_home(tmp_path / "homes")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (home / ".waterfox").mkdir()
    shutil.copytree(PROFILES / "chain3", home / ".waterfox" / "a")
    for name in ("snap", "Desktop", OLD_DATA, "Data", ".waterfox/a", f"{_FIREFOX}/00000000.p0"):
        moved = (home / name).rename(elsewhere / name.replace("/", "_"))
        (home / name).symlink_to(moved)
    with hearing() as opened_paths:
        run(jane(home), orders)
    assert str(home / _FIREFOX) in opened_paths
    real = [Path(os.path.realpath(path)) for path in opened_paths]
    assert [path for path in real if path.is_relative_to(elsewhere)] == []


@pytest.mark.usefixtures("settled")
def test_a_glance_looks_at_the_backups_too(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), orders)
    (path,) = backups(orders.folder)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert glance(jane(home), orders, orders.wanted) is None


@pytest.mark.usefixtures("settled")
def test_a_glance_is_not_enough_for_other_wishes_or_after_a_failure(
    tmp_path: Path, orders: Orders
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE, LOCKED)
    run(jane(home), orders)
    assert glance(jane(home), orders, orders.wanted) is None  # one profile is locked
    orders = replace(orders, primary=Secret(PRIMARY))
    run(jane(home), orders)
    assert glance(jane(home), orders, orders.wanted)
    for other in (
        replace(orders, all_issuers=True),
        replace(orders, expired=True),
        replace(orders, certificates=("jane",)),
        replace(orders, formats=("compatible",)),
        replace(orders, passwords=GIVEN),
        replace(orders, force=True),
    ):
        assert glance(jane(home), other, other.wanted) is None
    assert glance(jane(home, home.parent), orders, orders.wanted) is None


@pytest.mark.usefixtures("settled")
def test_a_glance_is_not_enough_when_a_certificate_has_come_to_its_end(
    tmp_path: Path, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), orders)
    present = time.time()
    day = 86_400
    monkeypatch.setattr(time, "time", lambda: present + 0.1 * day)
    assert glance(jane(home), orders, orders.wanted)
    monkeypatch.setattr(time, "time", lambda: present + 8 * day)  # once a week, whatever it is
    assert glance(jane(home), orders, orders.wanted) is None


def test_what_was_touched_a_moment_ago_is_looked_at_again(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run(jane(home), orders)
    assert glance(jane(home), orders, orders.wanted) is None


def test_a_home_that_has_moved_is_told_of_where_it_is_now(tmp_path: Path, orders: Orders) -> None:
    home = add_home(tmp_path / "monday", "jane", JANE)
    (first,) = run(jane(home), orders)
    moved = tmp_path / "tuesday"
    home.parent.rename(moved)
    (second,) = run(jane(moved / "jane"), orders)
    assert (second.status, second.file) == ("unchanged", first.file)
    assert second.home == str(moved / "jane")
    assert second.profile == str(profile_in(moved / "jane"))


def test_a_profile_behind_a_link_out_of_the_home_is_a_failure_of_its_application(
    orders: Orders, tmp_path: Path
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    folder = profile_in(home)
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    (failure,) = run(jane(home), orders)
    assert (failure.status, failure.profile, failure.application) == (
        "failed",
        str(folder),
        "Firefox",
    )
    assert failure.error is not None
    assert failure.error["hint"] == "name the folder that it leads to as a ROOT of its own"
    assert statuses(run(jane(home), replace(orders, applications=("firefox",)))) == ["failed"]
    assert run(jane(home), replace(orders, applications=("thunderbird",))) == ()


@pytest.mark.parametrize("link", [".mozilla", ".mozilla/firefox"])
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_of_profiles_behind_a_link_out_of_the_home_is_a_failure(
    orders: Orders, tmp_path: Path, link: str, *, there: bool
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    elsewhere = (home / link).rename(tmp_path / "elsewhere")
    (home / link).symlink_to(elsewhere)
    if not there:
        elsewhere.rename(tmp_path / "unmounted")
    (failure,) = run(jane(home), orders)
    assert (failure.status, failure.profile) == ("failed", str(home / link))
    assert "is a link out of the home" in messages([failure])[0]
    assert statuses(run(jane(home), replace(orders, applications=("Firefox",)))) == ["failed"]
    # A dangling link may have led to anything's profiles; that of `.mozilla/firefox` is one's own.
    assert run(jane(home), replace(orders, applications=("Tor Browser",))) == ()


def test_a_link_out_of_the_home_that_no_profile_can_be_behind_is_nothing(
    orders: Orders, tmp_path: Path
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    for name in (".config", ".thunderbird-data", "Downloads"):
        (tmp_path / name).mkdir()
        (home / name).symlink_to(tmp_path / name)
    assert statuses(run(jane(home), orders)) == ["backed-up"]


def test_a_plain_profile_whose_databases_are_links_is_a_failure(
    orders: Orders, tmp_path: Path
) -> None:
    folder = tmp_path / "profile"
    shutil.copytree(PROFILES / JANE, folder)
    (tmp_path / "elsewhere").mkdir()
    for name in ("cert9.db", "key4.db"):
        (folder / name).rename(tmp_path / "elsewhere" / name)
        (folder / name).symlink_to(tmp_path / "elsewhere" / name)
    user = User("profile", (Member("profile", folder, home=False),))
    (failure,) = run(user, orders)
    assert (failure.status, failure.profile) == ("failed", str(folder))


@pytest.mark.usefixtures("settled")
def test_a_folder_that_a_list_names_outside_the_home_is_said_every_night(
    orders: Orders, tmp_path: Path
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    with (profile_in(home).parent / "profiles.ini").open("a") as file:
        for number in (1, 2):
            file.write(f"\n[Profile{number}]\nIsRelative=0\nPath=/srv/{number}\n")
    outcome = back_up_user(jane(home), orders)
    (note,) = outcome.notes
    assert note.startswith("a list of profiles of `jane` names `/srv/1` and 1 more, outside the h")
    assert statuses(outcome.items) == ["backed-up"]
    again = glance(jane(home), orders, orders.wanted)
    assert again is not None
    assert again.notes == outcome.notes
    assert back_up_user(jane(home), replace(orders, applications=("tor",))).notes == ()


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(("listed", "glanced"), [(1_000, True), (1_001, False)])
def test_more_folders_that_are_not_there_than_can_be_watched_are_looked_for_every_night(
    orders: Orders, tmp_path: Path, listed: int, *, glanced: bool
) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    with (profile_in(home).parent / "profiles.ini").open("a") as file:
        for number in range(1, listed + 1):
            file.write(f"\n[Profile{number}]\nIsRelative=0\nPath={home}/a{number}\n")
    assert statuses(run(jane(home), orders)) == ["backed-up"]
    assert (glance(jane(home), orders, orders.wanted) is not None) is glanced


@pytest.mark.usefixtures("settled")
def test_a_certificate_without_its_key_is_said_every_night(orders: Orders, tmp_path: Path) -> None:
    home = add_home(tmp_path / "homes", "jane", "certificate-without-key")
    outcome = back_up_user(jane(home), orders)
    (note,) = outcome.notes
    assert note.startswith("the private key of the WIPO certificate of `")
    again = glance(jane(home), orders, orders.wanted)
    assert again is not None
    assert (again.items, again.notes) == ((), outcome.notes)


@pytest.mark.usefixtures("settled")
def test_a_listed_folder_that_comes_later_is_seen(orders: Orders, tmp_path: Path) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    vault = home / "Vault" / "ff"
    with (profile_in(home).parent / "profiles.ini").open("a") as file:
        file.write(f"\n[Profile1]\nIsRelative=0\nPath={vault}\n")
    run(jane(home), orders)
    assert glance(jane(home), orders, orders.wanted)
    shutil.copytree(PROFILES / "chain3", vault)
    assert glance(jane(home), orders, orders.wanted) is None
    assert sorted(statuses(run(jane(home), orders))) == ["backed-up", "unchanged"]
