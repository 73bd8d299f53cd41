"""A website that lets in who has a certificate: HTTPS with client authentication, on localhost."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.server
import ipaddress
import ssl
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Website"]


class Website:
    """A web server that asks for a client certificate; use it as a context manager.

    It answers every request with `hello` and the SHA-256 of the certificate the visitor proved to
    own (lower-case hex). A visitor without an accepted one gets no connection.

    Args:
        trusted: DER of the authorities whose certificates are let in.
    """

    def __init__(self, trusted: Iterable[bytes]) -> None:
        self._trusted = tuple(trusted)
        self._server: http.server.ThreadingHTTPServer | None = None
        self.authority, self._chain = _own_certificates()
        """`authority`: DER of the CA that a visitor must trust."""

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            message = "the website is not open"
            raise RuntimeError(message)
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.port}/"

    def __enter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        # With TLS 1.3 a visitor hears of a refusal only after its own handshake is done.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        pem = "".join(ssl.DER_cert_to_PEM_cert(der) for der in self._trusted)
        context.load_verify_locations(cadata=pem)
        with tempfile.TemporaryDirectory(prefix="website-") as folder:
            file = Path(folder, "chain.pem")
            file.write_bytes(self._chain)
            context.load_cert_chain(file)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(http.server.ThreadingHTTPServer):
    """Visitors may hang or vanish: that is their business, and the next one is served."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, *args: object) -> None:
        """Say nothing of a failed handshake."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """Greets by fingerprint."""

    timeout = 30.0

    def do_GET(self) -> None:
        """Answer a request."""
        assert isinstance(self.connection, ssl.SSLSocket)
        der = self.connection.getpeercert(binary_form=True) or b""
        body = f"hello {hashlib.sha256(der).hexdigest()}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _own_certificates() -> tuple[bytes, bytes]:
    """Make a CA and the server's own certificate: a CA's DER; PEM of key and certificate."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Website CA")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)

    def certificate(
        subject: x509.Name, public: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=30))
        )

    ca = (
        certificate(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    own = (
        certificate(name, key.public_key())
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    encoding = serialization.Encoding
    return ca.public_bytes(encoding.DER), pem + own.public_bytes(encoding.PEM)
