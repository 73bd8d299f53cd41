"""Vectors were made by NSS 3.87 and 3.125 and by a migrated key3.db; all passwords are invented."""

from __future__ import annotations

import pytest

from nssbackup.errors import DamagedStoreError, IntegrityError, StoreError, UnsupportedStoreError
from nssbackup.stores.native import pbe
from tests.builders import store as build
from tests.builders.store import integer, octets, oid, seq, tlv

V1 = (
    "100cf580b6c2c5ab52e2a47f4b03bf3f3f51aa5d",
    (
        "308182306e06092a864886f70d01050d3061304206092a864886f70d01050c303504206c20a9f5574b84f9cbb573cb"
        "1183d399f2a403ae35e5a51511c311f0764a4feb02022710020120300a06082a864886f70d0209301b060960864801"
        "650304012a040ef51f68216a42a2833e1209716d4a0410fcd7ab471d14f88cb5c1da5a394661de"
    ),
    "3afde1d31b2f403b997e1235c334fc9bee8510e6",
    "Passw0rd",
)
V2 = (
    (
        "605e1fa72d8ebb819a0c80d1af2e6547797a1321cd88f749a66ea1ace47a8e9133b9c69e355d060f3727f0ee049171"
        "52"
    ),
    (
        "308182306e06092a864886f70d01050d3061304206092a864886f70d01050c30350420c884642cece9071b16aa5f51"
        "8de0cc2b082ef5653e0ad6a1f6823ebad2f74f8702022710020120300a06082a864886f70d0209301b060960864801"
        "650304012a040e7e9fa18981ea22918c0469a2cb720410a06c1ec4b5a8d867b4746a72cfba802f"
    ),
    (
        "480b68a5c513da912081a89d039df2e289fd2d1f59a24a6eba68450d442bf851e3ac8c78d9f0271902c1e916769444"
        "cc"
    ),
    "Passw0rd",
)
V3 = (
    "a2d28aab85f3210a0619bc445db041bae112565e",
    (
        "308181306d06092a864886f70d01050d3060304106092a864886f70d01050c30340420063688b254cac9cb9adf3d97"
        "f15cac6c3290b033ca589eb50d94e451ef88eb83020101020120300a06082a864886f70d0209301b06096086480165"
        "0304012a040e83b286fe08a5352003c6c2f938cb041028480ce7bb1d915c5dd4c7d50b91778a"
    ),
    "cc6ec346c5b3af0aa5488c3d5353bdfe52ba2ce5",
    "",
)
VECTORS = pytest.mark.parametrize(
    ("salt", "check", "key", "password"), [V1, V2, V3], ids=["V1", "V2", "V3"]
)
V6_BLOB = (
    "3081a1306d06092a864886f70d01050d3060304106092a864886f70d01050c303404204773a7dcb6c2791d197dc41a"
    "b770093149096550002855779eb77b25c81cb383020101020120300a06082a864886f70d0209301b06096086480165"
    "0304012a040ea9c99c6be9f03b2258270a10ed7f04304183472840be14de93a5b6fc1bfdb04f2a1f34149cedcc0424"
    "b252828cb9f54d5e1b63491991f3a6d6f7e688282dec36"
)
V6_VALUE = "2191418d26a215986ea4474877e8a642d09ddcbed1ac314da6ee0b1dc1e52542"
V6_SIGNATURE = (
    "308180305c06092a864886f70d01050e304f304106092a864886f70d01050c3034042069070a153e1a15402d70ceb0"
    "130ca5669fed2ec2b3b21d6c702284677b8a2bdd020101020120300a06082a864886f70d0209300a06082a864886f7"
    "0d02090420936f43cd6d3eba8ad02da421b0efb630926cbfca699223cae2d8bfbef73a4b6c"
)
V3_KEY = pbe.IntermediateKey(bytes.fromhex(V3[2]))

SALT = bytes(range(32))
IV = octets(bytes(14))
DATA = bytes(16)


def kdf(rounds: int = 1, **parts: object) -> bytes:
    return build.pbkdf2_parameters(SALT, rounds, **parts)  # type: ignore[arg-type]


