"""Reports of a batch about made-up people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nssbackup.batch.report import BatchReport, in_order, item_of

Document = dict[str, object]

FINISHED = datetime(2026, 11, 23, 1, 20, tzinfo=UTC)
STATUSES = ("backed-up", "unchanged", "planned", "failed", "expired")

HOSTILE = (
    "<script>document.documentElement.dataset.hacked = 1</script>",
    '"><img src="http://127.0.0.1:9/" onerror="document.documentElement.dataset.hacked = 1">',
    "'><svg onload='document.documentElement.dataset.hacked = 1'>",
    "</script><script>document.documentElement.dataset.hacked = 1</script>",
    "</style><script>document.documentElement.dataset.hacked = 1</script>",
    "</textarea></title><!-- <b>",
    "javascript:document.documentElement.dataset.hacked=1",
    "{{ 7 * 191 }}{% raw %}",
    "&lt;script&gt; &amp; &quot;",
    "`<b>bold</b>` and `",
    "=cmd|' /C calc'!A0",
    "gnp.\u202eexe\u2066",
    "nul\x00 escape\x1b[31m line\nend\r tab\t",
    "lone \udc80 \ud83d surrogates",
    "line\u2028paragraph\u2029\ufeff\u00ad",
    "Z\u0337\u0322\u0313a\u0336lgo שלום مرحبا 日本語 🎩",
    "W" * 50_000,
)
"""Texts that do something where they are not taken for text."""


def identity(place: int = 0, **changes: object) -> Document:
    """A certificate; each place has another one."""
    sha256 = hashlib.sha256(str(place).encode()).hexdigest()
    ends = FINISHED + timedelta(days=100 + place)
    return {
        "profile": f"/home/user{place}/.mozilla/firefox/x.default",
        "nickname": f"Person {place}",
        "subject": f"E=person{place}@example.com,CN=Person {place}",
        "common_name": f"Person {place}",
        "email": f"person{place}@example.com",
        "issuer": "C=CH,O=World Intellectual Property Organization,CN=WIPO Customer CA G2",
        "serial": sha256[:16],
        "sha1": sha256[:40],
        "sha256": sha256,
        "not_before": "2024-05-01T00:00:00Z",
        "not_after": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        "status": "valid",
        "wipo": True,
        "key": {"present": True, "type": "RSA", "bits": 2048},
        "chain": [],
        "chain_complete": True,
        "trust": {},
        **changes,
    }


def item(place: int = 0, **changes: object) -> Document:
    """An item that was backed up."""
    return {
        "status": "backed-up",
        "host": "ws-1",
        "user": f"user{place}",
        "home": f"/home/user{place}",
        "application": "Firefox",
        "profile": f"/home/user{place}/.mozilla/firefox/x.default",
        "profile_name": "default",
        "identity": identity(place),
        "file": f"user{place}/Person {place}.pfx",
        "sha256": hashlib.sha256(f"file {place}".encode()).hexdigest(),
        "bytes": 5_000 + place,
        "expiring": False,
        "warnings": [],
        "error": None,
        **changes,
    }


def failed(place: int = 0, **changes: object) -> Document:
    """An item that failed before its certificate was known."""
    error = {
        "status": 12,
        "code": "wrong-primary-password",
        "message": f"the primary password for profile `user{place}` is wrong",
        "hint": "pass the right one with `--primary-passwords CSV`",
        **changes,
    }
    nothing = dict.fromkeys(("identity", "file", "sha256", "bytes"))
    return item(place, status="failed", error=error, **nothing)


def expiring(place: int, days: int, **changes: object) -> Document:
    """An item whose certificate has to be renewed."""
    ends = FINISHED + timedelta(days=days)
    known = identity(place, not_after=f"{ends:%Y-%m-%dT%H:%M:%SZ}")
    return item(place, expiring=True, identity=known, **changes)


def hostile(text: str) -> list[Document]:
    """Items in which every text is this one, one with each status."""
    texts = ("nickname", "subject", "common_name", "email", "issuer", "serial", "sha1", "sha256")
    own = ("host", "user", "home", "application", "profile", "profile_name", "file", "sha256")
    error = {"status": 11, "code": text, "message": text, "hint": text}
    return [
        {
            **item(),
            **dict.fromkeys(own, text),
            "status": status,
            "identity": {**identity(), **dict.fromkeys(texts, text)},
            "expiring": status == "unchanged",
            "warnings": [text, text],
            "error": error if status == "failed" else None,
        }
        for status in STATUSES
    ]


def report(items: Sequence[Document], folder: Path, **changes: object) -> BatchReport:
    """The report of a batch with these items."""
    made = BatchReport(
        started=FINISHED - timedelta(minutes=20),
        finished=FINISHED,
        host="ws-1",
        folder=folder,
        roots=("/home",),
        expiring_days=30,
        items=in_order(map(item_of, items)),
    )
    return replace(made, **changes)  # type: ignore[arg-type] # any of them
