from __future__ import annotations

from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from nssbackup.identity.certificate import StoredCertificate, from_der, load_certificate
from nssbackup.identity.chain import find_chain
from tests.builders.store import Signer, ec_key, issue, rsa_key

ROOT, MIDDLE, LEAF, OTHER = (ec_key(n) for n in range(4))


def ca(
    subject: str | x509.Name,
    key: Signer,
    issuer: str | x509.Name | None = None,
    by: Signer | None = None,
    days: tuple[int, int] = (-30, 3000),
) -> StoredCertificate:
    return from_der(issue(key, subject, issuer, by, ca=True, days=days))


def leaf(issuer: str | x509.Name = "Middle", by: Signer = MIDDLE) -> StoredCertificate:
    return from_der(issue(LEAF, "Jane", issuer, by))


ROOT_CA = ca("Root", ROOT)
MIDDLE_CA = ca("Middle", MIDDLE, "Root", ROOT)


def test_the_chain_runs_from_the_issuer_to_the_root() -> None:
    jane = leaf()
    for pool in ([ROOT_CA, MIDDLE_CA, jane], [jane, MIDDLE_CA, ROOT_CA]):
        assert find_chain(jane, pool) == (MIDDLE_CA, ROOT_CA)


def test_the_chain_ends_at_what_is_missing() -> None:
    assert find_chain(leaf(), [MIDDLE_CA]) == (MIDDLE_CA,)
    assert find_chain(leaf(), [ROOT_CA]) == ()
    assert find_chain(leaf(), []) == ()


def test_a_self_signed_certificate_has_no_chain() -> None:
    assert find_chain(ROOT_CA, [ROOT_CA, MIDDLE_CA]) == ()


def test_an_issuer_of_the_same_name_with_another_key_is_passed_over() -> None:
    impostor = ca("Middle", OTHER, "Root", ROOT, days=(-1, 9000))
    assert find_chain(leaf(), [impostor, MIDDLE_CA, ROOT_CA]) == (MIDDLE_CA, ROOT_CA)
    assert find_chain(leaf(), [impostor, ROOT_CA]) == ()


def test_of_two_ways_the_one_that_goes_further_is_taken() -> None:
    """Cross-signed: one certificate of Middle leads to a root that is here, one does not."""
    crossed = ca("Middle", MIDDLE, "Elsewhere", OTHER, days=(-1, 9000))
    assert find_chain(leaf(), [crossed, MIDDLE_CA, ROOT_CA]) == (MIDDLE_CA, ROOT_CA)


def test_of_two_ways_of_one_length_the_valid_one_that_ends_last_is_taken() -> None:
    expired = ca("Middle", MIDDLE, "Root", ROOT, days=(-9000, -1))
    longer = ca("Middle", MIDDLE, "Root", ROOT, days=(-30, 4000))
    pool = [expired, MIDDLE_CA, longer, ROOT_CA]
    assert find_chain(leaf(), pool) == (longer, ROOT_CA)
    assert find_chain(leaf(), [expired, ROOT_CA]) == (expired, ROOT_CA)


def test_the_issuer_that_the_key_identifier_names_comes_first() -> None:
    ski = x509.SubjectKeyIdentifier.from_public_key(MIDDLE.public_key())
    named = from_der(issue(MIDDLE, "Middle", "Root", ROOT, ca=True, extensions=[ski]))
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(MIDDLE.public_key())
    jane = from_der(issue(LEAF, "Jane", "Middle", MIDDLE, extensions=[aki]))
    longer = ca("Middle", MIDDLE, "Root", ROOT, days=(-30, 9000))
    assert find_chain(jane, [longer, named, ROOT_CA]) == (named, ROOT_CA)


def test_cas_that_sign_one_another_are_no_endless_chain() -> None:
    one, two = ca("One", MIDDLE, "Two", ROOT), ca("Two", ROOT, "One", MIDDLE)
    chain = find_chain(leaf("One"), [one, two])
    assert chain == (one, two)


def test_a_clique_of_cas_that_all_sign_one_another_comes_to_an_end() -> None:
    keys = [ec_key(100 + n) for n in range(9)]
    pool = [
        ca(f"CA {a}", keys[a], f"CA {b}", keys[b]) for a in range(9) for b in range(9) if a != b
    ]
    chain = find_chain(leaf("CA 0", keys[0]), pool)
    assert len(chain) > 1
    assert len(set(chain)) == len(chain)


def test_the_same_ca_twice_is_once_in_the_chain() -> None:
    again = replace(MIDDLE_CA, nickname="again")
    chain = find_chain(leaf(), [MIDDLE_CA, again, ROOT_CA, ROOT_CA])
    assert [c.der for c in chain] == [MIDDLE_CA.der, ROOT_CA.der]


def typed(kind: _ASN1Type) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Typed", _type=kind)])


def test_issuer_names_that_differ_in_string_type_alone_are_one_name() -> None:
    printable, utf8 = typed(_ASN1Type.PrintableString), typed(_ASN1Type.UTF8String)
    middle = ca(printable, MIDDLE, "Root", ROOT)
    assert load_certificate(middle.der).subject.public_bytes() != utf8.public_bytes()
    assert find_chain(leaf(utf8), [middle, ROOT_CA]) == (middle, ROOT_CA)


def test_an_exact_name_with_the_wrong_key_does_not_hide_the_other_string_type() -> None:
    printable, utf8 = typed(_ASN1Type.PrintableString), typed(_ASN1Type.UTF8String)
    middle = ca(printable, MIDDLE, "Root", ROOT)
    impostor = ca(utf8, OTHER, "Root", ROOT)
    assert find_chain(leaf(utf8), [impostor, middle, ROOT_CA]) == (middle, ROOT_CA)


def test_chains_of_other_key_types_are_found() -> None:
    signers: list[Signer] = [
        rsa_key(),
        ec_key(5, "secp521r1"),
        ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)),
    ]
    for signer in signers:
        root = ca("Typed root", signer)
        assert find_chain(leaf("Typed root", signer), [root]) == (root,)


def test_a_thousand_cas_are_searched_with_few_signatures_checked() -> None:
    """A thousand CAs of one name: every one could be the issuer, and one is."""
    crowd = [ca("Middle", OTHER, "Root", ROOT, days=(-1, n)) for n in range(10, 110)]
    others = [from_der(issue(OTHER, f"CA {n}", ca=True)) for n in range(900)]
    assert find_chain(leaf(), [*crowd, *others, MIDDLE_CA, ROOT_CA]) == (MIDDLE_CA, ROOT_CA)
