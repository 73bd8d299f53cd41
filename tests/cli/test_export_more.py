"""`export` with a certificate from a file, as a message, and of the certificate alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests import FIXTURES, LIMIT
from tests.builders.store import Key, StoreBuilder, ec_key, issue, name, rsa_key
from tests.cli.failures import TAKEN
from tests.cli.runner import FAST, Cli, Result, names
from tests.cli.test_export import exported
from tests.conftest import MakeProfile, SnapshotOf, Unchanged

STEM = "Jane Doe-WIPO Customer CA G2-2056-05-01"
WIPO = name("WIPO Test CA", "WIPO")
CA_KEY = ec_key(90)
CA = issue(CA_KEY, WIPO, ca=True)
WEAK = "Summer2026"


@pytest.fixture
def store(profile: MakeProfile) -> Path:
    """A profile with one WIPO identity and no primary password."""
    return profile("ec-p256")


def as_pem(*ders: bytes) -> bytes:
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders)


def refused(result: Result, status: int, code: str) -> dict[str, Any]:
    assert result.status == status, result.stderr
    assert result.error["code"] == code
    return result.error


# --- --certificate


@pytest.fixture
def refreshed(profile: MakeProfile) -> Path:
    """What Firefox left after a refresh: a key, and no certificate."""
    return profile("key-without-certificate")


@pytest.fixture
def certificate() -> bytes:
    """A certificate of WIPO's for the key in `refreshed`."""
    pem = (FIXTURES / "keys" / "key-without-certificate-1.pem").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, Key)
    return issue(key, "Jane Doe", WIPO, CA_KEY)


@pytest.mark.parametrize("form", ["PEM", "DER", "bundle"])
def test_a_certificate_from_a_file_is_backed_up_with_its_key(
    cli: Cli, refreshed: Path, certificate: bytes, unchanged: Unchanged, form: str
) -> None:
    content = {
        "PEM": as_pem(certificate),
        "DER": certificate,
        "bundle": as_pem(CA, certificate),
    }[form]
    given = cli.file("given.cer", content)
    with unchanged(refreshed):
        result = cli.export(refreshed, "--certificate", given, "-o", "a", "--json")
    found = exported(result)["identity"]
    assert found["sha256"] == hashlib.sha256(certificate).hexdigest()
    assert found["profile"] == str(refreshed)
    assert found["key"]["present"]
    assert len(found["chain"]) == (1 if form == "bundle" else 0)
    assert "the file given" in result.stderr
    (verdict,) = cli.verify(cli.here / "a.pfx")
    assert verdict["ok"]
    assert verdict["identity"]["sha256"] == found["sha256"]


def test_a_certificate_without_its_key_is_22_and_named(
    cli: Cli, refreshed: Path, snapshot_of: SnapshotOf
) -> None:
    given = cli.file("given.pem", as_pem(issue(rsa_key(5), "Zoë Müller", WIPO, CA_KEY)))
    before = snapshot_of(cli.here)
    error = refused(cli.export(refreshed, "--certificate", given, "--json"), 22, "key-missing")
    assert "no profile holds the private key of `Zoë Müller`" in error["message"]
    assert "nssbackup doctor" in error["hint"]
    assert snapshot_of(cli.here) == before


def test_the_key_is_looked_for_in_every_profile(
    cli: Cli, profile: MakeProfile, certificate: bytes
) -> None:
    root = cli.home / ".mozilla" / "firefox"
    root.mkdir(parents=True)
    profile("ec-p256").rename(root / "a.default")
    profile("key-without-certificate").rename(root / "b.refreshed")
    given = cli.file("given.pem", as_pem(certificate))
    words = ("--certificate", given, "--password-file", cli.password_file(), *FAST, "--json")
    found = exported(cli.run("export", *words))["identity"]
    assert found["profile"] == str(root / "b.refreshed")


