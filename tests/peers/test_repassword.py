"""`repassword` opens what old programs wrote, and every reader opens what it makes of that.

The programs themselves make the files, most with RC2-40: Firefox before 85, the macOS Keychain,
Windows, OpenSSL before 3.0 and Java before 8u301 used it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nssbackup.errors import WrongBackupPasswordError
from nssbackup.pkcs12 import PfxContents, describe, open_pfx
from nssbackup.secret import Secret
from tests import FIXTURES
from tests.cli.runner import FAST, Cli, Result, names
from tests.peers import need
from tests.peers.exports import exportable
from tests.peers.firefox import Firefox
from tests.peers.nss import Nss, available
from tests.peers.process import PeerError, password_file, run
from tests.peers.readers import FirefoxReader, OpenSsl, Reader, readers
from tests.unit.pkcs12.identities import Case, case_of

OLD, NEW = "Grüße aus Zürich", "Neues-Passwort-4711 ist lang"

PBE_3DES = "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC"
PBE_RC2_40 = "PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC"
PBE_RC2_128 = "PKCS #12 V2 PBE With SHA-1 And 128 Bit RC2 CBC"
FIREFOX_60 = ("-c", PBE_3DES, "-C", PBE_RC2_40, "-M", "SHA-1")

_OTHERS = tuple(reader for reader in readers() if not isinstance(reader, FirefoxReader))


@dataclass(frozen=True)
class Workshop:
    """Makes files of one identity with the programs."""

    folder: Path
    case: Case

    def openssl(self, *options: str, password: str = OLD) -> Path:
        """By `openssl pkcs12 -export`."""
        source, chain = self._pem()
        made = self.folder / "a.p12"
        with password_file(password) as file:
            run(
                [
                    *("openssl", "pkcs12", "-export", "-in", source, "-certfile", chain),
                    *("-out", made, "-name", "jane", "-passout", f"file:{file}"),
                    *options,
                ]
            )
        return made

    def nss(self, nss: Nss, *options: str, password: str = OLD) -> Path:
        """By `pk12util -o`, from a store that the identity is brought into."""
        made = self.folder / "a.p12"
        with nss.scratch() as database:
            database.import_pkcs12(self.openssl(), OLD)
            with password_file(database.password or "") as own, password_file(password) as file:
                words = ("-n", "jane", "-d", database.location, "-k", own, "-w", file)
                nss.run("pk12util", "-o", made, *words, *options)
        return made

    def gnutls(self, *options: str, password: str = OLD) -> Path:
        """By `certtool --to-p12`; the password is typed twice."""
        source, chain = self._pem()
        made = self.folder / "a.p12"
        # All in one file: of `--load-ca-certificate` it takes the first.
        with source.open("ab") as file:
            file.write(chain.read_bytes())
        run(
            [
                *("certtool", "--to-p12", "--outder", "--load-privkey", source, "--outfile", made),
                *("--load-certificate", source, "--p12-name", "jane"),
                *options,
            ],
            stdin=f"{password}\n{password}\n".encode(),
        )
        return made

    def java(self, keytool: Path, password: str) -> Path:
        """By `keytool`, as Java before 8u301 did."""
        modern = self.openssl(password=password)
        made = self.folder / "java.p12"
        with password_file(password) as file:
            run(
                [
                    *(keytool, "-J-Dkeystore.pkcs12.legacy", "-importkeystore", "-noprompt"),
                    *("-srckeystore", modern, "-srcstoretype", "PKCS12", "-deststoretype"),
                    *("PKCS12", "-destkeystore", made, "-srcstorepass:file", file),
                    *("-deststorepass:file", file),
                ],
            )
        return made.rename(modern)

    def _pem(self) -> tuple[Path, Path]:
        source, chain = self.folder / "source.pem", self.folder / "chain.pem"
        source.write_bytes(self.case.key_pem + self.case.certificate_pem)
        chain.write_bytes(self.case.chain_pem)
        return source, chain


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    (tmp_path / "workshop").mkdir()
    return Workshop(tmp_path / "workshop", case_of("rsa-2048"))


def repassword(cli: Cli, file: Path, *words: str, old: str = OLD) -> Result:
    before, after = cli.file("old", f"{old}\n"), cli.file("new", f"{NEW}\n")
    passwords = ("--old-password-file", before, "--password-file", after)
    return cli.run("repassword", file, *FAST, *passwords, *words)


def protections(file: Path) -> set[str]:
    description = describe(file.read_bytes())
    return {found.name for found in (*description.keys, *description.certificates)}


def check_in_place(cli: Cli, workshop: Workshop, file: Path, old: str = OLD) -> None:
    """Give a file a new password, and let OpenSSL find in it what went in."""
    result = repassword(cli, file, "--force", old=old)
    assert result.status == 0, result.stderr
    assert names(file.parent) == ["a.p12", "chain.pem", "source.pem"]
    assert protections(file) == {"AES-256-CBC, PBKDF2-HMAC-SHA-256"}
    opened = OpenSsl().open(file, NEW)
    identity = workshop.case.identity
    assert opened.key_pkcs8 == workshop.case.key.pkcs8
    assert opened.certificates == (identity.certificate.der, *(ca.der for ca in identity.chain))
    assert opened.names[0] == "jane"
    for password in (old, ""):
        with pytest.raises(PeerError):
            OpenSsl().open(file, password)


# --- files of each program


OPENSSL = {
    "keychain": (("-legacy",), {"RC2-40 (PBE-SHA1)", "3DES (PBE-SHA1)"}),
    "rc2-40 key": (
        ("-legacy", "-keypbe", "PBE-SHA1-RC2-40", "-certpbe", "PBE-SHA1-RC2-40"),
        {"RC2-40 (PBE-SHA1)"},
    ),
    "rc2-128": (
        ("-legacy", "-keypbe", "PBE-SHA1-RC2-128", "-certpbe", "PBE-SHA1-RC2-128"),
        {"RC2-128 (PBE-SHA1)"},
    ),
    "rc4": (
        ("-legacy", "-keypbe", "PBE-SHA1-RC4-128", "-certpbe", "PBE-SHA1-RC4-40"),
        {"RC4-128 (PBE-SHA1)", "RC4-40 (PBE-SHA1)"},
    ),
    "des": (
        ("-legacy", "-keypbe", "PBE-MD5-DES", "-certpbe", "PBE-SHA1-DES"),
        {"DES (PBE-MD5)", "DES (PBE-SHA1)"},
    ),
    "rc2-64": (
        ("-legacy", "-keypbe", "PBE-MD5-RC2-64", "-certpbe", "PBE-SHA1-RC2-64"),
        {"RC2-64 (PBE-MD5)", "RC2-64 (PBE-SHA1)"},
    ),
    "2-key 3des": (
        ("-keypbe", "PBE-SHA1-2DES", "-certpbe", "PBE-SHA1-2DES"),
        {"2-key 3DES (PBE-SHA1)"},
    ),
    "des of pbes2": (
        ("-legacy", "-keypbe", "DES-CBC", "-certpbe", "DES-EDE3-CBC"),
        {"DES-CBC, PBKDF2-HMAC-SHA-256", "3DES-CBC, PBKDF2-HMAC-SHA-256"},
    ),
    "mac of md5": (("-legacy", "-macalg", "md5"), {"RC2-40 (PBE-SHA1)", "3DES (PBE-SHA1)"}),
    "no mac": (
        ("-legacy", "-nomac", "-certpbe", "PBE-SHA1-RC2-40"),
        {"RC2-40 (PBE-SHA1)", "3DES (PBE-SHA1)"},
    ),
    "nothing encrypted": (("-keypbe", "NONE", "-certpbe", "NONE"), {"not encrypted"}),
}


@pytest.mark.parametrize("variant", OPENSSL)
def test_files_of_openssl(cli: Cli, workshop: Workshop, variant: str, require_peers: bool) -> None:
    need(OpenSsl().missing(), required=require_peers)
    options, encryption = OPENSSL[variant]
    file = workshop.openssl(*options)
    assert protections(file) == encryption
    with pytest.raises(WrongBackupPasswordError):
        open_pfx(file.read_bytes(), Secret("wrong"))
    check_in_place(cli, workshop, file)


@pytest.mark.parametrize(
    ("variant", "password"), [("keychain", ""), ("mac of md5", "🔑 und 日本"), ("no mac", "")]
)
def test_other_passwords_of_openssl(
    cli: Cli, workshop: Workshop, variant: str, password: str, require_peers: bool
) -> None:
    need(OpenSsl().missing(), required=require_peers)
    file = workshop.openssl(*OPENSSL[variant][0], password=password)
    check_in_place(cli, workshop, file, password)


NSS = {
    "today": ((), "AES-128-CBC"),
    "firefox 60": (FIREFOX_60, "RC2-40"),
    "rc2-128": (("-c", PBE_RC2_128, "-C", PBE_RC2_128, "-M", "SHA-1"), "RC2-128"),
}


@pytest.mark.parametrize("variant", NSS)
@pytest.mark.parametrize("nss", available(), ids=lambda nss: nss.name)
def test_files_of_nss(cli: Cli, workshop: Workshop, nss: Nss, variant: str) -> None:
    options, encryption = NSS[variant]
    file = workshop.nss(nss, *options)
    assert file.read_bytes().startswith(b"\x30\x80")  # BER
    assert any(found.startswith(encryption) for found in protections(file))
    check_in_place(cli, workshop, file)


def test_a_file_of_nss_with_pbmac1(cli: Cli, workshop: Workshop, require_peers: bool) -> None:
    newest = available()[-1:]
    need(None if newest and newest[0].release != "bookworm" else "old NSS", required=require_peers)
    file = workshop.nss(newest[0], "-M", "HMAC SHA-256")
    mac = describe(file.read_bytes()).mac
    assert mac is not None
    assert mac.name == "PBMAC1-HMAC-SHA-256, PBKDF2-HMAC-SHA-256"
    check_in_place(cli, workshop, file)


@pytest.mark.parametrize("cipher", ["arcfour", "aes-128"])
def test_files_of_gnutls(cli: Cli, workshop: Workshop, cipher: str, require_peers: bool) -> None:
    need(None if shutil.which("certtool") else "no certtool", required=require_peers)
    check_in_place(cli, workshop, workshop.gnutls("--pkcs-cipher", cipher))


@pytest.mark.parametrize("form", ["--empty-password", "--null-password"])
def test_both_empty_passwords_of_gnutls(
    cli: Cli, workshop: Workshop, form: str, require_peers: bool
) -> None:
    need(None if shutil.which("certtool") else "no certtool", required=require_peers)
    try:
        file = workshop.gnutls("--pkcs-cipher", "rc2-40", form)
    except PeerError as error:
        release = run(["certtool", "--version"]).split()[1]
        if "status -11" not in str(error) or release != b"3.8.9":
            raise  # of another release that is news
        pytest.skip(f"the certtool of GnuTLS 3.8.9 crashes at {form}")
    check_in_place(cli, workshop, file, "")


def _javas() -> list[Path]:
    return sorted(Path("/usr/lib/jvm").glob("*/bin/keytool")) or [Path("keytool")]


@pytest.mark.parametrize("keytool", _javas(), ids=lambda each: each.parts[-3:][0])
def test_files_of_java(cli: Cli, workshop: Workshop, keytool: Path, require_peers: bool) -> None:
    need(None if shutil.which(keytool) else "no Java", required=require_peers)
    file = workshop.java(keytool, "Geheimnis-4711")
    assert "RC2-40 (PBE-SHA1)" in protections(file)
    check_in_place(cli, workshop, file, "Geheimnis-4711")


# --- several identities in one file


@pytest.fixture(params=available(), ids=lambda nss: nss.name)
def backup_of_all(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What *Backup All* of an old Firefox made: two renewals, RC2-40."""
    nss: Nss = request.param
    store = Path(shutil.copytree(FIXTURES / "profiles" / "renewed", tmp_path / "renewed"))
    made = tmp_path / "all.p12"
    with password_file("") as own, password_file(OLD) as file:
        words = ("-n", "Jane Doe", "-d", f"sql:{store}", "-k", own, "-w", file)
        nss.run("pk12util", "-o", made, *words, *FIREFOX_60)
    return made


