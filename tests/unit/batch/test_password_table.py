"""Tables of passwords: parsed strictly, and no word of them in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from nssbackup.batch.password_table import Owner, PasswordTable
from nssbackup.errors import UsageError
from nssbackup.secret import Secret

JANE = Owner("Jane", ("default-release", "ab12.default"), ("ab" * 32, "cd" * 20))


def table(tmp_path: Path, content: str | bytes) -> PasswordTable:
    path = tmp_path / "passwords.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return PasswordTable.read(path, "--passwords")


def found(table: PasswordTable, owner: Owner = JANE) -> str | None:
    secret = table.password_of(owner)
    return secret.reveal() if secret else None


@pytest.mark.parametrize(
    "row",
    [
        "jane,,,x",
        ",ab12.default,,x",
        ",default-release,,x",
        ",,abababab,x",
        ",,AB:AB:AB:AB:AB,x",
        f",,{'cd' * 20},x",
        "JANE,ab12.default,abababab,x",
    ],
)
def test_a_row_that_fits(tmp_path: Path, row: str) -> None:
    assert found(table(tmp_path, f"user,profile,fingerprint,password\n{row}\n")) == "x"


def test_a_host_gets_its_own_rows_only(tmp_path: Path) -> None:
    text = "host,user,password\nada,jane,one\nADA,,two\nberta,jane,three\n,zoe,four\n"
    known = table(tmp_path, text)
    assert not known.names_hosts
    assert table(tmp_path, text.replace("\n,zoe", "\nada,zoe")).names_hosts
    packed = known.csv_for("Ada")
    assert b"three" not in packed
    for one in (known, table(tmp_path, packed)):
        assert found(one, Owner("jane", host="ada")) == "one"
        assert found(one, Owner("bob", host="ada")) == "two"
        assert found(one, Owner("zoe", host="carl")) == "four"
        assert found(one, Owner("jane", host="carl")) is None
    assert found(known, Owner("jane", host="berta")) == "three"
    assert found(table(tmp_path, known.csv_for("carl"))) is None


@pytest.mark.parametrize("row", ["bob,,,x", "jane,other,,x", ",,abababac,x", "bob,,abababab,x"])
def test_a_row_that_does_not(tmp_path: Path, row: str) -> None:
    assert found(table(tmp_path, f"user,profile,fingerprint,password\n{row}\n")) is None


def test_the_row_that_says_most_counts(tmp_path: Path) -> None:
    rows = ["jane,,,user", ",ab12.default,,profile", ",,abababab,print", "jane,ab12.default,,both"]
    for count, expected in ((4, "print"), (1, "user"), (2, "user")):
        text = "user,profile,fingerprint,password\n" + "\n".join(rows[:count])
        assert found(table(tmp_path, text)) == expected
    text = "user,profile,password\n,ab12.default,profile\njane,ab12.default,both\n"
    assert found(table(tmp_path, text)) == "both"


@pytest.mark.parametrize("path", ["/home/jane/ab12.default", "C:\\Users\\jane\\ab12.default"])
def test_a_path_says_more_than_a_user_and_a_name_less(tmp_path: Path, path: str) -> None:
    rows = ["jane,,user", ",default-release,everybody", f",{path},profile"]
    for order in (rows, rows[::-1]):
        known = table(tmp_path, "user,profile,password\n" + "\n".join(order))
        names = ("default-release", "ab12.default")
        assert found(known, Owner("jane", (*names, path))) == "profile"
        assert found(known, Owner("jane", names)) == "user"
        assert found(known, Owner("bob", names)) == "everybody"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\ufeffUser, Password\r\njane,päss wörd \r\n", "päss wörd "),
        ('password,user\n"a,""b""",jane\n\n', 'a,"b"'),
        ("user,password\n\n , \njane,x", "x"),
        ("user;password\r\njane;a,b\r\n", "a,b"),
        ("user\tpassword\njane\ta;b\n", "a;b"),
        ("user;password\r\njane;päss\r\n".encode("utf-16"), "päss"),
        ("\ufeffuser,password\njane,x".encode("utf-16-be"), "x"),
    ],
)
def test_what_programs_write(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert found(table(tmp_path, content)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 of the file of `--passwords` doesn't name its columns"),
        (b"jane,SECRET\n", "line 1 "),
        (b"password\nSECRET\n", "line 1 "),
        (b"user,user,password\nSECRET,a,b\n", "line 1 "),
        (b"user,password\njane,SECRET,SECRET\n", "line 2 of the file of `--passwords` has 3 cells"),
        (b"user,password\n\njane,\n", "line 3 of the file of `--passwords` has no password"),
        (b"user,password\n,SECRET\n", "line 2 of the file of `--passwords` doesn't say whose"),
        (b"user,password\nSECRET,a\nsecret,SECRET\n", "line 3 "),
        (b"fingerprint,password\nSECRET,SECRET\n", "line 2 "),
        (b"fingerprint,password\n1234567,SECRET\n", "line 2 "),
        (
            b'user,password\n"SECRET"x,SECRET\n',
            "line 2 of the file of `--passwords` is not valid CSV",
        ),
        (b'user,password\n"SECRET', "is not valid CSV"),
        (b"user,password\njane,SECRET\xff\n", "line 2 of the file of `--passwords` is not UTF-8"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_not_shown(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        table(tmp_path, content)
    assert message in caught.value.message
    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in repr(error).casefold()
        error = error.__cause__
    assert "secret" not in (caught.value.hint or "").casefold()


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`--passwords` can't be read: no such file"):
        PasswordTable.read(tmp_path / "missing", "--passwords")


def test_a_table_does_not_show_its_passwords() -> None:
    assert "hunter2" not in repr(PasswordTable.of_rows([({"user": "a"}, Secret("hunter2"))]))
