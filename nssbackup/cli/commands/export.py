"""`nssbackup export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from nssbackup.cli import passwords
from nssbackup.cli.options import (
    Apps,
    Cert,
    CertificateFile,
    CertificateOnly,
    CopyTo,
    Eml,
    Engine,
    For,
    Force,
    FormatOption,
    FriendlyName,
    GeneratePassword,
    Json,
    MailTo,
    NoChain,
    PasswordFile,
    PrimaryPasswordFile,
    Profiles,
    Quiet,
    Rounds,
    Verbose,
    chosen_formats,
)
from nssbackup.cli.output import Output
from nssbackup.errors import UsageError

if TYPE_CHECKING:
    from nssbackup.backups.mail import MailOptions
    from nssbackup.identity.certificate import StoredCertificate


def export(  # noqa: PLR0913 - one parameter an option
    cert: Cert = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            show_default="the current folder",
            help="Where to write; .pfx is added to the name (.pem with --certificate-only).",
        ),
    ] = "",
    profile: Profiles = None,
    app: Apps = None,
    certificate: CertificateFile = None,
    for_: For = None,
    format_: FormatOption = None,
    kdf_rounds: Rounds = None,
    copy_to: CopyTo = None,
    eml: Eml = None,
    mail_to: MailTo = None,
    name: FriendlyName = None,
    no_chain: NoChain = False,
    certificate_only: CertificateOnly = False,
    force: Force = False,
    password_file: PasswordFile = None,
    generate_password: GeneratePassword = False,
    primary_password_file: PrimaryPasswordFile = None,
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Back up one certificate, its private key and its chain to a verified .pfx file.

    The profile is only read, and Firefox may be running. The password of the backup is asked
    for twice.
    """
    talk = Output(json=json, quiet=quiet, verbose=verbose)
    passwords.check_one_source(
        password_file=password_file, generate=generate_password, primary=primary_password_file
    )
    if certificate is not None and cert is not None:
        _refuse("CERT", beside="--certificate")
    if certificate_only:
        about_keys = {
            "--for": for_,
            "--format": format_,
            "--kdf-rounds": kdf_rounds,
            "--eml": eml,
            "--mail-to": mail_to,
            "--name": name,
            "--password-file": password_file,
            "--generate-password": generate_password or None,
            "--primary-password-file": primary_password_file,
        }
        for option, value in about_keys.items():
            if value is not None:
                _refuse(option, beside="--certificate-only")
    destination, formats = chosen_formats(for_, format_)
    mail = _mail(eml, mail_to, force=force)
    given = _certificates_of(certificate)

    from nssbackup.cli.sealing import BackupSealing

    sealing = BackupSealing(
        talk,
        formats,
        destination=destination,
        rounds=kdf_rounds,
        password_file=password_file,
        generate=generate_password,
        check=mail.check_password if mail else None,
    )
    if not certificate_only:
        sealing.begin()

    # Only now, when the derivations may be running: what is loaded here takes as long as they do.
    from dataclasses import replace

    from nssbackup.backups.export import ExportOptions, export_certificate, export_identity
    from nssbackup.backups.writing import Dialogue
    from nssbackup.cli.guided.questions import select
    from nssbackup.cli.scope import scope
    from nssbackup.cli.summaries import show_certificate, show_export

    looked_at = scope(profile, app, talk)
    run, show = (
        (export_certificate, show_certificate)
        if certificate_only
        else (export_identity, show_export)
    )
    report = run(
        looked_at.profiles,
        ExportOptions(
            certificate=cert,
            given=given,
            output=output,
            formats=formats,
            copies=tuple(copy_to or ()),
            friendly_name=name,
            chain=not no_chain,
            replace=force,
            mail=mail,
            engine=engine,
        ),
        Dialogue(
            primary_password=passwords.primary_password(primary_password_file),
            pfx_writers=sealing,
            select=select(talk) if passwords.is_interactive() else None,
            warn=talk.warn,
            detail=talk.detail,
        ),
        looked_at.left_behind,
    )
    report = replace(report, password=sealing.generated)
    if json:
        talk.document(report.to_json())
    else:
        show(report, talk)


def _refuse(option: str, *, beside: str) -> NoReturn:
    message = f"`{beside}` and `{option}` exclude each other"
    raise UsageError(message)


def _mail(eml: str | None, to: Sequence[str] | None, *, force: bool) -> MailOptions | None:
    """The message to draft, if any.

    Raises:
        UsageError: an address is none, or there are addresses and no message.
    """
    if eml is None:
        if to:
            message = "`--mail-to` needs `--eml`"
            raise UsageError(message, hint="name the file of the message with `--eml FILE`")
        return None
    from nssbackup.backups.mail import MailOptions

    return MailOptions(eml, tuple(to or ()), weak_password=force)


def _certificates_of(file: Path | None) -> tuple[StoredCertificate, ...]:
    """What `--certificate` names.

    Raises:
        UsageError: it can't be read or holds no certificate.
    """
    if file is None:
        return ()
    from nssbackup.identity.pem import read_certificates

    return read_certificates(file)
