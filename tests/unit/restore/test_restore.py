"""Restore as a library: what is refused, what is kept, and that nothing else ever changes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from nssbackup.errors import (
    BackupError,
    DamagedStoreError,
    EngineUnavailableError,
    NssBackupError,
    PrimaryPasswordRequiredError,
    RestoreError,
    StoreChangedError,
    StoreUnwritableError,
    WrongBackupPasswordError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.certificate import from_der
from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import store_in
from nssbackup.restore import writer
from nssbackup.restore.restore import RestoreDialogue, RestoreReport, restore_backup
from nssbackup.restore.rows import Rows
from nssbackup.restore.staging import RestoreOptions, by_hand
from nssbackup.secret import Secret
from nssbackup.stores import open_store
from tests import is_root
from tests.builders.store import StoreBuilder, cka_id, ec_key, issue, rsa_key
from tests.conftest import MakeProfile, Unchanged
from tests.unit.pkcs12.identities import pfx_of

GIVEN = Secret("WIPO-made-4711")
PRIMARY = "correct horse 7"
CA_KEY, JANE, ZOE = ec_key(8), rsa_key(), ec_key(1)
CA = issue(CA_KEY, "CA", ca=True)
JANES = issue(JANE, "Jane Doe", "CA", CA_KEY)
ZOES = issue(ZOE, "Zoë", "CA", CA_KEY)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "jane.pfx").write_bytes(pfx_of([JANE], [JANES, CA], GIVEN))
    (folder / "two.pfx").write_bytes(pfx_of([JANE, ZOE], [JANES, CA, ZOES], GIVEN))
    return folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files: whatever a restore does, nothing stays in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


class User:
    """Who restores: answers the questions, and may do something else in the meantime."""

    def __init__(
        self,
        primary: str | None = None,
        given: Secret | None = GIVEN,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        self.primary, self.given, self.meanwhile = primary, given, meanwhile
        self.asked: list[str] = []
        self.told: list[str] = []

    def restore(
        self, file: Path, folder: Path, application: str = "Firefox", **options: object
    ) -> RestoreReport:
        return restore_backup(
            file,
            Profile(folder, "target", application, store=store_in(folder)),
            RestoreOptions(**options),  # type: ignore[arg-type]  # each test names what it means
            RestoreDialogue(
                self._backup_password,
                self._primary_password,
                warn=self.told.append,
                detail=self._detail,
            ),
        )

    def _detail(self, _: str) -> None:
        # Told when all is ready to be written.
        self.meanwhile()

    def _backup_password(self, _: Path, attempt: int) -> Secret | None:
        self.asked.append("backup")
        return None if attempt else self.given

    def _primary_password(self, _: Profile, attempt: int) -> Secret | None:
        self.asked.append("primary")
        return None if attempt or self.primary is None else Secret(self.primary)


def read_back(folder: Path, primary: str = "") -> dict[str, tuple[str | None, bool]]:
    """Nickname and key of each certificate in a profile, by its fingerprint; the keys are read."""
    with open_store(Profile(folder, "x", "Firefox", store=store_in(folder)), "native") as store:
        store.unlock(Secret(primary))
        for one in store.certificates():
            if one.has_private_key:
                assert store.private_key(one).public_key == one.public_key
        return {one.sha256: (one.nickname, one.has_private_key) for one in store.certificates()}


def sha256(der: bytes) -> str:
    return from_der(der).sha256


# --- what is written


@pytest.mark.posix("it looks at file modes")
def test_a_profile_without_databases_gets_them(files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    folder.mkdir()
    user = User()
    report = user.restore(files / "jane.pfx", folder)
    assert (report.changed, report.aside) == (True, None)
    assert user.asked == ["backup"]
    assert read_back(folder) == {sha256(JANES): ("Jane Doe", True), sha256(CA): ("CA", False)}
    assert sorted(path.name for path in folder.iterdir()) == ["cert9.db", "key4.db"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.posix("it looks at file modes")
@pytest.mark.parametrize(
    ("case", "primary"),
    [
        ("firefox-nopassword", ""),
        ("firefox-password", PRIMARY),
        ("nss387-password", PRIMARY),
        ("nss387-password-unicode", "Ünï-пароль-密码"),
        ("tripledes-password", PRIMARY),
    ],
)
def test_what_was_there_stays_and_lies_aside_as_it_was(
    files: Path, profile: MakeProfile, case: str, primary: str
) -> None:
    folder = profile(case)
    before, rows = read_back(folder, primary), Rows.read(folder)
    user = User(primary)
    report = user.restore(files / "jane.pfx", folder)
    assert user.asked == ["backup", *(["primary"] if primary else [])]
    after = read_back(folder, primary)
    added = {sha256(JANES), sha256(CA)}
    assert after.keys() == {*before, *added}
    assert {each: after[each] for each in before} == before
    assert report.aside is not None
    assert report.aside.parent == folder
    assert report.aside.stat().st_mode & 0o777 == 0o700
    aside = Rows.read(report.aside)
    assert (aside.public.objects, aside.private.objects) == (
        rows.public.objects,
        rows.private.objects,
    )
    assert {path.stat().st_mode & 0o777 for path in report.aside.iterdir()} == {0o600}


def test_what_is_there_already_is_said_and_nothing_is_touched(
    files: Path, tmp_path: Path, unchanged: Unchanged
) -> None:
    folder = tmp_path / "profile"
    folder.mkdir()
    User().restore(files / "jane.pfx", folder)
    with unchanged(folder):
        report = User().restore(files / "jane.pfx", folder, nickname="another name")
    assert (report.changed, report.aside) == (False, None)
    assert report.identity.certificate.nickname == "Jane Doe"


@pytest.mark.parametrize(
    ("database", "statement"),
    [
        ("cert9.db", "DELETE FROM nssPublic WHERE a0 = X'00000001' AND a3 = :name"),
        ("cert9.db", "DELETE FROM nssPublic WHERE a0 = X'00000001' AND a3 <> :name"),
        ("cert9.db", "DELETE FROM nssPublic WHERE a0 = X'00000002'"),
        ("cert9.db", "UPDATE nssPublic SET a102 = NULL WHERE a0 = X'00000001' AND a3 = :name"),
        ("key4.db", "DELETE FROM nssPrivate WHERE a0 = X'00000003'"),
        ("key4.db", "UPDATE nssPrivate SET a102 = NULL WHERE a0 = X'00000003'"),
    ],
)
def test_whatever_is_missing_is_added_and_nothing_else(
    files: Path, tmp_path: Path, database: str, statement: str
) -> None:
    folder = tmp_path / "profile"
    folder.mkdir()
    User().restore(files / "jane.pfx", folder)
    whole = contents(folder)
    with closing(sqlite3.connect(folder / database)) as connection, connection:
        changed = connection.execute(statement, {"name": b"Jane Doe"})
        assert changed.rowcount == 1
    assert User().restore(files / "jane.pfx", folder).changed
    assert read_back(folder) == {sha256(JANES): ("Jane Doe", True), sha256(CA): ("CA", False)}
    assert contents(folder) == whole
    assert not User().restore(files / "jane.pfx", folder).changed


def contents(folder: Path) -> list[frozenset[tuple[str, bytes]]]:
    """What the objects of a folder's databases say, but for their numbers and what is encrypted."""
    rows = Rows.read(folder)
    objects = [*rows.public.objects.values(), *rows.private.objects.values()]
    clear = [[(c, v) for c, v in row.items() if not "a123" <= c <= "a128"] for row in objects]
    return sorted((frozenset(each) for each in clear), key=sorted)


