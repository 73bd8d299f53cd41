"""Every check of a file just written fails where it should."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from nssbackup.backups.opening import UnreadableBackupError, read_backup
from nssbackup.backups.verify import Expected, verify_backup, verify_written
from nssbackup.diagnosis.selection import EXPIRY_NOTICE, identity_warnings
from nssbackup.errors import VerificationError, WrongBackupPasswordError
from nssbackup.identity.certificate import from_der
from nssbackup.identity.model import Identity, PrivateKey
from nssbackup.identity.private_keys import from_pkcs8
from nssbackup.pkcs12 import COMPATIBLE, MODERN, PfxEntry, PfxWriter, entries_of, structure
from nssbackup.secret import Secret
from tests import LIMIT
from tests.builders.store import ec_key, issue
from tests.unit.pkcs12.identities import pfx_of

PASSWORD = Secret("a password for the tests")
ROUNDS = 2_048
CA_KEY, OWN_KEY, OTHER_KEY = ec_key(8), ec_key(0), ec_key(1)
CA = from_der(issue(CA_KEY, "CA", ca=True))
OTHER_CA = from_der(issue(ec_key(7), "Other CA", ca=True))


def private(key: ec.EllipticCurvePrivateKey) -> PrivateKey:
    return from_pkcs8(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


_OF_ENTRY = {"identity", "key", "friendly_name"}


@dataclass(frozen=True)
class Written:
    """A file on the disk and what it was made from."""

    path: Path
    expected: Expected

    @property
    def identity(self) -> Identity:
        return self.expected.entries[0].identity

    @property
    def key(self) -> PrivateKey:
        return self.expected.entries[0].key

    def instead(self, **changes: object) -> Expected:
        """Something else that might have been expected."""
        of_entry = {name: changes.pop(name) for name in _OF_ENTRY & changes.keys()}
        entry = replace(self.expected.entries[0], **of_entry)  # type: ignore[arg-type]  # as the dataclass has them
        return replace(self.expected, entries=(entry,), **changes)  # type: ignore[arg-type]  # as above

    def mismatches(self, **changes: object) -> list[str]:
        """The numbers of the checks that fail if something else had been expected."""
        with pytest.raises(VerificationError) as caught:
            verify_written(self.path, PASSWORD, self.instead(**changes))
        assert all(mismatch in caught.value.message for mismatch in caught.value.mismatches)
        return sorted({mismatch[:3] for mismatch in caught.value.mismatches})


@pytest.fixture
def written(tmp_path: Path) -> Written:
    certificate = from_der(issue(OWN_KEY, "Jane Doe", "CA", CA_KEY))
    identity, key = Identity(None, certificate, (CA,)), private(OWN_KEY)
    path = tmp_path / "backup.pfx"
    path.touch(mode=0o600)
    path.write_bytes(PfxWriter(PASSWORD, MODERN, rounds=ROUNDS).encode(identity, key))
    return Written(path, Expected(entries_of([(identity, key)]), MODERN, ROUNDS))


def foreign(written: Written, name: str, key: ec.EllipticCurvePrivateKey | None) -> None:
    """Put a file of `cryptography` in place of ours, with the same certificate and any key."""
    own = x509.load_der_x509_certificate(written.identity.certificate.der)
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(ROUNDS)
    encryption = builder.build(PASSWORD.reveal().encode())
    written.path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            name.encode(), key, own, [x509.load_der_x509_certificate(CA.der)], encryption
        )
    )


def test_what_was_written_is_found_again(written: Written) -> None:
    assert verify_written(written.path, PASSWORD, written.expected) == ()


def test_1_a_file_that_others_may_read_is_refused(written: Written) -> None:
    written.path.chmod(0o644)
    assert written.mismatches() == ["(1)"]


@pytest.mark.parametrize("error", [PermissionError, None])
def test_1_a_drive_without_modes_is_a_warning(
    written: Written, monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None
) -> None:
    written.path.chmod(0o755)

    def refused(*_: object) -> None:
        if error is not None:
            raise error

    # As on vfat and on some shares, which can't be had without mounting one.
    monkeypatch.setattr(Path, "chmod", refused)
    (warning,) = verify_written(written.path, PASSWORD, written.expected)
    assert "no file permissions" in warning


def test_2_and_3_other_rounds_are_noticed(written: Written) -> None:
    assert written.mismatches(rounds=600_000) == ["(2)", "(3)"]


def test_2_and_3_another_format_is_noticed(written: Written) -> None:
    assert written.mismatches(format=COMPATIBLE) == ["(2)", "(3)"]


def test_2_a_weaker_mac_is_noticed_though_the_rest_is_strong(written: Written) -> None:
    foreign(written, "Jane Doe", OWN_KEY)
    expected = replace(written.expected, rounds=ROUNDS)
    assert verify_written(written.path, PASSWORD, expected) == ()
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(4_096)
    own = x509.load_der_x509_certificate(written.identity.certificate.der)
    written.path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"Jane Doe",
            OWN_KEY,
            own,
            [x509.load_der_x509_certificate(CA.der)],
            builder.build(PASSWORD.reveal().encode()),
        )
    )
    assert written.mismatches(rounds=4_096) == ["(2)"]


def test_2_a_missing_mac_is_noticed(written: Written) -> None:
    found = structure.decode(structure.Pfx, written.path.read_bytes())
    without = structure.Pfx(version=found.version, auth_safe=found.auth_safe, mac_data=None)
    written.path.write_bytes(asn1.encode_der(without))
    with pytest.raises(VerificationError) as caught:
        verify_written(written.path, PASSWORD, written.expected)
    assert caught.value.mismatches == ("(2) its MAC is missing",)


def test_4_a_file_without_a_key_is_noticed(written: Written) -> None:
    foreign(written, "Jane Doe", None)
    assert "(4)" in written.mismatches()


def test_4_a_key_that_does_not_fit_is_noticed(written: Written) -> None:
    identity = written.identity
    # Without it the writer can't compare, and would refuse otherwise.
    unknown = replace(identity.certificate, public_key=None)
    writer = PfxWriter(PASSWORD, MODERN, rounds=ROUNDS)
    written.path.write_bytes(
        writer.encode(replace(identity, certificate=unknown), private(OTHER_KEY))
    )
    assert written.mismatches() == ["(4)"]


def test_5_another_certificate_is_noticed(written: Written) -> None:
    certificate = from_der(issue(OWN_KEY, "Jane Doe", "CA", CA_KEY))
    identity = Identity(None, certificate, (CA,))
    assert "(5)" in written.mismatches(identity=identity)


def test_5_another_key_is_noticed(written: Written) -> None:
    assert written.mismatches(key=private(OTHER_KEY)) == ["(5)"]


@pytest.mark.parametrize("chain", [(), (OTHER_CA, CA)])
def test_6_another_chain_is_noticed(written: Written, chain: tuple[object, ...]) -> None:
    identity = replace(written.identity, chain=chain)  # type: ignore[arg-type]  # any will do
    assert written.mismatches(identity=identity) == ["(6)"]


@pytest.mark.parametrize("name", ["jane doe", None])
def test_7_another_name_is_noticed(written: Written, name: str | None) -> None:
    assert written.mismatches(friendly_name=name) == ["(7)"]


def test_7_another_local_key_id_is_noticed(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # A writer that takes something else for it.
        patch.setattr(PfxEntry, "local_key_id", b"another")
        data = PfxWriter(PASSWORD, MODERN, rounds=ROUNDS).encode(written.identity, written.key)
        written.path.write_bytes(data)
    assert written.mismatches() == ["(7)"]


def test_another_password_is_wrong(written: Written) -> None:
    with pytest.raises(WrongBackupPasswordError):
        verify_written(written.path, Secret("another"), written.expected)


def test_every_check_that_fails_is_told_in_its_order(written: Written) -> None:
    written.path.chmod(0o640)
    with pytest.raises(VerificationError) as caught:
        verify_written(written.path, PASSWORD, written.instead(rounds=3_000, friendly_name="Zoë"))
    found = caught.value.mismatches
    assert found[0] == "(1) others may read it: its mode is not 0600"
    assert found[1] == "(2) its MAC is HMAC-SHA-256, 2048 rounds"
    encryption = "(3) it is encrypted with AES-256-CBC, PBKDF2-HMAC-SHA-256, 2048 rounds"
    assert found[2:4] == (encryption, encryption)
    assert found[4:] == ("(7) its friendlyName is another one",)
    message = f"the file written is not what it should be: {'; '.join(found)}"
    assert caught.value.message == message


def test_1_the_mode_is_mended_before_it_is_told_of(written: Written) -> None:
    written.path.chmod(0o666)
    assert written.mismatches() == ["(1)"]
    assert written.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("keys", [(OWN_KEY,), (OWN_KEY, OTHER_KEY)])
def test_4_another_number_of_keys_or_no_certificate_is_noticed(
    written: Written, keys: tuple[ec.EllipticCurvePrivateKey, ...]
) -> None:
    own = written.identity.certificate.der
    certificates = [own, CA.der] if len(keys) > 1 else [CA.der]
    written.path.write_bytes(pfx_of(keys, certificates, PASSWORD))
    with pytest.raises(VerificationError) as caught:
        verify_written(written.path, PASSWORD, written.expected)
    assert (
        caught.value.mismatches[-1]
        == "(4) it does not contain one fitting key for each certificate"
    )


# --- files of any origin

FEW = "weak: a guess at the password costs only 2,048 rounds"


def test_all_there_is_to_say_of_a_file_is_said(written: Written) -> None:
    found = verify_backup(written.path, PASSWORD)
    own = written.identity.certificate
    assert found.path == written.path
    assert found.error is None
    assert found.identity is not None
    assert found.identity.certificate == replace(own, nickname="Jane Doe", has_private_key=True)
    assert [one.der for one in found.identity.chain] == [CA.der]
    assert (found.encryption, found.kdf_rounds) == ("AES-256-CBC, PBKDF2-HMAC-SHA-256", ROUNDS)
    assert found.certificate_encryption == found.encryption
    assert found.certificate_rounds == ROUNDS
    assert (found.mac, found.mac_rounds) == ("HMAC-SHA-256", ROUNDS)
    assert found.warnings == (FEW,)


def test_old_encryption_and_other_readers_are_warned_of(written: Written) -> None:
    identity, key = written.identity, written.key
    written.path.write_bytes(PfxWriter(PASSWORD, COMPATIBLE, rounds=ROUNDS).encode(identity, key))
    written.path.chmod(0o604)
    found = verify_backup(written.path, PASSWORD)
    assert found.encryption == "3DES (PBE-SHA1)"
    assert found.warnings == (
        "other users of this computer may read the file: `chmod 600` prevents that",
        "old encryption of the private key: 3DES (PBE-SHA1)",
        "old encryption of the certificates: 3DES (PBE-SHA1)",
        FEW,
    )
    written.path.chmod(0o400)
    assert verify_backup(written.path, PASSWORD).warnings == found.warnings[1:]


@pytest.mark.parametrize(("rounds", "warned"), [(99_999, True), (100_000, False)])
def test_from_100000_rounds_on_a_guess_is_not_called_cheap(
    written: Written, rounds: int, *, warned: bool
) -> None:
    identity, key = written.identity, written.key
    written.path.write_bytes(PfxWriter(PASSWORD, MODERN, rounds=rounds).encode(identity, key))
    warnings = ("weak: a guess at the password costs only 99,999 rounds",) if warned else ()
    assert verify_backup(written.path, PASSWORD).warnings == warnings


def test_the_fewest_rounds_of_a_file_are_what_a_guess_costs(written: Written) -> None:
    foreign(written, "Jane Doe", OWN_KEY)  # `cryptography` takes 2,048 for the MAC, whatever is set
    own = x509.load_der_x509_certificate(written.identity.certificate.der)
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(300_000)
    encryption = builder.build(PASSWORD.reveal().encode())
    written.path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"Jane Doe", OWN_KEY, own, [x509.load_der_x509_certificate(CA.der)], encryption
        )
    )
    found = verify_backup(written.path, PASSWORD)
    assert (found.kdf_rounds, found.mac_rounds) == (300_000, ROUNDS)
    assert found.warnings == (FEW,)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ("-legacy",),
            (
                "old encryption of the private key: 3DES (PBE-SHA1)",
                "weak: the certificates: RC2-40 (PBE-SHA1)",
                FEW,
            ),
        ),
        (
            ("-legacy", "-keypbe", "PBE-SHA1-RC4-128", "-certpbe", "PBE-SHA1-RC2-128"),
            (
                "weak: the private key: RC4-128 (PBE-SHA1)",
                "old encryption of the certificates: RC2-128 (PBE-SHA1)",
                FEW,
            ),
        ),
        (
            ("-legacy", "-keypbe", "PBE-MD5-DES", "-certpbe", "PBE-SHA1-2DES"),
            (
                "weak: the private key: DES (PBE-MD5)",
                "old encryption of the certificates: 2-key 3DES (PBE-SHA1)",
                FEW,
            ),
        ),
        (
            ("-keypbe", "NONE", "-certpbe", "NONE", "-nomac"),
            (
                "weak: the private key: not encrypted",
                "weak: the certificates: not encrypted",
                "weak: no MAC, so changes to the file would not be noticed",
            ),
        ),
    ],
)
def test_what_protects_too_little_is_warned_of(
    written: Written, options: Sequence[str], expected: tuple[str, ...]
) -> None:
    source = written.path.with_suffix(".pem")
    pem = OWN_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for one in (written.identity.certificate, CA):
        pem += x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM)
    source.write_bytes(pem)
    words = ["openssl", "pkcs12", "-export", "-in", str(source), "-passout", "stdin"]
    words += ["-name", "Zoë Doe", *options]
    done = subprocess.run(
        words, input=PASSWORD.reveal().encode(), capture_output=True, check=True, timeout=LIMIT
    )
    written.path.write_bytes(done.stdout)
    found = verify_backup(written.path, PASSWORD)
    assert found.error is None
    assert found.identity is not None
    assert found.identity.certificate.nickname == "Zoë Doe"
    assert [one.der for one in found.identity.chain] == [CA.der]
    assert found.warnings == expected


def test_a_mac_that_is_not_computed_here_is_checked_too(written: Written) -> None:
    pem = OWN_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    own = x509.load_der_x509_certificate(written.identity.certificate.der)
    words = ["openssl", "pkcs12", "-export", "-passout", "pass:pw", "-macalg", "md5"]
    written.path.write_bytes(
        subprocess.run(
            words,
            input=pem + own.public_bytes(Encoding.PEM),
            capture_output=True,
            check=True,
            timeout=LIMIT,
        ).stdout
    )
    found = verify_backup(written.path, Secret("pw"))
    assert found.error is None
    assert (found.mac, found.mac_rounds) == ("HMAC-MD5", ROUNDS)
    assert isinstance(verify_backup(written.path, PASSWORD).error, WrongBackupPasswordError)


def test_a_file_that_does_not_open_is_a_result_with_its_error(written: Written) -> None:
    found = verify_backup(written.path, Secret("another"))
    assert isinstance(found.error, WrongBackupPasswordError)
    assert found.path == written.path
    assert found.identity is None
    assert found.encryption is found.mac is None
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("keys", "certificates", "reason"),
    [
        ((), (CA.der,), "it contains no private key"),
        ((OWN_KEY,), (), "it contains no certificate for its private key"),
        ((OWN_KEY,), (CA.der,), "it contains no certificate for its private key"),
    ],
)
def test_what_would_not_work_as_a_backup_says_why(
    tmp_path: Path,
    keys: tuple[ec.EllipticCurvePrivateKey, ...],
    certificates: tuple[bytes, ...],
    reason: str,
) -> None:
    path = tmp_path / "odd.pfx"
    path.write_bytes(pfx_of(keys, certificates, PASSWORD))
    found = verify_backup(path, PASSWORD)
    assert isinstance(found.error, VerificationError)
    assert found.error.message == f"the file opens, but {reason}"
    assert found.error.mismatches == (reason,)
    assert (found.encryption is None) is (not keys)
    assert (found.certificate_encryption is None) is (not certificates)


def test_a_key_that_does_not_fit_does_not_work_as_a_backup(written: Written) -> None:
    identity = written.identity
    unknown = replace(identity.certificate, public_key=None)
    writer = PfxWriter(PASSWORD, MODERN, rounds=ROUNDS)
    written.path.write_bytes(
        writer.encode(replace(identity, certificate=unknown), private(OTHER_KEY))
    )
    found = verify_backup(written.path, PASSWORD)
    assert found.error is not None
    assert found.error.message == (
        "the file opens, but the private key of `Jane Doe` does not fit the certificate"
    )


def test_more_private_keys_than_one_are_said(written: Written) -> None:
    own = written.identity.certificate.der
    written.path.write_bytes(pfx_of([OWN_KEY, OTHER_KEY], [own, CA.der], PASSWORD))
    found = verify_backup(written.path, PASSWORD)
    assert found.error is None
    assert "1 of its private keys has no certificate" in found.warnings
    assert "it contains 2 private keys: some programs see only the first" in found.warnings


# --- what the holder should know

OLD_MAIL = "it still opens old mail, but no longer logs in"
END = datetime(2030, 5, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (END - EXPIRY_NOTICE, ()),
        (
            END - EXPIRY_NOTICE + SECOND,
            ("the certificate expires on 2030-05-01: request a new one in time",),
        ),
        (END, ("the certificate expires on 2030-05-01: request a new one in time",)),
        (
            END + SECOND,
            ("the certificate expired on 2030-05-01: " + OLD_MAIL,),
        ),
        (END - timedelta(days=365), ()),
        (
            END - timedelta(days=365) - SECOND,
            ("the certificate is not valid before 2029-05-01",),
        ),
    ],
)
def test_the_end_of_a_certificate_is_told_in_time(
    written: Written, now: datetime, expected: tuple[str, ...]
) -> None:
    identity = written.identity
    dated = replace(identity.certificate, not_before=END - timedelta(days=365), not_after=END)
    assert tuple(identity_warnings(replace(identity, certificate=dated), now)) == expected


def test_what_is_missing_above_a_certificate_is_told(written: Written) -> None:
    identity = written.identity
    assert tuple(identity_warnings(identity)) == ()
    assert tuple(identity_warnings(replace(identity, chain=()))) == (
        "the certificate of its issuer, CA, is not included",
    )
    assert tuple(identity_warnings(Identity(None, CA))) == ()
    middle = from_der(issue(ec_key(7), "Middle", "Root", ec_key(6), ca=True))
    assert tuple(identity_warnings(replace(identity, chain=(middle,)))) == (
        "the certification path is incomplete: Root is not included",
    )


# --- bytes from the disk


def test_a_file_of_8_mib_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "sparse.pfx"
    with path.open("wb") as file:
        file.write(b"x")
        file.truncate(8 * 1024 * 1024)
    assert len(read_backup(path)) == 8 * 1024 * 1024
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(UnreadableBackupError) as caught:
        read_backup(path)
    assert caught.value.message == (
        f"`{path}` can't be read: too large (8,388,609 bytes; the limit is 8,388,608)"
    )


def test_what_is_no_file_or_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableBackupError) as caught:
        read_backup(tmp_path)
    assert caught.value.message == f"`{tmp_path}` can't be read: not a regular file"
    missing = tmp_path / "missing"
    with pytest.raises(UnreadableBackupError) as caught:
        read_backup(missing)
    assert caught.value.message == f"`{missing}` can't be read: no such file or directory"
    with pytest.raises(UnreadableBackupError, match="not a valid file name"):
        read_backup(tmp_path / "a\0b")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_file_that_grows_while_it_is_read_is_said() -> None:
    # It says that it has no bytes, and has some.
    with pytest.raises(UnreadableBackupError, match="changed while it was read"):
        read_backup(Path("/proc/self/status"))
