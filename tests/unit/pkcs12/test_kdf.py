"""The PKCS#12 KDF: published vectors, and OpenSSL's against the loop in Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssbackup.errors import UsageError
from nssbackup.pkcs12 import kdf
from nssbackup.pkcs12.kdf import Hash
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


@pytest.mark.parametrize("derive", [kdf.derive, kdf.derive_with_hashlib], ids=["chosen", "hashlib"])
@pytest.mark.parametrize(
    ("password", "salt", "rounds", "purpose", "hash_name", "expected"), VECTORS
)
def test_vectors(
    derive: Callable[..., bytes],
    password: str,
    salt: bytes,
    rounds: int,
    purpose: kdf.Purpose,
    hash_name: Hash,
    expected: str,
) -> None:
    derived = derive(
        kdf.bmp(Secret(password)),
        salt,
        rounds,
        purpose=purpose,
        length=len(expected) // 2,
        hash_name=hash_name,
    )
    assert derived.hex() == expected


@settings(max_examples=300, deadline=None)
@given(
    password=st.text(st.characters(exclude_categories=["Cs"])).map(Secret).map(kdf.bmp)
    | st.just(b""),
    salt=st.binary(min_size=1, max_size=150),
    rounds=st.integers(1, 50),
    purpose=st.sampled_from([kdf.KEY, kdf.IV, kdf.MAC]),
    length=st.integers(1, 200),
    hash_name=st.sampled_from(kdf.HASHES),
)
def test_openssl_and_hashlib_give_the_same_bytes(
    password: bytes, salt: bytes, rounds: int, purpose: kdf.Purpose, length: int, hash_name: Hash
) -> None:
    with_openssl = kdf._openssl()  # noqa: SLF001 - the way to OpenSSL is chosen in there
    if with_openssl is None:
        pytest.skip("this Python gives no way to OpenSSL's PKCS12_key_gen_uni")
    chosen = with_openssl(password, salt, rounds, purpose, length, hash_name)
    assert chosen == kdf.derive_with_hashlib(
        password, salt, rounds, purpose=purpose, length=length, hash_name=hash_name
    )


def test_openssl_is_used_where_python_is_linked_with_it() -> None:
    library = ctypes.CDLL(pytest.importorskip("_hashlib").__file__)
    used = kdf._openssl() is not None  # noqa: SLF001 - the way to OpenSSL is chosen in there
    assert used == hasattr(library, "PKCS12_key_gen_uni")


@pytest.mark.parametrize("broken", [lambda: None, lambda: lambda *_: None], ids=["none", "fails"])
def test_without_openssl_the_loop_answers(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[], object]
) -> None:
    monkeypatch.setattr(kdf, "_openssl", broken)
    derived = kdf.derive(
        kdf.bmp(Secret("passw0rd")),
        b"0123456789abcdef",
        1,
        purpose=kdf.MAC,
        length=32,
        hash_name="sha256",
    )
    assert derived.hex() == "97c859d2ab46edb8def5f29b98825f5c8da6989672bea5df77c4a897a2f91518"


@pytest.mark.parametrize("failure", [OSError, ImportError, AttributeError])
def test_a_library_that_cannot_be_loaded_is_no_error(
    monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    def refuse() -> NoReturn:
        raise failure

    monkeypatch.setattr(kdf, "_libcrypto", refuse)
    assert kdf._openssl.__wrapped__() is None  # noqa: SLF001 - the way to OpenSSL is chosen in there


def test_openssl_refusing_is_seen_as_none() -> None:
    with_openssl = kdf._openssl()  # noqa: SLF001 - the way to OpenSSL is chosen in there
    if with_openssl is None:
        pytest.skip("this Python gives no way to OpenSSL's PKCS12_key_gen_uni")
    # It refuses to derive from nothing at all, as it refuses everything in FIPS mode.
    assert with_openssl(b"", b"", 1, kdf.KEY, 24, "sha1") is None
    derived = kdf.derive(b"", b"", 1, purpose=kdf.KEY, length=24, hash_name="sha1")
    assert len(derived) == 24


def test_bmp_form() -> None:
    assert kdf.bmp(Secret("aä😀")).hex() == "006100e4d83dde000000"
    assert kdf.bmp_forms(Secret("")) == (b"\0\0", b"")


@pytest.mark.parametrize("encode", [kdf.bmp, kdf.utf8])
def test_half_a_character_is_a_usage_error_that_does_not_quote_it(
    encode: Callable[[Secret], bytes],
) -> None:
    with pytest.raises(UsageError) as caught:
        encode(Secret("geheim\ud83d"))
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None