def signature_of(
    parameters: bytes, scheme: bytes | None = None, outer: str = build.PBMAC1
) -> bytes:
    scheme = seq(oid(build.HMAC_SHA256)) if scheme is None else scheme
    return seq(seq(oid(outer), seq(parameters, scheme)), octets(bytes(32)))


# --- right answers


@VECTORS
def test_the_intermediate_key_is_that_of_nss(
    salt: str, check: str, key: str, password: str
) -> None:
    del check
    assert pbe.intermediate_key(bytes.fromhex(salt), password).value.hex() == key


@VECTORS
def test_the_password_check_of_nss_decrypts(salt: str, check: str, key: str, password: str) -> None:
    del key
    secret = pbe.intermediate_key(bytes.fromhex(salt), password)
    record = pbe.parse_ciphertext(bytes.fromhex(check), "the record")
    assert record.decrypt(secret) == b"password-check"
    assert record.signed


@VECTORS
def test_another_password_does_not_decrypt_the_check(
    salt: str, check: str, key: str, password: str
) -> None:
    del key
    secret = pbe.intermediate_key(bytes.fromhex(salt), password + "!")
    try:
        plain = pbe.parse_ciphertext(bytes.fromhex(check), "x").decrypt(secret)
    except pbe.DecryptionError:
        return
    assert plain != b"password-check"


def test_v6_attribute_decrypts_and_its_signature_fits() -> None:
    value = pbe.parse_ciphertext(bytes.fromhex(V6_BLOB), "x").decrypt(V3_KEY)
    assert value.hex() == V6_VALUE
    signed = pbe.parse_signature(bytes.fromhex(V6_SIGNATURE), "x")
    assert signed.fits(V3_KEY, 0, 0x11, value)


@pytest.mark.parametrize(
    ("object_id", "attribute", "value", "key"),
    [
        (0x1E615A90, 0x11, bytes.fromhex(V6_VALUE), V3_KEY),
        (0, 0x123, bytes.fromhex(V6_VALUE), V3_KEY),
        (0, 0x11, bytes.fromhex(V6_VALUE) + b"\0", V3_KEY),
        (0, 0x11, b"", V3_KEY),
        (0, 0x11, bytes.fromhex(V6_VALUE), pbe.IntermediateKey(bytes(20))),
    ],
    ids=["object", "attribute", "longer", "empty", "key"],
)
def test_v6_signature_fits_nothing_else(
    object_id: int, attribute: int, value: bytes, key: pbe.IntermediateKey
) -> None:
    signed = pbe.parse_signature(bytes.fromhex(V6_SIGNATURE), "x")
    assert not signed.fits(key, object_id, attribute, value)


@pytest.mark.parametrize(
    ("global_salt", "salt", "rounds", "data"),
    [
        (
            "210f340fc6870a0234c8d5a0f10903898a457ae7",
            "73381fd295a8d6e70d4980d80d85965e7e206024",
            1,
            "bc034a1e02b432e874ce27b7a89fd61c",
        ),
        (
            "353a600615c6e67148e6420639e7cfdadbf61200",
            "06ad02030bbb68f7dd8a35e88e4de4feee4542d5",
            10000,
            "0d449dd742e60cc460d3e93f4dabf82a",
        ),
    ],
    ids=["V4", "V5"],
)
def test_the_password_check_of_a_3des_era_database_decrypts(
    global_salt: str, salt: str, rounds: int, data: str
) -> None:
    """Both lay in a key3.db; the derivation is the same, so they are wrapped as in key4.db."""
    key = pbe.intermediate_key(bytes.fromhex(global_salt), "Passw0rd")
    parameters = seq(octets(bytes.fromhex(salt)), integer(rounds))
    blob = seq(seq(oid(build.PBE_3DES), parameters), octets(bytes.fromhex(data)))
    assert pbe.parse_ciphertext(blob, "x").decrypt(key) == b"password-check"


@pytest.mark.parametrize("rounds", [1, 2, 10000])
@pytest.mark.parametrize("length", [0, 8, 19, 20, 21, 64])
def test_3des_with_any_rounds_and_salt_decrypts(rounds: int, length: int) -> None:
    blob = build.des_blob(V3_KEY.value, b"a value", rounds, bytes(range(length)))
    parsed = pbe.parse_ciphertext(blob, "x")
    assert parsed.decrypt(V3_KEY) == b"a value"
    assert not parsed.signed


