"""Certificates from files of every form, and to PEM files that OpenSSL opens."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)

from nssbackup.errors import UsageError, VerificationError
from nssbackup.identity import pem
from nssbackup.identity.certificate import from_der
from tests import LIMIT
from tests.builders.irregular import irregular
from tests.builders.store import ec_key, issue, name, rsa_key

KEY, CA_KEY, ROOT_KEY = rsa_key(1), ec_key(2), ec_key(3)
CA_NAME, ROOT_NAME = name("WIPO Test CA", "WIPO"), name("WIPO Root", "WIPO")
JANE = issue(KEY, "Jane Doe", CA_NAME, CA_KEY)
ZOE = issue(ec_key(4), "Zoe", CA_NAME, CA_KEY)
CA = issue(CA_KEY, CA_NAME, ROOT_NAME, ROOT_KEY, ca=True)
ROOT = issue(ROOT_KEY, ROOT_NAME, ca=True)


def loaded(*ders: bytes) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(der) for der in ders]


def as_pem(*ders: bytes) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in loaded(*ders))


def as_key(encoding: Encoding = Encoding.PEM) -> bytes:
    return KEY.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())


def as_pfx() -> bytes:
    (certificate,) = loaded(JANE)
    return pkcs12.serialize_key_and_certificates(b"x", KEY, certificate, None, NoEncryption())


def as_request() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name("Jane Doe"))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def as_revocation_list() -> bytes:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(CA_NAME)
    builder = builder.last_update(now).next_update(now + timedelta(days=1))
    return builder.sign(CA_KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "given.pem"
        path.write_bytes(content)
        return path

    return write


# --- read


@pytest.mark.parametrize(
    "content",
    [
        JANE,
        as_pem(JANE),
        as_pem(JANE).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + as_pem(JANE),
        as_pem(JANE).decode().encode("utf-16"),
        b"Bag Attributes\n    friendlyName: Jane\nsubject=CN = Jane Doe\n" + as_pem(JANE),
        as_key() + as_pem(JANE),
        as_pem(JANE, JANE),
        JANE + b"\n",
        as_pem(JANE).replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
        as_pem(JANE).replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
        pkcs7.serialize_certificates(loaded(JANE), Encoding.DER),
        pkcs7.serialize_certificates(loaded(JANE), Encoding.PEM),
    ],
    ids=[
        *("DER", "PEM", "CRLF", "BOM", "UTF-16", "text", "key", "twice", "line end", "trusted"),
        *("X509", "PKCS7 DER", "PKCS7 PEM"),
    ],
)
def test_a_certificate_is_read_in_every_form(file: Callable[[bytes], Path], content: bytes) -> None:
    (found,) = pem.read_certificates(file(content))
    assert found == from_der(JANE)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER, "concatenated"])
@pytest.mark.parametrize("order", [(JANE, CA, ROOT), (ROOT, CA, JANE), (CA, JANE, ROOT)])
def test_of_a_bundle_the_one_that_is_no_cas_comes_first(
    file: Callable[[bytes], Path], order: tuple[bytes, ...], encoding: object
) -> None:
    content = (
        pkcs7.serialize_certificates(loaded(*order), encoding)
        if isinstance(encoding, Encoding)
        else as_pem(*order)
    )
    found = pem.read_certificates(file(content))
    assert found[0].der == JANE
    assert {one.der for one in found} == set(order)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (as_pfx(), "is a backup (PFX)"),
        (as_key(), "holds a private key and no certificate"),
        (as_key(Encoding.DER), "holds no certificate"),
        (as_request(), "holds the request for a certificate"),
        (as_revocation_list(), "holds no certificate"),
        (
            KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "holds a public key",
        ),
        (as_pem(JANE)[:-100], "holds a damaged certificate"),
        (as_pem(JANE).replace(b"MII", b"AAA", 1), "holds a damaged certificate"),
        (JANE[:-1], "holds no certificate"),
        (pkcs7.serialize_certificates(loaded(JANE), Encoding.DER)[:-1], "holds no certificate"),
        (b"", "holds no certificate"),
        (b"Dear Jane,\n", "holds no certificate"),
        (b"-----BEGIN ", "holds no certificate"),
        (b"\xff\xfe", "holds no certificate"),
        (b"\x30\x80" * 500_000, "holds no certificate"),
        (os.urandom(5000), "holds no certificate"),
    ],
)
def test_what_is_no_certificate_is_said_in_words(
    file: Callable[[bytes], Path], content: bytes, said: str
) -> None:
    path = file(content)
    with pytest.raises(UsageError) as info:
        pem.read_certificates(path)
    assert info.value.message.startswith(f"`{path}` ")
    assert said in info.value.message
    assert info.value.hint


def test_what_cannot_be_read_is_skipped_and_said(file: Callable[[bytes], Path]) -> None:
    said: list[str] = []
    path = file(as_pem(CA).replace(b"MII", b"AAA", 1) + as_pem(JANE))
    assert [one.der for one in pem.read_certificates(path, said.append)] == [JANE]
    assert said == [f"1 of the certificates in `{path}` can't be read and were skipped"]
    pem.read_certificates(file(as_pem(JANE)), said.append)
    assert len(said) == 1


@pytest.mark.parametrize("kind", irregular())
def test_irregular_certificates_are_read_from_files(
    file: Callable[[bytes], Path], tmp_path: Path, kind: str
) -> None:
    """PEM, DER and OpenSSL's PKCS#7, as far as OpenSSL reads such a certificate."""
    for der in irregular()[kind].values():
        own = from_der(der)
        text = ssl.DER_cert_to_PEM_cert(der).encode()
        for content in (der, text, as_pem(CA) + text):
            assert pem.read_certificates(file(content))[0] == own
        bundle = tmp_path / "bundle.p7b"
        words = ("openssl", "crl2pkcs7", "-nocrl", "-certfile", file(text), "-out", bundle)
        if subprocess.run(words, capture_output=True, check=False, timeout=60).returncode == 0:
            assert pem.read_certificates(bundle)[0].public_key == own.public_key


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name_ in ("", "fifo", "missing", "n" * 300, "nul\0"):
        with pytest.raises(UsageError) as info:
            pem.read_certificates(tmp_path / name_)
        assert info.value.exit_status == 2
    (tmp_path / "large").write_bytes(bytes(pem.MAX_BYTES + 1))
    with pytest.raises(UsageError, match="too large"):
        pem.read_certificates(tmp_path / "large")


