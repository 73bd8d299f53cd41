"""`python -m nssbackup` and the `nssbackup` command."""

from __future__ import annotations

from nssbackup.cli import app


def main() -> None:
    """Run the command line and exit with its status."""
    app(prog_name="nssbackup")


if __name__ == "__main__":
    main()
