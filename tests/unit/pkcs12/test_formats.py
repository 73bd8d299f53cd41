"""Formats and destinations are those of the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from nssbackup.errors import UsageError
from nssbackup.pkcs12 import (
    COMPATIBLE,
    DESTINATIONS,
    FORMATS,
    MODERN,
    checked_rounds,
    destination_named,
    format_named,
    password_warnings,
)
from nssbackup.secret import Secret


def test_the_destinations_of_the_contract() -> None:
    modern = {"windows", "firefox", "openssl", "java", "dotnet"}
    compatible = {"windows-old", "macos", "ios", "java-old", "pct-safe"}
    assert {name: each.formats for name, each in DESTINATIONS.items()} == (
        dict.fromkeys(modern, (MODERN,))
        | dict.fromkeys(compatible, (COMPATIBLE,))
        | {"any": (MODERN, COMPATIBLE)}
    )
    assert {name for name, each in DESTINATIONS.items() if each.rounds != 600_000} == {"dotnet"}
    assert DESTINATIONS["dotnet"].rounds == 300_000


def test_names_lead_to_values() -> None:
    assert all(format_named(name) is each for name, each in FORMATS.items())
    assert all(destination_named(name) is each for name, each in DESTINATIONS.items())


@pytest.mark.parametrize(
    ("look_up", "noun", "known"),
    [(format_named, "format", FORMATS), (destination_named, "destination", DESTINATIONS)],
)
def test_an_unknown_name_is_answered_with_the_known_ones(
    look_up: Callable[[str], object], noun: str, known: Mapping[str, object]
) -> None:
    with pytest.raises(UsageError) as caught:
        look_up("moderne")
    assert caught.value.message == f"there is no {noun} `moderne`"
    assert caught.value.hint == f"the {noun}s are {', '.join(known)}"


def test_rounds_in_range() -> None:
    assert checked_rounds(None) == 600_000
    assert [checked_rounds(each) for each in (2048, 600_000)] == [2048, 600_000]


@pytest.mark.parametrize("rounds", [-1, 0, 2047, 600_001])
def test_rounds_out_of_range(rounds: int) -> None:
    with pytest.raises(UsageError) as caught:
        checked_rounds(rounds)
    assert caught.value.message == f"{rounds:,} rounds are not between 2,048 and 600,000"


@pytest.mark.parametrize(
    ("destination", "password", "warned"),
    [
        (None, "Pässwörd", False),
        ("java", "Pässwörd", True),
        ("java", "Password", False),
        ("windows", "Pässwörd", False),
        ("java-old", "Pässwörd", True),
        ("any", "Pässwörd", True),
        ("any", "Password", False),
    ],
)
def test_password_warnings(destination: str | None, password: str, warned: bool) -> None:
    chosen = None if destination is None else destination_named(destination)
    assert bool(password_warnings(chosen, Secret(password))) is warned
