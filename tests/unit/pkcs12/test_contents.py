"""Which key belongs to which certificate."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nssbackup.identity import chain
from nssbackup.identity.certificate import StoredCertificate, from_der
from nssbackup.identity.model import PrivateKey
from nssbackup.identity.private_keys import from_pkcs8
from nssbackup.pkcs12 import FoundCertificate, FoundKey, PfxContents, PfxDescription
from tests.builders.store import ec_key, issue
from tests.unit.pkcs12.identities import Case, identity_of, key_of, pkcs8_of

Keys = Sequence[tuple[PrivateKey, bytes | None]]
Certificates = Sequence[tuple[StoredCertificate, bytes | None]]

NOTHING = PfxDescription(None, (), ())


def contents(keys: Keys, certificates: Certificates) -> PfxContents:
    return PfxContents(
        tuple(FoundKey(key, None, key_id) for key, key_id in keys),
        tuple(FoundCertificate(each, None, key_id) for each, key_id in certificates),
        NOTHING,
    )


def test_by_local_key_id(case: Case, other_case: Case) -> None:
    own, other = case.identity.certificate, other_case.identity.certificate
    found = contents([(case.key, b"2")], [(other, b"1"), (own, b"2")])
    assert identity_of(found).certificate.der == own.der


def test_by_public_key_without_one(case: Case, other_case: Case) -> None:
    own, other = case.identity.certificate, other_case.identity.certificate
    for key_id in (None, b"nowhere"):
        found = contents([(case.key, key_id)], [(other, None), (own, None)])
        assert identity_of(found).certificate.der == own.der


def test_of_two_with_one_local_key_id_the_one_whose_key_fits(case: Case, other_case: Case) -> None:
    own, other = case.identity.certificate, other_case.identity.certificate
    found = contents([(case.key, b"1")], [(other, b"1"), (own, b"1")])
    assert identity_of(found).certificate.der == own.der


def test_a_local_key_id_that_lies_is_left_to_be_verified(case: Case, other_case: Case) -> None:
    found = contents([(case.key, b"1")], [(other_case.identity.certificate, b"1")])
    assert identity_of(found).certificate.public_key != key_of(found).public_key


def test_the_key_is_that_of_the_identity(case: Case, other_case: Case) -> None:
    found = contents(
        [(other_case.key, None), (case.key, None)], [(case.identity.certificate, None)]
    )
    assert found.key is case.key
    assert [pair.identity is None for pair in found.pairs] == [True, False]


def test_a_missing_half_is_none(case: Case) -> None:
    assert contents([], [(case.identity.certificate, None)]).key is None
    assert contents([], [(case.identity.certificate, None)]).identity is None
    assert contents([(case.key, None)], []).identity is None
    assert contents([(case.key, None)], []).key is case.key


def test_the_chain_is_in_order_whatever_the_files_is(case: Case) -> None:
    own, (ca, root) = case.identity.certificate, case.identity.chain
    found = contents([(case.key, None)], [(root, None), (own, None), (ca, None)])
    assert identity_of(found).chain == (ca, root)


def test_the_chain_ends_at_what_is_missing(case: Case) -> None:
    own, (_, root) = case.identity.certificate, case.identity.chain
    found = contents([(case.key, None)], [(own, None), (root, None)])
    assert identity_of(found).chain == ()


def test_cas_of_one_name_are_told_apart_by_their_key(case: Case, other_case: Case) -> None:
    own, (ca, root) = case.identity.certificate, case.identity.chain
    namesake = other_case.identity.chain[0]
    assert namesake.subject == ca.subject
    found = contents([(case.key, None)], [(namesake, None), (ca, None), (root, None), (own, None)])
    assert identity_of(found).chain == (ca, root)


def test_all_chains_of_a_file_have_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 472 kB, with 60 keys and a ring of 870 issuers, once cost minutes."""
    ring = [ec_key(number) for number in range(30)]
    issuers = [
        from_der(issue(key, "CA", by=ring[place - 1], ca=True)) for place, key in enumerate(ring)
    ]
    keys = [ec_key(100 + number) for number in range(20)]
    people = [from_der(issue(key, "Person", "CA", by=ring[0])) for key in keys]
    found = contents(
        [(from_pkcs8(pkcs8_of(key)), None) for key in keys],
        [(each, None) for each in (*people, *issuers)],
    )
    tried = 0

    def counted(certificate: StoredCertificate, issuer: StoredCertificate) -> chain.Link:
        nonlocal tried
        tried += 1
        return link(certificate, issuer)

    link = chain.link
    monkeypatch.setattr(chain, "link", counted)
    assert len(found.pairs) == len(found.pairs) == 20
    assert found.identity is not None
    assert 1_000 < tried < 10_100
