"""The engine `nss` with the real NSS: what it tells, what it refuses and in which words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nssbackup.errors import (
    EngineFailedError,
    EngineUnavailableError,
    KeyMissingError,
    KeyNotExportableError,
    NssBackupError,
    PrimaryPasswordRequiredError,
    StoreError,
    UnsupportedStoreError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.choosing import assemble
from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import store_in
from nssbackup.secret import Secret
from nssbackup.stores import EngineName, engine_named
from nssbackup.stores.nss import NssEngine
from nssbackup.stores.nss.process import Program, firefox_libraries
from nssbackup.stores.unlocking import read_key
from tests.builders.store import StoreBuilder, ec_key, issue, rsa_key, signature
from tests.conftest import MakeProfile, Unchanged
from tests.peers import need, nss

PASSWORD = "correct horse 7"
ENGINES: tuple[EngineName, ...] = ("native", "nss")


@pytest.fixture(autouse=True)
def _nss(require_peers: bool) -> None:
    need(NssEngine().unavailable(), required=require_peers)


@pytest.fixture
def old_nss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> NssEngine:
    """The engine where there is no Firefox: with the NSS that the binding was built with."""
    monkeypatch.setattr("nssbackup.stores.nss.firefox_libraries", lambda: None)
    # A program of its own, because which NSS there is is remembered for each.
    script = shutil.copy(Program().script, tmp_path / "worker.py")
    return NssEngine(Program(Path(script)))


def of(folder: Path) -> Profile:
    return Profile(folder, "case", "Firefox", store=store_in(folder))


def refusing(tmp_path: Path, reason: str) -> NssEngine:
    """An engine whose NSS can't be loaded."""
    script = tmp_path / "refusing.py"
    script.write_text(f"for _ in iter(input, ''): print({json.dumps({'error': reason})!r})")
    return NssEngine(Program(script))


# --- availability


def test_a_reason_is_given_where_nss_can_not_be_loaded(tmp_path: Path) -> None:
    reason = "python-nss-ng is installed, but NSS can't be loaded: libnss3.so: no version"
    assert refusing(tmp_path, reason).unavailable() == reason


def test_on_windows_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert NssEngine().unavailable() == "python-nss-ng does not exist for Windows"


def test_without_the_package_the_reason_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    reason = NssEngine().unavailable()
    assert reason == "python-nss-ng is not installed: `pip install nssbackup[nss]`"
    with pytest.raises(EngineUnavailableError, match="engine `nss` is not available here: python"):
        engine_named("nss")


def test_the_worker_says_what_is_missing(tmp_path: Path) -> None:
    # A Python that has no such package: one that is told to look nowhere.
    script = tmp_path / "worker.py"
    text = Program().script.read_text(encoding="utf-8")
    hide = "sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
    script.write_text(text.replace("\nclass Worker", f"\n{hide}\nclass Worker", 1))
    assert NssEngine(Program(script)).unavailable() == "python-nss-ng is not installed"


# --- stores


def test_an_nss_too_old_for_a_store_calls_no_password_wrong(
    old_nss: NssEngine, profile: MakeProfile
) -> None:
    with old_nss.open(of(profile("firefox-password"))) as store:
        assert store.needs_password() is True
        for password in (PASSWORD, "wrong"):
            with pytest.raises(UnsupportedStoreError, match=r"NSS \(3\.\d+.*\) is too old") as said:
                store.unlock(Secret(password))
            assert "--engine native" in str(said.value.hint)
    with old_nss.open(of(profile("nss387-password"))) as store:
        with pytest.raises(WrongPrimaryPasswordError):
            store.unlock(Secret("wrong"))
        store.unlock(Secret(PASSWORD))


