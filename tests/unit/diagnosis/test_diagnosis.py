from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa

from nssbackup.backups.export import ExportOptions, export_identity
from nssbackup.backups.writing import Dialogue
from nssbackup.diagnosis.doctor import diagnose, not_located
from nssbackup.diagnosis.findings import SEVERITIES, Case, DoctorReport, Finding
from nssbackup.diagnosis.settings import clicks, menus
from nssbackup.errors import EngineUnavailableError, NoProfileError, NssBackupError
from nssbackup.identity.choosing import Select
from nssbackup.identity.model import Identity, Profile
from nssbackup.pkcs12 import MODERN, PfxWriters
from nssbackup.profiles.folder import store_in
from nssbackup.profiles.system import Platform, System
from nssbackup.secret import Secret
from nssbackup.stores import availability, engine_named
from tests import PROFILES
from tests.builders.store import Key, StoreBuilder, ec_key, issue, name, rsa_key
from tests.conftest import MakeProfile, Unchanged

WIPO = name("WIPO Customer CA", "WIPO")
DSA_KEY = dsa.generate_private_key(1024)  # noqa: S505 - quick to make, and it protects nothing
PAIR = {"certificate-with-key"}


def at(folder: Path, application: str = "Firefox", *, in_use: bool | None = False) -> Profile:
    return Profile(folder, folder.name, application, in_use=in_use, store=store_in(folder))


def look(
    *profiles: Path | Profile,
    certificate: str | None = None,
    left_behind: Sequence[Path] | None = None,
    platform: Platform = "linux",
) -> DoctorReport:
    old = None if left_behind is None else tuple(at(folder) for folder in left_behind)
    given = tuple(at(one) if isinstance(one, Path) else one for one in profiles)
    home = (given[0].path if given else Path.cwd()) / "nobody"
    return diagnose(Case(given, certificate, old, system=System(platform, home, {})))


def codes(report: DoctorReport, profile: int | None = 0) -> set[str]:
    findings = report.findings if profile is None else report.profiles[profile].findings
    return {one.code for one in findings}


def finding(report: DoctorReport, code: str, profile: int | None = 0) -> Finding:
    findings = report.findings if profile is None else report.profiles[profile].findings
    (found,) = (one for one in findings if one.code == code)
    return found


def hint(found: Finding) -> str:
    assert found.hint
    return found.hint


def der(key: Key, person: str = "Jane Doe", *, days: tuple[int, int] = (-30, 300)) -> bytes:
    """A certificate of WIPO's."""
    return issue(key, person, WIPO, rsa_key(9), days=days)


def root() -> bytes:
    return issue(rsa_key(9), WIPO, ca=True)


def store(folder: Path, *pairs: tuple[Key, bytes], password: str = "") -> Path:
    """A store of certificates with their keys, and the root above them."""
    builder = StoreBuilder(folder, password)
    for key, certificate in pairs:
        builder.add_identity(key, certificate)
    builder.add_certificate(root())
    return builder.write()


def certificates_only(folder: Path, *certificates: bytes) -> Path:
    """A store that has never had a key of its own."""
    builder = StoreBuilder(folder)
    for certificate in (*certificates, root()):
        builder.add_certificate(certificate)
    return builder.write()


def keys_only(folder: Path, *keys: Key) -> Path:
    """What a refresh makes, when Firefox has been started on it: a new cert9.db."""
    builder = StoreBuilder(folder)
    for key in keys:
        builder.add_key(key)
    return builder.write()


# --- certificates and keys


def test_all_is_well(profile: MakeProfile, unchanged: Unchanged) -> None:
    folder = profile("firefox-nopassword")
    with unchanged(folder):
        report = look(folder)
    assert (report.outcome.possible, report.status) == (True, 0)
    assert report.outcome.identity is not None
    assert report.outcome.identity.certificate.common_name == "Jane Doe"
    assert not report.outcome.password_needed
    assert codes(report) == PAIR
    assert codes(report, None) == set()
    assert "`Jane Doe` (issued by WIPO Customer CA G2, valid until 2056-05-01)" in (
        finding(report, "certificate-with-key").message
    )


