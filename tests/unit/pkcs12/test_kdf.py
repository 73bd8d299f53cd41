"""The PKCS#12 KDF: published vectors, and OpenSSL's against the loop in Python."""

from __future__ import annotations

import ctypes
import pickle
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssbackup.errors import DamagedBackupError, UnsupportedBackupError, UsageError
from nssbackup.pkcs12 import kdf
from nssbackup.pkcs12.kdf import Hash, Pbkdf2, Pkcs12Kdf
from nssbackup.secret import Secret

VECTORS = [
    pytest.param(
        *("passw0rd", b"0123456789abcdef", rounds, kdf.MAC, "sha256", expected),
        id=f"sha256-{rounds}",
    )
    for rounds, expected in (
        (1, "97c859d2ab46edb8def5f29b98825f5c8da6989672bea5df77c4a897a2f91518"),
        (2048, "4892759014bb9d92d1310d300062237e7cf8c5e639f5fb5195143817ad861f92"),
        (600_000, "dd1cf6a01460619f908e2c50dbee980b5da228ffb00d1311c071d90419ce7336"),
    )
] + [
    pytest.param(
        "Pässwörd",
        bytes(range(1, 9)),
        2048,
        kdf.KEY,
        "sha1",
        "4b38ee627125598ca1d3483e44521826bbe898e1bce9ecc7",
        id="sha1-two-blocks",
    )
]


@pytest.mark.parametrize("python", [False, True], ids=["chosen", "python"])
@pytest.mark.parametrize(
    ("password", "salt", "rounds", "purpose", "hash_name", "expected"), VECTORS
)
def test_vectors(
    password: str,
    salt: bytes,
    rounds: int,
    purpose: kdf.Purpose,
    hash_name: Hash,
    expected: str,
    *,
    python: bool,
) -> None:
    derivation = Pkcs12Kdf(salt, rounds, hash_name, purpose, len(expected) // 2)
    encoded = kdf.encoded(Secret(password))
    if python:
        derived = kdf.derive_in_python(derivation, encoded.bmp)
    else:
        derived = derivation.derive(encoded.bmp)
    assert derived.hex() == expected


@settings(max_examples=300, deadline=None)
@given(
    password=st.text(st.characters(exclude_categories=["Cs"])),
    salt=st.binary(min_size=1, max_size=150),
    rounds=st.integers(1, 50),
    purpose=st.sampled_from([kdf.KEY, kdf.IV, kdf.MAC]),
    length=st.integers(1, 200),
    hash_name=st.sampled_from(kdf.HASHES),
)
def test_openssl_and_python_give_the_same_bytes(
    password: str, salt: bytes, rounds: int, purpose: kdf.Purpose, length: int, hash_name: Hash
) -> None:
    derivation = Pkcs12Kdf(salt, rounds, hash_name, purpose, length)
    for encoded in kdf.encodings(Secret(password)):
        expected = kdf.derive_in_python(derivation, encoded.bmp)
        assert openssl()(derivation, encoded.bmp) == expected


def openssl() -> Callable[[Pkcs12Kdf, bytes], bytes | None]:
    found = kdf._openssl()  # noqa: SLF001 - there OpenSSL is looked for
    return found or pytest.skip("this Python gives no way to OpenSSL's PKCS12_key_gen_uni")


@pytest.mark.posix("no program of Windows is linked with a DLL's DLL")
def test_openssl_is_used_where_python_is_linked_with_it() -> None:
    library = ctypes.CDLL(pytest.importorskip("_hashlib").__file__)
    used = kdf._openssl() is not None  # noqa: SLF001 - there OpenSSL is looked for
    assert used == hasattr(library, "PKCS12_key_gen_uni")


@pytest.mark.parametrize("broken", [lambda: None, lambda: lambda *_: None], ids=["none", "fails"])
def test_without_openssl_the_loop_answers(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[], object]
) -> None:
    monkeypatch.setattr(kdf, "_openssl", broken)
    derivation = Pkcs12Kdf(b"0123456789abcdef", 1, "sha256", kdf.MAC, 32)
    derived = derivation.derive(kdf.encoded(Secret("passw0rd")).bmp)
    assert derived.hex() == "97c859d2ab46edb8def5f29b98825f5c8da6989672bea5df77c4a897a2f91518"


@pytest.mark.parametrize("failure", [OSError, ImportError, AttributeError])
def test_a_library_that_cannot_be_loaded_is_no_error(
    monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    def refuse() -> NoReturn:
        raise failure

    monkeypatch.setattr(kdf, "_libcrypto", refuse)
    assert kdf._openssl.__wrapped__() is None  # noqa: SLF001 - there OpenSSL is looked for


def test_openssl_refusing_is_seen_as_none() -> None:
    # It refuses to derive from nothing at all, as it refuses everything in FIPS mode.
    nothing = Pkcs12Kdf(b"", 1, "sha1", kdf.KEY, 24)
    assert openssl()(nothing, b"") is None
    assert len(nothing.derive(b"")) == 24


def test_encodings() -> None:
    encoded = kdf.encoded(Secret("aä😀"))
    assert encoded.bmp.hex() == "006100e4d83dde000000"
    assert encoded.octets == "aä😀".encode()
    assert [each.bmp for each in kdf.encodings(Secret(""))] == [b"\0\0", b""]
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(encoded)


def test_half_a_character_is_an_error_that_does_not_quote_it() -> None:
    with pytest.raises(UsageError) as caught:
        kdf.encoded(Secret("geheim\ud83d"))
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_bounds_of_derivations() -> None:
    kdf.check_parameters(bytes(1024), 1)
    kdf.check_parameters(b"", kdf.ROUNDS)
    for salt, rounds in ((bytes(1025), 1), (b"", 0)):
        with pytest.raises(DamagedBackupError, match="impossible"):
            kdf.check_parameters(salt, rounds)
    with pytest.raises(UnsupportedBackupError, match=f"more than {kdf.ROUNDS:,} rounds"):
        kdf.check_parameters(b"", kdf.ROUNDS + 1)
    budget = kdf.RoundBudget()
    budget.spend(1)
    budget.spend(kdf.ROUNDS_IN_ALL - 1)
    with pytest.raises(UnsupportedBackupError, match=f"more than {kdf.ROUNDS_IN_ALL:,} rounds"):
        budget.spend(1)


def test_what_waits_is_dropped_when_the_password_is_wrong() -> None:
    derivations = kdf.Derivations("test-derivations")
    encoded = kdf.encoded(Secret("pw"))
    kdfs = [Pbkdf2(bytes([n]), 400_000, "sha256", 32) for n in range(6)]
    derivations.start(kdfs, encoded)
    derivations.finish(cancel=True)
    with pytest.raises(CancelledError):
        derivations.result(kdfs[-1:], encoded)
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(derivations)
