from __future__ import annotations

import os
from pathlib import Path

import pytest

from nssbackup.profiles.lists import SIZE_LIMIT, parse_ini, read_ini


@pytest.mark.parametrize(
    ("data", "sections"),
    [
        pytest.param(b"", {}, id="nothing gives no section"),
        pytest.param(b"[A]\nk=v\n", {"A": {"k": "v"}}, id="a line feed ends a line"),
        pytest.param(b"[A]\r\nk=v\r\n", {"A": {"k": "v"}}, id="CR LF ends a line"),
        pytest.param(b"[A]\rk=v\r", {"A": {"k": "v"}}, id="a carriage return ends a line"),
        pytest.param(b"[A]\n\n\r\n\nk=v", {"A": {"k": "v"}}, id="empty lines are skipped"),
        pytest.param(b"\xef\xbb\xbf[A]\nk=v", {"A": {"k": "v"}}, id="a UTF-8 mark is skipped"),
        pytest.param(
            b"\xff\xfe" + "[A]\r\nk=ü\n".encode("utf-16-le"),
            {"A": {"k": "ü"}},
            id="UTF-16LE is read where its mark is there",
        ),
        pytest.param(
            b"\xff\xfe" + "[A]\nk=v".encode("utf-16-le") + b"\x00\xd8!",
            {"A": {"k": "v\ufffd"}},
            id="broken UTF-16 does no harm",
        ),
        pytest.param(b"#[A]\n;[B]\n[C]\n#k=v\n;l=w", {}, id="# and ; make a comment"),
        pytest.param(b"[A]\n #k=v", {"A": {"#k": "v"}}, id="# behind a blank is part of a key"),
        pytest.param(b" \t[A]\n\t k=v", {"A": {"k": "v"}}, id="leading blanks are skipped"),
        pytest.param(b"[A]\nk = v ", {"A": {"k ": " v "}}, id="neither key nor value is trimmed"),
        pytest.param(b"[A]\nk=a=b%c:d", {"A": {"k": "a=b%c:d"}}, id="a value may contain anything"),
        pytest.param(b"[A]\nk:v\njunk\n=v", {}, id="a line without key or = is ignored"),
        pytest.param(b"[A]\nk=", {"A": {"k": ""}}, id="a value may be empty"),
        pytest.param(b"k=v\n[A]\nl=w", {"A": {"l": "w"}}, id="before a section nothing counts"),
        pytest.param(b"[A]\nK=v\nk=w", {"A": {"K": "v", "k": "w"}}, id="keys are case-sensitive"),
        pytest.param(b"[A]\nk=1\nk=2", {"A": {"k": "2"}}, id="the last value counts"),
        pytest.param(
            b"[A]\nk=1\n[B]\nk=2\n[A]\nl=3",
            {"A": {"k": "1", "l": "3"}, "B": {"k": "2"}},
            id="a repeated section is continued",
        ),
        pytest.param(b"[A] \t\nk=v", {"A": {"k": "v"}}, id="blanks behind a section are nothing"),
        pytest.param(
            b"[A]x\nk=v\n[B]\nl=w", {"B": {"l": "w"}}, id="text behind a section spoils it"
        ),
        pytest.param(b"[]\nk=v", {}, id="a section has a name"),
        pytest.param(b"[A\nk=v", {"A": {"k": "v"}}, id="a missing bracket is forgiven"),
        pytest.param(b"[A]\nk=v\0w\nl=w", {"A": {"k": "v"}}, id="a NUL ends the file"),
    ],
)
def test_the_grammar_is_that_of_nsiniparser(data: bytes, sections: object) -> None:
    assert parse_ini(data) == sections


def test_a_larger_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "profiles.ini"
    path.write_bytes(b"[A]\nk=v\n".ljust(SIZE_LIMIT + 1, b"#"))
    with pytest.raises(OSError, match="too large"):
        read_ini(path)


@pytest.mark.posix("Windows has no FIFO in folders")
def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "profiles.ini")
    with pytest.raises(OSError, match="not a regular file"):
        read_ini(tmp_path / "profiles.ini")


def test_a_link_to_a_list_is_followed(tmp_path: Path) -> None:
    (tmp_path / "dotfiles.ini").write_bytes(b"[A]\nk=v")
    (tmp_path / "profiles.ini").symlink_to("dotfiles.ini")
    assert read_ini(tmp_path / "profiles.ini") == {"A": {"k": "v"}}
