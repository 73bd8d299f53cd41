"""`nssbackup export`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import nssbackup
from nssbackup.cli import passwords
from nssbackup.cli.options import (
    Apps,
    Cert,
    CopyTo,
    Engine,
    For,
    Force,
    FormatOption,
    GeneratePassword,
    Json,
    NoChain,
    PasswordFile,
    PrimaryPasswordFile,
    Profiles,
    Quiet,
    RecoveryPasswordFile,
    Rounds,
    Verbose,
    chosen_formats,
    encodable,
    search,
)
from nssbackup.cli.passwords import NewBackup
from nssbackup.cli.printer import Printer
from nssbackup.cli.questions import select_on
from nssbackup.cli.text import show_certificate, show_export, show_exports
from nssbackup.errors import UsageError

if TYPE_CHECKING:
    from nssbackup.backups.mail import MailOptions
    from nssbackup.report import ExportsReport
    from nssbackup.secret import Secret

_Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|FOLDER",
        show_default="the current folder",
        help="Where to write; .pfx is added to the name (.pem with --certificate-only).",
    ),
]
_CertificateFile = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        show_default=False,
        help="The certificate itself, as PEM or DER, instead of CERT: its private key is looked"
        " for in the profiles. The file may contain its issuers too.",
    ),
]
_Eml = Annotated[
    str | None,
    typer.Option(
        "--eml",
        metavar="FILE",
        show_default=False,
        help="Also write a mail draft with the backup attached, for a mail program to open and"
        " send. The password is not in it.",
    ),
]
_MailTo = Annotated[
    list[str] | None,
    typer.Option(
        "--mail-to",
        metavar="ADDRESS",
        show_default=False,
        help="Recipient of the --eml draft. Repeatable.",
    ),
]
_FriendlyName = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="TEXT",
        show_default="the nickname",
        callback=encodable,
        help="What programs will call the certificate (friendlyName).",
    ),
]
_AllMatches = Annotated[
    bool,
    typer.Option(
        "--all-matches",
        help="Write a file for each certificate that matches and is neither expired nor renewed.",
    ),
]
_CertificateOnly = Annotated[
    bool,
    typer.Option(
        "--certificate-only",
        help="Write the certificate and its chain as PEM: no private key, no password.",
    ),
]


# Options that make no sense together, by the names of the parameters.
_EXCLUDED = {
    "certificate": ("cert",),
    "all_matches": ("certificate", "certificate_only", "eml", "mail_to", "name"),
    "certificate_only": (
        *("for_", "format_", "kdf_rounds", "eml", "mail_to", "name"),
        *("password_file", "generate_password", "primary_password_file"),
    ),
}


def export(
    context: typer.Context,
    cert: Cert = None,
    output: _Output = "",
    profile: Profiles = None,
    app: Apps = None,
    certificate: _CertificateFile = None,
    for_: For = None,
    format_: FormatOption = None,
    kdf_rounds: Rounds = None,
    copy_to: CopyTo = None,
    eml: _Eml = None,
    mail_to: _MailTo = None,
    name: _FriendlyName = None,
    no_chain: NoChain = False,
    certificate_only: _CertificateOnly = False,
    all_matches: _AllMatches = False,
    force: Force = False,
    password_file: PasswordFile = None,
    generate_password: GeneratePassword = False,
    primary_password_file: PrimaryPasswordFile = None,
    recovery_password_file: RecoveryPasswordFile = None,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Back up a certificate with its private key and chain to a verified .pfx file.

    The profile is only read, and Firefox may be running. You are asked twice for a password for
    the backup.
    """
    printer = Printer(json=json, quiet=quiet, verbose=verbose)
    passwords.check_one_source(
        password_file=password_file,
        generate=generate_password,
        primary=primary_password_file,
        recovery=recovery_password_file,
    )
    _check_together(context.params)
    destination, formats = chosen_formats(for_, format_)
    new = NewBackup(printer, formats, destination, kdf_rounds, password_file, generate_password)
    new.mailed = eml is not None
    if not certificate_only:
        new.start_derivations()
    found = search(profile, app, printer, passwords.recovery_password(recovery_password_file))
    options = nssbackup.ExportOptions(
        certificate=cert,
        given=nssbackup.read_certificates(certificate, printer.warn)
        if certificate is not None
        else (),
        output=output,
        formats=formats,
        copies=tuple(copy_to or ()),
        friendly_name=name,
        chain=not no_chain,
        replace=force,
        mail=_mail_options(eml, mail_to, force=force),
        engine=engine,
    )
    dialogue = nssbackup.Dialogue(
        primary_password=passwords.primary_password(primary_password_file),
        pfx_writers=new.writers,
        select=select_on(printer),
        warn=printer.warn,
        detail=printer.detail,
    )
    if all_matches:
        reports = nssbackup.export_all(found.profiles, options, dialogue, found.left_behind)
        _show_all(reports, new.generated, printer)
        return
    run = nssbackup.export_certificate if certificate_only else nssbackup.export_identity
    report = replace(
        run(found.profiles, options, dialogue, found.left_behind), password=new.generated
    )
    if json:
        printer.document(report.to_json())
    elif certificate_only:
        show_certificate(report, printer)
    else:
        show_export(report, printer)


def _show_all(report: ExportsReport, generated: Secret | None, printer: Printer) -> None:
    exports = tuple(replace(each, password=generated) for each in report.exports)
    report = replace(report, exports=exports)
    if not printer.json:
        show_exports(report.exports, printer)
        if report.error is not None:
            raise report.error
        return
    printer.document(report.to_json())
    if report.error is not None:
        raise typer.Exit(report.error.exit_status)


def _check_together(given: Mapping[str, object]) -> None:
    """Check the options given by the table.

    Raises:
        UsageError: two of them exclude each other.
    """
    for name, others in _EXCLUDED.items():
        for other in others:
            if _is_given(given[name]) and _is_given(given[other]):
                message = f"`{_as_typed(name)}` and `{_as_typed(other)}` exclude each other"
                raise UsageError(message)


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value not in ([], ())


def _as_typed(name: str) -> str:
    return "CERT" if name == "cert" else f"--{name.strip('_').replace('_', '-')}"


def _mail_options(eml: str | None, to: Sequence[str] | None, *, force: bool) -> MailOptions | None:
    """Return the mail draft to write, if any.

    Raises:
        UsageError: an address is not valid, or there are addresses but no draft.
    """
    if eml is not None:
        return nssbackup.MailOptions(eml, tuple(to or ()), weak_password=force)
    if to:
        message = "`--mail-to` needs `--eml`"
        raise UsageError(message, hint="name the draft's file with `--eml FILE`")
    return None
