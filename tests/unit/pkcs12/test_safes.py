"""Bags: what they say of themselves, and how many of them there may be."""

from __future__ import annotations

import pytest
from cryptography.hazmat import asn1

from nssbackup.errors import UnsupportedBackupError
from nssbackup.pkcs12 import safes, structure
from nssbackup.pkcs12.safes import CertificateBag, KeyBag
from tests.unit.pkcs12.identities import Case, certificate_bag, key_bag


def holding(bags: list[structure.SafeBag]) -> structure.SafeBag:
    """A bag of bags (RFC 7292, 4.2.6)."""
    value = asn1.decode_der(asn1.TLV, structure.encode_bags(bags))
    return structure.SafeBag(id=structure.SAFE_CONTENTS_BAG, value=value, attributes=None)


@pytest.mark.parametrize("nested", [False, True])
def test_1000_certificates_are_read_and_not_one_more(case: Case, *, nested: bool) -> None:
    one = certificate_bag(case.identity.certificate.der)

    def encoded(count: int) -> bytes:
        bags = [one] * count
        return structure.encode_bags([one, holding(bags[1:])] if nested else bags)

    found = CertificateBag(case.identity.certificate.der, None, None)
    assert safes.bags_of(encoded(1_000)) == (found,) * 1_000
    with pytest.raises(UnsupportedBackupError, match="more than is read here"):
        safes.bags_of(encoded(1_001))


def test_64_keys_are_read_and_not_one_more(case: Case) -> None:
    one = key_bag(case.key.pkcs8)
    assert len(safes.bags_of(structure.encode_bags([one] * 64))) == 64
    with pytest.raises(UnsupportedBackupError, match="more than is read here"):
        safes.bags_of(structure.encode_bags([one] * 65))


def test_a_key_in_the_clear_keeps_its_name_and_its_id(case: Case) -> None:
    plain = key_bag(case.key.pkcs8)
    name = structure.tlv(structure.BMP_STRING, "Zoë\0".encode("utf-16-be"))
    attributes = asn1.SetOf(
        [
            structure.Attribute(id=structure.FRIENDLY_NAME, values=asn1.SetOf([name])),
            structure.Attribute(
                id=structure.LOCAL_KEY_ID, values=asn1.SetOf([structure.opened(b"id")])
            ),
        ]
    )
    bag = structure.SafeBag(id=plain.id, value=plain.value, attributes=attributes)
    found = safes.bags_of(structure.encode_bags([bag, plain]))
    assert found == (
        KeyBag(None, case.key.pkcs8, "Zoë", b"id"),
        KeyBag(None, case.key.pkcs8, None, None),
    )


@pytest.mark.parametrize("value", [structure.opened(5), structure.tlv(b"\x0c", b"id")])
def test_an_id_of_another_type_is_none_and_no_damage(case: Case, value: asn1.TLV) -> None:
    plain = key_bag(case.key.pkcs8)
    attribute = structure.Attribute(id=structure.LOCAL_KEY_ID, values=asn1.SetOf([value]))
    bag = structure.SafeBag(id=plain.id, value=plain.value, attributes=asn1.SetOf([attribute]))
    found = KeyBag(None, case.key.pkcs8, None, None)
    assert safes.bags_of(structure.encode_bags([bag])) == (found,)
