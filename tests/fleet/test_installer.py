"""The installer: what it says where a host lacks something. That it installs: test_building.py."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nssbackup.fleet import installer
from nssbackup.fleet.transfer import pack_for_host
from tests import LIMIT, is_root

# What a host may have that is not Python 3.11 with everything.
_RUN = """
import runpy, sys
sys.argv = sys.argv[1:]
{before}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


_COMPLAINING = "import sys; sys.exit(f'no {sys.argv[1:]} here')"


def archive_with(folder: Path, *wheels: str, pip: str = _COMPLAINING) -> Path:
    backups = folder / "backups" / "jane"
    backups.mkdir(parents=True)
    (backups / "Jane.pfx").write_bytes(b"pfx")
    (folder / "it.pem").write_bytes(b"certificate")
    (folder / "wheels").mkdir()
    for name in wheels:
        # A pip that can do nothing but complain, so that no index is asked for anything.
        with zipfile.ZipFile(folder / "wheels" / name, "w") as file:
            file.writestr("pip/__main__.py", pip)
    files = {"escrow-0.pem": folder / "it.pem", "wheels": folder / "wheels"}
    pack_for_host(backups.parent, folder / "nssbackup.zip", files)
    return folder / "nssbackup.zip"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return archive_with(tmp_path)


def install(archive: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    work = archive.with_name("nssbackup-fleet-now")
    work.mkdir()
    code = _RUN.format(before=before)
    return subprocess.run(
        [sys.executable, "-B", "-c", code, archive, ".", "nssbackup"],
        capture_output=True,
        text=True,
        check=False,
        cwd=work,
        timeout=LIMIT,
    )


def test_an_older_python_can_read_it() -> None:
    source = Path(installer.__file__).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))


def test_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(installer.__file__).read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
        )
    }
    assert imported <= set(sys.stdlib_module_names)


def test_what_was_brought_is_put_where_batch_looks_for_it(archive: Path) -> None:
    install(archive, before="sys.modules['ensurepip'] = None")
    work = archive.with_name("nssbackup-fleet-now")
    assert (work / "out" / "jane" / "Jane.pfx").read_bytes() == b"pfx"
    assert (work / "escrow-0.pem").read_bytes() == b"certificate"
    assert not (work / "__main__.py").exists()
    if sys.platform != "win32":
        assert all(not path.stat().st_mode & 0o077 for path in work.rglob("*"))


def test_what_pip_says_is_handed_on(tmp_path: Path) -> None:
    done = install(archive_with(tmp_path, "pip-1-py3-none-any.whl"))
    assert done.returncode == 1
    assert done.stderr.startswith("nssbackup can't be installed on this computer: no ['install', ")
    for option in ("--no-index", "--no-cache-dir", "--only-binary", "nssbackup"):
        assert repr(option) in done.stderr


# --- the same in this process


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Path]]:
    """Has the installer find some archive; gives the folder that it works in."""
    before = os.umask(0o077)

    def prepared(archive: Path) -> Path:
        monkeypatch.setattr(sys, "argv", [str(archive)])
        work = archive.with_name("nssbackup-fleet-now")
        work.mkdir()
        return work

    yield prepared
    os.umask(before)


def test_another_version_of_python_is_named(
    here: Callable[[Path], Path], archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = here(archive)
    monkeypatch.setattr(sys, "version_info", (3, 10, 2))
    with pytest.raises(SystemExit, match=r"is 3\.10: name another"):
        installer.main(work, "nssbackup")
    assert list(work.iterdir()) == []


def test_only_what_earlier_runs_left_is_removed_a_day_later(
    here: Callable[[Path], Path], archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = here(archive)
    old, recent, other = (work.with_name(f"nssbackup-fleet-{name}") for name in "abc")
    file, link = (work.with_name(f"nssbackup-fleet-{name}") for name in "de")
    for folder in (old, recent, other):
        folder.mkdir()
        (folder / "file").touch()
    file.touch()
    link.symlink_to(recent)
    for path in (old, other, file, work):
        os.utime(path, (0, 0))
    if is_root():
        os.chown(other, 12345, -1)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        installer.main(work, "nssbackup")
    assert not old.exists()
    assert other.exists() is is_root()
    assert all(path.exists() for path in (recent, file, link, work))
    assert (work / "out" / "jane" / "Jane.pfx").read_bytes() == b"pfx"


@pytest.mark.parametrize(
    ("pip", "said"),
    [
        ("", None),
        ("import sys; sys.exit('no index')", "can't be installed on this computer: no index$"),
        ("import time; time.sleep(60)", "on this computer within 1 seconds$"),
    ],
    ids=["done", "refused", "stuck"],
)
def test_pip_does_it_or_says_why_not_or_is_not_waited_for(
    here: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pip: str,
    said: str | None,
) -> None:
    work = here(archive_with(tmp_path, "pip-1-py3-none-any.whl", pip=pip))
    monkeypatch.setattr(installer, "_LIMIT", 1.0 if "sleep" in pip else 60.0)
    if said is None:
        installer.main(work, "nssbackup")
    else:
        with pytest.raises(SystemExit, match=said):
            installer.main(work, "nssbackup")
    assert (work / "venv" / "pyvenv.cfg").exists()
