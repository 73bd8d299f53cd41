"""The system's own store: its certificates are named, WIPO's first, and nothing is exported."""

from __future__ import annotations

import ssl
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from nssbackup.diagnosis.system_store import system_store_findings
from nssbackup.identity.certificate import from_der
from tests.builders.store import issue, rsa_key


def test_windows_own_store_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    other = issue(rsa_key(0), "Somebody")
    found = [(other, "x509_asn", True), (b"pkcs7", "pkcs_7_asn", True), (b"x", "x509_asn", True)]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ssl, "enum_certificates", lambda _: found, raising=False)
    (finding,) = system_store_findings("win32")
    assert finding.code == "system-store"
    assert "`Somebody`" in finding.message
    assert "is in Windows' own store, and not in a profile" in finding.message
    assert "certmgr.msc" in str(finding.hint)
    assert len(str(finding.to_json()["fingerprint"])) == 64


def test_a_store_that_can_not_be_opened_names_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise PermissionError

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ssl, "enum_certificates", refuse, raising=False)
    assert list(system_store_findings("win32")) == []


def test_the_keychain_is_asked_by_its_own_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = issue(rsa_key(0), "Somebody"), issue(rsa_key(1), "Else")
    sha1 = from_der(own).sha1.upper()
    pem = "".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
        for der in (own, other)
    )

    def said(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        out = f'  1) {sha1} "Somebody"\n' if words[1] == "find-identity" else pem
        return subprocess.CompletedProcess(words, 0, out, "")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", said)
    (finding,) = system_store_findings("darwin")
    assert "`Somebody`" in finding.message
    assert "Keychain Access" in str(finding.hint)


def test_another_system_has_none() -> None:
    assert list(system_store_findings("linux")) == []
