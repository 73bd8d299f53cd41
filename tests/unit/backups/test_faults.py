"""Faults that some programs stumble over: `verify` names them and `repassword` repairs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat import asn1

from nssbackup.backups.opening import faults_of
from nssbackup.backups.repassword import RepasswordOptions, repassword_backup
from nssbackup.backups.verify import verify_backup
from nssbackup.backups.writing import Dialogue
from nssbackup.pkcs12 import MODERN, PfxWriters, open_pfx, structure
from nssbackup.secret import Secret
from tests.builders.store import ec_key, issue
from tests.peers.process import run
from tests.unit.pkcs12.identities import authenticated, certificate_bag, key_bag, pkcs8_of

PASSWORD = Secret("secret")
JANE, ZOE, CA_KEY = ec_key(0), ec_key(1), ec_key(9)
CA = issue(CA_KEY, "CA", ca=True)
JANES, ZOES = issue(JANE, "Jane", "CA", CA_KEY), issue(ZOE, "Zoe", "CA", CA_KEY)
RENEWED = issue(ZOE, "Jane", "CA", CA_KEY)


def bmp(text: str | bytes) -> asn1.TLV:
    data = text if isinstance(text, bytes) else text.encode("utf-16-be")
    return structure.tlv(structure.BMP_STRING, data)


def bag(of: structure.SafeBag, name: asn1.TLV | None, key_id: bytes | None) -> structure.SafeBag:
    attributes = []
    if name is not None:
        names = asn1.SetOf([name])
        attributes.append(structure.Attribute(id=structure.FRIENDLY_NAME, values=names))
    if key_id is not None:
        ids = asn1.SetOf([structure.opened(key_id)])
        attributes.append(structure.Attribute(id=structure.LOCAL_KEY_ID, values=ids))
    in_order = asn1.SetOf(sorted(attributes, key=asn1.encode_der)) if attributes else None
    return structure.SafeBag(id=of.id, value=of.value, attributes=in_order)


_JANE, _CA = bmp("jane"), bmp("ca")


def jane(name: asn1.TLV | None = _JANE, *ids: bytes | None) -> list[structure.SafeBag]:
    on_certificate, on_key = ids or (b"1", b"1")
    return [
        bag(certificate_bag(JANES), name, on_certificate),
        bag(key_bag(pkcs8_of(JANE)), name, on_key),
    ]


def zoe(name: asn1.TLV, der: bytes = ZOES, key_id: bytes = b"2") -> list[structure.SafeBag]:
    return [
        bag(certificate_bag(der), name, key_id),
        bag(key_bag(pkcs8_of(ZOE)), name, b"2"),
    ]


def authority(name: asn1.TLV | None = _CA, key_id: bytes | None = None) -> structure.SafeBag:
    return bag(certificate_bag(CA), name, key_id)


CROSSED = [
    bag(certificate_bag(JANES), bmp("jane"), b"2"),
    bag(certificate_bag(ZOES), bmp("zoe"), b"1"),
    bag(key_bag(pkcs8_of(JANE)), bmp("jane"), b"1"),
    bag(key_bag(pkcs8_of(ZOE)), bmp("zoe"), b"2"),
]
FAULTS = {
    "CA of the same name": ([*jane(), authority(bmp("Jane"))], "share the name `jane`"),
    "two people of one name": ([*jane(), *zoe(bmp("jane"))], "share the name `jane`"),
    "half a BMP character": (jane(bmp(b"\0j\0")), "not a valid BMPString"),
    "UTF-8 name": (jane(structure.tlv(structure.UTF8_STRING, b"jane")), "not a valid BMPString"),
    "half a pair": (jane(bmp(b"\xd8\x3d\0a")), "not a valid BMPString"),
    "NUL inside": (jane(bmp("ja\0ne")), "contains a NUL"),
    "no localKeyIDs": (jane(bmp("jane"), None, None), "localKeyIDs"),
    "none on the certificate": (jane(bmp("jane"), None, b"1"), "localKeyIDs"),
    "none on the key": (jane(bmp("jane"), b"1", None), "localKeyIDs"),
    "crossed": (CROSSED, "localKeyIDs"),
    "one on the CA": ([*jane(), authority(key_id=b"1")], "localKeyIDs"),
}
FINE = {
    "usual": [*jane(), authority()],
    "CA without a name": [*jane(), authority(None)],
    "no names": [*jane(None), authority(None)],
    "CA first": [authority(), *jane()],
    "renewals of one name": [*jane(), *zoe(bmp("jane"), RENEWED)],
    "two people": [*jane(), *zoe(bmp("zoe"))],
}


def write(path: Path, bags: Sequence[structure.SafeBag]) -> Path:
    content = structure.encode_contents([structure.data_info(structure.encode_bags(list(bags)))])
    path.write_bytes(asn1.encode_der(authenticated(content, PASSWORD)))
    path.chmod(0o600)
    return path


def repair(path: Path) -> list[str]:
    """Repair a file in place, and return what was said."""
    said: list[str] = []
    dialogue = Dialogue(
        lambda *_: None, lambda _: PfxWriters.start(PASSWORD, (MODERN,), 2_048), warn=said.append
    )
    options = RepasswordOptions(replace=True)
    repassword_backup(path, options, lambda _, attempt: None if attempt else PASSWORD, dialogue)
    return said


@pytest.mark.parametrize(("bags", "what"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named_and_repaired(
    tmp_path: Path, bags: Sequence[structure.SafeBag], what: str
) -> None:
    path = write(tmp_path / "a.pfx", bags)
    found = verify_backup(path, PASSWORD)
    assert found.error is None
    (warning,) = [each for each in found.warnings if what in each]
    assert "`nssbackup repassword` repairs it" in warning
    assert any(f"repaired: {warning.split(':')[0]}" in each for each in repair(path))
    after = verify_backup(path, PASSWORD)
    assert not any("repairs it" in each for each in after.warnings)
    assert len(after.identities) == len(found.identities)


@pytest.mark.parametrize("bags", FINE.values(), ids=FINE)
def test_what_every_reader_opens_is_no_fault(
    tmp_path: Path, bags: Sequence[structure.SafeBag]
) -> None:
    path = write(tmp_path / "a.pfx", bags)
    assert list(faults_of(open_pfx(path.read_bytes(), PASSWORD))) == []


def test_a_key_that_lost_its_algorithm_is_repaired(tmp_path: Path) -> None:
    """A certificate for RSA-PSS beside a key that calls itself RSA, as NSS exports it."""
    (tmp_path / "key.pem").write_bytes(
        run(["openssl", "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"])
    )
    request = ("openssl", "req", "-x509", "-new", "-subj", "/CN=PSS", "-days", "30")
    run([*request, "-key", tmp_path / "key.pem", "-out", tmp_path / "own.pem"])
    source = ("-inkey", tmp_path / "key.pem", "-in", tmp_path / "own.pem")
    own = tmp_path / "a.pfx"
    run(["openssl", "pkcs12", "-export", *source, "-out", own, "-passout", "pass:secret"])
    own.chmod(0o600)
    assert "repaired" not in "".join(repair(own))
    opened = run(["openssl", "pkcs12", "-in", own, "-passin", "pass:secret", "-nodes"])
    (tmp_path / "both.pem").write_bytes(opened)
    of_key = run(["openssl", "pkey", "-in", tmp_path / "both.pem", "-pubout"])
    assert of_key == run(["openssl", "x509", "-in", tmp_path / "both.pem", "-noout", "-pubkey"])
    # The same key under the name of RSA.
    contents = open_pfx(own.read_bytes(), PASSWORD)
    assert contents.key is not None
    key_id = contents.keys[0].local_key_id
    bags = [
        bag(certificate_bag(contents.certificates[0].certificate.der), None, key_id),
        bag(key_bag(contents.key.pkcs8), None, key_id),
    ]
    write(own, bags)
    assert any("RSA-PSS" in each for each in verify_backup(own, PASSWORD).warnings)
    assert any("repaired: key and certificate name different" in each for each in repair(own))
    assert not any("RSA-PSS" in each for each in verify_backup(own, PASSWORD).warnings)
