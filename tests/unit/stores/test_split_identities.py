"""Certificates and keys in different profiles are joined, and damaged keys have copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from nssbackup.backups.export import ExportOptions, export_certificate, export_identity
from nssbackup.backups.verify import verify_backup
from nssbackup.backups.writing import Dialogue
from nssbackup.errors import (
    CancelledError,
    DamagedStoreError,
    KeyInconsistentError,
    KeyMissingError,
    PrimaryPasswordRequiredError,
    UsageError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.certificate import StoredCertificate, from_der
from nssbackup.identity.choosing import choose
from nssbackup.identity.model import Identity, Profile
from nssbackup.pkcs12 import MODERN, PfxWriters
from nssbackup.report import ExportReport
from nssbackup.secret import Secret
from nssbackup.stores.inventory import Inventory, SplitIdentity, take_inventory
from nssbackup.stores.unlocking import read_key
from tests import FIXTURES
from tests.builders.store import Key, StoreBuilder, ec_key, issue, name, rsa_key
from tests.conftest import Unchanged

WIPO = name("WIPO Test CA", "World Intellectual Property Organization")
ROOT = name("WIPO Root", "World Intellectual Property Organization")
CA_KEY, ROOT_KEY = ec_key(90), ec_key(91)
CA = issue(CA_KEY, WIPO, ROOT, ROOT_KEY, ca=True)
ROOT_CA = issue(ROOT_KEY, ROOT, ca=True)
KEYS = FIXTURES / "keys"
KEY = ec_key(1)
PASSWORD = Secret("Correct-Horse-Battery-Staple-47")


def person(key: Key, subject: str = "Jane Doe", days: tuple[int, int] = (-30, 300)) -> bytes:
    return issue(key, subject, WIPO, CA_KEY, days=days)


DER = person(KEY)


class Make(Protocol):
    def __call__(self, name: str, **more: Any) -> Profile: ...  # noqa: ANN401


def store(
    folder: Path,
    *,
    pairs: Sequence[tuple[Key, bytes]] = (),
    certificates: Sequence[bytes] = (),
    keys: Sequence[Key] = (),
    default: bool = False,
    password: str = "",
) -> Profile:
    builder = StoreBuilder(folder, password)
    for key, der in pairs:
        builder.add_identity(key, der)
    for der in certificates:
        builder.add_certificate(der)
    for key in keys:
        builder.add_key(key)
    return Profile(builder.write(), folder.name, "Firefox", default=default, store="sqlite")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a store in a folder of this name."""
    return lambda name, **more: store(tmp_path / name, **more)


def nobody() -> NoReturn:
    pytest.fail("there was no need to look elsewhere")


def only(inventory: Inventory) -> Identity:
    (identity,) = inventory.identities
    return identity


def key_of(identity: Identity, password: str | None = None) -> bytes:
    given = None if password is None else Secret(password)
    return read_key(identity, "auto", lambda _, attempt: None if attempt else given).public_key


# --- a key here, its certificate there


@pytest.mark.parametrize(
    "key",
    [
        rsa_key(1),
        ec_key(1),
        ec_key(1, "secp521r1"),
        ed25519.Ed25519PrivateKey.from_private_bytes(b"\7" * 32),
    ],
    ids=["RSA", "P-256", "P-521", "Ed25519"],
)
def test_a_key_here_and_its_certificate_there_are_one(
    make: Make, unchanged: Unchanged, key: Key
) -> None:
    der = person(key)
    keys = make("keys", keys=[key])
    certificates = make("certificates", certificates=[der, CA])
    with unchanged(keys.path), unchanged(certificates.path):
        found = take_inventory([certificates, keys])
    identity = only(found)
    assert identity.profile == keys
    assert identity.certificate.der == der
    assert identity.certificate.has_private_key
    assert [issuer.der for issuer in identity.chain] == [CA]
    assert found.split == (SplitIdentity(identity, certificates),)
    assert found.orphans == ()
    (remark,) = found.notes_on(identity)
    assert "`keys`" in remark
    assert f"`{certificates.path}`" in remark
    assert key_of(identity) == identity.certificate.public_key


