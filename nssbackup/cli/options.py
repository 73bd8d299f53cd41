"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import nssbackup
from nssbackup.cli.tables import FINGERPRINT_DIGITS
from nssbackup.errors import NoProfileError, UsageError
from nssbackup.pkcs12.formats import (
    DESTINATIONS,
    FORMATS,
    MODERN,
    Destination,
    Format,
    destination_named,
    format_named,
)

if TYPE_CHECKING:
    from nssbackup.cli.printer import Printer
    from nssbackup.identity.model import Identity, Profile
    from nssbackup.stores.containers import RecoveryPasswordFor

Offers = list[tuple[str, str]]
"""Values that a shell completes, each with a remark."""

# Typer's scripts hand a value to the shell as it is, and some shells evaluate it.
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_HARMFUL = re.compile(r"[^\w .,@+-]")
_LONGEST_REMARK = 80
# The shell waits for us, so only so many profiles are read.
_PROFILES_READ = 50


def _silent(offers: Callable[[typer.Context], Offers]) -> Callable[[typer.Context], Offers]:
    """Offer nothing on an error: a message would end up in the line being typed."""

    @wraps(offers)
    def offer(context: typer.Context) -> Offers:
        try:
            found = offers(context)
        except Exception:  # noqa: BLE001 - see above
            return []
        return [
            (value, _HARMFUL.sub(" ", remark)[:_LONGEST_REMARK])
            for value, remark in found
            if _HARMLESS.fullmatch(value)
        ]

    return offer


@_silent
def offer_profiles(context: typer.Context) -> Offers:
    """Offer the profiles found, by name or by the name of their folder."""
    wanted = nssbackup.applications_named(context.params.get("app") or ())
    return [
        (one.name if _HARMLESS.fullmatch(one.name) else one.path.name, one.application)
        for one in nssbackup.find_profiles()
        if not wanted or one.application in wanted
    ]


@_silent
def _offer_applications(context: typer.Context) -> Offers:
    """Offer the applications whose profiles were found."""
    del context
    names = sorted({one.application for one in nssbackup.find_profiles()})
    return [(name.casefold().replace(" ", "-"), name) for name in names]


@_silent
def _offer_certificates(context: typer.Context) -> Offers:
    """Offer the certificates that have their private key."""
    names = context.params.get("profile")
    found = nssbackup.resolve_profiles(names) if names else nssbackup.find_profiles()
    inventory = nssbackup.take_inventory(found[:_PROFILES_READ])
    return [
        (_value(one), f"{one.certificate.issuer_name}, until {one.certificate.not_after:%Y-%m-%d}")
        for one in inventory.identities
        if one.certificate.has_private_key
    ]


def _value(identity: Identity) -> str:
    name = identity.certificate.common_name or ""
    if _HARMLESS.fullmatch(name):
        return name
    return identity.certificate.sha256[:FINGERPRINT_DIGITS]


EngineName = Literal["auto", "native", "nss"]


def encodable(name: str | None) -> str | None:
    """Return a name for a certificate.

    Raises:
        UsageError: it has bytes that are no characters in this locale (Python shows them as
            surrogates, PEP 383); they would be missing in the file.
    """
    if name is not None and any("\ud800" <= character <= "\udfff" for character in name):
        message = "`--name` contains characters this locale can't encode"
        raise UsageError(message, hint="use a UTF-8 locale, such as `LC_ALL=C.UTF-8`")
    return name


# --- which certificate, and where it is

_CERT = "Nickname, name, e-mail, issuer, serial number or fingerprint of the certificate."

