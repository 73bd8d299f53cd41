"""The contract's rules of choosing, each as a claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from nssbackup.errors import KeyMismatchError, KeyMissingError
from nssbackup.identity.certificate import from_der
from nssbackup.identity.choosing import (
    AmbiguousError,
    ForgedCertificateError,
    NoMatchError,
    assemble,
    check_key_fits,
    choose,
    choose_all,
    ending_within,
    listed,
    matching,
    settle,
)
from nssbackup.identity.model import Identity, Profile, Signature
from nssbackup.identity.private_keys import from_ec
from tests.builders.store import ec_key, issue, key_usage, name

WIPO = name("WIPO Customer CA", "World Intellectual Property Organization")
MAIL = name("Example Mail CA", "Example GmbH")
KEY, CA_KEY = ec_key(), ec_key(1)
DEFAULT = Profile(Path("/default"), "default", "Firefox", default=True)
STALE = Profile(Path("/stale"), "stale", "Firefox")
SIGN, ENCRYPT = key_usage("digital_signature"), key_usage("key_encipherment")
LIST = "`nssbackup list --all` shows every certificate found"


def identity(
    subject: str = "Jane Doe",
    issuer: x509.Name = WIPO,
    days: tuple[int, int] = (-30, 300),
    *,
    profile: Profile | None = STALE,
    key: bool = True,
    serial: int | None = None,
    nickname: str | None = None,
    email: str | None = None,
    signature: Signature = "unchecked",
    extensions: Sequence[x509.ExtensionType] = (),
) -> Identity:
    der = issue(KEY, subject, issuer, CA_KEY, days=days, serial=serial, extensions=extensions)
    facts = replace(from_der(der), nickname=nickname, email=email, has_private_key=key)
    return Identity(profile, facts, (), signature)


def key_id(value: bytes) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(value, None, None)


def until(one: Identity) -> str:
    return f"{one.certificate.not_after:%Y-%m-%d}"


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
    authority = Identity(STALE, replace(from_der(issue(CA_KEY, WIPO, ca=True))))
    jane, mail = identity(), identity(issuer=MAIL)
    assert choose([mail, authority, jane], None).identity is jane


def test_without_wipo_the_others_are_listed_or_offered() -> None:
    mail, second = identity(issuer=MAIL), identity("Zoe", MAIL, (-30, 200))
    keyless = identity(issuer=MAIL, key=False)
    with pytest.raises(NoMatchError) as info:
        choose([mail, second, keyless], None)
    assert info.value.candidates == (mail, second)
    assert info.value.exit_status == 20
    assert info.value.message == "there is no WIPO certificate with its private key here"
    assert info.value.hint == "name one of the others as CERT to export it"
    person = Person(1)
    assert choose([mail, second], None, person).identity is second
    assert person.asked == [((mail, second), info.value.message)]


def test_the_only_other_one_comes_with_the_line_to_type() -> None:
    mail = identity(issuer=MAIL)
    fingerprint = mail.certificate.sha256[:16]
    for profile, where in ((STALE, f"--profile {STALE.path} "), (None, "")):
        with pytest.raises(NoMatchError) as info:
            choose([replace(mail, profile=profile)], None)
        assert info.value.hint == (
            f"to export the only other one, type `nssbackup export {where}{fingerprint}`"
        )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "there are several WIPO certificates"),
        ("jane", "several certificates match `jane`"),
    ],
)
def test_two_people_are_listed_or_a_question(text: str | None, reason: str) -> None:
    jane, zoe = identity("Jane A"), identity("Jane B", days=(-30, 400))
    with pytest.raises(AmbiguousError) as info:
        choose([jane, zoe], text)
    assert info.value.candidates == (zoe, jane)
    assert (info.value.message, info.value.exit_status) == (reason, 21)
    assert info.value.hint == "name one by its fingerprint, as in `nssbackup export FINGERPRINT`"
    person = Person(1)
    assert choose([jane, zoe], text, person).identity is zoe
    assert person.asked == [((jane, zoe), reason)]


# --- renewals


def test_of_renewals_the_valid_one_that_ends_last_is_taken() -> None:
    first, last = identity(days=(-40, 100)), identity(days=(-20, 300))
    expired, future = identity(days=(-900, -1)), identity(days=(10, 900))
    choice = choose([expired, first, future, last], None)
    assert choice.identity is last
    assert choice.notes == (f"of 4 renewals of `Jane Doe` the one until {until(last)} was taken",)
    assert choose([first], None).notes == ()


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"extensions": [SIGN]}, {"extensions": [ENCRYPT]}),
        ({"extensions": [SIGN]}, {}),
        ({"issuer": MAIL}, {}),
        ({"days": (-30, 300)}, {"days": (-30, 400)}),
        ({"days": (-30, 300)}, {"days": (-20, 200)}),
        ({"extensions": [key_id(b"a")]}, {"extensions": [key_id(b"b")]}),
        ({"extensions": [key_id(b"a")]}, {}),
        ({}, {"signature": "other"}),
        ({"signature": "verified"}, {"signature": "other"}),
    ],
)
def test_what_is_no_renewal_is_ambiguous(
    older: dict[str, object], newer: dict[str, object]
) -> None:
    make: Callable[..., Identity] = identity
    pair = (make(**{"days": (-40, 200), **older}), make(**newer))
    for order in (pair, pair[::-1]):
        with pytest.raises(AmbiguousError) as info:
            choose(order, "Jane Doe")
        assert set(info.value.candidates) == set(pair)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"extensions": [SIGN]}, {"extensions": [SIGN]}),
        ({"extensions": [key_id(b"a")]}, {"extensions": [key_id(b"a")]}),
        (
            {"extensions": [SIGN]},
            {"extensions": [SIGN, x509.ExtendedKeyUsage([x509.OID_CLIENT_AUTH])]},
        ),
        ({"extensions": [key_id(b"a")]}, {"signature": "verified"}),
        ({"signature": "other"}, {"signature": "verified"}),
    ],
)
def test_what_is_a_renewal_is_taken(older: dict[str, object], newer: dict[str, object]) -> None:
    make: Callable[..., Identity] = identity
    old, new = make(**{"days": (-40, 200), **older}), make(**newer)
    for order in ([old, new], [new, old]):
        assert choose(order, "Jane Doe").identity is new


def test_each_purpose_keeps_its_newest() -> None:
    made = [
        identity(days=days, extensions=[usage])
        for usage in (SIGN, ENCRYPT)
        for days in ((-400, 20), (-20, 300))
    ]
    with pytest.raises(AmbiguousError) as info:
        choose(made, None)
    assert set(info.value.candidates) == {made[1], made[3]}


def test_an_expired_one_gives_way_to_a_valid_one() -> None:
    expired, valid = identity(days=(-900, -1), issuer=MAIL), identity(days=(-2, 1))
    choice = choose([expired, valid], "Jane Doe")
    assert choice.identity is valid
    assert choice.notes == (f"`Jane Doe`, expired on {until(expired)}, was skipped",)
    for one in (expired, identity(days=(-900, -1))):
        assert choose([one], "Jane Doe").identity is one
        assert choose([valid, one], one.certificate.sha256).identity is one
    other = identity(days=(-900, -1), extensions=[ENCRYPT])
    with pytest.raises(AmbiguousError):
        choose([other, valid], "Jane Doe")


def test_the_newest_without_its_key_gives_way_and_that_is_said() -> None:
    older, newest = identity(days=(-40, 100)), identity(key=False)
    choice = choose([older, newest], None)
    assert choice.identity is older
    assert choice.notes == (
        f"of 2 renewals of `Jane Doe` the one until {until(older)} was taken",
        f"a newer one, valid until {until(newest)}, is there without its private key",
    )
    choice = choose([older, newest], None, need_key=False)
    assert choice.identity is newest
    assert len(choice.notes) == 1


# --- damaged or forged


def test_a_forged_one_is_skipped_refused_or_exported_when_named() -> None:
    genuine, forged = identity(), identity(days=(-10, 900), signature="forged")
    choice = choose([forged, genuine], None)
    assert choice.identity is genuine
    (note,) = choice.notes
    assert "damaged or forged" in note
    assert forged.certificate.sha256[:16] in note
    for text in (None, "Jane Doe", forged.certificate.sha256[:40]):
        with pytest.raises(ForgedCertificateError) as info:
            choose([forged], text)
        assert info.value.exit_status == 11
        assert forged.certificate.sha256 in (info.value.hint or "")
    for named in (forged.certificate.sha256, f" {forged.certificate.sha256.upper()}"):
        assert choose([genuine, forged], named).identity is forged
    with pytest.raises(ForgedCertificateError):
        choose([identity(issuer=MAIL, signature="forged")], None, Person())


def test_one_of_another_key_never_beats_one_that_verifies() -> None:
    expired = identity(days=(-900, -1), signature="verified")
    for signature, ambiguous in (("other", True), ("verified", False), ("unchecked", False)):
        made: Callable[..., Identity] = identity
        valid = made(signature=signature, extensions=[key_id(b"x")])
        if ambiguous:
            with pytest.raises(AmbiguousError):
                choose([expired, valid], None)
        else:
            assert choose([expired, valid], None).identity is valid


# --- all matches


def test_all_matches_are_those_neither_superseded_nor_expired() -> None:
    old, new = identity(days=(-40, 100)), identity()
    zoe, expired = identity("Zoe"), identity("Joe", days=(-900, -1))
    encrypting = identity(extensions=[ENCRYPT])
    forged, mail = identity("Eve", signature="forged"), identity(issuer=MAIL)
    found, notes = choose_all([old, zoe, expired, forged, new, mail, encrypting], None)
    assert found == (zoe, new, encrypting)
    assert any("damaged or forged" in note for note in notes)
    assert choose_all([old, zoe], "Zoe")[0] == (zoe,)


# --- CERT


def test_an_exact_match_of_one_field_wins_over_a_part_match() -> None:
    exact, part = identity(nickname="Jane"), identity("Jane Doe-Smith", MAIL)
    assert matching([part, exact], "Jane") == (exact,)
    assert matching([part, exact], "jane d") == (part, exact)


@pytest.mark.parametrize(
    "text",
    [
        *("work key", "WORK KEY", "Jane Doe", "jane doe", "  Jane Doe  ", "jane@example.com"),
        *("Example Mail CA", "O=Example GmbH,CN=Example Mail CA"),
        *("ork ke", "ane Do", "@example", "Mail", "gmbh"),
    ],
)
def test_every_field_or_a_part_of_it_names_an_identity(text: str) -> None:
    jane = identity(issuer=MAIL, nickname="work key", email="jane@example.com")
    assert matching([identity("Zoe"), jane], text) == (jane,)


@pytest.mark.parametrize(
    "text",
    ["0a1b2c3d4e5f", "a1b2c3d4e5f", "0A:1B:2C:3D:4E:5F", "0a 1b 2c 3d 4e 5f", "0x0A1B2C3D4E5F"],
)
def test_a_serial_number_is_hex_with_colons_or_without(text: str) -> None:
    jane, other = identity(serial=0x0A1B2C3D4E5F), identity(serial=0x1A1B2C3D4E5F)
    assert matching([other, jane], text) == (jane,)


def test_a_serial_number_is_matched_as_a_whole() -> None:
    assert matching([identity(serial=0x0A1B2C3D4E5F)], "1b2c3d4e5f") == ()
    jane = identity(serial=0x1200)
    assert matching([jane], "00:12:00") == (jane,)
    assert matching([jane], "12") == ()
    zero = replace(jane, certificate=replace(jane.certificate, serial=0))
    assert matching([zero], "00") == (zero,)
    assert matching([zero], ":") == ()


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
@pytest.mark.parametrize("length", [8, 9, 40, 64])
def test_a_fingerprint_or_its_beginning_names_an_identity(kind: str, length: int) -> None:
    jane = identity()
    text = str(getattr(jane.certificate, kind))[:length]
    colons = ":".join(text[i : i + 2] for i in range(0, len(text), 2))
    for form in (text, text.upper(), colons):
        assert matching([identity("Zoe"), jane], form) == (jane,)


# --- several profiles, and keys


def test_the_same_certificate_in_several_profiles_is_one_match() -> None:
    stale = identity()
    default = replace(stale, profile=DEFAULT)
    keyless = replace(default, certificate=replace(stale.certificate, has_private_key=False))
    third = replace(stale, profile=Profile(Path("/third"), "third", "Firefox"))
    for order, chosen in (
        ([stale, default], default),
        ([default, stale], default),
        ([stale, keyless], stale),
        ([keyless, stale], stale),
        ([stale, third], stale),
    ):
        assert choose(order, None).identity is chosen
        assert choose(order, "Jane Doe", need_key=False).identity is chosen
        assert choose(order, None).notes == ()


def test_where_no_key_is_needed_a_certificate_alone_will_do() -> None:
    jane, mail = identity(key=False), identity(issuer=MAIL, key=False)
    for text in (None, "Jane Doe"):
        assert choose([jane], text, need_key=False).identity is jane
    with pytest.raises(NoMatchError) as info:
        choose([mail], None, need_key=False)
    assert info.value.candidates == (mail,)
    assert choose([mail], None, Person(), need_key=False).identity is mail
    with pytest.raises(AmbiguousError):
        choose([jane, identity("Zoe", key=False)], None, need_key=False)


def test_that_the_key_is_elsewhere_is_said_with_where_it_may_be() -> None:
    for several in ((identity(key=False),), (identity(key=False), identity("Zoe", key=False))):
        with pytest.raises(KeyMissingError) as info:
            settle(several, "", Person())
        assert info.value.message == "the private key of `Jane Doe` is not in this store"
        assert info.value.hint == (
            "it is where the certificate was requested: another browser, profile or computer;"
            " point `--profile` at that profile"
        )


def test_a_key_that_is_not_the_certificates_is_not_let_out() -> None:
    jane = identity()
    right = from_ec(KEY.curve, KEY.private_numbers().private_value)
    wrong = from_ec(KEY.curve, CA_KEY.private_numbers().private_value)
    check_key_fits(jane, right)
    unknown = replace(jane, certificate=replace(jane.certificate, public_key=None))
    for one, key in ((jane, wrong), (unknown, right)):
        with pytest.raises(KeyMismatchError, match="`Jane Doe` does not match it"):
            check_key_fits(one, key)


# --- list


def test_the_list_shows_keys_and_wipo_and_all_shows_the_rest() -> None:
    mail, lost_mail = identity(issuer=MAIL), identity("Zoe", MAIL, key=False)
    lost_wipo = identity(days=(-900, -1), key=False)
    everything = [lost_wipo, lost_mail, mail]
    assert listed(everything) == (mail, lost_wipo)
    assert set(listed(everything, everything=True)) == {mail, lost_mail, lost_wipo}


def test_the_list_shows_the_last_to_end_first() -> None:
    order = [identity(days=days) for days in ((-9, 300), (-9, 200), (9, 900), (-900, -1))]
    assert listed(reversed(order)) == tuple(order)
    older, newer = identity(days=(-90, 300)), identity(days=(-30, 300))
    assert listed([older, newer]) == (newer, older)
    twins = [
        replace(newer, certificate=replace(newer.certificate, sha256=digit * 64)) for digit in "f0"
    ]
    assert listed(twins) == tuple(reversed(twins))


def test_identities_are_made_of_keys_and_of_what_is_no_ca() -> None:
    authority = from_der(issue(CA_KEY, WIPO, ca=True))
    own_ca = replace(from_der(issue(KEY, "Own", ca=True)), has_private_key=True)
    jane, lost = identity().certificate, identity("Zoe", key=False).certificate
    made = assemble(DEFAULT, [authority, own_ca, jane, lost])
    assert [i.certificate for i in made] == [own_ca, jane, lost]
    assert (made[1].chain, made[1].signature) == ((authority,), "verified")
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
        (timedelta(0), 0, True),
        (timedelta(seconds=1), 0, False),
        (timedelta(seconds=-1), 30, False),
        (timedelta(days=-900), 10**30, False),
        (timedelta(days=365 * 7000), 10**30, True),
        (datetime.max.replace(tzinfo=UTC) - NOW, 9999 * 366 + 1, True),
        (datetime.max.replace(tzinfo=UTC) - NOW, 365 * 7000, False),
    ],
)
def test_ending_are_the_valid_ones_that_end_within_the_days(
    after: timedelta, days: int, *, shown: bool
) -> None:
    one = ending(after)
    assert ending_within([one], days, NOW) == ((one,) if shown else ())


def test_thousands_of_one_name_are_told_apart_in_time() -> None:
    jane = identity()
    crowd = [
        replace(jane, certificate=replace(jane.certificate, sha256=f"{n:064x}"))
        for n in range(3_000)
    ]
    with pytest.raises(AmbiguousError) as info:
        choose(crowd, None)
    assert len(info.value.candidates) == 3_000
    forged = [replace(one, signature="forged") for one in crowd]
    choice = choose([*forged[1:], crowd[0]], None)
    assert len(choice.notes) == 11
    assert choice.notes[-1].startswith("2989 more were skipped as damaged or forged")
