"""`python -m nssbackup.fleet`: what the role does with nssbackup, on either end of a transfer.

On the controller `pack-luggage FOLDER FILES`, which prints the private temporary folder that it
puts `luggage.zip` into, and `unpack ARCHIVE FOLDER`, which prints as JSON what was new. On the host
`back-up ARCHIVE WORD...`: it runs nssbackup with the words, and packs the folder `out`; where
ARCHIVE is empty it packs nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from nssbackup.errors import NssBackupError, UsageError
from nssbackup.fleet.transfer import pack, pack_luggage, unpack


def main(words: list[str]) -> int:
    """Do what the words say; returns the exit status."""
    try:
        match words:
            case ["pack-luggage", folder, files]:
                sys.stdout.write(str(_packed(Path(folder), json.loads(files))))
            case ["unpack", archive, folder]:
                sys.stdout.write(json.dumps(unpack(Path(archive), Path(folder)).to_json()))
            case ["back-up", archive, *options]:
                return _backed_up(archive, options)
            case _:
                message = "this is for the role `nssbackup.fleet.backup`"
                raise UsageError(message)
    except NssBackupError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_status
    return 0


def _packed(folder: Path, files: dict[str, str]) -> Path:
    """Pack the luggage into a new folder, which is gone again where that fails."""
    made = Path(tempfile.mkdtemp(prefix="nssbackup-fleet-"))
    try:
        given = {name: Path(path) for name, path in files.items()}
        pack_luggage(folder, made / "luggage.zip", given)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return made


def _backed_up(archive: str, options: list[str]) -> int:
    """Run a batch; its words and its status are passed on."""
    done = subprocess.run(  # noqa: S603 - this Python and our own module
        [sys.executable, "-m", "nssbackup", *options], check=False, stdin=subprocess.DEVNULL
    )
    if archive:
        pack(Path("out"), Path(archive))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
