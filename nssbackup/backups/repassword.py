"""Write the identities of a PFX under a new password or in another format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nssbackup.backups.opening import (
    BackupPasswordFor,
    Pair,
    chosen_pairs,
    faults_of,
    open_backup,
    pairs_of,
    read_pfx,
)
from nssbackup.backups.writing import Backup, Dialogue, Outputs, Target
from nssbackup.diagnosis.selection import identity_warnings
from nssbackup.errors import UsageError
from nssbackup.identity.choosing import listed
from nssbackup.pkcs12 import MODERN, Format, PfxContents, entries_of
from nssbackup.report import ExportReport


@dataclass(frozen=True, slots=True)
class RepasswordOptions:
    """What to make of a file.

    Attributes:
        certificate: the identity to write, as CERT of an export; None for all.
        output: a file, or a folder if it exists or ends with a separator; None for the file
            itself, which requires `replace`.
        formats: one file is written for each.
        copies: folders that get a verified copy each.
        friendly_name: None for the one in the file, or the certificate's common name.
        chain: whether the CA certificates are included.
        replace: whether existing files may be replaced.
    """

    certificate: str | None = None
    output: str | None = None
    formats: tuple[Format, ...] = (MODERN,)
    copies: tuple[Path, ...] = ()
    friendly_name: str | None = None
    chain: bool = True
    replace: bool = False


def repassword_backup(
    path: Path, options: RepasswordOptions, old_password: BackupPasswordFor, dialogue: Dialogue
) -> ExportReport:
    """Write the identities of a PFX anew, verified before the file gets its name.

    The file stays as it is, or is replaced as a whole. Nothing is asked before the file is known
    to be a PFX and the new one to be writable.

    Args:
        path: any PFX that works as a backup, whatever its encryption.
        options: what to make of it.
        old_password: asks for its password, again as long as it is wrong.
        dialogue: asks for the new password, and tells; no primary password is needed.

    Raises:
        NssBackupError: it failed; then only whole and verified files were written, if any.
    """
    data = read_pfx(path)
    outputs = _outputs(path, options)
    contents = open_backup(path, data, old_password)
    pairs = pairs_of(contents)
    chosen, notes = chosen_pairs(path, pairs, options.certificate, dialogue.select)
    # Valid before expired: some programs see only the first.
    order = [identity.certificate.sha256 for identity in listed(pair[0] for pair in chosen)]
    chosen = tuple(sorted(chosen, key=lambda pair: order.index(pair[0].certificate.sha256)))
    targets = outputs.targets(chosen[0][0], replace=options.replace)
    lost = len(pairs) - len(chosen) + len(_orphans(contents, pairs))
    _check_loss(path, lost, targets)
    repaired = (f"repaired: {fault.what}" for fault in faults_of(contents))
    for note in (*notes, *contents.notes, *repaired, *_left_out(contents, pairs)):
        dialogue.warn(note)
    for identity, _ in chosen:
        for warning in identity_warnings(identity):
            dialogue.warn(warning)
    if not options.chain:
        chosen = tuple((replace(identity, chain=()), key) for identity, key in chosen)
    entries = entries_of(chosen, options.friendly_name)
    identities = tuple(identity for identity, _ in chosen)
    backup = Backup(entries, dialogue.pfx_writers(identities[0]), options.replace)
    return ExportReport(identities[0], backup.write(targets, dialogue), identities=identities)


def _outputs(path: Path, options: RepasswordOptions) -> Outputs:
    """Return where the new file goes; errors as of `Outputs.of`."""
    variants = [each.name for each in options.formats]
    if options.output is not None:
        return Outputs.of(
            options.output, copies=options.copies, variants=variants, replace=options.replace
        )
    # A link stays one, and its target is replaced. The name is kept, whatever its ending.
    itself = path.resolve() if os.path.islink(path) else path
    return Outputs.of(
        str(itself),
        copies=options.copies,
        variants=variants,
        endings=("",),
        replace=options.replace,
    )


def _left_out(contents: PfxContents, pairs: Sequence[Pair]) -> Iterator[str]:
    """Say what belongs to no identity of the file."""
    count = len(_orphans(contents, pairs))
    if count:
        yield f"left out: {count} private key{'s' if count > 1 else ''} without a certificate"
    kept = {each.sha256 for identity, _ in pairs for each in identity.chain}
    kept.update(identity.certificate.sha256 for identity, _ in pairs)
    others = {found.certificate.sha256: found.certificate for found in contents.certificates}
    for digest, other in others.items():
        if digest not in kept:
            yield (
                f"left out: `{other.display_name}`, a certificate without a key that is not part"
                " of a chain here"
            )


def _orphans(contents: PfxContents, pairs: Sequence[Pair]) -> set[bytes]:
    """Return the keys without a certificate in the file, by their public halves."""
    paired = {key.public_key for _, key in pairs}
    return {found.key.public_key for found in contents.keys} - paired


def _check_loss(path: Path, lost: int, targets: Sequence[Target]) -> None:
    """Refuse to replace a file by one with fewer identities or keys.

    Raises:
        UsageError: `lost` of them would be lost.
    """
    if lost and any(_is(each, path) for target in targets for each in target.paths):
        message = (
            f"`{path.name}` contains {lost} more personal certificate{'s' if lost > 1 else ''} or"
            f" key{'s' if lost > 1 else ''}, which would be lost"
        )
        hint = "write to another file with `--output FILE`"
        raise UsageError(message, hint=hint)


def _is(target: Path, path: Path) -> bool:
    """Return whether replacing `target` would replace the file that `path` leads to."""
    try:
        # A link at the target would itself be replaced.
        return os.path.samestat(target.lstat(), path.stat())
    except OSError:  # there is no such file yet
        return False