def test_the_chain_comes_from_wherever_its_certificates_lie(make: Make) -> None:
    found = take_inventory(
        [make("a", keys=[KEY]), make("b", certificates=[DER]), make("c", certificates=[CA])],
        given=[],
        left_behind=lambda: [make("d", certificates=[ROOT_CA])],
    )
    assert [issuer.der for issuer in only(found).chain] == [CA, ROOT_CA]


def test_each_of_several_keys_finds_its_own_certificate(make: Make) -> None:
    one, two, three = rsa_key(1), ec_key(2), ec_key(3)
    keys = make("keys", keys=[two, one, three])
    certificates = make("c", certificates=[person(one, "One"), person(two, "Two")])
    found = take_inventory([keys, certificates])
    assert {(i.certificate.common_name, i.profile) for i in found.identities} == {
        ("One", keys),
        ("Two", keys),
    }
    for identity in found.identities:
        assert key_of(identity) == identity.certificate.public_key
    ((where, (orphan,)),) = found.orphans
    assert where == keys
    assert (orphan.type, orphan.bits) == ("EC", 256)


def test_a_password_is_needed_for_the_key_alone(make: Make) -> None:
    keys = make("keys", keys=[KEY], password="secret")
    identity = only(take_inventory([keys, make("certificates", certificates=[DER])]))
    with pytest.raises(PrimaryPasswordRequiredError):
        key_of(identity)
    with pytest.raises(WrongPrimaryPasswordError):
        key_of(identity, "wrong")
    assert key_of(identity, "secret") == identity.certificate.public_key


def test_two_certificates_of_one_key_both_find_it(make: Make) -> None:
    ders = [person(KEY, days=(-900, -1)), DER]
    found = take_inventory([make("keys", keys=[KEY]), make("c", certificates=ders)])
    assert {i.certificate.der for i in found.identities} == set(ders)
    assert all(i.certificate.has_private_key for i in found.identities)
    assert found.orphans == ()


def test_a_renewal_finds_the_key_of_the_old_certificate(make: Make) -> None:
    key = rsa_key(1)
    old, new = person(key, days=(-900, -1)), person(key)
    keys = make("keys", pairs=[(key, old)])
    found = take_inventory([keys, make("mail", certificates=[new])])
    assert {(i.certificate.der, i.profile) for i in found.identities} == {(old, keys), (new, keys)}
    chosen = choose(found.identities, None).identity
    assert chosen.certificate.der == new
    assert key_of(chosen) == chosen.certificate.public_key


def test_a_ca_whose_key_lies_elsewhere_is_somebodys_too(make: Make) -> None:
    found = take_inventory([make("keys", keys=[CA_KEY]), make("c", certificates=[CA])])
    assert only(found).certificate.der == CA


def test_a_key_whose_certificate_is_nowhere_stays_an_orphan(make: Make) -> None:
    keys = make("keys", keys=[rsa_key(1)])
    other = make("other", certificates=[person(ec_key(2)), CA])
    found = take_inventory([keys, other])
    assert not only(found).certificate.has_private_key
    assert [(where, [one.type for one in orphans]) for where, orphans in found.orphans] == [
        (keys, ["RSA"])
    ]
    assert found.split == ()


def test_a_key_that_cannot_be_exported_is_paired_all_the_same(make: Make) -> None:
    key = fixture_key("dsa-1")
    found = take_inventory([make("keys", keys=[key]), make("c", certificates=[person(key)])])
    assert only(found).certificate.has_private_key


# --- copies


def test_copies_of_a_key_are_each_an_identity(make: Make) -> None:
    first = make("first", keys=[KEY])
    second = make("second", keys=[KEY], default=True)
    third = make("third", keys=[KEY])
    certificates = make("c", certificates=[DER])
    found = take_inventory([first, second, certificates, third])
    assert [i.profile for i in found.identities] == [first, second, third]
    chosen = choose(found.identities, None).identity
    assert chosen.profile == second
    assert [copy.profile for copy in found.copies_of(chosen)] == [first, third]
    undecided = [replace(p, default=False) for p in (first, second, third)]
    undecided_choice = choose(take_inventory([*undecided, certificates]).identities, None)
    assert undecided_choice.identity.profile == undecided[0]