def test_what_is_added_is_joined_as_nss_joins_it(files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    folder.mkdir()
    User().restore(files / "jane.pfx", folder)
    rows = Rows.read(folder)
    (hidden,) = rows.private.objects.values()
    own, authority = rows.certificate(JANES), rows.certificate(CA)
    assert own is not None
    assert authority is not None
    assert hidden["a102"] == own[1]["a102"] == cka_id(JANE)
    assert authority[1]["a102"] == cka_id(CA_KEY)
    assert (hidden["a3"], hidden["a101"]) == (b"Jane Doe", own[1]["a101"])
    # A renewal has the name of the certificate before.
    pfx = tmp_path / "renewed.pfx"
    pfx.write_bytes(pfx_of([JANE], [issue(JANE, "Jane Doe", "CA", CA_KEY), CA], GIVEN))
    User().restore(pfx, folder, nickname="another")
    assert sorted(read_back(folder).values()) == [
        *(("CA", False), ("Jane Doe", True), ("Jane Doe", True))
    ]


def trust_of(folder: Path) -> dict[str, str]:
    with open_store(Profile(folder, "p", "Firefox", store="sqlite"), engine="native") as store:
        (found,) = (one for one in store.certificates() if one.sha256 == sha256(CA))
    return dict(found.trust)


def test_a_root_is_trusted_only_when_that_was_asked_for(files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    folder.mkdir()
    User().restore(files / "jane.pfx", folder)
    assert trust_of(folder) == {}
    assert User().restore(files / "jane.pfx", folder, trust_ca=True).changed
    trust = trust_of(folder)
    assert (trust["server"], trust["email"]) == ("trusted-ca", "trusted-ca")
    assert trust["code"] == "must-verify"
    assert not User().restore(files / "jane.pfx", folder, trust_ca=True).changed
    with closing(sqlite3.connect(folder / "cert9.db")) as connection, connection:
        connection.execute("UPDATE nssPublic SET ace53635b = X'CE534353' WHERE a0 = X'CE534353'")
    assert trust_of(folder)["email"] == "must-verify"
    assert User().restore(files / "jane.pfx", folder, trust_ca=True).changed
    assert trust_of(folder) == trust


def test_what_is_no_root_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    folder.mkdir()
    middle = issue(CA_KEY, "CA", "Root", ec_key(9), ca=True)
    pfx = tmp_path / "middle.pfx"
    pfx.write_bytes(pfx_of([JANE], [JANES, middle], GIVEN))
    User().restore(pfx, folder, trust_ca=True)
    kinds = {row["a0"] for row in Rows.read(folder).public.objects.values()}
    assert kinds == {b"\0\0\0\1", b"\0\0\0\2"}


def test_a_second_certificate_on_a_key_adds_no_second_key(files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    folder.mkdir()
    User().restore(files / "jane.pfx", folder)
    renewal = issue(JANE, "Jane Doe", "CA", CA_KEY)
    pfx = tmp_path / "renewed.pfx"
    pfx.write_bytes(pfx_of([JANE], [renewal, CA], GIVEN))
    before = Rows.read(folder)
    User().restore(pfx, folder)
    after = Rows.read(folder)
    assert after.private.objects == before.private.objects
    assert len(after.public.objects) == len(before.public.objects) + 1
    assert read_back(folder)[sha256(renewal)] == ("Jane Doe", True)


def test_a_key_of_another_program_keeps_its_own_id(files: Path, tmp_path: Path) -> None:
    """CKA_ID, which joins the two, may be anything where another program made the key."""
    builder = StoreBuilder(tmp_path / "profile")
    builder.add_key(JANE)["a102"] = b"my own id"
    folder = builder.write()
    User().restore(files / "jane.pfx", folder)
    rows = Rows.read(folder)
    found = rows.certificate(JANES)
    assert found is not None
    assert found[1]["a102"] == b"my own id"
    assert rows.has_public_key(b"my own id")


def test_a_key_without_an_id_gets_one(files: Path, tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "profile")
    builder.add_key(JANE)["a102"] = b"\xa5\x00\x5a"
    folder = builder.write()
    User().restore(files / "jane.pfx", folder)
    (row,) = Rows.read(folder).private.objects.values()
    assert row["a102"] == cka_id(JANE)


def test_databases_that_are_links_are_written_where_they_lie(
    files: Path, profile: MakeProfile, tmp_path: Path
) -> None:
    real = profile("nss387-nopassword")
    folder = tmp_path / "linked"
    folder.mkdir()
    for name in ("cert9.db", "key4.db"):
        (folder / name).symlink_to(real / name)
    User().restore(files / "jane.pfx", folder)
    assert sha256(JANES) in read_back(real)
    assert sorted(path.name for path in real.iterdir()) == ["cert9.db", "key4.db"]


@pytest.mark.skipif(not is_root(), reason="only an administrator gives files away")
def test_what_root_restores_belongs_to_the_profiles_owner(
    files: Path, profile: MakeProfile, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    used = profile("nss387-nopassword")
    for folder in (fresh, used):
        for path in (folder, *folder.iterdir()):
            os.chown(path, 65534, 65534)
        User().restore(files / "jane.pfx", folder)
        assert {path.stat().st_uid for path in folder.rglob("*")} == {65534}


# --- names


@pytest.mark.parametrize(
    ("wanted", "nickname"),
    [
        (None, "Jane Doe"),
        ("work:laptop", "work:laptop"),
        ("Zoë \U0001f511", "Zoë \U0001f511"),
        ("a\0b\nc\x1b[31m", "abc[31m"),
        ("\udcff\ud800", "Jane Doe #1"),
        ("x" * 300, "x" * 255),
        ("   ", "Jane Doe #1"),
    ],
)
def test_the_name_is_the_one_asked_for_without_what_no_name_has(
    files: Path, tmp_path: Path, wanted: str | None, nickname: str
) -> None:
    folder = tmp_path / "profile"
    folder.mkdir()
    report = User().restore(files / "jane.pfx", folder, nickname=wanted)
    # Where nothing is left of it the subject is the name.
    expected = from_der(JANES).subject if nickname.endswith("#1") else nickname
    assert report.identity.certificate.nickname == expected
    assert read_back(folder)[sha256(JANES)] == (expected, True)


def test_a_name_of_somebody_else_gets_a_number_and_that_is_said(
    files: Path, tmp_path: Path
) -> None:
    builder = StoreBuilder(tmp_path / "profile")
    for number, nickname in enumerate(("Jane Doe", "Jane Doe #2", "CA")):
        builder.add_certificate(issue(ec_key(20 + number), f"Other {number}"), nickname.encode())
    user = User()
    report = user.restore(files / "jane.pfx", builder.write())
    assert report.identity.certificate.nickname == "Jane Doe #3"
    assert any("is called `Jane Doe #3` in the profile" in line for line in user.told)
    assert read_back(builder.folder)[sha256(CA)] == ("CA #2", False)


def test_a_trusted_root_is_named_by_its_fingerprint(files: Path, tmp_path: Path) -> None:
    user = User()
    folder = tmp_path / "profile"
    folder.mkdir()
    user.restore(files / "jane.pfx", folder, trust_ca=True)
    assert any(sha256(CA) in line for line in user.told)


@pytest.mark.parametrize("days", [(-90, -3), (3, 90)], ids=["expired", "to come"])
def test_a_root_that_is_not_valid_now_is_not_trusted(tmp_path: Path, days: tuple[int, int]) -> None:
    root = issue(ec_key(9), "Root", ca=True, days=days)
    file = tmp_path / "a.pfx"
    file.write_bytes(
        pfx_of([ec_key(0)], [issue(ec_key(0), "Jane", "Root", ec_key(9)), root], GIVEN)
    )
    folder = tmp_path / "profile"
    folder.mkdir()
    with pytest.raises(RestoreError, match="can't become a trusted one"):
        User().restore(file, folder, trust_ca=True)
    assert list(folder.iterdir()) == []
    assert User().restore(file, folder).changed


# --- what is refused


@pytest.fixture
def target(profile: MakeProfile, unchanged: Unchanged) -> Iterator[Path]:
    """A profile that must stay as it is."""
    folder = profile("nss387-password")
    with unchanged(folder):
        yield folder


@contextmanager
def held(folder: Path, file: str, lock: str) -> Iterator[None]:
    """Another process holds a lock on a file of the profile."""
    program = (
        f"import sqlite3, sys; path = {str(folder / file)!r}\n"
        f"{lock}\nprint('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        try:
            yield
        finally:
            process.kill()


FIREFOX = "import fcntl; file = open(path, 'ab'); fcntl.lockf(file, fcntl.LOCK_EX)"
WRITES = "db = sqlite3.connect(path, isolation_level=None); db.execute('BEGIN IMMEDIATE')"


@pytest.mark.posix("Firefox holds its lock otherwise on Windows")
def test_a_profile_in_use_is_refused_before_anything_is_asked(
    files: Path, profile: MakeProfile, unchanged: Unchanged
) -> None:
    folder = profile("nss387-password")
    user = User(PRIMARY)
    with (
        held(folder, ".parentlock", FIREFOX),
        unchanged(folder),
        pytest.raises(RestoreError, match="`target` is in use by Firefox") as refused,
    ):
        user.restore(files / "jane.pfx", folder)
    assert user.asked == []
    assert refused.value.hint == f"close Firefox and try again; or {by_hand()}"
    assert refused.value.exit_status == 40


@pytest.mark.parametrize(
    ("application", "file", "said"),
    [
        ("Firefox", "prefs.js", "`security.nocertdb` is set"),
        ("Firefox", "user.js", "`security.nocertdb` is set"),
        ("Tor Browser", None, "`security.nocertdb` is the default of Tor Browser"),
    ],
)
def test_a_setting_that_hides_it_is_named_before_anything(
    files: Path,
    profile: MakeProfile,
    unchanged: Unchanged,
    application: str,
    file: str | None,
    said: str,
) -> None:
    folder = profile("nss387-password")
    if file is not None:
        (folder / file).write_text('user_pref("security.nocertdb", true);\n')
    user = User(PRIMARY)
    with unchanged(folder), pytest.raises(RestoreError, match="would never show") as refused:
        user.restore(files / "jane.pfx", folder, application)
    assert said in refused.value.message
    assert (user.asked, refused.value.exit_status) == ([], 40)
    (folder / "user.js").write_text('user_pref("security.nocertdb", false);\n')
    assert user.restore(files / "jane.pfx", folder, application).changed


def test_a_profile_of_another_computer_is_refused(files: Path, profile: MakeProfile) -> None:
    folder = profile("nss387-password")
    (folder / "lock").symlink_to("192.0.2.7:1234")
    with pytest.raises(RestoreError, match="doesn't tell whether it is in use"):
        User(PRIMARY).restore(files / "jane.pfx", folder)
    assert sorted(os.listdir(folder)) == ["cert9.db", "key4.db", "lock"]  # noqa: PTH208 - a link


@pytest.mark.posix("Firefox holds its lock otherwise on Windows")
def test_an_application_that_starts_meanwhile_is_noticed(
    files: Path, profile: MakeProfile, unchanged: Unchanged
) -> None:
    folder = profile("nss387-password")
    (folder / ".parentlock").touch()
    lock = held(folder, ".parentlock", FIREFOX)
    try:
        with unchanged(folder), pytest.raises(RestoreError, match="in use by Firefox"):
            User(PRIMARY, meanwhile=lock.__enter__).restore(files / "jane.pfx", folder)
    finally:
        lock.__exit__(None, None, None)


@pytest.mark.parametrize("file", ["key4.db", "cert9.db"])
def test_a_database_that_is_written_to_is_left_alone(
    files: Path, target: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_BUSY_SECONDS", 0.1)
    with (
        held(target, file, WRITES),
        pytest.raises(StoreUnwritableError, match="is locked") as refused,
    ):
        User(PRIMARY).restore(files / "jane.pfx", target)
    assert refused.value.hint == "close the application that uses the profile"


def test_a_profile_with_old_databases_alone_is_refused(
    files: Path, profile: MakeProfile, unchanged: Unchanged
) -> None:
    folder = profile("legacy-nopassword")
    for store in (store_in(folder), None):  # whatever was known of it before
        with unchanged(folder), pytest.raises(RestoreError, match="Firefox 57 or earlier"):
            restore_backup(
                files / "jane.pfx",
                Profile(folder, "target", "Firefox", store=store),
                RestoreOptions(),
                RestoreDialogue(lambda *_: GIVEN, lambda *_: None),
            )


def test_write_ahead_logging_is_refused(
    files: Path, profile: MakeProfile, unchanged: Unchanged
) -> None:
    folder = profile("nss387-nopassword")
    with closing(sqlite3.connect(folder / "cert9.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
    with unchanged(folder), pytest.raises(StoreUnwritableError, match="does not use"):
        User().restore(files / "jane.pfx", folder)


@pytest.mark.parametrize(
    ("primary", "error"),
    [("wrong", WrongPrimaryPasswordError), (None, PrimaryPasswordRequiredError)],
)
def test_without_the_primary_password_nothing_is_done(
    files: Path, target: Path, primary: str | None, error: type[NssBackupError]
) -> None:
    with pytest.raises(error):
        User(primary).restore(files / "jane.pfx", target)


def test_what_is_no_backup_is_refused_before_the_profile(
    files: Path, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "no-key.pfx").write_bytes(pfx_of([], [JANES], GIVEN))
    (tmp_path / "text.pfx").write_text("no PFX")
    cases = [
        (files / "jane.pfx", User(PRIMARY, Secret("wrong")), WrongBackupPasswordError),
        (files / "jane.pfx", User(PRIMARY, None), WrongBackupPasswordError),
        (tmp_path / "no-key.pfx", User(PRIMARY), BackupError),
        (tmp_path / "text.pfx", User(PRIMARY), BackupError),
        (tmp_path / "nowhere.pfx", User(PRIMARY), BackupError),
        (tmp_path, User(PRIMARY), BackupError),
    ]
    for file, user, error in cases:
        with pytest.raises(error) as caught:
            user.restore(file, target)
        assert caught.value.exit_status == 32
        assert "primary" not in user.asked


def test_all_identities_are_restored_or_the_one_named(files: Path, tmp_path: Path) -> None:
    one, both = tmp_path / "one", tmp_path / "both"
    for folder in (one, both):
        folder.mkdir()
    User().restore(files / "two.pfx", one, certificate="Zoë")
    assert read_back(one).keys() == {sha256(ZOES), sha256(CA)}
    report = User().restore(files / "two.pfx", both)
    assert read_back(both).keys() == {sha256(JANES), sha256(ZOES), sha256(CA)}
    assert [each.certificate.der for each in report.identities] == [JANES, ZOES]
    # What one profile has already stays as it is, and the other is added.
    assert User().restore(files / "two.pfx", one).changed
    assert read_back(one) == read_back(both)
    assert not User().restore(files / "two.pfx", one).changed


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate()], ids=["Ed25519"])
def test_a_key_that_firefox_can_not_use_is_refused(
    tmp_path: Path, profile: MakeProfile, unchanged: Unchanged, key: ed25519.Ed25519PrivateKey
) -> None:
    file = tmp_path / "odd.pfx"
    file.write_bytes(pfx_of([key], [issue(key, "Odd")], GIVEN))
    folder = profile("nss387-nopassword")
    with unchanged(folder), pytest.raises(RestoreError, match="can't use a private key of this"):
        User().restore(file, folder)


def test_a_store_without_a_password_record_is_not_made_up(
    files: Path, tmp_path: Path, unchanged: Unchanged
) -> None:
    builder = StoreBuilder(tmp_path / "profile")
    assert builder.meta is not None
    builder.meta.clear()
    folder = builder.write()
    with unchanged(folder), pytest.raises(DamagedStoreError, match="no password record"):
        User().restore(files / "jane.pfx", folder)


def test_a_damaged_copy_of_the_key_is_not_taken_for_it(
    files: Path, tmp_path: Path, unchanged: Unchanged
) -> None:
    builder = StoreBuilder(tmp_path / "profile")
    _, row = builder.add_identity(JANE, JANES, b"jane")
    builder.set_secret(row, 0x124, b"\1" * 128)
    folder = builder.write()
    with unchanged(folder), pytest.raises(NssBackupError):
        User().restore(files / "jane.pfx", folder)


def test_a_missing_engine_is_said_before_a_password_is_asked(
    files: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    user = User(PRIMARY)
    with pytest.raises(EngineUnavailableError):
        user.restore(files / "jane.pfx", target, engine="nss")
    assert user.asked == []


# --- what happens meanwhile


def _change(folder: Path, name: str, statement: str, *values: object) -> Callable[[], None]:
    def change() -> None:
        with closing(sqlite3.connect(folder / name)) as database, database:
            assert database.execute(statement, values).rowcount == 1

    return change


def _certificate_added(folder: Path) -> Callable[[], None]:
    from nssbackup.restore.objects import names

    named = names(JANES)
    statement = "INSERT INTO nssPublic (id, a0, a81, a82) VALUES (7, x'00000001', ?, ?)"
    return _change(folder, "cert9.db", statement, named["a81"], named["a82"])


def _key_added(folder: Path) -> Callable[[], None]:
    statement = "INSERT INTO nssPrivate (id, a0, a102) VALUES (7, x'00000003', ?)"
    return _change(folder, "key4.db", statement, cka_id(JANE))


def _password_changed(folder: Path) -> Callable[[], None]:
    statement = "UPDATE metaData SET item1 = ? WHERE id = 'password'"
    return _change(folder, "key4.db", statement, os.urandom(48))


def _key_database_gone(folder: Path) -> Callable[[], None]:
    return (folder / "key4.db").unlink


@pytest.mark.parametrize(
    "change", [_certificate_added, _key_added, _password_changed, _key_database_gone]
)
def test_what_another_program_changes_stays_and_ends_it(
    files: Path, profile: MakeProfile, change: Callable[[Path], Callable[[], None]]
) -> None:
    folder = profile("nss387-nopassword")
    state: dict[str, bytes] = {}

    def meanwhile() -> None:
        change(folder)()
        state.update({path.name: path.read_bytes() for path in folder.iterdir()})

    with pytest.raises(RestoreError) as refused:
        User(meanwhile=meanwhile).restore(files / "jane.pfx", folder)
    assert refused.value.exit_status == 40
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == state


def test_databases_made_meanwhile_are_the_other_programs(
    files: Path, profile: MakeProfile, tmp_path: Path
) -> None:
    source = profile("firefox-nopassword")
    for name in ("cert9.db", "key4.db"):
        folder = tmp_path / f"fresh-{name}"
        folder.mkdir()
        with pytest.raises(StoreChangedError):
            User(
                meanwhile=lambda name=name, folder=folder: shutil.copy(source / name, folder)  # type: ignore[misc]
            ).restore(files / "jane.pfx", folder)
        assert [path.name for path in folder.iterdir()] == [name]
        assert (folder / name).read_bytes() == (source / name).read_bytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_leaves_all_as_it_was(
    files: Path, target: Path, error: type[BaseException]
) -> None:
    def meanwhile() -> None:
        raise error

    with pytest.raises(error):
        User(PRIMARY, meanwhile=meanwhile).restore(files / "jane.pfx", target)


def test_what_can_not_be_read_back_is_said_with_the_way_back(
    files: Path, profile: MakeProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = profile("nss387-nopassword")
    add = writer.add

    def add_and_spoil(where: Path, *rest: object) -> None:
        add(where, *rest)  # type: ignore[arg-type]  # handed on
        if where == folder:
            (folder / "key4.db").write_bytes(b"spoiled" * 1000)

    monkeypatch.setattr(writer, "add", add_and_spoil)
    with pytest.raises(RestoreError, match="was written, but could not be read") as refused:
        User().restore(files / "jane.pfx", folder)
    (aside,) = (path for path in folder.iterdir() if path.is_dir())
    assert refused.value.hint == f"the databases as they were are in `{aside}`"
    assert read_back(aside)


def test_odd_serial_numbers_and_names_are_kept_to_the_byte(tmp_path: Path) -> None:
    from nssbackup.restore.objects import names

    key = ec_key(3)
    der = issue(key, "Jane Doe", serial=1)
    # Serial number -128, which no certificate should have, and some have.
    odd = der.replace(b"\x02\x01\x01", b"\x02\x01\x80", 1)
    assert odd != der
    assert names(odd)["a82"] == b"\x02\x01\x80"
    assert names(der)["a81"] == names(der)["a101"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    file = tmp_path / "odd.pfx"
    file.write_bytes(pfx_of([key], [odd], GIVEN))
    folder = tmp_path / "profile"
    folder.mkdir()
    User().restore(file, folder)
    assert read_back(folder) == {sha256(odd): ("Jane Doe", True)}
