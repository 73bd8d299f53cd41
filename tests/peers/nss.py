"""NSS as Debian ships it: `certutil` and `pk12util` of two generations, and the stores they make.

The generations lie unpacked in a private folder (`tests.peers.install` puts them there) and run
with their own libraries, so that one machine has both, whatever its Debian release.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.peers.process import PeerError, password_file, run

__all__ = [
    "RELEASES",
    "Database",
    "Key",
    "Nss",
    "Pkcs12Listing",
    "StoreKind",
    "StoredName",
    "available",
    "prefix",
]

StoreKind = Literal["sql", "dbm"]
Key = Literal[
    "rsa2048", "rsa3072", "rsa4096", "nistp256", "nistp384", "nistp521", "dsa1024", "dsa2048"
]

RELEASES = ("bookworm", "trixie")
"""Debian releases whose NSS is used: 3.87 (before the SHA-384 password hash) and 3.110."""


def prefix(release: str) -> Path:
    """Return the folder into which the NSS of one Debian release is unpacked."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache, "nssbackup-tests", f"nss-{release}")


@dataclass(frozen=True, slots=True)
class StoredName:
    """One line of `certutil -L`: a nickname and its trust flags (`u` means: a key is there)."""

    nickname: str
    trust: str


@dataclass(frozen=True, slots=True)
class Pkcs12Listing:
    """What `pk12util -l` prints of a file.

    Attributes:
        keys: friendly names of the private keys ("" if one has none).
        certificates: friendly names of the certificates ("" if one has none).
        text: everything it printed.
    """

    keys: tuple[str, ...]
    certificates: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Nss:
    """One generation of NSS with its tools.

    Attributes:
        release: the Debian release it comes from, or `system` for the machine's own.
        version: NSS's own version, as its library says it.
        bin: the folder of `certutil` and `pk12util`.
        lib: the folder of its libraries, or None for the machine's own.
    """

    release: str
    version: str
    bin: Path
    lib: Path | None

    @property
    def name(self) -> str:
        """A short name for test ids and tables: `NSS 3.87.1`."""
        return f"NSS {self.version}"

    def run(
        self,
        tool: Literal["certutil", "pk12util"],
        *arguments: str | Path,
        stdin: bytes = b"",
    ) -> bytes:
        """Run one of the tools with this generation's libraries.

        Raises:
            PeerError: it failed or took too long.
        """
        env = {} if self.lib is None else {"LD_LIBRARY_PATH": str(self.lib)}
        return run([self.bin / tool, *arguments], stdin=stdin, env=env)

    def database(
        self, folder: Path, *, password: str | None = None, kind: StoreKind = "sql"
    ) -> Database:
        """Name an existing store; nothing is opened until one of its methods runs."""
        return Database(self, folder, password, kind)

    def create(
        self, folder: Path, *, password: str | None = None, kind: StoreKind = "sql"
    ) -> Database:
        """Make a new, empty store.

        Args:
            folder: where; it is made if it is not there.
            password: the primary password, or None for none.
            kind: `sql` (cert9.db, key4.db) or `dbm` (cert8.db, key3.db).
        """
        folder.mkdir(parents=True, exist_ok=True)
        database = self.database(folder, password=password, kind=kind)
        with password_file(password or "") as file:
            self.run("certutil", "-N", "-d", database.location, "-f", file)
        return database

    def list_pkcs12(self, pfx: Path, password: str) -> Pkcs12Listing:
        """Run `pk12util -l` on a file and take the friendly names out of its output."""
        # `-l` opens a store too; without a private one it would make one in the home folder.
        with self.scratch() as database, password_file(password) as file:
            out = self.run("pk12util", "-l", pfx, "-w", file, "-d", database.location)
        text = out.decode("utf-8", "surrogateescape")
        names: dict[str, list[str]] = {"Key": [], "Certificate": []}
        kind = ""
        for line in text.splitlines():
            if line.startswith(("Key(", "Certificate")):
                kind = "Key" if line.startswith("Key") else "Certificate"
                names[kind].append("")
            elif kind and (found := re.fullmatch(r"\s+Friendly Name: (.*)", line)):
                names[kind][-1] = found[1]
        return Pkcs12Listing(tuple(names["Key"]), tuple(names["Certificate"]), text)

    @contextlib.contextmanager
    def scratch(self, kind: StoreKind = "sql") -> Iterator[Database]:
        """Lend an empty store with a random primary password, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="nss-") as folder:
            yield self.create(Path(folder), password=secrets.token_hex(16), kind=kind)


@dataclass(frozen=True, slots=True)
class Database:
    """A store, seen through the tools of one NSS generation.

    Attributes:
        nss: the generation whose tools are run.
        folder: the folder of the two database files.
        password: the primary password, or None for none.
        kind: `sql` or `dbm`.
    """

    nss: Nss
    folder: Path
    password: str | None
    kind: StoreKind = "sql"

    @property
    def location(self) -> str:
        """The store as the tools' option `-d` wants it."""
        return f"{self.kind}:{self.folder}"

    def certutil(self, *arguments: str | Path, stdin: bytes = b"") -> bytes:
        """Run `certutil` on this store, with its password."""
        with password_file(self.password or "") as file:
            return self.nss.run(
                "certutil",
                *(*arguments, "-d", self.location, "-f", file),
                stdin=stdin,
            )

    def names(self) -> tuple[StoredName, ...]:
        """List the nicknames; a nickname of several certificates comes as often as they are."""
        out = self.certutil("-L").decode("utf-8", "surrogateescape")
        found = []
        for line in out.splitlines():
            row = re.fullmatch(r"(.*?)\s+([A-Za-z]*,[A-Za-z]*,[A-Za-z]*)\s*", line)
            if row and row[2] != "SSL,S/MIME,JAR/XPI":
                found.append(StoredName(row[1], row[2]))
        return tuple(found)

    def certificates(self, nickname: str) -> tuple[bytes, ...]:
        """Return the DER of every certificate under one nickname."""
        # With a colon inside, a nickname would be read as `token:nickname`; with the token
        # named, the rest is the nickname, whatever it holds.
        name = f"NSS Certificate DB:{nickname}" if ":" in nickname else nickname
        pem = self.certutil("-L", "-a", "-n", name)
        return pem_blocks(pem, "CERTIFICATE")

    def keys(self) -> tuple[str, ...]:
        """List the private keys as `certutil -K` does: one line each, CKA_ID and nickname in it.

        A store without keys gives an empty tuple, although certutil calls that a failure.
        """
        try:
            out = self.certutil("-K").decode("utf-8", "surrogateescape")
        except PeerError as exc:
            if "no keys found" in str(exc):
                return ()
            raise
        return tuple(line for line in out.splitlines() if re.match(r"<\s*\d+>", line))

    def add_certificate(self, der: bytes, nickname: str, trust: str = ",,") -> None:
        """Add a certificate, a CA's or one whose key the store has."""
        with tempfile.TemporaryDirectory(prefix="nss-") as folder:
            file = Path(folder, "certificate.der")
            file.write_bytes(der)
            self.certutil("-A", "-n", nickname, "-t", trust, "-i", file)

    def delete_certificate(self, nickname: str) -> None:
        """Delete the certificate(s) of one nickname and leave their keys."""
        self.certutil("-D", "-n", nickname)

    def request(self, subject: str, key: Key = "rsa2048") -> bytes:
        """Generate a key pair in the store, as an enrolment does.

        Returns:
            The PKCS#10 request, DER, signed with the new key.
        """
        with _noise() as noise, tempfile.TemporaryDirectory(prefix="nss-") as folder:
            file = Path(folder, "request.der")
            kind = _key_options(key)
            self.certutil("-R", "-s", subject, *kind, "-z", noise, "-o", file)
            return file.read_bytes()

    def self_signed(
        self, nickname: str, subject: str, key: Key = "rsa2048", *, months: int = 360
    ) -> bytes:
        """Generate a CA in the store: a key and a self-signed certificate, trusted.

        Returns:
            The certificate, DER.
        """
        with _noise() as noise:
            self.certutil(
                *("-S", "-x", "-n", nickname, "-s", subject, "-t", "CT,C,C", *_key_options(key)),
                *("-v", str(months), "-m", str(secrets.randbelow(2**31)), "-z", noise),
                *("-2", "--keyUsage", "certSigning,crlSigning,critical"),
                # The questions of `-2`: is it a CA, the path length (none), is it critical.
                stdin=b"y\n-1\ny\n",
            )
        return self.certificates(nickname)[0]

    def sign(
        self, request: bytes, issuer: str, *, months: int = 360, email: str | None = None
    ) -> bytes:
        """Issue a TLS client certificate for a request, by the CA of the given nickname.

        Returns:
            The certificate, DER; it is not added to the store.
        """
        names = () if email is None else ("--extSAN", f"email:{email}")
        with tempfile.TemporaryDirectory(prefix="nss-") as folder:
            asked, issued = Path(folder, "request.der"), Path(folder, "certificate.der")
            asked.write_bytes(request)
            self.certutil(
                *("-C", "-c", issuer, "-i", asked, "-o", issued, "-v", str(months)),
                *("-m", str(secrets.randbelow(2**31)), *names),
                *("--extKeyUsage", "clientAuth", "--keyUsage", "digitalSignature,critical"),
            )
            return issued.read_bytes()

    def import_pkcs12(self, pfx: Path, password: str) -> None:
        """Import a PFX with `pk12util -i`."""
        with password_file(self.password or "") as own, password_file(password) as file:
            self.nss.run("pk12util", "-i", pfx, "-d", self.location, "-k", own, "-w", file)

    def export_pkcs12(self, nickname: str, pfx: Path, password: str) -> None:
        """Export the identities of one nickname with `pk12util -o`.

        A newer NSS may add columns to the database files when it does this: use it on a copy.
        """
        name = f"NSS Certificate DB:{nickname}" if ":" in nickname else nickname
        with password_file(self.password or "") as own, password_file(password) as file:
            self.nss.run(
                *("pk12util", "-o", pfx, "-n", name, "-d", self.location),
                *("-k", own, "-w", file),
            )

    def migrate(self) -> Database:
        """Turn a `dbm` store into an `sql` one in the same folder, as NSS does on first opening.

        Returns:
            The `sql` store; `cert8.db` and `key3.db` stay where they are.
        """
        migrated = Database(self.nss, self.folder, self.password, "sql")
        # NSS migrates when it opens the old pair read-write (`-X`) as `sql:` and logs in (`-K`).
        migrated.certutil("-K", "-X")
        if not (self.folder / "key4.db").is_file():
            message = f"{self.nss.name} left the store unmigrated"
            raise PeerError(message)
        return migrated


