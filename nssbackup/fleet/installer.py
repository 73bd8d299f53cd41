"""Install nssbackup on a host: this file is the program in the archive that goes there.

`python nssbackup.zip WORK REQUIREMENT` unpacks the rest of the archive into the folder WORK, makes
a virtual environment there and installs into it, from WORK's folder `wheels` if there is one, else
from the index that pip on the host is set up for. Folders that earlier runs could not remove are
removed. Only the standard library is used, and only what Python 3.7 can parse, so that an old
Python can say what is missing.
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

# Less than the role waits, so that the message gets there.
_LIMIT = 500.0
_OLD = 24 * 3600.0


def main(work: Path, requirement: str) -> None:
    """Unpack the archive, make the environment and install.

    Raises:
        SystemExit: this failed; the message says why.
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
    # With pip among the wheels the host needs no `ensurepip`, which is a package of its own on
    # Debian; and it is faster.
    pip = next(iter(sorted(wheels.glob("pip-*.whl"))), None)
    python = _environment(work / "venv", with_pip=pip is None)
    options = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--quiet"]
    # Nothing is built on a host, and nothing that runs once is worth compiling.
    options += ["--only-binary", ":all:", "--no-compile"]
    if wheels.is_dir():
        options += ["--no-index", "--find-links", str(wheels)]
    program = [str(pip / "pip")] if pip is not None else ["-m", "pip"]
    _run(str(python), *program, "install", *options, requirement)


def _sweep(work: Path) -> None:
    """Remove the folders of this user that the role left a day ago or earlier."""
    for folder in work.parent.glob("nssbackup-fleet-*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == work.stat().st_uid
            if ours and folder != work and time.time() - found.st_mtime > _OLD:
                shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path, *, with_pip: bool) -> Path:
    """Make the environment and return its Python."""
    try:
        import venv

        if with_pip:
            import ensurepip  # noqa: F401 - venv's own message is long
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
