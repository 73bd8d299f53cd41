from __future__ import annotations

from pathlib import Path

import pytest

from nssbackup.profiles.settings import MODULES_LIMIT, Module, third_party_modules

# As certutil 3.110 writes it.
INTERNAL = """library=
name=NSS Internal PKCS #11 Module
parameters=configdir='sql:p' certPrefix='' keyPrefix='' secmod='secmod.db' flags= updatedir='' \
updateCertPrefix='' updateKeyPrefix='' updateid='' updateTokenDescription=''\x20
NSS=Flags=internal,critical trustOrder=75 cipherOrder=100 slotParams=(1={slotFlags=[ECC,RSA,DSA] \
askpw=any timeout=30})

"""
OPENSC = "library=/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so\nname=OpenSC smartcard framework\n\n"
OPENSC_MODULE = Module("OpenSC smartcard framework", "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so")


def modules_of(folder: Path, text: str | bytes) -> tuple[Module, ...]:
    data = text.encode() if isinstance(text, str) else text
    (folder / "pkcs11.txt").write_bytes(data)
    return third_party_modules(folder)


def test_nss_itself_is_no_third_party(tmp_path: Path) -> None:
    assert modules_of(tmp_path, INTERNAL) == ()
    # In FIPS mode, for one, it may be another library.
    assert modules_of(tmp_path, INTERNAL.replace("library=", "library=/usr/lib/fips.so")) == ()


@pytest.mark.parametrize("text", [INTERNAL + OPENSC, OPENSC + INTERNAL, OPENSC, OPENSC.strip()])
def test_a_smart_cards_module_is_found(tmp_path: Path, text: str) -> None:
    assert modules_of(tmp_path, text) == (OPENSC_MODULE,)


def test_line_ends_of_windows_and_letter_case_of_keys_make_no_difference(tmp_path: Path) -> None:
    text = (INTERNAL + OPENSC).replace("library=", "Library=").replace("NSS=", "nss=")
    assert modules_of(tmp_path, text.replace("\n", "\r\n")) == (OPENSC_MODULE,)


def test_comments_and_quotes_are_understood(tmp_path: Path) -> None:
    text = (
        "# library=/no.so\n"
        'library="C:\\\\Program Files\\\\Card\\\\card.dll"\n'
        "# name=no\n"
        r'name="My \"Card\""' + "\n"
    )
    (found,) = modules_of(tmp_path, text)
    assert found == Module('My "Card"', r"C:\Program Files\Card\card.dll")


@pytest.mark.parametrize(
    "library",
    [
        "/usr/lib/firefox/libnssckbi.so",
        r"C:\Program Files\Mozilla Firefox\nssckbi.dll",
        "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-trust.so",
        "/Applications/Firefox.app/Contents/MacOS/libosclientcerts.dylib",
        r"C:\Program Files\Mozilla Firefox\OSCLIENTCERTS.DLL",
        "/usr/lib/firefox/libipcclientcerts.so",
        "/usr/lib/libsoftokn3.so",
        "",
    ],
)
def test_what_reaches_no_card_is_left_out(tmp_path: Path, library: str) -> None:
    assert modules_of(tmp_path, f"library={library}\nname=x\n\n{OPENSC}") == (OPENSC_MODULE,)


def test_a_folder_that_is_called_like_nss_hides_no_module(tmp_path: Path) -> None:
    text = "library=/opt/nssckbi/card.so\nname=Card\n"
    assert modules_of(tmp_path, text) == (Module("Card", "/opt/nssckbi/card.so"),)


@pytest.mark.parametrize(
    "garbage", [b"", b"\0" * 999, b"=\n=\n\n=", b"library", b"name=x\n", b"\xff\xfe\n" * 99, b"#"]
)
def test_garbage_is_no_module(tmp_path: Path, garbage: bytes) -> None:
    assert modules_of(tmp_path, garbage) == ()


def test_a_name_may_be_missing_or_in_no_encoding(tmp_path: Path) -> None:
    assert modules_of(tmp_path, b"library=/a.so\n\nlibrary=/b\xff.so\nname=\xe4") == (
        Module("", "/a.so"),
        Module("\ufffd", "/b\ufffd.so"),
    )


def test_no_file_and_one_that_is_too_large_have_no_modules(tmp_path: Path) -> None:
    assert third_party_modules(tmp_path) == ()
    assert modules_of(tmp_path, OPENSC + "#" * MODULES_LIMIT) == ()
