"""Every reader opens both formats of our exports and finds in them what went in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import need
from tests.peers.exports import PASSWORDS, Expected, exportable, exported, fingerprint
from tests.peers.firefox import Firefox
from tests.peers.process import PeerError
from tests.peers.readers import FirefoxReader, Opened, OpenSsl, Reader, readers

_FORMATS = ("modern", "compatible")
_OTHERS = tuple(reader for reader in readers() if not isinstance(reader, FirefoxReader))

# The files differ by key, chain and name; which program made the store leaves no trace in them.
_KINDS = (
    *("nss387-nopassword", "firefox-password-unicode", "legacy-ec", "foreign-only"),
    *("rsa4096", "ec-p384", "ec-p521", "chain3", "chain-incomplete", "expired"),
)
_EXPORTS = [next(each for each in exportable() if each.case == case) for case in _KINDS]

# A password says nothing about a fixture: all of them with the first, and each in its turn.
_TURNS = [
    *((_EXPORTS[0], kind) for kind in PASSWORDS),
    *zip(_EXPORTS[1:], itertools.cycle(PASSWORDS), strict=False),
]
every_turn = pytest.mark.parametrize(("expected", "kind"), _TURNS, ids=str)


def test_both_generations_of_nss_read_our_files(require_peers: bool) -> None:
    names = [reader.name for reader in readers() if reader.name.startswith("pk12util")]
    need(None if len(names) == 2 else f"only {names} of two NSS are there", required=require_peers)
    assert len(set(names)) == 2


@pytest.mark.parametrize("expected", exportable(), ids=str)
def test_openssl_finds_the_key_and_chain_of_every_fixture(
    expected: Expected, require_peers: bool
) -> None:
    reader = OpenSsl()
    need(reader.missing(), required=require_peers)
    password = PASSWORDS["umlaut"]
    _check(reader.open(exported(expected, password, "modern"), password), reader, expected)


@pytest.mark.parametrize("format_", _FORMATS)
@pytest.mark.parametrize("reader", _OTHERS, ids=lambda reader: reader.name)
@every_turn
def test_a_reader_finds_the_key_and_the_chain(
    reader: Reader, expected: Expected, kind: str, format_: str, require_peers: bool
) -> None:
    need(reader.missing(), required=require_peers)
    password = PASSWORDS[kind]
    pfx = exported(expected, password, format_)
    if _can(reader, kind, format_):
        _check(reader.open(pfx, password), reader, expected)
    else:
        # What a peer can't do stays true: if it learns to, this fails and the README changes.
        with pytest.raises(PeerError):
            reader.open(pfx, password)


@pytest.mark.parametrize("format_", _FORMATS)
@pytest.mark.parametrize("reader", readers(), ids=lambda reader: reader.name)
def test_a_reader_opens_a_file_of_600000_rounds(
    reader: Reader, format_: str, require_peers: bool
) -> None:
    need(reader.missing(), required=require_peers)
    expected = _EXPORTS[0]
    password = PASSWORDS["ASCII"]
    pfx = exported(expected, password, format_, None)
    if isinstance(reader, OpenSsl):
        # Those of the certificates, the key and the MAC, as the file itself describes them.
        assert reader.rounds(pfx, password) == [600_000] * 3
    _check(reader.open(pfx, password), reader, expected)


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory, require_peers: bool) -> Iterator[Firefox]:
    need(FirefoxReader().missing(), required=require_peers)
    with Firefox(tmp_path_factory.mktemp("firefox") / "profile") as running:
        yield running


@every_turn
def test_firefox_imports_it_and_has_the_same_key(
    firefox: Firefox, expected: Expected, kind: str, tmp_path: Path
) -> None:
    password = PASSWORDS[kind]
    for format_ in _FORMATS:
        firefox.import_pfx(exported(expected, password, format_), password)
        (own,) = firefox.certificates()
        assert own.sha256 == expected.fingerprint
        copy = tmp_path / "copy.p12"
        firefox.export_pfx(copy, "given back")
        firefox.delete_certificate(own.sha256)
        opened = OpenSsl().open(copy, "given back")
        assert opened.key_pkcs8 == expected.key
        assert fingerprint(opened.certificates[0]) == expected.fingerprint


def _can(reader: Reader, kind: str, format_: str) -> bool:
    """Whether a reader takes a password of this kind in this format."""
    if kind == "ASCII":
        return True
    # PBE-SHA1 hashes Java's characters only from ASCII passwords (measured on 17 and 25).
    if reader.name == "Java" and format_ == "compatible":
        return False
    return not {"non-ascii password", "non-bmp password"} & reader.cannot.keys()


def _check(opened: Opened, reader: Reader, expected: Expected) -> None:
    found = [fingerprint(der) for der in opened.certificates]
    assert found[0] == expected.fingerprint
    assert sorted(found) == sorted(expected.certificates)
    if "key" not in reader.cannot:
        assert opened.key_pkcs8 == expected.key
    if not {"names", "case of names", "non-latin-1 names"} & reader.cannot.keys():
        assert expected.nickname in opened.names
