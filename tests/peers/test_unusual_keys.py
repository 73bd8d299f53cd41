"""Keys that NSS stores in an unusual way: they are found, and OpenSSL can use what is exported."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from nssbackup.backups.export import ExportOptions, export_identity
from nssbackup.backups.writing import Dialogue
from nssbackup.pkcs12 import FEWEST_ROUNDS, MODERN, PfxWriters
from nssbackup.profiles import resolve_profiles
from nssbackup.secret import Secret
from tests.peers import need
from tests.peers.nss import RELEASES, Nss, available
from tests.peers.process import password_file, run

PASSWORD = "an umlaut would be no help here"


@pytest.fixture(params=RELEASES)
def nss(request: pytest.FixtureRequest, require_peers: bool) -> Nss:
    found = {nss.release: nss for nss in available()}
    missing = None if request.param in found else f"the NSS of {request.param} is not unpacked"
    need(missing, required=require_peers)
    return found[request.param]


def check_export(folder: Path, name: str, top: Path) -> None:
    """Export a certificate, and have OpenSSL compare it with its key as a TLS client does."""
    export_identity(
        resolve_profiles([str(folder)]),
        ExportOptions(certificate=name, output=str(top / "a.pfx")),
        Dialogue(
            primary_password=lambda _profile, _attempt: None,
            pfx_writers=lambda _: PfxWriters.start(Secret(PASSWORD), (MODERN,), FEWEST_ROUNDS),
        ),
    )
    with password_file(PASSWORD) as file:
        run(
            [
                *("openssl", "pkcs12", "-in", top / "a.pfx", "-out", top / "a.pem"),
                *("-nodes", "-passin", f"file:{file}"),
            ]
        )
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(top / "a.pem")


@pytest.mark.parametrize("key", ["nistp256", "nistp521", "rsa2048"])
def test_a_key_after_certutil_merge(tmp_path: Path, nss: Nss, key: str) -> None:
    """CKA_NSS_DB of an EC key then holds the CKA_ID instead of the public point."""
    source, target = nss.create(tmp_path / "source"), nss.create(tmp_path / "target")
    source.self_signed("merged", "CN=Merged", key)  # type: ignore[arg-type] # one of them
    target.certutil("--merge", "--source-dir", source.location)
    check_export(target.folder, "Merged", tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        [],
        [
            *("-pkeyopt", "rsa_pss_keygen_md:sha256", "-pkeyopt", "rsa_pss_keygen_mgf1_md:sha256"),
            *("-pkeyopt", "rsa_pss_keygen_saltlen:32"),
        ],
    ],
    ids=["no parameters", "parameters"],
)
def test_an_rsa_pss_key(tmp_path: Path, nss: Nss, options: list[str]) -> None:
    key, certificate, pfx = (tmp_path / name for name in ("key.pem", "a.crt", "source.pfx"))
    run(["openssl", "genpkey", "-algorithm", "RSA-PSS", *options, "-out", key])
    run(
        [
            *("openssl", "req", "-new", "-x509", "-key", key, "-out", certificate),
            *("-subj", "/CN=Pss", "-days", "9000", "-sha256", "-sigopt", "rsa_pss_saltlen:32"),
        ]
    )
    store = nss.create(tmp_path / "store")
    with password_file(PASSWORD) as file:
        run(
            [
                *("openssl", "pkcs12", "-export", "-inkey", key, "-in", certificate),
                *("-name", "Pss", "-out", pfx, "-passout", f"file:{file}"),
            ]
        )
    store.import_pkcs12(pfx, PASSWORD)
    check_export(store.folder, "Pss", tmp_path)
