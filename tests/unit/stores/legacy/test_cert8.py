"""cert8.db: certificates, what the store says of them, and the files of the largest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from nssbackup.secret import Secret
from nssbackup.stores.legacy.store import LegacyStore
from tests.builders.legacy import (
    USER,
    LegacyBuilder,
    certificate_key,
    certificate_record,
    elsewhere_record,
)
from tests.builders.store import (
    issue,
    octets,
)
from tests.conftest import Unchanged
from tests.unit.stores.legacy.legacy_stores import (
    EC,
    EC_DER,
    RSA,
    RSA_DER,
    make_dangling,
    make_fifo,
    make_folder,
    make_loop,
    only,
    opened,
)
from tests.unit.stores.native.stores import pkcs8


@pytest.fixture
def builder(tmp_path: Path) -> LegacyBuilder:
    return LegacyBuilder(tmp_path / "profile")


@pytest.fixture
def store(builder: LegacyBuilder) -> LegacyBuilder:
    """A store with an RSA identity and no password."""
    builder.add_identity(RSA, RSA_DER)
    return builder


def test_what_the_store_says_of_a_certificate_comes_with_it(builder: LegacyBuilder) -> None:
    nickname = "Zoë 😀".encode() + b"\xff"
    builder.add_certificate(EC_DER, nickname, ssl=0x98, email=0x3, code=0x1)
    certificate = only(builder)
    assert certificate.der == EC_DER
    assert certificate.nickname == "Zoë 😀\udcff"
    assert dict(certificate.trust) == {
        "server": "trusted-ca",
        "client": "trusted-ca",
        "email": "trusted",
        "code": "not-trusted",
    }


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (0x00, "unknown"),
        (USER, "unknown"),
        (0x01, "not-trusted"),
        (0x02, "trusted"),
        (0x03, "trusted"),
        (0x08, "unknown"),
        (0x10, "trusted-ca"),
        (0x18, "trusted-ca"),
        (0x400, "must-verify"),
        (0x800, "unknown"),
        (0x401, "must-verify"),
    ],
)
def test_flags_become_the_words_of_nss(builder: LegacyBuilder, flags: int, word: str) -> None:
    builder.add_certificate(RSA_DER, ssl=flags, email=flags)
    trust = dict(only(builder).trust)
    assert (trust["server"], trust["email"]) == (word, word)
    # Servers' flags say nothing about clients, but for one.
    assert trust["client"] == trust["code"] == "unknown"


def test_nothing_is_said_of_a_certificate_without_trust(builder: LegacyBuilder) -> None:
    builder.add_certificate(RSA_DER, ssl=0x800 | USER, email=0x800, code=0x800)
    assert only(builder).trust == ()


@pytest.mark.parametrize(
    ("nickname", "expected"),
    [
        (b"", None),
        (b"\0", None),
        (b"a\0b", "a"),
        (b"x" * 3000, "x" * 3000),
        (b"..", ".."),
        (b"\x1b[31m", "\x1b[31m"),
    ],
)
def test_nicknames_end_at_the_first_zero(
    builder: LegacyBuilder, nickname: bytes, expected: str | None
) -> None:
    builder.add_certificate(RSA_DER, nickname)
    assert only(builder).nickname == expected


def test_a_nickname_may_lack_its_zero(builder: LegacyBuilder) -> None:
    record = certificate_record(RSA_DER, b"Jane Doe")
    header = record[: 3 + 8] + (8).to_bytes(2, "big")
    builder.certificates[certificate_key(RSA_DER)] = header + record[13:-1]
    assert only(builder).nickname == "Jane Doe"


ADDRESSES = [
    x509.SubjectAlternativeName([x509.RFC822Name("San@Example.com"), x509.RFC822Name("b@b.b")])
]


def _subject(*addresses: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    parts = [(NameOID.COMMON_NAME, "Jane"), *addresses]
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])


MAIL = x509.ObjectIdentifier("0.9.2342.19200300.100.1.3")


@pytest.mark.parametrize(
    ("subject", "extensions", "expected"),
    [
        (_subject(), [], None),
        (_subject(), ADDRESSES, "san@example.com"),
        (_subject((NameOID.EMAIL_ADDRESS, "DN@Example.com")), [], "dn@example.com"),
        (_subject((NameOID.EMAIL_ADDRESS, "DN@Example.com")), ADDRESSES, "dn@example.com"),
        (_subject((MAIL, "Mail@Example.com")), ADDRESSES, "mail@example.com"),
        (
            _subject((MAIL, "mail@example.com"), (NameOID.EMAIL_ADDRESS, "dn@example.com")),
            [],
            "mail@example.com",
        ),
    ],
)
def test_the_address_is_the_one_that_nss_shows(
    builder: LegacyBuilder,
    subject: x509.Name,
    extensions: list[x509.ExtensionType],
    expected: str | None,
) -> None:
    """The peers' tests compare it with that of the migrated store."""
    builder.add_certificate(issue(EC, subject, extensions=extensions))
    assert only(builder).email == expected