def test_of_several_places_of_a_certificate_the_first_is_named(make: Make) -> None:
    keys = make("keys", keys=[KEY])
    second = make("second", certificates=[DER])
    third = make("third", certificates=[DER])
    (split,) = take_inventory([keys, second, third]).split
    assert split.certificate_in == second
    (split,) = take_inventory([keys, third, second], given=[from_der(DER)]).split
    assert split.certificate_in == third


def test_a_pair_is_whole_and_the_key_alone_is_its_copy(make: Make) -> None:
    """What Refresh Firefox leaves: the KEY in the new profile, the pair in the old one."""
    new = make("new", keys=[KEY], default=True)
    old = make("old", pairs=[(KEY, DER)])
    found = take_inventory([new], left_behind=lambda: [old])
    identity = only(found)
    assert identity.profile == old
    assert found.notes_on(identity) == ()
    assert found.orphans == ()
    (spare,) = found.copies_of(identity)
    assert spare.profile == new
    assert found.split == (SplitIdentity(spare, old),)
    assert key_of(spare) == key_of(identity)


def test_a_pair_and_its_certificate_alone_are_both_shown(make: Make) -> None:
    pair = make("pair", pairs=[(KEY, DER)])
    alone = make("alone", certificates=[DER])
    found = take_inventory([alone, pair])
    assert [(i.profile, i.certificate.has_private_key) for i in found.identities] == [
        (alone, False),
        (pair, True),
    ]
    assert choose(found.identities, None).identity.profile == pair


def test_a_key_alone_is_not_shown_beside_its_pair(make: Make) -> None:
    alone = make("alone", certificates=[DER])
    new = make("new", keys=[KEY])
    pair = make("pair", pairs=[(KEY, DER)])
    found = take_inventory([alone, new, pair])
    assert [(i.profile, i.certificate.has_private_key) for i in found.identities] == [
        (alone, False),
        (pair, True),
    ]
    (split,) = found.split
    assert (split.identity.profile, split.certificate_in) == (new, pair)


# --- profiles left behind


def test_nothing_missing_is_looked_for_nowhere(make: Make) -> None:
    profile = make("p", pairs=[(KEY, DER)])
    take_inventory([profile], left_behind=nobody)
    take_inventory([profile], given=[from_der(DER)], left_behind=nobody)


@pytest.mark.parametrize("what", ["no pair", "an orphan", "no key", "no profile"])
def test_what_is_missing_is_looked_for_in_profiles_behind(make: Make, what: str) -> None:
    old, new = ec_key(1), ec_key(2)
    cases: dict[str, Callable[[], list[Profile]]] = {
        "no pair": lambda: [make("new", certificates=[CA])],
        "an orphan": lambda: [make("new", pairs=[(new, person(new, "New"))], keys=[old])],
        "no key": lambda: [
            make("new", pairs=[(new, person(new, "New"))], certificates=[person(old, "Old")])
        ],
        "no profile": list,
    }
    behind = make("old", pairs=[(old, person(old, "Old"))])
    found = take_inventory(cases[what](), left_behind=lambda: [behind])
    with_key = [i for i in found.identities if i.certificate.has_private_key]
    assert "Old" in {i.certificate.common_name for i in with_key}
    assert found.orphans == ()


def test_the_key_of_a_given_certificate_is_looked_for_behind(make: Make) -> None:
    mine, other = ec_key(1), ec_key(2)
    profile = make("p", pairs=[(other, person(other, "Other"))])
    behind = make("old", keys=[mine])
    given = from_der(person(mine))
    found = take_inventory([profile], given=[given], left_behind=lambda: [behind])
    chosen = choose(found.identities, given.sha256).identity
    assert chosen.profile == behind
    assert chosen.certificate.has_private_key


def test_a_profile_is_not_read_twice_because_it_was_left_behind(make: Make) -> None:
    profile = make("p", keys=[ec_key(1)])
    found = take_inventory([profile], left_behind=lambda: [profile])
    assert len(found.orphans) == 1


def test_a_damaged_profile_does_not_part_the_others(make: Make) -> None:
    damaged = make("damaged", keys=[KEY])
    (damaged.path / "key4.db").write_bytes(b"no database" * 1000)
    found = take_inventory([make("keys", keys=[KEY]), damaged, make("c", certificates=[DER])])
    assert only(found).certificate.has_private_key
    assert [failure.profile for failure in found.failures] == [damaged]


