"""`restore`: through real processes, with files, pipes and a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from nssbackup.identity.certificate import from_der
from nssbackup.identity.model import Identity
from nssbackup.identity.private_keys import from_pkcs8
from nssbackup.pkcs12 import MODERN, PfxWriter
from nssbackup.restore.staging import by_hand
from nssbackup.secret import Secret
from tests.builders.store import ec_key, issue, name
from tests.cli.runner import CTRL_C, CTRL_D, Cli, Result, names, unprivileged
from tests.conftest import MakeProfile, SnapshotOf
from tests.unit.pkcs12.identities import pfx_of, pkcs8_of

GIVEN, PRIMARY = "WIPO-made-this-up-4711", "correct horse 7"
WRONG = "Wrong-Guess-77"
WIPO = name("WIPO Test CA", "WIPO")
BACKUP, PRIMARY_OF = "Password of a.pfx", "Primary password of profile `target`"


@cache
def own() -> bytes:
    return issue(ec_key(0), "Jane Doe", WIPO, ec_key(9))


@cache
def sealed() -> bytes:
    root = issue(ec_key(8), "Root", ca=True)
    authority = issue(ec_key(9), WIPO, "Root", ec_key(8), ca=True)
    mine = replace(from_der(own()), nickname="jane")
    identity = Identity(None, mine, (from_der(authority), from_der(root)))
    writer = PfxWriter(Secret(GIVEN), MODERN, rounds=2_048)
    return writer.encode(identity, from_pkcs8(pkcs8_of(ec_key(0))))


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A user with a backup in the current folder: `a.pfx`."""
    cli = Cli(tmp_path / "user")
    (cli.here / "a.pfx").write_bytes(sealed())
    yield cli
    assert names(cli.temporary) == []


def listed(
    cli: Cli, root: str = ".mozilla/firefox", *, application_default: bool = True
) -> Callable[[Path], Path]:
    """Makes a folder a listed profile called `target` of an application of the user."""

    def put(folder: Path) -> Path:
        place = cli.home / root
        place.mkdir(parents=True)
        moved = folder.rename(place / "abcd.target")
        default = "Default=1\n" if application_default else ""
        (place / "profiles.ini").write_text(
            f"[Profile0]\nName=target\nIsRelative=1\nPath=abcd.target\n{default}"
        )
        return moved

    return put


def restore(cli: Cli, *words: str | Path, primary: str | None = None) -> Result:
    """With the passwords from files."""
    files: list[str | Path] = ["--password-file", cli.password_file(GIVEN)]
    if primary is not None:
        files += ["--primary-password-file", cli.file("primary", f"{primary}\n")]
    return cli.run("restore", "a.pfx", *files, *words)


