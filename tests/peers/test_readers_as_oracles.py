"""Whatever two of OpenSSL, NSS and Java open, we open: files in many variants, by real tools."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nssbackup.backups.verify import verify_backup
from nssbackup.secret import Secret
from tests.peers import need
from tests.peers.nss import Nss, available
from tests.peers.process import PeerError, password_file, run
from tests.unit.pkcs12.identities import old_nss_pfx

EXCEPTIONS = {
    "DSA key": "Firefox stopped using DSA; the file is refused with that reason",
    "key alone": "a file without a certificate is no backup of an identity",
    "certificate alone": "a file without a private key is no backup of an identity",
}
"""What two of them open and we refuse, with the reason."""


@dataclass(frozen=True)
class Source:
    """A folder with keys and certificates that the variants are made of."""

    folder: Path

    def key(self, *options: str) -> Path:
        """A private key with a certificate of a CA, both in one PEM file; made once."""
        path = self.folder / f"{'-'.join(options).replace(':', '_').replace('/', '_')}.pem"
        if not path.exists():
            key, own, request = (path.with_suffix(f".{each}") for each in ("key", "own", "req"))
            if options == DSA:
                run(["openssl", "dsaparam", "-genkey", "-noout", "-out", key, "1024"])
            else:
                run(["openssl", "genpkey", "-out", key, "-algorithm", *options])
            run(["openssl", "req", "-new", "-key", key, "-subj", "/CN=Jane Doe", "-out", request])
            issuer = ("-CA", self.folder / "ca.pem", "-CAkey", self.folder / "ca.key")
            run(["openssl", "x509", "-req", "-in", request, *issuer, "-out", own, "-days", "90"])
            path.write_bytes(key.read_bytes() + own.read_bytes())
        return path


Make = Callable[[Source, Path, str], None]
EC = ("EC", "-pkeyopt", "ec_paramgen_curve:P-256")
DSA = ("DSA",)
RSA = ("RSA", "-pkeyopt", "rsa_keygen_bits:2048")


def openssl(*options: str, key: Sequence[str] = RSA, encoding: str = "utf-8") -> Make:
    """By `openssl pkcs12 -export` with these options."""

    def make(source: Source, path: Path, password: str) -> None:
        secret = source.folder / "password"
        secret.write_bytes(password.encode(encoding) + b"\n")
        words = ("openssl", "pkcs12", "-export", "-in", source.key(*key), "-out", path)
        chain = ("-certfile", source.folder / "ca.pem") if "-nocerts" not in options else ()
        run([*words, "-passout", f"file:{secret}", "-name", "jane", *chain, *options])

    return make


def nss(release: int, *options: str) -> Make:
    """By `pk12util -o` of one generation with these options."""

    def make(source: Source, path: Path, password: str) -> None:
        plain = path.with_suffix(".plain")
        openssl()(source, plain, password)
        generation = available()[release]
        with generation.scratch() as database, password_file(password) as file:
            database.import_pkcs12(plain, password)
            of = ("-n", "jane", "-d", database.location)
            with password_file(database.password or "") as own:
                generation.run("pk12util", "-o", path, *of, "-w", file, "-k", own, *options)

    return make


def java(*options: str) -> Make:
    """By `keytool`, which copies a file of OpenSSL's."""

    def make(source: Source, path: Path, password: str) -> None:
        plain = path.with_suffix(".plain")
        openssl()(source, plain, password)
        with password_file(password) as file:
            one = ("-srckeystore", plain, "-srcstoretype", "PKCS12", "-srcstorepass:file", file)
            other = ("-destkeystore", path, "-deststoretype", "PKCS12", "-deststorepass:file", file)
            run(["keytool", *options, "-importkeystore", "-noprompt", *one, *other])

    return make


def old_nss(source: Source, path: Path, password: str) -> None:
    """As NSS before 3.34 wrote AES: by hand, as that NSS is not to be had."""
    own, key = (source.key(*RSA).with_suffix(each) for each in (".own", ".key"))
    der = run(["openssl", "x509", "-in", own, "-outform", "DER"])
    words = ["openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER"]
    pkcs8 = run([*words, "-in", key])
    path.write_bytes(old_nss_pfx(der, pkcs8, Secret(password)))


def followed_by(behind: bytes, make: Make) -> Make:
    """The same with bytes behind the PFX."""

    def made(source: Source, path: Path, password: str) -> None:
        make(source, path, password)
        path.write_bytes(path.read_bytes() + behind)

    return made


def _pbe(key: str, certificates: str | None = None) -> Make:
    return openssl("-legacy", "-keypbe", key, "-certpbe", certificates or key)


def _jvm(name: str, value: str) -> str:
    return f"-J-Dkeystore.pkcs12.{name}={value}"


