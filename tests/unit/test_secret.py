from __future__ import annotations

import copy
import logging
import pickle

import pytest

from nssbackup.secret import Secret

TEXT = "correct horse"


def test_the_password_is_had_by_revealing_it_alone() -> None:
    assert Secret(TEXT).reveal() == TEXT


@pytest.mark.parametrize(
    "shown",
    [repr(Secret(TEXT)), str(Secret(TEXT)), f"{Secret(TEXT)}", f"{Secret(TEXT)!r:>40}"],
)
def test_no_text_made_of_it_shows_it(shown: str) -> None:
    assert TEXT not in shown
    assert "***" in shown


@pytest.mark.parametrize("spec", ["", ">40", "s", "x"])
def test_no_format_shows_it(spec: str) -> None:
    assert TEXT not in format(Secret(TEXT), spec)
    assert TEXT not in "{0:{1}} {0}".format(Secret(TEXT), spec)


def test_a_log_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("password %s, %r", Secret(TEXT), [Secret(TEXT)])
    assert TEXT not in caplog.text
    assert "***" in caplog.text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_can_not_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(TEXT), protocol)


def test_it_can_not_be_copied_unseen() -> None:
    with pytest.raises(TypeError):
        copy.deepcopy(Secret(TEXT))


def test_it_has_no_dictionary_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(Secret(TEXT))


def test_two_of_one_text_are_not_equal() -> None:
    first, second = Secret(TEXT), Secret(TEXT)
    assert first != second
    assert first not in (TEXT, second)


def test_the_empty_password_is_falsy_and_any_other_is_not() -> None:
    assert not Secret("")
    assert Secret(" ")
