"""The native store over stores of every make, and of every kind of damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
)

from nssbackup.errors import (
    DamagedStoreError,
    IntegrityError,
    KeyMissingError,
    NoStoreError,
    PrimaryPasswordRequiredError,
    StoreError,
    UnsupportedStoreError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.certificate import from_der
from nssbackup.identity.model import OrphanKey
from nssbackup.secret import Secret
from nssbackup.stores.native import NativeEngine, database
from tests.builders.store import (
    PBE_3DES,
    Key,
    Scheme,
    StoreBuilder,
    aes_structure,
    cka_id,
    ec_key,
    integer,
    issue,
    octets,
    oid,
    pbkdf2_parameters,
    rsa_key,
    seq,
    signature,
)
from tests.conftest import Unchanged
from tests.unit.stores.native.stores import key_of, opened, pkcs8, row_of, sig

RSA = rsa_key()
EC = ec_key()
RSA_DER, EC_DER = issue(RSA), issue(EC)


@pytest.fixture
def builder(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "profile")


@pytest.fixture
def rsa_store(builder: StoreBuilder) -> StoreBuilder:
    builder.add_identity(RSA, RSA_DER, b"mine")
    return builder


@pytest.fixture
def ec_store(builder: StoreBuilder) -> StoreBuilder:
    builder.add_identity(EC, EC_DER, b"mine")
    return builder


# --- right answers


@pytest.mark.parametrize(
    "key",
    [
        RSA,
        rsa_key(0, 1024),
        rsa_key(0, 3072),
        EC,
        ec_key(1, "secp384r1"),
        ec_key(1, "secp521r1"),
        ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
    ],
    ids=["rsa-2048", "rsa-1024", "rsa-3072", "p-256", "p-384", "p-521", "ed25519"],
)
@pytest.mark.parametrize("scheme", ["aes", "3des"])
@pytest.mark.parametrize("salt", [20, 48])
def test_a_key_comes_out_as_it_is_stored(
    tmp_path: Path, unchanged: Unchanged, key: Key, scheme: Scheme, salt: int
) -> None:
    builder = StoreBuilder(tmp_path / "p", "Ünï 😀", scheme, 3, bytes(range(salt)))
    builder.add_identity(key, issue(key))
    builder.write()
    with unchanged(builder.folder), NativeEngine().open(opened(builder.folder)) as store:
        assert store.needs_password() is True
        store.unlock(Secret("Ünï 😀"))
        (certificate,) = store.certificates()
        assert certificate.has_private_key
        found = store.private_key(certificate)
    assert found.pkcs8 == pkcs8(key)
    assert found.public_key == certificate.public_key


@pytest.mark.parametrize(("curve", "size"), [("secp256r1", 32), ("secp521r1", 66)])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "stripped"])
def test_leading_zeros_of_an_ec_key_are_kept_in_the_pkcs8(
    builder: StoreBuilder, curve: str, size: int, *, kept: bool
) -> None:
    key = ec_key(0, curve)  # a number of some ten bytes
    scalar = key.private_numbers().private_value
    assert scalar.bit_length() < 8 * size - 64
    row = builder.add_identity(key, issue(key))[1]
    if not kept:
        builder.set_secret(row, 0x11, scalar.to_bytes((scalar.bit_length() + 7) // 8, "big"))
    got = key_of(builder).pkcs8
    assert got == pkcs8(key)
    assert octets(scalar.to_bytes(size, "big")) in got


def test_a_d_modulo_phi_is_taken_as_it_is_stored(rsa_store: StoreBuilder) -> None:
    """NSS writes the inverse modulo lcm(p-1, q-1); other programs modulo (p-1)(q-1)."""
    n = RSA.private_numbers()
    other = pow(n.public_numbers.e, -1, (n.p - 1) * (n.q - 1))
    size = (other.bit_length() + 7) // 8
    rsa_store.set_secret(row_of(rsa_store), 0x123, other.to_bytes(size, "big"))
    loaded = load_der_private_key(key_of(rsa_store).pkcs8, None)
    assert loaded.private_numbers().d == other  # type: ignore[union-attr]


def test_a_store_without_a_primary_password_needs_none(ec_store: StoreBuilder) -> None:
    with NativeEngine().open(opened(ec_store.write())) as store:
        assert store.needs_password() is False


def test_a_misfiled_signature_is_accepted(rsa_store: StoreBuilder) -> None:
    """NSS before 3.69 files it under id | 0xc0000000 after a change of the password."""
    assert rsa_store.meta is not None
    row = row_of(rsa_store)
    for attribute in (0x120, 0x122, *range(0x123, 0x129)):
        entry = rsa_store.meta.pop(sig(row, attribute))
        rsa_store.meta[sig(row, attribute, 0xC0000000)] = entry
    assert key_of(rsa_store).pkcs8 == pkcs8(RSA)


def test_a_3des_value_needs_no_signature_but_no_wrong_one(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "p", scheme="3des")
    builder.add_identity(EC, EC_DER)
    assert builder.meta is not None
    assert set(builder.meta) == {"password"}
    assert key_of(builder).pkcs8 == pkcs8(EC)
    wrong = signature(builder.key, 0, 0x11, b"other")
    builder.meta[sig(row_of(builder), 0x11)] = (wrong, None)
    with pytest.raises(IntegrityError, match="CKA_VALUE"):
        key_of(builder)


def test_one_store_may_mix_schemes_and_rounds(ec_store: StoreBuilder) -> None:
    ec_store.scheme, ec_store.rounds = "3des", 7
    ec_store.add_identity(RSA, RSA_DER)
    assert key_of(ec_store, EC_DER).pkcs8 == pkcs8(EC)
    assert key_of(ec_store, RSA_DER).pkcs8 == pkcs8(RSA)


def test_both_certificates_of_one_key_get_it(ec_store: StoreBuilder) -> None:
    renewed = issue(EC, days=(0, 700))
    ec_store.add_certificate(renewed, b"mine", cka_id(EC))
    assert key_of(ec_store, EC_DER) == key_of(ec_store, renewed)


def test_two_certificates_of_one_subject_get_their_own_keys(ec_store: StoreBuilder) -> None:
    second = issue(ec_key(2))
    ec_store.add_identity(ec_key(2), second, b"mine")
    assert key_of(ec_store, EC_DER).pkcs8 == pkcs8(EC)
    assert key_of(ec_store, second).pkcs8 == pkcs8(ec_key(2))


def test_what_the_store_says_of_a_certificate_comes_with_it(ec_store: StoreBuilder) -> None:
    row = ec_store.public[0]
    row.update(a3="Zoë 😀".encode() + b"\xff", ace534352=b"zoe@example.com")
    marks = {"ace536358": b"\xce\x53\x43\x51", "ace536359": b"\xce\x53\x43\x5a"}
    ec_store.add_trust(row, 0xCE534353, **marks, ace53635a=b"\0\0\0\x63")
    with NativeEngine().open(opened(ec_store.write())) as store:
        (certificate,) = store.certificates()
    assert certificate.nickname == "Zoë 😀\udcff"
    assert certificate.email == "zoe@example.com"
    assert certificate.trust == (
        ("server", "trusted"),
        ("client", "not-trusted"),
        ("code", "unknown"),
    )


def test_trust_is_of_the_issuer_and_the_serial_number(ec_store: StoreBuilder) -> None:
    certificates = [
        issue(EC, issuer=issuer, by=RSA, serial=serial)
        for issuer, serial in (("One CA", 7), ("One CA", 8), ("Another CA", 7))
    ]
    rows = [ec_store.add_certificate(der) for der in certificates]
    for row, mark in zip(rows, (b"\xce\x53\x43\x51", b"\xce\x53\x43\x5a"), strict=False):
        ec_store.add_trust(row, 0xCE534353, ace536358=mark)
    with NativeEngine().open(opened(ec_store.write())) as store:
        trust = {one.der: one.trust for one in store.certificates()}
    assert [trust[der] for der in certificates] == [
        (("server", "trusted"),),
        (("server", "not-trusted"),),
        (),
    ]


def test_a_certificate_that_is_none_is_noted_and_passed_over(ec_store: StoreBuilder) -> None:
    bad = ec_store.add_certificate(RSA_DER)
    bad["a11"] = RSA_DER[:-3]
    ec_store.add_certificate(EC_DER)  # the same once more
    ec_store.add_certificate(RSA_DER)
    with NativeEngine().open(opened(ec_store.write())) as store:
        assert [c.der for c in store.certificates()] == [EC_DER, RSA_DER]
        assert len(store.notes()) == 1
        assert f"{bad['id']:08x}" in store.notes()[0]


# --- what is missing


def test_a_folder_without_databases_has_no_store(tmp_path: Path) -> None:
    with pytest.raises(NoStoreError) as caught, NativeEngine().open(opened(tmp_path)):
        pass
    assert caught.value.message == f"there is no NSS database in `{tmp_path}`"
    assert caught.value.hint == "`nssbackup profiles` lists the profiles"


@pytest.mark.parametrize("keys", [True, False])
def test_a_certificate_database_that_is_none_is_damage(
    ec_store: StoreBuilder, *, keys: bool
) -> None:
    folder = ec_store.write()
    (folder / "cert9.db").write_bytes(b"no database" * 100)
    if not keys:
        (folder / "key4.db").unlink()
    with pytest.raises(StoreError), NativeEngine().open(opened(folder)) as store:
        store.certificates()


def test_keys_alone_are_a_store_without_certificates(ec_store: StoreBuilder) -> None:
    (ec_store.write() / "cert9.db").unlink()
    with NativeEngine().open(opened(ec_store.folder)) as store:
        store.unlock(Secret(""))
        assert store.certificates() == ()


def test_certificates_alone_are_a_store_without_keys(ec_store: StoreBuilder) -> None:
    (ec_store.write() / "key4.db").unlink()
    with NativeEngine().open(opened(ec_store.folder)) as store:
        assert store.needs_password() is None
        store.unlock(Secret("anything"))
        (certificate,) = store.certificates()
        assert not certificate.has_private_key
        with pytest.raises(KeyMissingError):
            store.private_key(certificate)


@pytest.mark.parametrize("table", [True, False], ids=["no record", "no metaData"])
def test_keys_without_a_password_record_are_damage(ec_store: StoreBuilder, *, table: bool) -> None:
    ec_store.meta = {} if table else None
    with NativeEngine().open(opened(ec_store.write())) as store:
        assert store.needs_password() is None
        with pytest.raises(DamagedStoreError, match="password record"):
            store.unlock(Secret(""))


def test_a_token_that_was_never_initialised_opens(tmp_path: Path) -> None:
    builder = StoreBuilder(tmp_path / "p", meta=None)
    builder.add_certificate(EC_DER)
    with NativeEngine().open(opened(builder.write())) as store:
        store.unlock(Secret("whatever"))
        with pytest.raises(KeyMissingError):
            store.private_key(store.certificates()[0])


def test_a_locked_store_asks_for_the_password(rsa_store: StoreBuilder) -> None:
    with NativeEngine().open(opened(rsa_store.write())) as store:
        (certificate,) = store.certificates()
        with pytest.raises(PrimaryPasswordRequiredError):
            store.private_key(certificate)


# --- four classes: wrong password, damaged, unknown, missing


@pytest.mark.parametrize("password", ["", "Right", "right ", "righ", "r" * 600, "😀", "\udcff"])
def test_a_wrong_password_is_just_that_and_locks_again(tmp_path: Path, password: str) -> None:
    builder = StoreBuilder(tmp_path / "p", "right")
    builder.add_identity(EC, EC_DER)
    with NativeEngine().open(opened(builder.write())) as store:
        store.unlock(Secret("right"))
        with pytest.raises(WrongPrimaryPasswordError) as info:
            store.unlock(Secret(password))
        assert not isinstance(info.value, StoreError)
        assert "reset" in (info.value.hint or "")
        with pytest.raises(PrimaryPasswordRequiredError):
            store.private_key(store.certificates()[0])


PARAMETERS = pbkdf2_parameters(bytes(32), 1)
RECORDS: dict[str, tuple[object, object, type[StoreError]]] = {
    "no DER": (bytes(20), b"abc", DamagedStoreError),
    "empty": (bytes(20), b"", DamagedStoreError),
    "text": (bytes(20), "text", DamagedStoreError),
    "NULL": (bytes(20), None, DamagedStoreError),
    "salt is text": ("text", b"abc", DamagedStoreError),
    "salt is NULL": (None, b"abc", DamagedStoreError),
    "too long": (bytes(20), bytes(257), DamagedStoreError),
    "unknown": (
        bytes(20),
        seq(seq(oid("1.2.840.113549.1.5.3"), seq()), octets(bytes(16))),
        UnsupportedStoreError,
    ),
    "too many rounds": (
        bytes(20),
        seq(seq(oid(PBE_3DES), seq(octets(b"s"), integer(2**40))), octets(bytes(16))),
        UnsupportedStoreError,
    ),
    "AES-128": (
        bytes(20),
        aes_structure(PARAMETERS, octets(bytes(14)), bytes(16), "2.16.840.1.101.3.4.1.2"),
        UnsupportedStoreError,
    ),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_spoiled_password_record_is_never_a_wrong_password(
    ec_store: StoreBuilder, case: str
) -> None:
    salt, check, error = RECORDS[case]
    assert ec_store.meta is not None
    ec_store.meta["password"] = (salt, check)
    with NativeEngine().open(opened(ec_store.write())) as store:
        with pytest.raises(error, match=r"record|rounds"):
            store.unlock(Secret(""))
        with pytest.raises(error):
            store.needs_password()


def test_a_closed_store_gives_nothing_more(builder: StoreBuilder) -> None:
    """Its snapshots are filled with the next profile's databases."""
    builder.add_identity(EC, EC_DER)
    with NativeEngine().open(opened(builder.write())) as store:
        store.unlock(Secret(""))
        (certificate,) = store.certificates()
    for use in (
        store.certificates,
        store.notes,
        store.needs_password,
        lambda: store.unlock(Secret("")),
        lambda: store.private_key(certificate),
    ):
        with pytest.raises(ValueError, match="closed"):
            use()


