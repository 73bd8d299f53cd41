"""The programs that open a PFX in real life, each giving back what it found inside.

A reader proves that the file works for its kind of consumer, and what it hands back can be compared
with what went in. Private keys come as PKCS#8 DER written anew by `cryptography`: peers differ in
optional fields (attributes, an EC key's public half), never in the key.
"""

from __future__ import annotations

import functools
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from tests.peers.firefox import Firefox
from tests.peers.nss import Nss, available, pem_blocks
from tests.peers.process import PeerError, password_file, run

__all__ = [
    "SHARED_FIREFOX",
    "FirefoxReader",
    "GnuTls",
    "Inability",
    "Keytool",
    "NodeJs",
    "OpenSsl",
    "Opened",
    "Pk12util",
    "Reader",
    "readers",
]

Inability = Literal[
    "case of names",  # gives friendly names back in lower case
    "dsa",  # can't use a DSA key
    "ed25519",  # can't import an Ed25519 key
    "key",  # can't give the private key back, only use it
    "names",  # can't give friendly names back
    "non-latin-1 names",  # mangles friendly names with characters above U+00FF
    "non-ascii password",
    "non-bmp password",  # a password with characters above U+FFFF
]
"""Something a reader can't do; `Reader.cannot` maps it to the reason."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a reader found in a PFX.

    Attributes:
        key_pkcs8: the private key, PKCS#8 DER, or None where the reader can't show it (`cannot`).
        certificates: the certificates, DER: the key's own first, the others in the reader's order.
        names: friendly names, each once, in the reader's order.
    """

    key_pkcs8: bytes | None
    certificates: tuple[bytes, ...]
    names: tuple[str, ...]


class Reader(Protocol):
    """A program that opens PFX files."""

    @property
    def cannot(self) -> Mapping[Inability, str]:
        """What it can't do, with the reason: a test asks here instead of failing."""

    @property
    def name(self) -> str:
        """A short name, for test ids."""

    def version(self) -> str:
        """Return its version, as it says it."""

    def missing(self) -> str | None:
        """Return why it can't be used on this machine, in words, or None if it can."""

    def open(self, pfx: Path, password: str) -> Opened:
        """Open a PFX and return what is in it; PeerError if the reader refuses."""


class OpenSsl:
    """OpenSSL's `openssl pkcs12`."""

    name = "OpenSSL"
    cannot: Mapping[Inability, str] = {
        "non-latin-1 names": "openssl pkcs12 prints the low byte of each UTF-16 unit of a name",
    }

    def version(self) -> str:
        """Return its version: `3.0.19`."""
        return run(["openssl", "version"]).decode().split()[1]

    def missing(self) -> str | None:
        """Return a reason if there is no `openssl` program."""
        return _no_program("openssl")

    def open(self, pfx: Path, password: str) -> Opened:
        """Open a PFX; names come from the bag attributes."""
        with password_file(password) as file:
            out = run(["openssl", "pkcs12", "-in", pfx, "-passin", f"file:{file}", "-nodes"])
        # OpenSSL prints the low byte of each UTF-16 unit of a friendlyName.
        names = re.findall(r"^ *friendlyName: (.*)$", out.decode("latin-1"), re.MULTILINE)
        return _opened(out, names)

    def rounds(self, pfx: Path, password: str) -> list[int]:
        """The rounds of each encrypted part and of the MAC that a PFX says it was made with."""
        with password_file(password) as file:
            words = ["openssl", "pkcs12", "-in", f"{pfx}", "-passin", f"file:{file}"]
            # It tells of them on stderr.
            out = run(["sh", "-c", 'exec "$@" 2>&1', "sh", *words, "-info", "-noout"])
        return [int(number) for number in re.findall(rb"Iteration (\d+)", out)]


class GnuTls:
    """GnuTLS's `certtool`."""

    name = "GnuTLS"
    cannot: Mapping[Inability, str] = {}

    def version(self) -> str:
        """Return its version: `3.7.9`."""
        return run(["certtool", "--version"]).decode().splitlines()[0].split()[-1]

    def missing(self) -> str | None:
        """Return a reason if there is no `certtool` program."""
        return _no_program("certtool")

    def open(self, pfx: Path, password: str) -> Opened:
        """Open a PFX; the password is typed in, as certtool has no option for a file."""
        typed = password.encode() + b"\n"
        with tempfile.TemporaryDirectory(prefix="gnutls-") as folder:
            info, plain = Path(folder, "info"), Path(folder, "plain")
            run(
                ["certtool", "--p12-info", "--inder", "--infile", pfx, "--outfile", info],
                stdin=typed,
            )
            # That shows the certificates, and the key as it lies in its bag: encrypted. Asked for
            # a new password, certtool finds the end of its input, and writes the key without one.
            if pem_blocks(info.read_bytes(), "ENCRYPTED PRIVATE KEY"):
                run(
                    ["certtool", "--to-p8", "--pkcs8", "--load-privkey", info, "--outfile", plain],
                    stdin=typed,
                )
            else:
                plain.touch()
            out, key = info.read_bytes(), plain.read_bytes()
        names = re.findall(
            r"^\tFriendly name: (.*)$", out.decode("utf-8", "surrogateescape"), re.MULTILINE
        )
        return _opened(out + b"\n" + key, names)


