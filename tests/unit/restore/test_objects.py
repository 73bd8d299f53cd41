"""Objects: what a new object's values are, held against NSS's own and against our reader."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from nssbackup.errors import RestoreError
from nssbackup.identity.certificate import from_der
from nssbackup.identity.model import PrivateKey
from nssbackup.identity.private_keys import from_pkcs8
from nssbackup.restore.objects import EMPTY, NSS_TRUST, TRUST, Additions, Change, Maker, names
from nssbackup.restore.rows import Rows
from nssbackup.stores.native import pbe
from nssbackup.stores.native.contents import key_id, public_value
from tests import PROFILES
from tests.builders.store import ec_key, integer, issue, name, rsa_key
from tests.builders.store import public_value as value_of
from tests.unit.pkcs12.identities import pkcs8_of

KEY = pbe.intermediate_key(b"salt of twenty bytes", "Ünï")
INDEX = json.loads((PROFILES.parent / "profiles.json").read_text(encoding="utf-8"))["profiles"]


def made_of(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, rounds: int = 1) -> Additions:
    key = from_pkcs8(pkcs8_of(private))
    maker = Maker(KEY, rounds, count(1))
    identifier = key_id(public_value(key.public_key))
    maker.add_public_key(key, identifier)
    maker.add_private_key(key, identifier, "jane", b"0\0")
    return maker.additions()


@pytest.mark.parametrize(
    "private", [rsa_key(), *(ec_key(0, f"secp{bits}r1") for bits in (256, 384, 521))]
)
def test_a_key_is_encrypted_and_signed_as_the_store_has_it(
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    made = made_of(private, rounds=3)
    public, hidden = made.objects
    assert (public.private, hidden.private) == (False, True)
    assert public.columns["a102"] == hidden.columns["a102"]
    assert hidden.columns["a102"] == hashlib.sha1(value_of(private)).digest()  # noqa: S324
    assert hidden.columns["ad5a0db00"] == value_of(private)
    secret = [c for c in ("a11", *(f"a{n:x}" for n in range(0x123, 0x129))) if c in hidden.columns]
    assert secret == (
        ["a123", "a124", "a125", "a126", "a127", "a128"]
        if isinstance(private, rsa.RSAPrivateKey)
        else ["a11"]
    )
    salts = set()
    for column in secret:
        ciphertext = pbe.parse_ciphertext(hidden.columns[column], column)
        plain = ciphertext.decrypt(KEY)
        assert ciphertext.rounds == 3
        salts.add(ciphertext.salt)
        attribute = int(column[1:], 16)
        signature = pbe.parse_signature(
            made.signatures[f"sig_key_{hidden.id:08x}_{attribute:08x}"], column
        )
        assert signature.fits(KEY, 0, attribute, plain)
        assert signature.rounds == 3
        if isinstance(private, ec.EllipticCurvePrivateKey):
            # The length is that of the curve, whatever the number is.
            assert len(plain) == (private.curve.key_size + 7) // 8
    assert len(salts) == len(secret)


def test_the_public_numbers_of_an_rsa_key_are_signed() -> None:
    made = made_of(rsa_key())
    for each, kind in zip(made.objects, ("cert", "key"), strict=True):
        for column in ("a120", "a122"):
            attribute = int(column[1:], 16)
            blob = made.signatures[f"sig_{kind}_{each.id:08x}_{attribute:08x}"]
            signature = pbe.parse_signature(blob, column)
            assert signature.fits(KEY, each.id, attribute, each.columns[column])


@pytest.mark.parametrize(
    "case", [case for case, facts in INDEX.items() if not case.startswith("legacy")]
)
def test_names_are_those_that_nss_has_written(case: str) -> None:
    """Issuer, serial number and subject of every certificate in the fixtures, byte for byte."""
    rows = Rows.read(PROFILES / case)
    certificates = [row for row in rows.public.objects.values() if row["a0"] == b"\0\0\0\1"]
    assert certificates or case == "key-without-certificate"
    for row in certificates:
        found = names(row["a11"])
        assert found == {column: row[column] for column in ("a81", "a82", "a101")}


@given(st.integers(0, 2**159 - 1), st.text(max_size=200).filter(str.strip))
def test_serial_numbers_and_names_are_cut_out_right(serial: int, text: str) -> None:
    subject = name(text.encode("utf-8", "replace").decode()[:16] or "x")  # 64 bytes
    der = issue(ec_key(), subject, serial=serial or 1)
    parsed = x509.load_der_x509_certificate(der)
    assert names(der) == {
        "a81": parsed.issuer.public_bytes(),
        "a82": integer(parsed.serial_number),
        "a101": parsed.subject.public_bytes(),
    }


def test_a_certificate_of_version_1_has_its_names_too() -> None:
    der = issue(rsa_key())
    # Version 1 is the default, which is not written.
    tbs = names(der)
    assert tbs["a81"] == tbs["a101"]
    at = der.index(b"\xa0\x03\x02\x01\x02")
    cut = bytearray(der[:at] + der[at + 5 :])
    for place in (2, 6):  # the lengths around it, two octets each
        size = int.from_bytes(cut[place : place + 2], "big") - 5
        cut[place : place + 2] = size.to_bytes(2, "big")
    assert names(bytes(cut)) == tbs


def test_what_has_no_name_and_no_e_mail_gets_none() -> None:
    maker = Maker(KEY, 1, count(1))
    maker.add_certificate(from_der(issue(ec_key())), None, b"")
    (row,) = maker.additions().objects
    assert (row.columns["a3"], row.columns["a102"]) == (EMPTY, EMPTY)
    assert "ace534352" not in row.columns


def _unusable() -> Iterator[PrivateKey]:
    for private in (
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(2048),
    ):
        public = private.public_key()
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        yield PrivateKey(pkcs8_of(private), spki, type(private).__name__, 256)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", list(_unusable()), ids=lambda key: key.type)
def test_a_key_that_nss_can_not_use_is_refused_in_words(key: PrivateKey) -> None:
    maker = Maker(KEY, 1, count(1))
    with pytest.raises(RestoreError, match="can't use a private key of this type") as refused:
        maker.add_public_key(key, b"id")
    assert refused.value.hint is not None
    with pytest.raises(RestoreError):
        maker.add_private_key(key, b"id", None, b"0\0")
    assert maker.additions() == Additions((), {})


YES, NO = b"\1", b"\0"
BOTH = {"a1": YES, "a170": YES, "a110": EMPTY, "a111": EMPTY, "a163": NO}
PRIVATE = {**BOTH, "a0": b"\0\0\0\3", "a2": YES, "a3": b"jane", "a101": b"0\0", "a162": YES}
PRIVATE |= {"a164": NO, "a165": NO, "a103": YES, "a108": YES, "a109": YES}
PUBLIC = {**BOTH, "a0": b"\0\0\0\2", "a2": NO, "a3": EMPTY, "a101": EMPTY}
PUBLIC |= {"a10a": YES}


@pytest.mark.parametrize(
    ("private", "kind", "usages"),
    [(rsa_key(), b"\0\0\0\0", (YES, NO)), (ec_key(), b"\0\0\0\3", (NO, YES))],
)
def test_what_is_not_encrypted_of_a_key_is_as_nss_has_it(
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    kind: bytes,
    usages: tuple[bytes, bytes],
) -> None:
    encrypts, derives = usages
    made = made_of(private)
    assert (made.changes, len(made.objects)) == ((), 2)
    identifier = {"a100": kind, "a10c": derives, "a102": key_id(value_of(private))}
    if isinstance(private, rsa.RSAPrivateKey):
        n = private.public_key().public_numbers()
        numbers = {"a120": n.n.to_bytes(256, "big"), "a122": n.e.to_bytes(3, "big")}
        point = {}
    else:
        numbers = {"a180": bytes.fromhex("06082a8648ce3d030107")}
        point = {"a181": b"\x04\x41" + value_of(private)}
    public, hidden = (dict(each.columns) for each in made.objects)
    secret = [f"a{n:x}" for n in (0x11, *range(0x123, 0x129))]
    assert {c: v for c, v in hidden.items() if c not in secret} == {
        **PRIVATE,
        **dict.fromkeys(("a105", "a107"), encrypts),
        **identifier,
        **numbers,
        "ad5a0db00": value_of(private),
    }
    assert public == {
        **PUBLIC,
        **dict.fromkeys(("a104", "a106", "a10b"), encrypts),
        **identifier,
        **numbers,
        **point,
    }


def test_a_point_of_a_long_curve_has_a_long_length() -> None:
    public, _ = made_of(ec_key(0, "secp521r1")).objects
    assert public.columns["a181"] == b"\x04\x81\x85" + value_of(ec_key(0, "secp521r1"))


def test_a_certificate_is_as_nss_has_it() -> None:
    der = issue(ec_key(), "Zoë", serial=0x4711)
    maker = Maker(KEY, 1, count(7))
    certificate = replace(from_der(der), email="zo\udceb@example.com")
    maker.add_certificate(certificate, "Zo\udceb", b"id")
    made = maker.additions()
    (row,) = made.objects
    assert (row.private, row.id, made.signatures) == (False, 7, {})
    assert dict(row.columns) == {
        "a0": b"\0\0\0\1",
        "a1": YES,
        "a2": NO,
        "a170": YES,
        "a80": bytes(4),
        "a3": b"Zo\xeb",
        "a11": der,
        "a102": b"id",
        "ace534352": b"zo\xeb@example.com",
        **names(der),
    }


def test_trust_is_said_as_nss_has_it_and_signed() -> None:
    der = issue(ec_key(), "CA", ca=True)
    maker = Maker(KEY, 2, count(9))
    maker.add_trusted_ca(from_der(der))
    made = maker.additions()
    (row,) = made.objects
    trusted, valid, verify = (bytes.fromhex(f"ce5343{n}") for n in ("52", "5b", "53"))
    said = {
        "ace536358": trusted,
        "ace536359": valid,
        "ace53635a": verify,
        "ace53635b": trusted,
        "ace536360": NO,
        "ace5363b4": hashlib.sha1(der).digest(),  # noqa: S324 - NSS's choice
        "ace5363b5": hashlib.md5(der).digest(),  # noqa: S324
    }
    assert (row.private, row.id, made.changes) == (False, 9, ())
    assert dict(row.columns) == {
        "a0": NSS_TRUST,
        "a1": YES,
        "a2": NO,
        "a170": YES,
        "a3": EMPTY,
        **{column: names(der)[column] for column in ("a81", "a82")},
        **said,
    }
    assert made.signatures.keys() == {f"sig_cert_00000009_{column[1:]:0>8}" for column in said}
    for column, value in said.items():
        blob = made.signatures[f"sig_cert_00000009_{column[1:]:0>8}"]
        signature = pbe.parse_signature(blob, column)
        assert signature.fits(KEY, 9, int(column[1:], 16), value)
        assert signature.rounds == 2


@pytest.mark.parametrize(
    ("kind", "columns", "trusted"),
    [
        (NSS_TRUST, ("ace536358", "ace53635b"), bytes.fromhex("ce534352")),
        (TRUST, ("a62c", "a62f"), b"\0\0\0\2"),
    ],
)
def test_a_trust_object_is_changed_and_signed_anew(
    kind: bytes, columns: tuple[str, str], trusted: bytes
) -> None:
    maker = Maker(KEY, 1, count(1))
    maker.change_to_trusted_ca(5, {"a0": kind, columns[0]: b"before"})
    made = maker.additions()
    before = {columns[0]: b"before", columns[1]: None}
    assert made.objects == ()
    assert made.changes == (Change(False, 5, before, dict.fromkeys(columns, trusted)),)
    for column in columns:
        blob = made.signatures[f"sig_cert_00000005_{column[1:]:0>8}"]
        assert pbe.parse_signature(blob, column).fits(KEY, 5, int(column[1:], 16), trusted)
    assert len(made.signatures) == 2
