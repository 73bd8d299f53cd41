"""key3.db: keys, their encryption, and the password record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa

from nssbackup.errors import (
    DamagedStoreError,
    KeyInconsistentError,
    KeyMismatchError,
    KeyMissingError,
    KeyNotExportableError,
    NssBackupError,
    PrimaryPasswordRequiredError,
    UnsupportedStoreError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.certificate import from_der
from nssbackup.identity.choosing import assemble
from nssbackup.identity.model import OrphanKey
from nssbackup.secret import Secret
from nssbackup.stores.legacy.berkeley import read_records
from nssbackup.stores.legacy.key3 import KeyDatabase
from nssbackup.stores.native import NativeEngine
from nssbackup.stores.unlocking import read_key
from tests import PROFILES
from tests.builders.berkeley import ByteOrder
from tests.builders.legacy import (
    LegacyBuilder,
    check_record,
    key_record,
)
from tests.builders.store import (
    Key,
    cka_id,
    des_blob,
    ec_key,
    integer,
    issue,
    octets,
    oid,
    public_value,
    rsa_key,
    seq,
)
from tests.unit.stores.legacy.legacy_stores import (
    EC,
    EC_DER,
    RSA,
    RSA_DER,
    at,
    key_of,
    only,
    opened,
)
from tests.unit.stores.native.stores import pkcs8

ORDERS: list[ByteOrder] = ["little", "big"]


@pytest.fixture
def builder(tmp_path: Path) -> LegacyBuilder:
    return LegacyBuilder(tmp_path / "profile")


@pytest.fixture
def store(builder: LegacyBuilder) -> LegacyBuilder:
    """A store with an RSA identity and no password."""
    builder.add_identity(RSA, RSA_DER)
    return builder


@pytest.mark.parametrize(
    "key",
    [RSA, rsa_key(0, 1024), EC, ec_key(0, "secp384r1"), ec_key(0, "secp521r1")],
    ids=["rsa2048", "rsa1024", "p256", "p384", "p521"],
)
@pytest.mark.parametrize("byte_order", ORDERS)
def test_keys_come_out_as_they_were_put_in(
    builder: LegacyBuilder, key: Key, byte_order: ByteOrder
) -> None:
    builder.byte_order = byte_order
    builder.add_identity(key, issue(key))
    builder.add_saved_password_key()
    (certificate,) = opened(builder).certificates()
    assert certificate.has_private_key
    found = key_of(builder, certificate.der)
    assert found.pkcs8 == pkcs8(key)
    assert found.public_key == certificate.public_key


@pytest.mark.parametrize("page_size", [512, 1024, 4096, 32768])
def test_a_key_over_several_pages_comes_out(builder: LegacyBuilder, page_size: int) -> None:
    """With pages of 4096 bytes this is so for RSA keys of 8192 bits, with 512 for any."""
    builder.page_size = page_size
    builder.add_identity(RSA, RSA_DER)
    builder.add_identity(EC, EC_DER)
    assert key_of(builder).pkcs8 == pkcs8(RSA)
    assert key_of(builder, EC_DER).pkcs8 == pkcs8(EC)


def test_a_key_under_a_value_with_a_sign_byte_is_found(builder: LegacyBuilder) -> None:
    builder.add_certificate(RSA_DER)
    builder.add_key(RSA, name=b"\0" + public_value(RSA))
    assert only(builder).has_private_key
    assert opened(builder).orphan_keys() == ()
    assert key_of(builder).pkcs8 == pkcs8(RSA)


def test_both_certificates_of_one_key_get_it(store: LegacyBuilder) -> None:
    renewed = issue(RSA, days=(0, 700))
    store.add_certificate(renewed)
    assert {c.has_private_key for c in opened(store).certificates()} == {True}
    assert key_of(store) == key_of(store, renewed)


def test_a_certificate_from_elsewhere_gets_its_key(store: LegacyBuilder) -> None:
    store.add_key(EC)
    assert key_of(store, EC_DER).pkcs8 == pkcs8(EC)


def test_a_certificate_without_its_key_is_that(builder: LegacyBuilder) -> None:
    builder.add_certificate(RSA_DER)
    builder.add_key(EC)
    assert not only(builder).has_private_key
    with pytest.raises(KeyMissingError, match="Jane Doe") as caught:
        key_of(builder)
    assert caught.value.hint == "`nssbackup list` shows where keys are present"


def test_a_dsa_key_is_there_and_refused_by_name(builder: LegacyBuilder) -> None:
    key = dsa.generate_private_key(1024)  # noqa: S505 - quick to make
    der = issue(key, issuer="CA", by=RSA)
    builder.add_identity(key, der)
    assert only(builder).has_private_key
    with pytest.raises(KeyNotExportableError, match="DSA"):
        key_of(builder, der)


def test_the_key_of_saved_passwords_is_no_key_of_a_person(builder: LegacyBuilder) -> None:
    builder.add_saved_password_key()
    found = opened(builder)
    assert found.orphan_keys() == ()
    assert found.needs_password() is False


def test_keys_without_certificates_say_what_can_be_known(builder: LegacyBuilder) -> None:
    # Of a DSA key the value may be even, which no modulus is.
    builder.add_key(RSA)
    builder.add_key(EC)
    builder.add_key(EC, name=b"\x80" + bytes(127))
    builder.add_certificate(EC_DER)
    found = opened(builder)
    mine = OrphanKey(cka_id(RSA).hex(), "RSA", 2048)
    first, second = sorted(found.orphan_keys(), key=lambda orphan: orphan.type)
    assert (first, second.type, second.bits) == (mine, "unknown", None)
    assert found.orphan_of(from_der(RSA_DER)) == mine
    assert found.orphan_of(from_der(EC_DER)) is None  # it has a certificate here
    assert found.orphan_of(from_der(issue(ec_key(5)))) is None


@pytest.mark.parametrize(("curve", "bits"), [("secp256r1", 256), ("secp521r1", 521)])
def test_a_point_without_a_certificate_is_an_ec_key(
    builder: LegacyBuilder, curve: str, bits: int
) -> None:
    key = ec_key(1, curve)
    builder.add_key(key)
    assert opened(builder).orphan_keys() == (OrphanKey(cka_id(key).hex(), "EC", bits),)


# --- keys that are not what they should be


def test_the_key_of_another_is_not_handed_out_as_this_ones(
    builder: LegacyBuilder, tmp_path: Path
) -> None:
    """Nothing signs the records: one may lie under another's name."""
    builder.add_certificate(RSA_DER)
    builder.add_key(rsa_key(1), name=public_value(RSA))
    builder.write()
    profile = at(tmp_path / "profile")
    with NativeEngine().open(profile) as found:
        (identity,) = assemble(profile, found.certificates())
    with pytest.raises(KeyMismatchError):
        read_key(identity, "native", lambda _profile, _attempt: None)


