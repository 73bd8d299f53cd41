"""`python -m nssbackup.fleet`: what the role runs on either end of a transfer.

On the controller, `pack FOLDER FILES` packs what a host needs into `nssbackup.zip` in a private
temporary folder and prints that folder; `unpack ARCHIVE FOLDER` prints as JSON what was new. On the
host, `back-up ARCHIVE WORD...` runs nssbackup with these words, and packs the folder `out` unless
ARCHIVE is empty.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from nssbackup.errors import NssBackupError, UsageError
from nssbackup.fleet.transfer import PACKED_FOR_HOST, pack, pack_for_host, unpack


def main(words: list[str]) -> int:
    """Do what the words say; return the exit status."""
    try:
        match words:
            case ["pack", folder, files]:
                sys.stdout.write(str(_packed(Path(folder), json.loads(files))))
            case ["unpack", archive, folder]:
                sys.stdout.write(json.dumps(unpack(Path(archive), Path(folder)).to_json()))
            case ["back-up", archive, *options]:
                return _backed_up(archive, options)
            case _:
                message = "only the role `nssbackup.fleet.backup` runs this"
                raise UsageError(message)
    except NssBackupError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_status
    return 0


def _packed(folder: Path, files: dict[str, str]) -> Path:
    """Pack what a host needs into a new folder; remove the folder if that fails."""
    made = Path(tempfile.mkdtemp(prefix="nssbackup-fleet-"))
    try:
        pack_for_host(
            folder, made / PACKED_FOR_HOST, {name: Path(path) for name, path in files.items()}
        )
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return made


def _backed_up(archive: str, options: list[str]) -> int:
    """Run a batch, pass its output on, and return its status."""
    done = subprocess.run(  # noqa: S603 - this Python and our own module
        [sys.executable, "-m", "nssbackup", *options], check=False, stdin=subprocess.DEVNULL
    )
    if archive:
        pack(Path("out"), Path(archive))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
