"""Export: one identity of one store into a verified PFX. The use case from step 1 to step 5."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nssbackup.engines import EngineName, Store, open_store
from nssbackup.errors import (
    NssBackupError,
    PrimaryPasswordRequiredError,
    UsageError,
    WrongPrimaryPasswordError,
)
from nssbackup.files import check_writable, safe_name, write_verified
from nssbackup.identities import Select, check_key_fits, choose
from nssbackup.inventory import take_inventory
from nssbackup.model import Identity, PasswordFor, PrivateKey, Profile
from nssbackup.pkcs12 import MODERN, Format, Sealing, friendly_name_of
from nssbackup.report import ExportReport, WrittenFile
from nssbackup.secret import Secret
from nssbackup.verify import Expected, identity_warnings, verify_written

_ENDINGS = (".pfx", ".p12")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to export and how.

    Attributes:
        certificate: the user's CERT argument; None for the WIPO identity.
        output: a file, or a folder if it exists or ends with a separator; "" is the current one.
        formats: one file is written for each.
        copies: folders that get a verified copy each.
        friendly_name: None for the certificate's nickname or common name.
        chain: whether the CA certificates go along.
        replace: whether existing files may be replaced.
        engine: what reads the store.
    """

    certificate: str | None = None
    output: str = ""
    formats: tuple[Format, ...] = (MODERN,)
    copies: tuple[Path, ...] = ()
    friendly_name: str | None = None
    chain: bool = True
    replace: bool = False
    engine: EngineName = "auto"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """How the export asks and tells; the library itself never does either.

    Attributes:
        primary_password: asked for a profile's primary password, again as long as it is wrong.
        sealing: asked once for the backup password, when all else is settled. Where that is
            known beforehand, the derivations have better begun already.
        select: asked which of several identities is meant; None where nobody can be asked.
        warn: told what the user should know.
        detail: told what is done.
    """

    primary_password: PasswordFor
    sealing: Callable[[], Sealing]
    select: Select | None = None
    warn: Callable[[str], None] = field(default=lambda _: None)
    detail: Callable[[str], None] = field(default=lambda _: None)


def export_identity(
    profiles: Sequence[Profile], options: ExportOptions, dialogue: Dialogue
) -> ExportReport:
    """Write one identity to a PFX for each format, verified before it gets its name.

    Nothing is asked before it is known that the files can be written and the key can be read.

    Raises:
        NssBackupError: any of them; then no file was written, or only whole and verified ones.
    """
    outputs = Outputs.of(options)
    inventory = take_inventory(profiles, options.engine)
    for failure in inventory.failures:
        dialogue.warn(f"profile `{failure.profile.name}` was passed over: {failure.error.message}")
    choice = choose(inventory.identities, options.certificate, dialogue.select)
    for note in choice.notes:
        dialogue.warn(note)
    identity = choice.identity
    for warning in identity_warnings(identity):
        dialogue.warn(warning)
    if not options.chain:
        identity = Identity(identity.profile, identity.certificate)
    targets = outputs.targets(identity)
    for target in targets:
        for path in (target.path, *target.copies):
            check_writable(path, replace=options.replace)
    key = read_key(identity, options.engine, dialogue.primary_password)
    batch = _Batch(identity, key, dialogue.sealing(), options, dialogue)
    return ExportReport(identity, tuple(batch.write(target) for target in targets))


def read_key(identity: Identity, engine: EngineName, primary_password: PasswordFor) -> PrivateKey:
    """Take an identity's private key out of its profile's store.

    Raises:
        WrongPrimaryPasswordError: the primary password is wrong and no other is to be had.
        PrimaryPasswordRequiredError: there is one and none was given.
        KeyMismatchError: the key is not the certificate's.
        NssBackupError: what `Store.private_key` raises.
    """
    profile = identity.profile
    if profile is None:
        message = "an identity without a profile has no store to take its key from"
        raise ValueError(message)
    with open_store(profile, engine) as store:
        unlock(store, profile, primary_password)
        key = store.private_key(identity.certificate)
    check_key_fits(identity, key)
    return key


def unlock(store: Store, profile: Profile, primary_password: PasswordFor) -> None:
    """Unlock a store: with the empty password if that does it, else with what is answered."""
    try:
        store.unlock(Secret(""))
    except WrongPrimaryPasswordError:
        pass
    else:
        return
    attempt = 0
    while True:
        password = primary_password(profile, attempt)
        if password is None and attempt == 0:
            message = f"profile `{profile.name}` has a primary password"
            raise PrimaryPasswordRequiredError(message)
        if password is None:
            message = f"the primary password for profile `{profile.name}` is wrong"
            raise WrongPrimaryPasswordError(message)
        try:
            store.unlock(password)
        except WrongPrimaryPasswordError:
            attempt += 1
        else:
            return


