"""Irregular certificates: what two of OpenSSL, NSS and Java read we read, in every command."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from nssbackup.errors import NssBackupError
from nssbackup.identity.certificate import from_der
from tests.builders.irregular import CA_KEY, CA_NAME, Parts, irregular
from tests.builders.store import Signer, ec_key, issue, rsa_key
from tests.cli.runner import FAST, STRONG, Cli
from tests.peers import need
from tests.peers.nss import Database, available
from tests.peers.process import PeerError, run

DERS = {
    f"{kind}: {label}": der for kind, all_ in irregular().items() for label, der in all_.items()
}
AUTHORITY = issue(CA_KEY, CA_NAME, ca=True)
JAVA = """
import java.io.*; import java.nio.file.*; import java.security.cert.*;
class Read {
  public static void main(String[] a) throws Exception {
    for (String name : a) {
      try (InputStream in = Files.newInputStream(Path.of(name))) {
        CertificateFactory.getInstance("X.509").generateCertificate(in);
        System.out.println(name);
      } catch (CertificateException refused) { }
    }
  }
}
"""


@pytest.fixture(scope="module")
def with_keys(tmp_path_factory: pytest.TempPathFactory, *, require_peers: bool) -> Database:
    """A store by NSS with the keys of all these certificates."""
    found = available()
    need(None if found else "no certutil", required=require_peers)
    folder = tmp_path_factory.mktemp("keys")
    store = found[0].create(folder / "nss")
    keys: list[Signer] = [ec_key(), *(rsa_key(5, bits) for bits in (1024, 2048, 3072))]
    for number, key in enumerate(keys):
        own = ssl.DER_cert_to_PEM_cert(issue(key, f"Own {number}")).encode()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + own
        pfx = folder / f"{number}.p12"
        words = ("openssl", "pkcs12", "-export", "-out", pfx, "-passout", f"pass:{STRONG}")
        subprocess.run(words, input=pem, capture_output=True, check=True, timeout=60)
        store.import_pkcs12(pfx, STRONG)
    return store


@pytest.fixture
def database(tmp_path: Path, with_keys: Database) -> Database:
    """A copy of it."""
    folder = Path(shutil.copytree(with_keys.folder, tmp_path / "nss"))
    return with_keys.nss.database(folder)


def nss_reads(store: Database, label: str, der: bytes) -> bool:
    try:
        store.add_certificate(der, label)
    except PeerError:
        return False
    return True


def java_reads(folder: Path, ders: dict[str, bytes]) -> set[str]:
    program = folder / "Read.java"
    program.write_text(JAVA)
    files = {str(folder / f"{number}.der"): label for number, label in enumerate(ders)}
    for file, label in files.items():
        Path(file).write_bytes(ders[label])
    out = run(["java", program, *files]).decode()
    return {files[line] for line in out.splitlines()}


def openssl_reads(der: bytes) -> bool:
    words = ("openssl", "x509", "-inform", "DER", "-noout")
    done = subprocess.run(words, input=der, capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def test_what_two_of_three_read_is_read(
    tmp_path: Path, database: Database, *, require_peers: bool
) -> None:
    need(None if shutil.which("java") else "no java", required=require_peers)
    plain = Parts().sign()
    damaged = {}
    for at in range(0, len(plain), 5):
        der = bytearray(plain)
        der[at] ^= 1 << at % 8
        damaged[f"bit {at}"] = bytes(der)
    tried = {**DERS, **damaged}
    java = java_reads(tmp_path, tried)
    readable = [
        label
        for label, der in tried.items()
        if openssl_reads(der) + (label in java) + nss_reads(database, label, der) >= 2
    ]
    assert [label for label in readable if not is_read(tried[label])] == []
    # The inputs are worth reading: of each kind, one at least.
    assert {label.partition(":")[0] for label in readable} >= irregular().keys()


def is_read(der: bytes) -> bool:
    try:
        from_der(der)
    except NssBackupError:
        return False
    return True


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def in_nss(database: Database) -> Iterator[bytes]:
    database.add_certificate(AUTHORITY, "authority")
    for label, der in DERS.items():
        if from_der(der).public_key is not None and nss_reads(database, label, der):
            yield der


def test_every_one_is_listed_and_exported_from_a_store_by_nss(cli: Cli, database: Database) -> None:
    stored = {from_der(der).sha256: der for der in in_nss(database)}
    assert len(stored) > 40
    result = cli.run("list", "--json", "--profile", database.folder)
    listed = {one["sha256"]: one for one in result.document["identities"]}
    assert stored.keys() <= listed.keys()
    for sha256, der in stored.items():
        one = listed[sha256]
        assert one["key"]["present"]
        assert one["signature"] == ("verified" if one["wipo"] else "unchecked")
        assert one["departures"] == list(from_der(der).departures)
        assert one["departures"][0] in result.stderr
    result = cli.export(database.folder, "--all-matches", "--json")
    exports = {one["identity"]["sha256"]: one["output"] for one in result.document["exports"]}
    assert exports.keys() == {sha256 for sha256 in stored if listed[sha256]["wipo"]}
    words = ("verify", "--json", "--password-file", cli.password_file(), *exports.values())
    verified = cli.run(*words).document["files"]
    assert [one["identity"]["sha256"] for one in verified if one["ok"]] == list(exports)


@pytest.mark.parametrize("kind", [kind for kind in irregular() if "inherited" not in kind])
def test_every_command_handles_each_kind(cli: Cli, database: Database, kind: str) -> None:
    inputs = irregular()[kind].items()
    der = next(der for label, der in inputs if nss_reads(database, label, der))
    own = from_der(der)
    doctor = cli.run("doctor", "--json", "--profile", database.folder, own.sha256).document
    assert (doctor["status"], doctor["identity"]["sha256"]) == (0, own.sha256)
    output = cli.here / "given.pfx"
    given = cli.file("given.der", der)
    exported = cli.export(database.folder, "--certificate", given, "-o", output)
    assert exported.status == 0, exported.stderr
    target = database.nss.create(cli.folder / "target")
    words = ("restore", output, "--password-file", cli.password_file(), "--profile", target.folder)
    restored = cli.run(*words, "--json")
    assert restored.status == 0, restored.stderr
    assert any(der in target.certificates(one.nickname) for one in target.names())
    profile = cli.folder / "homes/jane/.mozilla/firefox/p"
    shutil.copytree(database.folder, profile)
    batch = ("batch", cli.folder / "homes", "-o", "out", "--cert", own.sha256, "--json", *FAST)
    (item,) = cli.run(*batch, "--generate-passwords").document["items"]
    assert (item["status"], item["identity"]["sha256"]) == ("backed-up", own.sha256)
    assert any(own.departures[0] in warning for warning in item["warnings"])


def test_a_key_that_inherits_its_parameters_is_named(cli: Cli, database: Database) -> None:
    for der in irregular()["inherited DSA parameters"].values():
        given = cli.file("given.der", der)
        result = cli.export(database.folder, "--certificate", given, "--json")
        assert (result.status, result.error["code"]) == (22, "key-missing")