# --- keys without certificate

KINDS: list[tuple[Key, str, int | None]] = [
    (RSA, "RSA", 2048),
    (EC, "EC", 256),
    (ec_key(0, "secp384r1"), "EC", 384),
    (ec_key(0, "secp521r1"), "EC", 521),
    (ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))), "Ed25519", 256),
    (x25519.X25519PrivateKey.from_private_bytes(bytes(range(32))), "X25519", None),
    (dsa.generate_private_key(1024), "DSA", None),  # noqa: S505 - quick to make, and for nothing else
]


@pytest.mark.parametrize(("key", "kind", "bits"), KINDS, ids=[one[1] for one in KINDS])
def test_a_key_without_its_certificate_says_what_it_is(
    builder: StoreBuilder, key: Key, kind: str, bits: int | None
) -> None:
    row = builder.add_key(key)
    with NativeEngine().open(opened(builder.write())) as store:
        assert store.orphan_keys() == (OrphanKey(f"{row['id']:08x}", kind, bits),)
        assert store.orphan_of(from_der(issue(ec_key(5)))) is None
        if isinstance(key, type(EC)):
            assert store.orphan_of(from_der(issue(key))) == store.orphan_keys()[0]


def test_a_key_that_says_little_is_told_of_as_far_as_it_goes(builder: StoreBuilder) -> None:
    odd, curve, bare, empty = (builder.add_key(key) for key in (EC, EC, EC, RSA))
    odd["a100"], curve["a180"], empty["a120"] = b"\0\0\0\x7f", b"\x06\x01\x2a", None
    bare["a100"] = None
    for number, row in enumerate((odd, curve, bare, empty)):
        row["a102"], row["ad5a0db00"] = bytes([number]), bytes([number + 1])
    with NativeEngine().open(opened(builder.write())) as store:
        found = [(one.type, one.bits) for one in store.orphan_keys()]
    assert found == [("unknown", None), ("EC", None), ("unknown", None), ("RSA", None)]


