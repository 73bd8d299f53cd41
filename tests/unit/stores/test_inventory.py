from __future__ import annotations

from pathlib import Path

import pytest

from nssbackup.errors import DamagedStoreError, NoProfileError, NoStoreError
from nssbackup.identity.model import Profile
from nssbackup.stores.inventory import primary_password_set, take_inventory
from tests.builders.store import StoreBuilder, ec_key, issue
from tests.conftest import Unchanged


def made(folder: Path, number: int = 0, password: str = "") -> Profile:
    builder = StoreBuilder(folder, password)
    key = ec_key(number)
    builder.add_identity(key, issue(key, f"Person {number}"))
    return Profile(builder.write(), folder.name, "Firefox", store="sqlite")


def broken(folder: Path) -> Profile:
    profile = made(folder)
    (folder / "key4.db").write_bytes(b"no database" * 1000)
    return profile


def empty(folder: Path) -> Profile:
    folder.mkdir()
    return Profile(folder, folder.name, "Firefox")


def test_the_identities_of_all_profiles_come_in_their_order(tmp_path: Path) -> None:
    profiles = [made(tmp_path / "b", 2), empty(tmp_path / "empty"), made(tmp_path / "a", 1)]
    found = take_inventory(profiles)
    assert [(i.profile, i.certificate.common_name) for i in found.identities] == [
        (profiles[0], "Person 2"),
        (profiles[2], "Person 1"),
    ]
    assert found.failures == ()
    assert found.notes == ()


def test_no_password_is_needed(tmp_path: Path, unchanged: Unchanged) -> None:
    profile = made(tmp_path / "p", password="secret")
    with unchanged(profile.path):
        (identity,) = take_inventory([profile]).identities
    assert identity.certificate.has_private_key


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_damaged_profile_is_a_failure_and_not_the_end(tmp_path: Path, place: int) -> None:
    profiles = [made(tmp_path / "a", 1), made(tmp_path / "b", 2)]
    profiles.insert(place, broken(tmp_path / "broken"))
    found = take_inventory(profiles)
    assert [i.certificate.common_name for i in found.identities] == ["Person 1", "Person 2"]
    (failure,) = found.failures
    assert failure.profile == profiles[place]
    assert isinstance(failure.error, DamagedStoreError)


def test_a_profile_that_vanished_is_a_failure_and_not_the_end(tmp_path: Path) -> None:
    gone = Profile(tmp_path / "gone", "gone", "Firefox", store="sqlite")
    found = take_inventory([gone, made(tmp_path / "a")])
    assert [failure.profile for failure in found.failures] == [gone]
    assert len(found.identities) == 1


def test_nothing_readable_raises_the_first_error(tmp_path: Path) -> None:
    gone = Profile(tmp_path / "gone", "gone", "Firefox", store="sqlite")
    with pytest.raises(DamagedStoreError):
        take_inventory([broken(tmp_path / "broken"), gone])
    with pytest.raises(NoStoreError):
        take_inventory([gone, broken(tmp_path / "broken 2")])


def test_no_profile_and_no_database_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NoProfileError, match="no profile was found"):
        take_inventory([])
    with pytest.raises(NoProfileError, match="there is no NSS database in"):
        take_inventory([empty(tmp_path / "empty")])


def test_a_skipped_certificate_is_noted_with_its_profile(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "p")
    builder.add_certificate(issue(ec_key()))["a11"] = b"no certificate"
    profile = Profile(builder.write(), "p", "Firefox", store="sqlite")
    ((where, note),) = take_inventory([profile]).notes
    assert where == profile
    assert "skipped" in note


def test_whether_there_is_a_primary_password(tmp_path: Path) -> None:
    assert primary_password_set(made(tmp_path / "a")) is False
    assert primary_password_set(made(tmp_path / "b", password="x")) is True
    assert primary_password_set(empty(tmp_path / "c")) is None
    assert primary_password_set(broken(tmp_path / "d")) is None
