"""What makes a WIPO identity (the contract's words), and when a chain is complete."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from nssbackup.identity.certificate import from_der
from nssbackup.identity.model import Identity
from tests.builders.store import ec_key, issue

JANE = issue(ec_key(), "Jane")
LONG = "World Intellectual Property Organization"
FIELDS = {
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
}


def issued_by(issuer: x509.Name) -> Identity:
    return Identity(None, from_der(issue(ec_key(), "Jane", issuer, ec_key(1))))


def field(oid: x509.ObjectIdentifier, text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text)])


@pytest.mark.parametrize("oid", FIELDS.values(), ids=list(FIELDS))
@pytest.mark.parametrize(
    "text",
    [
        *("WIPO", "wipo", "Wipo", "WIPO Customer CA G2", "The WIPO", "CA-WIPO-2", "WIPO/OMPI"),
        *("(wipo)", "wipo.int", LONG, LONG.upper(), LONG.lower(), f"{LONG} (Geneva)"),
        "World  Intellectual Property\tOrganization",
    ],
)
def test_an_issuer_that_names_wipo_makes_a_wipo_identity(
    oid: x509.ObjectIdentifier, text: str
) -> None:
    assert issued_by(field(oid, text)).wipo


@pytest.mark.parametrize("oid", FIELDS.values(), ids=list(FIELDS))
@pytest.mark.parametrize(
    "text",
    [
        *("WIPOX", "xwipo", "WIPO2", "W I P O", "W.I.P.O.", "Swipo CA", "WIPOÉ"),
        "World Intellectual Property Org",
        "World Intellectual Organization",
    ],
)
def test_wipo_is_a_word_and_not_a_part_of_one(oid: x509.ObjectIdentifier, text: str) -> None:
    assert not issued_by(field(oid, text)).wipo


@pytest.mark.parametrize(
    "oid", [NameOID.LOCALITY_NAME, NameOID.DOMAIN_COMPONENT, NameOID.EMAIL_ADDRESS]
)
def test_other_fields_of_the_issuer_do_not_count(oid: x509.ObjectIdentifier) -> None:
    assert not issued_by(field(oid, "WIPO")).wipo


def test_a_chain_is_complete_when_it_ends_at_a_root() -> None:
    root = from_der(issue(ec_key(1), "Root", ca=True))
    middle = from_der(issue(ec_key(2), "Middle", "Root", ec_key(1), ca=True))
    jane = from_der(issue(ec_key(), "Jane", "Middle", ec_key(2)))
    assert Identity(None, jane, (middle, root)).chain_complete
    assert not Identity(None, jane, (middle,)).chain_complete
    assert not Identity(None, jane).chain_complete
    assert Identity(None, root).chain_complete


@pytest.mark.parametrize(
    ("common_name", "nickname", "subject", "email", "called"),
    [
        ("Jane", "work", "CN=Jane", "j@example.com", "Jane"),
        (None, "work", "CN=Jane", "j@example.com", "work"),
        (None, None, "CN=Jane", "j@example.com", "CN=Jane"),
        (None, "", "", "j@example.com", "j@example.com"),
        pytest.param(None, None, "", None, from_der(JANE).sha256[:16], id="fingerprint"),
    ],
)
def test_a_certificate_is_called_by_the_first_name_it_has(
    common_name: str | None, nickname: str | None, subject: str, email: str | None, called: str
) -> None:
    jane = replace(
        from_der(JANE), common_name=common_name, nickname=nickname, subject=subject, email=email
    )
    assert jane.display_name == Identity(None, jane).display_name == called