ASCII, UMLAUT = "correct horse", "Pässwörd"
VARIANTS: dict[str, tuple[Make, str]] = {
    "default": (openssl(), ASCII),
    "legacy": (openssl("-legacy"), ASCII),
    "3DES": (openssl("-legacy", "-descert"), ASCII),
    **{
        name: (_pbe(name), ASCII)
        for name in (
            *("AES-128-CBC", "AES-192-CBC", "CAMELLIA-256-CBC", "DES-EDE3-CBC"),
            *("PBE-SHA1-RC2-40", "PBE-SHA1-RC2-128", "PBE-SHA1-RC4-40", "PBE-SHA1-RC4-128"),
            *("PBE-SHA1-2DES", "PBE-MD5-DES", "PBE-SHA1-DES", "PBE-MD5-RC2-64"),
        )
    },
    "no encryption": (openssl("-keypbe", "NONE", "-certpbe", "NONE"), ASCII),
    "certificates in the clear": (openssl("-certpbe", "NONE"), ASCII),
    **{
        f"MAC {name}": (openssl("-macalg", name), ASCII)
        for name in ("md5", "sha1", "sha224", "sha384", "sha512")
    },
    "no MAC": (openssl("-nomac"), ASCII),
    "one round": (openssl("-noiter", "-nomaciter"), ASCII),
    "many rounds": (openssl("-iter", "600000"), ASCII),
    "Microsoft's attributes": (openssl("-CSP", "Provider", "-LMK"), ASCII),
    "usage in the key": (openssl("-keysig"), ASCII),
    "no name": (openssl("-name", ""), ASCII),
    "long name": (openssl("-name", "n" * 300), ASCII),
    "empty password": (openssl(), ""),
    "umlaut": (openssl(), UMLAUT),
    "umlaut, legacy": (openssl("-legacy"), UMLAUT),
    "Latin-1": (openssl(encoding="latin-1"), UMLAUT),
    "beyond Latin-1": (openssl(), "пароль"),
    "beyond the BMP": (openssl(), "horse😀"),
    "EC": (openssl(key=EC), ASCII),
    "P-521": (openssl(key=("EC", "-pkeyopt", "ec_paramgen_curve:P-521")), ASCII),
    "secp256k1": (openssl(key=("EC", "-pkeyopt", "ec_paramgen_curve:secp256k1")), ASCII),
    "explicit curve": (openssl(key=(*EC, "-pkeyopt", "ec_param_enc:explicit")), ASCII),
    "Ed25519": (openssl(key=("ED25519",)), ASCII),
    "Ed448": (openssl(key=("ED448",)), ASCII),
    "RSA-PSS": (openssl(key=("RSA-PSS",)), ASCII),
    "RSA 1024": (openssl(key=("RSA", "-pkeyopt", "rsa_keygen_bits:1024")), ASCII),
    "DSA key": (openssl(key=DSA), ASCII),
    "key alone": (openssl("-nocerts"), ASCII),
    "certificate alone": (openssl("-nokeys"), ASCII),
    "bytes behind": (followed_by(b"\n", openssl()), ASCII),
    "many bytes behind": (followed_by(bytes(5_000), openssl("-legacy")), ASCII),
    "NSS 3.87": (nss(0), ASCII),
    "NSS 3.87, RC2": (nss(0, "-C", "PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC"), ASCII),
    "NSS 3.110": (nss(1), ASCII),
    "NSS 3.110, AES": (nss(1, "-c", "AES-128-CBC", "-C", "AES-256-CBC"), ASCII),
    "NSS 3.110, clear certificates": (nss(1, "-C", "NONE"), ASCII),
    "NSS 3.33": (old_nss, UMLAUT),
    "NSS, umlaut": (nss(0), UMLAUT),
    "Java": (java(), ASCII),
    "Java, legacy": (java(_jvm("legacy", "true")), ASCII),
    "Java, SHA-512": (java(_jvm("macAlgorithm", "HmacPBESHA512")), ASCII),
    "Java, clear certificates": (java(_jvm("certProtectionAlgorithm", "NONE")), ASCII),
    "Java, no MAC": (java(_jvm("macAlgorithm", "NONE")), ASCII),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("source")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=CA"]
    run([*words, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", "90"])
    return Source(folder)


def _openssl_opens(path: Path, password: Path) -> None:
    words = ("openssl", "pkcs12", "-in", path, "-nodes", "-passin", f"file:{password}")
    run([*words, "-legacy"])


def _nss_opens(generation: Nss, path: Path, password: Path) -> None:
    with generation.scratch() as database, password_file(database.password or "") as own:
        words = ("-i", path, "-d", database.location, "-k", own, "-w", password)
        generation.run("pk12util", *words)


def _java_opens(path: Path, password: Path) -> None:
    words = ("keytool", "-list", "-keystore", path, "-storetype", "PKCS12")
    if b"0 entries" in run([*words, "-storepass:file", password]):
        message = "Java finds nothing in the file"
        raise PeerError(message)


def _who_opens(path: Path, password: str) -> set[str]:
    found = set()
    with password_file(password) as file:
        for name, opens in (
            ("OpenSSL", _openssl_opens),
            ("NSS", functools.partial(_nss_opens, available()[-1])),
            ("Java", _java_opens),
        ):
            try:
                opens(path, file)
            except PeerError:
                continue
            found.add(name)
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_two_of_three_open_we_open(
    source: Source, tmp_path: Path, variant: str, require_peers: bool
) -> None:
    need(None if len(available()) > 1 else "NSS is not installed", required=require_peers)
    make, password = VARIANTS[variant]
    path = tmp_path / "a.p12"
    make(source, path, password)
    openers = _who_opens(path, password)
    verified = verify_backup(path, Secret(password))
    if variant == "Latin-1":  # no reader is given the password in this encoding again; we try it
        assert verified.error is None
        return
    assert openers, "nobody opens it"
    if variant in EXCEPTIONS:
        assert verified.error is not None, "the exception is none"
    elif len(openers) > 1:
        assert verified.error is None, f"{' and '.join(sorted(openers))} open it"
        assert verified.identity is not None
