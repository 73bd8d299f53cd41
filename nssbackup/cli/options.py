"""Options: those that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nssbackup.cli import completion
from nssbackup.errors import UsageError

if TYPE_CHECKING:
    from nssbackup.pkcs12 import Destination, Format

# Typer reads these at run time and shows them in the help. Tests hold them against the tables.
FormatName = Literal["modern", "compatible"]
DestinationName = Literal[
    "windows",
    "firefox",
    "openssl",
    "java",
    "dotnet",
    "windows-old",
    "macos",
    "ios",
    "java-old",
    "pct-safe",
    "any",
]
EngineName = Literal["auto", "native", "nss"]


def written_in_letters(name: str | None) -> str | None:
    """A name, unless it has bytes that are no letters here: they would be left out of the file.

    Raises:
        UsageError: it has some: to Python they are halves of a character (PEP 383).
    """
    if name is not None and any("\ud800" <= letter <= "\udfff" for letter in name):
        message = "`--name` has letters that are none in this locale"
        raise UsageError(message, hint="use a locale with UTF-8, such as `LC_ALL=C.UTF-8`")
    return name


_CERT = "Nickname, name, e-mail, issuer, serial number or fingerprint of the certificate."

Cert = Annotated[
    str | None,
    typer.Argument(
        metavar="CERT",
        show_default=False,
        autocompletion=completion.certificates,
        help=f"{_CERT} Default: the WIPO certificate.",
    ),
]
CertShown = Annotated[
    str | None,
    typer.Argument(
        metavar="CERT",
        show_default=False,
        autocompletion=completion.certificates,
        help=f"{_CERT} Default: all that have their key, and WIPO's without it.",
    ),
]
BackupFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", show_default=False, help="A .pfx or .p12 file of any program."),
]
CertInFile = Annotated[
    str | None,
    typer.Option(
        "--cert",
        metavar="CERT",
        show_default=False,
        help="Which certificate, if FILE holds several with their keys: its name, e-mail,"
        " serial number or fingerprint.",
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        metavar="NAME|PATH",
        show_default=False,
        autocompletion=completion.profiles,
        help="A profile's name or folder, or any folder with NSS databases. Repeatable.",
    ),
]
Apps = Annotated[
    list[str] | None,
    typer.Option(
        "--app",
        metavar="NAME",
        show_default="every application",
        autocompletion=completion.applications,
        help="Look only at the profiles of this application, such as firefox or thunderbird."
        " Repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say what is done.")]
Engine = Annotated[
    EngineName, typer.Option("--engine", help="What reads the store.", show_default=True)
]
For = Annotated[
    DestinationName | None,
    typer.Option(
        "--for", show_default=False, help="Where the file will be opened: picks the format."
    ),
]
FormatOption = Annotated[
    FormatName | None,
    typer.Option("--format", show_default="modern", help="How the file is encrypted."),
]
Rounds = Annotated[
    int | None,
    typer.Option(
        "--kdf-rounds",
        metavar="N",
        show_default="600000",
        help="Rounds of key, certificates and MAC: 2048 to 600000.",
    ),
]
CopyTo = Annotated[
    list[Path] | None,
    typer.Option(
        "--copy-to",
        metavar="FOLDER",
        show_default=False,
        help="Write a verified copy there too. Repeatable.",
    ),
]
CertificateFile = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        show_default=False,
        help="The certificate itself, as PEM or DER: its private key is looked for in the"
        " profiles. The issuers' may be in the file too. Instead of CERT.",
    ),
]
CertificateOnly = Annotated[
    bool,
    typer.Option(
        "--certificate-only",
        help="Write the certificate and its chain as PEM: no private key, no password.",
    ),
]
Eml = Annotated[
    str | None,
    typer.Option(
        "--eml",
        metavar="FILE",
        show_default=False,
        help="Also draft a message with the backup attached, for a mail program to open and send."
        " The password is not in it.",
    ),
]
MailTo = Annotated[
    list[str] | None,
    typer.Option(
        "--mail-to",
        metavar="ADDRESS",
        show_default=False,
        help="Whom the message of --eml is to. Repeatable.",
    ),
]
Expiring = Annotated[
    int | None,
    typer.Option(
        "--expiring",
        metavar="DAYS",
        min=0,
        show_default=False,
        help="Show only those that end within so many days and are still valid; with no such one,"
        " the status is 0 too.",
    ),
]
FriendlyName = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="TEXT",
        show_default="the nickname",
        callback=written_in_letters,
        help="What programs will call the certificate (friendlyName).",
    ),
]
NoChain = Annotated[bool, typer.Option("--no-chain", help="Leave the CA certificates out.")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        show_default=False,
        help="Read the backup password from the first line of FILE; - is stdin.",
    ),
]
GeneratePassword = Annotated[
    bool,
    typer.Option("--generate-password", help="Make a strong password up and show it once."),
]
PrimaryPasswordFile = Annotated[
    str | None,
    typer.Option(
        "--primary-password-file",
        metavar="FILE",
        show_default=False,
        help="Read Firefox's Primary Password from the first line of FILE; - is stdin.",
    ),
]


# --- what `batch` and `fleet` share

# The contract's: finished, and some items failed.
SOME_FAILED = 3

OnlyCerts = Annotated[
    list[str] | None,
    typer.Option(
        "--cert",
        metavar="TEXT",
        show_default="every WIPO certificate",
        help="Only these: nickname, name, e-mail, issuer, serial number or fingerprint."
        " Repeatable.",
    ),
]
AllIssuers = Annotated[
    bool, typer.Option("--all-issuers", help="Every certificate with its key, not WIPO's only.")
]
Expired = Annotated[bool, typer.Option("--expired", help="Expired ones too.")]
ExpiringFirst = Annotated[
    int | None,
    typer.Option(
        "--expiring",
        metavar="DAYS",
        min=0,
        show_default=False,
        help="Put those that end within so many days on top of the report.",
    ),
]
Again = Annotated[bool, typer.Option("--force", help="Back up again what is backed up already.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")
]
Escrow = Annotated[
    list[Path] | None,
    typer.Option(
        "--escrow-cert",
        metavar="FILE",
        show_default=False,
        help="Encrypt the generated passwords to this certificate (RSA), for `openssl cms"
        " -decrypt`. Repeatable: each of them can open all. Without it they are kept in the clear,"
        " in a file for its owner alone.",
    ),
]
PasswordTableFile = Annotated[
    Path | None,
    typer.Option(
        "--passwords",
        metavar="CSV",
        show_default=False,
        help="A password for each backup: a table with the columns user, profile, fingerprint"
        " (one or more of them) and password.",
    ),
]
PrimaryOfAll = Annotated[
    str | None,
    typer.Option(
        "--primary-password-file",
        metavar="FILE",
        show_default=False,
        help="Firefox's Primary Password, if all have the same: the first line of FILE.",
    ),
]
PrimaryTableFile = Annotated[
    Path | None,
    typer.Option(
        "--primary-passwords",
        metavar="CSV",
        show_default=False,
        help="The Primary Passwords, as a table like that of --passwords.",
    ),
]


def chosen_formats(
    for_: DestinationName | None, format_: FormatName | None
) -> tuple[Destination | None, tuple[Format, ...]]:
    """The destination that `--for` names, and the formats to write.

    Raises:
        UsageError: `--for` and `--format` were both given.
    """
    from nssbackup.pkcs12 import MODERN, destination_named, format_named

    if for_ is None:
        return None, (format_named(format_) if format_ else MODERN,)
    if format_ is not None:
        message = "`--for` and `--format` exclude each other"
        raise UsageError(message, hint="`--for` picks the format by itself")
    destination = destination_named(for_)
    return destination, destination.formats
