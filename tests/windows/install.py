"""Install Windows' own CPython under Wine: `python -m tests.windows.install`, as root on Debian.

- Wine, and a compiler for Windows, come from apt.
- Windows' build of this Python (python3XX.dll, the extension modules, sqlite3, libcrypto) comes
  from a wheel of panda3d, which brings it along for programs made with it.
- The library in pure Python is the running one's: it has the same minor version.
- `python.exe` and two small DLLs are compiled here.
- What nssbackup and its tests need comes as wheels for Windows, by pip.

Where it can't install, it says what is missing and ends with status 0: the tests then skip. Needs
nothing but the standard library and pip.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from pathlib import Path

from tests.peers.install import InstallError, install_packages, may_install, run, say
from tests.windows import MINOR, WHEELS, environment, folder, missing, unsupported

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
COMPILER = "x86_64-w64-mingw32-gcc"
PACKAGES = ("wine64", "wine", "gcc-mingw-w64-x86-64")
PANDA3D = "panda3d==1.10.16"

# What the tests need there, and what their packages need on Windows only: pip, running here,
# takes the markers to be about this system.
TESTS = ("colorama", "hypothesis>=6.150", "pytest>=9", "pytest-timeout")

# Not taken from the wheel: Wine has the C runtime, there is no use for Tk and sounds, and _wmi
# ends the process under Wine 8.
UNUSED = ("api-ms", "tcl", "tk8", "_tkinter", "winsound", "_msi", "_wmi")
# Not taken from the library: what belongs to the other system, and what no test imports.
LEFT_OUT = shutil.ignore_patterns(
    *("site-packages", "dist-packages", "lib-dynload", "config-*", "__pycache__", "test"),
    *("idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data"),
)
# Wine 8 has no CopyFile2, which shutil uses from Python 3.12 on; without it, it copies by itself.
SITE = """import _winapi
if hasattr(_winapi, "CopyFile2"):
    del _winapi.CopyFile2
"""


def main() -> int:
    """Install what is missing; the exit status."""
    if reason := unsupported():
        say(f"Windows' Python: not installed: {reason}")
        return 0
    stamp = folder() / "installed"
    wanted = _fingerprint()
    if missing() is None and stamp.read_text(encoding="utf-8") == wanted:
        say(f"Windows' Python {MINOR} in {folder()}")
        return 0
    programs = shutil.which("wine") and shutil.which(COMPILER)
    if not programs and not may_install():
        say("Windows' Python: not root, or no apt: not installed")
        return 0
    try:
        if not programs:
            install_packages(list(PACKAGES))
        _make(folder())
    except InstallError as exc:
        sys.stderr.write(f"failed: {exc}\n")
        return 1
    stamp.write_text(wanted, encoding="utf-8")
    say(f"Windows' Python {MINOR} in {folder()}")
    return 0


def _requirements() -> list[str]:
    """Return what nssbackup and the tests need on Windows."""
    facts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return [*facts["project"]["dependencies"], *TESTS]


def _fingerprint() -> str:
    """Return a hash of all that decides what is installed."""
    sources = b"".join(path.read_bytes() for path in sorted(HERE.glob("*.c")))
    facts = repr((_requirements(), Path(__file__).read_text(encoding="utf-8"), sys.version))
    return hashlib.sha256(sources + facts.encode()).hexdigest()


def _make(target: Path) -> None:
    """Make the folder anew."""
    shutil.rmtree(target, ignore_errors=True)
    python = target / "python"
    (python / "DLLs").mkdir(parents=True)
    _unpack(python)
    shutil.copytree(sysconfig.get_path("stdlib"), python / "Lib", ignore=LEFT_OUT)
    (python / "Lib" / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    _compile(python)
    site = python / "Lib" / "site-packages"
    pip("install", "--target", str(site), *_requirements())
    # The bytecode is the same on every system, and a start takes a third of the time with it.
    run(sys.executable, "-m", "compileall", "-q", str(python / "Lib"), allowed=(0, 1))
    for words in (("wineboot", "-i"), ("winecfg", "-v", "win10")):
        run("wine", *words, variables=environment())
    run("wineserver", "-w", variables=environment())


def _unpack(python: Path) -> None:
    """Take Windows' build of Python out of the wheel."""
    with tempfile.TemporaryDirectory(prefix="panda3d-") as temporary:
        pinned = Path(temporary, "requirements.txt")
        pinned.write_text(f"{PANDA3D} --hash=sha256:{WHEELS[MINOR]}\n", encoding="utf-8")
        pip("download", "--no-deps", "-d", temporary, "--require-hashes", "-r", str(pinned))
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                name = Path(member).name
                if not member.startswith("deploy_libs/") or name.lower().startswith(UNUSED):
                    continue
                beside = name.lower().startswith(("python3", "vcruntime"))
                (python / ("" if beside else "DLLs") / name).write_bytes(archive.read(member))


def _compile(python: Path) -> None:
    """Compile python.exe and the DLLs that the wheel or Wine lacks."""
    name = f"python{MINOR.replace('.', '')}"
    library = str(python / f"{name}.dll")
    compiler = [COMPILER, "-O2", "-s"]
    run(*compiler, "-municode", "-o", f"{python}/python.exe", str(HERE / "python.c"), library)
    exports = python / "python3.def"
    forwards = [f"{one} = {name}.{one}" for one in _exported(library)]
    exports.write_text("\n".join(["LIBRARY python3.dll", "EXPORTS", *forwards]), encoding="ascii")
    compiler += ["-shared", "-nostdlib", "-o"]
    run(*compiler, f"{python}/python3.dll", str(HERE / "empty.c"), str(exports))
    missing_in_wine = "bcryptprimitives"
    source = str(HERE / f"{missing_in_wine}.c")
    run(*compiler, f"{python}/{missing_in_wine}.dll", source, "-ladvapi32")


def _exported(library: str) -> list[str]:
    """Return the names that a DLL exports."""
    said = subprocess.run(
        [COMPILER.replace("gcc", "objdump"), "-p", library],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    ).stdout
    table = said.partition("[Ordinal/Name Pointer] Table")[2].partition("\n\n")[0]
    return [line.split()[-1] for line in table.splitlines() if line.strip().startswith("[")]


def pip(command: str, *words: str) -> None:
    """Run pip for Windows' Python of this minor version."""
    system = ["--platform", "win_amd64", "--python-version", MINOR, "--only-binary=:all:"]
    pip = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]
    run(*pip, *system, *words)


if __name__ == "__main__":
    sys.exit(main())
