"""`verify`: files of many makers, and files that are none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from tests import LIMIT
from tests.builders.store import issue, name, rsa_key
from tests.cli.runner import STRONG, Cli, Result
from tests.conftest import MakeProfile
from tests.peers import need

CA = name("WIPO Test CA", "WIPO")
SERIAL = 0x4711


def tool(*words: str | Path, password: str = STRONG) -> None:
    """Run a program that reads the password from stdin, once or several times."""
    subprocess.run(
        words, input=f"{password}\n" * 3, text=True, capture_output=True, check=True, timeout=LIMIT
    )


def verify(cli: Cli, *files: str | Path, password: str = STRONG) -> Result:
    return cli.run("verify", "--password-file", cli.password_file(password), *files)


def pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def by_openssl(
    cli: Cli, *options: str, chain: bool = True, days: tuple[int, int] = (-9, 300)
) -> Path:
    """A PFX that OpenSSL makes, with the certificate of the authority or without it."""
    key = rsa_key(1)
    der = issue(key, "Jane Doe", CA, rsa_key(9), days=days, serial=SERIAL)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem(der)
    authority = pem(issue(rsa_key(9), CA, ca=True)) if chain else b""
    source, target = cli.file("source.pem", text + authority), cli.here / "openssl.pfx"
    tool(
        "openssl", "pkcs12", "-export", "-in", source, "-out", target, "-passout", "stdin", *options
    )
    return target


def sealed(
    cli: Cli,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None,
    certificate: bytes | None,
    others: Sequence[bytes] = (),
) -> Path:
    """A PFX of any key and certificate, whether they fit or not."""
    data = pkcs12.serialize_key_and_certificates(
        None,
        key,
        None if certificate is None else x509.load_der_x509_certificate(certificate),
        [x509.load_der_x509_certificate(other) for other in others],
        BestAvailableEncryption(STRONG.encode()),
    )
    path = cli.here / "sealed.pfx"
    path.write_bytes(data)
    return path


def only(cli: Cli, file: Path) -> dict[str, Any]:
    (found,) = cli.verify(file)
    return found


# --- of whom


@pytest.mark.parametrize(
    ("options", "encryption", "mac"),
    [
        ((), "AES-256-CBC", "SHA-256"),
        (("-legacy",), "3DES", "SHA-1"),
        (("-macalg", "sha512"), "AES-256-CBC", "SHA-512"),
        (("-keypbe", "aes-128-cbc", "-certpbe", "aes-128-cbc"), "AES-128-CBC", "SHA-256"),
        (("-iter", "200000"), "AES-256-CBC", "SHA-256"),
    ],
)
def test_files_of_openssl_work(
    cli: Cli, options: tuple[str, ...], encryption: str, mac: str
) -> None:
    found = only(cli, by_openssl(cli, *options))
    assert found["ok"] is True
    assert encryption in found["encryption"]
    assert mac in found["mac"]
    assert found["kdf_rounds"] == found["mac_rounds"] == (200_000 if "-iter" in options else 2048)
    assert found["identity"]["common_name"] == "Jane Doe"
    assert len(found["identity"]["chain"]) == 1


@pytest.mark.parametrize("store", ["nss387-nopassword", "ec-p384"])
def test_files_of_pk12util_work(
    cli: Cli, profile: MakeProfile, require_peers: bool, store: str
) -> None:
    need(None if shutil.which("pk12util") else "no pk12util", required=require_peers)
    target = cli.here / "nss.p12"
    password = cli.password_file()
    tool(
        *("pk12util", "-o", target, "-n", "Jane Doe", "-w", password, "-d", f"sql:{profile(store)}")
    )
    found = only(cli, target)
    assert found["ok"] is True
    assert found["identity"]["wipo"] is True
    assert found["kdf_rounds"] >= 10_000


def test_files_of_keytool_work(cli: Cli, require_peers: bool) -> None:
    need(None if shutil.which("keytool") else "no keytool", required=require_peers)
    target = cli.here / "java.p12"
    tool(
        *("keytool", "-genkeypair", "-keyalg", "EC", "-alias", "jane", "-dname", "CN=Jane Doe"),
        *("-storetype", "PKCS12", "-keystore", target, "-storepass:file", cli.password_file()),
    )
    found = only(cli, target)
    assert found["ok"] is True
    assert found["identity"]["subject"] == "CN=Jane Doe"


@pytest.mark.parametrize("format_", ["modern", "compatible"])
def test_our_own_files_work_without_a_warning(cli: Cli, profile: MakeProfile, format_: str) -> None:
    words = ("--format", format_, "--kdf-rounds", "600000", "-o", "a.pfx")
    assert cli.export(profile("chain3"), *words).status == 0
    found = only(cli, cli.here / "a.pfx")
    assert found["ok"] is True
    assert len(found["identity"]["chain"]) == 3
    expected = [] if format_ == "modern" else ["old encryption"] * 2
    assert [warning[:14] for warning in found["warnings"]] == expected


@pytest.mark.parametrize("password", ["Grün-und-Süß-47", "正确的马电池", "🔑🐎🔋"])
def test_a_password_in_other_scripts_opens_files_of_openssl(cli: Cli, password: str) -> None:
    key = rsa_key(1)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    source = cli.file("source.pem", text + pem(issue(key, "Jane", CA, rsa_key(9))))
    words = ("pkcs12", "-export", "-in", source, "-out", cli.here / "a.pfx", "-passout", "stdin")
    tool("openssl", *words, password=password)
    assert cli.verify(cli.here / "a.pfx", password=password)[0]["ok"] is True


# --- what is wrong with it


def test_several_files_are_all_reported_and_one_bad_one_is_32(
    cli: Cli, profile: MakeProfile
) -> None:
    assert cli.export(profile("ec-p256"), "-o", "good.pfx").status == 0
    bad = cli.file("bad.pfx", b"no PFX")
    result = verify(cli, "good.pfx", bad, "good.pfx")
    assert result.status == 32
    assert result.stdout.count("good.pfx: ok") == 2
    assert f"{bad}: not usable" in result.stdout
    found = cli.verify(cli.here / "good.pfx", bad)
    assert [one["ok"] for one in found] == [True, False]
    assert found[1]["identity"] is None


def test_a_wrong_password_is_told_from_damage(cli: Cli, profile: MakeProfile) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    (found,) = cli.verify(cli.here / "a.pfx", password="another")
    assert found["ok"] is False
    assert found["error"]["code"] == "wrong-backup-password"
    assert verify(cli, "a.pfx", password="").status == 32


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_32(cli: Cli, profile: MakeProfile, part: float) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    data = (cli.here / "a.pfx").read_bytes()
    file = cli.file("short.pfx", data[: int(len(data) * part)])
    assert verify(cli, file).status == 32
    assert only(cli, file)["error"]["code"] == "backup-damaged"


@pytest.mark.parametrize("place", [0.02, 0.2, 0.5, 0.8, 0.97])
def test_a_changed_byte_is_32(cli: Cli, profile: MakeProfile, place: float) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    data = bytearray((cli.here / "a.pfx").read_bytes())
    data[int(len(data) * place)] ^= 0x55
    result = verify(cli, cli.file("changed.pfx", bytes(data)))
    assert result.status == 32
    assert "Traceback" not in result.stderr


def test_bytes_behind_the_end_do_not_pass_in_silence(cli: Cli, profile: MakeProfile) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    with (cli.here / "a.pfx").open("ab") as file:
        file.write(b"more")
    found = only(cli, cli.here / "a.pfx")
    assert not found["ok"] or len(found["warnings"]) > 1


def test_what_is_no_file_is_32_and_never_waited_for(cli: Cli) -> None:
    os.mkfifo(cli.here / "fifo")
    (cli.here / "link").symlink_to("nowhere")
    (cli.here / "loop").symlink_to("loop")
    with (cli.here / "large").open("wb") as large:
        large.truncate(2**31)
    found = ("fifo", ".", "missing", "link", "loop", "large", "/dev/zero", "n" * 300)
    for given in found:
        result = verify(cli, given)
        assert result.status == 32, given
        assert "not usable" in result.stdout
    document = cli.verify(*(cli.here / given for given in found))
    assert {one["error"]["code"] for one in document} <= {"backup-unreadable", "backup-damaged"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO on this system")
def test_the_files_are_left_as_they_are(
    cli: Cli, profile: MakeProfile, snapshot_of: Callable[[Path], object]
) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    (cli.here / "a.pfx").chmod(0o640)
    before = snapshot_of(cli.here)
    assert verify(cli, "a.pfx").status == 0
    assert snapshot_of(cli.here) == before


def test_a_key_that_does_not_fit_is_32(cli: Cli) -> None:
    # No program makes such a file; without encryption and MAC a certificate can be exchanged.
    file = by_openssl(cli, "-keypbe", "NONE", "-certpbe", "NONE", "-nomac", chain=False)
    own = next(
        one.certificate.public_bytes(Encoding.DER)
        for one in (pkcs12.load_pkcs12(file.read_bytes(), STRONG.encode()).cert,)
        if one is not None
    )
    other = issue(rsa_key(2), "Jane Doe", CA, rsa_key(9), serial=SERIAL)
    assert len(other) == len(own)
    file.write_bytes(file.read_bytes().replace(own, other))
    result = verify(cli, file)
    assert result.status == 32
    found = only(cli, file)
    assert found["ok"] is False
    assert "does not fit" in found["error"]["message"]


def test_a_file_without_key_or_certificate_is_32(cli: Cli) -> None:
    assert only(cli, sealed(cli, rsa_key(1), None))["ok"] is False
    der = issue(rsa_key(9), CA, ca=True)
    found = only(cli, sealed(cli, None, None, [der]))
    assert found["ok"] is False
    assert "no private key" in found["error"]["message"]


# --- what is not as it should be


def test_weak_encryption_gets_a_warning(cli: Cli) -> None:
    warnings = only(cli, by_openssl(cli, "-legacy"))["warnings"]
    assert any("RC2-40" in warning for warning in warnings)
    assert any("3DES" in warning for warning in warnings)


@pytest.mark.parametrize("options", [("-keypbe", "NONE"), ("-certpbe", "NONE"), ("-nomac",)])
def test_missing_protection_gets_a_warning(cli: Cli, options: tuple[str, ...]) -> None:
    found = only(cli, by_openssl(cli, *options, "-iter", "200000"))
    if options == ("-certpbe", "NONE"):
        # Certificates are public; whether that is worth a word is not the contract's.
        assert found["ok"] is True
    else:
        assert any("weak" in warning for warning in found["warnings"])


@pytest.mark.parametrize(("rounds", "warned"), [("2048", True), ("600000", False)])
def test_few_rounds_get_a_warning(cli: Cli, rounds: str, warned: bool) -> None:
    warnings = only(cli, by_openssl(cli, "-iter", rounds))["warnings"]
    assert any("rounds" in warning for warning in warnings) is warned


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_may_read_gets_a_warning(
    cli: Cli, profile: MakeProfile, mode: int, *, warned: bool
) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    (cli.here / "a.pfx").chmod(mode)
    (found,) = cli.verify(cli.here / "a.pfx")
    assert found["ok"] is True
    assert any("may read the file" in warning for warning in found["warnings"]) is warned


def test_a_missing_chain_gets_a_warning(cli: Cli) -> None:
    warnings = only(cli, by_openssl(cli, chain=False))["warnings"]
    assert any("issuer" in warning and "not included" in warning for warning in warnings)
    assert not any("not included" in one for one in only(cli, by_openssl(cli))["warnings"])


@pytest.mark.parametrize(
    ("days", "word", "status"),
    [
        ((-90, -3), "expired on", "expired"),
        ((3, 90), "not valid before", "not-yet-valid"),
        ((-90, 9), "expires on", "valid"),
    ],
)
def test_the_time_gets_a_warning(cli: Cli, days: tuple[int, int], word: str, status: str) -> None:
    file = by_openssl(cli, days=days)
    found = only(cli, file)
    assert found["ok"] is True
    assert found["identity"]["status"] == status
    assert any(word in warning for warning in found["warnings"])
    assert "warning: openssl.pfx: the certificate" in verify(cli, file).stderr


def test_two_identities_in_one_file_are_said(cli: Cli) -> None:
    der = issue(rsa_key(1), "Jane Doe", CA, rsa_key(9))
    data = pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(der), b"jane")],
        BestAvailableEncryption(STRONG.encode()),
    )
    found = only(cli, cli.file("trust.p12", data))
    assert found["ok"] is False  # a truststore holds no key