def test_a_certificate_without_its_key_was_requested_elsewhere(profile: MakeProfile) -> None:
    report = look(profile("certificate-without-key"))
    found = finding(report, "certificate-without-key")
    assert found.severity == "problem"
    assert "another browser, another profile or another computer" in hint(found)
    assert "smart card" not in hint(found)
    assert report.status == 22
    assert "private key of `Jane Doe`" in report.outcome.reason
    assert "elsewhere" in codes(report, None)


def test_other_peoples_certificates_are_no_finding_unless_named(tmp_path: Path) -> None:
    friend = issue(rsa_key(2), "Friend", "Other CA", rsa_key(8))
    folder = certificates_only(tmp_path / "p", friend)
    assert codes(look(folder)) == set()
    named = look(folder, certificate="friend")
    assert codes(named) == {"certificate-without-key"}
    assert named.status == 22


def test_a_key_in_another_profile_makes_a_backup_possible(tmp_path: Path) -> None:
    here = certificates_only(tmp_path / "here", der(rsa_key()))
    there = keys_only(tmp_path / "there", rsa_key())
    report = look(here, there)
    assert codes(report, 0) == {"key-elsewhere"}
    assert f"The key is in profile `{there}`" in finding(report, "key-elsewhere").message
    assert "joins the two" in hint(finding(report, "key-elsewhere"))
    assert codes(report, 1) == {"certificate-elsewhere"}
    assert f"`{here}`" in finding(report, "certificate-elsewhere", 1).message
    assert report.outcome.possible


def test_a_pair_in_another_profile_is_named(tmp_path: Path) -> None:
    certificate = der(rsa_key())
    here = certificates_only(tmp_path / "here", certificate)
    report = look(here, store(tmp_path / "there", (rsa_key(), certificate)))
    assert codes(report, 0) == {"key-elsewhere"}
    assert f"`{tmp_path / 'there'}`" in finding(report, "key-elsewhere").message
    assert codes(report, 1) == PAIR
    assert report.outcome.possible


def test_of_several_places_the_one_with_the_pair_is_named_once(tmp_path: Path) -> None:
    certificate = der(rsa_key())
    report = look(
        keys_only(tmp_path / "key", rsa_key()),
        certificates_only(tmp_path / "certificate", certificate),
        store(tmp_path / "pair", (rsa_key(), certificate)),
    )
    assert f"`{tmp_path / 'pair'}`" in finding(report, "certificate-elsewhere").message


@pytest.fixture
def refreshed(tmp_path: Path, profile: MakeProfile) -> tuple[Path, Path]:
    """A profile after *Refresh Firefox*, by the real files that it keeps, and the old one."""
    old = profile("firefox-nopassword")
    old = old.rename(tmp_path / "old.default")
    new = profile("key-without-certificate")
    shutil.copy(old / "key4.db", new / "key4.db")
    return new, old


def test_what_a_refresh_left_behind_is_named(refreshed: tuple[Path, Path]) -> None:
    new, old = refreshed
    report = look(new, left_behind=[old])
    assert codes(report) == {"certificate-elsewhere"}
    found = finding(report, "certificate-elsewhere")
    assert "Refresh Firefox" in found.message
    assert f"`{old}`" in found.message
    assert "Don't delete" in hint(found)
    assert report.profiles[1].left_behind
    assert codes(report, 1) == PAIR
    assert report.outcome.possible


def test_a_lone_key_is_of_a_refresh_or_of_an_unfinished_request(
    refreshed: tuple[Path, Path],
) -> None:
    new, _ = refreshed
    report = look(new)
    found = finding(report, "key-without-certificate")
    assert found.severity == "problem"
    assert found.message.startswith("A private key (RSA 2048) is here without a certificate")
    for advice in ("one week", "--certificate FILE", "Old Firefox Data", "leave `--profile` out"):
        assert advice in hint(found)
    assert report.status == 20
    assert report.outcome.reason == "there is a private key, but not its certificate"
    assert "refreshed" not in codes(report)
    (new / "times.json").write_text('{"created":1,"source":"reset","reset":1796086414405}')
    report = look(new)
    assert "on 2026-12-01" in finding(report, "refreshed").message
    assert hint(finding(report, "key-without-certificate")).startswith("Look in the old profile")
    assert "leave `--profile` out" not in hint(
        finding(look(new, left_behind=[]), "key-without-certificate")
    )


