"""Repassword: the identity of a PFX under a new password or in another format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nssbackup.backups.opening import (
    BackupPasswordFor,
    Pairs,
    choose_pair,
    open_backup,
    pairs_of,
    read_pfx,
)
from nssbackup.backups.outputs import Outputs, Target
from nssbackup.backups.writing import Backup, Dialogue
from nssbackup.diagnosis.warnings import identity_warnings
from nssbackup.errors import UsageError
from nssbackup.identity.model import Identity
from nssbackup.pkcs12 import MODERN, Format, PfxContents
from nssbackup.report import ExportReport
from nssbackup.system.files import check_writable


@dataclass(frozen=True, slots=True)
class RepasswordOptions:
    """What to make of a file.

    Attributes:
        certificate: which one, if the file holds several with their keys; as CERT of an export.
        output: a file, or a folder if it exists or ends with a separator; None for the file
            itself, which `replace` has to allow.
        formats: one file is written for each.
        copies: folders that get a verified copy each.
        friendly_name: None for the one in the file, or the certificate's common name.
        chain: whether the CA certificates go along.
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
    """Write the identity of a PFX anew, verified before it gets its name.

    The file opened stays as it is, or is replaced as a whole by what was verified. Nothing is
    asked before it is known that it is a PFX and that the new one can be written.

    Args:
        path: any PFX that works as a backup, in whatever encryption.
        options: what to make of it.
        old_password: asked for its password, again as long as it is wrong.
        dialogue: how to ask for the new password, and tell; no primary password is needed.

    Raises:
        NssBackupError: any of them; then no file was written, or only whole and verified ones.
    """
    data = read_pfx(path)
    outputs = _outputs(path, options)
    contents = open_backup(path, data, old_password)
    pairs = pairs_of(contents)
    if outputs.name is not None:
        # The names don't depend on the identity, so that nothing has to be chosen in vain.
        _check_loss(path, contents, pairs, outputs.targets(next(iter(pairs.values()))[0]))
    choice = choose_pair(path, pairs, options.certificate, dialogue.select)
    identity, key = pairs[choice.identity.certificate.sha256]
    for warning in (*choice.notes, *_left_out(contents, pairs), *identity_warnings(identity)):
        dialogue.warn(warning)
    if not options.chain:
        identity = Identity(None, identity.certificate)
    targets = outputs.targets(identity)
    _check_loss(path, contents, pairs, targets)
    for target in targets:
        for each in target.paths:
            check_writable(each, replace=options.replace)
    backup = Backup(identity, key, dialogue.pfx_writers(), options.friendly_name, options.replace)
    return ExportReport(identity, backup.write(targets, dialogue))


def _outputs(path: Path, options: RepasswordOptions) -> Outputs:
    """Where the new file goes; errors as of `Outputs.of`."""
    variants = [format_.name for format_ in options.formats]
    if options.output is not None:
        return Outputs.of(
            options.output, copies=options.copies, variants=variants, replace=options.replace
        )
    # A link stays one, and what it points to is replaced. The name is kept, whatever its ending.
    itself = path.resolve() if os.path.islink(path) else path  # noqa: PTH114 - Path's own raises
    return Outputs.of(
        str(itself),
        copies=options.copies,
        variants=variants,
        endings=("",),
        replace=options.replace,
    )


def _left_out(contents: PfxContents, pairs: Pairs) -> Iterator[str]:
    """What there is to say of what goes with no identity of the file."""
    count = len(_orphans(contents, pairs))
    if count:
        yield f"left out: {count} private key{'s' if count > 1 else ''} without certificate"
    kept = {each.sha256 for identity, _ in pairs.values() for each in identity.chain}
    kept.update(pairs)
    others = {found.certificate.sha256: found.certificate for found in contents.certificates}
    for digest, other in others.items():
        if digest not in kept:
            name = other.display_name
            yield f"left out: `{name}`, a certificate without key and in no certification path"


def _orphans(contents: PfxContents, pairs: Pairs) -> set[bytes]:
    """The keys that have no certificate in the file, by their public halves."""
    paired = {key.public_key for _, key in pairs.values()}
    return {found.key.public_key for found in contents.keys} - paired


def _check_loss(path: Path, contents: PfxContents, pairs: Pairs, targets: Sequence[Target]) -> None:
    """Let no file be replaced that holds more than the one identity of the new file.

    Raises:
        UsageError: one would be.
    """
    count = len(pairs) + len(_orphans(contents, pairs))
    if count > 1 and any(_is(each, path) for target in targets for each in target.paths):
        message = (
            f"`{path.name}` holds {count} personal certificates or keys,"
            " and only one would be left in it"
        )
        hint = "write the one to a file of its own with `--output FILE`"
        raise UsageError(message, hint=hint)


def _is(target: Path, path: Path) -> bool:
    """Whether replacing `target` would replace the file that `path` leads to."""
    try:
        # A link in the place of the target would be replaced itself.
        return os.path.samestat(target.lstat(), path.stat())
    except OSError:  # nothing is there yet
        return False