def test_of_two_keys_one_may_have_its_certificate(builder: StoreBuilder) -> None:
    builder.add_identity(EC, EC_DER)
    orphan = builder.add_key(RSA)
    with NativeEngine().open(opened(builder.write())) as store:
        assert [one.id for one in store.orphan_keys()] == [f"{orphan['id']:08x}"]
        (certificate,) = store.certificates()
        assert certificate.trust == ()
        assert store.orphan_of(certificate) is None
        store.unlock(Secret(""))
        # A renewal that the store has not got has the key all the same.
        assert store.private_key(from_der(issue(EC, "Jane Roe"))).pkcs8 == pkcs8(EC)
        with pytest.raises(KeyMissingError, match="`Zoe` is not in this store") as caught:
            store.private_key(from_der(issue(ec_key(5), "Zoe")))
        assert caught.value.hint == "`nssbackup list` shows where keys are present"


@pytest.mark.parametrize(("limit", "value"), [("_MAX_ROWS", 11), ("_MAX_ROW_BYTES", 3_000)])
def test_more_rows_than_any_store_has_are_not_read(
    builder: StoreBuilder, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    for number in range(12):
        builder.add_certificate(issue(EC, f"Jane {number}", serial=number + 1))
    folder = builder.write()
    with NativeEngine().open(opened(folder)) as store:
        assert len(store.certificates()) == 12
    monkeypatch.setattr(database, limit, value)
    with (
        NativeEngine().open(opened(folder)) as store,
        pytest.raises(UnsupportedStoreError, match="holds more than nssbackup reads"),
    ):
        store.certificates()
