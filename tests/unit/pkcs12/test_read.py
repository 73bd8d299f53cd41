"""What the reader says to files that are odd, wrong, damaged or hostile."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InternalError
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nssbackup.errors import (
    DamagedBackupError,
    NssBackupError,
    UnsupportedBackupError,
    UsageError,
    WrongBackupPasswordError,
)
from nssbackup.identity import private_keys
from nssbackup.pkcs12 import (
    MODERN,
    Format,
    PfxWriter,
    describe,
    kdf,
    open_pfx,
    protection,
    safes,
    structure,
)
from nssbackup.pkcs12.kdf import Hash, Pbkdf2
from nssbackup.pkcs12.protection import Mac, Other, pbe_sha1_3des, pbes2_aes, pkcs12_mac
from nssbackup.secret import Secret
from tests.unit.pkcs12.identities import (
    Assemble,
    Case,
    ClearBags,
    authenticated,
    certificate_bag,
    encrypt,
    key_bag,
    mac_of,
)

PASSWORD = Secret("pw")


@pytest.fixture(scope="module")
def written_files() -> dict[str, bytes]:
    return {}


@pytest.fixture
def written(written_files: dict[str, bytes], case: Case, each_format: Format) -> bytes:
    if each_format.name not in written_files:
        writer = PfxWriter(PASSWORD, each_format, rounds=2048)
        written_files[each_format.name] = writer.encode(case.identity, case.key)
    return written_files[each_format.name]


def encrypted_safe(
    how: protection.Encryption | Announcing, contents: bytes, password: Secret = PASSWORD
) -> structure.ContentInfo:
    done = how.done if isinstance(how, Announcing) else how
    return structure.encrypted_info(how.algorithm(), encrypt(done, password, contents))


def contents_of(safe: structure.ContentInfo) -> bytes:
    return structure.inner(bytes, safe.content)


@pytest.mark.parametrize("wrong", ["", "PW", " pw", "пароль"])
def test_a_wrong_password(written: bytes, wrong: str) -> None:
    with pytest.raises(WrongBackupPasswordError):
        open_pfx(written, Secret(wrong))


def test_half_a_character_is_a_usage_error(written: bytes) -> None:
    with pytest.raises(UsageError):
        open_pfx(written, Secret("\ud83d"))


def test_truncated_files(written: bytes) -> None:
    for end in range(0, len(written), 17):
        for use in (describe, lambda data: open_pfx(data, PASSWORD)):
            with pytest.raises(DamagedBackupError):
                use(written[:end])


def test_every_changed_byte_is_noticed(written: bytes, case: Case) -> None:
    """A result is only ever the identity that was written."""
    dice = random.Random(1)  # noqa: S311 - no secret
    for at in range(0, len(written), 5):
        changed = bytearray(written)
        changed[at] ^= dice.randint(1, 255)
        try:
            contents = open_pfx(bytes(changed), PASSWORD)
        except NssBackupError:
            continue
        assert contents.key == case.key


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    for use in (describe, lambda each: open_pfx(each, PASSWORD)):
        with pytest.raises(NssBackupError):
            use(data)


def mutated(draw: Callable[..., Any], data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(changed) - 1))
        if draw(st.booleans()):
            changed[at] = draw(st.integers(0, 255))
        else:
            changed[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(changed) or b"\0"


# A certificate with an odd serial number is one of the mutations, and `cryptography` says so.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutations_behind_a_right_mac(
    data: st.DataObject, case: Case, rsa_case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    """Nothing but errors of ours, even where the password vouches for nonsense."""
    chosen = data.draw(st.sampled_from([case, rsa_case]))
    safe = clear_bags(certificates=(chosen.identity.certificate.der,), keys=(chosen.key.pkcs8,))
    contents = mutated(data.draw, contents_of(safe))
    clear = structure.data_info(contents)
    how = pbes2_aes(Pbkdf2(b"salt", 1, "sha256", 16), bytes(16))
    for one in (clear, encrypted_safe(how, contents)):
        with suppress(NssBackupError):
            open_pfx(assemble(one), PASSWORD)


def test_without_a_mac_it_opens_and_says_so(assemble: Assemble) -> None:
    how = protection.new_encryption(MODERN, 2048)
    data = assemble(encrypted_safe(how, structure.encode_bags([])), password=None)
    assert open_pfx(data, PASSWORD).description.mac is None
    assert describe(data).mac is None
    for wrong in range(20):
        with pytest.raises(WrongBackupPasswordError):
            open_pfx(data, Secret(f"wrong {wrong}"))


def test_a_right_mac_over_what_cannot_be_decrypted_is_damage(assemble: Assemble) -> None:
    how = protection.new_encryption(MODERN, 2048)
    for password in (Secret("another"), Secret(" pw")):
        data = assemble(encrypted_safe(how, b"nonsense", password))
        with pytest.raises(DamagedBackupError):
            open_pfx(data, PASSWORD)


@pytest.mark.parametrize("form", [b"\0\0", b""], ids=["00 00", "nothing"])
def test_both_forms_of_the_empty_password(form: bytes, case: Case, clear_bags: ClearBags) -> None:
    how = pbe_sha1_3des(b"8 octets", 1)
    bags = contents_of(clear_bags(keys=(case.key.pkcs8,)))
    ciphertext = how.key([each.derive(form) for each in how.kdfs]).encrypt(bags)
    content = structure.encode_contents([structure.encrypted_info(how.algorithm(), ciphertext)])
    mac = pkcs12_mac("sha1", b"salt", 1)
    mac_data = mac.mac_data(mac.digest(mac.kdf.derive(form), content))
    contents = open_pfx(pfx_of_contents(structure.data_info(content), mac=mac_data), Secret(""))
    assert contents.key == case.key


@pytest.mark.parametrize("prf", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("bits", [128, 192, 256])
def test_every_prf_and_aes(
    prf: Hash, bits: int, case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    how = pbes2_aes(Pbkdf2(b"0123456789", 5, prf, bits // 8), bytes(16))
    bags = contents_of(clear_bags(keys=(case.key.pkcs8,)))
    contents = open_pfx(assemble(encrypted_safe(how, bags)), PASSWORD)
    assert contents.key == case.key
    (found,) = contents.description.keys
    assert found.rounds == 5
    assert found.name == f"AES-{bits}-CBC, PBKDF2-HMAC-SHA-{prf[3:]}"


def test_pbmac1(case: Case, clear_bags: ClearBags) -> None:
    content = structure.encode_contents([clear_bags(keys=(case.key.pkcs8,))])
    mac = Mac("sha384", Pbkdf2(b"salt", 2, "sha512", 20))
    sha512, sha384 = (identifier(structure.HMAC_OIDS[name]) for name in ("sha512", "sha384"))
    said = pbmac1(derivation(sha512, 2, 20), sha384)
    digest = mac.digest(mac.kdf.derive(PASSWORD.reveal().encode()), content)
    data = pfx_of_contents(
        structure.data_info(content),
        mac=structure.MacData(
            mac=structure.DigestInfo(algorithm=said.mac.algorithm, digest=digest),
            salt=b"ignored",
            iterations=None,
        ),
    )
    contents = open_pfx(data, PASSWORD)
    assert contents.key == case.key
    assert mac_of(contents.description).name == "PBMAC1-HMAC-SHA-384, PBKDF2-HMAC-SHA-512"
    assert mac_of(contents.description).rounds == 2
    with pytest.raises(WrongBackupPasswordError):
        open_pfx(data, Secret("wrong"))


class Announcing:
    """An encryption that says in the file more rounds than it did."""

    def __init__(self, rounds: int, salt: bytes = b"salt") -> None:
        self.said = pbes2_aes(Pbkdf2(salt, rounds, "sha256", 32), bytes(16))
        self.done = replace(self.said, kdf=replace(self.said.kdf, rounds=1))

    def algorithm(self) -> structure.AlgorithmIdentifier:
        return self.said.algorithm()


@pytest.fixture
def _nothing_long_is_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches the derivations: one that should have been refused fails the test."""
    derive = Pbkdf2.derive

    def watched(self: Pbkdf2, password: bytes) -> bytes:
        assert self.rounds <= 2048
        return derive(self, password)

    monkeypatch.setattr(Pbkdf2, "derive", watched)