@pytest.mark.parametrize("plaintext", [b"", b"1", bytes(15), bytes(16), bytes(3000)])
def test_aes_with_any_length_decrypts(plaintext: bytes) -> None:
    blob = build.aes_blob(V3_KEY.value, plaintext, 3)
    assert pbe.parse_ciphertext(blob, "x").decrypt(V3_KEY) == plaintext


@pytest.mark.parametrize("length", [0, 19, 20, 21, 47, 48, 49])
def test_only_a_salt_of_48_bytes_calls_for_sha384(length: int) -> None:
    key = pbe.intermediate_key(bytes(length), "x").value
    assert key == build.intermediate(bytes(length), "x")
    assert len(key) == (48 if length == 48 else 20)


def test_a_key_length_that_is_left_out_means_the_ciphers() -> None:
    blob = build.aes_structure(kdf(length=None), IV, DATA)
    assert pbe.parse_ciphertext(blob, "x").salt == SALT


def test_a_null_behind_the_prf_is_no_difference() -> None:
    prf = seq(oid(build.HMAC_SHA256), tlv(5, b""))
    assert pbe.parse_ciphertext(build.aes_structure(kdf(prf=prf), IV, DATA), "x").rounds == 1


def test_the_iv_is_the_beginning_of_the_encoded_parameter() -> None:
    for iv, expected in (
        (bytes(range(14)), b"\x04\x0e" + bytes(range(14))),
        (bytes(range(16)), b"\x04\x10" + bytes(range(14))),
        (bytes(200), b"\x04\x81\xc8" + bytes(13)),
    ):
        assert (
            pbe.parse_ciphertext(build.aes_structure(kdf(), octets(iv), DATA), "x").iv == expected
        )


def test_neither_key_nor_ciphertext_is_in_a_repr() -> None:
    blob = build.aes_blob(V3_KEY.value, b"value")
    assert V3_KEY.value.hex() not in repr(V3_KEY)
    assert repr(V3_KEY.value) not in repr(V3_KEY)
    parsed = pbe.parse_ciphertext(blob, "x")
    assert repr(parsed.data) not in repr(parsed)


# --- wrong structures

OTHER = "1.2.840.113549.2.10"
UNKNOWN = {
    "scheme": seq(seq(oid("1.2.840.113549.1.5.3"), tlv(5, b"")), octets(DATA)),
    "kdf": build.aes_structure(kdf(kdf="1.3.6.1.4.1.11591.4.11"), IV, DATA),
    "prf": build.aes_structure(kdf(prf=seq(oid(OTHER))), IV, DATA),
    "no prf, which means HMAC-SHA-1": build.aes_structure(kdf(prf=b""), IV, DATA),
    "AES-128": build.aes_structure(kdf(), IV, DATA, "2.16.840.1.101.3.4.1.2"),
}


@pytest.mark.parametrize("blob", UNKNOWN.values(), ids=list(UNKNOWN))
def test_an_unknown_algorithm_is_named(blob: bytes) -> None:
    with pytest.raises(UnsupportedStoreError, match=r"the thing uses .*\((\d+\.\d+|HMAC-SHA-1)"):
        pbe.parse_ciphertext(blob, "the thing")


UNKNOWN_SIGNATURES = {
    "scheme": signature_of(kdf(), outer="1.2.840.113549.1.5.13"),
    "mac": signature_of(kdf(), seq(oid(OTHER))),
    "prf": signature_of(kdf(prf=seq(oid(OTHER)))),
    "kdf": signature_of(kdf(kdf="1.3.6.1.4.1.11591.4.11")),
}


@pytest.mark.parametrize("blob", UNKNOWN_SIGNATURES.values(), ids=list(UNKNOWN_SIGNATURES))
def test_a_signature_by_an_unknown_algorithm_is_unsupported(blob: bytes) -> None:
    with pytest.raises(UnsupportedStoreError, match=r"^the x uses an algorithm .*\(1\.") as caught:
        pbe.parse_signature(blob, "the x")
    assert caught.value.hint == "a newer nssbackup may know it"