def test_what_lies_apart_is_listed_in_its_keys_profile(
    cli: Cli, profile: MakeProfile, certificate: bytes
) -> None:
    root = cli.home / ".mozilla" / "firefox"
    root.mkdir(parents=True)
    profile("key-without-certificate").rename(root / "a.refreshed")
    builder = StoreBuilder(root / "b.imported")
    builder.add_certificate(certificate, b"imported")
    builder.write()
    (row,) = exported(cli.run("list", "--json"))["identities"]
    assert row["profile"] == str(root / "a.refreshed")
    assert row["nickname"] == "imported"
    assert row["key"]["present"]
    shown = cli.run("list").stdout
    assert "a.refreshed" in shown
    assert "missing" not in shown
    result = cli.run("export", "--password-file", cli.password_file(), *FAST)
    assert result.status == 0
    assert f"the certificate from `{root / 'b.imported'}`" in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no certificate", "holds no certificate"),
        (b"", "holds no certificate"),
        ((FIXTURES / "keys" / "ec-p256-1.pem").read_bytes(), "holds a private key"),
        (b"\x00" * 2_000_000, "too large"),
    ],
)
def test_a_file_without_a_certificate_is_a_usage_error(
    cli: Cli, store: Path, content: bytes, said: str
) -> None:
    given = cli.file("given.pem", content)
    result = cli.export(store, "--certificate", given, "--json")
    assert said in refused(result, 2, "usage")["message"]
    assert names(cli.here) == []


def test_a_backup_given_as_certificate_is_said_to_be_one(cli: Cli, store: Path) -> None:
    assert cli.export(store, "-o", "a").status == 0
    result = cli.export(store, "--certificate", "a.pfx", "--json")
    error = refused(result, 2, "usage")
    assert "is a backup (PFX)" in error["message"]
    assert "nssbackup verify" in error["hint"]


def test_what_is_no_file_is_a_usage_error_and_no_wait(cli: Cli, store: Path) -> None:
    os.mkfifo(cli.here / "fifo")
    for given in ("fifo", "missing", ".", "/dev/zero"):
        refused(cli.export(store, "--certificate", given, "--json"), 2, "usage")


def test_a_certificate_from_a_file_and_cert_exclude_each_other(cli: Cli, store: Path) -> None:
    given = cli.file("given.pem", as_pem(CA))
    error = refused(cli.export(store, "Jane", "--certificate", given, "--json"), 2, "usage")
    assert "CERT" in error["message"]


# --- --eml


def attachments(file: Path) -> list[tuple[str | None, bytes]]:
    message = message_from_bytes(file.read_bytes(), policy=default)
    assert message.defects == []
    return [(part.get_filename(), part.get_content()) for part in message.iter_attachments()]


@pytest.mark.posix("it looks at file modes")
def test_a_message_carries_the_backup_that_was_verified(
    cli: Cli, store: Path, unchanged: Unchanged
) -> None:
    with unchanged(store):
        result = cli.export(
            *(store, "-o", "a", "--eml", "draft", "--mail-to", "jane@example.com", "--json"),
            *("--mail-to", "archive@example.com"),
        )
    found = exported(result)
    assert found["eml"] == "draft.eml"
    assert names(cli.here) == ["a.pfx", "draft.eml"]
    pfx = (cli.here / "a.pfx").read_bytes()
    assert attachments(cli.here / "draft.eml") == [("a.pfx", pfx)]
    assert hashlib.sha256(pfx).hexdigest() == found["sha256"]
    message = message_from_bytes((cli.here / "draft.eml").read_bytes(), policy=default)
    assert message["To"] == "jane@example.com, archive@example.com"
    assert message["X-Unsent"] == "1"
    assert (cli.here / "draft.eml").stat().st_mode & 0o7777 == 0o600
    saved = cli.file("saved.pfx", attachments(cli.here / "draft.eml")[0][1])
    assert cli.verify(saved)[0]["ok"]


