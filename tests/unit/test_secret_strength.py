from __future__ import annotations

import pytest

from nssbackup.secret import Secret, generate, weakness

NAMES = ("Jane Doe", "jane.doe@example.org", None)


@pytest.mark.parametrize(
    "password",
    [
        *("a", "password", "Passw0rd!", "12345678901234567890", "a" * 100, "correct horse"),
        *("Passwort2026!", "P@ssw0rd123456", "Jane Doe", "JaneDoe2026!", "jane.doe@example.org"),
    ],
)
def test_a_password_that_is_easy_to_guess_is_weak(password: str) -> None:
    assert "easy to guess" in (weakness(Secret(password), NAMES) or "")


@pytest.mark.parametrize(
    "password",
    [
        "",
        "correct horse battery staple",
        "k3v9-w8xq-7m2p",
        "Tr0ub4dor&3-zx",
        "Käse, Brot 47 und Öl",
    ],
)
def test_a_strong_one_and_none_at_all_are_not(password: str) -> None:
    assert weakness(Secret(password), NAMES) is None


def test_the_names_in_the_certificate_count_as_known() -> None:
    own = Secret("Zbigniew Brzeczyszczykiewicz")
    assert weakness(own) is None
    assert weakness(own, ["Zbigniew Brzeczyszczykiewicz"])


def test_a_generated_one_is_strong() -> None:
    assert weakness(generate()) is None


def test_the_reason_does_not_hold_the_password() -> None:
    assert "hunter2" not in (weakness(Secret("hunter2")) or "")
