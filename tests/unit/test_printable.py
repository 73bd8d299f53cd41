from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nssbackup.printable import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jürgen 日本 🎩 שלום", "Jürgen 日本 🎩 שלום"),
        ("a\tb\r\nc", r"a\tb\r\nc"),
        ("\x1b[31m\x9b", r"\x1b[31m\x9b"),
        ("gnp.\u202eexe\u200f", r"gnp.\u202eexe\u200f"),
        ("\udc80", r"\udc80"),
        ("\u2028\u2029\ufeff", r"\u2028\u2029\ufeff"),
        ("\U000e0041", r"\U000e0041"),
        ("", ""),
    ],
)
def test_what_can_act_is_shown_and_the_rest_stays(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text(st.characters()))  # surrogates too
def test_nothing_that_acts_is_left_and_nothing_else_is_touched(text: str) -> None:
    made = printable(text)
    made.encode()
    acting = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not {unicodedata.category(each) for each in made} & acting
    if not {unicodedata.category(each) for each in text} & acting:
        assert made == text
