"""Backup: an identity and its key, sealed, written and verified where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nssbackup.backups.outputs import Target
from nssbackup.backups.verify import Expected, verify_written
from nssbackup.errors import NssBackupError
from nssbackup.identity.choosing import Select
from nssbackup.identity.model import Identity, PasswordFor, PrivateKey
from nssbackup.pkcs12 import Format, PfxWriters, friendly_name_of
from nssbackup.report import WrittenFile
from nssbackup.system.files import write_verified


@dataclass(frozen=True, slots=True)
class Dialogue:
    """How a backup asks and tells; the library itself never does either.

    Attributes:
        primary_password: asked for a profile's primary password, again as long as it is wrong.
        pfx_writers: asked once for the backup password, when all else is settled. Where that is
            known beforehand, the derivations have better begun already.
        select: asked which of several identities is meant; None where nobody can be asked.
        warn: told what the user should know.
        detail: told what is done.
    """

    primary_password: PasswordFor
    pfx_writers: Callable[[], PfxWriters]
    select: Select | None = None
    warn: Callable[[str], None] = field(default=lambda _: None)
    detail: Callable[[str], None] = field(default=lambda _: None)


@contextmanager
def telling_placed(placed: Sequence[Path], dialogue: Dialogue) -> Iterator[None]:
    """Tell of the files that are in their places, whole and verified, when what follows fails."""
    try:
        yield
    except NssBackupError:
        for path in placed:
            dialogue.warn(f"`{path}` was written and verified before this failed")
        raise


@dataclass(frozen=True, slots=True)
class Backup:
    """What the files of one backup have in common.

    Attributes:
        identity: what goes in; its chain is the one written.
        key: its private key.
        writers: the password, with a writer for each format: one file each.
        friendly_name: None for the certificate's nickname or common name.
        replace: whether existing files may be replaced.
    """

    identity: Identity
    key: PrivateKey = field(repr=False)
    writers: PfxWriters
    friendly_name: str | None = None
    replace: bool = False

    def write(self, targets: Sequence[Target], dialogue: Dialogue) -> tuple[WrittenFile, ...]:
        """Write a file for each format, in the order of the writers', each with its copies.

        Every file and copy is read back from the disk and verified before it gets its name.

        Raises:
            NssBackupError: any of them; what was written before it is whole and verified, and the
                dialogue is told of it.
        """
        placed: list[Path] = []
        with telling_placed(placed, dialogue):
            pairs = zip(self.writers.by_format, targets, strict=True)
            return tuple(
                [self._written(format_, target, dialogue, placed) for format_, target in pairs]
            )

    def _written(
        self, format_: Format, target: Target, dialogue: Dialogue, placed: list[Path]
    ) -> WrittenFile:
        """Write one file and its copies; `placed` gets the path of each that is in its place."""
        writer = self.writers.by_format[format_]
        data = writer.encode(self.identity, self.key, friendly_name=self.friendly_name)
        expected = Expected(
            identity=self.identity,
            key=self.key,
            friendly_name=friendly_name_of(self.identity, self.friendly_name),
            format=format_,
            rounds=self.writers.rounds,
        )

        def check(path: Path) -> None:
            for warning in verify_written(path, self.writers.password, expected):
                dialogue.warn(warning)

        for path in target.paths:
            write_verified(path, data, check, replace=self.replace)
            placed.append(path)
            dialogue.detail(f"written and verified: {path}")
        digest = hashlib.sha256(data).hexdigest()
        return WrittenFile(target.path, target.copies, format_.name, digest, len(data))
