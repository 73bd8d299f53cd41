"""Installs nssbackup on a host: this file is the program in the archive that goes there.

`python luggage.zip WORK REQUIREMENT [WHEELS]` makes a virtual environment in the folder WORK and
installs into it, from WHEELS (a folder of wheels or a ZIP of one) or from the index that pip on the
host is set up for. What else is in the archive goes to WORK as well. There is nothing but Python's
standard library here, and nothing that Python 3.7 could not read: it has to say what it lacks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

PROGRAM = "__main__.py"


def main(work: Path, requirement: str, wheels: Path | None = None) -> None:
    """Unpack, make the environment, install.

    Raises:
        SystemExit: it can't be done; the message says why.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 - this is where an old one finds out
        sys.exit(
            f"Python 3.10 or later is needed on this computer, and `{sys.executable}` is"
            f" {sys.version_info[0]}.{sys.version_info[1]}: name another in `nssbackup_python`"
        )
    os.umask(0o077)
    _unpack(Path(sys.argv[0]), work)
    pip = None
    if wheels is not None:
        if wheels.is_file():
            _unpack(wheels, work / "unpacked")
            wheels = work / "unpacked"
        # Where pip itself is among the wheels the host needs no `ensurepip`, which Debian has in a
        # package of its own; and it is faster.
        pip = next(iter(sorted(wheels.glob("pip-*.whl"))), None)
    python = _environment(work / "venv", with_pip=pip is None)
    options = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--quiet"]
    # Nothing is built on a host, and compiling what runs once costs more than it saves.
    options += ["--only-binary", ":all:", "--no-compile"]
    if wheels is not None:
        options += ["--no-index", "--find-links", str(wheels)]
    program = [str(pip / "pip")] if pip is not None else ["-m", "pip"]
    _run(str(python), *program, "install", *options, requirement)


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder, [name for name in file.namelist() if name != PROGRAM])


def _environment(folder: Path, *, with_pip: bool) -> Path:
    """Make the environment; returns its Python."""
    try:
        import venv

        if with_pip:
            import ensurepip  # noqa: F401 - whether it is there: venv would say so in many words
    except ImportError:
        sys.exit(
            "Python's modules venv and ensurepip are needed on this computer (on Debian and Ubuntu:"
            " `apt install python3-venv`), or the wheel of pip among `nssbackup_wheels`"
        )
    windows = sys.platform == "win32"
    venv.EnvBuilder(with_pip=with_pip, symlinks=not windows).create(folder)
    return folder / ("Scripts/python.exe" if windows else "bin/python")


def _run(*words: str) -> None:
    done = subprocess.run(  # noqa: S603 - Python and pip of the environment just made
        words, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        sys.exit(f"nssbackup can't be installed on this computer: {said[-1500:]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:]))