def exported(cli: Cli, profile: Path, primary: str = "") -> bool:
    """Whether the restored identity can be exported from a profile."""
    file = cli.file("primary", f"{primary}\n")
    found = cli.export(
        profile, from_der(own()).sha256, "--primary-password-file", file, "-o", "again.pfx"
    )
    return found.status == 0


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Another process has the profile open, as Firefox has."""
    program = (
        f"import fcntl, sys; file = open({str(folder / '.parentlock')!r}, 'ab')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.kill()


# --- what it says


def test_it_says_where_to_what_and_where_the_old_databases_are(
    cli: Cli, profile: MakeProfile
) -> None:
    folder = listed(cli)(profile("nss387-password"))
    done = restore(cli, primary=PRIMARY)
    assert (done.status, done.stdout) == (0, f"{folder}\n")
    assert "Restored Jane Doe" in done.stderr
    assert "to profile `target` as `jane`; verified." in done.stderr
    (aside,) = (each for each in names(folder) if each.startswith("nssbackup-before-restore-"))
    assert f"The databases as they were before are in {folder / aside}" in done.stderr
    assert exported(cli, folder, PRIMARY)
    again = restore(cli, primary=PRIMARY)
    assert (again.status, again.stdout) == (0, f"{folder}\n")
    assert "already has Jane Doe: nothing was changed." in again.stderr


def test_json_is_one_document(cli: Cli, profile: MakeProfile) -> None:
    folder = listed(cli)(profile("nss387-nopassword"))
    done = restore(cli, "--json")
    assert (done.status, done.stderr) == (0, "")
    document = done.document
    assert document["changed"] is document["verified"] is True
    assert document["identity"]["profile"] == str(folder)
    assert document["identity"]["nickname"] == "jane"
    assert document["identity"]["key"]["present"] is True
    assert len(document["identity"]["chain"]) == 2
    assert sorted(names(Path(document["aside"]))) == ["cert9.db", "key4.db"]
    again = restore(cli, "--json").document
    assert (again["changed"], again["aside"]) == (False, None)


def test_quiet_is_quiet_and_verbose_says_how(cli: Cli, profile: MakeProfile) -> None:
    first, second = profile("nss387-nopassword"), profile("nss387-password-unicode")
    assert restore(cli, "--profile", first, "-q").stderr == ""
    unicode = "Ünï-пароль-密码"
    said = restore(cli, "--profile", second, "-v", primary=unicode).stderr
    assert "tried on a copy of the databases: read back, all is right" in said


def test_a_name_of_ones_own_and_a_trusted_root(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    done = restore(cli, "--profile", folder, "--name", "Büro: 鍵", "--trust-ca", "--json")
    assert done.document["identity"]["nickname"] == "Büro: 鍵"
    assert done.document["aside"] is None
    shown = cli.run("list", "--profile", folder, "--json").document["identities"]
    assert [row["nickname"] for row in shown] == ["Büro: 鍵"]


def test_help_says_what_it_does_to_the_profile(cli: Cli) -> None:
    shown = " ".join(cli.run("restore", "--help").stdout.split())
    assert "The application must be closed." in shown
    assert "A copy of its databases as they were is kept in the profile," in shown


# --- what is refused


@pytest.fixture
def target(cli: Cli, profile: MakeProfile, snapshot_of: SnapshotOf) -> Iterator[Path]:
    """The default profile, with a primary password, which must stay as it is."""
    folder = listed(cli)(profile("nss387-password"))
    before = snapshot_of(folder)
    yield folder
    assert snapshot_of(folder) == before


def test_a_profile_in_use_is_refused_with_the_clicks(
    cli: Cli, profile: MakeProfile, snapshot_of: SnapshotOf
) -> None:
    folder = listed(cli)(profile("nss387-nopassword"))
    with running(folder):
        before = snapshot_of(folder)
        done = restore(cli, "--json")
        assert snapshot_of(folder) == before
    assert (done.status, done.stderr) == (40, "")
    assert done.error["code"] == "restore-failed"
    assert "is in use by Firefox" in done.error["message"]
    assert by_hand() in done.error["hint"]


def test_old_databases_alone_are_refused(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("legacy-nopassword")
    done = restore(cli, "--profile", folder)
    assert (done.status, done.stdout) == (40, "")
    assert "has only databases of Firefox 57 or earlier" in done.stderr
    assert sorted(names(folder)) == ["cert8.db", "key3.db"]


def test_a_profile_that_is_read_only_is_left(
    cli: Cli, profile: MakeProfile, snapshot_of: SnapshotOf
) -> None:
    folder = listed(cli)(profile("nss387-nopassword"))
    folder.chmod(0o555)
    before = snapshot_of(folder)
    try:
        password = cli.password_file(GIVEN)
        done = cli.run(
            *("restore", "a.pfx", "--password-file", password, "--json"), prefix=unprivileged()
        )
        assert snapshot_of(folder) == before
    finally:
        folder.chmod(0o755)
    assert done.status == 40
    assert "can't be written to: permission denied" in done.error["message"]


@pytest.mark.usefixtures("target")
def test_a_wrong_or_missing_primary_password_is_12(cli: Cli) -> None:
    wrong = restore(cli, "--json", primary=WRONG)
    assert (wrong.status, wrong.error["code"]) == (12, "wrong-primary-password")
    assert "deletes every certificate and key" in wrong.error["hint"]
    missing = restore(cli, "--json")
    assert (missing.status, missing.error["code"]) == (12, "primary-password-required")
    assert "--primary-password-file" in missing.error["hint"]


@pytest.mark.usefixtures("target")
def test_a_wrong_backup_password_or_no_backup_is_32(cli: Cli) -> None:
    wrong = cli.run("restore", "a.pfx", "--json", "--password-file", cli.password_file(WRONG))
    assert (wrong.status, wrong.error["code"]) == (32, "wrong-backup-password")
    (cli.here / "a.pfx").write_text("not a PFX")
    assert restore(cli, "--json").status == 32
    (cli.here / "a.pfx").write_bytes(pfx_of([], [own()], Secret(GIVEN)))
    assert restore(cli, "--json").status == 32
    (cli.here / "a.pfx").unlink()
    gone = restore(cli, "--json")
    assert (gone.status, gone.error["code"]) == (32, "backup-unreadable")


def test_no_profile_is_10(cli: Cli) -> None:
    nobody = restore(cli, "--json")
    assert (nobody.status, nobody.error["code"]) == (10, "no-profile")
    assert restore(cli, "--profile", "nobody", "--json").status == 10
    assert restore(cli, "--profile", "/nowhere", "--json").status == 10


@pytest.mark.usefixtures("target")
def test_what_is_missing_without_a_terminal_is_named(cli: Cli) -> None:
    done = cli.run("restore", "a.pfx", "--json")
    assert (done.status, done.error["code"]) == (2, "question-without-terminal")
    assert done.error["hint"] == "give it with `--password-file FILE`"
    both = cli.run("restore", "a.pfx", "--password-file", "-", "--primary-password-file", "-")
    assert both.status == 2
    assert cli.run("restore").status == 2
    assert cli.run("restore", "a.pfx", "--engine", "none").status == 2


def test_all_certificates_are_restored_or_the_one_named(cli: Cli, tmp_path: Path) -> None:
    people = [(ec_key(0), own()), (ec_key(1), issue(ec_key(1), "Zoë", WIPO, ec_key(9)))]
    file = pfx_of([key for key, _ in people], [der for _, der in people], Secret(GIVEN))
    (cli.here / "a.pfx").write_bytes(file)
    folder = tmp_path / "fresh"
    folder.mkdir()
    assert restore(cli, "--profile", folder, "--cert", "nobody", "--json").status == 20
    assert names(folder) == []
    done = restore(cli, "--profile", folder, "--cert", "Zoë", "--json")
    assert [one["common_name"] for one in done.document["identities"]] == ["Zoë"]
    done = restore(cli, "--profile", folder, "--json")
    assert [one["common_name"] for one in done.document["identities"]] == ["Jane Doe", "Zoë"]
    assert done.document["identity"] == done.document["identities"][0]
    said = restore(cli, "--profile", folder).stderr
    assert "Jane Doe" in said
    assert "Zoë" in said


def test_the_password_may_come_through_a_pipe(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    done = cli.run(
        *("restore", "a.pfx", "--profile", folder, "--password-file", "-", "--json"),
        stdin=f"{GIVEN}\n".encode(),
    )
    assert done.status == 0
    assert done.document["changed"] is True


# --- on a terminal


def test_both_passwords_are_asked_for_and_a_wrong_one_again(cli: Cli, profile: MakeProfile) -> None:
    folder = listed(cli)(profile("nss387-password"))
    talk = cli.talk(
        *("restore", "a.pfx"),
        answers=[
            (BACKUP, f"{WRONG}\n"),
            (f"Wrong. {BACKUP}", f"{GIVEN}\n"),
            (PRIMARY_OF, f"{WRONG}\n"),
            (f"Wrong. {PRIMARY_OF}", f"{PRIMARY}\n"),
        ],
    )
    assert talk.status == 0, talk.text
    assert "to profile `target` as `jane`; verified." in talk.text
    for secret in (GIVEN, PRIMARY, WRONG):
        assert secret not in talk.text
    assert exported(cli, folder, PRIMARY)


@pytest.mark.usefixtures("target")
def test_three_wrong_passwords_are_the_end(cli: Cli) -> None:
    backup = cli.talk("restore", "a.pfx", answers=[(BACKUP, f"{WRONG}\n")] * 3)
    assert backup.status == 32
    answers = [(BACKUP, f"{GIVEN}\n"), *[(PRIMARY_OF, f"{WRONG}\n")] * 3]
    primary = cli.talk("restore", "a.pfx", answers=answers)
    assert primary.status == 12
    assert "Firefox's reset" in " ".join(primary.text.split())


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(("key", "status"), [(CTRL_C, 130), (CTRL_D, 4)])
def test_an_end_at_a_question_leaves_all_as_it_was(cli: Cli, key: str, status: int) -> None:
    for answers in ([(BACKUP, key)], [(BACKUP, f"{GIVEN}\n"), (PRIMARY_OF, key)]):
        assert cli.talk("restore", "a.pfx", answers=answers).status == status


def _two_defaults(cli: Cli, profile: MakeProfile) -> tuple[Path, Path]:
    first = listed(cli)(profile("nss387-nopassword"))
    second = listed(cli, "snap/firefox/common/.mozilla/firefox")(profile("two-people"))
    return first, second


def test_of_several_default_profiles_one_is_chosen(cli: Cli, profile: MakeProfile) -> None:
    folders = _two_defaults(cli, profile)
    talk = cli.talk(
        *("restore", "a.pfx"),
        answers=[
            ("Which one?", "7\n"),
            ("no number 7", "x\n"),
            ("`x` is not", "2\n"),
            (BACKUP, f"{GIVEN}\n"),
        ],
    )
    assert talk.status == 0, talk.text
    changed = [len(names(folder)) > 2 for folder in folders]
    assert sorted(changed) == [False, True]
    text = " ".join(talk.text.split())
    shown = [folder for folder in folders if f"2 target (Firefox, {folder})" in text]
    assert changed == [folder in shown for folder in folders]


def test_an_empty_answer_chooses_none(cli: Cli, profile: MakeProfile) -> None:
    folders = _two_defaults(cli, profile)
    assert cli.talk("restore", "a.pfx", answers=[("Which one?", "\n")]).status == 4
    assert [len(names(folder)) for folder in folders] == [2, 2]


def test_without_a_terminal_several_profiles_are_an_error(cli: Cli, profile: MakeProfile) -> None:
    folders = _two_defaults(cli, profile)
    done = restore(cli, "--json")
    assert (done.status, done.error["code"]) == (2, "question-without-terminal")
    assert "--profile PATH" in done.error["hint"]
    assert [len(names(folder)) for folder in folders] == [2, 2]
    assert restore(cli, "--profile", folders[1]).status == 0
    assert [len(names(folder)) for folder in folders] == [2, 3]


def test_the_umask_of_the_user_does_not_matter(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    words = ("restore", "a.pfx", "--profile", folder, "--password-file", cli.password_file(GIVEN))
    assert cli.run(*words, umask=0).status == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"cert9.db": 0o600, "key4.db": 0o600}
    assert os.stat(folder).st_mode & 0o777 == 0o755  # noqa: PTH116 - beside the others