def test_only_keys_without_a_certificate_are_counted(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "p")
    builder.add_identity(rsa_key(), der(rsa_key()))
    builder.add_key(ec_key(1))
    builder.add_key(ec_key(2))
    found = finding(look(builder.write()), "key-without-certificate")
    assert found.message.startswith("2 private keys (EC 256, EC 256) are here")


def test_an_old_profile_that_was_named_is_not_shown_twice(refreshed: tuple[Path, Path]) -> None:
    new, old = refreshed
    report = look(new, old, left_behind=[old])
    assert [one.profile.path for one in report.profiles] == [new, old]
    assert not report.profiles[1].left_behind


def test_what_only_the_old_profile_has_is_named_with_its_place(tmp_path: Path) -> None:
    lost, kept = der(rsa_key(1), "Lost"), der(rsa_key(2), "Kept")
    builder = StoreBuilder(tmp_path / "new")
    builder.add_identity(rsa_key(2), kept)
    builder.add_certificate(lost)
    builder.add_certificate(root())
    new = builder.write()
    for old in (
        store(tmp_path / "pair", (rsa_key(1), lost)),
        keys_only(tmp_path / "key", rsa_key(1)),
    ):
        found = finding(look(new, left_behind=[old]), "key-elsewhere")
        assert f"rofile `{old}`" in found.message
        assert "`--profile`" in hint(found)
        assert look(new, old, certificate="Lost").outcome.possible


# --- validity and chain


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ((-400, -1), {"certificate-expired"}),
        ((-300, 1), {"certificate-expiring"}),
        ((-300, 29), {"certificate-expiring"}),
        ((-300, 31), set()),
        ((2, 300), {"certificate-not-yet-valid"}),
    ],
)
def test_the_end_of_a_certificate_is_a_warning(
    tmp_path: Path, days: tuple[int, int], expected: set[str]
) -> None:
    report = look(store(tmp_path / "p", (rsa_key(), der(rsa_key(), days=days))))
    assert codes(report) - PAIR == expected
    assert all(SEVERITIES[code] == "warning" for code in expected)
    assert report.outcome.possible


def test_wipos_certificates_are_requested_anew_and_only_wipos(tmp_path: Path) -> None:
    foreign = issue(ec_key(), "Jo", "Other CA", rsa_key(9), days=(-30, 5))
    ours = store(tmp_path / "a", (rsa_key(), der(rsa_key(), days=(-30, 5))))
    for folder, wipo in ((ours, True), (store(tmp_path / "b", (ec_key(), foreign)), False)):
        advice = hint(finding(look(folder), "certificate-expiring"))
        assert ("not renewed but requested anew" in advice) is wipo
        assert ("two weeks" in advice) is wipo


def test_a_certificate_apart_from_its_key_is_judged_too(tmp_path: Path) -> None:
    here = certificates_only(tmp_path / "here", der(rsa_key(), days=(-30, 5)))
    report = look(here, keys_only(tmp_path / "there", rsa_key()))
    assert codes(report, 1) == {"certificate-elsewhere", "certificate-expiring"}


def test_an_old_certificate_that_has_been_renewed_is_no_warning(profile: MakeProfile) -> None:
    for fixture in ("renewed", "renewed-same-key"):
        assert codes(look(profile(fixture))) == PAIR
    assert "certificate-expired" in codes(look(profile("expired")))


def test_of_copies_one_is_judged(tmp_path: Path) -> None:
    first = store(tmp_path / "a", (rsa_key(), der(rsa_key(), days=(-30, 5))))
    second = Path(shutil.copytree(first, tmp_path / "b"))
    report = look(first, second)
    assert codes(report, 0) == {*PAIR, "certificate-expiring"}
    assert codes(report, 1) == PAIR