@pytest.mark.parametrize("size", [20_000, 65_535, 65_536, 70_000, 140_000])
def test_lengths_of_more_than_16_bits_are_put_together(builder: LegacyBuilder, size: int) -> None:
    builder.page_size = 16384
    der = _of_size(size)
    builder.add_certificate(der, b"large")
    assert (only(builder).der, only(builder).nickname) == (der, "large")


def _of_size(size: int) -> bytes:
    """A certificate with a comment that makes it about so long."""
    comment = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.16.840.1.113730.1.13"), octets(bytes(size - 400))
    )
    der = issue(EC, extensions=[comment])
    assert size - 200 < len(der) < size + 200
    return der


def test_a_certificate_that_is_there_twice_is_one(store: LegacyBuilder) -> None:
    store.certificates[b"\1another key"] = certificate_record(RSA_DER, b"again")
    found = opened(store)
    assert (len(found.certificates()), found.notes()) == (1, ())


def test_records_of_the_version_before_are_read(builder: LegacyBuilder) -> None:
    record = certificate_record(RSA_DER, version=7)
    builder.certificates[certificate_key(RSA_DER)] = record
    assert only(builder).der == RSA_DER


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"", "too short"),
        (bytes(12), "too short"),
        (certificate_record(RSA_DER, version=5), "another version"),
        (bytes([8, 2]) + certificate_record(RSA_DER)[2:], "another version"),
        (certificate_record(RSA_DER)[:-1], "lengths"),
        (certificate_record(RSA_DER) + b"\0", "lengths"),
        (certificate_record(RSA_DER)[:13] + bytes(20), "lengths"),
        (certificate_record(b"")[:9] + b"\xff\xff\0\x65" + bytes(100), "lengths"),
        (certificate_record(RSA_DER[:-1]), "not X.509"),
        (certificate_record(b""), "not X.509"),
        (certificate_record(b"no certificate"), "not X.509"),
    ],
    ids=[
        *("empty", "zeros", "version 5", "type", "short", "long", "a piece of a certificate"),
        "65,536 bytes less than said",
        *("certificate cut", "no certificate", "text"),
    ],
)
def test_one_broken_certificate_is_a_note_and_not_the_end(
    builder: LegacyBuilder, record: bytes, message: str
) -> None:
    builder.add_identity(EC, EC_DER)
    builder.certificates[b"\1broken"] = record
    found = opened(builder)
    (note,) = found.notes()
    assert note.startswith("a certificate was skipped: ")
    assert message in note
    found.unlock(Secret(""))
    (certificate,) = found.certificates()
    assert found.private_key(certificate).pkcs8 == pkcs8(EC)


def test_many_broken_certificates_of_one_kind_are_one_note(builder: LegacyBuilder) -> None:
    builder.add_certificate(EC_DER)
    for number in range(1200):
        builder.certificates[b"\1%d" % number] = b"\x08\x01\0"
    builder.certificates[b"\1x"] = certificate_record(b"")
    found = opened(builder)
    assert len(found.certificates()) == 1
    notes = sorted(found.notes())
    assert len(notes) == 2
    assert notes[0].startswith("1,200 certificates were skipped: its record")


def test_other_records_are_no_certificates(store: LegacyBuilder) -> None:
    others = {bytes([kind]) + b"anything": b"\x08" + bytes([kind]) for kind in range(256)}
    del others[b"\1anything"]
    store.certificates.update(others)
    found = opened(store)
    assert (len(found.certificates()), found.notes()) == (1, ())


# --- certificates in a file of their own


@pytest.fixture
def large(builder: LegacyBuilder) -> tuple[LegacyBuilder, Path]:
    """A store with a small certificate and one of 20 kB, and the file that holds the latter."""
    builder.add_certificate(RSA_DER)
    return builder, builder.add_elsewhere(_of_size(20_000), b"large")


