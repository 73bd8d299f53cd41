"""Where generated passwords are kept: in escrow that OpenSSL opens, or in a private list."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nssbackup.batch.password_store import Entry, EscrowFolder, PasswordsFile, recipients_in
from nssbackup.errors import OutputError, UsageError
from nssbackup.secret import Secret
from tests import LIMIT
from tests.builders.homes import password_rows
from tests.builders.irregular import irregular
from tests.builders.store import ec_key, issue, rsa_key
from tests.fuzz import guard

ENTRY = Entry(
    user="jane",
    profile="/home/jane/p",
    fingerprint="ab" * 32,
    file="jane/Jane Doe.pfx",
    sha256="cd" * 32,
    created="2026-11-23T02:00:00Z",
    password=Secret("k3v9-k3v9"),
)


def department(folder: Path, number: int, name: str = "IT") -> tuple[Path, Path]:
    """A certificate of an IT department and its key, as files."""
    key = rsa_key(number)
    assert isinstance(key, rsa.RSAPrivateKey)
    certificate = x509.load_der_x509_certificate(issue(key, name))
    path, secret = folder / f"{number}.pem", folder / f"{number}.key"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path, secret


def pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def run_openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=LIMIT)


@pytest.mark.posix("it looks at file modes")
def test_only_recipients_open_the_escrow_with_openssl(tmp_path: Path) -> None:
    people = [department(tmp_path, number, f"IT {number}") for number in range(3)]
    recipients, notes = recipients_in([path for path, _ in people[:2]])
    assert (len(recipients), notes) == (2, ())
    EscrowFolder(tmp_path / "out", recipients).keep([ENTRY])
    (message,) = (tmp_path / "out").glob("*/*/*")
    assert message.relative_to(tmp_path / "out").as_posix() == (
        f"escrow/jane/Jane Doe.pfx.{'cd' * 8}.p7m"
    )
    assert stat.S_IMODE(message.stat().st_mode) == 0o600
    assert b"k3v9" not in message.read_bytes()
    for number, (certificate, key) in enumerate(people):
        words = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", str(message)]
        result = subprocess.run(
            [*words, "-inkey", str(key), "-recip", str(certificate)],
            capture_output=True,
            check=False,
            timeout=LIMIT,
        )
        if number == 2:
            assert result.returncode != 0
            assert b"k3v9" not in result.stdout
            continue
        assert result.returncode == 0, result.stderr
        opened = json.loads(result.stdout)
        assert opened == {
            "user": "jane",
            "profile": "/home/jane/p",
            "fingerprint": "ab" * 32,
            "file": "jane/Jane Doe.pfx",
            "sha256": "cd" * 32,
            "created": "2026-11-23T02:00:00Z",
            "password": "k3v9-k3v9",
        }
    text = subprocess.run(
        ["openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", str(message)],
        capture_output=True,
        check=True,
        timeout=LIMIT,
    ).stdout
    assert b"aes-256-cbc" in text


def test_an_escrow_never_replaces_another_files(tmp_path: Path) -> None:
    recipients, _ = recipients_in([department(tmp_path, 0)[0]])
    escrow = EscrowFolder(tmp_path / "out", recipients)
    escrow.keep([ENTRY])
    escrow.keep([replace(ENTRY, sha256="ef" * 32)])
    assert len(list((tmp_path / "out").glob("escrow/jane/*"))) == 2


def test_who_can_not_be_a_recipient(tmp_path: Path) -> None:
    path = tmp_path / "it.pem"
    for der, reason in (
        (issue(ec_key(0), "EC"), "has no RSA key"),
        (irregular()["an RSA number"]["2048 bits"], "departs from the standard"),
        (irregular()["a version"]["1"], "departs from the standard"),
        (issue(rsa_key(0, bits=1024), "Short"), "too short"),
    ):
        path.write_bytes(der)
        with pytest.raises(UsageError, match=reason):
            recipients_in([path])
    # OpenSSL can't decrypt with such a key what `cryptography` encrypts to it.
    words = (
        "req",
        "-x509",
        "-newkey",
        "rsa-pss",
        "-nodes",
        "-subj",
        "/CN=PSS",
        "-keyout",
        os.devnull,
    )
    run_openssl(*words, "-out", str(path))
    with pytest.raises(UsageError, match="is for signatures only"):
        recipients_in([path])
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match="no certificate"):
        recipients_in([path])


def test_an_expired_recipient_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "it.der"
    path.write_bytes(issue(rsa_key(0), "Old IT", days=(-30, -1)))
    recipients, notes = recipients_in([path])
    assert len(recipients) == 1
    assert notes == ("the escrow certificate of `Old IT` is expired",)


def test_the_chain_in_a_recipients_file_is_no_recipient(tmp_path: Path) -> None:
    path = tmp_path / "it.pem"
    own = issue(rsa_key(0), "IT", "CA", by=rsa_key(1))
    ca = issue(rsa_key(1), "CA", ca=True)
    path.write_bytes(pem(ca) + pem(own))
    assert recipients_in([path, path])[0] == (own,)


def test_all_of_several_that_signed_themselves_are_recipients(tmp_path: Path) -> None:
    """`openssl req -x509` makes CA certificates."""
    people = [issue(rsa_key(number), f"IT {number}", ca=True) for number in range(2)]
    path = tmp_path / "it.pem"
    path.write_bytes(b"".join(map(pem, people)))
    assert recipients_in([path]) == (tuple(people), ())


def test_a_ca_beside_somebody_elses_certificate_is_told_of(tmp_path: Path) -> None:
    own, other = issue(rsa_key(0), "IT"), issue(rsa_key(1), "Root", ca=True)
    path = tmp_path / "it.pem"
    path.write_bytes(pem(own) + pem(other))
    assert recipients_in([path]) == (
        (own,),
        ("the CA certificate of `Root` in `it.pem` gets no passwords",),
    )


@pytest.mark.posix("it looks at file modes")
def test_the_list_is_private_and_grows(tmp_path: Path) -> None:
    store = PasswordsFile(tmp_path)
    store.keep([ENTRY])
    store.keep([])
    store.keep([replace(ENTRY, user="bob", password=Secret("another"))])
    assert stat.S_IMODE((tmp_path / "passwords.csv").stat().st_mode) == 0o600
    rows = password_rows(tmp_path)
    assert [(row["user"], row["password"]) for row in rows] == [
        ("jane", "k3v9-k3v9"),
        ("bob", "another"),
    ]
    assert set(rows[0]) == {
        *("user", "profile", "fingerprint", "file", "sha256", "created", "password"),
    }


@pytest.mark.parametrize(
    "torn", [b'jane,"/home/', b"jane", b"jane,a,b,c,d,e,k3v9-k3", b'"' + b"x" * 9000]
)
def test_half_a_line_of_a_killed_run_does_no_harm(tmp_path: Path, torn: bytes) -> None:
    store = PasswordsFile(tmp_path)
    store.keep([ENTRY])
    for more in (1, 2):
        with (tmp_path / "passwords.csv").open("ab") as file:
            file.write(torn)
        store.keep([replace(ENTRY, user=f"user {more}")])
    whole = [row for row in password_rows(tmp_path) if row["sha256"] == ENTRY.sha256]
    assert [row["user"] for row in whole] == ["jane", "user 1", "user 2"]
    assert {row["password"] for row in whole} == {"k3v9-k3v9"}


def test_half_a_header_of_a_killed_run_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "passwords.csv").write_bytes(b"user,profile,fing")
    PasswordsFile(tmp_path).keep([ENTRY])
    (row,) = password_rows(tmp_path)
    assert (row["user"], row["password"]) == ("jane", "k3v9-k3v9")


@pytest.mark.parametrize("lost", [b"\r\n", b"\n", b""])
def test_a_row_that_an_editor_left_without_its_line_end_stays(tmp_path: Path, lost: bytes) -> None:
    store = PasswordsFile(tmp_path)
    store.keep([ENTRY])
    path = tmp_path / "passwords.csv"
    path.write_bytes(path.read_bytes().removesuffix(lost))
    store.keep([replace(ENTRY, user="bob")])
    rows = password_rows(tmp_path)
    assert [row["user"] for row in rows] == ["jane", "bob"]
    assert [row["password"].strip() for row in rows] == ["k3v9-k3v9"] * 2


def test_whether_a_password_is_there(tmp_path: Path) -> None:
    recipients, _ = recipients_in([department(tmp_path, 0)[0]])
    for store in (PasswordsFile(tmp_path / "list"), EscrowFolder(tmp_path / "escrow", recipients)):
        store.folder.mkdir()
        assert not store.finder()(ENTRY.file, ENTRY.sha256)
        store.keep([ENTRY])
        has = store.finder()
        assert has(ENTRY.file, ENTRY.sha256)
        assert not has(ENTRY.file, "12" * 32)


@pytest.mark.posix("made of what Unix has")
@pytest.mark.parametrize("kind", ["folder", "fifo", "sparse", "device", "circle"])
def test_what_is_no_list_of_passwords_is_not_looked_through(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "passwords.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "sparse":
        path.touch()
        os.truncate(path, 1 << 40)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with guard.limits(), pytest.raises(OutputError, match=r"passwords\.csv` can't be "):
        PasswordsFile(tmp_path).finder()


def test_a_name_that_is_none_has_no_password(tmp_path: Path) -> None:
    recipients, _ = recipients_in([department(tmp_path, 0)[0]])
    for store in (PasswordsFile(tmp_path), EscrowFolder(tmp_path, recipients)):
        has = store.finder()
        assert not has("x" * 5000, "ü" * 64)
        assert not has("a\0b", "")


@pytest.mark.parametrize(
    "user",
    [
        "=cmd|' /C calc'!A0",
        "p;=cmd|' /C calc'!A0",
        "\uff1d1",
        ' "=1',
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "a\r\nb,c",
        'a","b',
        "Zoë",
    ],
)
def test_what_a_user_is_called_computes_nothing_and_is_one_line(tmp_path: Path, user: str) -> None:
    PasswordsFile(tmp_path).keep([replace(ENTRY, user=user)])
    (row,) = password_rows(tmp_path)
    assert not re.match(r"[\s\"]*[=+\-@\uff1d\t\r]", row["user"])
    assert ";=" not in row["user"]
    assert row["password"] == "k3v9-k3v9"
    assert len((tmp_path / "passwords.csv").read_bytes().splitlines()) == 2
    if user.isalpha():
        assert row["user"] == user


def test_a_list_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "passwords.csv").mkdir()
    with pytest.raises(OutputError, match=r"passwords\.csv` can't be written"):
        PasswordsFile(tmp_path).keep([ENTRY])
    (tmp_path / "escrow").write_bytes(b"")
    recipients, _ = recipients_in([department(tmp_path, 0)[0]])
    with pytest.raises(OutputError, match=r"escrow.jane` can't be written"):
        EscrowFolder(tmp_path, recipients).keep([ENTRY])


def test_a_link_in_place_of_the_list_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "passwords.csv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError):
        PasswordsFile(tmp_path).keep([ENTRY])
    assert (tmp_path / "elsewhere").read_bytes() == b""
