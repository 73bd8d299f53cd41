"""Certificates: what a diagnosis says about certificates and keys, together or apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from nssbackup.diagnosis.findings import Case, Examined, Finding
from nssbackup.diagnosis.selection import EXPIRY_NOTICE, authenticity_warnings
from nssbackup.diagnosis.settings import clicks, is_managed
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.choosing import are_renewals, assemble, matching
from nssbackup.identity.model import Identity, OrphanKey, Profile
from nssbackup.profiles.settings import last_refresh, third_party_modules
from nssbackup.stores.inventory import Inventory, SplitIdentity

_REQUEST_ANEW = (
    " WIPO's certificates are not renewed but requested anew, from the holder's WIPO account; WIPO"
    " sends an e-mail two weeks before the end."
)
_KEEP_THE_FOLDER = (
    f"Firefox itself may be able to back it up: {clicks('Backup')}. If not, keep a copy of the"
    " whole profile folder, made while the program is closed."
)
_FIND_THE_CERTIFICATE = (
    "If you have the certificate as a file, give it with `nssbackup export --certificate FILE`. If"
    " it was requested in the last week, pick it up with this profile: WIPO keeps it for one week."
)
_OLD_PROFILE = (
    " the old profile, in a folder on the desktop or in the home folder that is called *Old Firefox"
    " Data* in your language."
)
_UNSEARCHED = " To have it searched, leave `--profile` out."
_NOT_FOUND = " It was not found there; if you have moved it, give both folders with `--profile`."


class CertificateFindings:
    """The findings about certificates and keys; what one profile lacks another may have.

    Args:
        case: what the diagnosis is about.
        examined: its profiles, in the order of their rank.
        inventory: of all of them; None if none could be read.
    """

    def __init__(
        self, case: Case, examined: Sequence[Examined], inventory: Inventory | None
    ) -> None:
        self._left_behind = {one.profile.path for one in examined if one.left_behind}
        self._searched = _UNSEARCHED if case.left_behind is None else _NOT_FOUND
        self._inventory = inventory or Inventory((), (), ())
        identities = [i for one in examined for i in assemble(one.profile, one.certificates)]
        named = matching(identities, case.certificate) if case.certificate else ()
        # A profile may hold hundreds of other people's certificates; these are no finding.
        self._wanted = {i.certificate.sha256 for i in identities if i.wipo}
        self._wanted |= {i.certificate.sha256 for i in named}
        self._with_key = {
            i.certificate.sha256: i for i in reversed(identities) if i.certificate.has_private_key
        }
        self._by_certificate = {i.certificate.sha256: i for i in reversed(identities)}
        self._judged: set[str] = set()

    def of_profile(self, one: Examined) -> Iterator[Finding]:
        """Yield what there is to say about a profile; call it in the order of the profiles."""
        for identity in assemble(one.profile, one.certificates):
            certificate = identity.certificate
            if certificate.has_private_key:
                yield Finding.of(
                    "certificate-with-key",
                    f"The certificate of {_described(certificate)} is here with its private key.",
                )
                yield from self._judged_once(identity)
            elif certificate.sha256 in self._wanted:
                yield self._without_key(identity)
        for split in self._splits_in(one.profile):
            yield self._certificate_elsewhere(split)
            yield from self._judged_once(self._by_certificate[split.identity.certificate.sha256])
        yield from self._orphans_in(one.profile)
        for certificate, error in one.obstacles:
            about = f"the private key of `{certificate.display_name}` can't be backed up: "
            finding = Finding.of_error(error, about)
            yield replace(finding, hint=finding.hint or _KEEP_THE_FOLDER)
        for note in one.notes:
            yield Finding.of("certificate-unreadable", f"A certificate can't be read: {note}.")
        if one.primary_password and not is_managed(one):
            yield Finding.of(
                "primary-password",
                "A Primary Password is set. It will be asked for when you back up.",
                "If you have forgotten it, don't let Firefox reset it: that deletes every"
                " certificate and every private key.",
            )

    def _judged_once(self, identity: Identity) -> Iterator[Finding]:
        # Copies of a certificate have the same findings, and of renewals the newest counts.
        sha256 = identity.certificate.sha256
        if sha256 not in self._judged and not self._is_renewed(identity):
            self._judged.add(sha256)
            yield from _judgement(identity)

    def _is_renewed(self, identity: Identity) -> bool:
        return any(
            other.certificate.not_after > identity.certificate.not_after
            and other.certificate.status() == "valid"
            and are_renewals(other, identity)
            for other in self._with_key.values()
        )

    def _splits_in(self, profile: Profile) -> Iterator[SplitIdentity]:
        """Yield the identities whose key is in this profile and whose certificate is not."""
        for split in self._inventory.split:
            if split.identity.profile == profile and split.certificate_in is not None:
                yield split

    def _without_key(self, identity: Identity) -> Finding:
        certificate = identity.certificate
        missing = f"The certificate of {_described(certificate)} is here without its private key."
        if pair := self._with_key.get(certificate.sha256):
            return Finding.of(
                "key-elsewhere",
                f"{missing} Profile {_path(pair.profile)} has it with its private key.",
                "Back it up from there: name that profile with `--profile` if `nssbackup export`"
                " doesn't find it by itself.",
            )
        for split in self._inventory.split:
            key_in = split.identity.profile
            if split.identity.certificate.sha256 == certificate.sha256 and key_in is not None:
                where = f" The key is in profile {_path(key_in)}."
                named = "Name both profiles with `--profile`, and `nssbackup export` joins the two."
                joined = "`nssbackup export` joins the two."
                old = key_in.path in self._left_behind
                return Finding.of("key-elsewhere", missing + where, named if old else joined)
        card = ""
        if identity.profile is not None and third_party_modules(identity.profile.path):
            card = " If you log in with a smart card or a token, the key is on that."
        return Finding.of(
            "certificate-without-key",
            f"{missing} A certificate can't be backed up without it.",
            "The key is created where a certificate is requested: that may have been in another"
            " browser, another profile or another computer. Run nssbackup there, or point"
            f" `--profile` at a copy of that profile.{card}",
        )

    def _certificate_elsewhere(self, split: SplitIdentity) -> Finding:
        certificate, source = split.identity.certificate, split.certificate_in
        message = (
            f"The private key of {_described(certificate)} is here, and its certificate is in"
            f" profile {_path(source)}."
        )
        is_copy = split.identity not in self._inventory.identities
        hint = (
            "`nssbackup export` takes both from there."
            if is_copy
            else "`nssbackup export` joins the two."
        )
        if source is not None and source.path in self._left_behind:
            message += " *Refresh Firefox* puts old profiles there."
            hint += " Don't delete that folder before you have a backup."
        return Finding.of("certificate-elsewhere", message, hint)

    def _orphans_in(self, profile: Profile) -> Iterator[Finding]:
        """Yield what to say about keys whose certificate is in none of the profiles."""
        for place, orphans in self._inventory.orphans:
            if place == profile:
                refreshed = last_refresh(profile.path) is not None
                old = "Look in" if refreshed else "If Firefox was refreshed, it is in"
                hints = [f"{old}{_OLD_PROFILE}{self._searched}", _FIND_THE_CERTIFICATE]
                finding = Finding.of(
                    "key-without-certificate",
                    f"{_keys(orphans)} here without a certificate; a backup needs both.",
                    " ".join(hints if refreshed else reversed(hints)),
                )
                # Beside a complete identity it may be left from an unfinished request.
                yield replace(finding, severity="warning") if self._with_key else finding


def _judgement(identity: Identity) -> Iterator[Finding]:
    """Yield when the certificate ends, and what its chain lacks."""
    for warning in authenticity_warnings(identity):
        yield Finding.of("certificate-doubtful", f"`{identity.display_name}`: {warning}.")
    now = datetime.now(UTC)
    certificate = identity.certificate
    who, until = certificate.display_name, f"{certificate.not_after:%Y-%m-%d}"
    anew = _REQUEST_ANEW if identity.wipo else ""
    status = certificate.status(now)
    if status == "expired":
        yield Finding.of(
            "certificate-expired",
            f"The certificate of `{who}` expired on {until}. It still opens old mail and files, but"
            " no longer logs in.",
            f"Back it up if you may still need those. Request a new one.{anew}",
        )
    elif status == "not-yet-valid":
        yield Finding.of(
            "certificate-not-yet-valid",
            f"The certificate of `{who}` is not valid before {certificate.not_before:%Y-%m-%d}.",
            f"If that day is in the past, correct the clock of this computer ({now:%Y-%m-%d}).",
        )
    elif certificate.not_after - now < EXPIRY_NOTICE:
        yield Finding.of(
            "certificate-expiring",
            f"The certificate of `{who}` expires on {until}.",
            f"Request a new one in time, and back that up too.{anew}",
        )
    if not identity.chain_complete:
        last = identity.chain[-1] if identity.chain else certificate
        yield Finding.of(
            "chain-incomplete",
            f"The certificate of the authority {last.issuer_name}, the next one above that of"
            f" `{who}`, is not here, so the backup will not include it.",
            "Most programs know the authority. If one doesn't, get that certificate from the"
            " authority's web site.",
        )


def _described(certificate: StoredCertificate) -> str:
    return (
        f"`{certificate.display_name}` (issued by {certificate.issuer_name}, valid until"
        f" {certificate.not_after:%Y-%m-%d})"
    )


def _path(profile: Profile | None) -> str:
    return f"`{profile.path}`" if profile else ""


def _keys(orphans: Iterable[OrphanKey]) -> str:
    kinds = [f"{one.type} {one.bits or ''}".strip() for one in orphans]
    if len(kinds) == 1:
        return f"A private key ({kinds[0]}) is"
    return f"{len(kinds)} private keys ({', '.join(kinds)}) are"
