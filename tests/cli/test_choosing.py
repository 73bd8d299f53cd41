"""CERT and what is chosen without it: names, fingerprints, renewals, expired certificates."""

from __future__ import annotations

import json
import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests import FIXTURES
from tests.builders.store import (
    StoreBuilder,
    ec_key,
    issue,
    issuer_id,
    key_usage,
    name,
    own_id,
    rsa_key,
)
from tests.cli.runner import FAST, Cli, Result, names
from tests.conftest import MakeProfile

WIPO = name("WIPO Test CA", "WIPO")


def facts_of(store: str) -> list[dict[str, Any]]:
    path = FIXTURES / "profiles.json"
    facts = json.loads(path.read_text(encoding="utf-8"))["profiles"][store]["identities"]
    assert isinstance(facts, list)
    return facts


def fingerprint(result: Result) -> str:
    assert result.status == 0, result.stderr
    return str(result.document["identity"]["sha256"])


@pytest.mark.parametrize(
    "cert",
    [
        *("Zoë Müller", "zoë MÜLLER", "Zoë", "zoe.mueller@example.com", "ZOE.MUELLER", "mueller@"),
        *("{serial}", "{SERIAL}", "{serial:}", "0x{serial}", "{sha256}", "{SHA256:}", "{sha1}"),
        *("{sha256[:8]}", "{sha1[:8]}", "{SHA256:[:11]}", " Zoë Müller "),
    ],
)
def test_cert_names_one_of_two_people(cli: Cli, profile: MakeProfile, cert: str) -> None:
    folder = profile("two-people")
    listed = cli.run("list", "--json", "--profile", folder).document["identities"]
    zoe = next(one for one in listed if one["common_name"] == "Zoë Müller")

    def pairs(digits: str) -> str:
        return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))

    values = {
        "{serial}": zoe["serial"],
        "{SERIAL}": zoe["serial"].upper(),
        "{serial:}": pairs(zoe["serial"]),
        "0x{serial}": f"0x{zoe['serial']}",
        "{sha256}": zoe["sha256"],
        "{SHA256:}": pairs(zoe["sha256"].upper()),
        "{sha1}": zoe["sha1"],
        "{sha256[:8]}": zoe["sha256"][:8],
        "{sha1[:8]}": zoe["sha1"][:8],
        "{SHA256:[:11]}": pairs(zoe["sha256"].upper())[:11],
    }
    words = values.get(cert, cert)
    assert fingerprint(cli.export(folder, words, "--json")) == zoe["sha256"]
    (found,) = cli.run("list", "--json", "--profile", folder, words).document["identities"]
    assert found["sha256"] == zoe["sha256"]


def test_seven_digits_of_a_fingerprint_name_nothing(cli: Cli, profile: MakeProfile) -> None:
    start = facts_of("two-people")[0]["fingerprint"][:7]
    assert cli.export(profile("two-people"), start).status == 20


