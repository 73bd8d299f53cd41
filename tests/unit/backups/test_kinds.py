"""What is no PFX is named for what it is; one in Base64 is read."""

from __future__ import annotations

import base64
import io
import sqlite3
import zipfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)

from nssbackup.backups.opening import pfx_of
from nssbackup.backups.verify import verify_backup
from nssbackup.errors import DamagedBackupError
from nssbackup.secret import Secret
from tests.builders.store import ec_key, issue, rsa_key
from tests.peers.process import password_file, run
from tests.unit.pkcs12.identities import pfx_of as made_pfx

DER = issue(rsa_key(0), "Jane")
X509 = x509.load_der_x509_certificate(DER)
PFX = made_pfx([ec_key(0)], [issue(ec_key(0), "Jane")], Secret("pw"))


def _key(encoding: Encoding, form: PrivateFormat) -> bytes:
    return rsa_key(0).private_bytes(encoding, form, NoEncryption())


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.pfx", PFX)
    return file.getvalue()


def _database() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE a (b)")
        return database.serialize()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (bytes(4096), "filled with zeros"),
        (X509.public_bytes(Encoding.PEM), "a certificate (PEM)"),
        (DER, "a certificate,"),
        (_key(Encoding.PEM, PrivateFormat.PKCS8), "a private key (PEM)"),
        (_key(Encoding.PEM, PrivateFormat.TraditionalOpenSSL), "a private key (PEM)"),
        (_key(Encoding.DER, PrivateFormat.PKCS8), "a private key,"),
        (_key(Encoding.DER, PrivateFormat.TraditionalOpenSSL), "a private key,"),
        (pkcs7.serialize_certificates([X509], Encoding.DER), "a bundle of certificates"),
        (pkcs7.serialize_certificates([X509], Encoding.PEM), "a PEM file"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (_zip(), "a ZIP archive"),
        (_database(), "a database"),
        pytest.param(
            PFX[:-1], f"cut short: {len(PFX) - 1:,} of {len(PFX):,} bytes", id="cut short"
        ),
    ],
)
def test_a_file_is_named_for_what_it_is(data: bytes, what: str) -> None:
    with pytest.raises(DamagedBackupError) as caught:
        pfx_of(data, "a.pfx")
    assert caught.value.message.startswith(f"`a.pfx` is {what}")
    assert caught.value.hint


def test_a_java_keystore_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jks"
    with password_file("secret") as file:
        words = ("-genkeypair", "-alias", "a", "-keyalg", "EC", "-dname", "CN=Jane")
        run(["keytool", *words, "-keystore", path, "-storetype", "JKS", "-storepass:file", file])
    with pytest.raises(DamagedBackupError, match="a Java keystore"):
        pfx_of(path.read_bytes(), path.name)


@pytest.mark.parametrize(
    "data",
    [
        PFX,
        base64.b64encode(PFX),
        base64.encodebytes(PFX).replace(b"\n", b"\r\n"),
        b"-----BEGIN PKCS12-----\n" + base64.encodebytes(PFX) + b"-----END PKCS12-----\n",
    ],
    ids=["bytes", "Base64", "lines", "PEM"],
)
def test_a_pfx_is_read_whatever_it_is_wrapped_in(tmp_path: Path, data: bytes) -> None:
    assert pfx_of(data, "a.pfx") == PFX
    path = tmp_path / "a.pfx"
    path.write_bytes(data)
    assert verify_backup(path, Secret("pw")).error is None


@pytest.mark.parametrize("data", [b"something else", b"\x30\x80\x02\x01\x03", b"MMM", b"\x30"])
def test_anything_else_is_left_to_the_parser(data: bytes) -> None:
    assert pfx_of(data, "a.pfx") in (data, base64.b64decode(b"MMM="))
