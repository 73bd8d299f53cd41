"""Fixtures: identities, formats, passwords, and PFX files put together by hand."""

from __future__ import annotations

import pytest
from cryptography.hazmat import asn1

from nssbackup.pkcs12 import COMPATIBLE, MODERN, Format, structure
from nssbackup.secret import Secret
from tests.unit.pkcs12.identities import (
    KEYS,
    Assemble,
    Case,
    ClearBags,
    authenticated,
    case_of,
    certificate_bag,
    key_bag,
)


@pytest.fixture(params=KEYS)
def each_case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


@pytest.fixture
def case() -> Case:
    return case_of("p-256")


@pytest.fixture
def other_case() -> Case:
    return case_of("p-384")


@pytest.fixture
def rsa_case() -> Case:
    return case_of("rsa-2048")


@pytest.fixture(params=[MODERN, COMPATIBLE], ids=lambda each: each.name)
def each_format(request: pytest.FixtureRequest) -> Format:
    chosen: Format = request.param
    return chosen


@pytest.fixture(
    params=["correct horse", "Pässwörd", "パスワード日本", "horse😀battery"],
    ids=["ascii", "umlaut", "cjk", "emoji"],
)
def each_password(request: pytest.FixtureRequest) -> Secret:
    return Secret(request.param)


@pytest.fixture(scope="session")
def assemble() -> Assemble:
    """A PFX of these safes, MACed with `password` (one round), or without a MAC for None."""

    def build(
        *safes: structure.ContentInfo,
        password: str | None = "pw",  # noqa: S107 - made for the purpose
    ) -> bytes:
        content = structure.encode_contents(list(safes))
        secret = None if password is None else Secret(password)
        return asn1.encode_der(authenticated(content, secret))

    return build


@pytest.fixture(scope="session")
def clear_bags() -> ClearBags:
    """A safe in the clear: of certificates (DER) and keys (PKCS#8 DER)."""

    def build(
        *, certificates: tuple[bytes, ...] = (), keys: tuple[bytes, ...] = ()
    ) -> structure.ContentInfo:
        bags = [certificate_bag(der) for der in certificates] + [key_bag(der) for der in keys]
        return structure.data_info(structure.encode_bags(bags))

    return build