def test_what_is_missing_above_a_certificate_is_named(profile: MakeProfile, tmp_path: Path) -> None:
    found = finding(look(profile("chain-incomplete")), "chain-incomplete")
    assert "WIPO Root CA G1" in found.message
    builder = StoreBuilder(tmp_path / "p")
    builder.add_identity(rsa_key(), der(rsa_key()))
    assert "WIPO Customer CA" in finding(look(builder.write()), "chain-incomplete").message


# --- keys that can't be taken out


@pytest.mark.parametrize("password", ["", "secret"])
def test_a_key_that_must_not_leave_the_store(tmp_path: Path, password: str) -> None:
    builder = StoreBuilder(tmp_path / "p", password)
    _, key = builder.add_identity(rsa_key(), der(rsa_key()))
    key["a162"] = b"\0"
    builder.add_certificate(root())
    report = look(builder.write())
    found = finding(report, "key-not-exportable")
    assert found.severity == "problem"
    assert "`Jane Doe`" in found.message
    assert "copy of the whole profile folder" in hint(found)
    assert report.status == 22
    assert "not extractable" in report.outcome.reason
    assert "whole profile folder" in report.outcome.next_step


@pytest.mark.parametrize("password", ["", "secret"])
def test_a_key_of_a_type_that_is_not_handled(tmp_path: Path, password: str) -> None:
    report = look(store(tmp_path / "p", (DSA_KEY, der(DSA_KEY)), password=password))
    assert "DSA" in finding(report, "key-not-exportable").message
    assert report.status == 22


def test_a_damaged_key_is_a_problem_unless_there_is_a_copy(tmp_path: Path) -> None:
    certificate = der(rsa_key())
    good = store(tmp_path / "good", (rsa_key(), certificate))
    builder = StoreBuilder(tmp_path / "bad")
    _, key = builder.add_identity(rsa_key(), certificate)
    builder.add_certificate(root())
    assert builder.meta is not None
    del builder.meta[f"sig_key_{key['id']:08x}_00000123"]
    bad = builder.write()
    spare = keys_only(tmp_path / "spare", rsa_key())
    alone = look(bad)
    assert finding(alone, "store-signature").severity == "problem"
    assert alone.status == 11
    assert look(bad, good).outcome.possible
    assert look(bad, spare).outcome.possible
    assert "store-signature" in codes(look(bad, good))


def test_a_key_with_values_of_another_is_found_by_reading_it(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "p")
    _, key = builder.add_identity(ec_key(1), der(ec_key(1)))
    builder.set_secret(key, 0x11, (7).to_bytes(32, "big"))
    report = look(builder.write())
    assert report.status == 22
    assert report.outcome.error is not None
    found = finding(report, report.outcome.error.code)
    assert found.severity == "problem"


# --- the primary password


def test_of_a_primary_password_the_reset_is_warned_of(profile: MakeProfile) -> None:
    report = look(profile("firefox-password"))
    assert codes(report) == {*PAIR, "primary-password"}
    found = finding(report, "primary-password")
    assert "don't let Firefox reset it" in hint(found)
    assert "deletes every certificate and every private key" in hint(found)
    assert report.outcome.possible
    assert report.outcome.password_needed
    assert report.profiles[0].primary_password is True


@pytest.mark.parametrize(
    ("fixture", "managed"), [("firefox-password", True), ("firefox-nopassword", False)]
)
def test_keys_that_a_management_console_protects(
    profile: MakeProfile, fixture: str, managed: bool
) -> None:
    folder = profile(fixture)
    preference = 'user_pref("security.storage.encryption.enabled", true);\n'
    (folder / "prefs.js").write_text(preference)
    report = look(folder)
    assert ("managed-encryption" in codes(report)) is managed
    assert "primary-password" not in codes(report)
    assert report.status == (12 if managed else 0)
    if managed:
        assert "administrators" in report.outcome.next_step
    (folder / "user.js").write_text(preference.replace("true", "false"))
    assert look(folder).outcome.possible


# --- certificates that are in no profile