def test_an_nss_without_the_old_databases_says_so(
    profile: MakeProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchanged: Unchanged
) -> None:
    libraries = firefox_libraries()
    need(None if libraries else "no Firefox with an NSS of its own", required=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    engine = NssEngine(Program(Path(shutil.copy(Program().script, tmp_path / "worker.py"))))
    folder = profile("legacy-nopassword")
    with (
        unchanged(folder),
        pytest.raises(UnsupportedStoreError, match="without support for `cert8") as said,
        engine.open(of(folder)),
    ):
        pass
    assert said.value.hint == "`--engine native` reads them"


def test_no_nss_for_the_old_databases_is_said(tmp_path: Path, profile: MakeProfile) -> None:
    engine = refusing(tmp_path, "NSS can't be loaded: too old")
    with (
        pytest.raises(UnsupportedStoreError, match="NSS can't be loaded: too"),
        engine.open(of(profile("legacy-nopassword"))),
    ):
        pass


def test_the_library_path_may_have_any_letters(
    profile: MakeProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp ü % # ? 鍵"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for case in ("nss387-nopassword", "legacy-nopassword"):
        with NssEngine().open(of(profile(case))) as store:
            store.unlock(Secret(""))
            (one,) = (each for each in store.certificates() if each.has_private_key)
            assert store.private_key(one).public_key == one.public_key
    assert list(temporary.iterdir()) == []


def test_what_is_asked_of_a_closed_store_is_a_programming_error(profile: MakeProfile) -> None:
    with NssEngine().open(of(profile("nss387-nopassword"))) as store:
        store.certificates()
    for ask in (store.certificates, store.needs_password, store.notes):
        with pytest.raises(ValueError, match="closed"):
            ask()


def test_a_locked_store_gives_no_key_even_after_it_was_open(profile: MakeProfile) -> None:
    with NssEngine().open(of(profile("nss387-password"))) as store:
        (one,) = (each for each in store.certificates() if each.has_private_key)
        with pytest.raises(PrimaryPasswordRequiredError):
            store.private_key(one)
        store.unlock(Secret(PASSWORD))
        store.private_key(one)
        with pytest.raises(WrongPrimaryPasswordError):
            store.unlock(Secret("wrong"))
        with pytest.raises(PrimaryPasswordRequiredError):
            store.private_key(one)


@pytest.mark.parametrize("password", ["\ud800", "x" * 501, "x" * 60_000, "\0", "a\0b"])
def test_what_can_be_no_password_is_a_wrong_one(profile: MakeProfile, password: str) -> None:
    folder = profile("nss387-password")
    for name in ENGINES:
        with (
            engine_named(name).open(of(folder)) as store,
            pytest.raises(WrongPrimaryPasswordError),
        ):
            store.unlock(Secret(password))


# --- certificates and keys


def test_any_nickname_leads_to_its_key(tmp_path: Path) -> None:
    nicknames = ["work:laptop", "Zoë Müller", "-n", "x" * 300, 'a\t"b', "NSS Certificate DB:x"]
    builder = StoreBuilder(tmp_path / "profile")
    for number, nickname in enumerate(nicknames):
        key = ec_key(number)
        builder.add_identity(key, issue(key, f"Jane {number}"), nickname.encode())
    with NssEngine().open(of(builder.write())) as store:
        store.unlock(Secret(""))
        assert {one.nickname for one in store.certificates()} == set(nicknames)
        for one in store.certificates():
            assert store.private_key(one).public_key == one.public_key


def test_a_certificate_without_a_nickname(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "profile")
    builder.add_identity(rsa_key(), issue(rsa_key()))
    with NssEngine().open(of(builder.write())) as store:
        store.unlock(Secret(""))
        (one,) = store.certificates()
        assert (one.nickname, one.has_private_key) == (None, True)
        with pytest.raises(KeyNotExportableError) as said:
            store.private_key(one)
        assert said.value.hint == "`--engine native` does"


def test_a_certificate_that_is_not_there_has_no_key(profile: MakeProfile) -> None:
    from nssbackup.identity.certificate import from_der

    with NssEngine().open(of(profile("nss387-nopassword"))) as store:
        store.unlock(Secret(""))
        with pytest.raises(KeyMissingError):
            store.private_key(from_der(issue(rsa_key())))
        assert store.orphan_keys() == ()
        assert store.orphan_of(from_der(issue(rsa_key()))) is None


def test_a_key_with_a_wrong_signature_is_not_given_out(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "profile")
    builder.add_identity(rsa_key(), issue(rsa_key()), b"jane")
    row = builder.private[0]
    assert builder.meta is not None
    forged = signature(builder.key, 0, 0x124, b"another")
    builder.meta[f"sig_key_{row['id']:08x}_00000124"] = (forged, None)
    with NssEngine().open(of(builder.write())) as store:
        store.unlock(Secret(""))
        listed = store.certificates()
        for one in listed:
            with pytest.raises((KeyMissingError, KeyNotExportableError)) as said:
                store.private_key(one)
            assert said.value.exit_status == 22


@pytest.mark.parametrize("flags", ["CT,C,C", "C,C,", "T,,", "p,p,p", "P,,P", ",,", "c,,", "CT,p,P"])
def test_trust_is_what_the_native_engine_reads_of_it(
    tmp_path: Path, flags: str, require_peers: bool
) -> None:
    found = nss.available()
    need(None if found else "no NSS tools", required=require_peers)
    for peer in found:
        database = peer.create(tmp_path / peer.release)
        database.add_certificate(issue(rsa_key(), "Root", ca=True), "root", flags)
        said = {}
        for name in ENGINES:
            with engine_named(name).open(of(database.folder)) as store:
                (one,) = store.certificates()
                assert one.nickname == "root"
                said[name] = {
                    (usage, word)
                    for usage, word in one.trust
                    if word in ("trusted", "trusted-ca", "not-trusted")
                }
        assert said["nss"] == said["native"]
        assert bool(said["native"]) == (flags not in (",,", "c,,"))


# --- damage


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _noise(path: Path) -> None:
    path.write_bytes(b"noise" * 10_000)


@pytest.mark.parametrize("damage", [_cut, _empty, _noise])
@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("nss387-password", "cert9.db"),
        ("nss387-password", "key4.db"),
        ("legacy-password", "cert8.db"),
        ("legacy-password", "key3.db"),
    ],
)
def test_a_damaged_store_is_an_error_in_words_as_natively(
    profile: MakeProfile,
    unchanged: Unchanged,
    damage: Callable[[Path], None],
    case: str,
    name: str,
) -> None:
    folder = profile(case)
    damage(folder / name)

    with unchanged(folder):
        said = {name: _outcome(name, folder) for name in ENGINES}
    # NSS reads the old databases as far as they go.
    lenient = {0} if case.startswith("legacy") else set()
    assert said["nss"] in {said["native"], StoreError.exit_status, *lenient}