DAMAGED = {
    "nothing": b"",
    "no DER": b"\xff" * 40,
    "bytes behind": build.aes_structure(kdf(), IV, DATA) + b"\0",
    "cut": build.aes_structure(kdf(), IV, DATA)[:-1],
    "no parameters": seq(seq(oid(build.PBES2)), octets(DATA)),
    "parameters of 3DES": seq(seq(oid(build.PBE_3DES), seq(octets(SALT))), octets(DATA)),
    "no ciphertext": build.aes_structure(kdf(), IV, b""),
    "ciphertext of 15": build.aes_structure(kdf(), IV, bytes(15)),
    "ciphertext of 17": build.aes_structure(kdf(), IV, bytes(17)),
    "ciphertext of 12, 3DES": seq(
        seq(oid(build.PBE_3DES), seq(octets(SALT), integer(1))), octets(bytes(12))
    ),
    "key of 0 bytes": build.aes_structure(kdf(length=0), IV, DATA),
    "key of 16 bytes": build.aes_structure(kdf(length=16), IV, DATA),
    "key of 2^40 bytes": build.aes_structure(kdf(length=2**40), IV, DATA),
    "IV of 0": build.aes_structure(kdf(), octets(b""), DATA),
    "IV of 8": build.aes_structure(kdf(), octets(bytes(8)), DATA),
    "0 rounds": build.aes_structure(kdf(0), IV, DATA),
    "-1 rounds": build.aes_structure(kdf(-1), IV, DATA),
    "0 rounds, 3DES": seq(seq(oid(build.PBE_3DES), seq(octets(SALT), integer(0))), octets(DATA)),
}


@pytest.mark.parametrize("blob", DAMAGED.values(), ids=list(DAMAGED))
def test_what_is_no_encrypted_value_is_damaged(blob: bytes) -> None:
    with pytest.raises(DamagedStoreError, match="the thing is damaged"):
        pbe.parse_ciphertext(blob, "the thing")


@pytest.mark.parametrize(
    "blob",
    [b"", b"\x30\x00", signature_of(kdf()) + b"\0", signature_of(kdf(0)), signature_of(kdf(-5))],
)
def test_what_is_no_signature_is_damaged_and_not_wrong(blob: bytes) -> None:
    with pytest.raises(DamagedStoreError, match="damaged") as info:
        pbe.parse_signature(blob, "x")
    assert not isinstance(info.value, IntegrityError)


@pytest.mark.parametrize("rounds", [2_000_001, 2**31 - 1, 2**31, 2**63, 2**64, 2**2000])
def test_too_many_rounds_are_refused_before_any_is_done(rounds: int) -> None:
    old = seq(seq(oid(build.PBE_3DES), seq(octets(SALT), integer(rounds))), octets(DATA))
    for blob in (build.aes_structure(kdf(rounds), IV, DATA), old):
        with pytest.raises(UnsupportedStoreError, match="rounds"):
            pbe.parse_ciphertext(blob, "x")
    with pytest.raises(UnsupportedStoreError, match="rounds"):
        pbe.parse_signature(signature_of(kdf(rounds)), "x")


@pytest.mark.parametrize("rounds", [2**30_000, -(2**30_000)], ids=["positive", "negative"])
def test_rounds_of_thousands_of_digits_are_an_error_of_ours(rounds: int) -> None:
    """Python refuses to turn such a number into text; an attribute has room for it."""
    with pytest.raises(StoreError):
        pbe.parse_ciphertext(build.aes_structure(kdf(rounds), IV, DATA), "x")


def test_two_million_rounds_and_one_more() -> None:
    pbe.check_total_rounds(pbe.MAX_ROUNDS)
    with pytest.raises(UnsupportedStoreError, match="2,000,001") as caught:
        pbe.check_total_rounds(pbe.MAX_ROUNDS + 1)
    assert caught.value.hint == "NSS does not write so many; the limit is 2,000,000 for one key"


def test_a_changed_ciphertext_never_gives_the_same_text() -> None:
    blob = bytearray(build.aes_blob(V3_KEY.value, b"value"))
    outcomes: set[bool | None] = set()
    for flip in range(1, 256):
        blob[-1] ^= flip
        try:
            outcomes.add(pbe.parse_ciphertext(bytes(blob), "x").decrypt(V3_KEY) == b"value")
        except pbe.DecryptionError:
            outcomes.add(None)
        blob[-1] ^= flip
    assert None in outcomes
    assert True not in outcomes
