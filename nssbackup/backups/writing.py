"""Write the files of one backup: where they go, what they are called, and how they are checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nssbackup.backups.verify import Expected, verify_written
from nssbackup.errors import InterruptedByUserError, NssBackupError, OutputError, UsageError
from nssbackup.identity.choosing import Select
from nssbackup.identity.model import Identity, PasswordFor, Profile
from nssbackup.pkcs12 import Format, PfxEntry, PfxWriters
from nssbackup.report import WrittenFile
from nssbackup.system.files import check_writable, safe_name, write_verified

PFX_ENDINGS = (".pfx", ".p12")
PEM_ENDINGS = (".pem", ".crt", ".cer")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """How a use case asks and tells; the library itself never does either.

    Attributes:
        primary_password: asks for a profile's primary password, again as long as it is wrong.
        pfx_writers: gets the identity to write, and asks for the backup password, once all else
            is settled. If the password is known earlier, the writers should have been started.
        select: asks which of several identities is meant; None if nobody can be asked.
        warn: is told what the user should know.
        detail: is told what is done.
    """

    primary_password: PasswordFor
    pfx_writers: Callable[[Identity], PfxWriters]
    select: Select | None = None
    warn: Callable[[str], None] = field(default=lambda _: None)
    detail: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Target:
    """One file to write, and its copies."""

    path: Path
    copies: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file and its copies."""
        return (self.path, *self.copies)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where files go.

    Attributes:
        folder: the folder of the file; it exists.
        name: the name of the file with its ending; None for the default name.
        copies: folders that get a copy each.
        variants: one file is written for each; the first has the plain name, the others have
            theirs before the ending.
        ending: what a default name ends in.
    """

    folder: Path
    name: str | None
    copies: tuple[Path, ...] = ()
    variants: tuple[str, ...] = ("",)
    ending: str = PFX_ENDINGS[0]

    @classmethod
    def of(
        cls,
        output: str,
        *,
        copies: Sequence[Path] = (),
        variants: Sequence[str] = ("",),
        endings: Sequence[str] = PFX_ENDINGS,
        replace: bool = False,
    ) -> Outputs:
        """Read what the user asked for, and check it before anything else is asked.

        Args:
            output: a file, or a folder if it exists or ends with a separator; "" is the current
                folder.
            copies: folders.
            variants: as of the class.
            endings: those that a name may have; the first is added to any other name.
            replace: whether existing files may be replaced.

        Raises:
            OutputExistsError: the file exists and may not be replaced.
            OutputError: a folder is missing or closed to us.
            UsageError: a copy would be the file itself.
        """
        separators = tuple(filter(None, (os.sep, os.altsep)))
        if not output or output.endswith(separators) or os.path.isdir(output):
            folder, name = Path(output or "."), None
        else:
            folder, name = Path(output).parent, with_ending(Path(output).name, endings)
        outputs = cls(folder, name, tuple(copies), tuple(variants), endings[0])
        outputs._check_distinct()
        for target in outputs._targets(name or endings[0]):
            for path in target.paths:
                check_writable(path, replace=replace or name is None)
        return outputs

    def check_outside(self, profiles: Iterable[Profile]) -> None:
        """Check that nothing is written into a profile.

        Raises:
            OutputError: the folder of a file is a profile's, or lies in it.
        """
        inside = {
            _file_id(above): folder
            for folder in (self.folder, *self.copies)
            for above in _with_parents(folder)
        }
        for profile in profiles:
            folder = inside.get(_file_id(profile.path))
            if folder is not None:
                message = f"`{folder}` is in profile `{profile.name}`, where nothing is written"
                raise OutputError(message, hint="choose another folder with `--output`")

    def targets(self, identity: Identity, *, replace: bool) -> tuple[Target, ...]:
        """Return the files to write for an identity, one per variant.

        Raises:
            OutputExistsError: a file exists and may not be replaced.
            OutputError: a file can't be written.
        """
        targets = self._targets(self.name or default_name(identity, self.ending))
        for target in targets:
            for path in target.paths:
                check_writable(path, replace=replace)
        return targets

    def _targets(self, name: str) -> tuple[Target, ...]:
        names = [self._variant_name(name, variant) for variant in self.variants]
        return tuple(
            Target(self.folder / each, tuple(copy / each for copy in self.copies)) for each in names
        )

    def _variant_name(self, name: str, variant: str) -> str:
        if variant == self.variants[0]:
            return name
        stem, dot, ending = name.rpartition(".")
        return f"{stem}.{variant}{dot}{ending}" if dot else f"{name}.{variant}"

    def _check_distinct(self) -> None:
        folders = [self.folder]
        for copy in self.copies:
            if any(_is_same(copy, other) for other in folders):
                message = f"two of the files would be written to `{copy}`"
                hint = "give each `--copy-to` a folder of its own, different from `--output`"
                raise UsageError(message, hint=hint)
            folders.append(copy)


@contextmanager
def telling_placed(placed: Sequence[Path], dialogue: Dialogue) -> Iterator[None]:
    """Name the files that were written and verified if a later step fails or is interrupted."""
    try:
        yield
    except NssBackupError:
        for path in placed:
            dialogue.warn(f"`{path}` was written and verified before this failed")
        raise
    except KeyboardInterrupt:
        if not placed:
            raise
        files = ", ".join(f"`{path}`" for path in placed)
        message = f"interrupted; already written and verified: {files}"
        raise InterruptedByUserError(message) from None


@dataclass(frozen=True, slots=True)
class Backup:
    """What all files of one backup have in common.

    Attributes:
        entries: the identities with their keys.
        writers: the password, with a writer for each format: one file each.
        replace: whether existing files may be replaced.
    """

    entries: tuple[PfxEntry, ...]
    writers: PfxWriters
    replace: bool = False

    def write(self, targets: Sequence[Target], dialogue: Dialogue) -> tuple[WrittenFile, ...]:
        """Write a file for each format, in the order of the writers, each with its copies.

        Every file and copy is read back from the disk and verified before it gets its name.

        Raises:
            NssBackupError: a file can't be written or does not verify; the dialogue is told of
                those written before.
        """
        placed: list[Path] = []
        with telling_placed(placed, dialogue):
            return tuple(
                [
                    self._written(pfx_format, target, dialogue, placed)
                    for pfx_format, target in zip(self.writers.by_format, targets, strict=True)
                ]
            )

    def _written(
        self, pfx_format: Format, target: Target, dialogue: Dialogue, placed: list[Path]
    ) -> WrittenFile:
        """Write one file and its copies; add the path of each to `placed`."""
        data = self.writers.by_format[pfx_format].encode_all(self.entries)
        expected = Expected(self.entries, pfx_format, self.writers.rounds)

        def check(path: Path) -> None:
            for warning in verify_written(path, self.writers.password, expected):
                dialogue.warn(warning)

        for path in target.paths:
            write_verified(path, data, check, replace=self.replace)
            placed.append(path)
            dialogue.detail(f"written and verified: {path}")
        digest = hashlib.sha256(data).hexdigest()
        return WrittenFile(target.path, target.copies, pfx_format.name, digest, len(data))


def default_name(identity: Identity, ending: str = PFX_ENDINGS[0]) -> str:
    """Return `<CN>-<issuer>-<end date>` and the ending, safe for every file system."""
    certificate = identity.certificate
    # The names are shortened before the date is added.
    names = safe_name(f"{certificate.display_name}-{certificate.issuer_name}")
    return f"{names}-{certificate.not_after:%Y-%m-%d}{ending}"


def with_ending(name: str, endings: Sequence[str] = PFX_ENDINGS) -> str:
    """Return the name with the first ending, unless it has one of them already."""
    return name if name.casefold().endswith(tuple(endings)) else f"{name}{endings[0]}"


def _with_parents(folder: Path) -> Iterator[Path]:
    yield folder
    with suppress(OSError):  # the current folder was removed
        yield from Path(os.path.realpath(folder)).parents


def _file_id(path: Path) -> object:
    """Return what is equal for two paths of one folder; a new object if there is none."""
    try:
        facts = path.stat()
    except OSError:
        return object()
    return facts.st_dev, facts.st_ino


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one is missing; `check_writable` says so
        return False
