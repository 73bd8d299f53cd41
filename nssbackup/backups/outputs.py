"""Outputs: where the files of one backup go, and what they are called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nssbackup.errors import UsageError
from nssbackup.identity.model import Identity
from nssbackup.system.files import check_writable, safe_name

PFX_ENDINGS = (".pfx", ".p12")
PEM_ENDINGS = (".pem", ".crt", ".cer")


@dataclass(frozen=True, slots=True)
class Target:
    """One file to write, and where its copies go."""

    path: Path
    copies: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file and its copies."""
        return (self.path, *self.copies)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where files go: a folder, a name in it or None for the default name, and copies.

    Attributes:
        folder: the folder of the file; it exists.
        name: the name of the file with its ending.
        copies: folders that get a copy each.
        variants: one file is written for each; the first has the plain name, others have theirs
            before the ending.
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
        """Read what the user said, and find out what is wrong with it before anything is asked.

        Args:
            output: a file, or a folder if it exists or ends with a separator; "" is the current
                folder.
            copies: folders.
            variants: see the class.
            endings: the ones that a name may have already; the first is put behind others.
            replace: whether existing files may be replaced.

        Raises:
            OutputExistsError: the file named exists and may not be replaced.
            OutputError: a folder is missing or closed to us.
            UsageError: a copy would be the file itself.
        """
        separators = tuple(filter(None, (os.sep, os.altsep)))
        if not output or output.endswith(separators) or os.path.isdir(output):  # noqa: PTH112 - see files
            folder, name = Path(output or "."), None
        else:
            folder, name = Path(output).parent, with_ending(Path(output).name, endings)
        outputs = cls(folder, name, tuple(copies), tuple(variants), endings[0])
        outputs._check_distinct()
        for target in outputs._targets(name or endings[0]):
            for path in target.paths:
                check_writable(path, replace=replace or name is None)
        return outputs

    def targets(self, identity: Identity) -> tuple[Target, ...]:
        """The files to write for an identity, one a variant."""
        return self._targets(self.name or default_name(identity, self.ending))

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
                hint = "give each `--copy-to` a folder of its own, another than `--output`"
                raise UsageError(message, hint=hint)
            folders.append(copy)


def default_name(identity: Identity, ending: str = PFX_ENDINGS[0]) -> str:
    """`<CN>-<issuer>-<end date>` and the ending, safe for every file system."""
    certificate = identity.certificate
    who = certificate.display_name
    end = f"{certificate.not_after:%Y-%m-%d}"
    # The names are cut before the date is put behind them.
    return f"{safe_name(f'{who}-{certificate.issuer_name}')}-{end}{ending}"


def with_ending(name: str, endings: Sequence[str] = PFX_ENDINGS) -> str:
    """The name with the first ending behind it, unless it has one of them already."""
    return name if name.casefold().endswith(tuple(endings)) else f"{name}{endings[0]}"


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is missing, which is found out next
        return False
