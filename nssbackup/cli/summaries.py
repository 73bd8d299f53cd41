"""Summaries: what an export did and what a backup holds, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nssbackup.cli.output import Output
from nssbackup.identity.model import Identity
from nssbackup.report import ExportReport, VerifiedFile

if TYPE_CHECKING:
    from nssbackup.restore.restore import RestoreReport

_IMPORT = (
    "To import it again, give the backup password when asked:",
    "  Firefox  Settings > Privacy & Security > Certificates > View Certificates, Import",
    "  Windows  double-click the file and follow the Certificate Import Wizard",
)


def show_export(report: ExportReport, output: Output) -> None:
    """The paths on stdout; on stderr what they are, and what to do with them."""
    for identity in report.identities or (report.identity,):
        certificate = identity.certificate
        output.say(
            f"Backed up {certificate.display_name} ({certificate.issuer_name}, valid until"
            f" {certificate.not_after:%Y-%m-%d}) with its private key and"
            f" {_issuers(identity)}; verified."
        )
    for file in report.files:
        for path in (file.path, *file.copies):
            output.data(str(path))
    if report.eml is not None:
        output.data(str(report.eml))
        output.say(
            f"{report.eml.name} is a message with the backup attached: open it in a mail program"
            " to send it. The password is not in it; do not send it along."
        )
    if report.password is not None:
        output.say(
            "The password is shown only this once: write it down and keep it apart from the file."
        )
    if not any(file.copies for file in report.files):
        output.say("Keep a copy elsewhere, such as on a USB drive (`--copy-to FOLDER`).")
    for line in _IMPORT:
        output.say(line)
    output.say(f"  macOS    {_on_macos(report)}")


def show_restore(report: RestoreReport, output: Output) -> None:
    """The profile on stdout; on stderr what was done to it."""
    profile = report.identity.profile
    if profile is None:  # a restore always has one
        return
    output.data(str(profile.path))
    for identity in report.identities:
        certificate = identity.certificate
        if not report.changed:
            output.say(
                f"Profile `{profile.name}` has {certificate.display_name} already: nothing was"
                " changed."
            )
            continue
        output.say(
            f"Restored {certificate.display_name} ({certificate.issuer_name}, valid until"
            f" {certificate.not_after:%Y-%m-%d}) to profile `{profile.name}` as"
            f" `{certificate.nickname}`; verified."
        )
    if report.aside is not None:
        output.say(f"The databases as they were are in {report.aside}")


def show_certificate(report: ExportReport, output: Output) -> None:
    """The paths of a certificate that was written without its key."""
    certificate = report.identity.certificate
    who = certificate.display_name
    output.say(
        f"Wrote the certificate of {who} ({certificate.issuer_name}, valid until"
        f" {certificate.not_after:%Y-%m-%d}) and {_issuers(report.identity)}; verified."
    )
    for file in report.files:
        for path in (file.path, *file.copies):
            output.data(str(path))
    output.say("The private key is not in it: this is no backup, and needs no password.")


def show_verified(file: VerifiedFile, output: Output) -> None:
    """One line of verdict and the facts below it, on stdout; warnings on stderr."""
    if file.error is not None:
        output.data(f"{file.path}: not usable: {file.error.message}")
        if file.error.hint:
            output.say(f"hint: {file.error.hint}")
    else:
        output.data(f"{file.path}: ok")
    for identity in file.identities:
        certificate = identity.certificate
        output.data(f"  certificate   {certificate.subject}")
        output.data(f"  issuer        {certificate.issuer}")
        output.data(
            f"  valid         {certificate.not_before:%Y-%m-%d} to"
            f" {certificate.not_after:%Y-%m-%d} ({certificate.status()})"
        )
        output.data(f"  fingerprint   {certificate.sha256}")
        output.data(f"  key           {certificate.key.type} {certificate.key.bits}")
        for issuer in identity.chain:
            output.data(f"  chain         {issuer.subject}")
    for label, name, rounds in (
        ("encryption", file.encryption, file.kdf_rounds),
        ("certificates", file.certificate_encryption, file.certificate_rounds),
        ("MAC", file.mac, file.mac_rounds),
    ):
        if name is not None:
            output.data(f"  {label:<13} {name}{f', {rounds:,} rounds' if rounds else ''}")
    for warning in file.warnings:
        output.warn(f"{file.path.name}: {warning}")


def _on_macos(report: ExportReport) -> str:
    """How macOS imports the backup: its Keychain knows one of the formats only."""
    fitting = [file.path.name for file in report.files if file.format == "compatible"]
    if not fitting:
        return "needs another file, made with `--for macos`"
    which = fitting[0] if len(report.files) > 1 else "the file"
    return f"double-click {which} to open it in Keychain Access"


def _issuers(identity: Identity) -> str:
    count = len(identity.chain)
    return f"{count} CA certificate{'' if count == 1 else 's'}"