def test_the_issuer_names_certificates_too(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("foreign-and-wipo")
    foreign, wipo = facts_of("foreign-and-wipo")
    assert fingerprint(cli.export(folder, "WIPO Customer CA G2", "--json")) == wipo["fingerprint"]
    issuer = foreign["issuer"].rpartition("CN=")[2]
    found = cli.export(folder, issuer, "--json", "-o", "b")
    assert fingerprint(found) == foreign["fingerprint"]


def test_without_cert_it_is_wipos(cli: Cli, profile: MakeProfile) -> None:
    wipo = facts_of("foreign-and-wipo")[1]
    found = fingerprint(cli.export(profile("foreign-and-wipo"), "--json"))
    assert found == wipo["fingerprint"]


def test_an_exact_match_wins_over_a_part_match(cli: Cli) -> None:
    builder = StoreBuilder(cli.folder / "store")
    for number, who in enumerate(("Jane", "Jane Doe")):
        key = rsa_key(number)
        builder.add_identity(key, issue(key, who, WIPO, rsa_key(9)), who.encode())
    folder = builder.write()
    result = cli.export(folder, "jane", "--json")
    assert result.document["identity"]["common_name"] == "Jane"
    assert cli.export(folder, "jan").status == 21


@pytest.mark.parametrize("store", ["renewed", "renewed-same-key"])
def test_of_renewals_the_valid_one_is_taken_and_that_is_said(
    cli: Cli, profile: MakeProfile, store: str
) -> None:
    folder = profile(store)
    valid = next(one for one in facts_of(store) if one["status"] == "valid")
    result = cli.export(folder, "-o", "a", "--json")
    assert fingerprint(result) == valid["fingerprint"]
    assert "renewals" in result.stderr
    assert "2056-05-01" in result.stderr
    named = cli.export(folder, "Jane Doe", "-o", "b", "--json")
    assert fingerprint(named) == valid["fingerprint"]


def test_an_expired_renewal_is_exported_when_named(cli: Cli, profile: MakeProfile) -> None:
    expired = next(one for one in facts_of("renewed") if one["status"] == "expired")
    result = cli.export(profile("renewed"), expired["fingerprint"], "--json")
    assert fingerprint(result) == expired["fingerprint"]
    assert "warning: the certificate expired on" in result.stderr
    end = datetime.fromisoformat(expired["not_after"])
    assert names(cli.here)[0].endswith(f"{end:%Y-%m-%d}.pfx")


def test_a_lone_expired_certificate_is_exported_with_a_warning(
    cli: Cli, profile: MakeProfile
) -> None:
    result = cli.export(profile("expired"), "Jane Doe", "--json")
    assert result.document["identity"]["status"] == "expired"
    assert "warning: the certificate expired on" in result.stderr


def test_of_two_valid_renewals_the_one_that_ends_last_is_taken(cli: Cli) -> None:
    builder = StoreBuilder(cli.folder / "store")
    for number, days in enumerate(((-9, 90), (-8, 400), (-20, 40))):
        key = rsa_key(number)
        builder.add_identity(key, issue(key, "Jane", WIPO, rsa_key(9), days=days), b"Jane")
    builder.add_identity(rsa_key(4), issue(rsa_key(4), "Jane", WIPO, rsa_key(9), days=(1, 500)))
    folder = builder.write()
    listed = cli.run("list", "--json", "--profile", folder).document["identities"]
    valid = [one for one in listed if one["status"] == "valid"]
    assert len(valid) == 3
    newest = max(valid, key=lambda one: str(one["not_after"]))
    assert fingerprint(cli.export(folder, "--json")) == newest["sha256"]


def test_one_that_is_not_valid_yet_gets_a_warning(cli: Cli) -> None:
    builder = StoreBuilder(cli.folder / "store")
    builder.add_identity(rsa_key(), issue(rsa_key(), "Jane", WIPO, rsa_key(9), days=(2, 500)))
    result = cli.export(builder.write(), "--json")
    assert result.document["identity"]["status"] == "not-yet-valid"
    assert "warning: the certificate is not valid before" in result.stderr


def test_the_same_certificate_in_several_profiles_is_one(cli: Cli, profile: MakeProfile) -> None:
    root = cli.home / ".mozilla" / "firefox"
    root.mkdir(parents=True)
    profile("nss387-password").rename(root / "old.copy")
    profile("nss387-password").rename(root / "new.default")
    (root / "profiles.ini").write_text(
        "[Install1]\nDefault=new.default\n"
        "[Profile0]\nName=a\nIsRelative=1\nPath=old.copy\n"
        "[Profile1]\nName=z\nIsRelative=1\nPath=new.default\n"
    )
    primary = cli.file("primary", "correct horse 7\n")
    words = ("--password-file", cli.password_file(), "--primary-password-file", primary)
    result = cli.run("export", *words, "--kdf-rounds", "2048", "--json")
    # The default profile's, whatever the order of the names.
    assert result.document["identity"]["profile"] == str(root / "new.default")
    only = cli.run("export", *words, "--kdf-rounds", "2048", "--json", "--profile", "a", "-o", "b")
    assert only.document["identity"]["profile"] == str(root / "old.copy")


def test_a_damaged_profile_beside_a_good_one_is_a_warning(cli: Cli, profile: MakeProfile) -> None:
    bad = profile("ec-p384")
    (bad / "cert9.db").write_bytes(b"no database" * 100)
    result = cli.export(profile("ec-p256"), "--profile", bad)
    assert result.status == 0
    assert "warning: profile `ec-p384` was skipped" in result.stderr


def test_no_private_key_names_where_it_may_be(cli: Cli, profile: MakeProfile) -> None:
    error = cli.export(profile("certificate-without-key"), "--json").error
    assert error["status"] == 22
    assert "--profile" in error["hint"]


def test_nothing_matches_lists_what_there_is(cli: Cli, profile: MakeProfile) -> None:
    result = cli.export(profile("foreign-only"))
    assert result.status == 20
    assert facts_of("foreign-only")[0]["fingerprint"][:8] in result.stderr
    assert "Jane Doe" in result.stderr


def test_a_cert_with_odd_letters_is_only_a_text(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("ec-p256")
    for cert in ("%", "*", ".*", "'; DROP", "\x1b[31mred", "\u202eevil", "{0}", "\\", "%s"):
        result = cli.export(folder, cert)
        assert result.status == 20
        assert "\x1b" not in result.stderr
        assert "\u202e" not in result.stderr


@pytest.fixture
def two_purposes(cli: Cli) -> Path:
    """One person's signature and encryption certificates, and a forged renewal of the first."""
    builder = StoreBuilder(cli.folder / "store")
    builder.add_certificate(issue(ec_key(9), WIPO, ca=True, extensions=[own_id(ec_key(9))]))
    for number, (usage, signer, days) in enumerate(
        (
            ("digital_signature", ec_key(9), (-30, 300)),
            ("key_encipherment", ec_key(9), (-30, 300)),
            ("digital_signature", ec_key(8), (-3, 900)),
        )
    ):
        key = ec_key(number)
        extensions = [key_usage(usage), issuer_id(ec_key(9))]
        der = issue(key, "Jane Doe", WIPO, signer, days=days, extensions=extensions)
        builder.add_identity(key, der)
    return builder.write()


def test_list_tells_usage_and_what_is_forged(cli: Cli, two_purposes: Path) -> None:
    result = cli.run("list", "--profile", two_purposes)
    assert "encryption" in result.stdout
    assert "signature" in result.stdout
    assert "damaged or forged" in result.stderr
    listed = cli.run("list", "--json", "--profile", two_purposes).document["identities"]
    assert sorted((*one["usage"], one["signature"]) for one in listed) == [
        ("digitalSignature", "forged"),
        ("digitalSignature", "verified"),
        ("keyEncipherment", "verified"),
    ]


def test_doctor_tells_what_is_forged(cli: Cli, two_purposes: Path) -> None:
    document = cli.run("doctor", "--json", "--profile", two_purposes).document
    (finding,) = (one for one in findings_of(document) if one["code"] == "certificate-doubtful")
    assert "damaged or forged" in finding["message"]
    assert (document["status"], document["choice_needed"]) == (21, True)


def findings_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    places = [document, *document.get("profiles", ())]
    return [finding for place in places for finding in place.get("findings", ())]


def test_two_purposes_are_listed_and_the_forged_one_is_not(cli: Cli, two_purposes: Path) -> None:
    result = cli.export(two_purposes, "--json")
    assert result.status == 21
    usages = [one["usage"] for one in result.document["error"]["candidates"]]
    assert sorted(usages) == [["digitalSignature"], ["keyEncipherment"]]
    text = cli.export(two_purposes)
    assert "encryption" in text.stderr
    assert names(cli.here) == []


def test_a_forged_certificate_is_refused_unless_named_in_full(cli: Cli, two_purposes: Path) -> None:
    listed = cli.run("list", "--json", "--profile", two_purposes).document["identities"]
    forged = next(one["sha256"] for one in listed if one["signature"] == "forged")
    result = cli.export(two_purposes, forged[:20], "--json")
    assert (result.status, result.error["code"]) == (11, "certificate-forged")
    result = cli.export(two_purposes, forged, "--json")
    assert fingerprint(result) == forged
    assert "warning: the certificate is damaged or forged" in result.stderr


def test_all_matches_writes_a_file_for_each_purpose(cli: Cli, two_purposes: Path) -> None:
    result = cli.export(two_purposes, "--all-matches", "--json")
    assert result.status == 0, result.stderr
    exports = result.document["exports"]
    usages = sorted(one["identity"]["usage"] for one in exports)
    assert usages == [["digitalSignature"], ["keyEncipherment"]]
    written = sorted(Path(one["output"]).name for one in exports)
    assert written == names(cli.here)
    # One person, one issuer and one end: the second name has a part of the fingerprint.
    assert len(set(written)) == 2
    assert "damaged or forged" in result.stderr
    for one in exports:
        words = ("verify", one["output"], "--password-file", cli.password_file(), "--json")
        (file,) = cli.run(*words).document["files"]
        assert file["identity"]["sha256"] == one["identity"]["sha256"]


def test_all_matches_goes_on_after_a_failure(cli: Cli, two_purposes: Path) -> None:
    first, second = ("one", "two")
    for folder in (first, second):
        (cli.here / folder).mkdir()
    assert cli.export(two_purposes, "--all-matches", "-o", first).status == 0
    taken = names(cli.here / first)[0]
    (cli.here / second / taken).write_text("here already")
    result = cli.export(two_purposes, "--all-matches", "-o", second, "--json")
    assert (result.status, result.error["code"]) == (30, "output-exists")
    assert len(result.document["exports"]) == 1
    assert names(cli.here / second) == names(cli.here / first)
    text = cli.export(two_purposes, "--all-matches", "-o", second)
    assert text.status == 30
    assert (cli.here / second / taken).read_text() == "here already"


def test_all_matches_without_one_is_an_error(cli: Cli, profile: MakeProfile) -> None:
    for store, status in (("expired", 20), ("foreign-only", 20), ("certificate-without-key", 22)):
        result = cli.export(profile(store), "--all-matches", "--json")
        assert (result.status, result.error["status"]) == (status, status)
    folder = profile("ec-p256")
    for more in (("--name", "x"), ("--certificate-only",), ("--eml", "x"), ("-o", "file.pfx")):
        assert cli.export(folder, "--all-matches", *more).status == 2
    assert names(cli.here) == []


def test_what_cannot_be_read_is_said_by_every_command(cli: Cli) -> None:
    home = cli.folder / "homes" / "jane"
    builder = StoreBuilder(home / ".mozilla/firefox/p")
    builder.add_identity(ec_key(1), issue(ec_key(1), "Jane", WIPO, ec_key(9)))
    builder.add_certificate(issue(ec_key(2), "Zoe", WIPO, ec_key(9)))["a11"] = b"no certificate"
    folder = builder.write()
    said = "is not X.509"
    assert said in cli.run("list", "--profile", folder).stderr
    assert said in cli.export(folder, "-o", "a").stderr
    (cli.here / "all").mkdir()
    assert said in cli.export(folder, "-o", "all", "--all-matches").stderr
    assert said in cli.run("doctor", "--profile", folder).stdout
    words = ("batch", cli.folder / "homes", "-o", "out", "--generate-passwords", "--json", *FAST)
    document = cli.run(*words).document
    assert said in str(document["homes"]) + str(document["items"])
    pem = ssl.DER_cert_to_PEM_cert(issue(ec_key(1), "Jane", WIPO, ec_key(9)))
    broken = pem.replace("-----BEGIN CERTIFICATE-----\nM", "-----BEGIN CERTIFICATE-----\nA")
    given = cli.file("given.pem", pem + broken)
    assert "were skipped" in cli.export(folder, "--certificate", given, "-o", "b").stderr
