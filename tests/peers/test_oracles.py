"""What two of OpenSSL, NSS and Java open, we open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat import asn1

from nssbackup.errors import NssBackupError
from nssbackup.identity.certificate import from_der
from nssbackup.pkcs12 import open_pfx, structure
from nssbackup.pkcs12.protection import pkcs12_mac
from nssbackup.secret import Secret
from tests.builders.irregular import irregular
from tests.fuzz import seeds
from tests.fuzz.mutation import mutants
from tests.peers import need
from tests.peers.nss import Nss, available
from tests.peers.process import PeerError, password_file, run
from tests.peers.readers import Keytool, OpenSsl, Pk12util
from tests.unit.pkcs12.identities import authenticated

PASSWORD = "correct horse"
CHANGES = 60


@pytest.fixture(scope="module")
def nss(require_peers: bool) -> Nss:
    need(OpenSsl().missing() or Keytool().missing(), required=require_peers)
    need(None if available() else "no NSS tools", required=require_peers)
    return available()[-1]


def two_open(*programs: Callable[[], object]) -> bool:
    """Tell whether two of three programs open a file; the last, the slowest, is asked last."""
    opened = 0
    for number, program in enumerate(programs):
        with suppress(PeerError, ValueError):  # or OpenSSL gives out what is no key
            program()
            opened += 1
        if opened == 2 or (number == 1 and not opened):
            break
    return opened == 2


def certificates() -> Iterator[tuple[str, bytes]]:
    for kind, inputs in irregular().items():
        for label, der in inputs.items():
            yield f"{kind}: {label}", der
    # Of the fixtures, so that the changes are the same in every run.
    for number, der in enumerate(mutants(seeds.certificates(), CHANGES, 4096)):
        yield f"mutant {number}", der


def test_we_read_the_certificates_that_two_of_three_read(nss: Nss, tmp_path: Path) -> None:
    database = nss.create(tmp_path / "store")
    refused = []
    path = tmp_path / "certificate"
    for label, der in certificates():
        try:
            from_der(der)
        except NssBackupError:
            path.write_bytes(der)
            openssl = partial(
                run, ["openssl", "x509", "-inform", "DER", "-in", path, "-noout", "-text"]
            )
            java = partial(run, ["keytool", "-printcert", "-file", path])
            add = partial(database.certutil, "-A", "-n", label, "-t", ",,", "-i", path)
            if two_open(openssl, add, java):
                refused.append(label)
    assert refused == []


def made_by_openssl(folder: Path) -> tuple[bytes, bytes]:
    """Have OpenSSL write a PFX with its certificate in the clear; return it and its contents."""
    key, certificate, made = (folder / name for name in ("key", "certificate", "made"))
    identity, private = seeds.identities()[0]
    for kind, path, der in (
        ("pkey", key, private.pkcs8),
        ("x509", certificate, identity.certificate.der),
    ):
        run(["openssl", kind, "-inform", "DER", "-out", path], stdin=der)
    source = ("-inkey", key, "-in", certificate, "-name", "Jane", "-out", made)
    with password_file(PASSWORD) as file:
        how = ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "NONE", "-passout", f"file:{file}")
        run(["openssl", "pkcs12", "-export", *source, *how])
    pfx = asn1.decode_der(structure.Pfx, made.read_bytes())
    return made.read_bytes(), structure.inner(bytes, pfx.auth_safe.content)


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Files with bytes behind them, and files with one byte changed under a right MAC."""
    made, contents = made_by_openssl(folder)
    yield "a line end behind it", made + b"\n"
    yield "zeros behind it", made + bytes(512)
    random = Random(1)  # noqa: S311 - the same changes every time
    mac = pkcs12_mac("sha1", b"8 octets", 1024)
    for _ in range(CHANGES):
        at = random.randrange(len(contents))
        byte = random.choice((contents[at] ^ 1 << random.randrange(8), random.randrange(256)))
        changed = contents[:at] + bytes([byte]) + contents[at + 1 :]
        data = asn1.encode_der(authenticated(changed, Secret(PASSWORD), mac))
        yield f"{byte:#04x} at {at}", data


def test_we_open_the_files_that_two_of_three_open(nss: Nss, tmp_path: Path) -> None:
    refused = []
    path = tmp_path / "file.p12"
    for label, data in files(tmp_path):
        try:
            assert open_pfx(data, Secret(PASSWORD)).pairs
        except (NssBackupError, AssertionError) as error:
            path.write_bytes(data)
            readers = (OpenSsl(), Pk12util(nss), Keytool())
            if two_open(*(partial(reader.open, path, PASSWORD) for reader in readers)):
                refused.append((label, str(error)))
    assert refused == []
