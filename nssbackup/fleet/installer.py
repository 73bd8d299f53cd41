"""Installs nssbackup on a host: this file is the program in the archive that goes there.

`python luggage.zip WORK REQUIREMENT` unpacks what else is in the archive into the folder WORK,
makes a virtual environment there and installs into it: from WORK's folder `wheels` where there is
one, else from the index that pip on the host is set up for. What an earlier run lost its connection
to is removed beside WORK. There is nothing but Python's standard library here, and nothing that
Python 3.7 could not read: it has to say what it lacks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

PROGRAM = "__main__.py"

# Less than the role waits, so that it hears of it.
_LIMIT = 500.0
_OLD = 24 * 3600.0


def main(work: Path, requirement: str) -> None:
    """Unpack, make the environment, install.

    Raises:
        SystemExit: it can't be done; the message says why.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - this is where an old one finds out
        sys.exit(
            f"Python 3.11 or later is needed on this computer, and `{sys.executable}` is"
            f" {sys.version_info[0]}.{sys.version_info[1]}: name another in `nssbackup_python`"
        )
    os.umask(0o077)
    work = work.resolve()
    _sweep(work)
    with zipfile.ZipFile(sys.argv[0]) as file:
        file.extractall(work, [name for name in file.namelist() if name != PROGRAM])
    wheels = work / "wheels"
    # Where pip itself is among the wheels the host needs no `ensurepip`, which Debian has in a
    # package of its own; and it is faster.
    pip = next(iter(sorted(wheels.glob("pip-*.whl"))), None)
    python = _environment(work / "venv", with_pip=pip is None)
    options = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--quiet"]
    # Nothing is built on a host, and compiling what runs once costs more than it saves.
    options += ["--only-binary", ":all:", "--no-compile"]
    if wheels.is_dir():
        options += ["--no-index", "--find-links", str(wheels)]
    program = [str(pip / "pip")] if pip is not None else ["-m", "pip"]
    _run(str(python), *program, "install", *options, requirement)


def _sweep(work: Path) -> None:
    """Remove what the role left beside its folder, if it is a day old.

    Only our own: anybody may make a folder of such a name in /tmp.
    """
    for folder in work.parent.glob("nssbackup-fleet-*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == work.stat().st_uid
            if ours and folder != work and time.time() - found.st_mtime > _OLD:
                shutil.rmtree(folder, ignore_errors=True)


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
    try:
        done = subprocess.run(  # noqa: S603 - Python and pip of the environment just made
            words, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=_LIMIT
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"nssbackup can't be installed on this computer within {_LIMIT:.0f} seconds")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        sys.exit(f"nssbackup can't be installed on this computer: {said[-1500:]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