def test_a_profile_that_vanishes_meanwhile_keeps_its_orphans(make: Make) -> None:
    keys = make("keys", keys=[KEY])

    def behind() -> list[Profile]:
        """Comes between the reading of the profiles and the pairing."""
        shutil.rmtree(keys.path)
        return [make("old", certificates=[DER])]

    found = take_inventory([keys], left_behind=behind)
    assert not only(found).certificate.has_private_key
    assert [where for where, _ in found.orphans] == [keys]


# --- a certificate from a file


def given(*ders: bytes) -> tuple[StoredCertificate, ...]:
    return tuple(map(from_der, ders))


def test_a_certificate_from_a_file_finds_its_key(make: Make) -> None:
    key = rsa_key(1)
    der = person(key)
    keys = make("keys", keys=[key])
    found = take_inventory([keys], given=given(der, CA, ROOT_CA))
    identity = only(found)
    assert (identity.profile, identity.certificate.der) == (keys, der)
    assert [issuer.der for issuer in identity.chain] == [CA, ROOT_CA]
    assert found.split == (SplitIdentity(identity, None),)
    assert "the file given" in found.notes_on(identity)[0]


def test_a_given_certificate_in_a_profile_is_the_profiles(tmp_path: Path) -> None:
    """With the profile's nickname, and with the chain of the file."""
    builder = StoreBuilder(tmp_path / "p")
    builder.add_identity(KEY, DER, b"the nickname")
    profile = Profile(builder.write(), "p", "Firefox", store="sqlite")
    found = take_inventory([profile], given=given(DER, CA, ROOT_CA), left_behind=nobody)
    identity = only(found)
    assert identity.profile == profile
    assert identity.certificate.nickname == "the nickname"
    assert [issuer.der for issuer in identity.chain] == [CA, ROOT_CA]
    assert found.split == ()


def test_a_given_certificate_alone_in_a_profile_is_once(make: Make) -> None:
    alone = make("alone", certificates=[DER])
    assert only(take_inventory([alone], given=given(DER))).profile == alone
    keys = make("keys", keys=[KEY])
    found = take_inventory([alone, keys], given=given(DER))
    assert only(found).profile == keys
    assert found.split[0].certificate_in == alone


def test_a_given_renewal_finds_the_key_of_the_old_one(make: Make) -> None:
    key = rsa_key(1)
    keys = make("keys", pairs=[(key, person(key, days=(-900, -1)))])
    new = given(person(key))
    found = take_inventory([keys], given=new, left_behind=nobody)
    chosen = choose(found.identities, new[0].sha256).identity
    assert chosen.profile == keys
    assert key_of(chosen) == chosen.certificate.public_key


def test_a_given_certificate_may_have_its_key_nowhere(make: Make) -> None:
    other = ec_key(2)
    profile = make("p", pairs=[(other, person(other, "Other"))], certificates=[CA])
    mine = given(person(ec_key(1)))
    found = take_inventory([profile], given=mine)
    (identity,) = (i for i in found.identities if i.certificate.der == mine[0].der)
    assert identity.profile is None
    assert not identity.certificate.has_private_key
    assert [issuer.der for issuer in identity.chain] == [CA]
    assert len(found.identities) == 2


# --- the real thing


@pytest.fixture
def refreshed(profile: Callable[[str], Path]) -> Profile:
    """What Firefox itself left after a refresh: a key, and a certificate database without any."""
    return Profile(profile("key-without-certificate"), "refreshed", "Firefox", store="sqlite")


def fixture_key(stem: str) -> Key:
    key = load_pem_private_key((KEYS / f"{stem}.pem").read_bytes(), None)
    assert isinstance(key, Key)
    return key


