from __future__ import annotations

import pytest

from nssbackup.secret import Secret, weakness


@pytest.mark.parametrize(
    "password",
    ["a", "password", "Passw0rd!", "12345678901234567890", "a" * 100, "ÄÖÜäöü", "correct horse"],
)
def test_a_password_that_is_easy_to_guess_is_weak(password: str) -> None:
    assert "easy to guess" in (weakness(Secret(password)) or "")


@pytest.mark.parametrize(
    "password",
    [
        "",
        "correct horse battery staple",
        "k3v9-w8xq-7m2p",
        "Tr0ub4dor&3-zx",
        "密码学与安全证书备份",
    ],
)
def test_a_strong_one_and_none_at_all_are_not(password: str) -> None:
    assert weakness(Secret(password)) is None


def test_the_reason_does_not_hold_the_password() -> None:
    assert "hunter2" not in (weakness(Secret("hunter2")) or "")