def test_the_messages_path_comes_behind_the_backups(cli: Cli, store: Path) -> None:
    result = cli.export(store, "-o", "a", "--eml", "draft.eml", "--copy-to", cli.home)
    paths = (cli.here / "a.pfx", cli.home / "a.pfx", cli.here / "draft.eml")
    assert result.stdout.splitlines() == [str(path) for path in paths]
    assert "open it in a mail program" in result.stderr
    assert "eml" not in exported(cli.export(store, "-o", "b", "--json"))


def test_a_folder_gets_a_message_of_the_default_name(cli: Cli, store: Path) -> None:
    (cli.here / "mail").mkdir()
    assert cli.export(store, "--eml", "mail").status == 0
    assert names(cli.here / "mail") == [f"{STEM}.eml"]


def test_both_formats_are_attached(cli: Cli, store: Path) -> None:
    assert cli.export(store, "--for", "any", "-o", "a", "--eml", "a").status == 0
    assert attachments(cli.here / "a.eml") == [
        (file, (cli.here / file).read_bytes()) for file in ("a.pfx", "a.compatible.pfx")
    ]


def test_the_password_is_not_in_the_message(cli: Cli, store: Path) -> None:
    words = ("export", "--profile", store, *FAST, "-o", "a", "--eml", "a", "--json")
    password = exported(cli.run(*words, "--generate-password"))["password"]
    ((_, content),) = attachments(cli.here / "a.eml")
    data = (cli.here / "a.eml").read_bytes()
    message = message_from_bytes(data, policy=default)
    body = message.get_body(("plain",))
    assert body is not None
    for place in (data, content, body.get_content().encode()):
        for form in (password, password.replace("-", ""), password[:9]):
            assert form.encode() not in place
            assert form.encode("utf-16-be") not in place


def test_a_weak_password_is_refused_before_anything_is_written(
    cli: Cli, store: Path, snapshot_of: SnapshotOf
) -> None:
    before = snapshot_of(cli.here)
    result = cli.export(store, "-o", "a", "--eml", "a", "--json", password=WEAK)
    error = refused(result, 2, "weak-password")
    assert "--force" in error["hint"]
    assert WEAK not in result.stdout + result.stderr
    assert snapshot_of(cli.here) == before
    insisted = cli.export(store, "-o", "a", "--eml", "a", "--force", password=WEAK)
    assert insisted.status == 0
    assert "easy to guess" in insisted.stderr
    assert names(cli.here) == ["a.eml", "a.pfx"]