@dataclass(frozen=True, slots=True)
class Target:
    """One file to write, and where its copies go."""

    format: Format
    path: Path
    copies: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the files go: a folder, a name in it or None for the default name, and copies."""

    folder: Path
    name: str | None
    formats: tuple[Format, ...]
    copies: tuple[Path, ...]

    @classmethod
    def of(cls, options: ExportOptions) -> Outputs:
        """Read the options, and find out what is wrong with them before anything is asked.

        Raises:
            OutputExistsError: the file named exists and may not be replaced.
            OutputError: a folder is missing or closed to us.
            UsageError: a copy would be the file itself.
        """
        output = options.output
        separators = tuple(filter(None, (os.sep, os.altsep)))
        if not output or output.endswith(separators) or os.path.isdir(output):  # noqa: PTH112 - see files
            folder, name = Path(output or "."), None
        else:
            folder, name = Path(output).parent, with_ending(Path(output).name)
        outputs = cls(folder, name, options.formats, options.copies)
        folders = [folder]
        for copy in options.copies:
            if any(_is_same(copy, other) for other in folders):
                message = f"two of the files would be written to `{copy}`"
                hint = "give each `--copy-to` a folder of its own, another than `--output`"
                raise UsageError(message, hint=hint)
            folders.append(copy)
        placeholder = name or ".pfx"
        for format_ in options.formats:
            for place in folders:
                check_writable(
                    place / outputs.file_name(placeholder, format_),
                    replace=options.replace or name is None,
                )
        return outputs

    def targets(self, identity: Identity) -> tuple[Target, ...]:
        """The files to write for an identity."""
        name = self.name or default_name(identity)
        return tuple(
            Target(
                format_,
                self.folder / self.file_name(name, format_),
                tuple(copy / self.file_name(name, format_) for copy in self.copies),
            )
            for format_ in self.formats
        )

    def file_name(self, name: str, format_: Format) -> str:
        """The name of the file of one format: the first's is the plain one."""
        if format_ is self.formats[0]:
            return name
        stem, dot, ending = name.rpartition(".")
        return f"{stem}.{format_.name}{dot}{ending}"


def default_name(identity: Identity) -> str:
    """`<CN>-<issuer>-<end date>.pfx`, safe for every file system."""
    certificate = identity.certificate
    who = certificate.common_name or certificate.subject
    end = f"{certificate.not_after:%Y-%m-%d}"
    # The names are cut before the date is put behind them.
    return f"{safe_name(f'{who}-{certificate.issuer_name}')}-{end}.pfx"


def with_ending(name: str) -> str:
    """The name with `.pfx` behind it, unless it ends in `.pfx` or `.p12` already."""
    return name if name.casefold().endswith(_ENDINGS) else f"{name}.pfx"


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is missing, which is found out next
        return False


@dataclass(frozen=True, slots=True)
class _Batch:
    """What all files of one export have in common."""

    identity: Identity
    key: PrivateKey = field(repr=False)
    sealing: Sealing
    options: ExportOptions
    dialogue: Dialogue
    written: list[Path] = field(default_factory=list)

    def write(self, target: Target) -> WrittenFile:
        """Write one file and its copies, each verified where it lies."""
        wanted = self.options.friendly_name
        sealer = self.sealing.sealers[target.format]
        data = sealer.seal(self.identity, self.key, friendly_name=wanted)
        expected = Expected(
            identity=self.identity,
            key=self.key,
            friendly_name=friendly_name_of(self.identity, wanted),
            format=target.format,
            rounds=self.sealing.rounds,
        )

        def check(path: Path) -> None:
            for warning in verify_written(path, self.sealing.password, expected):
                self.dialogue.warn(warning)

        for path in (target.path, *target.copies):
            try:
                write_verified(path, data, check, replace=self.options.replace)
            except NssBackupError:
                for done in self.written:
                    self.dialogue.warn(f"`{done}` was written and verified before this failed")
                raise
            self.written.append(path)
            self.dialogue.detail(f"written and verified: {path}")
        digest = hashlib.sha256(data).hexdigest()
        return WrittenFile(target.path, target.copies, target.format.name, digest, len(data))