def test_every_key_of_an_rc2_file_is_seen(backup_of_all: Path) -> None:
    contents = open_pfx(backup_of_all.read_bytes(), Secret(OLD))
    assert len(contents.keys) == 2
    expected = {each.fingerprint for each in exportable() if each.case == "renewed"}
    assert set(_fingerprints(contents)) == expected


def test_of_renewals_in_an_rc2_file_none_is_lost(cli: Cli, backup_of_all: Path) -> None:
    expected = {each.fingerprint for each in exportable() if each.case == "renewed"}
    result = repassword(cli, backup_of_all, "--force", "--json")
    assert {one["sha256"] for one in result.document["identities"]} == expected
    # Programs that see only one take the first.
    assert [one["status"] for one in result.document["identities"]] == ["valid", "expired"]
    contents = open_pfx(backup_of_all.read_bytes(), Secret(NEW))
    assert set(_fingerprints(contents)) == expected
    assert len({each.friendly_name for each in contents.keys}) == 2


@pytest.mark.parametrize("nss", available(), ids=lambda nss: nss.name)
def test_nss_imports_all_renewals_of_one_file(cli: Cli, backup_of_all: Path, nss: Nss) -> None:
    assert repassword(cli, backup_of_all, "--force").status == 0
    with nss.scratch() as database:
        database.import_pkcs12(backup_of_all, NEW)
        assert len(database.keys()) == 2