def _outcome(engine: EngineName, folder: Path) -> int:
    """The exit status that using a store ends with."""
    try:
        with engine_named(engine).open(of(folder)) as store:
            store.unlock(Secret(PASSWORD))
            for one in store.certificates():
                if one.has_private_key:
                    store.private_key(one)
    except NssBackupError as error:
        return error.exit_status
    return 0


def test_a_hang_of_nss_ends_within_the_time_limit(
    profile: MakeProfile, tmp_path: Path, unchanged: Unchanged
) -> None:
    text = Program().script.read_text(encoding="utf-8")
    script = tmp_path / "worker.py"
    script.write_text(
        text.replace('"""Return every certificate of the store."""', "import time; time.sleep(600)")
    )
    folder = profile("nss387-nopassword")
    engine = NssEngine(Program(script, time_limit=3.0))
    with (
        unchanged(folder),
        pytest.raises(EngineFailedError, match="did not answer within 3 seconds"),
        engine.open(of(folder)) as store,
    ):
        store.certificates()


# --- auto


@pytest.fixture
def beyond_native(tmp_path: Path) -> Profile:
    """A store that NSS reads and the native engine refuses: with too many rounds."""
    builder = StoreBuilder(tmp_path / "beyond", password=PASSWORD)
    builder.add_identity(rsa_key(), issue(rsa_key()), b"jane")
    # The public half, without which NSS tells of no key before it is unlocked.
    builder.public.append(_public_half(builder))
    assert builder.meta is not None
    builder.rounds = 10_000_001
    builder.meta["password"] = (builder.salt, builder.encrypt(b"password-check"))
    return of(builder.write())


def _public_half(builder: StoreBuilder) -> dict[str, object]:
    private = builder.private[0]
    kept = {column: private[column] for column in ("a100", "a102", "a120", "a122")}
    return {"id": 77, "a0": b"\0\0\0\2", "a1": b"\1", "a2": b"\0", **kept}


def test_auto_falls_back_to_nss_and_asks_once(
    beyond_native: Profile,
) -> None:
    with NssEngine().open(beyond_native) as store:
        (identity,) = assemble(beyond_native, store.certificates())
    asked = []

    def password(_: Profile, attempt: int) -> Secret | None:
        asked.append(attempt)
        return Secret(PASSWORD)

    with pytest.raises(UnsupportedStoreError, match="10,000,001"):
        read_key(identity, "native", password)
    assert asked == []
    key = read_key(identity, "auto", password)
    assert key.public_key == identity.certificate.public_key
    assert asked == [0]


def test_where_nss_does_no_better_the_native_reason_stands(
    beyond_native: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NssEngine().open(beyond_native) as store:
        (identity,) = assemble(beyond_native, store.certificates())
    monkeypatch.setattr("nssbackup.stores.nss.WorkerProcess", _broken)
    for reason in (None, "it is not there"):
        monkeypatch.setattr(NssEngine, "unavailable", lambda _, reason=reason: reason)
        with pytest.raises(UnsupportedStoreError, match="10,000,001"):
            read_key(identity, "auto", lambda *_: Secret(PASSWORD))


def _broken(*_: object) -> None:
    message = "NSS ended"
    raise EngineFailedError(message)