def exported(
    profiles: Sequence[Profile],
    folder: Path,
    options: ExportOptions | None = None,
    left_behind: Callable[[], Sequence[Profile]] = tuple,
    password: str | None = None,
) -> tuple[ExportReport, list[str]]:
    """Export with few rounds; returns the report and the warnings."""
    warned: list[str] = []
    folder.mkdir(exist_ok=True)
    report = export_identity(
        profiles,
        replace(options or ExportOptions(), output=f"{folder}/"),
        Dialogue(
            lambda _, attempt: None if attempt or password is None else Secret(password),
            lambda _: PfxWriters.start(PASSWORD, (MODERN,), 2048),
            warn=warned.append,
        ),
        left_behind,
    )
    verdict = verify_backup(report.files[0].path, PASSWORD)
    assert verdict.ok
    assert verdict.identity is not None
    assert verdict.identity.certificate.der == report.identity.certificate.der
    return report, warned


def test_firefoxs_orphan_and_a_given_certificate(
    refreshed: Profile, tmp_path: Path, unchanged: Unchanged
) -> None:
    der = person(fixture_key("key-without-certificate-1"))
    with unchanged(refreshed.path):
        report, warned = exported(
            [refreshed], tmp_path / "out", ExportOptions(given=given(der, CA))
        )
    assert report.identity.profile == refreshed
    assert report.identity.certificate.der == der
    assert [issuer.der for issuer in report.identity.chain] == [CA]
    assert any("the file given" in warning for warning in warned)


def test_firefoxs_orphan_and_a_certificate_elsewhere(
    refreshed: Profile, tmp_path: Path, make: Make
) -> None:
    der = person(fixture_key("key-without-certificate-1"))
    other = make("other", certificates=[der, CA])
    report, warned = exported([refreshed, other], tmp_path / "out")
    assert report.identity.profile == refreshed
    assert any(str(other.path) in warning for warning in warned)


def test_after_a_refresh_the_old_profile_is_exported(
    profile: Callable[[str], Path], refreshed: Profile, tmp_path: Path
) -> None:
    """A refresh takes key4.db along and leaves cert9.db: done here with Firefox's own files."""
    old = profile("firefox-nopassword")
    shutil.copyfile(old / "key4.db", refreshed.path / "key4.db")
    behind = Profile(old, "old", "Firefox", store="sqlite")
    report, warned = exported([refreshed], tmp_path / "out", left_behind=lambda: [behind])
    assert report.identity.profile == behind
    assert warned == []


def test_a_certificate_does_not_take_the_wrong_key(
    profile: Callable[[str], Path], refreshed: Profile
) -> None:
    lonely = Profile(profile("certificate-without-key"), "lonely", "Firefox", store="sqlite")
    found = take_inventory([lonely, refreshed])
    assert not only(found).certificate.has_private_key
    assert [where for where, _ in found.orphans] == [refreshed]


def test_that_no_profile_has_the_key_is_said(refreshed: Profile, tmp_path: Path) -> None:
    with pytest.raises(KeyMissingError) as info:
        exported(
            [refreshed], tmp_path / "out", ExportOptions(given=given(person(ec_key(5), "Zoe")))
        )
    assert info.value.message.startswith("no profile holds the private key of `Zoe`")
    assert "nssbackup doctor" in (info.value.hint or "")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_certificate_given_and_one_named_exclude_each_other(
    refreshed: Profile, tmp_path: Path
) -> None:
    options = ExportOptions(certificate="Jane", given=given(person(ec_key(1))))
    with pytest.raises(UsageError):
        exported([refreshed], tmp_path / "out", options)


# --- damaged keys


Spoil = Callable[[StoreBuilder, dict[str, object]], None]


def _no_ciphertext(_: StoreBuilder, row: dict[str, object]) -> None:
    row["a11"] = b"no ciphertext"


def _signature_lost(builder: StoreBuilder, row: dict[str, object]) -> None:
    assert builder.meta is not None
    del builder.meta[f"sig_key_{row['id']:08x}_00000011"]


def _other_secret(builder: StoreBuilder, row: dict[str, object]) -> None:
    """Values that decrypt and are another key's."""
    builder.set_secret(row, 0x11, (12345).to_bytes(32, "big"))


def _no_scalar(builder: StoreBuilder, row: dict[str, object]) -> None:
    builder.set_secret(row, 0x11, bytes(32))


DAMAGE = [_no_ciphertext, _signature_lost, _other_secret, _no_scalar]