@pytest.mark.parametrize(
    ("application", "preferences", "kept"),
    [
        ("Firefox", "", True),
        ("Firefox", 'user_pref("security.nocertdb", true);', False),
        ("Firefox", '// user_pref("security.nocertdb", true);', True),
        ("Firefox", 'user_pref("security.nocertdb", "true");', True),
        ("Tor Browser", "", False),
        ("Tor Browser", 'user_pref("security.nocertdb", false);', True),
        ("Mullvad Browser", "", False),
    ],
)
def test_a_browser_that_keeps_no_certificates(
    tmp_path: Path, application: str, preferences: str, kept: bool
) -> None:
    (tmp_path / "user.js").write_text(preferences)
    report = look(at(tmp_path, application))
    assert ("certificates-not-kept" in codes(report)) is not kept
    assert "no-databases" in codes(report)
    assert report.status == 10
    if not kept:
        found = finding(report, "certificates-not-kept")
        assert found.message.startswith(f"{application} keeps no certificates in this profile")
        assert report.outcome.reason == "this browser keeps no certificates"


OPENSC = "library=/usr/lib/opensc-pkcs11.so\nname=OpenSC\n\n"


def test_a_smart_cards_module_is_named(profile: MakeProfile) -> None:
    folder = profile("certificate-without-key")
    (folder / "pkcs11.txt").write_text(OPENSC)
    report = look(folder)
    found = finding(report, "security-module")
    assert found.severity == "note"
    assert "module `OpenSC` (`/usr/lib/opensc-pkcs11.so`)" in found.message
    assert "can't leave a smart card" in hint(found)
    assert "the key is on that" in hint(finding(report, "certificate-without-key"))


@pytest.mark.parametrize(
    ("application", "platform", "preference", "shown"),
    [
        ("Firefox", "win32", None, True),
        ("Firefox", "darwin", None, True),
        ("Firefox", "linux", None, False),
        ("Firefox", "linux", True, False),
        ("Firefox", "win32", False, False),
        ("Firefox", "win32", True, True),
        ("Thunderbird", "win32", None, False),
        ("Thunderbird", "darwin", True, True),
        ("SeaMonkey", "win32", True, False),
        ("NSS", "win32", None, False),
        ("NSS", "win32", True, True),
    ],
)
def test_certificates_of_the_system_that_a_browser_shows(
    profile: MakeProfile, application: str, platform: Platform, preference: bool | None, shown: bool
) -> None:
    folder = profile("firefox-nopassword")
    if preference is not None:
        value = str(preference).lower()
        (folder / "prefs.js").write_text(f'user_pref("security.osclientcerts.autoload", {value});')
    report = look(at(folder, application), platform=platform)
    assert ("os-certificates" in codes(report, None)) is shown
    if shown:
        found = finding(report, "os-certificates", None)
        store_name = "certificate store of Windows" if platform == "win32" else "Keychain of macOS"
        assert store_name in found.message
        assert ("certmgr.msc" if platform == "win32" else "Keychain Access") in hint(found)
        assert found.message.startswith("The program" if application == "NSS" else application)


