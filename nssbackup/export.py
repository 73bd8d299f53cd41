"""Export: one identity of one store into a verified PFX. The use case from step 1 to step 5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nssbackup.backup import Backup, Dialogue
from nssbackup.certificate import StoredCertificate
from nssbackup.engines import EngineName
from nssbackup.errors import NssBackupError, StoreError, UsageError
from nssbackup.extraction import read_key
from nssbackup.files import check_writable
from nssbackup.identities import Choice, choose
from nssbackup.inventory import take_inventory
from nssbackup.model import Identity, PrivateKey, Profile
from nssbackup.outputs import Outputs
from nssbackup.pkcs12 import MODERN, Format
from nssbackup.report import ExportReport
from nssbackup.verify import identity_warnings


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to export and how.

    Attributes:
        certificate: the user's CERT argument; None for the WIPO identity.
        given: certificates from files, the one to export first: its key is looked for in the
            profiles. With them there is no `certificate`.
        output: a file, or a folder if it exists or ends with a separator; "" is the current one.
        formats: one file is written for each.
        copies: folders that get a verified copy each.
        friendly_name: None for the certificate's nickname or common name.
        chain: whether the CA certificates go along.
        replace: whether existing files may be replaced.
        engine: what reads the store.
    """

    certificate: str | None = None
    given: tuple[StoredCertificate, ...] = ()
    output: str = ""
    formats: tuple[Format, ...] = (MODERN,)
    copies: tuple[Path, ...] = ()
    friendly_name: str | None = None
    chain: bool = True
    replace: bool = False
    engine: EngineName = "auto"


def _no_more_profiles() -> Sequence[Profile]:
    return ()


def export_identity(
    profiles: Sequence[Profile],
    options: ExportOptions,
    dialogue: Dialogue,
    left_behind: Callable[[], Sequence[Profile]] = _no_more_profiles,
) -> ExportReport:
    """Write one identity to a PFX for each format, verified before it gets its name.

    Nothing is asked before it is known that the files can be written and the key can be read.

    Args:
        profiles: where to look, in the order of their rank.
        options: what to export and how.
        dialogue: how to ask and tell.
        left_behind: gives the profiles to look in as well where these hold no certificate with
            its key, or a key without its certificate: `profiles.find_left_behind`.

    Raises:
        NssBackupError: any of them; then no file was written, or only whole and verified ones.
    """
    outputs = Outputs.of(
        options.output,
        copies=options.copies,
        variants=[format_.name for format_ in options.formats],
        replace=options.replace,
    )
    choice = _choice(profiles, options, dialogue, left_behind)
    identity = choice.identity
    if not options.chain:
        identity = Identity(identity.profile, identity.certificate)
    targets = outputs.targets(identity)
    for target in targets:
        for path in target.paths:
            check_writable(path, replace=options.replace)
    key = _key(choice, options.engine, dialogue)
    backup = Backup(identity, key, dialogue.sealing(), options.friendly_name, options.replace)
    return ExportReport(identity, backup.write(targets, dialogue))


def _choice(
    profiles: Sequence[Profile],
    options: ExportOptions,
    dialogue: Dialogue,
    left_behind: Callable[[], Sequence[Profile]],
) -> Choice:
    """The identity to export, and all there is to say about it."""
    if options.given and options.certificate is not None:
        message = "a certificate from a file and CERT exclude each other"
        raise UsageError(message)
    inventory = take_inventory(
        profiles, options.engine, given=options.given, left_behind=left_behind
    )
    for failure in inventory.failures:
        dialogue.warn(f"profile `{failure.profile.name}` was passed over: {failure.error.message}")
    wanted = options.given[0].sha256 if options.given else options.certificate
    choice = choose(inventory.identities, wanted, dialogue.select)
    for note in (*choice.notes, *inventory.remarks_on(choice.identity)):
        dialogue.warn(note)
    for warning in identity_warnings(choice.identity):
        dialogue.warn(warning)
    return choice


def _key(choice: Choice, engine: EngineName, dialogue: Dialogue) -> PrivateKey:
    """The private key, from a copy of the profile where the chosen one is damaged."""
    try:
        return read_key(choice.identity, engine, dialogue.primary_password)
    except StoreError as error:
        for copy in choice.copies:
            try:
                key = read_key(copy, engine, dialogue.primary_password)
            except NssBackupError:
                continue
            if copy.profile is not None:
                dialogue.warn(f"the key was taken from `{copy.profile.path}`: {error.message}")
            return key
        raise
