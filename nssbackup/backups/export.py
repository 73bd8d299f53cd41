"""Export: one identity of one store into a verified PFX. The use case from step 1 to step 5.

A certificate alone goes into a PEM file the same way, without the step that takes the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nssbackup.backups.mail import MailDraft, MailOptions
from nssbackup.backups.outputs import PEM_ENDINGS, Outputs, Target
from nssbackup.backups.writing import Backup, Dialogue, telling_placed
from nssbackup.diagnosis.warnings import identity_warnings
from nssbackup.errors import (
    CancelledError,
    KeyMissingError,
    NssBackupError,
    UsageError,
)
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.choosing import choose
from nssbackup.identity.model import Identity, PrivateKey, Profile
from nssbackup.pkcs12 import MODERN, Format
from nssbackup.report import ExportReport, WrittenFile
from nssbackup.stores import EngineName
from nssbackup.stores.inventory import Inventory, no_more_profiles, take_inventory
from nssbackup.stores.unlocking import KEY_DAMAGE, read_key
from nssbackup.system.files import check_writable, write_verified

# What the reports of certificates alone call their format.
PEM_FORMAT = "pem"


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
        mail: the message to draft with the files attached; None for none.
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
    mail: MailOptions | None = None
    engine: EngineName = "auto"


def export_identity(
    profiles: Sequence[Profile],
    options: ExportOptions,
    dialogue: Dialogue,
    left_behind: Callable[[], Sequence[Profile]] = no_more_profiles,
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
    draft = MailDraft.of(options.mail, replace=options.replace) if options.mail else None
    chosen, copies = _choice(profiles, options, dialogue, left_behind)
    targets = _writable_targets(outputs, chosen, options)
    eml = draft.path(chosen) if draft else None
    key, profile = _key(chosen, copies, options.engine, dialogue)
    identity = replace(_as_written(chosen, options), profile=profile)
    writers = dialogue.pfx_writers()
    if options.mail:
        options.mail.check_password(writers.password)
    backup = Backup(identity, key, writers, options.friendly_name, options.replace)
    files = backup.write(targets, dialogue)
    if draft and eml:
        with telling_placed([path for target in targets for path in target.paths], dialogue):
            draft.write(eml, identity, files)
        dialogue.detail(f"written and verified: {eml}")
    return ExportReport(identity, files, eml=eml)


def export_certificate(
    profiles: Sequence[Profile],
    options: ExportOptions,
    dialogue: Dialogue,
    left_behind: Callable[[], Sequence[Profile]] = no_more_profiles,
) -> ExportReport:
    """Write one certificate and its chain to a PEM file: no key, and no password is asked for.

    It needs no private key. Formats, friendly name and mail are no matter here.

    Args:
        profiles: where to look, in the order of their rank.
        options: what to export and how.
        dialogue: how to ask and tell; no password is asked for.
        left_behind: as of `export_identity`.

    Raises:
        NssBackupError: any of them; then no file was written, or only whole and verified ones.
    """
    from nssbackup.identity import pem

    outputs = Outputs.of(
        options.output, copies=options.copies, endings=PEM_ENDINGS, replace=options.replace
    )
    chosen, _ = _choice(profiles, options, dialogue, left_behind, need_key=False)
    (target,) = _writable_targets(outputs, chosen, options)
    identity = _as_written(chosen, options)
    certificates = (identity.certificate, *identity.chain)
    data = pem.encode(certificates)
    placed: list[Path] = []
    with telling_placed(placed, dialogue):
        for path in target.paths:
            write_verified(
                path,
                data,
                lambda written: pem.verify_written(written, certificates),
                replace=options.replace,
            )
            placed.append(path)
            dialogue.detail(f"written and verified: {path}")
    digest = hashlib.sha256(data).hexdigest()
    file = WrittenFile(target.path, target.copies, PEM_FORMAT, digest, len(data))
    return ExportReport(identity, (file,))


def _choice(
    profiles: Sequence[Profile],
    options: ExportOptions,
    dialogue: Dialogue,
    left_behind: Callable[[], Sequence[Profile]],
    *,
    need_key: bool = True,
) -> tuple[Identity, tuple[Identity, ...]]:
    """Return the identity to export and its copies in other profiles; say what there is to say."""
    if options.given and options.certificate is not None:
        message = "a certificate from a file and CERT exclude each other"
        raise UsageError(message)
    inventory = take_inventory(
        profiles, options.engine, given=options.given, left_behind=left_behind
    )
    for failure in inventory.failures:
        dialogue.warn(f"profile `{failure.profile.name}` was passed over: {failure.error.message}")
    if options.given and need_key:
        _check_key_of(options.given[0], inventory)
    wanted = options.given[0].sha256 if options.given else options.certificate
    choice = choose(inventory.identities, wanted, dialogue.select, need_key=need_key)
    notes = (*choice.notes, *inventory.notes_on(choice.identity)) if need_key else choice.notes
    for note in notes:
        dialogue.warn(note)
    for warning in identity_warnings(choice.identity):
        dialogue.warn(warning)
    return choice.identity, inventory.copies_of(choice.identity)


def _check_key_of(certificate: StoredCertificate, inventory: Inventory) -> None:
    """Say that the key of the certificate given is nowhere, and not that it is not in a store."""
    for identity in inventory.identities:
        known = identity.certificate
        if known.sha256 == certificate.sha256 and known.has_private_key:
            return
    name = certificate.display_name
    message = f"no profile holds the private key of `{name}`, the certificate in the file given"
    hint = "`nssbackup doctor` shows which keys there are, and where else one may be"
    raise KeyMissingError(message, hint=hint)


def _writable_targets(
    outputs: Outputs, identity: Identity, options: ExportOptions
) -> tuple[Target, ...]:
    """The files of an identity, when all of them can be written."""
    targets = outputs.targets(identity)
    for target in targets:
        for path in target.paths:
            check_writable(path, replace=options.replace)
    return targets


def _as_written(identity: Identity, options: ExportOptions) -> Identity:
    return identity if options.chain else replace(identity, chain=())


def _key(
    chosen: Identity, copies: Sequence[Identity], engine: EngineName, dialogue: Dialogue
) -> tuple[PrivateKey, Profile | None]:
    """Return the private key and its profile, those of a copy if the chosen one is damaged."""
    try:
        return read_key(chosen, engine, dialogue.primary_password), chosen.profile
    except KEY_DAMAGE as error:
        for copy in copies:
            try:
                key = read_key(copy, engine, dialogue.primary_password)
            except CancelledError:
                raise
            except NssBackupError:
                continue
            if copy.profile is not None:
                dialogue.warn(
                    f"the key was taken from its copy in `{copy.profile.path}`: {error.message}"
                )
            return key, copy.profile
        raise
