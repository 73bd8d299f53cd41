"""Bare `nssbackup`: a person at a terminal answers questions, and has a backup in the end."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import LIMIT
from tests.builders.namespaces import enter, unshare
from tests.cli.runner import (
    CTRL_C,
    CTRL_D,
    SHOWN,
    STRONG,
    Cli,
    Talk,
    finish,
    names,
    unprivileged,
)
from tests.conftest import MakeProfile, Unchanged
from tests.peers import need

MakeHome = Callable[..., Cli]
Answers = Sequence[tuple[str, str]]

WHERE = "Type a number, or another folder or file"
WHICH, COPY, EXISTS = "Which one?", "Type a number, or another folder (", "or another name"
OPENED = "a name that `--for` takes"
CREATE, REPLACE, KEEP = "Create it?", "Replace it? [y/N]", "Keep it anyway?"
PRIMARY, NEW, AGAIN = "Primary password of profile", "New password for the", "The same again"
TYPED_BACK, GO_ON = "Type it here as you wrote it down", "Go on?"

FIREFOX_PASSWORD = "correct horse 7"
FILE = "Jane Doe-WIPO Customer CA G2-2056-05-01.pfx"
DRIVE = "/media/jane/MY STICK"

# The questions as they come, each with the answer of somebody who types as little as can be.
PLACE, NO_COPY = (WHERE, "\n"), (COPY, "\n")
PASSWORD = ((NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}\n"))
YES = (GO_ON, "\n")
PLAIN: Answers = (PLACE, NO_COPY, *PASSWORD, YES)


@pytest.fixture
def home(tmp_path: Path, profile: MakeProfile) -> MakeHome:
    """A user whose Firefox has these profiles, and who has a Documents folder."""

    def make(*stores: str, environment: dict[str, str] | None = None) -> Cli:
        cli = Cli(tmp_path, environment or {})
        root = cli.home / ".mozilla" / "firefox"
        root.mkdir(parents=True)
        entries = [
            f"[Profile{number}]\nName={store}\nIsRelative=1\nPath=x{number}.{store}\n"
            for number, store in enumerate(stores)
        ]
        (root / "profiles.ini").write_text("\n".join(("[General]\nVersion=2\n", *entries)))
        for number, store in enumerate(stores):
            profile(store).rename(root / f"x{number}.{store}")
        documents(cli).mkdir()
        return cli

    return make


def guide(
    cli: Cli, *, answers: Answers, opened: str = "", prefix: Sequence[str] = (), split: bool = False
) -> Talk:
    """Answer the questions; the first one is where the backup will be opened."""
    return cli.talk(answers=[(OPENED, f"{opened}\n"), *answers], prefix=prefix, split=split)


def documents(cli: Cli) -> Path:
    return cli.home / "Documents"


def lines_of(talk: Talk) -> list[str]:
    """What the terminal showed; the answers are behind their questions."""
    return [line.strip() for line in talk.text.replace("\r", "").splitlines()]


def ok(cli: Cli, file: Path, password: str = STRONG) -> dict[str, object]:
    """The identity of a backup that works."""
    verdict = cli.verify(file, password=password)[0]
    assert verdict["ok"], verdict
    assert verdict["kdf_rounds"] == 600_000
    identity = verdict["identity"]
    assert isinstance(identity, dict)
    return identity


def nothing_was_written(cli: Cli) -> bool:
    return names(documents(cli)) == names(cli.here) == names(cli.temporary) == []


# --- from the first question to the last


def test_pressing_enter_makes_a_backup_in_the_documents(
    home: MakeHome, unchanged: Unchanged
) -> None:
    cli = home("firefox-nopassword")
    with unchanged(cli.home / ".mozilla" / "firefox" / "x0.firefox-nopassword"):
        talk = guide(cli, answers=PLAIN)
    assert talk.status == 0
    assert names(documents(cli)) == [FILE]
    assert names(cli.temporary) == names(cli.here) == []
    identity = ok(cli, documents(cli) / FILE)
    assert identity["common_name"] == "Jane Doe"
    assert identity["chain"] != []


def test_what_was_found_and_what_will_be_done_is_said(home: MakeHome) -> None:
    cli = home("firefox-nopassword")
    talk = guide(cli, answers=PLAIN)
    shown = " ".join(talk.text.split())
    for said in (
        "Looking for certificates ...",
        "Found:",
        "name         Jane Doe",
        "issued by    WIPO Customer CA G2",
        "valid until  2056-05-01",
        "found in     Firefox, profile `firefox-nopassword`",
        f"1  Your Documents folder: {documents(cli)}",
        f"2  The current folder: {cli.here}",
        f"File         {documents(cli) / FILE}",
    ):
        assert " ".join(said.split()) in shown
    # Before the question whether to go on, and in this order.
    order = [
        "Where will you open",
        "Found:",
        "backup go?",
        "second copy go?",
        "New password",
        "This will be",
        GO_ON,
    ]
    places = [talk.text.index(text) for text in order]
    assert places == sorted(places)


def test_in_the_end_it_is_said_how_to_import_the_backup(home: MakeHome) -> None:
    text = guide(home("ec-p256"), answers=PLAIN).text
    after = text[text.index(GO_ON) :]
    assert "with its private key" in after
    for program in ("Firefox", "Windows", "macOS"):
        assert f"\n  {program}" in after.replace("\r", "")


def test_only_the_paths_go_to_stdout(home: MakeHome) -> None:
    cli = home("ec-p256")
    talk = guide(cli, answers=PLAIN, split=True)
    assert talk.stdout == f"{documents(cli) / FILE}\n"
    assert "Jane Doe" in talk.text


def test_no_password_that_is_typed_is_shown(home: MakeHome) -> None:
    talk = guide(
        home("nss387-password"),
        answers=[PLACE, NO_COPY, (PRIMARY, f"{FIREFOX_PASSWORD}\n"), *PASSWORD, YES],
    )
    assert talk.status == 0
    assert STRONG not in talk.transcript
    assert FIREFOX_PASSWORD not in talk.transcript


@pytest.mark.parametrize("terminal", ["dumb", "xterm-256color", ""])
def test_it_is_lines_of_text_on_any_terminal(home: MakeHome, terminal: str) -> None:
    cli = home("two-people", environment={"TERM": terminal})
    talk = guide(cli, answers=[(WHICH, "1\n"), *PLAIN])
    assert talk.status == 0
    assert "\u2500" not in talk.transcript or terminal != "dumb"
    # No colour, no movement of the cursor, no line that is written over.
    assert "\x1b" not in talk.transcript
    assert "\r" not in talk.transcript.replace("\r\n", "")


def test_a_terminal_without_unicode_will_do(home: MakeHome) -> None:
    cli = home("firefox-password-unicode", environment={"LANG": "C", "PYTHONUTF8": "0"})
    password = "\u00dcn\u00ef-\u043f\u0430\u0440\u043e\u043b\u044c-\u5bc6\u7801"
    talk = guide(cli, answers=[PLACE, NO_COPY, (PRIMARY, f"{password}\n"), *PASSWORD, YES])
    assert talk.status == 0
    assert len(names(documents(cli))) == 1


# --- which certificate


def test_several_people_are_a_numbered_choice(home: MakeHome) -> None:
    cli = home("two-people")
    talk = guide(cli, answers=[(WHICH, "3\n"), (WHICH, "2\n"), *PLAIN])
    assert talk.status == 0
    second = next(line.split() for line in lines_of(talk) if re.match("2 .*WIPO", line))
    (file,) = documents(cli).iterdir()
    identity = ok(cli, file)
    assert " ".join(second[1:3]) == identity["common_name"]
    assert str(identity["sha256"])[:8] in " ".join(second)


def test_the_choice_says_in_which_profile_each_certificate_is(home: MakeHome) -> None:
    cli = home("two-people", "ec-p256")
    talk = guide(cli, answers=[(WHICH, "\n")])
    assert talk.status == 4
    table = [line for line in lines_of(talk) if line[:1].isdigit()]
    assert sum(line.endswith("two-people") for line in table) == 2
    assert sum(line.endswith("ec-p256") for line in table) == 1
    assert nothing_was_written(cli)


def test_of_renewals_the_newest_is_taken_and_that_is_said_once(home: MakeHome) -> None:
    cli = home("renewed")
    talk = guide(cli, answers=PLAIN)
    assert talk.status == 0
    assert talk.text.count("of 2 renewals of `Jane Doe` the one until 2056-05-01 was taken") == 1
    assert ok(cli, documents(cli) / FILE)["status"] == "valid"


def test_the_certificate_of_a_stale_copy_is_no_question(home: MakeHome) -> None:
    cli = home("ec-p256")
    root = cli.home / ".mozilla" / "firefox"
    shutil.copytree(root / "x0.ec-p256", root / "copy.of-it")
    assert guide(cli, answers=PLAIN).status == 0


def test_without_a_wipo_certificate_the_others_are_offered(home: MakeHome) -> None:
    cli = home("foreign-only")
    talk = guide(cli, answers=[("Back this one up? [Y/n]", "\n"), *PLAIN])
    assert talk.status == 0
    (file,) = documents(cli).iterdir()
    assert ok(cli, file)["wipo"] is False


def test_a_warning_is_given_once_and_before_the_questions(home: MakeHome) -> None:
    cli = home("expired", "ec-p384")
    (cli.home / ".mozilla" / "firefox" / "x1.ec-p384" / "cert9.db").write_bytes(b"damaged")
    talk = guide(cli, answers=PLAIN)
    assert talk.status == 0
    for warning in ("profile `ec-p384` was skipped", "the certificate expired on"):
        assert talk.text.count(warning) == 1
        assert talk.text.index(warning) < talk.text.index(WHERE)


@pytest.mark.parametrize(
    ("stores", "status"),
    [((), 10), (("key-without-certificate",), 20), (("certificate-without-key",), 22)],
)
def test_with_nothing_to_back_up_the_findings_are_shown(
    home: MakeHome, stores: tuple[str, ...], status: int
) -> None:
    talk = guide(home(*stores), answers=[])
    assert talk.status == status
    assert "No backup is possible yet" in talk.text
    assert WHERE not in talk.text


def test_what_is_wrong_with_a_damaged_store_is_shown(home: MakeHome) -> None:
    cli = home("ec-p256")
    (cli.home / ".mozilla" / "firefox" / "x0.ec-p256" / "cert9.db").write_bytes(b"damaged")
    talk = guide(cli, answers=[])
    assert talk.status == 11
    assert "Problem: " in talk.text


# --- where it will be opened


@pytest.mark.parametrize(
    ("opened", "encryption"),
    [("1", "AES-256"), ("2", "3DES"), ("3", "3DES"), ("java", "AES-256"), ("windows-old", "3DES")],
)
def test_the_format_is_for_where_it_will_be_opened(
    home: MakeHome, opened: str, encryption: str
) -> None:
    cli = home("ec-p256")
    talk = guide(cli, answers=PLAIN, opened=opened)
    assert talk.status == 0
    assert "Opens in " in talk.text
    assert encryption in cli.verify(documents(cli) / FILE)[0]["encryption"]


def test_who_does_not_know_gets_both_formats(home: MakeHome) -> None:
    cli = home("ec-p256")
    both = [FILE.replace(".pfx", ".compatible.pfx"), FILE]
    (documents(cli) / both[0]).write_text("old")
    (cli.here / "second").mkdir()
    answers = [PLACE, (EXISTS, "2\n"), (COPY, "second\n"), *PASSWORD, YES]
    assert guide(cli, answers=answers, opened="4").status == 0
    assert names(documents(cli)) == names(cli.here / "second") == both
    assert all(one["ok"] for one in cli.verify(*documents(cli).iterdir()))


def test_a_program_that_is_not_known_is_asked_for_again(home: MakeHome) -> None:
    cli = home("ec-p256")
    talk = guide(
        cli, answers=[("There is no destination", ""), (OPENED, "\n"), *PLAIN], opened="nobody"
    )
    assert talk.status == 0


# --- where to


def test_the_current_folder_can_be_chosen(home: MakeHome) -> None:
    cli = home("ec-p256")
    assert guide(cli, answers=[(WHERE, "2\n"), *PLAIN[1:]]).status == 0
    assert names(cli.here) == [FILE]


def test_the_documents_are_found_in_the_users_language(home: MakeHome) -> None:
    cli = home("ec-p256")
    documents(cli).rename(cli.home / "Dokumente")
    (cli.home / ".config").mkdir()
    settings = cli.home / ".config" / "user-dirs.dirs"
    settings.write_text('XDG_DOCUMENTS_DIR="$HOME/Dokumente"\n')
    assert guide(cli, answers=PLAIN).status == 0
    assert names(cli.home / "Dokumente") == [FILE]


@pytest.mark.parametrize(
    ("typed", "file"),
    [
        ("{home}/other", "home/other/" + FILE),
        ("~/other", "home/other/" + FILE),
        ("../home/other/", "home/other/" + FILE),
        ("'{home}/other'", "home/other/" + FILE),
        ('  "{home}/other"  ', "home/other/" + FILE),
        ("{home}/with\\ blank", "home/with blank/" + FILE),  # dragged into a terminal of macOS
        ("{home}/with blank", "home/with blank/" + FILE),
        ("mine.pfx", "here/mine.pfx"),
        ("{home}/other/MINE.P12", "home/other/MINE.P12"),
        ("~/Ä ö.pfx", "home/Ä ö.pfx"),
    ],
)
def test_another_folder_or_file_can_be_typed(home: MakeHome, typed: str, file: str) -> None:
    cli = home("ec-p256")
    for folder in ("other", "with blank"):
        (cli.home / folder).mkdir()
    answer = typed.format(home=cli.home) + "\n"
    talk = guide(cli, answers=[(WHERE, answer), *PLAIN[1:]])
    assert talk.status == 0
    ok(cli, cli.folder / file)
    assert names(documents(cli)) == []


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("7", "There is no number 7 in the list."),
        ("0", "There is no number 0 in the list."),
        ("notes.txt", "is not a folder"),
        ("notes.txt/below", "is not a folder"),
        ("x" * 300, "can't be written"),
        ("x" * 300 + ".pfx", "can't be written"),
        ("folder", "is a folder"),
        ("\x1b[A", "contains control characters"),
        ("a\x16\x00b", "contains control characters"),  # Ctrl-V takes the key behind it as it is
    ],
)
def test_a_place_that_is_of_no_use_is_asked_for_again(
    home: MakeHome, typed: str, reason: str
) -> None:
    cli = home("ec-p256")
    (cli.here / "notes.txt").write_text("notes")
    (cli.here / "folder" / FILE).mkdir(parents=True)
    answers = [(WHERE, f"{typed}\n")]
    if reason == "is a folder":
        answers.append((EXISTS, "2\n"))
    talk = guide(cli, answers=[*answers, (reason, ""), *PLAIN])
    assert talk.status == 0
    assert "Traceback" not in talk.text
    assert names(documents(cli)) == [FILE]


def test_a_closed_folder_is_neither_offered_nor_taken(home: MakeHome) -> None:
    cli = home("ec-p256")
    documents(cli).chmod(0o555)
    (cli.here / "closed").mkdir(mode=0)
    talk = guide(
        cli,
        answers=[
            (WHERE, f"{documents(cli)}\n"),
            ("can't be written to.", ""),
            (WHERE, "closed/mine.pfx\n"),
            ("can't be written", ""),
            # Nor may a folder be made in it.
            (WHERE, f"{documents(cli)}/new\n"),
            ("can't be written to.", ""),
            *PLAIN,
        ],
        prefix=unprivileged(),
    )
    assert talk.status == 0
    assert f"1 The current folder: {cli.here}" in " ".join(talk.text.split())
    assert names(cli.here) == [FILE, "closed"]


def test_without_a_place_to_offer_one_has_to_be_typed(home: MakeHome) -> None:
    cli = home("ec-p256")
    documents(cli).rmdir()
    (cli.home / "other").mkdir()
    cli.here.chmod(0o555)
    question = "Type a folder or file (Enter to cancel)"
    talk = guide(cli, answers=[(question, "\n")], prefix=unprivileged())
    assert talk.status == 4
    answers = [(question, "1\n"), (question, "~/other\n"), *PLAIN[1:]]
    assert guide(cli, answers=answers, prefix=unprivileged()).status == 0
    assert names(cli.home / "other") == [FILE]


def test_a_current_folder_that_was_deleted_is_not_offered(home: MakeHome) -> None:
    cli = home("ec-p256")
    prefix = ("sh", "-c", 'mkdir gone; cd gone; rmdir "$PWD"; exec "$@"', "sh")
    talk = guide(cli, answers=PLAIN, prefix=prefix)
    assert talk.status == 0
    assert "The current folder" not in talk.text
    assert names(documents(cli)) == [FILE]


# --- folders that are missing


def test_a_missing_folder_is_made_when_that_was_agreed_upon(home: MakeHome) -> None:
    cli = home("ec-p256")
    talk = guide(cli, answers=[(WHERE, "new/backups\n"), (CREATE, "y\n"), *PLAIN[1:]])
    assert talk.status == 0
    ok(cli, cli.here / "new" / "backups" / FILE)


@pytest.mark.parametrize("typed", ["new", "new/mine.pfx"])
def test_a_missing_folder_is_not_made_without_a_yes(home: MakeHome, typed: str) -> None:
    cli = home("ec-p256")
    talk = guide(cli, answers=[(WHERE, f"{typed}\n"), (CREATE, "\n"), *PLAIN])
    assert talk.status == 0
    assert names(cli.here) == []
    assert names(documents(cli)) == [FILE]


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([(COPY, CTRL_C)], 130),
        ([NO_COPY, (NEW, CTRL_C)], 130),
        ([NO_COPY, (NEW, CTRL_D)], 4),
        ([NO_COPY, *PASSWORD, (GO_ON, "n\n")], 4),
        ([(COPY, "second\n"), (CREATE, "y\n"), *PASSWORD, (GO_ON, CTRL_C)], 130),
    ],
)
def test_a_folder_that_was_made_for_nothing_goes_again(
    home: MakeHome, answers: Answers, status: int
) -> None:
    cli = home("ec-p256")
    talk = guide(cli, answers=[(WHERE, "new/backups\n"), (CREATE, "y\n"), *answers])
    assert talk.status == status
    assert nothing_was_written(cli)


# --- files that are there


def test_a_file_that_is_there_is_kept_unless_one_says_otherwise(home: MakeHome) -> None:
    cli = home("ec-p256")
    old, second = documents(cli) / FILE, documents(cli) / FILE.replace(".pfx", "-2.pfx")
    old.write_text("old")
    second.write_text("second")
    talk = guide(cli, answers=[PLACE, (EXISTS, "\n"), *PLAIN[1:]])
    assert talk.status == 0
    third = documents(cli) / FILE.replace(".pfx", "-3.pfx")
    assert f"`{third.name}`" in talk.text
    assert (old.read_text(), second.read_text()) == ("old", "second")
    ok(cli, third)


def test_a_file_that_is_there_can_be_replaced(home: MakeHome) -> None:
    cli = home("ec-p256")
    (documents(cli) / FILE).write_text("old")
    talk = guide(cli, answers=[PLACE, (EXISTS, "2\n"), *PLAIN[1:]])
    assert talk.status == 0
    assert f"{FILE} (replaces the one there)" in " ".join(talk.text.split())
    assert names(documents(cli)) == [FILE]
    ok(cli, documents(cli) / FILE)


@pytest.mark.parametrize(
    ("typed", "file"),
    [("mine", "mine.pfx"), ("mine.p12", "mine.p12"), ("{here}/mine.pfx", "../../here/mine.pfx")],
)
def test_it_can_get_another_name(home: MakeHome, typed: str, file: str) -> None:
    cli = home("ec-p256")
    (documents(cli) / FILE).write_text("old")
    # A name that is taken as well is asked about again.
    (documents(cli) / "taken.pfx").write_text("taken")
    answer = typed.format(here=cli.here)
    answers = [PLACE, (EXISTS, "taken\n"), (EXISTS, f"{answer}\n"), *PLAIN[1:]]
    assert guide(cli, answers=answers).status == 0
    ok(cli, documents(cli) / file)
    assert (documents(cli) / FILE).read_text() == "old"
    assert (documents(cli) / "taken.pfx").read_text() == "taken"


def test_nothing_is_replaced_if_the_person_leaves_early(home: MakeHome) -> None:
    cli = home("ec-p256")
    (documents(cli) / FILE).write_text("old")
    talk = guide(cli, answers=[PLACE, (EXISTS, "2\n"), NO_COPY, *PASSWORD, (GO_ON, "n\n")])
    assert talk.status == 4
    assert (documents(cli) / FILE).read_text() == "old"


# --- the second copy


@dataclass(frozen=True, slots=True)
class Stick:
    """A drive that is connected for the commands that are run behind `prefix`, and no others."""

    prefix: tuple[str, ...]
    folder: Path  # as this process sees it


@pytest.fixture
def stick(tmp_path: Path, require_peers: bool) -> Iterator[Stick]:
    """It is memory, mounted under the name of a disk in a mount table that a process keeps."""
    script = (
        f"mount -t tmpfs none /media && mkdir -p '{DRIVE}' &&"
        f" mount -t tmpfs /dev/sdz1 '{DRIVE}' && echo mounted && read forever"
    )
    keeper = subprocess.Popen(
        [*unshare("--mount"), "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with keeper:
        try:
            assert keeper.stdout is not None
            assert keeper.stderr is not None
            if keeper.stdout.readline() != "mounted\n":
                missing = f"no drive can be mounted here: {keeper.stderr.read().strip()}"
                need(missing, required=require_peers)
            here = f'cd "{tmp_path / "here"}" && exec "$@"'
            inside = (*enter(keeper.pid, "--mount"), "sh", "-c", here, "sh")
            yield Stick(inside, Path(f"/proc/{keeper.pid}/root{DRIVE}"))
        finally:
            keeper.kill()


def test_a_drive_that_is_connected_gets_the_second_copy(home: MakeHome, stick: Stick) -> None:
    cli = home("ec-p256")
    talk = guide(cli, answers=PLAIN, prefix=stick.prefix)
    assert talk.status == 0
    shown = " ".join(talk.text.split())
    assert f"1 Drive MY STICK: {DRIVE}" in shown
    assert f"Second copy {DRIVE}/{FILE}" in shown
    assert lines_of(talk).count(f"{DRIVE}/{FILE}") == 1  # among the paths on stdout
    ok(cli, documents(cli) / FILE)
    assert (stick.folder / FILE).read_bytes() == (documents(cli) / FILE).read_bytes()
    assert names(stick.folder) == [FILE]


def test_a_drive_can_be_declined(home: MakeHome, stick: Stick) -> None:
    cli = home("ec-p256")
    answers = [PLACE, (COPY, "3\n"), *PASSWORD, YES]
    assert guide(cli, answers=answers, prefix=stick.prefix).status == 0
    assert names(stick.folder) == []


def test_the_drive_that_the_backup_is_on_is_not_offered_again(home: MakeHome, stick: Stick) -> None:
    cli = home("ec-p256")
    answers = [(WHERE, f"{DRIVE}/mine\n"), (CREATE, "y\n"), *PLAIN[1:]]
    talk = guide(cli, answers=answers, prefix=stick.prefix)
    assert talk.status == 0
    assert "No USB drive was found." in talk.text
    assert names(stick.folder / "mine") == [FILE]


def test_one_can_look_again_for_drives(home: MakeHome) -> None:
    talk = guide(home("ec-p256"), answers=[PLACE, (COPY, "1\n"), *PLAIN[1:]])
    assert talk.status == 0
    assert talk.text.count("Look again, after plugging in a USB drive") == 2


def test_another_folder_for_the_copy_can_be_typed(home: MakeHome) -> None:
    cli = home("ec-p256")
    talk = guide(cli, answers=[PLACE, (COPY, "share\n"), (CREATE, "y\n"), *PASSWORD, YES])
    assert talk.status == 0
    assert (cli.here / "share" / FILE).read_bytes() == (documents(cli) / FILE).read_bytes()
    assert "Keep a copy elsewhere" not in talk.text


def test_the_copy_has_to_go_somewhere_else(home: MakeHome) -> None:
    cli = home("ec-p256")
    (cli.here / "link").symlink_to(documents(cli))
    same = "please choose another folder."
    answers = [(COPY, f"{documents(cli)}\n"), (same, ""), (COPY, "link\n"), (same, "")]
    assert guide(cli, answers=[PLACE, *answers, *PLAIN[1:]]).status == 0
    # A folder that has yet to be made is one, too.
    answers = [(WHERE, "new\n"), (CREATE, "y\n"), (COPY, "../here/new\n"), (same, "")]
    assert guide(cli, answers=[*answers, *PLAIN[1:]]).status == 0


def test_a_copy_that_is_there_is_replaced_after_a_yes_only(home: MakeHome) -> None:
    cli = home("ec-p256")
    for folder in ("one", "two"):
        (cli.here / folder).mkdir()
        (cli.here / folder / FILE).write_text("old")
    talk = guide(
        cli,
        answers=[
            PLACE,
            (COPY, "one\n"),
            (REPLACE, "\n"),
            (COPY, "two\n"),
            (REPLACE, "j\n"),
            ("y for yes", ""),
            (REPLACE, "YES\n"),
            *PASSWORD,
            YES,
        ],
    )
    assert talk.status == 0
    assert (cli.here / "one" / FILE).read_text() == "old"
    assert (cli.here / "two" / FILE).read_bytes() == (documents(cli) / FILE).read_bytes()


# --- passwords


def test_the_primary_password_is_asked_before_the_backups(home: MakeHome) -> None:
    cli = home("nss387-password")
    talk = guide(
        cli,
        answers=[
            PLACE,
            NO_COPY,
            ("Firefox protects the key with its Primary Password.", ""),
            (PRIMARY, "Wrong-Guess-77\n"),
            (PRIMARY, f"{FIREFOX_PASSWORD}\n"),
            *PASSWORD,
            YES,
        ],
    )
    assert talk.status == 0
    ok(cli, documents(cli) / FILE)


def test_a_wrong_primary_password_ends_before_the_next_question(home: MakeHome) -> None:
    cli = home("nss387-password")
    talk = guide(cli, answers=[PLACE, NO_COPY, *[(PRIMARY, "Wrong-Guess-77\n")] * 3])
    assert talk.status == 12
    assert NEW not in talk.text
    assert nothing_was_written(cli)


def test_without_a_primary_password_none_is_asked(home: MakeHome) -> None:
    assert PRIMARY not in guide(home("ec-p256"), answers=PLAIN).text


def test_a_weak_password_gets_a_warning_and_can_be_taken_back(home: MakeHome) -> None:
    cli = home("ec-p256")
    talk = guide(
        cli,
        answers=[
            PLACE,
            NO_COPY,
            (NEW, "secret1\n"),
            ("easy to guess", ""),
            (KEEP, "\n"),
            *PASSWORD,
            YES,
        ],
    )
    assert talk.status == 0
    ok(cli, documents(cli) / FILE)


def test_a_weak_password_can_be_kept(home: MakeHome) -> None:
    cli = home("ec-p256")
    weak = [(NEW, "secret1\n"), (KEEP, "y\n"), (AGAIN, "secret1\n")]
    assert guide(cli, answers=[PLACE, NO_COPY, *weak, YES]).status == 0
    ok(cli, documents(cli) / FILE, "secret1")


def test_a_strong_password_gets_no_warning(home: MakeHome) -> None:
    text = guide(home("ec-p256"), answers=PLAIN).text
    assert "warning" not in text
    assert KEEP not in text


def test_two_passwords_that_differ_are_asked_for_again(home: MakeHome) -> None:
    cli = home("ec-p256")
    slip = [(NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}x\n"), ("differ", "")]
    assert guide(cli, answers=[PLACE, NO_COPY, *slip * 4, *PASSWORD, YES]).status == 0
    ok(cli, documents(cli) / FILE)


def test_a_generated_password_is_typed_back(home: MakeHome) -> None:
    cli = home("ec-p256")
    answers = [PLACE, NO_COPY, (NEW, "\n"), (TYPED_BACK, "wrong\n"), (TYPED_BACK, CTRL_D)]
    talk = guide(cli, answers=answers)
    assert talk.status == 4
    (shown,) = [line for line in lines_of(talk) if line.startswith("Password of the backup: ")]
    assert len(shown.partition(": ")[2]) > 28
    assert "not the password shown" in talk.text
    assert nothing_was_written(cli)


def test_who_typed_it_back_has_a_backup(home: MakeHome) -> None:
    cli = home("ec-p256")
    answers = [PLACE, NO_COPY, (NEW, "\n"), (TYPED_BACK, SHOWN), YES]
    talk = guide(cli, answers=answers)
    assert talk.status == 0
    (shown,) = [line for line in lines_of(talk) if line.startswith("Password of the backup: ")]
    ok(cli, documents(cli) / FILE, shown.partition(": ")[2])


# --- the ways out


def test_a_no_in_the_end_writes_nothing(home: MakeHome) -> None:
    cli = home("ec-p256")
    talk = guide(cli, answers=[*PLAIN[:-1], (GO_ON, "n\n")], split=True)
    assert talk.status == 4
    assert "nothing was written" in talk.text
    assert talk.stdout == ""
    assert nothing_was_written(cli)


def test_an_interrupt_while_it_writes_leaves_all_or_nothing(home: MakeHome) -> None:
    cli = home("ec-p256")
    asked: Answers = ((WHERE, "new\n"), (CREATE, "y\n"), NO_COPY, *PASSWORD, YES)
    talk = guide(cli, answers=[*asked, ("Writing the backup", CTRL_C)])
    # How far it has come by then is up to the machine.
    assert talk.status in (0, 130)
    assert "Traceback" not in talk.text
    assert names(cli.temporary) == []
    if names(cli.here):
        assert names(cli.here / "new") == [FILE]
        ok(cli, cli.here / "new" / FILE)
    else:
        assert talk.status == 130


# Each question, and the answers that lead to it from the second on.
QUESTIONS: dict[str, Answers] = {
    WHICH: (),
    WHERE: (),
    EXISTS: ((WHERE, "2\n"),),
    CREATE: ((WHERE, "new\n"),),
    COPY: (PLACE,),
    REPLACE: (PLACE, (COPY, "../taken\n")),
    PRIMARY: (PLACE, NO_COPY),
    NEW: (PLACE, NO_COPY),
    KEEP: (PLACE, NO_COPY, (NEW, "secret1\n")),
    AGAIN: (PLACE, NO_COPY, (NEW, f"{STRONG}\n")),
    GO_ON: PLAIN[:-1],
}


@pytest.mark.parametrize(("key", "status"), [(CTRL_C, 130), (CTRL_D, 4)])
@pytest.mark.parametrize("at", QUESTIONS)
def test_every_question_can_be_left_and_nothing_stays_behind(
    home: MakeHome, unchanged: Unchanged, at: str, key: str, status: int
) -> None:
    store = {WHICH: "two-people", PRIMARY: "nss387-password"}.get(at, "ec-p256")
    cli = home(store)
    (cli.folder / "taken").mkdir()
    for taken in (cli.folder / "taken", cli.here) if at == EXISTS else (cli.folder / "taken",):
        (taken / FILE).write_text("taken")
    before = names(cli.here)
    with unchanged(cli.home / ".mozilla" / "firefox" / f"x0.{store}"):
        talk = guide(cli, answers=[*QUESTIONS[at], (at, key)])
    assert talk.status == status
    assert "nssbackup: error:" in talk.text
    assert ("interrupted; nothing was written" in talk.text) is (key == CTRL_C)
    assert "Traceback" not in talk.text
    assert names(cli.here) == before
    assert names(documents(cli)) == names(cli.temporary) == []
    assert (cli.folder / "taken" / FILE).read_text() == "taken"


# --- without a terminal, and help


@pytest.mark.parametrize("pipe", [subprocess.DEVNULL, subprocess.PIPE])
def test_without_a_terminal_it_is_help_and_wrong_usage(home: MakeHome, pipe: int) -> None:
    cli = home("ec-p256")
    # The pipe is never closed and never written to: reading it would take for ever.
    with cli.start(stdin=pipe) as process:
        process.wait(LIMIT)
        result = finish(process)
    assert result.status == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr
    assert "export" in result.stderr
    assert nothing_was_written(cli)


def test_a_closed_stdin_is_no_terminal(home: MakeHome) -> None:
    cli = home("ec-p256")
    result = cli.run(prefix=("sh", "-c", 'exec "$@" <&-', "sh"))
    assert result.status == 2
    assert "Usage: " in result.stderr


def test_on_a_terminal_help_is_help(home: MakeHome) -> None:
    talk = home("ec-p256").talk("--help", answers=[])
    assert talk.status == 0
    assert "question by question" in " ".join(talk.text.split())
    assert WHERE not in talk.text