@pytest.mark.parametrize(
    "plain",
    [
        *(b"", b"\0", b"\x30\x03abc", pkcs8(RSA)[:-1], RSA_DER),
        pkcs8(RSA).replace(b"\x2a\x86\x48", b"\x2a\x86\x49"),  # another OID
        seq(integer(0), seq(oid("1.2.840.113549.1.1.1")), octets(seq(integer(0)))),
    ],
    ids=["empty", "zero", "sequence", "short", "certificate", "algorithm", "no numbers"],
)
def test_what_is_no_private_key_is_an_error(store: LegacyBuilder, plain: bytes) -> None:
    store.add_key(RSA, plain=plain)
    with pytest.raises((KeyInconsistentError, KeyNotExportableError)):
        key_of(store)


def test_rsa_values_that_do_not_fit_are_inconsistent(store: LegacyBuilder) -> None:
    numbers = RSA.private_numbers()
    prime = integer(numbers.p)
    store.add_key(RSA, plain=pkcs8(RSA).replace(prime, prime[:-1] + b"\x01"))
    with pytest.raises(KeyInconsistentError):
        key_of(store)


def test_a_point_that_is_not_the_scalars_is_inconsistent(builder: LegacyBuilder) -> None:
    builder.add_certificate(EC_DER)
    plain = pkcs8(EC).replace(public_value(EC), public_value(ec_key(1)))
    builder.add_key(EC, plain=plain)
    with pytest.raises(KeyInconsistentError):
        key_of(builder, EC_DER)


def test_a_key_under_another_password_is_damage(store: LegacyBuilder) -> None:
    for salt in range(3):  # with the wrong key one padding in 256 is right
        blob = des_blob(b"another", pkcs8(RSA), salt=bytes([salt]) * 20)
        store.keys[public_value(RSA)] = key_record(blob)
        with pytest.raises((DamagedStoreError, KeyInconsistentError)):
            key_of(store)


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        (b"", DamagedStoreError, "impossible length"),
        (b"\3", DamagedStoreError, "impossible length"),
        (b"\3\0\0", DamagedStoreError, "impossible length"),
        (b"\3\0\1\0", DamagedStoreError, "impossible length"),
        (b"\3\xff\xff" + bytes(400), DamagedStoreError, "impossible length"),
        (b"\2\0\1\0" + bytes(100), UnsupportedStoreError, "which nssbackup does not know"),
        (b"\3\0\1\0" + bytes(100), DamagedStoreError, "not an encrypted value"),
        (b"\3\0\1\0" + seq(), DamagedStoreError, "not an encrypted value"),
        (
            key_record(seq(seq(oid("1.2.840.113549.1.5.3"), seq()), octets(bytes(16)))),
            UnsupportedStoreError,
            r"1\.2\.840\.113549\.1\.5\.3",
        ),
    ],
    ids=[
        *("empty", "version", "no payload", "no payload behind a nickname", "lengths"),
        *("version 2", "zeros", "an empty sequence", "algorithm"),
    ],
)
def test_a_key_record_that_is_none_is_named(
    store: LegacyBuilder, record: bytes, error: type[NssBackupError], message: str
) -> None:
    store.keys[public_value(RSA)] = record
    with pytest.raises(error, match=message):
        key_of(store)