Cert = Annotated[
    str | None,
    typer.Argument(
        metavar="CERT",
        show_default=False,
        autocompletion=_offer_certificates,
        help=f"{_CERT} By default the one issued by WIPO.",
    ),
]
CertShown = Annotated[
    str | None,
    typer.Argument(
        metavar="CERT",
        show_default=False,
        autocompletion=_offer_certificates,
        help=f"{_CERT} By default all that have their key, and WIPO's without it.",
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
        help="Which certificate, if FILE has several with their keys: its name, e-mail, serial"
        " number or fingerprint.",
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        metavar="NAME|PATH",
        show_default=False,
        autocompletion=offer_profiles,
        help="A profile's name or folder, any folder with NSS databases, or a file with profiles"
        " in it: a Firefox backup, a ZIP or a tar. Repeatable.",
    ),
]
RecoveryPasswordFile = Annotated[
    str | None,
    typer.Option(
        "--recovery-password-file",
        metavar="FILE",
        show_default=False,
        help="Read the recovery password of a Firefox backup from the first line of FILE; - is"
        " stdin.",
    ),
]
Apps = Annotated[
    list[str] | None,
    typer.Option(
        "--app",
        metavar="NAME",
        show_default="all",
        autocompletion=_offer_applications,
        help="Search only the profiles of this application, such as firefox or thunderbird."
        " Repeatable.",
    ),
]
Engine = Annotated[
    EngineName,
    typer.Option("--engine", metavar="ENGINE", help="What reads the store: auto, native or nss."),
]

# --- the file to write

For = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="DEST",
        show_default=False,
        autocompletion=lambda: list(DESTINATIONS),
        help=f"Where the file will be opened; picks the format. One of {', '.join(DESTINATIONS)}.",
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        show_default=MODERN.name,
        autocompletion=lambda: list(FORMATS),
        help=f"How the file is encrypted: {', '.join(FORMATS)}.",
    ),
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
NoChain = Annotated[bool, typer.Option("--no-chain", help="Leave out the CA certificates.")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]

# --- passwords

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
    typer.Option("--generate-password", help="Generate a strong password and show it once."),
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

# --- what is printed

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print what is being done.")]


def chosen_formats(
    for_: str | None, format_: str | None
) -> tuple[Destination | None, tuple[Format, ...]]:
    """Return the destination that `--for` names, if any, and the formats to write.

    Raises:
        UsageError: there is no such destination or format, or both options were given.
    """
    if for_ is None:
        return None, (format_named(format_) if format_ else MODERN,)
    if format_ is not None:
        message = "`--for` and `--format` exclude each other"
        raise UsageError(message, hint="`--for` picks the format itself")
    destination = destination_named(for_)
    return destination, destination.formats


def no_recovery_password(path: Path, attempt: int) -> None:
    """Return no password: the default of `search`."""
    del path, attempt


@dataclass(frozen=True, slots=True)
class Search:
    """The profiles that a command reads.

    Attributes:
        profiles: them.
        everything: whether the user left it to us where to look.
    """

    profiles: tuple[Profile, ...]
    everything: bool

    def left_behind(self) -> Sequence[Profile]:
        """Return the profiles to read too if these are not enough: those a refresh left behind."""
        return nssbackup.find_left_behind() if self.everything else ()


def search(
    names: Sequence[str] | None,
    apps: Sequence[str] | None,
    printer: Printer,
    recovery_password: RecoveryPasswordFor = no_recovery_password,
    *,
    need_store: bool = True,
) -> Search:
    """Return the profiles that `--profile` and `--app` name, or all.

    Args:
        names: of `--profile`: profiles, folders and containers.
        apps: of `--app`.
        printer: gets the details.
        recovery_password: asked for each Firefox backup.
        need_store: whether a profile that is named must have databases that can be read.

    Raises:
        NoProfileError: no profile belongs to any of these applications.
        NssBackupError: what else `resolve_profiles` and `applications_named` raise.
    """
    wanted = nssbackup.applications_named(apps or ())
    if not names:
        known = nssbackup.find_profiles()
    elif any(os.path.isfile(os.path.expanduser(name)) for name in names):
        known = nssbackup.resolve(names, recovery_password, need_store=need_store)
    else:  # the reader of containers takes 20 ms to load
        known = nssbackup.resolve_profiles(names, need_store=need_store)
    found = tuple(one for one in known if not wanted or one.application in wanted)
    if known and not found:
        message = f"no profile of {' or '.join(sorted(wanted))} was found"
        others = ", ".join(sorted({one.application for one in known}))
        raise NoProfileError(message, hint=f"there are profiles of {others}")
    for one in found:
        printer.detail(f"profile `{one.name}`: {one.path} ({one.store or 'no'} store)")
    return Search(found, everything=not names and (not wanted or "Firefox" in wanted))
