"""Every check of a file just written fails where it should."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from nssbackup.certificate import from_der, load_certificate
from nssbackup.errors import VerificationError, WrongBackupPasswordError
from nssbackup.keys import from_pkcs8
from nssbackup.model import Identity, PrivateKey
from nssbackup.pkcs12 import COMPATIBLE, MODERN, Sealer
from nssbackup.secret import Secret
from nssbackup.verify import Expected, verify_written
from tests.store_builder import ec_key, issue

PASSWORD = Secret("a password for the tests")
ROUNDS = 2_048
CA_KEY, OWN_KEY, OTHER_KEY = ec_key(8), ec_key(0), ec_key(1)
CA = from_der(issue(CA_KEY, "CA", ca=True))


def private(key: ec.EllipticCurvePrivateKey) -> PrivateKey:
    return from_pkcs8(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


@dataclass(frozen=True)
class Written:
    """A file on the disk and what it was made from."""

    path: Path
    expected: Expected

    def mismatches(self, **changes: object) -> list[str]:
        """The numbers of the checks that fail if something else had been expected."""
        with pytest.raises(VerificationError) as caught:
            verify_written(self.path, PASSWORD, replace(self.expected, **changes))  # type: ignore[arg-type]  # as the dataclass has them
        assert all(mismatch in caught.value.message for mismatch in caught.value.mismatches)
        return sorted({mismatch[:3] for mismatch in caught.value.mismatches})


@pytest.fixture
def written(tmp_path: Path) -> Written:
    certificate = from_der(issue(OWN_KEY, "Jane Doe", "CA", CA_KEY))
    identity, key = Identity(None, certificate, (CA,)), private(OWN_KEY)
    path = tmp_path / "backup.pfx"
    path.touch(mode=0o600)
    path.write_bytes(Sealer(PASSWORD, MODERN, rounds=ROUNDS).seal(identity, key))
    return Written(path, Expected(identity, key, "Jane Doe", MODERN, ROUNDS))


def foreign(written: Written, name: str, key: ec.EllipticCurvePrivateKey | None) -> None:
    """Put a file of `cryptography` in place of ours, with the same certificate and any key."""
    own = load_certificate(written.expected.identity.certificate.der)
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(ROUNDS)
    encryption = builder.build(PASSWORD.reveal().encode())
    written.path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            name.encode(), key, own, [load_certificate(CA.der)], encryption
        )
    )


def test_what_was_written_is_found_again(written: Written) -> None:
    assert verify_written(written.path, PASSWORD, written.expected) == ()


def test_1_a_file_that_others_may_read_is_refused(written: Written) -> None:
    written.path.chmod(0o644)
    assert written.mismatches() == ["(1)"]


def test_1_a_drive_without_modes_is_a_warning(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    written.path.chmod(0o755)

    def refused(*_: object) -> None:
        raise PermissionError

    # As on vfat, which can't be had without mounting one.
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
    own = load_certificate(expected.identity.certificate.der)
    written.path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"Jane Doe",
            OWN_KEY,
            own,
            [load_certificate(CA.der)],
            builder.build(PASSWORD.reveal().encode()),
        )
    )
    assert written.mismatches(rounds=4_096) == ["(2)"]


def test_4_a_file_without_a_key_is_noticed(written: Written) -> None:
    foreign(written, "Jane Doe", None)
    assert "(4)" in written.mismatches()


def test_4_a_key_that_does_not_fit_is_noticed(written: Written) -> None:
    identity = written.expected.identity
    # Without it the writer can't compare, and would refuse otherwise.
    unknown = replace(identity.certificate, public_key=None)
    sealer = Sealer(PASSWORD, MODERN, rounds=ROUNDS)
    written.path.write_bytes(
        sealer.seal(replace(identity, certificate=unknown), private(OTHER_KEY))
    )
    assert written.mismatches() == ["(4)", "(5)"]


def test_5_another_certificate_is_noticed(written: Written) -> None:
    certificate = from_der(issue(OWN_KEY, "Jane Doe", "CA", CA_KEY))
    identity = Identity(None, certificate, (CA,))
    assert "(5)" in written.mismatches(identity=identity)


def test_5_another_key_is_noticed(written: Written) -> None:
    assert written.mismatches(key=private(OTHER_KEY)) == ["(5)"]


@pytest.mark.parametrize("chain", [(), (CA, CA)])
def test_6_another_chain_is_noticed(written: Written, chain: tuple[object, ...]) -> None:
    identity = replace(written.expected.identity, chain=chain)  # type: ignore[arg-type]  # any will do
    assert written.mismatches(identity=identity) == ["(6)"]


@pytest.mark.parametrize("name", ["jane doe", None])
def test_7_another_name_is_noticed(written: Written, name: str | None) -> None:
    assert written.mismatches(friendly_name=name) == ["(7)"]


def test_7_another_local_key_id_is_noticed(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    real = hashlib.sha1
    with monkeypatch.context() as patch:
        # A writer that takes something else for it.
        patch.setattr(hashlib, "sha1", lambda data, **kw: real(data + b"x", **kw))
        identity, key = written.expected.identity, written.expected.key
        written.path.write_bytes(Sealer(PASSWORD, MODERN, rounds=ROUNDS).seal(identity, key))
    assert written.mismatches() == ["(7)"]


def test_another_password_is_wrong(written: Written) -> None:
    with pytest.raises(WrongBackupPasswordError):
        verify_written(written.path, Secret("another"), written.expected)
