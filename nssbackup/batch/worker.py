"""The process that backs users up, one after the other: run by its path, not imported.

It takes the folders to find packages in as its arguments, so that it loads what its parent has
loaded, and nothing from the current folder. A line of orders comes first, then a line a user, and
a line of answer goes back for each; all JSON.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Serve until the parent ends."""
    sys.path.extend(folder for folder in sys.argv[1:] if folder not in sys.path)
    from nssbackup.batch.serving import serve

    serve()


if __name__ == "__main__":
    main()