def test_a_weak_password_that_was_typed_is_refused_too(
    cli: Cli, store: Path, snapshot_of: SnapshotOf
) -> None:
    before = snapshot_of(cli.here)
    answers = [("New password for the backup", f"{WEAK}\n"), ("The same again", f"{WEAK}\n")]
    talk = cli.talk("export", "--profile", store, "--eml", "a", *FAST, answers=answers)
    assert talk.status == 2
    assert "too easy to guess" in talk.text
    assert snapshot_of(cli.here) == before


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--mail-to", "jane@example.com"), 2, "`--mail-to` needs `--eml`"),
        (("--eml", "a", "--mail-to", "jane"), 2, "`jane` is not a mail address"),
        (("--eml", "a", "--mail-to", "a@b\nBcc: c@d"), 2, "is not a mail address"),
        (("--eml", "taken"), 30, "`taken.eml` exists already"),
        (("--eml", "no/a"), 31, "the folder `no` does not exist"),
        (("--eml", "taken.eml/a"), 31, "`taken.eml` is not a folder"),
        (("--certificate", "missing"), 2, "`missing` can't be read"),
    ],
)
def test_nothing_is_asked_before_it_is_known_to_be_possible(
    cli: Cli,
    profile: MakeProfile,
    snapshot_of: SnapshotOf,
    words: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    (cli.here / "taken.eml").write_bytes(TAKEN)
    before = snapshot_of(cli.here)
    talk = cli.talk("export", "--profile", profile("nss387-password"), *words, answers=[])
    assert talk.status == status
    assert said in " ".join(talk.text.split())
    assert "password" not in talk.text.lower()
    assert snapshot_of(cli.here) == before


def test_force_replaces_a_message(cli: Cli, store: Path) -> None:
    (cli.here / "a.eml").write_bytes(TAKEN)
    result = cli.export(store, "-o", "a", "--eml", "a", "--json")
    assert "--eml" in refused(result, 30, "output-exists")["hint"]
    assert names(cli.here) == ["a.eml"]
    assert cli.export(store, "-o", "a", "--eml", "a", "--force").status == 0
    assert len(attachments(cli.here / "a.eml")) == 1


def test_a_backup_is_whole_even_if_its_message_fails(cli: Cli, profile: MakeProfile) -> None:
    """The folder of the message goes away after all checks."""
    mail = cli.here / "mail"
    mail.mkdir()
    fifo = cli.folder / "primary"
    os.mkfifo(fifo)
    words = ("export", "--profile", profile("nss387-password"), "-o", "a.pfx", *FAST)
    more = ("--password-file", cli.password_file(), "--eml", "mail/a")
    with cli.start(*words, *more, "--primary-password-file", fifo) as process:
        with fifo.open("wb") as primary:  # waits until it is read: the outputs have been checked
            mail.rmdir()
            primary.write(b"correct horse 7\n")
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 31, err
    assert "`a.pfx` was written and verified before this failed" in err.decode()
    assert out == b""
    assert cli.verify(cli.here / "a.pfx")[0]["ok"]


# --- --certificate-only


def openssl(*words: str | Path) -> str:
    return subprocess.run(
        ["openssl", *words], capture_output=True, text=True, check=True, timeout=LIMIT
    ).stdout


@pytest.mark.parametrize(
    "store",
    ["certificate-without-key", "firefox-nopassword", "nss387-password", "tripledes", "dsa"],
)
def test_the_certificate_alone_needs_no_key_and_no_password(
    cli: Cli, profile: MakeProfile, snapshot_of: SnapshotOf, store: str
) -> None:
    folder = profile(store)
    before = snapshot_of(folder)
    result = cli.run("export", "--profile", folder, "--certificate-only")
    assert result.status == 0, result.stderr
    assert result.stdout == f"{cli.here / STEM}.pem\n"
    assert "Wrote the certificate of Jane Doe" in result.stderr
    assert "private key is not in the file" in result.stderr
    assert snapshot_of(folder) == before
    file = cli.here / f"{STEM}.pem"
    blocks = file.read_text().split("-----BEGIN CERTIFICATE-----\n")[1:]
    assert len(blocks) == 3
    assert "KEY" not in file.read_text()
    shown = openssl("x509", "-in", file, "-noout", "-subject", "-nameopt", "multiline")
    assert "Jane Doe" in shown
    leaf = cli.file("leaf.pem", f"-----BEGIN CERTIFICATE-----\n{blocks[0]}")
    root = cli.file("root.pem", f"-----BEGIN CERTIFICATE-----\n{blocks[2]}")
    assert openssl("verify", "-CAfile", root, "-untrusted", file, leaf) == f"{leaf}: OK\n"


def test_the_document_is_that_of_an_export(cli: Cli, store: Path) -> None:
    result = cli.run("export", "--profile", store, "--certificate-only", "-o", "a", "--json")
    found = exported(result)
    data = (cli.here / "a.pem").read_bytes()
    assert {key: found[key] for key in found if key != "identity"} == {
        "output": "a.pem",
        "copies": [],
        "format": "pem",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "verified": True,
    }
    ders = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(data)]
    assert hashlib.sha256(ders[0]).hexdigest() == found["identity"]["sha256"]
    assert len(ders) == 1 + len(found["identity"]["chain"])