def test_where_none_was_found_it_is_said_where_one_may_be(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    places: dict[Platform, str] = {"win32": "certmgr.msc", "darwin": "Keychain", "linux": "Chrome"}
    for platform, place in places.items():
        report = look(tmp_path / "p", platform=platform)
        found = finding(report, "elsewhere", None)
        assert place in found.message
        assert "another user account, on another computer" in found.message


# --- files


@pytest.mark.parametrize(
    ("fixture", "password"), [("legacy-nopassword", False), ("legacy-password", True)]
)
def test_old_databases_are_read_and_that_they_are_old_is_said(
    profile: MakeProfile, fixture: str, password: bool
) -> None:
    folder = profile(fixture)
    report = look(folder)
    found = finding(report, "legacy-databases")
    assert found.severity == "note"
    assert "cert8.db and key3.db, are from Firefox 57 or earlier" in found.message
    assert report.outcome.possible
    assert report.outcome.password_needed is password
    (folder / "cert8.db").unlink()
    assert codes(look(folder)) >= {"keys-only", "key-without-certificate"}


def test_unknown_old_databases_have_a_hint_to_convert_them(
    profile: MakeProfile,
) -> None:
    folder = profile("legacy-nopassword")
    data = (folder / "key3.db").read_bytes()
    assert data.count(b"\x03Version") == 1
    (folder / "key3.db").write_bytes(data.replace(b"\x03Version", b"\x02Version"))
    report = look(folder)
    found = finding(report, "store-unsupported")
    assert found.severity == "problem"
    assert "certutil -K -X -d sql:COPY" in hint(found)
    assert report.status == 11


def test_of_two_generations_it_is_said_which_is_read(profile: MakeProfile) -> None:
    folder = profile("firefox-nopassword")
    (folder / "key3.db").write_bytes(bytes(64))
    report = look(folder)
    found = finding(report, "older-databases")
    assert "Firefox 57 or earlier (key3.db)" in found.message
    assert "read (cert9.db and key4.db)" in found.message
    assert "copy cert8.db and key3.db to a new folder" in hint(found)
    assert report.outcome.possible
    (folder / "key4.db").unlink()
    found = finding(look(folder), "older-databases")
    assert "read (cert9.db)" in found.message


def test_half_a_store_is_a_warning(profile: MakeProfile) -> None:
    folder = profile("firefox-nopassword")
    keys = (folder / "key4.db").read_bytes()
    (folder / "key4.db").unlink()
    report = look(folder)
    assert codes(report) == {"certificates-only", "certificate-without-key"}
    assert report.status == 22
    (folder / "key4.db").write_bytes(keys)
    (folder / "cert9.db").unlink()
    report = look(folder)
    assert codes(report) == {"keys-only", "key-without-certificate"}
    assert report.status == 20


def test_a_damaged_database_is_a_problem_with_its_error(profile: MakeProfile) -> None:
    folder = profile("ec-p256")
    (folder / "cert9.db").write_bytes(b"no database at all" * 99)
    report = look(folder)
    found = finding(report, "store-damaged")
    assert found.severity == "problem"
    assert f"`{folder / 'cert9.db'}` is not a usable SQLite database" in found.message
    assert "older copy" in hint(found)
    assert report.status == 11
    beside = look(folder, profile("ec-p384"))
    assert beside.outcome.possible
    assert "store-damaged" in codes(beside)


def test_a_damaged_password_record_hides_no_certificate(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "p")
    builder.add_identity(rsa_key(), der(rsa_key()))
    builder.add_certificate(root())
    assert builder.meta is not None
    builder.meta["password"] = (b"salt", b"no password record")
    report = look(builder.write())
    assert codes(report) == {*PAIR, "store-damaged"}
    assert report.status == 11


def test_a_fifo_in_place_of_a_database_is_not_opened(profile: MakeProfile) -> None:
    folder = profile("ec-p256")
    (folder / "cert9.db").unlink()
    os.mkfifo(folder / "cert9.db")
    report = look(folder)
    assert "not a regular file" in finding(report, "store-unreadable").message
    assert report.status == 11


def test_a_profile_without_databases_is_a_note(tmp_path: Path, profile: MakeProfile) -> None:
    (tmp_path / "empty").mkdir()
    report = look(tmp_path / "empty", profile("ec-p256"))
    assert codes(report) == {"no-databases"}
    assert report.outcome.possible
    assert look(tmp_path / "empty").status == 10


def test_a_certificate_that_is_none_is_a_warning(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "p")
    builder.add_certificate(der(rsa_key()))["a11"] = b"no certificate"
    assert "skipped" in finding(look(builder.write()), "certificate-unreadable").message


def test_a_profile_in_use_can_be_read_all_the_same(profile: MakeProfile) -> None:
    folder = profile("ec-p256")
    for in_use, code in ((True, "in-use"), (None, "perhaps-in-use")):
        report = look(at(folder, in_use=in_use))
        assert codes(report) == {*PAIR, code}
        assert "can still be read" in finding(report, code).message
        assert report.outcome.possible
    assert finding(look(at(folder, "NSS", in_use=True)), "in-use").message.startswith("The program")


# --- which certificate


def test_several_certificates_need_a_choice(profile: MakeProfile) -> None:
    report = look(profile("two-people"))
    outcome = report.outcome
    assert (report.status, outcome.possible, outcome.identity) == (21, False, None)
    assert len(outcome.choices) == 2
    found = finding(report, "several-certificates", None)
    fingerprints = re.findall(r"`([0-9a-f]{16})`", hint(found))
    assert len(set(fingerprints)) == 2
    for fingerprint in fingerprints:
        named = look(PROFILES / "two-people", certificate=fingerprint)
        assert named.outcome.possible
        assert "several-certificates" not in codes(named, None)


def test_a_certificate_of_another_issuer_needs_a_choice(profile: MakeProfile) -> None:
    report = look(profile("foreign-only"))
    assert (report.status, report.outcome.identity) == (20, None)
    (choice,) = report.outcome.choices
    advice = hint(finding(report, "no-wipo-certificate", None))
    assert f"`{choice.certificate.sha256[:16]}`" in advice
    assert look(PROFILES / "foreign-only", certificate="Jane Doe").outcome.possible
    nobody = look(PROFILES / "foreign-only", certificate="nobody")
    assert (nobody.status, nobody.outcome.choices) == (20, ())


def test_a_name_that_nothing_bears(profile: MakeProfile) -> None:
    good = profile("ec-p256")
    report = look(good, certificate="nobody")
    assert report.status == 20
    assert report.outcome.reason == "no certificate matches `nobody`"
    assert "nssbackup list --all" in report.outcome.next_step
    bad = profile("ec-p384")
    (bad / "cert9.db").write_bytes(b"no database at all" * 99)
    report = look(good, bad, certificate="nobody")
    assert report.outcome.reason == "no certificate matches `nobody`"
    assert report.outcome.next_step.startswith("Not everything could be read: the databases of a")


@pytest.mark.parametrize(
    ("version", "ways"), [("153.8.0_2026/2026", 1), ("140.0_2025/2025", 1), ("", 2), ("x", 2)]
)
def test_the_way_to_a_menu_is_that_of_the_version(tmp_path: Path, version: str, ways: int) -> None:
    (tmp_path / "compatibility.ini").write_text(f"[Compatibility]\nLastVersion={version}\n")
    text = clicks("Import", at(tmp_path))
    assert ("Connection and software security" in text) is (ways == 2 or version[:3] == "153")
    assert ("View Certificates" in text) is (ways == 2 or version[:3] == "140")
    assert len(menus("Import")) == 2
    assert clicks("Import", at(tmp_path, "Thunderbird")) == clicks("Import")


# --- nothing found, the engines, the document


def test_where_was_looked_is_said_where_there_is_no_profile(tmp_path: Path) -> None:
    system = System("linux", tmp_path, {})
    report = diagnose(Case((), left_behind=(), system=system))
    assert codes(report, None) == {"no-profile", "elsewhere"}
    assert "none of the folders" in finding(report, "no-profile", None).message
    assert report.status == 10
    (tmp_path / ".mozilla" / "firefox").mkdir(parents=True)
    (tmp_path / ".thunderbird").mkdir()
    report = diagnose(Case((), left_behind=(), system=system))
    found = finding(report, "no-profile", None)
    assert f"`{tmp_path / '.mozilla' / 'firefox'}` and `{tmp_path / '.thunderbird'}`" in (
        found.message
    )
    assert "about:profiles" in hint(found)
    assert report.searched == (
        str(tmp_path / ".mozilla" / "firefox"),
        str(tmp_path / ".thunderbird"),
    )
    only = diagnose(Case((), applications=frozenset({"Zen"}), system=system))
    assert only.searched == ()
    assert "the folders in which Zen keep" in finding(only, "no-profile", None).message


def test_a_profile_that_was_named_and_is_not_there() -> None:
    error = NoProfileError("no profile is called `x`", hint="found were `y`")
    report = not_located(error)
    assert (report.status, report.profiles) == (10, ())
    assert codes(report, None) == {"no-profile"}
    assert report.outcome.reason == "no profile is called `x`"
    assert report.outcome.next_step == "Found were `y`."


def test_every_engine_is_there_or_says_why_not() -> None:
    engines = {one.name: one.reason for one in availability()}
    assert engines.keys() == {"native", "nss"}
    assert engines["native"] is None
    for name_, reason in engines.items():
        if reason is None:
            assert engine_named(name_).name == name_
        else:
            with pytest.raises(EngineUnavailableError, match=re.escape(reason)):
                engine_named(name_)


def test_the_document_is_json_and_says_what_the_report_says(profile: MakeProfile) -> None:
    report = look(profile("certificate-without-key"))
    document = json.loads(json.dumps(report.to_json()))
    assert document["backup_possible"] is False
    assert document["status"] == document["error"]["status"] == 22
    assert document["identity"] is None
    (one,) = document["profiles"]
    assert one["path"] == str(report.profiles[0].profile.path)
    assert one["store"] == "sqlite"
    codes_of = [found["code"] for found in one["findings"]]
    assert codes_of == [found.code for found in report.profiles[0].findings]
    assert all(set(found) == {"code", "severity", "message", "hint"} for found in one["findings"])
    assert [engine["name"] for engine in document["engines"]] == ["native", "nss"]
    assert document["versions"].keys() == {"nssbackup", "python", "cryptography", "sqlite"}
    assert all(re.search(r"\d", number) for number in document["versions"].values())


def test_what_was_found_comes_first_and_then_the_worst(profile: MakeProfile) -> None:
    folder = profile("certificate-without-key")
    (folder / "pkcs11.txt").write_text(OPENSC)
    (folder / "user.js").write_text('user_pref("security.nocertdb", true);')
    severities = [one.severity for one in look(folder).profiles[0].findings]
    assert severities == ["problem", "warning", "note"]
    other = profile("firefox-nopassword")
    (other / "cert9.db").unlink()
    severities = [one.severity for one in look(other).profiles[0].findings]
    assert severities == ["problem", "warning"]
    shutil.copytree(profile("chain-incomplete"), other, dirs_exist_ok=True)
    assert [one.severity for one in look(other).profiles[0].findings] == ["note", "warning"]


def test_every_finding_is_made_of_sentences(profile: MakeProfile) -> None:
    for fixture in sorted(PROFILES.iterdir()):
        report = look(profile(fixture.name))
        for one in (*report.findings, *report.profiles[0].findings):
            for text in (one.message, one.hint or "Nothing."):
                assert re.match(r"[A-Z0-9`]", text), text
                assert text.endswith("."), text
                assert ".." not in text
                assert "  " not in text


def test_the_codes_of_the_table_are_not_those_of_errors() -> None:
    waiting: list[type[NssBackupError]] = [NssBackupError]
    errors = set()
    while waiting:
        one = waiting.pop()
        errors.add(one.code)
        waiting.extend(one.__subclasses__())
    assert {code for code in SEVERITIES if code in errors} == {"no-profile"}
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in SEVERITIES)


