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

from nssbackup import keys
from nssbackup.errors import (
    DamagedBackupError,
    NssBackupError,
    UnsupportedBackupError,
    UsageError,
    WrongBackupPasswordError,
)
from nssbackup.pkcs12 import MODERN, Format, Sealer, describe, encryption, open_pfx, structure
from nssbackup.pkcs12 import algorithms as names
from nssbackup.pkcs12.contents import NOT_ENCRYPTED
from nssbackup.pkcs12.kdf import Hash
from nssbackup.pkcs12.mac import Pbmac1, Pkcs12Mac
from nssbackup.pkcs12.pbkdf2 import Pbkdf2
from nssbackup.secret import Secret
from tests.unit.pkcs12.identities import Assemble, Case, ClearBags, mac_of

PASSWORD = Secret("pw")


@pytest.fixture(scope="module")
def sealed_files() -> dict[str, bytes]:
    return {}


@pytest.fixture
def sealed(sealed_files: dict[str, bytes], case: Case, each_format: Format) -> bytes:
    if each_format.name not in sealed_files:
        sealer = Sealer(PASSWORD, each_format, rounds=2048)
        sealed_files[each_format.name] = sealer.seal(case.identity, case.key)
    return sealed_files[each_format.name]


def encrypted_safe(
    how: encryption.Encryption | Announcing, contents: bytes, password: Secret = PASSWORD
) -> structure.ContentInfo:
    data = structure.EncryptedData(
        version=0,
        encrypted=structure.EncryptedContentInfo(
            content_type=structure.DATA,
            algorithm=how.algorithm(),
            encrypted_content=structure.implicit_octets(how.keys(password)[0].encrypt(contents)),
        ),
    )
    return structure.ContentInfo(
        content_type=structure.ENCRYPTED_DATA, content=structure.opened(data)
    )


def contents_of(safe: structure.ContentInfo) -> bytes:
    return structure.inner(bytes, safe.content)


@pytest.mark.parametrize("wrong", ["", "PW", "pw ", "пароль"])
def test_a_wrong_password(sealed: bytes, wrong: str) -> None:
    with pytest.raises(WrongBackupPasswordError):
        open_pfx(sealed, Secret(wrong))


def test_half_a_character_is_a_usage_error(sealed: bytes) -> None:
    with pytest.raises(UsageError):
        open_pfx(sealed, Secret("\ud83d"))


def test_truncated_files(sealed: bytes) -> None:
    for end in range(0, len(sealed), 17):
        for use in (describe, lambda data: open_pfx(data, PASSWORD)):
            with pytest.raises(DamagedBackupError):
                use(sealed[:end])


def test_something_behind_the_file(sealed: bytes) -> None:
    with pytest.raises(DamagedBackupError):
        describe(sealed + b"\n")


def test_every_changed_byte_is_noticed(sealed: bytes, case: Case) -> None:
    """A result is only ever the identity that was sealed."""
    dice = random.Random(1)  # noqa: S311 - no secret
    for at in range(0, len(sealed), 5):
        changed = bytearray(sealed)
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
    clear = structure.ContentInfo(content_type=structure.DATA, content=structure.opened(contents))
    how = encryption.Pbes2(Pbkdf2(b"salt", 1, "sha256"), 128, bytes(16))
    for one in (clear, encrypted_safe(how, contents)):
        with suppress(NssBackupError):
            open_pfx(assemble(one), PASSWORD)


def test_without_a_mac_it_opens_and_says_so(assemble: Assemble) -> None:
    how = encryption.fresh(MODERN, 2048)
    data = assemble(encrypted_safe(how, structure.encode_bags([])), password=None)
    assert open_pfx(data, PASSWORD).description.mac is None
    assert describe(data).mac is None
    for wrong in range(20):
        with pytest.raises(WrongBackupPasswordError):
            open_pfx(data, Secret(f"wrong {wrong}"))


def test_a_right_mac_over_what_cannot_be_decrypted_is_damage(assemble: Assemble) -> None:
    how = encryption.fresh(MODERN, 2048)
    for password in (Secret("another"), Secret("pw ")):
        data = assemble(encrypted_safe(how, b"nonsense", password))
        with pytest.raises(DamagedBackupError):
            open_pfx(data, PASSWORD)


