"""The contract's rules of choosing, each as a claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nssbackup.errors import KeyMismatchError, KeyMissingError
from nssbackup.identity.certificate import StoredCertificate, from_der
from nssbackup.identity.choosing import (
    AmbiguousError,
    NoMatchError,
    assemble,
    check_key_fits,
    choose,
    ending_within,
    listed,
    matching,
    settle,
)
from nssbackup.identity.model import Identity, Profile
from nssbackup.identity.private_keys import from_ec
from tests.builders.store import ec_key, issue, name

WIPO = name("WIPO Customer CA", "World Intellectual Property Organization")
MAIL = name("Example Mail CA", "Example GmbH")
KEY, CA_KEY = ec_key(), ec_key(1)
DEFAULT = Profile(Path("/default"), "default", "Firefox", default=True)
STALE = Profile(Path("/stale"), "stale", "Firefox")


def certificate(
    subject: str = "Jane Doe",
    issuer: object = WIPO,
    days: tuple[int, int] = (-30, 300),
    *,
    key: bool = True,
    serial: int | None = None,
    nickname: str | None = None,
    email: str | None = None,
) -> StoredCertificate:
    assert isinstance(issuer, type(WIPO))
    der = issue(KEY, subject, issuer, CA_KEY, days=days, serial=serial)
    return replace(from_der(der), nickname=nickname, email=email, has_private_key=key)


def identity(
    subject: str = "Jane Doe",
    issuer: object = WIPO,
    days: tuple[int, int] = (-30, 300),
    *,
    profile: Profile | None = STALE,
    key: bool = True,
    serial: int | None = None,
    nickname: str | None = None,
    email: str | None = None,
) -> Identity:
    made = certificate(
        subject, issuer, days, key=key, serial=serial, nickname=nickname, email=email
    )
    return Identity(profile, made)


class Person:
    """Answers a question with the n-th candidate and remembers what was asked."""

    def __init__(self, answer: int = 0) -> None:
        self.answer = answer
        self.asked: list[tuple[Sequence[Identity], str]] = []

    def __call__(self, candidates: Sequence[Identity], reason: str) -> Identity:
        self.asked.append((candidates, reason))
        return candidates[self.answer]


# --- without CERT


def test_without_cert_the_wipo_identity_is_taken() -> None:
    jane, mail = identity(), identity(issuer=MAIL)
    assert choose([mail, jane], None).identity is jane


def test_without_cert_and_wipo_the_others_are_listed_in_the_error() -> None:
    mail, elsewhere = identity(issuer=MAIL), identity(issuer=MAIL, key=False)
    with pytest.raises(NoMatchError) as info:
        choose([mail, elsewhere], None)
    assert info.value.candidates == (mail,)
    assert info.value.exit_status == 20


def test_without_cert_and_wipo_a_person_is_offered_the_others() -> None:
    mail, second = identity(issuer=MAIL), identity("Zoe", MAIL, (-30, 200))
    person = Person(1)
    assert choose([mail, second], None, person).identity is second
    assert person.asked[0][0] == (mail, second)


def test_nothing_at_all_matches_nothing() -> None:
    with pytest.raises(NoMatchError) as info:
        choose([], None, Person())
    assert info.value.candidates == ()


def test_two_people_of_wipo_are_listed_and_none_is_guessed() -> None:
    jane, zoe = identity(), identity("Zoe", days=(-30, 400))
    with pytest.raises(AmbiguousError) as info:
        choose([jane, zoe], None)
    assert info.value.candidates == (zoe, jane)
    assert info.value.exit_status == 21


def test_two_people_of_wipo_are_a_question_for_a_person() -> None:
    jane, zoe = identity(), identity("Zoe")
    person = Person(1)
    assert choose([jane, zoe], None, person).identity is person.asked[0][0][1]


def test_a_ca_of_wipo_is_no_wipo_identity_to_export() -> None:
    der = issue(CA_KEY, WIPO, ca=True)
    authority = Identity(STALE, replace(from_der(der), has_private_key=True))
    jane = identity()
    assert choose([authority, jane], None).identity is jane


# --- renewals


def test_of_renewals_the_valid_one_that_ends_last_is_taken_and_said() -> None:
    first, last = identity(days=(-30, 100)), identity(days=(-20, 300))
    expired, future = identity(days=(-900, -1)), identity(days=(10, 900))
    choice = choose([expired, first, future, last], None)
    assert choice.identity is last
    assert any(f"{last.certificate.not_after:%Y-%m-%d}" in note for note in choice.notes)


def test_an_expired_one_is_not_taken_while_a_valid_one_matches() -> None:
    expired, valid = identity(days=(-900, -1)), identity(days=(-2, 1))
    assert choose([expired, valid], "Jane Doe").identity is valid


def test_an_expired_one_without_its_rival_is_taken() -> None:
    expired = identity(days=(-900, -1))
    assert choose([expired], "Jane Doe").identity is expired
    assert choose([expired], None).identity is expired


def test_an_expired_one_is_taken_when_it_is_named() -> None:
    expired, valid = identity(days=(-900, -1)), identity()
    assert choose([valid, expired], expired.certificate.sha256).identity is expired


def test_a_valid_one_without_its_key_does_not_let_an_expired_one_out() -> None:
    expired, valid = identity(days=(-900, -1)), identity(key=False)
    with pytest.raises(KeyMissingError):
        choose([expired, valid], None)


def test_the_newest_without_its_key_gives_way_to_a_valid_one_and_that_is_said() -> None:
    older, newest = identity(days=(-30, 100)), identity(key=False)
    choice = choose([older, newest], None)
    assert choice.identity is older
    assert any("without its private key" in note for note in choice.notes)


def test_the_same_subject_of_two_issuers_is_no_renewal() -> None:
    with pytest.raises(AmbiguousError):
        choose([identity(), identity(issuer=MAIL)], "Jane Doe")


# --- CERT


def test_an_exact_match_of_one_field_wins_over_a_part_match() -> None:
    exact, part = identity(nickname="Jane"), identity("Jane Doe-Smith", MAIL)
    assert matching([part, exact], "Jane") == (exact,)
    assert matching([part, exact], "jane d") == (part, exact)


@pytest.mark.parametrize(
    "text",
    [
        "work key",
        "WORK KEY",
        "Jane Doe",
        "jane doe",
        "jane@example.com",
        "Example Mail CA",
        "O=Example GmbH,CN=Example Mail CA",
        "  Jane Doe  ",
    ],
)
def test_every_field_names_an_identity_in_any_letter_case(text: str) -> None:
    jane = identity(issuer=MAIL, nickname="work key", email="jane@example.com")
    assert matching([identity("Zoe"), jane], text) == (jane,)


@pytest.mark.parametrize("text", ["ork ke", "ane Do", "@example", "Mail", "gmbh"])
def test_a_part_of_a_field_names_an_identity(text: str) -> None:
    jane = identity(issuer=MAIL, nickname="work key", email="jane@example.com")
    assert matching([identity("Zoe"), jane], text) == (jane,)


@pytest.mark.parametrize(
    "text",
    ["0a1b2c3d4e5f", "a1b2c3d4e5f", "0A:1B:2C:3D:4E:5F", "0a 1b 2c 3d 4e 5f", "0x0A1B2C3D4E5F"],
)
def test_a_serial_number_is_hex_with_colons_or_without(text: str) -> None:
    jane, other = identity(serial=0x0A1B2C3D4E5F), identity(serial=0x1A1B2C3D4E5F)
    assert matching([other, jane], text) == (jane,)


@pytest.mark.parametrize("text", ["1b2c3d4e5f", "0a1b2c3d4e"])
def test_a_part_of_a_serial_number_is_none(text: str) -> None:
    assert matching([identity(serial=0x0A1B2C3D4E5F)], text) == ()


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
@pytest.mark.parametrize("length", [8, 9, 20, 40, 64])
@pytest.mark.parametrize("form", ["lower", "upper", "colons"])
def test_a_fingerprint_or_its_beginning_names_an_identity(
    kind: str, length: int, form: str
) -> None:
    jane = identity()
    text = str(getattr(jane.certificate, kind))[:length]
    if form == "colons":
        text = ":".join(text[i : i + 2] for i in range(0, len(text), 2))
    text = text if form == "lower" else text.upper()
    assert matching([identity("Zoe"), jane], text) == (jane,)


def test_seven_digits_of_a_fingerprint_are_too_few() -> None:
    jane = identity(serial=1)
    assert matching([jane], jane.certificate.sha256[:7]) == ()


@pytest.mark.parametrize("text", ["", "  ", "nobody", ":", "0x", "\udcff"])
def test_what_names_nothing_matches_nothing(text: str) -> None:
    jane = identity(serial=1)
    with pytest.raises(NoMatchError) as info:
        choose([jane], text)
    assert info.value.candidates == (jane,)


def test_several_matches_are_listed_with_the_newest_first() -> None:
    jane, zoe = identity("Jane A"), identity("Jane B", days=(-30, 400))
    with pytest.raises(AmbiguousError) as info:
        choose([jane, zoe], "jane")
    assert info.value.candidates == (zoe, jane)


# --- several profiles


def test_the_same_certificate_in_several_profiles_is_one_match_of_the_default() -> None:
    stale = identity()
    default = replace(stale, profile=DEFAULT)
    for order in ([stale, default], [default, stale]):
        assert choose(order, None).identity is default
        assert choose(order, "Jane Doe").notes == ()


def test_a_copy_with_its_key_is_preferred_to_the_default_without() -> None:
    stale = identity()
    keyless = replace(stale.certificate, has_private_key=False)
    default = replace(stale, profile=DEFAULT, certificate=keyless)
    for order in ([stale, default], [default, stale]):
        assert choose(order, None).identity is stale


def test_of_two_copies_beside_the_default_the_first_is_taken() -> None:
    first = identity()
    second = replace(first, profile=Profile(Path("/third"), "third", "Firefox"))
    assert choose([first, second], None).identity is first


# --- without their keys


def test_where_no_key_is_needed_a_certificate_alone_will_do() -> None:
    jane = identity(key=False)
    for text in (None, "Jane Doe"):
        assert choose([jane], text, need_key=False).identity is jane


def test_where_no_key_is_needed_the_newest_renewal_is_taken_whether_it_has_one() -> None:
    older, newest = identity(days=(-30, 100)), identity(key=False)
    choice = choose([older, newest], None, need_key=False)
    assert choice.identity is newest
    assert not any("without its private key" in note for note in choice.notes)


def test_where_no_key_is_needed_the_copy_with_its_key_is_preferred_all_the_same() -> None:
    stale = identity()
    keyless = replace(stale.certificate, has_private_key=False)
    default = replace(stale, profile=DEFAULT, certificate=keyless)
    assert choose([default, stale], None, need_key=False).identity is stale


def test_where_no_key_is_needed_the_others_are_those_without_too() -> None:
    mail = identity(issuer=MAIL, key=False)
    with pytest.raises(NoMatchError) as info:
        choose([mail], None, need_key=False)
    assert info.value.candidates == (mail,)
    assert "private key" not in info.value.message
    assert choose([mail], None, Person(), need_key=False).identity is mail


def test_where_no_key_is_needed_nobody_is_guessed_either() -> None:
    with pytest.raises(AmbiguousError):
        choose([identity(key=False), identity("Zoe", key=False)], None, need_key=False)


# --- keys


def test_a_match_without_its_key_is_an_error_and_says_where_to_look() -> None:
    with pytest.raises(KeyMissingError) as info:
        choose([identity(key=False)], None)
    assert "--profile" in (info.value.hint or "")


def test_a_key_that_is_not_the_certificates_is_not_let_out() -> None:
    jane = identity()
    right = from_ec(KEY.curve, KEY.private_numbers().private_value)
    wrong = from_ec(KEY.curve, CA_KEY.private_numbers().private_value)
    check_key_fits(jane, right)
    with pytest.raises(KeyMismatchError):
        check_key_fits(jane, wrong)
    unknown = replace(jane, certificate=replace(jane.certificate, public_key=None))
    with pytest.raises(KeyMismatchError):
        check_key_fits(unknown, right)


# --- list


def test_the_list_shows_keys_and_wipo_and_all_shows_the_rest() -> None:
    mail, lost_mail = identity(issuer=MAIL), identity("Zoe", MAIL, key=False)
    lost_wipo = identity(days=(-900, -1), key=False)
    everything = [lost_wipo, lost_mail, mail]
    assert listed(everything) == (mail, lost_wipo)
    assert set(listed(everything, everything=True)) == {mail, lost_mail, lost_wipo}


def test_the_list_goes_from_valid_to_expired_and_the_last_to_end_first() -> None:
    order = [identity(days=days) for days in ((-9, 300), (-9, 200), (9, 900), (-900, -1))]
    assert listed(reversed(order)) == tuple(order)


def test_identities_are_made_of_keys_and_of_what_is_no_ca() -> None:
    authority = from_der(issue(CA_KEY, WIPO, ca=True))
    own_ca = replace(from_der(issue(KEY, "Own", ca=True)), has_private_key=True)
    jane, lost = certificate(), certificate("Zoe", key=False)
    made = assemble(DEFAULT, [authority, own_ca, jane, lost])
    assert [i.certificate for i in made] == [own_ca, jane, lost]
    assert made[1].chain == (authority,)
    assert made[1].chain_complete
    assert {i.profile for i in made} == {DEFAULT}


# --- ending soon


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def ending(after: timedelta, begun: timedelta = timedelta(days=-30)) -> Identity:
    jane = identity()
    dates = replace(jane.certificate, not_before=NOW + begun, not_after=NOW + after)
    return replace(jane, certificate=dates)


@pytest.mark.parametrize(
    ("after", "days", "shown"),
    [
        (timedelta(days=30), 30, True),
        (timedelta(days=30, seconds=1), 30, False),
        (timedelta(days=29), 30, True),
        (timedelta(0), 0, True),
        (timedelta(seconds=1), 0, False),
        (timedelta(seconds=-1), 30, False),
        (timedelta(days=-900), 10**30, False),
        (timedelta(days=365 * 7000), 10**30, True),
    ],
)
def test_ending_are_those_valid_now_whose_end_is_no_more_than_so_many_days_away(
    after: timedelta, days: int, *, shown: bool
) -> None:
    one = ending(after)
    assert ending_within([one], days, NOW) == ((one,) if shown else ())


def test_what_is_not_valid_yet_does_not_end() -> None:
    assert ending_within([ending(timedelta(days=5), timedelta(days=1))], 30, NOW) == ()


def test_the_order_stays() -> None:
    several = [ending(timedelta(days=n)) for n in (3, 1, 2)]
    assert ending_within(several, 2, NOW) == (several[1], several[2])


def test_an_end_may_be_as_far_off_as_a_calendar_goes() -> None:
    far = ending(datetime.max.replace(tzinfo=UTC) - NOW)
    assert ending_within([far], 9999 * 366, NOW) == (far,)
    assert ending_within([far], 9999 * 366 + 1, NOW) == (far,)
    assert ending_within([far], 365 * 7000, NOW) == ()


def test_now_is_the_present_where_it_is_not_said() -> None:
    soon, late = identity(days=(-30, 5)), identity(days=(-30, 50))
    assert ending_within([late, soon], 10) == (soon,)


# --- in words

LIST = "`nssbackup list --all` shows every certificate found"


def until(one: Identity) -> str:
    return f"{one.certificate.not_after:%Y-%m-%d}"


def test_what_is_not_there_is_said_with_what_to_do() -> None:
    mail = identity(issuer=MAIL)
    with pytest.raises(NoMatchError) as info:
        choose([mail], None)
    assert info.value.message == "there is no WIPO certificate with its private key here"
    assert info.value.hint == "name one of the others as CERT to export it"
    for everything in (True, False):
        with pytest.raises(NoMatchError) as info:
            choose([], None, need_key=everything)
        part = " with its private key" if everything else ""
        assert info.value.message == f"there is no WIPO certificate{part} here"
        assert info.value.hint == LIST
    with pytest.raises(NoMatchError) as info:
        choose([mail], "nobody")
    assert info.value.message == "no certificate matches `nobody`"
    assert info.value.hint == LIST


def test_why_it_has_to_be_asked_is_said() -> None:
    jane, zoe = identity("Jane A"), identity("Jane B", days=(-30, 400))
    for text, reason in (
        (None, "there are several WIPO certificates"),
        ("jane", "several certificates match `jane`"),
    ):
        with pytest.raises(AmbiguousError) as info:
            choose([jane, zoe], text)
        assert info.value.message == reason
        assert info.value.hint == (
            "name one by its fingerprint, as in `nssbackup export FINGERPRINT`"
        )
        person = Person()
        choose([jane, zoe], text, person)
        assert person.asked == [((jane, zoe), reason)]
    person = Person()
    choose([identity(issuer=MAIL)], None, person)
    assert person.asked[0][1] == "there is no WIPO certificate with its private key here"


def test_how_a_renewal_was_chosen_is_said() -> None:
    first, last = identity(days=(-30, 100)), identity(days=(-20, 300))
    assert choose([first], None).notes == ()
    taken = f"of 2 renewals of `Jane Doe` the one until {until(last)} was taken"
    assert choose([first, last], None).notes == (taken,)
    lost = identity(days=(-10, 400), key=False)
    newer = f"a newer one, valid until {until(lost)}, is there without its private key"
    taken = taken.replace("2", "3", 1)
    assert choose([first, last, lost], None).notes == (taken, newer)


def test_whom_a_person_chose_has_to_have_a_key_too() -> None:
    jane, zoe = identity(), identity("Zoe", key=False)
    with pytest.raises(KeyMissingError):
        choose([jane, zoe], None, Person(1))
    assert choose([jane, zoe], None, Person(1), need_key=False).identity is zoe
    assert choose([jane, zoe], None, Person(1), need_key=False).notes == ()


def test_that_the_key_is_elsewhere_is_said_with_where_it_may_be() -> None:
    for several in ([identity(key=False)], [identity(key=False), identity(key=False)]):
        with pytest.raises(KeyMissingError) as info:
            settle(tuple(several), "", None)
        assert info.value.message == "the private key of `Jane Doe` is not in this store"
        assert info.value.hint == (
            "it is where the certificate was requested: another browser, profile or computer;"
            " point `--profile` at that profile"
        )
    other = from_ec(KEY.curve, CA_KEY.private_numbers().private_value)
    with pytest.raises(KeyMismatchError) as mismatch:
        check_key_fits(identity(), other)
    assert mismatch.value.message == "the private key found for `Jane Doe` does not match it"


def test_of_those_that_end_together_the_one_that_began_last_comes_first() -> None:
    older, newer = identity(days=(-90, 300)), identity(days=(-30, 300))
    ends = newer.certificate.not_after
    older = replace(older, certificate=replace(older.certificate, not_after=ends))
    assert listed([older, newer]) == (newer, older)
    twin = replace(newer.certificate, sha256="f" * 64)
    first = replace(newer.certificate, sha256="0" * 64)
    twins = [replace(newer, certificate=one) for one in (twin, first)]
    assert listed(twins) == tuple(reversed(twins))


def test_nothing_is_named_among_nobody() -> None:
    assert matching([], "jane") == ()


def test_a_serial_number_of_zero_is_no_text_of_nothing() -> None:
    nobody = identity()
    zero = replace(nobody, certificate=replace(nobody.certificate, serial=0))
    assert matching([zero], "00") == (zero,)
    assert matching([zero], ":") == ()
    jane = identity(serial=0x1200)
    assert matching([jane], "00:12:00") == (jane,)
    assert matching([jane], "12") == ()
    nameless = replace(jane.certificate, common_name=None, issuer_name="", nickname=None)
    assert matching([replace(jane, certificate=nameless)], "None") == ()
