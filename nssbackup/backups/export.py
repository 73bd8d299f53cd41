"""Export one identity of a store to a verified PFX.

A certificate alone is exported to a PEM file the same way, without the private key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nssbackup.backups.mail import MailDraft, MailOptions
from nssbackup.backups.writing import (
    PEM_ENDINGS,
    PFX_ENDINGS,
    Backup,
    Dialogue,
    Outputs,
    Target,
    default_name,
    telling_placed,
)
from nssbackup.diagnosis.selection import Selection, Wanted, select_all, select_identity
from nssbackup.errors import CancelledError, NssBackupError, UsageError
from nssbackup.identity import pem
from nssbackup.identity.certificate import StoredCertificate
from nssbackup.identity.model import Identity, Profile
from nssbackup.pkcs12 import MODERN, Format, PfxWriters, entries_of
from nssbackup.report import ExportReport, ExportsReport, ReadFailure, WrittenFile
from nssbackup.stores import EngineName
from nssbackup.stores.inventory import no_more_profiles
from nssbackup.stores.unlocking import FoundKey, Remembered, read_key_or_copy
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
    outputs.check_outside(profiles)
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
        options.mail.check_password(writers.password, identity.names)
    entries = entries_of([(identity, found.key)], options.friendly_name)
    backup = Backup(entries, writers, options.replace)
    files = backup.write(targets, dialogue)
    if draft and eml:
        with telling_placed([path for target in targets for path in target.paths], dialogue):
            draft.write(eml, identity, files)
        dialogue.detail(f"written and verified: {eml}")
    return ExportReport(identity, files, eml=eml)


def export_all(
    profiles: Sequence[Profile],
    options: ExportOptions,
    dialogue: Dialogue,
    left_behind: Callable[[], Sequence[Profile]] = no_more_profiles,
) -> ExportsReport:
    """Write every matching identity that is neither expired nor superseded into a folder.

    One that fails does not keep the others from being written. Mail does not apply, and each
    identity keeps its own friendly name.

    Args:
        profiles: where to look, in the order of their rank.
        options: what to export and how; `output` is a folder.
        dialogue: asks and tells; nobody is asked to choose.
        left_behind: as of `export_identity`.

    Raises:
        NssBackupError: none of them could be written; the error of the first.
    """
    outputs = Outputs.of(
        options.output,
        copies=options.copies,
        variants=[format_.name for format_ in options.formats],
        replace=options.replace,
    )
    outputs.check_outside(profiles)
    if outputs.name is not None:
        message = f"`--all-matches` writes into a folder, and there is no folder `{options.output}`"
        raise UsageError(message, hint="create it first, or leave out `--output`")
    selections, notes = select_all(
        profiles,
        Wanted(options.certificate, engine=options.engine),
        left_behind,
        _telling_failures(dialogue),
    )
    for note in notes:
        dialogue.warn(note)
    failures: list[NssBackupError] = []
    ready = _ready(selections, outputs, options, dialogue, failures)
    reports: list[ExportReport] = []
    writers: PfxWriters | None = None
    for found, targets in ready:
        identity = _as_written(found.identity, options)
        if writers is None:
            writers = dialogue.pfx_writers(identity)
        else:  # no two files share a salt
            writers = PfxWriters.start(writers.password, options.formats, writers.rounds)
        backup = Backup(entries_of([(identity, found.key)]), writers, options.replace)
        with _one_of_several(identity, failures, dialogue):
            reports.append(ExportReport(identity, backup.write(targets, dialogue)))
    if not reports:
        raise failures[0]
    return ExportsReport(tuple(reports), failures[0] if failures else None)


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
    outputs.check_outside(profiles)
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
    try:
        selection = select_identity(
            profiles,
            Wanted(options.certificate, options.given, need_key, options.engine),
            left_behind,
            dialogue.select,
            _telling_failures(dialogue),
        )
    except NssBackupError as error:
        # Here, because it doubles what an export loads, and most exports find a certificate.
        from nssbackup.diagnosis.doctor import explain
        from nssbackup.diagnosis.findings import Case

        if not options.given:
            old = tuple(left_behind())
            explain(error, Case(tuple(profiles), options.certificate, old, engine=options.engine))
        raise
    for note in selection.notes:
        dialogue.warn(note)
    return selection.identity, selection.copies


def _as_written(identity: Identity, options: ExportOptions) -> Identity:
    return identity if options.chain else replace(identity, chain=())


def _telling_failures(dialogue: Dialogue) -> Callable[[ReadFailure], None]:
    return lambda one: dialogue.warn(
        f"profile `{one.profile.name}` was skipped: {one.error.message}"
    )


def _ready(
    selections: Sequence[Selection],
    outputs: Outputs,
    options: ExportOptions,
    dialogue: Dialogue,
    failures: list[NssBackupError],
) -> list[tuple[FoundKey, tuple[Target, ...]]]:
    """Return the keys that can be read with the files they go to, each of its own name."""
    primary_password = Remembered(dialogue.primary_password)
    ready: list[tuple[FoundKey, tuple[Target, ...]]] = []
    taken: set[str] = set()
    for selection in selections:
        identity = selection.identity
        for note in selection.notes:
            dialogue.warn(f"`{identity.display_name}`: {note}")
        name = default_name(identity)
        if name.casefold() in taken:
            name = default_name(identity, f"-{identity.certificate.sha256[:8]}{PFX_ENDINGS[0]}")
        taken.add(name.casefold())
        with _one_of_several(identity, failures, dialogue):
            targets = replace(outputs, name=name).targets(identity, replace=options.replace)
            found = read_key_or_copy(identity, selection.copies, options.engine, primary_password)
            if found.note:
                dialogue.warn(found.note)
            ready.append((found, targets))
    return ready


@contextmanager
def _one_of_several(
    identity: Identity, failures: list[NssBackupError], dialogue: Dialogue
) -> Iterator[None]:
    """Record the failure of one identity and go on."""
    try:
        yield
    except CancelledError:
        raise
    except NssBackupError as error:
        failures.append(error)
        dialogue.warn(f"`{identity.display_name}` was not exported: {error.message}")
