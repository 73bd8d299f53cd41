"""The process that backs users up, one after the other: run by its path, not imported.

It is of the package that it lies in, whichever else is installed. It takes the folders to find
other packages in as its arguments, so that it loads what its parent has loaded, and nothing from
the current folder. A line of orders comes first, then a line a user, and a line of answer goes
back for each; all JSON.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> None:
    """Serve until the parent ends."""
    sys.path.extend(folder for folder in sys.argv[1:] if folder not in sys.path)
    # In front for this one import, so that nothing of ours hides a module of Python's.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    importlib.import_module("nssbackup")  # whose modules then come from where it lies
    del sys.path[0]
    from nssbackup.batch.serving import serve

    serve()


if __name__ == "__main__":
    main()
