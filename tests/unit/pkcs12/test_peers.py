"""The real tools: they read what we write, and we read what they write."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nssbackup.errors import WrongBackupPasswordError
from nssbackup.pkcs12 import MODERN, Format, PfxWriter, Protection, describe, open_pfx
from nssbackup.pkcs12.contents import NOT_ENCRYPTED
from nssbackup.secret import Secret
from tests.peers import need
from tests.unit.pkcs12.identities import Case, identity_of, key_of, mac_of

PASSWORD = Secret("correct horse")
RC2_40 = "RC2-40 (PBE-SHA1)"
RC2_128 = "RC2-128 (PBE-SHA1)"
TRIPLE_DES = "3DES (PBE-SHA1)"
AES_256 = "AES-256-CBC, PBKDF2-HMAC-SHA-256"
AES_128 = "AES-128-CBC, PBKDF2-HMAC-SHA-256"
JAVAS = sorted(Path("/usr/lib/jvm").glob("*/bin/keytool")) or [Path("keytool")]


def run(*command: object) -> str:
    name = str(command[0])
    missing = None if shutil.which(name) else f"{name} is not installed"
    need(missing, required=os.environ.get("CI") == "true")
    done = subprocess.run([str(each) for each in command], capture_output=True, check=False)
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, output
    return output


@pytest.fixture
def files(tmp_path: Path, rsa_case: Case) -> Path:
    (tmp_path / "key.pem").write_bytes(rsa_case.key_pem)
    (tmp_path / "cert.pem").write_bytes(rsa_case.certificate_pem)
    (tmp_path / "chain.pem").write_bytes(rsa_case.chain_pem)
    (tmp_path / "password").write_text(PASSWORD.reveal() + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def database(tmp_path: Path) -> str:
    (tmp_path / "nss").mkdir()
    where = f"sql:{tmp_path / 'nss'}"
    run("certutil", "-N", "-d", where, "--empty-password")
    return where


def assert_is(data: bytes, case: Case, password: Secret = PASSWORD) -> None:
    contents = open_pfx(data, password)
    assert contents.key == case.key
    assert identity_of(contents).certificate.der == case.identity.certificate.der
    assert [ca.der for ca in identity_of(contents).chain] == [ca.der for ca in case.identity.chain]
    assert contents.description == describe(data)


# --- they read ours


def test_openssl_reads_ours(
    tmp_path: Path, each_case: Case, each_format: Format, each_password: Secret
) -> None:
    file, password = tmp_path / "ours.pfx", tmp_path / "password"
    writer = PfxWriter(each_password, each_format, rounds=2048)
    file.write_bytes(writer.encode(each_case.identity, each_case.key))
    password.write_text(each_password.reveal() + "\n", encoding="utf-8")
    output = run(
        *("openssl", "pkcs12", "-in", file, "-passin", f"file:{password}", "-noenc", "-info")
    )
    assert "PRIVATE KEY" in output
    assert output.count("BEGIN CERTIFICATE") == 3
    assert "Iteration 2048" in output


def test_nss_reads_ours(files: Path, database: str, rsa_case: Case, each_format: Format) -> None:
    file = files / "ours.pfx"
    writer = PfxWriter(PASSWORD, each_format, rounds=2048)
    file.write_bytes(writer.encode(rsa_case.identity, rsa_case.key, friendly_name="zoë"))
    run("pk12util", "-i", file, "-d", database, "-w", files / "password")
    assert "zoë" in run("certutil", "-K", "-d", database)


def test_gnutls_reads_ours(files: Path, rsa_case: Case, each_format: Format) -> None:
    file = files / "ours.pfx"
    file.write_bytes(
        PfxWriter(PASSWORD, each_format, rounds=2048).encode(rsa_case.identity, rsa_case.key)
    )
    command = ("certtool", "--inder", "--p12-info", "--infile", file)
    output = run(*command, "--password", PASSWORD.reveal())
    assert "PRIVATE KEY" in output
    assert output.count("BEGIN CERTIFICATE") == 3


@pytest.mark.parametrize("keytool", JAVAS, ids=lambda each: each.parts[-3:][0])
def test_java_reads_ours(files: Path, rsa_case: Case, each_format: Format, keytool: Path) -> None:
    file = files / "ours.pfx"
    file.write_bytes(
        PfxWriter(PASSWORD, each_format, rounds=2048).encode(rsa_case.identity, rsa_case.key)
    )
    command = (keytool, "-list", "-v", "-keystore", file, "-storetype", "PKCS12")
    output = run(*command, "-storepass:file", files / "password")
    assert "PrivateKeyEntry" in output
    assert ": 3" in output  # certificates in the chain


# --- we read theirs

OPENSSL = {
    "default": ([], AES_256, AES_256, ("HMAC-SHA-256", 2048)),
    "legacy": (["-legacy"], TRIPLE_DES, RC2_40, ("HMAC-SHA-1", 2048)),
    "rc2-128": (
        ["-legacy", "-certpbe", "PBE-SHA1-RC2-128"],
        TRIPLE_DES,
        RC2_128,
        ("HMAC-SHA-1", 2048),
    ),
    "3des": (
        ["-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"],
        TRIPLE_DES,
        TRIPLE_DES,
        ("HMAC-SHA-1", 2048),
    ),
    # Without a MAC OpenSSL leaves the certificates in the clear unless it is told otherwise.
    "nomac": (["-nomac"], AES_256, "not encrypted", None),
    "nomac-legacy": (
        ["-legacy", "-nomac", "-certpbe", "PBE-SHA1-RC2-40"],
        TRIPLE_DES,
        RC2_40,
        None,
    ),
    "sha512": (["-macalg", "sha512"], AES_256, AES_256, ("HMAC-SHA-512", 2048)),
    "aes-128": (["-certpbe", "AES-128-CBC"], AES_256, AES_128, ("HMAC-SHA-256", 2048)),
    "des3-cbc": (
        ["-certpbe", "DES-EDE3-CBC"],
        AES_256,
        "3DES-CBC, PBKDF2-HMAC-SHA-256",
        ("HMAC-SHA-256", 2048),
    ),
    "clear-certificates": (
        ["-certpbe", "NONE"],
        AES_256,
        "not encrypted",
        ("HMAC-SHA-256", 2048),
    ),
    "clear": (
        ["-certpbe", "NONE", "-keypbe", "NONE"],
        "not encrypted",
        "not encrypted",
        ("HMAC-SHA-256", 2048),
    ),
    "one-round": (["-nomaciter"], AES_256, AES_256, ("HMAC-SHA-256", 1)),
}


def openssl_export(files: Path, *options: str) -> bytes:
    out = files / "theirs.p12"
    run(
        *("openssl", "pkcs12", "-export", "-out", out, "-inkey", files / "key.pem"),
        *("-in", files / "cert.pem", "-certfile", files / "chain.pem", "-name", "zoë"),
        *("-passout", f"file:{files / 'password'}", *options),
    )
    return out.read_bytes()


@pytest.mark.parametrize("variant", OPENSSL)
def test_files_of_openssl(files: Path, rsa_case: Case, variant: str) -> None:
    options, key, certificates, mac = OPENSSL[variant]
    data = openssl_export(files, *options)
    assert_is(data, rsa_case)
    description = describe(data)
    assert description.mac == (None if mac is None else Protection(*mac))
    assert [each.name for each in description.keys] == [key]
    assert [each.name for each in description.certificates] == [certificates]
    if key != NOT_ENCRYPTED.name:
        with pytest.raises(WrongBackupPasswordError):
            open_pfx(data, Secret("wrong"))


def test_300_000_rounds_of_openssl_are_said_alike(files: Path) -> None:
    description = describe(openssl_export(files, "-iter", "300000"))
    rounds = [each.rounds for each in (*description.keys, *description.certificates)]
    assert [*rounds, mac_of(description).rounds] == [300_000] * 3


@pytest.mark.parametrize("options", [[], ["-legacy"]], ids=["aes", "rc2"])
def test_an_empty_password_of_openssl(files: Path, rsa_case: Case, options: list[str]) -> None:
    (files / "password").write_text("\n", encoding="utf-8")
    assert_is(openssl_export(files, *options), rsa_case, Secret(""))


PBE_3DES = "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC"
PBE_RC2 = "PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC"
PK12UTIL = {
    "default": ([], AES_256, AES_128),
    "firefox-60": (["-c", PBE_3DES, "-C", PBE_RC2, "-M", "SHA-1"], TRIPLE_DES, RC2_40),
    "3des": (["-c", PBE_3DES, "-C", PBE_3DES], TRIPLE_DES, TRIPLE_DES),
}


@pytest.mark.parametrize("variant", PK12UTIL)
def test_files_of_nss(files: Path, database: str, rsa_case: Case, variant: str) -> None:
    options, key, certificates = PK12UTIL[variant]
    ours, theirs = files / "ours.pfx", files / "theirs.p12"
    ours.write_bytes(
        PfxWriter(PASSWORD, MODERN, rounds=2048).encode(
            rsa_case.identity, rsa_case.key, friendly_name="zoe"
        )
    )
    run("pk12util", "-i", ours, "-d", database, "-w", files / "password")
    command = ("pk12util", "-o", theirs, "-n", "zoe", "-d", database, "-w", files / "password")
    run(*command, *options)
    data = theirs.read_bytes()
    assert data.startswith(b"\x30\x80")  # BER
    assert_is(data, rsa_case)
    description = describe(data)
    assert description.keys == (Protection(key, 600_000),)
    assert description.certificates == (Protection(certificates, 600_000),)
    with pytest.raises(WrongBackupPasswordError):
        open_pfx(data, Secret("wrong"))


@pytest.mark.parametrize("cipher", ["", "aes-256", "3des-pkcs12", "rc2-40"])
def test_files_of_gnutls(files: Path, rsa_case: Case, cipher: str) -> None:
    out = files / "theirs.p12"
    run(
        *("certtool", "--to-p12", "--outder", "--outfile", out, "--p12-name", "zoe"),
        *("--load-privkey", files / "key.pem", "--load-certificate", files / "cert.pem"),
        *("--load-ca-certificate", files / "chain.pem", "--password", PASSWORD.reveal()),
        *(["--pkcs-cipher", cipher] if cipher else []),
    )
    contents = open_pfx(out.read_bytes(), PASSWORD)
    assert contents.key == rsa_case.key
    assert identity_of(contents).certificate.der == rsa_case.identity.certificate.der


@pytest.mark.parametrize("keytool", JAVAS, ids=lambda each: each.parts[-3:][0])
def test_files_of_java(files: Path, keytool: Path) -> None:
    out = files / "theirs.p12"
    run(
        *(keytool, "-genkeypair", "-keystore", out, "-storetype", "PKCS12", "-alias", "zoe"),
        *("-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=Zoe"),
        *("-storepass:file", files / "password"),
    )
    contents = open_pfx(out.read_bytes(), PASSWORD)
    assert identity_of(contents).certificate.common_name == "Zoe"
    assert contents.keys[0].friendly_name == "zoe"
    assert identity_of(contents).certificate.public_key == key_of(contents).public_key
    assert contents.description.mac == Protection("HMAC-SHA-256", 10_000)