def spoilt(
    folder: Path, key: Key, der: bytes, spoil: Spoil, *, default: bool = True, password: str = ""
) -> Profile:
    builder = StoreBuilder(folder, password)
    _, row = builder.add_identity(key, der)
    spoil(builder, row)
    return Profile(builder.write(), folder.name, "Firefox", default=default, store="sqlite")


@pytest.mark.parametrize("spoil", DAMAGE)
def test_a_damaged_key_is_taken_from_a_copy_of_the_profile(
    tmp_path: Path, make: Make, spoil: Spoil
) -> None:
    damaged = spoilt(tmp_path / "damaged", KEY, DER, spoil)
    copy = make("copy", pairs=[(KEY, DER)])
    report, warned = exported([damaged, copy], tmp_path / "out")
    assert report.identity.profile == copy
    assert any(str(copy.path) in warning for warning in warned)


def test_a_damaged_key_is_taken_from_a_key_alone(tmp_path: Path, make: Make) -> None:
    damaged = spoilt(tmp_path / "damaged", KEY, DER, _no_ciphertext)
    spare = make("spare", keys=[KEY])
    report, _ = exported([damaged, spare], tmp_path / "out")
    assert report.identity.profile == spare


def test_the_first_copy_that_can_be_read_is_taken(tmp_path: Path, make: Make) -> None:
    profiles = [
        spoilt(tmp_path / "damaged", KEY, DER, _no_ciphertext),
        spoilt(tmp_path / "too", KEY, DER, _no_scalar, default=False),
        make("locked", pairs=[(KEY, DER)], password="secret"),
        make("good", pairs=[(KEY, DER)]),
    ]
    report, _ = exported(profiles, tmp_path / "out")
    assert report.identity.profile == profiles[3]
    report, _ = exported(profiles, tmp_path / "out 2", password="secret")
    assert report.identity.profile == profiles[2]


def test_without_a_good_copy_the_damage_is_the_error(tmp_path: Path) -> None:
    damaged = spoilt(tmp_path / "damaged", KEY, DER, _no_ciphertext)
    with pytest.raises(DamagedStoreError):
        exported([damaged], tmp_path / "out")
    too = spoilt(tmp_path / "too", KEY, DER, _no_scalar, default=False)
    with pytest.raises(DamagedStoreError):
        exported([damaged, too], tmp_path / "out")
    with pytest.raises(KeyInconsistentError):
        exported([replace(too, default=True), replace(damaged, default=False)], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_question_for_the_password_of_a_copy_can_be_cancelled(tmp_path: Path, make: Make) -> None:
    damaged = spoilt(tmp_path / "damaged", KEY, DER, _no_ciphertext)
    locked = make("locked", pairs=[(KEY, DER)], password="secret")

    def cancel(_profile: Profile, _attempt: int) -> Secret:
        message = "cancelled"
        raise CancelledError(message)

    with pytest.raises(CancelledError):
        export_identity(
            [damaged, locked],
            ExportOptions(output=f"{tmp_path}/"),
            Dialogue(cancel, lambda _: PfxWriters.start(PASSWORD, (MODERN,), 2048)),
        )


def test_a_wrong_password_of_the_chosen_profile_is_no_damage(tmp_path: Path, make: Make) -> None:
    locked = make("locked", pairs=[(KEY, DER)], password="secret", default=True)
    open_ = make("open", pairs=[(KEY, DER)])
    with pytest.raises(WrongPrimaryPasswordError):
        exported([locked, open_], tmp_path / "out", password="wrong")


# --- the certificate alone


def test_a_certificate_alone_needs_no_key_and_no_password(tmp_path: Path, make: Make) -> None:
    der = person(ec_key(1))
    profile = make("p", certificates=[der, CA, ROOT_CA], password="secret")
    report = export_certificate(
        [profile],
        ExportOptions(output=str(tmp_path / "jane")),
        Dialogue(lambda *_: nobody(), lambda _: nobody()),
    )
    (file,) = report.files
    assert (file.path, file.format) == (tmp_path / "jane.pem", "pem")
    assert [
        one.public_bytes(Encoding.DER)
        for one in x509.load_pem_x509_certificates(file.path.read_bytes())
    ] == [der, CA, ROOT_CA]
