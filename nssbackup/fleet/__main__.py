"""`python -m nssbackup.fleet`: packing and unpacking, for the role, on either end of a transfer.

On the controller `pack-luggage FOLDER ARCHIVE CERTIFICATE...` and `unpack ARCHIVE FOLDER`, which
prints as JSON what was new; on the host `pack FOLDER ARCHIVE`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nssbackup.errors import NssBackupError, UsageError
from nssbackup.fleet.transfer import pack, pack_luggage, unpack


def main(words: list[str]) -> int:
    """Do what the words say; returns the exit status."""
    try:
        match words:
            case ["pack-luggage", folder, archive, *escrow]:
                pack_luggage(Path(folder), Path(archive), [Path(path) for path in escrow])
            case ["pack", folder, archive]:
                pack(Path(folder), Path(archive))
            case ["unpack", archive, folder]:
                sys.stdout.write(json.dumps(unpack(Path(archive), Path(folder)).to_json()))
            case _:
                message = "this is for the role `nssbackup.fleet.backup`"
                raise UsageError(message)
    except NssBackupError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