# --- written


def test_what_is_written_is_pem_with_the_own_certificate_first(tmp_path: Path) -> None:
    certificates = [from_der(der) for der in (JANE, CA, ROOT)]
    written = tmp_path / "a.pem"
    written.write_bytes(pem.encode(certificates))
    assert written.read_bytes() == as_pem(JANE, CA, ROOT)
    pem.verify_written(written, certificates)
    (tmp_path / "jane.pem").write_bytes(pem.encode(certificates[:1]))
    (tmp_path / "root.pem").write_bytes(pem.encode(certificates[2:]))
    shown = subprocess.run(
        ["openssl", "x509", "-in", written, "-noout", "-subject", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    ).stdout
    assert "Jane Doe" in shown
    assert certificates[0].sha256 in shown.replace(":", "").lower()
    verdict = subprocess.run(
        [
            *("openssl", "verify", "-CAfile", tmp_path / "root.pem", "-untrusted", written),
            tmp_path / "jane.pem",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    assert verdict.stdout.endswith("jane.pem: OK\n")


@pytest.mark.parametrize(
    "content",
    [as_pem(JANE), as_pem(CA, JANE), as_pem(JANE, CA, CA), as_pem(ZOE, CA), b"", JANE, b"\x00"],
)
def test_what_was_written_wrongly_is_found_out(tmp_path: Path, content: bytes) -> None:
    written = tmp_path / "a.pem"
    written.write_bytes(content)
    with pytest.raises(VerificationError):
        pem.verify_written(written, [from_der(JANE), from_der(CA)])
