"""The contents of a profile: its certificates and keys, and how they lie together or apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from nssbackup.diagnosis.elsewhere import managed
from nssbackup.diagnosis.examination import Case, Examined, Reunion
from nssbackup.diagnosis.findings import Finding
from nssbackup.diagnosis.warnings import EXPIRY_NOTICE
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.choosing import assemble, matching
from nssbackup.identity.model import Identity, OrphanKey, Profile
from nssbackup.profiles.settings import third_party_modules

_REQUESTED_AGAIN = (
    "WIPO's certificates are not renewed but requested anew, from the holder's WIPO account; WIPO"
    " writes an e-mail two weeks before the end."
)
_PICK_UP = (
    "If the certificate was requested not long ago, pick it up in this same profile: WIPO keeps it"
    " ready for one week. If you have it as a file, give that with `nssbackup export --certificate"
    " FILE`. If Firefox was refreshed, it is in the old profile, which the refresh put into a"
    " folder on the desktop or in the home folder that is called *Old Firefox Data* in your"
    " language."
)
_KEEP_THE_FOLDER = (
    "Firefox itself may be able to: Settings, Privacy & Security, View Certificates, Backup. If it"
    " can't, keep a copy of the whole folder of the profile, made while the program is closed."
)
_NOT_SEARCHED = " It is searched, too, when you leave `--profile` out."
_NOT_THERE = " It was not found there; if you have moved it, give both folders with `--profile`."


class Contents:
    """All profiles together: what one lacks another may have.

    Args:
        case: what is asked about.
        examined: its profiles, in the order of their rank.
        reunions: of the same.
    """

    def __init__(
        self, case: Case, examined: Sequence[Examined], reunions: Sequence[Reunion]
    ) -> None:
        self._reunions = reunions
        self._old_profiles = _NOT_SEARCHED if case.left_behind is None else _NOT_THERE
        identities = [i for one in examined for i in assemble(one.profile, one.certificates)]
        named = {
            i.certificate.sha256
            for i in (matching(identities, case.certificate) if case.certificate else ())
        }
        # Certificates of other people may be in a profile by the hundred; they are no finding.
        self._wanted = {i.certificate.sha256 for i in identities if i.wipo} | named
        self._with_key = {
            i.certificate.sha256: i for i in reversed(identities) if i.certificate.has_private_key
        }
        self._by_certificate = {i.certificate.sha256: i for i in reversed(identities)}
        self._judged: set[str] = set()

    def findings(self, one: Examined) -> Iterator[Finding]:
        """What there is to say of a profile; to be asked for the profiles in their order."""
        for identity in assemble(one.profile, one.certificates):
            certificate = identity.certificate
            if certificate.has_private_key:
                yield from self._of_pair(identity)
            elif certificate.sha256 in self._wanted:
                yield self._without_key(identity)
        for certificate, error in one.obstacles:
            about = f"the private key of `{_name(certificate)}` can't be backed up: "
            finding = Finding.of_error(error, about)
            yield replace(finding, hint=finding.hint or _KEEP_THE_FOLDER)
        yield from self._of_orphans(one)
        for note in one.notes:
            yield Finding.of("certificate-unreadable", f"A certificate can't be read: {note}.")
        if one.primary_password and not managed(one):
            yield Finding.of(
                "primary-password",
                "A Primary Password is set. It will be asked for when you back up.",
                "If you have forgotten it, don't let Firefox reset it: that deletes every"
                " certificate and every private key.",
            )

    def _of_pair(self, identity: Identity) -> Iterator[Finding]:
        yield Finding.of(
            "certificate-with-key",
            f"The certificate of {_described(identity)} is here with its private key.",
        )
        yield from self._judged_once(identity)

    def _judged_once(self, identity: Identity) -> Iterator[Finding]:
        # Copies of one certificate say the same, and of renewals the newest counts.
        certificate = identity.certificate
        if certificate.sha256 not in self._judged and not self._is_renewed(certificate):
            self._judged.add(certificate.sha256)
            yield from _judgement(identity)

    def _is_renewed(self, certificate: StoredCertificate) -> bool:
        return any(
            other.certificate.subject == certificate.subject
            and other.certificate.issuer == certificate.issuer
            and other.certificate.status() == "valid"
            and other.certificate.not_after > certificate.not_after
            for other in self._with_key.values()
        )

    def _without_key(self, identity: Identity) -> Finding:
        certificate = identity.certificate
        missing = f"The certificate of {_described(identity)} is here without its private key."
        if pair := self._with_key.get(certificate.sha256):
            where = _place(pair.profile)
            return Finding.of(
                "key-elsewhere",
                f"{missing} Profile {where} has it with its private key.",
                "Back it up from there: name that profile with `--profile` if `nssbackup export`"
                " doesn't find it by itself.",
            )
        for reunion in self._reunions:
            if reunion.certificate.sha256 == certificate.sha256:
                where = f" The key is in profile {_place(reunion.key_in.profile)}."
                old = reunion.key_in.left_behind
                return Finding.of("key-elsewhere", missing + where, _BOTH if old else _TOGETHER)
        card = ""
        if identity.profile is not None and third_party_modules(identity.profile.path):
            card = " If you log in with a smart card or a token, the key is on that."
        return Finding.of(
            "certificate-without-key",
            f"{missing} A certificate can't be backed up without it.",
            "The key is where the certificate was requested: in another browser, another profile or"
            " another computer. Run nssbackup there, or point `--profile` at a copy of that"
            f" profile.{card}",
        )

    def _of_orphans(self, one: Examined) -> Iterator[Finding]:
        alone: list[OrphanKey] = []
        for orphan in one.orphans:
            found = [r for r in self._reunions if r.key_in is one and r.key.id == orphan.id]
            for reunion in found:
                yield _reunited(reunion)
                yield from self._judged_once(self._by_certificate[reunion.certificate.sha256])
            if not found:
                alone.append(orphan)
        if alone:
            yield Finding.of(
                "key-without-certificate",
                f"{_keys(alone)} without a certificate, which a backup needs, too.",
                _PICK_UP + self._old_profiles,
            )


_FROM_THERE = "`nssbackup export` takes it from there by itself."
_TOGETHER = "`nssbackup export` brings the two together."
_BOTH = "Name both profiles with `--profile`, and `nssbackup export` brings the two together."


def _reunited(reunion: Reunion) -> Finding:
    where = _place(reunion.certificate_in.profile)
    message = f"The private key of {_described(Identity(None, reunion.certificate))} is here"
    if reunion.certificate_in.left_behind:
        message += (
            f", and the certificate is in the old profile {where}: that is what *Refresh Firefox*"
            " leaves."
        )
    else:
        message += f" without its certificate, which is in profile {where}."
    hint = _FROM_THERE if reunion.paired else _TOGETHER
    if reunion.certificate_in.left_behind:
        hint += " Don't delete that folder before."
    return Finding.of("certificate-elsewhere", message, hint)


def _judgement(identity: Identity) -> Iterator[Finding]:
    """What the holder should know of a certificate: its end, and what is missing above it."""
    now = datetime.now(UTC)
    certificate = identity.certificate
    who, until = _name(certificate), f"{certificate.not_after:%Y-%m-%d}"
    anew = f" {_REQUESTED_AGAIN}" if identity.wipo else ""
    status = certificate.status(now)
    if status == "expired":
        yield Finding.of(
            "certificate-expired",
            f"The certificate of `{who}` expired on {until}. It still opens old mail and files, but"
            " no longer logs in.",
            f"Back it up all the same if you may need those. Request a new one.{anew}",
        )
    elif status == "not-yet-valid":
        yield Finding.of(
            "certificate-not-yet-valid",
            f"The certificate of `{who}` is not valid before {certificate.not_before:%Y-%m-%d}.",
            "If that is in the past, the clock of this computer is wrong.",
        )
    elif certificate.not_after - now < EXPIRY_NOTICE:
        yield Finding.of(
            "certificate-expiring",
            f"The certificate of `{who}` expires on {until}.",
            f"Request a new one in time, and back up that one, too.{anew}",
        )
    if not identity.chain_complete:
        last = identity.chain[-1] if identity.chain else certificate
        yield Finding.of(
            "chain-incomplete",
            f"The certificate of the authority {last.issuer_name}, which stands above that of"
            f" `{who}`, is not here, so the backup will be without it.",
            "Most programs know the authority anyway. If one doesn't, get that certificate from the"
            " authority's web site.",
        )


def _described(identity: Identity) -> str:
    certificate = identity.certificate
    return (
        f"`{identity.display_name}` (issued by {certificate.issuer_name}, valid until"
        f" {certificate.not_after:%Y-%m-%d})"
    )


def _name(certificate: StoredCertificate) -> str:
    return certificate.display_name


def _place(profile: Profile | None) -> str:
    return f"`{profile.path}`" if profile else ""


def _keys(orphans: Iterable[OrphanKey]) -> str:
    kinds = [f"{one.type} {one.bits or ''}".strip() for one in orphans]
    if len(kinds) == 1:
        return f"A private key ({kinds[0]}) is here"
    return f"{len(kinds)} private keys ({', '.join(kinds)}) are here"
