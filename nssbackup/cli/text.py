"""Text: what was found or done, in sentences and sections for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nssbackup.diagnosis.settings import menus
from nssbackup.printable import as_typed

if TYPE_CHECKING:
    from nssbackup.cli.printer import Printer
    from nssbackup.diagnosis.findings import DoctorReport, Finding, ProfileFindings
    from nssbackup.identity.model import Identity
    from nssbackup.report import ExportReport, VerifiedFile
    from nssbackup.restore.restore import RestoreReport

_IMPORT = (
    "To import it, give the backup password when asked:",
    *(f"  {version}: {way}" for version, way in menus("Import")),
    "  Windows: double-click the file and follow the Certificate Import Wizard",
)
_SEVERITIES = {"problem": "Problem", "warning": "Warning", "note": "Note"}
_INDENT = "  "


# --- what was done


def show_export(report: ExportReport, printer: Printer) -> None:
    """Print the paths on stdout, and on stderr what the files are and what to do with them."""
    show_exports((report,), printer)


def show_exports(reports: Sequence[ExportReport], printer: Printer) -> None:
    """Print several exports; see `show_export`."""
    for report in reports:
        for identity in report.identities or (report.identity,):
            printer.say(
                f"Backed up {_described(identity)} with its private key and {_issuers(identity)};"
                " verified."
            )
        _print_paths(report, printer)
    report = reports[0]
    if report.eml is not None:
        printer.data(str(report.eml.absolute()))
        printer.say(
            f"{report.eml.name} is a mail draft with the backup attached: open it in a mail"
            " program to send it. The password is not in it; don't send it along."
        )
    if report.password is not None:
        printer.say(
            "The password is shown only this once: write it down and keep it apart from the file."
        )
    if not any(file.copies for file in report.files):
        printer.say("Keep a copy elsewhere, such as on a USB drive (`--copy-to FOLDER`).")
    for line in _IMPORT:
        printer.say(line)
    printer.say(f"  macOS: {_on_macos(report)}")


def show_certificate(report: ExportReport, printer: Printer) -> None:
    """Print the paths of a certificate that was written without its key."""
    printer.say(
        f"Wrote the certificate of {_described(report.identity)} and {_issuers(report.identity)};"
        " verified."
    )
    _print_paths(report, printer)
    printer.say("The private key is not in the file, so it is no backup and needs no password.")


def show_restore(report: RestoreReport, printer: Printer) -> None:
    """Print the profile on stdout, and on stderr what changed in it."""
    profile = report.identity.profile
    if profile is None:  # a restored identity always has one
        return
    printer.data(str(profile.path))
    for identity in report.identities:
        if report.changed:
            printer.say(
                f"Restored {_described(identity)} to profile `{profile.name}` as"
                f" `{identity.certificate.nickname}`; verified."
            )
        else:
            printer.say(
                f"Profile `{profile.name}` already has {identity.display_name}: nothing was"
                " changed."
            )
    if report.aside is not None:
        printer.say(f"The databases as they were before are in {report.aside}")


def show_verified(file: VerifiedFile, printer: Printer) -> None:
    """Print on stdout whether a file is usable and what is in it; warnings go to stderr."""
    if file.error is not None:
        printer.data(f"{file.path}: not usable: {file.error.message}")
        if file.error.hint:
            printer.say(f"hint: {file.error.hint}")
    else:
        printer.data(f"{file.path}: ok")
    for identity in file.identities:
        certificate = identity.certificate
        printer.data(f"  certificate   {certificate.subject}")
        printer.data(f"  issuer        {certificate.issuer}")
        printer.data(
            f"  valid         {certificate.not_before:%Y-%m-%d} to"
            f" {certificate.not_after:%Y-%m-%d} ({certificate.status()})"
        )
        printer.data(f"  fingerprint   {certificate.sha256}")
        printer.data(f"  key           {certificate.key.type} {certificate.key.bits}")
        for issuer in identity.chain:
            printer.data(f"  chain         {issuer.subject}")
    if file.firefox is not None:
        printer.data(f"  made by       {file.firefox.application}, {file.firefox.created}")
    for label, name, rounds in (
        ("encryption", file.encryption, file.kdf_rounds),
        ("certificates", file.certificate_encryption, file.certificate_rounds),
        ("MAC", file.mac, file.mac_rounds),
    ):
        if name is not None:
            printer.data(f"  {label:<13} {name}{f', {rounds:,} rounds' if rounds else ''}")
    for warning in file.warnings:
        printer.warn(f"{file.path.name}: {warning}")


def _described(identity: Identity) -> str:
    certificate = identity.certificate
    until = f"{certificate.not_after:%Y-%m-%d}"
    return f"{certificate.display_name} ({certificate.issuer_name}, valid until {until})"


def _issuers(identity: Identity) -> str:
    count = len(identity.chain)
    return f"{count} CA certificate{'' if count == 1 else 's'}"


def _print_paths(report: ExportReport, printer: Printer) -> None:
    for file in report.files:
        for path in (file.path, *file.copies):
            printer.data(str(path.absolute()))


def _on_macos(report: ExportReport) -> str:
    """Return how macOS imports the backup: its Keychain opens only one of the formats."""
    fitting = [file.path.name for file in report.files if file.format == "compatible"]
    if not fitting:
        return "needs another file, made with `--for macos`"
    return f"double-click {fitting[0]} to open it in Keychain Access"


# --- what the doctor found


def show_findings(report: DoctorReport, words: Sequence[str], printer: Printer) -> None:
    """Print a doctor's report on stdout; `quiet` leaves out notes, `verbose` adds versions.

    Args:
        report: what was found.
        words: the arguments that make `nssbackup export` do what was asked about.
        printer: prints it.
    """
    quiet = printer.quiet
    for one in report.profiles:
        findings = [each for each in one.findings if not quiet or each.severity != "note"]
        if findings or not quiet:
            printer.prose(_title(one))
            _show(printer, findings)
    general = [each for each in report.findings if not quiet or each.severity != "note"]
    if general:
        printer.prose("In general")
        _show(printer, general)
    if printer.verbose:
        for engine in report.engines:
            state = "works here" if engine.reason is None else f"not available: {engine.reason}"
            printer.prose(f"Engine `{engine.name}`: {state}.")
        versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
        printer.prose(f"Versions: {versions}.")
        printer.data("")
    printer.prose(_conclusion(report, words))


def _title(one: ProfileFindings) -> str:
    profile = one.profile
    marks = [
        mark
        for mark, holds in (
            ("default", profile.default),
            ("left behind by a refresh", one.left_behind),
        )
        if holds
    ]
    after = f" ({', '.join(marks)})" if marks else ""
    # `NSS` is what a folder that belongs to no known application gets.
    what = "Profile" if profile.application == "NSS" else f"{profile.application} profile"
    return f"{what} `{profile.name}`{after}: {profile.path}"


def _show(printer: Printer, findings: Iterable[Finding]) -> None:
    for one in findings:
        printer.prose(f"{_SEVERITIES[one.severity]}: {one.message}", _INDENT)
        if one.hint:
            printer.prose(f"What to do: {one.hint}", _INDENT * 2)
    printer.data("")


def _conclusion(report: DoctorReport, words: Sequence[str]) -> str:
    outcome = report.outcome
    command = as_typed(("nssbackup", "export", *words))
    if outcome.choices:
        return (
            f"A backup needs your choice: run `{command}` on a terminal, or name the certificate."
            f" Unattended, it ends with status {report.status}: {outcome.reason}."
        )
    if not outcome.possible:
        return f"No backup is possible yet: {outcome.reason}. {outcome.next_step}".rstrip()
    asked = "; you will be asked for the Primary Password" if outcome.password_needed else ""
    return f"A backup is possible now: run `{command}`{asked}."