@pytest.mark.parametrize("form", [b"\0\0", b""], ids=["00 00", "nothing"])
def test_both_forms_of_the_empty_password(form: bytes, case: Case, clear_bags: ClearBags) -> None:
    content = structure.encode_contents([clear_bags(keys=(case.key.pkcs8,))])
    mac = Pkcs12Mac("sha1", b"salt", 1)
    keys = dict(zip((b"\0\0", b""), mac.keys(Secret("")), strict=True))
    pfx = structure.Pfx(
        version=3,
        auth_safe=structure.ContentInfo(
            content_type=structure.DATA, content=structure.opened(content)
        ),
        mac_data=mac.mac_data(mac.digest(keys[form], content)),
    )
    contents = open_pfx(asn1.encode_der(pfx), Secret(""))
    assert contents.key == case.key
    assert contents.description.keys == (NOT_ENCRYPTED,)


@pytest.mark.parametrize("prf", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("bits", [128, 192, 256])
def test_every_prf_and_aes(
    prf: Hash, bits: int, case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    how = encryption.Pbes2(Pbkdf2(b"0123456789", 5, prf, bits // 8), bits, bytes(16))
    bags = contents_of(clear_bags(keys=(case.key.pkcs8,)))
    contents = open_pfx(assemble(encrypted_safe(how, bags)), PASSWORD)
    assert contents.key == case.key
    (protection,) = contents.description.keys
    assert protection.rounds == 5
    assert protection.name == f"AES-{bits}-CBC, PBKDF2-HMAC-SHA-{prf[3:]}"


def test_pbmac1(case: Case, clear_bags: ClearBags) -> None:
    content = structure.encode_contents([clear_bags(keys=(case.key.pkcs8,))])
    mac = Pbmac1(Pbkdf2(b"salt", 2, "sha512", 20), 20, "sha384")
    parameters = structure.SchemeParameters(
        derivation=mac.kdf.algorithm(),
        scheme=structure.AlgorithmIdentifier(algorithm=names.HMAC_OIDS["sha384"], parameters=None),
    )
    algorithm = structure.AlgorithmIdentifier(
        algorithm=names.PBMAC1, parameters=structure.opened(parameters)
    )
    digest = mac.digest(mac.keys(PASSWORD)[0], content)
    pfx = structure.Pfx(
        version=3,
        auth_safe=structure.ContentInfo(
            content_type=structure.DATA, content=structure.opened(content)
        ),
        mac_data=structure.MacData(
            mac=structure.DigestInfo(algorithm=algorithm, digest=digest),
            salt=b"ignored",
            iterations=None,
        ),
    )
    data = asn1.encode_der(pfx)
    contents = open_pfx(data, PASSWORD)
    assert contents.key == case.key
    assert mac_of(contents.description).name == "PBMAC1-HMAC-SHA-384, PBKDF2-HMAC-SHA-512"
    assert mac_of(contents.description).rounds == 2
    with pytest.raises(WrongBackupPasswordError):
        open_pfx(data, Secret("wrong"))


class Announcing:
    """An encryption that says in the file more rounds than it did."""

    def __init__(self, rounds: int, salt: bytes = b"salt") -> None:
        self.said = encryption.Pbes2(Pbkdf2(salt, rounds, "sha256"), 256, bytes(16))
        self.done = replace(self.said, kdf=replace(self.said.kdf, rounds=1))

    def algorithm(self) -> structure.AlgorithmIdentifier:
        return self.said.algorithm()

    def keys(self, password: Secret) -> tuple[encryption.CipherKey, ...]:
        return self.done.keys(password)


@pytest.fixture
def _nothing_long_is_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches the derivations: one that should have been refused fails the test."""
    derive = Pbkdf2.derive

    def watched(self: Pbkdf2, password: bytes, length: int) -> bytes:
        assert self.rounds <= 2048
        return derive(self, password, length)

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
    hidden = Announcing(10_000_000)
    bags = [
        structure.SafeBag(
            id=structure.SHROUDED_KEY_BAG,
            value=structure.opened(
                structure.EncryptedPrivateKeyInfo(algorithm=hidden.algorithm(), data=b"x" * 16)
            ),
            attributes=None,
        )
    ] * 3
    outer = encryption.fresh(MODERN, 2048)
    with pytest.raises(UnsupportedBackupError):
        open_pfx(assemble(encrypted_safe(outer, structure.encode_bags(bags))), PASSWORD)


def test_a_salt_of_a_megabyte_is_damage(assemble: Assemble) -> None:
    with pytest.raises(DamagedBackupError):
        describe(assemble(encrypted_safe(Announcing(1, bytes(1_000_000)), b"x")))


def test_more_than_64_bags_are_damage(
    case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    many = clear_bags(certificates=(case.identity.certificate.der,) * 65)
    with pytest.raises(DamagedBackupError):
        describe(assemble(many))
    half = clear_bags(certificates=(case.identity.certificate.der,) * 33)
    with pytest.raises(DamagedBackupError):
        describe(assemble(half, half))


def test_bags_in_bags_are_found_as_deep_as_is_honest(
    case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    bags = contents_of(clear_bags(keys=(case.key.pkcs8,)))
    data = b""
    for depth in range(1, 30):
        value = asn1.decode_der(asn1.TLV, bags)
        bag = structure.SafeBag(id=structure.SAFE_CONTENTS_BAG, value=value, attributes=None)
        bags = structure.encode_bags([bag])
        safe = structure.ContentInfo(content_type=structure.DATA, content=structure.opened(bags))
        data = assemble(safe)
        if depth <= 5:
            assert open_pfx(data, PASSWORD).key == case.key
    with pytest.raises(DamagedBackupError):
        open_pfx(data, PASSWORD)


def test_a_bomb_in_a_safe_is_refused(assemble: Assemble) -> None:
    bomb = b"\x30\x80" * 1_000_000
    safe = structure.ContentInfo(content_type=structure.DATA, content=structure.opened(bomb))
    with pytest.raises(DamagedBackupError):
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


def test_a_certificate_of_an_unheard_of_version_is_damage(
    case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    der = case.identity.certificate.der
    version = b"\xa0\x03\x02\x01"  # [0] EXPLICIT INTEGER, RFC 5280, 4.1
    odd = der.replace(version + b"\x02", version + b"\x3d", 1)
    assert odd != der
    with pytest.raises(DamagedBackupError):
        open_pfx(assemble(clear_bags(certificates=(odd,))), PASSWORD)


def test_a_key_that_openssl_cannot_set_up_is_damage(
    monkeypatch: pytest.MonkeyPatch, case: Case, assemble: Assemble, clear_bags: ClearBags
) -> None:
    def refuse(_der: bytes) -> None:
        message = "key setup failed"
        raise InternalError(message, [])

    monkeypatch.setattr(keys, "from_pkcs8", refuse)
    with pytest.raises(DamagedBackupError):
        open_pfx(assemble(clear_bags(keys=(case.key.pkcs8,))), PASSWORD)


def test_scrypt_is_named_and_refused(assemble: Assemble) -> None:
    scrypt = structure.AlgorithmIdentifier(
        algorithm=ObjectIdentifier("1.3.6.1.4.1.11591.4.11"), parameters=None
    )
    aes = structure.AlgorithmIdentifier(
        algorithm=names.AES_CBC_OIDS[256], parameters=structure.opened(bytes(16))
    )

    class Scrypt(Announcing):
        def algorithm(self) -> structure.AlgorithmIdentifier:
            parameters = structure.SchemeParameters(derivation=scrypt, scheme=aes)
            return structure.AlgorithmIdentifier(
                algorithm=names.PBES2, parameters=structure.opened(parameters)
            )

    data = assemble(encrypted_safe(Scrypt(1), b"x"))
    assert describe(data).certificates[0].name == "AES-256-CBC, scrypt"
    with pytest.raises(UnsupportedBackupError, match="scrypt"):
        open_pfx(data, PASSWORD)


def test_a_foreign_cipher_with_a_wrong_plaintext_is_ours_to_report(assemble: Assemble) -> None:
    class Camellia(Announcing):
        def algorithm(self) -> structure.AlgorithmIdentifier:
            cipher = structure.AlgorithmIdentifier(
                algorithm=ObjectIdentifier("1.2.392.200011.61.1.1.1.4"),
                parameters=structure.opened(bytes(16)),
            )
            parameters = structure.SchemeParameters(
                derivation=self.said.kdf.algorithm(), scheme=cipher
            )
            return structure.AlgorithmIdentifier(
                algorithm=names.PBES2, parameters=structure.opened(parameters)
            )

    data = assemble(encrypted_safe(Camellia(1), b"x"))
    assert describe(data).certificates[0].name.startswith("Camellia-256-CBC")
    with pytest.raises((UnsupportedBackupError, DamagedBackupError)):
        open_pfx(data, PASSWORD)
    with pytest.raises(WrongBackupPasswordError):
        open_pfx(data, Secret("wrong"))