# --- the outcome is what `export` does


@pytest.mark.parametrize("fixture", sorted(folder.name for folder in PROFILES.iterdir()))
def test_the_outcome_is_that_of_an_unattended_export(
    profile: MakeProfile, tmp_path: Path, fixture: str
) -> None:
    folder = profile(fixture)

    asked: list[str] = []

    def select(identities: Sequence[Identity], reason: str) -> Identity:
        asked.append(reason)
        return identities[0]

    def export(select: Select | None) -> tuple[int, Identity | None]:
        dialogue = Dialogue(
            primary_password=lambda _profile, _attempt: None,
            pfx_writers=lambda _: PfxWriters.start(Secret("Correct-Horse-47"), (MODERN,), 2048),
            select=select,
        )
        options = ExportOptions(output=f"{tmp_path}/a.pfx", replace=True)
        try:
            return 0, export_identity([at(folder)], options, dialogue).identity
        except NssBackupError as error:
            return error.exit_status, None

    status, written = export(None)
    export(select)
    report = look(folder)
    outcome = report.outcome
    # The primary password is the one thing that is not asked for here.
    assert outcome.password_needed is (status == 12)
    assert report.status == (0 if outcome.password_needed else status)
    assert bool(outcome.choices) is bool(asked)
    if written is not None:
        assert outcome.identity is not None
        assert outcome.identity.certificate.sha256 == written.certificate.sha256
