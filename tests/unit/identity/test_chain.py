"""Which chain is found, and what is said of signatures."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from nssbackup.errors import NssBackupError
from nssbackup.identity.certificate import StoredCertificate, from_der
from nssbackup.identity.chain import Chains, link, unverified_links
from nssbackup.identity.model import Signature
from nssbackup.identity.pem import read_certificates
from tests.builders.irregular import Parts
from tests.builders.store import Signer, ec_key, issue, issuer_id, own_id, rsa_key

ROOT, MIDDLE, LEAF, OTHER = (ec_key(n) for n in range(4))


def ca(
    subject: str | x509.Name,
    key: Signer,
    issuer: str | x509.Name | None = None,
    by: Signer | None = None,
    days: tuple[int, int] = (-30, 3000),
    extensions: Sequence[x509.ExtensionType] = (),
) -> StoredCertificate:
    return from_der(issue(key, subject, issuer, by, ca=True, days=days, extensions=extensions))


def leaf(
    issuer: str | x509.Name = "Middle",
    by: Signer = MIDDLE,
    extensions: Sequence[x509.ExtensionType] = (),
) -> StoredCertificate:
    return from_der(issue(LEAF, "Jane", issuer, by, extensions=extensions))


def find_chain(
    certificate: StoredCertificate, pool: Sequence[StoredCertificate]
) -> tuple[StoredCertificate, ...]:
    """The chain, whatever the order of the pool."""
    chain = Chains(pool).identity(None, certificate).chain
    assert Chains(pool[::-1]).identity(None, certificate).chain == chain
    return chain


def signature(certificate: StoredCertificate, *pool: StoredCertificate) -> Signature:
    return Chains(pool).identity(None, certificate).signature


ROOT_CA = ca("Root", ROOT)
MIDDLE_CA = ca("Middle", MIDDLE, "Root", ROOT)


def test_the_chain_runs_from_the_issuer_as_far_as_it_goes() -> None:
    assert find_chain(leaf(), [ROOT_CA, MIDDLE_CA]) == (MIDDLE_CA, ROOT_CA)
    assert find_chain(leaf(), [MIDDLE_CA]) == (MIDDLE_CA,)
    assert find_chain(leaf(), [ROOT_CA]) == find_chain(leaf(), []) == ()
    assert find_chain(ROOT_CA, [ROOT_CA, MIDDLE_CA]) == ()
    again = replace(MIDDLE_CA, nickname="again")
    chain = Chains([MIDDLE_CA, again, ROOT_CA, ROOT_CA]).identity(None, leaf()).chain
    assert [c.der for c in chain] == [MIDDLE_CA.der, ROOT_CA.der]


def test_an_issuer_with_another_key_is_passed_over() -> None:
    impostor = ca("Middle", OTHER, "Root", ROOT, days=(-1, 9000))
    assert find_chain(leaf(), [impostor, MIDDLE_CA, ROOT_CA]) == (MIDDLE_CA, ROOT_CA)
    assert find_chain(leaf(), [impostor, ROOT_CA]) == ()


# --- which of several chains

EXPIRED_ROOT = ca("Old root", OTHER, days=(-9000, -1))
CROSSED = ca("Root", ROOT, "Old root", OTHER, days=(-1, 9000))
STRANGER = ca("Stranger", OTHER, days=(-30, 9000))


@pytest.mark.parametrize(
    ("pool", "chain"),
    [
        # An expired root had cross-signed ours.
        ([MIDDLE_CA, ROOT_CA, CROSSED, EXPIRED_ROOT], (MIDDLE_CA, ROOT_CA)),
        ([MIDDLE_CA, CROSSED, EXPIRED_ROOT], (MIDDLE_CA, CROSSED, EXPIRED_ROOT)),
        # Somebody else signed our root: their chain is longer.
        (
            [MIDDLE_CA, ROOT_CA, ca("Root", ROOT, "Stranger", OTHER), STRANGER],
            (MIDDLE_CA, ROOT_CA),
        ),
        # A certificate of Middle leads to a root that is here, one does not.
        (
            [MIDDLE_CA, ROOT_CA, ca("Middle", MIDDLE, "Elsewhere", OTHER, days=(-1, 9000))],
            (MIDDLE_CA, ROOT_CA),
        ),
        # Valid now comes before a root, even if that is here.
        (
            [crossed := ca("Middle", MIDDLE, "Stranger", OTHER), EXPIRED_ROOT, STRANGER],
            (crossed, STRANGER),
        ),
        ([old := ca("Middle", MIDDLE, "Root", ROOT, days=(-9000, -1)), ROOT_CA], (old, ROOT_CA)),
        # Of two alike, the one that ends last.
        (
            [
                MIDDLE_CA,
                longer := ca("Middle", MIDDLE, "Root", ROOT, (-9, 3500)),
                lasting := ca("Root", ROOT, days=(-9, 9000)),
            ],
            (longer, lasting),
        ),
        # The shorter way: Middle is a root, too.
        ([MIDDLE_CA, ROOT_CA, rooted := ca("Middle", MIDDLE)], (rooted,)),
    ],
)
def test_of_several_chains_the_best_is_taken(
    pool: list[StoredCertificate], chain: tuple[StoredCertificate, ...]
) -> None:
    assert find_chain(leaf(), pool) == chain


def test_only_a_ca_is_an_issuer() -> None:
    for constraints in (False, None):
        person = from_der(issue(MIDDLE, "Middle", "Root", ROOT, ca=constraints))
        own = from_der(issue(MIDDLE, "Middle", ca=constraints))
        assert find_chain(leaf(), [person, own, ROOT_CA]) == ()
    old = replace(Parts(), version=b"", extensions=b"", subject=Parts().issuer)
    person = from_der(Parts().sign())
    ec_root = from_der(replace(old, key=_spki(ec_key(90))).sign())
    assert find_chain(person, [ec_root]) == (ec_root,)


def _spki(key: Signer) -> bytes:
    return from_der(issue(key)).public_key or b""


# --- limits


def test_cas_that_sign_one_another_are_no_endless_chain() -> None:
    one, two = ca("One", MIDDLE, "Two", ROOT), ca("Two", ROOT, "One", MIDDLE)
    assert find_chain(leaf("One"), [one, two]) == (one, two)


def test_a_clique_of_cas_comes_to_an_end() -> None:
    keys = [ec_key(100 + n) for n in range(9)]
    pool = [
        ca(f"CA {a}", keys[a], f"CA {b}", keys[b]) for a in range(9) for b in range(9) if a != b
    ]
    chain = Chains(pool).identity(None, leaf("CA 0", keys[0])).chain
    assert len(chain) > 1
    assert len(set(chain)) == len(chain)


# --- names and keys


def typed(kind: _ASN1Type) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Typed", _type=kind)])


def test_names_that_differ_in_string_type_alone_are_one_name() -> None:
    printable, utf8 = typed(_ASN1Type.PrintableString), typed(_ASN1Type.UTF8String)
    middle, impostor = ca(printable, MIDDLE, "Root", ROOT), ca(utf8, OTHER, "Root", ROOT)
    assert printable.public_bytes() != utf8.public_bytes()
    assert find_chain(leaf(utf8), [impostor, middle, ROOT_CA]) == (middle, ROOT_CA)


@pytest.mark.parametrize(
    "signer",
    [rsa_key(), ec_key(5, "secp521r1"), ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))],
    ids=["RSA", "P-521", "Ed25519"],
)
def test_chains_of_other_key_types_are_found(signer: Signer) -> None:
    root = ca("Typed root", signer)
    assert find_chain(leaf("Typed root", signer), [root]) == (root,)
    assert link(leaf("Typed root", signer), MIDDLE_CA) == "wrong"


# --- signatures

MIDDLE_ID = ca("Middle", MIDDLE, "Root", ROOT, extensions=[own_id(MIDDLE)])
OTHER_ID = ca("Middle", OTHER, "Root", ROOT, extensions=[own_id(OTHER)])
NAMED = leaf(extensions=[issuer_id(MIDDLE)])
FORGED = leaf(by=LEAF, extensions=[issuer_id(MIDDLE)])


@pytest.mark.parametrize(
    ("certificate", "pool", "expected"),
    [
        (NAMED, [MIDDLE_ID], "verified"),
        (NAMED, [OTHER_ID, MIDDLE_ID], "verified"),
        (NAMED, [OTHER_ID], "other"),
        (NAMED, [ROOT_CA], "unchecked"),
        (NAMED, [], "unchecked"),
        (FORGED, [MIDDLE_ID], "forged"),
        (FORGED, [OTHER_ID, MIDDLE_ID], "forged"),
        (FORGED, [MIDDLE_CA], "other"),
        (leaf(by=LEAF), [MIDDLE_ID], "other"),
        (ROOT_CA, [], "verified"),
        (from_der(issue(LEAF, "Jane", "Jane", ROOT)), [], "other"),
    ],
)
def test_a_signature_is_told_by_the_issuers_at_hand(
    certificate: StoredCertificate, pool: list[StoredCertificate], expected: Signature
) -> None:
    assert signature(certificate, *pool) == expected
    assert signature(certificate, *pool[::-1]) == expected


def test_one_flipped_bit_is_never_verified() -> None:
    """Wherever it is: what can be read is forged, or of an issuer or a key that is not here."""
    told: dict[str, int] = {}
    names = {MIDDLE_ID.subject}
    for at in range(len(NAMED.der)):
        changed = bytearray(NAMED.der)
        changed[at] ^= 1 << at % 8
        try:
            found = from_der(bytes(changed))
        except NssBackupError:
            continue
        verdict = signature(found, MIDDLE_ID)
        assert verdict != "verified", at
        same = found.issuer in names and found.authority_key_id == MIDDLE_ID.subject_key_id
        if same and "its signature algorithm can't be read" not in found.departures:
            told[verdict] = told.get(verdict, 0) + 1
    assert told["forged"] > 200
    assert told.get("other", 0) == 0


def old_chain(folder: Path, digest: str) -> tuple[StoredCertificate, StoredCertificate]:
    """A person and a CA by OpenSSL, both signed with an old hash."""
    folder.mkdir(exist_ok=True)
    words = ("openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", f"-{digest}", "-days", "9")
    out = ("-keyout", folder / "key.pem", "-out")
    run = partial(subprocess.run, check=True, capture_output=True, timeout=60)
    run([*words, *out, folder / "ca.pem", "-subj", "/CN=Old CA"])
    signing = ("-CA", folder / "ca.pem", "-CAkey", folder / "key.pem")
    person = ("-subj", "/CN=Jane", "-addext", "basicConstraints=CA:FALSE", *signing)
    run([*words, "-keyout", folder / "own.pem", "-out", folder / "jane.pem", *person])
    (jane,) = read_certificates(folder / "jane.pem")
    (authority,) = read_certificates(folder / "ca.pem")
    return jane, authority


@pytest.mark.parametrize("digest", ["md5", "rmd160", "sha512-224"])
def test_a_signature_that_cannot_be_checked_is_joined_by_name(tmp_path: Path, digest: str) -> None:
    jane, authority = old_chain(tmp_path / digest, digest)
    identity = Chains([authority]).identity(None, jane)
    assert (identity.chain, identity.signature) == ((authority,), "unchecked")
    assert list(unverified_links(identity)) == [(jane, authority)]
    stranger = replace(authority, subject_key_id=b"another")
    assert Chains([stranger]).identity(None, jane).chain == ()
    nameless = replace(authority, subject_key_id=None)
    assert Chains([nameless]).identity(None, jane).chain == (nameless,)
    verified = Chains([MIDDLE_ID]).identity(None, NAMED)
    assert list(unverified_links(verified)) == []
