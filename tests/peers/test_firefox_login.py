"""A real Firefox logs in with an exported certificate, over mutual TLS."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.peers import need
from tests.peers.exports import FIXTURES, PASSWORDS, Expected, export, exportable
from tests.peers.firefox import Firefox

_CASES = ("firefox-nopassword", "firefox-password", "ec-p256", "ec-p384", "tripledes", "chain3")


@pytest.mark.parametrize("case", _CASES)
def test_firefox_logs_in_with_the_exported_certificate(
    case: str, tmp_path: Path, require_peers: bool
) -> None:
    need(Firefox.missing(), required=require_peers)
    expected = next(each for each in exportable() if each.case == case)
    password = PASSWORDS["umlaut"]
    pfx = export(expected, tmp_path / "backup", password, "modern", rounds=None)
    server = _make_server(tmp_path, expected)
    with (
        _serving(server) as url,
        Firefox(
            tmp_path / "profile",
            prefs={"security.default_personal_cert": "Select Automatically"},
        ) as firefox,
    ):
        firefox.import_ca(server.authority)
        firefox.import_pfx(pfx, password)
        assert f"welcome {expected.fingerprint}" in firefox.open_url(url)


@dataclass(frozen=True, slots=True)
class _Server:
    """A TLS context that demands a client certificate, and the CA of its own (DER)."""

    context: ssl.SSLContext
    authority: bytes


def _make_server(folder: Path, expected: Expected) -> _Server:
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Test Server CA", "Test Server CA", authority_key, authority_key)
    key = ec.generate_private_key(ec.SECP256R1())
    own = _certificate("localhost", "Test Server CA", key, authority_key)
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + own.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.verify_mode = ssl.CERT_REQUIRED
    trusted = _authorities(expected)
    assert trusted
    context.load_verify_locations(cadata="".join(trusted))
    return _Server(context, authority.public_bytes(serialization.Encoding.DER))


def _authorities(expected: Expected) -> list[str]:
    """The CA certificates of the fixture's chain, PEM."""
    known = x509.load_pem_x509_certificates((FIXTURES / "authorities.pem").read_bytes())
    return [
        each.public_bytes(serialization.Encoding.PEM).decode()
        for each in known
        if each.fingerprint(hashes.SHA256()).hex() in expected.certificates
    ]


@contextmanager
def _serving(server: _Server) -> Iterator[str]:
    """Answer each request with the fingerprint of the client's certificate."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        done = threading.Event()
        thread = threading.Thread(target=_answer, args=(listener, server.context, done))
        thread.start()
        try:
            yield f"https://localhost:{listener.getsockname()[1]}/"
        finally:
            done.set()
            thread.join(10)


def _answer(listener: socket.socket, context: ssl.SSLContext, done: threading.Event) -> None:
    while not done.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        connection.settimeout(5)
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                certificate = secure.getpeercert(binary_form=True)
                secure.recv(65536)
                name = hashlib.sha256(certificate or b"").hexdigest()
                body = f"welcome {name}".encode()
                secure.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
        except OSError:  # Firefox's speculative connections end without a word
            connection.close()


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
    )
    if subject != issuer:
        names = x509.SubjectAlternativeName([x509.DNSName(subject)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())
