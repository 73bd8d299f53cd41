"""Export one identity of a store to a verified PFX.

A certificate alone is exported to a PEM file the same way, without the private key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nssbackup.backups.mail import MailDraft, MailOptions
from nssbackup.backups.writing import PEM_ENDINGS, Backup, Dialogue, Outputs, telling_placed
from nssbackup.diagnosis.warnings import identity_warnings
from nssbackup.errors import (
    KeyMissingError,
    UsageError,
)
from nssbackup.identity import pem
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.choosing import choose
from nssbackup.identity.model import Identity, Profile
from nssbackup.pkcs12 import MODERN, Format, entries_of
from nssbackup.report import ExportReport, WrittenFile
from nssbackup.stores import EngineName
from nssbackup.stores.inventory import Inventory, no_more_profiles, take_inventory
from nssbackup.stores.unlocking import read_key_or_copy
from nssbackup.system.files import write_verified

# The format in the report of a certificate without its key.
PEM_FORMAT = "pem"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to export and how.

    Attributes:
        certificate: the user's CERT argument; None for the WIPO identity.
        given: certificates from a file, the one to export first; its key is looked for in the
            profiles. Not together with `certificate`.
        output: a file, or a folder if it exists or ends with a separator; "" is the current one.
        formats: one file is written for each.
        copies: folders that get a verified copy each.
        friendly_name: None for the certificate's nickname or common name.
        chain: whether the CA certificates are included.
        replace: whether existing files may be replaced.
        mail: the mail draft to make; None for none.
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

    Nothing is asked before the files are known to be writable and the key to be readable.

    Args:
        profiles: where to look, in the order of their rank.
        options: what to export and how.
        dialogue: asks and tells.
        left_behind: returns further profiles to search if these lack a certificate with its key:
            `profiles.find_left_behind`.

    Raises:
        NssBackupError: it failed; then only whole and verified files were written, if any.
    """
    outputs = Outputs.of(
        options.output,
        copies=options.copies,
        variants=[format_.name for format_ in options.formats],
        replace=options.replace,
    )
    draft = MailDraft.of(options.mail, replace=options.replace) if options.mail else None
    chosen, copies = _choice(profiles, options, dialogue, left_behind)
    targets = outputs.targets(chosen, replace=options.replace)
    eml = draft.path(chosen) if draft else None
    found = read_key_or_copy(chosen, copies, options.engine, dialogue.primary_password)
    if found.note:
        dialogue.warn(found.note)
    identity = _as_written(found.identity, options)
    writers = dialogue.pfx_writers(identity)
    if options.mail:
        options.mail.check_password(writers.password)
    entries = entries_of([(identity, found.key)], options.friendly_name)
    backup = Backup(entries, writers, options.replace)
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
    """Write one certificate and its chain to a PEM file, without the private key.

    Formats, friendly name and mail don't apply, and no password is asked for.

    Args:
        profiles: where to look, in the order of their rank.
        options: what to export and how.
        dialogue: asks and tells.
        left_behind: as of `export_identity`.

    Raises:
        NssBackupError: it failed; then only whole and verified files were written, if any.
    """
    outputs = Outputs.of(
        options.output, copies=options.copies, endings=PEM_ENDINGS, replace=options.replace
    )
    chosen, _ = _choice(profiles, options, dialogue, left_behind, need_key=False)
    (target,) = outputs.targets(chosen, replace=options.replace)
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
        message = "`--certificate` and CERT can't be combined"
        raise UsageError(message)
    inventory = take_inventory(
        profiles, options.engine, given=options.given, left_behind=left_behind
    )
    for failure in inventory.failures:
        dialogue.warn(f"profile `{failure.profile.name}` was skipped: {failure.error.message}")
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
    """Raise KeyMissingError unless a profile has the key of the certificate given."""
    for identity in inventory.identities:
        known = identity.certificate
        if known.sha256 == certificate.sha256 and known.has_private_key:
            return
    name = certificate.display_name
    message = f"no profile holds the private key of `{name}`, the certificate in the given file"
    hint = "`nssbackup doctor` shows which keys there are and where else to look"
    raise KeyMissingError(message, hint=hint)


def _as_written(identity: Identity, options: ExportOptions) -> Identity:
    return identity if options.chain else replace(identity, chain=())