def test_a_certificate_in_a_file_of_its_own_is_read(
    large: tuple[LegacyBuilder, Path], unchanged: Unchanged
) -> None:
    builder, path = large
    folder = builder.write()
    with unchanged(folder), unchanged(path.parent):
        found = LegacyStore.read(folder)
    assert found is not None
    assert {c.nickname: len(c.der) > 19_000 for c in found.certificates()} == {
        "Jane Doe": False,
        "large": True,
    }
    assert found.notes() == ()


def note_of(large: tuple[LegacyBuilder, Path]) -> str:
    """The one note of a store whose small certificate is still there."""
    found = opened(large[0])
    assert [c.der for c in found.certificates()] == [RSA_DER]
    (note,) = found.notes()
    return note


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _long(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _huge(path: Path) -> None:
    os.truncate(path, 2**40)


@pytest.mark.parametrize("change", [_empty, _short, _long], ids=lambda change: change.__name__)
def test_a_file_of_another_length_is_noted(
    large: tuple[LegacyBuilder, Path], change: Callable[[Path], None]
) -> None:
    change(large[1])
    assert "has the wrong length" in note_of(large)


def test_a_sparse_monster_is_not_read(large: tuple[LegacyBuilder, Path]) -> None:
    _huge(large[1])
    assert "too large" in note_of(large)


def test_a_file_larger_than_any_certificate_is_not_read(
    large: tuple[LegacyBuilder, Path],
) -> None:
    """Although it is as large as its record says."""
    builder, path = large
    key, size = certificate_key(_der_in(path)), 1024 * 1024 + 1
    os.truncate(path, size)
    builder.certificates[key] = elsewhere_record(key, size)
    assert "too large" in note_of(large)


def _remove(path: Path) -> None:
    path.unlink()


def _remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("change", [_remove, _remove_folder], ids=lambda change: change.__name__)
def test_a_missing_file_is_noted(
    large: tuple[LegacyBuilder, Path], change: Callable[[Path], None]
) -> None:
    change(large[1])
    note = note_of(large)
    assert large[1].name in note


def _folder_is_a_file(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_bytes(b"")


@pytest.mark.parametrize(
    "change",
    [make_dangling, make_folder, make_fifo, _folder_is_a_file, make_loop],
    ids=lambda change: change.__name__,
)
def test_what_is_no_file_is_noted_and_never_waited_for(
    large: tuple[LegacyBuilder, Path], change: Callable[[Path], None]
) -> None:
    change(large[1])
    assert "cert8.dir" in note_of(large)


def test_another_certificates_file_is_noted(large: tuple[LegacyBuilder, Path]) -> None:
    length = large[1].stat().st_size
    large[1].write_bytes(bytes(length))
    assert "another version" in note_of(large)


@pytest.mark.parametrize(
    "stored",
    [
        *(b"../cert8.db", b"../../../../etc/passwd", b"/etc/passwd", b"..", b".", b"x"),
        *(b"C:\\secret", b"\\\\server\\share", b"a" * 400, b"\0"),
    ],
)
def test_a_name_of_the_databases_own_choosing_is_never_opened(
    large: tuple[LegacyBuilder, Path], stored: bytes
) -> None:
    builder, path = large
    key = certificate_key(_der_in(path))
    builder.certificates[key] = elsewhere_record(key, path.stat().st_size, stored)
    assert "names the wrong file" in note_of(large)


def _der_in(path: Path) -> bytes:
    record = path.read_bytes()
    return record[13 : -len(b"large\0")]


def test_a_record_that_is_cut_before_its_name_is_noted(large: tuple[LegacyBuilder, Path]) -> None:
    builder, path = large
    key = certificate_key(_der_in(path))
    for size in (2, 4, 7, 8, 20):
        builder.certificates[key] = elsewhere_record(key, path.stat().st_size)[:size]
        assert "names the wrong file" in note_of(large)


def test_only_so_much_is_read_from_such_files(tmp_path: Path) -> None:
    """The files may be links to one and the same, as many as there are records."""
    builder = LegacyBuilder(tmp_path / "profile")
    builder.add_certificate(RSA_DER)
    size = 1_000_000  # eight of them leave room for the certificate, which may be read last
    (tmp_path / "one").write_bytes(bytes(size))
    (builder.folder / "cert8.dir").mkdir(parents=True)
    for number in range(100):
        key = b"\1%d" % number
        builder.certificates[key] = elsewhere_record(key, size)
        link = elsewhere_record(key, size)[8:-1].decode()
        (builder.folder / "cert8.dir" / link).symlink_to(tmp_path / "one")
    found = opened(builder)
    assert sorted(found.notes()) == [
        "8 certificates were skipped: its record is of another version or too short",
        "92 certificates were skipped: it is too large, alone or with the others",
    ]
