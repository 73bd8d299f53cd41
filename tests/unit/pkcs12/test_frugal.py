"""A frugal file: one derivation for key and certificates where the format allows it."""

from __future__ import annotations

import threading

import pytest

from nssbackup.pkcs12 import COMPATIBLE, MODERN, Format, PfxWriters, open_pfx, safes
from nssbackup.pkcs12.kdf import Pbkdf2
from nssbackup.pkcs12.protection import Pbes1, Pbes2
from nssbackup.secret import Secret
from tests.unit.pkcs12.identities import Case, case_of

PASSWORD = Secret("Pässwörd 日本")


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of("p-256")


def encoded(case: Case, format_: Format, rounds: int = 2_048) -> bytes:
    pfx_writers = PfxWriters.start(PASSWORD, [format_], rounds, frugal=True)
    return pfx_writers.by_format[format_].encode(case.identity, case.key)


def encryptions(data: bytes) -> list[object]:
    certificates, key = safes.parse(data).safes
    assert isinstance(certificates, safes.EncryptedSafe)
    assert isinstance(key, safes.ClearSafe)
    assert isinstance(key.bags[0], safes.KeyBag)
    return [certificates.encryption, key.bags[0].encryption]


@pytest.mark.parametrize("format_", [MODERN, COMPATIBLE], ids=lambda each: each.name)
def test_it_holds_the_same(case: Case, format_: Format) -> None:
    contents = open_pfx(encoded(case, format_), PASSWORD)
    assert contents.key == case.key
    assert [each.certificate.der for each in contents.certificates] == [
        case.identity.certificate.der,
        *(each.der for each in case.identity.chain),
    ]


def test_salt_and_rounds_are_shared_and_never_the_iv(case: Case) -> None:
    one, other = encryptions(encoded(case, MODERN))
    assert isinstance(one, Pbes2)
    assert isinstance(other, Pbes2)
    assert one.kdf == other.kdf
    assert one.iv != other.iv
    # Another file has another.
    (third, _) = encryptions(encoded(case, MODERN))
    assert isinstance(third, Pbes2)
    assert third.kdf.salt != one.kdf.salt


def test_the_older_scheme_shares_nothing(case: Case) -> None:
    one, other = encryptions(encoded(case, COMPATIBLE))
    assert isinstance(one, Pbes1)
    assert isinstance(other, Pbes1)
    assert one.salt != other.salt


def test_it_is_derived_once_to_write_and_once_to_read(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[str] = []
    derive = Pbkdf2.derive

    def counted(self: Pbkdf2, password: bytes) -> bytes:
        derived.append(threading.current_thread().name)
        return derive(self, password)

    monkeypatch.setattr(Pbkdf2, "derive", counted)
    data = encoded(case, MODERN)
    assert len(derived) == 1
    open_pfx(data, PASSWORD)
    assert len(derived) == 2
    # What is short is done at once; a thread would cost more.
    assert set(derived) == {threading.current_thread().name}
    encoded(case, MODERN, rounds=100_000)
    assert derived[-1].startswith("nssbackup-write")