def _fingerprints(contents: PfxContents) -> Iterator[str]:
    for pair in contents.pairs:
        assert pair.identity is not None
        assert pair.key.key.public_key == pair.identity.certificate.public_key
        yield pair.identity.certificate.sha256


# --- where OpenSSL has no old algorithms


def test_rc2_opens_without_the_legacy_provider(
    cli: Cli, workshop: Workshop, require_peers: bool
) -> None:
    need(OpenSsl().missing(), required=require_peers)
    file = workshop.openssl("-legacy")
    # `cryptography`'s own switch; it is how a distribution's build may be.
    poor = Cli(cli.folder, {"CRYPTOGRAPHY_OPENSSL_NO_LEGACY": "1"})
    assert repassword(poor, file, "--force", "--json").status == 0


# --- the readers


@pytest.mark.parametrize("reader", _OTHERS, ids=lambda reader: reader.name)
def test_a_reader_opens_it_with_the_new_password_alone(
    cli: Cli, workshop: Workshop, reader: Reader, require_peers: bool
) -> None:
    need(reader.missing() or OpenSsl().missing(), required=require_peers)
    file = workshop.openssl("-legacy")
    assert repassword(cli, file, "--force").status == 0
    _check(reader, file, workshop.case)
    with pytest.raises(PeerError):
        reader.open(file, OLD)


def test_firefox_imports_it_with_the_new_password(
    cli: Cli, workshop: Workshop, tmp_path: Path, require_peers: bool
) -> None:
    need(Firefox.missing() or OpenSsl().missing(), required=require_peers)
    file = workshop.openssl("-legacy")
    assert repassword(cli, file, "--force").status == 0
    with Firefox(tmp_path / "profile") as firefox:
        firefox.import_pfx(file, NEW)
        (own,) = firefox.certificates()
    assert own.sha256 == hashlib.sha256(workshop.case.identity.certificate.der).hexdigest()


def _check(reader: Reader, file: Path, case: Case) -> None:
    opened = reader.open(file, NEW)
    identity = case.identity
    chain = (identity.certificate.der, *(ca.der for ca in identity.chain))
    assert opened.certificates[0] == chain[0]
    assert sorted(opened.certificates) == sorted(chain)
    if "key" not in reader.cannot:
        assert opened.key_pkcs8 == case.key.pkcs8
    if "names" not in reader.cannot:
        assert "jane" in opened.names