@pytest.mark.parametrize(
    ("given", "written"),
    [
        *(("a", "a.pem"), ("a.pem", "a.pem"), ("a.crt", "a.crt"), ("a.CER", "a.CER")),
        *(("a.pfx", "a.pfx.pem"), ("a.der", "a.der.pem"), ("./", f"{STEM}.pem")),
    ],
)
def test_pem_is_added_where_the_ending_is_another(
    cli: Cli, store: Path, given: str, written: str
) -> None:
    words = ("export", "--profile", store, "--certificate-only", "-o", given)
    assert cli.run(*words).status == 0
    assert names(cli.here) == [written]


def test_a_certificate_alone_is_never_written_over_another_file(
    cli: Cli, store: Path, snapshot_of: SnapshotOf
) -> None:
    (cli.here / "a.pem").write_bytes(TAKEN)
    before = snapshot_of(cli.here)
    words = ("export", "--profile", store, "--certificate-only", "-o", "a")
    assert cli.run(*words).status == 30
    assert snapshot_of(cli.here) == before
    assert cli.run(*words, "--force").status == 0
    assert (cli.here / "a.pem").read_bytes() != TAKEN


def test_copies_and_a_missing_chain_are_as_in_a_backup(cli: Cli, store: Path) -> None:
    words = ("export", "--profile", store, "--certificate-only", "-o", "a", "--no-chain")
    result = cli.run(*words, "--copy-to", cli.home)
    assert result.stdout.splitlines() == [str(cli.here / "a.pem"), str(cli.home / "a.pem")]
    assert (cli.here / "a.pem").read_bytes() == (cli.home / "a.pem").read_bytes()
    assert (cli.here / "a.pem").read_text().count("BEGIN CERTIFICATE") == 1


def test_a_copy_that_fails_leaves_the_certificate_and_says_so(
    cli: Cli, store: Path, snapshot_of: SnapshotOf
) -> None:
    (cli.home / "a.pem").write_bytes(TAKEN)
    before = snapshot_of(cli.here), snapshot_of(cli.home)
    words = ("export", "--profile", store, "--certificate-only", "-o", "a", "--copy-to", cli.home)
    assert cli.run(*words).status == 30
    assert (snapshot_of(cli.here), snapshot_of(cli.home)) == before


def test_a_certificate_of_a_file_gets_its_chain_of_profiles(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("certificate-without-key")
    words = ("export", "--profile", folder, "--certificate-only")
    assert cli.run(*words, "--no-chain", "-o", "bare").status == 0
    assert cli.run(*words, "--certificate", "bare.pem", "-o", "whole").status == 0
    assert (cli.here / "whole.pem").read_text().count("BEGIN CERTIFICATE") == 3


@pytest.mark.parametrize(
    ("store_", "words", "status"),
    [
        ("two-people", (), 21),
        ("two-people", ("nobody",), 20),
        ("foreign-only", (), 20),
        ("key-without-certificate", (), 20),
        ("two-people", ("Zoë",), 0),
        ("foreign-only", ("Jane Doe",), 0),
        ("renewed", (), 0),
        ("expired", (), 0),
    ],
)
def test_which_certificate_is_chosen_as_for_a_backup(
    cli: Cli, profile: MakeProfile, store_: str, words: tuple[str, ...], status: int
) -> None:
    result = cli.run("export", "--profile", profile(store_), "--certificate-only", *words)
    assert result.status == status, result.stderr
    assert len(names(cli.here)) == (status == 0)


@pytest.mark.parametrize(
    "words",
    [
        *(("--for", "any"), ("--format", "modern"), ("--kdf-rounds", "2048"), ("--eml", "a")),
        *(("--eml", "a", "--mail-to", "a@b.c"), ("--name", "Jane"), ("--generate-password",)),
        *(("--password-file", "p"), ("--primary-password-file", "p")),
    ],
)
def test_key_options_do_not_go_with_a_certificate_alone(
    cli: Cli, store: Path, words: tuple[str, ...]
) -> None:
    result = cli.run("export", "--profile", store, "--certificate-only", "--json", *words)
    message = refused(result, 2, "usage")["message"]
    assert message == f"`--certificate-only` and `{words[0]}` exclude each other"
    assert names(cli.here) == []