def pem_blocks(text: bytes, label: str) -> tuple[bytes, ...]:
    """Return the contents (DER) of every PEM block of one label in a tool's output."""
    import base64

    pattern = rb"-----BEGIN %b-----([A-Za-z0-9+/=\s]+)-----END %b-----" % ((label.encode(),) * 2)
    return tuple(base64.b64decode(body) for body in re.findall(pattern, text))


def available() -> list[Nss]:
    """Find the generations on this machine, oldest first; the machine's own if it is another."""
    found = []
    for release in RELEASES:
        root = prefix(release)
        nss = _probe(release, root / "usr" / "bin", root / "usr" / "lib", own=True)
        if nss is not None:
            found.append(nss)
    tool = shutil.which("certutil")
    if tool is not None:
        nss = _probe("system", Path(tool).resolve().parent, Path("/usr/lib"), own=False)
        if nss is not None and nss.version not in {other.version for other in found}:
            found.append(nss)
    return sorted(found, key=lambda nss: [int(part) for part in nss.version.split(".")])


def _probe(release: str, binaries: Path, libraries: Path, *, own: bool) -> Nss | None:
    """Return the NSS whose tools and library lie there, or None if either is missing."""
    # In a folder of the architecture; Firefox's own, in `firefox-esr`, is of another version.
    library = next(iter(sorted(libraries.glob("*-linux-gnu*/libnss3.so"))), None)
    tools = [binaries / "certutil", binaries / "pk12util"]
    if library is None or not all(os.access(tool, os.X_OK) for tool in tools):
        return None
    version = re.search(rb"Version: NSS (\d+(?:\.\d+)+)", library.read_bytes())
    if version is None:
        return None
    return Nss(release, version[1].decode(), binaries, library.parent if own else None)


@contextlib.contextmanager
def _noise() -> Iterator[Path]:
    """Lend a file of random bytes: without one, certutil asks for key strokes."""
    with tempfile.TemporaryDirectory(prefix="nss-") as folder:
        file = Path(folder, "noise")
        file.write_bytes(secrets.token_bytes(2048))
        yield file


def _key_options(key: Key) -> Sequence[str]:
    """Return certutil's options for a kind of key."""
    if key.startswith("nistp"):
        return ("-k", "ec", "-q", key)
    return ("-k", key[:3], "-g", key[3:])