def test_too_many_rounds_for_a_key_are_refused_first(store: LegacyBuilder) -> None:
    structure = seq(
        seq(oid("1.2.840.113549.1.12.5.1.3"), seq(octets(bytes(20)), integer(2**40))),
        octets(bytes(16)),
    )
    store.keys[public_value(RSA)] = key_record(structure)
    with pytest.raises(UnsupportedStoreError, match="1,099,511,627,776"):
        key_of(store)


# --- passwords


@pytest.mark.parametrize(
    ("salt", "check", "password"),
    [
        (
            "210f340fc6870a0234c8d5a0f10903898a457ae7",
            (
                "03140173381fd295a8d6e70d4980d80d85965e7e206024000b2a864886f70d010c050103"
                "bc034a1e02b432e874ce27b7a89fd61c"
            ),
            "Passw0rd",
        ),
        (
            "353a600615c6e67148e6420639e7cfdadbf61200",
            (
                "03170106ad02030bbb68f7dd8a35e88e4de4feee4542d5271002000b2a864886f70d010c050103"
                "0d449dd742e60cc460d3e93f4dabf82a"
            ),
            "Passw0rd",
        ),
    ],
    ids=["1 round", "10,000 rounds"],
)
def test_password_records_of_nss_3_87_open(salt: str, check: str, password: str) -> None:
    database = KeyDatabase(bytes.fromhex(salt), bytes.fromhex(check))
    assert database.unlock(password) is not None
    for wrong in ("", "passw0rd", "Passw0rd ", "ü"):
        assert database.unlock(wrong) is None


@pytest.mark.parametrize(("case", "length"), [("legacy-password", 20), ("legacy-rounds", 23)])
def test_the_fixtures_are_one_with_rounds_and_one_without(case: str, length: int) -> None:
    """So that the contract's tests, which read them, are about both."""
    data = (PROFILES / case / "key3.db").read_bytes()
    assert dict(read_records(data, "key3.db"))[b"password-check"][1] == length


@pytest.mark.parametrize("password", ["", "correct horse 7", "Ünï-пароль-密码", "🔑", "x" * 500])
@pytest.mark.parametrize("salt", [16, 20], ids=["salt of Firefox 2", "salt of today"])
@pytest.mark.parametrize("rounds", [1, 10_000])
def test_the_right_password_opens_and_others_do_not(
    tmp_path: Path, password: str, salt: int, rounds: int
) -> None:
    """Rounds and the length of the global salt are what differs between the generations."""
    made = LegacyBuilder(tmp_path, password, rounds, salt=os.urandom(salt))
    made.add_identity(RSA, RSA_DER)
    found = opened(made)
    assert found.needs_password() is (password != "")
    (certificate,) = found.certificates()
    with pytest.raises(PrimaryPasswordRequiredError):
        found.private_key(certificate)
    for wrong in ("wrong", password + " ", "x" * 5000):
        with pytest.raises(WrongPrimaryPasswordError):
            found.unlock(Secret(wrong))
        with pytest.raises(PrimaryPasswordRequiredError):
            found.private_key(certificate)
    found.unlock(Secret(password))
    assert found.private_key(certificate).pkcs8 == pkcs8(RSA)
    with pytest.raises(WrongPrimaryPasswordError):
        found.unlock(Secret("wrong"))
    with pytest.raises(PrimaryPasswordRequiredError):
        found.private_key(certificate)


@pytest.mark.parametrize("length", [8, 16, 20, 28, 32, 48, 64])
@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_rounds_stand_behind_salts_of_the_lengths_of_digests(
    store: LegacyBuilder, length: int, digits: int
) -> None:
    salt = bytes(range(1, length + 1))
    store.keys[b"password-check"] = check_record(store.key, salt=salt, rounds=77, digits=digits)
    if length in {8, 16}:  # all of it is salt to NSS
        with pytest.raises(WrongPrimaryPasswordError):
            opened(store).unlock(Secret(""))
    else:
        assert key_of(store).pkcs8 == pkcs8(RSA)