@pytest.mark.usefixtures("_nothing_long_is_derived")
@pytest.mark.parametrize("rounds", [10_000_001, 2**31, 2**63, 2**200])
def test_hostile_rounds_are_refused_before_anything_is_derived(
    rounds: int, assemble: Assemble
) -> None:
    data = assemble(encrypted_safe(Announcing(rounds), b"x"))
    for use in (describe, lambda each: open_pfx(each, PASSWORD)):
        with pytest.raises(UnsupportedBackupError):
            use(data)


@pytest.mark.parametrize("rounds", [0, -1])
def test_no_rounds_are_damage(rounds: int, assemble: Assemble) -> None:
    with pytest.raises(DamagedBackupError):
        describe(assemble(encrypted_safe(Announcing(rounds), b"x")))


@pytest.mark.usefixtures("_nothing_long_is_derived")
def test_many_high_round_counts_are_refused_together(assemble: Assemble) -> None:
    safes = [encrypted_safe(Announcing(9_000_000, bytes([n])), b"x") for n in range(3)]
    with pytest.raises(UnsupportedBackupError):
        open_pfx(assemble(*safes), PASSWORD)


@pytest.mark.usefixtures("_nothing_long_is_derived")
def test_rounds_hidden_in_an_encrypted_safe_are_counted(assemble: Assemble) -> None:
    bags = [
        structure.SafeBag(
            id=structure.SHROUDED_KEY_BAG,
            value=structure.opened(
                structure.EncryptedPrivateKeyInfo(algorithm=hidden.algorithm(), data=b"x" * 16)
            ),
            attributes=None,
        )
        for hidden in (Announcing(10_000_000, bytes([n])) for n in range(3))
    ]
    outer = protection.new_encryption(MODERN, 2048)
    with pytest.raises(UnsupportedBackupError):
        open_pfx(assemble(encrypted_safe(outer, structure.encode_bags(bags))), PASSWORD)