class Keytool:
    """Java's `keytool`: Java's own PKCS#12 code reads the file and writes one for OpenSSL.

    Java keeps friendly names in lower case; entries of one name would become one.
    """

    name = "Java"

    @property
    def cannot(self) -> Mapping[Inability, str]:
        """What this Java can't do: the limit on passwords depends on the build, so it is tried."""
        reasons: dict[Inability, str] = {"case of names": "Java turns aliases into lower case"}
        if self.missing() is None and _java_wants_ascii():
            why = f"Java {self.version()} says `Password is not ASCII` inside PKCS#12 decryption"
            reasons["non-ascii password"] = reasons["non-bmp password"] = why
        return reasons

    def version(self) -> str:
        """Return Java's version: `17.0.15`."""
        out = run(["java", "--version"]).decode()
        return out.split()[1]

    def missing(self) -> str | None:
        """Return a reason if there is no Java."""
        return _no_program("java") or _no_program("keytool") or _no_program("openssl")

    def open(self, pfx: Path, password: str) -> Opened:
        """Let keytool copy the file's entries into a new PKCS#12 file, and read that."""
        with tempfile.TemporaryDirectory(prefix="java-") as folder:
            copy, own = Path(folder, "copy.p12"), secrets.token_hex(16)
            with password_file(password) as given, password_file(own) as file:
                run(
                    [
                        *("keytool", "-J-Dfile.encoding=UTF-8", "-importkeystore", "-noprompt"),
                        *("-srckeystore", pfx, "-srcstoretype", "PKCS12"),
                        *("-srcstorepass:file", given),
                        *("-destkeystore", copy, "-deststoretype", "PKCS12"),
                        *("-deststorepass:file", file),
                    ],
                )
            return OpenSsl().open(copy, own)


@functools.cache
def _java_wants_ascii() -> bool:
    """Tell whether this Java refuses a PFX of OpenSSL's whose password is not ASCII."""
    with tempfile.TemporaryDirectory(prefix="java-") as folder:
        key, certificate, pfx = (Path(folder, name) for name in ("key", "certificate", "pfx"))
        run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=try"),
                *("-keyout", key, "-out", certificate),
            ]
        )
        with password_file("ä") as file:
            options = ("-inkey", key, "-in", certificate, "-out", pfx, "-passout", f"file:{file}")
            run(["openssl", "pkcs12", "-export", *options])
        try:
            Keytool().open(pfx, "ä")
        except PeerError:
            return True
    return False


_NODE = """
const tls = require("tls"), fs = require("fs");
const { file, password } = JSON.parse(fs.readFileSync(0, "utf8"));
const identity = { pfx: fs.readFileSync(file), passphrase: password };
const server = tls.createServer({ ...identity, requestCert: true, rejectUnauthorized: false });
const fail = error => { console.error(String(error)); process.exit(1); };
server.on("secureConnection", socket => {
  const chain = [];
  let one = socket.getPeerCertificate(true);
  while (one && one.raw && !chain.includes(one.raw.toString("hex"))) {
    chain.push(one.raw.toString("hex"));
    one = one.issuerCertificate;
  }
  console.log(JSON.stringify(chain));
  process.exit(0);
});
server.on("tlsClientError", fail);
server.listen(0, "127.0.0.1", () => {
  tls.connect({ ...identity, port: server.address().port, host: "127.0.0.1",
    rejectUnauthorized: false }).on("error", fail);
});
"""


class NodeJs:
    """Node.js: logs in to itself over mutual TLS with the file on both ends.

    The handshake proves that the key fits the certificate; the key itself stays inside.
    """

    name = "Node.js"
    cannot: Mapping[Inability, str] = {
        "dsa": "Node.js negotiates no DSA cipher suite",
        "key": "Node.js uses the key of a PFX but has no call that gives it back",
        "names": "Node.js has no call that gives friendly names back",
    }

    def version(self) -> str:
        """Return its version: `20.20.2`."""
        return run(["node", "--version"]).decode().strip().removeprefix("v")

    def missing(self) -> str | None:
        """Return a reason if there is no `node` program."""
        return _no_program("node")

    def open(self, pfx: Path, password: str) -> Opened:
        """Do a TLS handshake with the file and return the chain the client sent."""
        given = json.dumps({"file": str(pfx.resolve()), "password": password}).encode()
        out = run(["node", "-e", _NODE], stdin=given)
        chain: list[str] = json.loads(out)
        return Opened(None, tuple(bytes.fromhex(one) for one in chain), ())