def test_a_salt_that_only_looks_as_if_rounds_followed_is_a_salt(store: LegacyBuilder) -> None:
    salt = bytes(19) + b"\x05"
    store.keys[b"password-check"] = check_record(store.key, salt=salt)
    assert key_of(store).pkcs8 == pkcs8(RSA)


@pytest.mark.parametrize("rounds", [10_000_001, 2**31 - 1, 2**64 - 1])
def test_too_many_rounds_for_a_password_are_refused(store: LegacyBuilder, rounds: int) -> None:
    store.keys[b"password-check"] = check_record(store.key, rounds=rounds, digits=8)
    found = opened(store)
    assert len(found.certificates()) == 1
    for ask in (found.needs_password, lambda: found.unlock(Secret(""))):
        with pytest.raises(UnsupportedStoreError, match="rounds"):
            ask()


def test_the_most_digits_that_fit_are_an_absurd_number(store: LegacyBuilder) -> None:
    """The bytes of one record hold a number of 230 bytes, which is never written out."""
    record = check_record(store.key, rounds=2**1800, digits=230)
    store.keys[b"password-check"] = record
    with pytest.raises(UnsupportedStoreError, match="more than 18,446,744,073,709,551,616 key"):
        opened(store).unlock(Secret(""))


def test_no_rounds_at_all_are_damage(store: LegacyBuilder) -> None:
    store.keys[b"password-check"] = check_record(store.key, rounds=0)
    with pytest.raises(DamagedStoreError, match="fewer than one"):
        opened(store).unlock(Secret(""))


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        (b"\3", DamagedStoreError, "impossible length"),
        (b"\3\x14\1" + bytes(21), DamagedStoreError, "impossible length"),
        (b"\3\xff\1" + bytes(60), DamagedStoreError, "impossible length"),
        (b"\2\0\1\0\x0b" + bytes(40), UnsupportedStoreError, "which nssbackup does not know"),
        (
            b"\3\0\1\0\0" + bytes(16),
            UnsupportedStoreError,
            "algorithm that nssbackup does",
        ),
        (
            b"\3\0\1\0\xff" + bytes(16),
            UnsupportedStoreError,
            "algorithm that nssbackup does",
        ),
        (
            check_record(b"", oid=bytes.fromhex("2a864886f70d010503")),
            UnsupportedStoreError,
            "2a864886f70d010503",
        ),
        (check_record(b"")[:-1], DamagedStoreError, "ciphertext has an impossible length"),
        (check_record(b"")[:-16], DamagedStoreError, "ciphertext has an impossible length"),
    ],
    ids=[
        *("version", "no payload", "lengths", "version 2", "no OID", "OID out of the record"),
        *("algorithm", "odd ciphertext", "no ciphertext"),
    ],
)
def test_a_password_record_that_is_none_is_no_wrong_password(
    store: LegacyBuilder, record: bytes, error: type[NssBackupError], message: str
) -> None:
    store.keys[b"password-check"] = record
    found = opened(store)
    for ask in (found.needs_password, lambda: found.unlock(Secret("x"))):
        with pytest.raises(error, match=message) as caught:
            ask()
        if message.startswith("algorithm"):
            assert caught.value.hint == "a newer nssbackup may know it"


def test_another_text_than_the_one_to_be_is_a_wrong_password(store: LegacyBuilder) -> None:
    """With a wrong key one padding in 256 is right."""
    store.keys[b"password-check"] = check_record(store.key, text=b"password check")
    with pytest.raises(WrongPrimaryPasswordError):
        opened(store).unlock(Secret(""))


def test_keys_without_a_password_record_are_damage(store: LegacyBuilder) -> None:
    del store.keys[b"password-check"]
    found = opened(store)
    assert found.needs_password() is None
    with pytest.raises(DamagedStoreError, match="no password record"):
        found.unlock(Secret(""))


def test_neither_keys_nor_password_is_a_new_database(builder: LegacyBuilder) -> None:
    builder.add_certificate(RSA_DER)
    for record in (b"password-check", b"global-salt"):
        del builder.keys[record]
    found = opened(builder)
    assert found.needs_password() is None
    found.unlock(Secret(""))
    with pytest.raises(KeyMissingError):
        found.private_key(from_der(RSA_DER))


def test_a_missing_salt_is_an_empty_one(builder: LegacyBuilder) -> None:
    """So NSS takes it (nsslowkey_GetPWCheckEntry)."""
    builder.salt = b""
    del builder.keys[b"global-salt"]
    builder.keys[b"password-check"] = check_record(builder.key)
    builder.add_identity(RSA, RSA_DER)
    assert key_of(builder).pkcs8 == pkcs8(RSA)