def test_a_salt_of_a_megabyte_is_damage(assemble: Assemble) -> None:
    with pytest.raises(DamagedBackupError):
        describe(assemble(encrypted_safe(Announcing(1, bytes(1_000_000)), b"x")))


def test_bags_in_bags_are_found_as_deep_as_is_honest(
    case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    bags = contents_of(clear_bags(keys=(case.key.pkcs8,)))
    data = b""
    for depth in range(1, 30):
        value = asn1.decode_der(asn1.TLV, bags)
        bag = structure.SafeBag(id=structure.SAFE_CONTENTS_BAG, value=value, attributes=None)
        bags = structure.encode_bags([bag])
        safe = structure.data_info(bags)
        data = assemble(safe)
        if depth <= 5:
            assert open_pfx(data, PASSWORD).key == case.key
    with pytest.raises(UnsupportedBackupError, match="deeper ones, than are read here"):
        open_pfx(data, PASSWORD)


def test_a_bomb_in_a_safe_is_refused(assemble: Assemble) -> None:
    bomb = b"\x30\x80" * 1_000_000
    safe = structure.data_info(bomb)
    with pytest.raises(UnsupportedBackupError):
        open_pfx(assemble(safe), PASSWORD)


def test_a_file_without_a_key_is_a_result(
    case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    contents = open_pfx(
        assemble(clear_bags(certificates=(case.identity.certificate.der,))), PASSWORD
    )
    assert contents.key is None
    assert len(contents.certificates) == 1


def test_a_file_without_a_certificate_is_a_result(
    case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    contents = open_pfx(assemble(clear_bags(keys=(case.key.pkcs8,))), PASSWORD)
    assert contents.identity is None
    assert contents.key == case.key


def test_a_certificate_of_an_unheard_of_version_is_read(
    case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    der = case.identity.certificate.der
    version = b"\xa0\x03\x02\x01"  # [0] EXPLICIT INTEGER, RFC 5280, 4.1
    odd = der.replace(version + b"\x02", version + b"\x3d", 1)
    assert odd != der
    (found,) = open_pfx(assemble(clear_bags(certificates=(odd,))), PASSWORD).certificates
    assert found.certificate.der == odd
    assert found.certificate.departures == ("its version is 62",)


def test_a_key_that_openssl_cannot_set_up_is_damage(
    monkeypatch: pytest.MonkeyPatch, case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    def refuse(_der: bytes) -> None:
        message = "key setup failed"
        raise InternalError(message, [])

    monkeypatch.setattr(private_keys, "from_pkcs8", refuse)
    with pytest.raises(DamagedBackupError):
        open_pfx(assemble(clear_bags(keys=(case.key.pkcs8,))), PASSWORD)


def test_scrypt_is_named_and_refused(assemble: Assemble) -> None:
    aes = identifier(structure.AES_CBC_OIDS[32], bytes(16))
    parameters = structure.SchemeParameters(derivation=identifier(SCRYPT), scheme=aes)
    data = assemble(structure.encrypted_info(identifier(structure.PBES2, parameters), b"x"))
    assert describe(data).certificates[0].name == "AES-256-CBC, scrypt"
    with pytest.raises(UnsupportedBackupError, match="scrypt"):
        open_pfx(data, PASSWORD)


@pytest.mark.parametrize(
    ("dotted", "name"),
    [
        ("1.2.840.113549.1.12.1.3", "3DES (PBE-SHA1)"),
        ("1.2.840.113549.2.5", "MD5"),
        ("2.16.840.1.101.3.4.1.22", "AES-192-CBC"),
        ("2.16.840.1.101.3.4.2.3", "SHA-512"),
        ("1.2.840.113549.1.12.1.6", "RC2-40 (PBE-SHA1)"),
        ("1.2.840.113549.1.5.3", "DES (PBE-MD5)"),
        ("1.2.392.200011.61.1.1.1.4", "Camellia-256-CBC"),
        ("1.2.3.4", "1.2.3.4"),
    ],
)
def test_algorithms_have_the_names_that_people_know(dotted: str, name: str) -> None:
    assert protection.name_of(ObjectIdentifier(dotted)) == name


def test_what_can_not_be_opened_is_named_with_what_to_do() -> None:
    error = protection.unsupported("RC5")
    assert error.message == "the PFX uses RC5, which can't be opened here"
    assert error.hint is not None
    assert "nssbackup export" in error.hint


def test_many_certificates_and_safes_are_read(
    case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    many = clear_bags(certificates=(case.identity.certificate.der,) * 100)
    hidden = encrypted_safe(protection.new_encryption(MODERN, 1), contents_of(many))
    assert (
        len(open_pfx(assemble(*[clear_bags()] * 100, many, hidden), PASSWORD).certificates) == 200
    )


def test_too_many_in_several_safes_are_refused(
    case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    half = clear_bags(certificates=(case.identity.certificate.der,) * 501)
    hidden = encrypted_safe(protection.new_encryption(MODERN, 1), contents_of(half))
    for data in (assemble(half, half), assemble(half, hidden)):
        with pytest.raises(UnsupportedBackupError, match="more than is read here"):
            open_pfx(data, PASSWORD)


# --- parameters, one by one

SCRYPT = ObjectIdentifier("1.3.6.1.4.1.11591.4.11")
MD5 = ObjectIdentifier("1.2.840.113549.2.5")


def identifier(oid: ObjectIdentifier, parameters: object = None) -> structure.AlgorithmIdentifier:
    opened = None if parameters is None else structure.opened(parameters)
    return structure.AlgorithmIdentifier(algorithm=oid, parameters=opened)


def derivation(
    prf: structure.AlgorithmIdentifier | None, rounds: int = 9, length: int | None = None
) -> structure.AlgorithmIdentifier:
    parameters = structure.Pbkdf2Parameters(
        salt=b"salt", iterations=rounds, key_length=length, prf=prf
    )
    return identifier(structure.PBKDF2, parameters)


def mac_data(
    algorithm: structure.AlgorithmIdentifier, iterations: int | None = None
) -> structure.MacData:
    digest = structure.DigestInfo(algorithm=algorithm, digest=b"digest")
    return structure.MacData(mac=digest, salt=b"salt", iterations=iterations)


def pbmac1(
    of: structure.AlgorithmIdentifier, scheme: structure.AlgorithmIdentifier
) -> structure.MacData:
    parameters = structure.SchemeParameters(derivation=of, scheme=scheme)
    return mac_data(identifier(structure.PBMAC1, parameters))


def pbes2(of: structure.AlgorithmIdentifier, scheme: structure.AlgorithmIdentifier) -> object:
    parameters = structure.SchemeParameters(derivation=of, scheme=scheme)
    return protection.encryption_of(identifier(structure.PBES2, parameters))


def test_a_derivation_without_a_function_has_hmac_sha_1() -> None:
    aes = identifier(structure.AES_CBC_OIDS[32], bytes(16))
    assert pbes2(derivation(None), aes) == pbes2_aes(Pbkdf2(b"salt", 9, "sha1", 32), bytes(16))
    sha512 = identifier(structure.HMAC_OIDS["sha512"])
    expected = pbes2_aes(Pbkdf2(b"salt", 8, "sha512", 32), bytes(16))
    assert pbes2(derivation(sha512, 8, 32), aes) == expected
    with pytest.raises(UnsupportedBackupError, match="with a function that isn't known here"):
        pbes2(derivation(identifier(MD5)), aes)


def test_a_mac_is_what_its_parameters_say() -> None:
    sha384 = identifier(structure.HASH_OIDS["sha384"])
    assert protection.mac_of(mac_data(sha384, 7)) == pkcs12_mac("sha384", b"salt", 7)
    assert protection.mac_of(mac_data(sha384)) == pkcs12_mac("sha384", b"salt", 1)
    md5 = identifier(MD5)
    assert protection.mac_of(mac_data(md5, 7)) == pkcs12_mac("md5", b"salt", 7)
    unknown = identifier(ObjectIdentifier("1.2.3"))
    assert protection.mac_of(mac_data(unknown, 7)) == Other("HMAC-1.2.3", 7)


@pytest.mark.parametrize("length", [1, 20, 128])
def test_a_pbmac1_is_what_its_parameters_say(length: int) -> None:
    sha256 = identifier(structure.HMAC_OIDS["sha256"])
    found = protection.mac_of(pbmac1(derivation(None, 5, length), sha256))
    assert found == Mac("sha256", Pbkdf2(b"salt", 5, "sha1", length))
    assert found.rounds == 5
    assert found.name == "PBMAC1-HMAC-SHA-256, PBKDF2-HMAC-SHA-1"


@pytest.mark.parametrize("length", [None, 0, 129])
def test_a_pbmac1_has_to_say_how_long_its_key_is(length: int | None) -> None:
    sha256 = identifier(structure.HMAC_OIDS["sha256"])
    with pytest.raises(DamagedBackupError, match="does not say how long its key is"):
        protection.mac_of(pbmac1(derivation(None, 5, length), sha256))


def test_an_unknown_pbmac1_is_named() -> None:
    sha256 = identifier(structure.HMAC_OIDS["sha256"])
    by_scrypt = protection.mac_of(pbmac1(identifier(SCRYPT), sha256))
    assert (by_scrypt.name, by_scrypt.rounds) == ("PBMAC1, scrypt", None)
    of_md5 = protection.mac_of(pbmac1(derivation(sha256, 6, 32), identifier(MD5)))
    assert (of_md5.name, of_md5.rounds) == ("PBMAC1, PBKDF2-HMAC-SHA-256", 6)


@pytest.mark.parametrize(("iv", "length"), [(bytes(15), None), (bytes(17), None), (bytes(16), 5)])
def test_parameters_that_contradict_one_another_are_refused(iv: bytes, length: int | None) -> None:
    scheme = identifier(structure.AES_CBC_OIDS[32], iv)
    with pytest.raises(UnsupportedBackupError, match="AES-256-CBC contradict one another"):
        pbes2(derivation(None, 1, length), scheme)


def test_what_is_not_padded_right_was_not_decrypted_right() -> None:
    key = pbes2_aes(Pbkdf2(b"", 1, "sha256", 32), bytes(16)).key([bytes(32)])
    for size in (0, 1, 15, 16, 17, 31, 32):
        plain = bytes(range(size))
        ciphertext = key.encrypt(plain)
        assert len(ciphertext) == (size // 16 + 1) * 16
        assert key.decrypt(ciphertext) == plain
        assert key.decrypt(ciphertext[:-1]) is None
    assert key.decrypt(b"") is None
    for end in (b"\0", b"\x11", b"\x03\x02", b"\x01\x03\x03"):
        padded = bytes(16 - len(end)) + end
        # Two blocks in CBC mode: the first is a block that ends as the test wants it.
        ciphertext = key.encrypt(padded)[:16]
        assert key.decrypt(ciphertext) is None


# --- structures that are not those of a backup


def pfx_of_contents(
    auth_safe: structure.ContentInfo, version: int = 3, mac: structure.MacData | None = None
) -> bytes:
    return asn1.encode_der(structure.Pfx(version=version, auth_safe=auth_safe, mac_data=mac))


def test_another_version_is_said(clear_bags: ClearBags) -> None:
    content = structure.encode_contents([clear_bags()])
    data = structure.data_info(content)
    assert safes.parse(pfx_of_contents(data)).safes == (safes.ClearSafe(()),)
    assert safes.parse(pfx_of_contents(data)).digest == b""
    for version in (2, 4):
        with pytest.raises(UnsupportedBackupError, match=f"version {version}: only 3 is known"):
            safes.parse(pfx_of_contents(data, version))


def test_what_is_protected_by_public_keys_is_said(assemble: Assemble) -> None:
    signed, enveloped = (ObjectIdentifier(f"1.2.840.113549.1.7.{n}") for n in (2, 3))
    content = structure.ContentInfo(content_type=signed, content=structure.opened(b""))
    with pytest.raises(UnsupportedBackupError, match="signed instead of protected by a password"):
        safes.parse(pfx_of_contents(content))
    content = structure.ContentInfo(content_type=enveloped, content=structure.opened(b""))
    with pytest.raises(UnsupportedBackupError, match=r"no password opens \(1.2.840.113549.1.7.3\)"):
        safes.parse(assemble(content))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (structure.tlv(structure.BMP_STRING, "Zoë".encode("utf-16-be")), "Zoë"),
        (structure.tlv(structure.BMP_STRING, "Zoë\0\0".encode("utf-16-be")), "Zoë"),
        (structure.tlv(structure.BMP_STRING, "\0Zoë".encode("utf-16-be")), "\0Zoë"),
        (structure.tlv(structure.BMP_STRING, b"\0Z\xd8"), "Z\ufffd"),
        (structure.tlv(structure.UTF8_STRING, "Zoë".encode()), "Zoë"),
        (structure.tlv(structure.UTF8_STRING, b"Zo\xff"), "Zo\ufffd"),
        (structure.tlv(structure.BMP_STRING, b"\0\0"), None),
        (structure.tlv(b"\x13", b"Zoe"), None),
    ],
)
def test_a_name_is_read_as_far_as_it_can_be(
    case: Case, clear_bags: ClearBags, value: asn1.TLV, name: str | None
) -> None:
    (bag,) = structure.decode_bags(
        contents_of(clear_bags(certificates=(case.identity.certificate.der,)))
    )
    attributes = [
        structure.Attribute(id=structure.LOCAL_KEY_ID, values=asn1.SetOf([structure.opened(b"7")])),
        structure.Attribute(id=structure.FRIENDLY_NAME, values=asn1.SetOf([value])),
        structure.Attribute(id=ObjectIdentifier("1.2.3"), values=asn1.SetOf([value])),
    ]
    named = structure.SafeBag(
        id=bag.id,
        value=bag.value,
        attributes=asn1.SetOf(sorted(attributes, key=asn1.encode_der)),
    )
    (found,) = safes.bags_of(structure.encode_bags([named]))
    assert (found.friendly_name, found.local_key_id) == (name, b"7")
    assert safes.bags_of(structure.encode_bags([bag]))[0].friendly_name is None


def test_bags_of_other_kinds_are_passed_over(case: Case, clear_bags: ClearBags) -> None:
    crl, sdsi = (ObjectIdentifier(f"1.2.840.113549.1.{n}") for n in ("12.10.1.4", "9.22.2"))
    odd = structure.SafeBag(id=crl, value=structure.opened(b"x"), attributes=None)
    other = structure.CertBag(id=sdsi, value=structure.opened(b"x"))
    certificate = structure.SafeBag(
        id=structure.CERT_BAG, value=structure.opened(other), attributes=None
    )
    own = structure.decode_bags(contents_of(clear_bags(keys=(case.key.pkcs8,))))
    (found,) = safes.bags_of(structure.encode_bags([odd, certificate, *own]))
    assert found == safes.KeyBag(None, case.key.pkcs8, None, None)


@pytest.mark.usefixtures("_nothing_long_is_derived")
def test_rounds_of_safes_and_of_keys_are_added_up(assemble: Assemble) -> None:
    large = Announcing(kdf.ROUNDS)
    key = structure.SafeBag(
        id=structure.SHROUDED_KEY_BAG,
        value=structure.opened(
            structure.EncryptedPrivateKeyInfo(algorithm=large.algorithm(), data=b"x" * 16)
        ),
        attributes=None,
    )
    clear = structure.data_info(structure.encode_bags([key]))
    others = [
        encrypted_safe(Announcing(kdf.ROUNDS, bytes([n])), b"x")
        for n in range(kdf.ROUNDS_IN_ALL // kdf.ROUNDS)
    ]
    with pytest.raises(UnsupportedBackupError, match="rounds in all"):
        open_pfx(assemble(*others, clear), PASSWORD)


# --- what is left out, and what is unusual


def with_bags(assemble: Assemble, *bags: structure.SafeBag) -> bytes:
    return assemble(structure.data_info(structure.encode_bags(list(bags))))


def shrouded(algorithm: structure.AlgorithmIdentifier, data: bytes) -> structure.SafeBag:
    info = structure.EncryptedPrivateKeyInfo(algorithm=algorithm, data=data)
    return structure.SafeBag(
        id=structure.SHROUDED_KEY_BAG, value=structure.opened(info), attributes=None
    )


def test_what_cannot_be_read_is_left_out_and_said(case: Case, assemble: Assemble) -> None:
    own = certificate_bag(case.identity.certificate.der)
    scrypt = structure.SchemeParameters(
        derivation=identifier(SCRYPT), scheme=identifier(structure.AES_CBC_OIDS[32], bytes(16))
    )
    dsa = bytes.fromhex("301802010030110607 2a8648ce38040130060201 03020102 0400".replace(" ", ""))
    data = with_bags(
        assemble,
        own,
        certificate_bag(b"no certificate"),
        key_bag(case.key.pkcs8),
        key_bag(dsa),
        shrouded(identifier(structure.PBES2, scrypt), b"x"),
    )
    contents = open_pfx(data, PASSWORD)
    assert contents.key == case.key
    assert len(contents.certificates) == 1
    assert len(contents.notes) == 3
    assert all(note.startswith("left out: a ") for note in contents.notes)
    for what in ("scrypt", "DSA keys are not supported", "a certificate: "):
        assert any(what in note for note in contents.notes)


def test_nothing_is_left_out_if_nothing_else_is_left(case: Case, assemble: Assemble) -> None:
    bad, key = certificate_bag(b"no certificate"), key_bag(case.key.pkcs8)
    with pytest.raises(DamagedBackupError, match="the PFX opens, but"):
        open_pfx(with_bags(assemble, bad, key), PASSWORD)


def test_bytes_behind_the_file_are_ignored_and_said(written: bytes, case: Case) -> None:
    contents = open_pfx(written + b"\0" * 300, PASSWORD)
    assert contents.key == case.key
    assert contents.notes == ("300 bytes after the end of the PFX were ignored",)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (text, number)
        for text in ("pw", "pw  ", "Pässwörd", "パスワード")
        for number in range(1, len(kdf.encodings(Secret(text))))
    ],
)
def test_a_password_in_another_encoding_is_said(
    text: str, number: int, case: Case, clear_bags: ClearBags
) -> None:
    password = Secret(text)
    form = kdf.encodings(password)[number]
    how = protection.new_encryption(MODERN, 2)
    bags = contents_of(
        clear_bags(keys=(case.key.pkcs8,), certificates=(case.identity.certificate.der,))
    )
    ciphertext = how.key([each.derive(each.input(form)) for each in how.kdfs]).encrypt(bags)
    content = structure.encode_contents([structure.encrypted_info(how.algorithm(), ciphertext)])
    mac = pkcs12_mac("sha256", b"salt", 1)
    mac_data = mac.mac_data(mac.digest(mac.kdf.derive(mac.kdf.input(form)), content))
    contents = open_pfx(pfx_of_contents(structure.data_info(content), mac=mac_data), password)
    assert contents.key == case.key
    assert contents.notes == (form.note,)


def test_aes_256_under_the_name_of_aes_128(case: Case, clear_bags: ClearBags) -> None:
    """As NSS before 3.34 wrote it (Mozilla bug 1416265)."""
    bags = contents_of(clear_bags(keys=(case.key.pkcs8,)))
    right = pbes2_aes(Pbkdf2(b"salt", 2, "sha1", 32), bytes(16))
    named = identifier(structure.AES_CBC_OIDS[16], bytes(16))
    parameters = structure.SchemeParameters(derivation=derivation(None, 2, 32), scheme=named)
    safe = structure.encrypted_info(
        identifier(structure.PBES2, parameters), encrypt(right, PASSWORD, bags)
    )
    content = structure.encode_contents([safe])
    assert open_pfx(asn1.encode_der(authenticated(content, PASSWORD)), PASSWORD).key == case.key