class Pk12util:
    """NSS's `pk12util`, of one generation: imports into a new store and exports from there."""

    cannot: Mapping[Inability, str] = {
        "ed25519": 'NSS imports no Ed25519 key ("Unable to import private key")',
    }

    def __init__(self, nss: Nss) -> None:
        self.nss = nss

    @property
    def name(self) -> str:
        """`pk12util` and the version."""
        return f"pk12util {self.nss.version}"

    def version(self) -> str:
        """Return NSS's version: `3.87.1`."""
        return self.nss.version

    def missing(self) -> str | None:
        """Return a reason if there is no OpenSSL to read the export; NSS itself is there."""
        return _no_program("openssl")

    def open(self, pfx: Path, password: str) -> Opened:
        """Import a PFX into an empty store, check that NSS has key and certificate, export it."""
        with self.nss.scratch() as database, tempfile.TemporaryDirectory(prefix="nss-") as folder:
            database.import_pkcs12(pfx, password)
            names = database.names()
            own = [one.nickname for one in names if "u" in one.trust]
            if len(own) != 1 or len(database.keys()) != 1:
                message = f"{self.name} imported {len(own)} identities instead of one"
                raise PeerError(message)
            copy, random = Path(folder, "copy.p12"), secrets.token_hex(16)
            database.export_pkcs12(own[0], copy, random)
            found = OpenSsl().open(copy, random)
            # Names as NSS has stored them, the user's own first.
            others = [one.nickname for one in names if one.nickname not in own]
            return Opened(found.key_pkcs8, found.certificates, (*own, *others))


class FirefoxReader:
    """Firefox itself: imports into a new profile and exports from there."""

    name = "Firefox"
    cannot: Mapping[Inability, str] = {
        "ed25519": "NSS imports no Ed25519 key",
    }

    def version(self) -> str:
        """Return its version: `153.7.0esr`."""
        return Firefox.installed_version()

    def missing(self) -> str | None:
        """Return a reason if Firefox can't be driven, or there is no OpenSSL to read the export."""
        return Firefox.missing() or _no_program("openssl")

    def open(self, pfx: Path, password: str) -> Opened:
        """Import a PFX, check that Firefox has the certificate, export and delete it."""
        with (
            tempfile.TemporaryDirectory(prefix="firefox-") as folder,
            SHARED_FIREFOX.use() as firefox,
        ):
            copy, random = Path(folder, "copy.p12"), secrets.token_hex(16)
            firefox.import_pfx(pfx, password)
            if len(own := firefox.certificates()) != 1:
                message = f"Firefox imported {len(own)} identities instead of one"
                raise PeerError(message)
            firefox.export_pfx(copy, random)
            firefox.delete_certificate(own[0].sha256)
            return OpenSsl().open(copy, random)


class _Shared:
    """One Firefox for all that is opened in this process: it takes seconds to start."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._firefox: Firefox | None = None

    @contextmanager
    def use(self) -> Iterator[Firefox]:
        """A Firefox without certificates of the user's; after a failure it is another one."""
        if self._firefox is None:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="firefox-"))
            self._firefox = self._stack.enter_context(Firefox(Path(folder, "profile")))
        try:
            yield self._firefox
        except BaseException:
            self.quit()
            raise

    def quit(self) -> None:
        """End it, if it runs."""
        self._firefox = None
        self._stack.close()


SHARED_FIREFOX = _Shared()


def readers() -> tuple[Reader, ...]:
    """Return every reader, whether its program is installed or not; one per NSS generation."""
    return (
        OpenSsl(),
        GnuTls(),
        Keytool(),
        NodeJs(),
        *(Pk12util(nss) for nss in available()),
        FirefoxReader(),
    )


def _no_program(program: str) -> str | None:
    """Return a reason if a program is not on the PATH."""
    return None if shutil.which(program) else f"{program} is not installed"


def _opened(pem: bytes, names: Sequence[str]) -> Opened:
    """Build an `Opened` from what a tool printed: one key, and its own certificate first."""
    certificates = pem_blocks(pem, "CERTIFICATE")
    blocks = [
        match[0]
        for match in re.finditer(
            rb"-----BEGIN ((?!ENCRYPTED)(?:[A-Z]+ )?PRIVATE KEY)-----.*?-----END \1-----",
            pem,
            re.DOTALL,
        )
    ]
    if len(blocks) != 1 or not certificates:
        message = f"found {len(blocks)} keys and {len(certificates)} certificates"
        raise PeerError(message)
    key = serialization.load_pem_private_key(blocks[0], None)
    public = _public(key.public_key())
    own = [_public(x509.load_der_x509_certificate(one).public_key()) for one in certificates]
    if public not in own:
        message = "no certificate fits the key"
        raise PeerError(message)
    return Opened(
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        # The sort is stable: the others stay in the reader's order.
        tuple(
            one
            for _, one in sorted(
                zip(own, certificates, strict=True), key=lambda pair: pair[0] != public
            )
        ),
        tuple(dict.fromkeys(names)),
    )


def _public(key: PublicKeyTypes) -> bytes:
    """Return a public key in a form that can be compared."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
