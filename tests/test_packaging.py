"""The package as it is shipped: what it loads, and what is in the wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import LIMIT, PROJECT

HEAVY = {"cryptography", "jinja2", "sqlite3", "pydantic", "rich"}


def python(*words: str, path: Path | None = None, cwd: Path | None = None) -> str:
    """Run Python in a clean environment and return what it prints."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
        cwd=cwd or Path.home(),
        env=environment,
    ).stdout


def loaded_by(code: str) -> set[str]:
    """The top-level modules that are there after some code has run."""
    report = "; import sys; print(' '.join(sys.modules))"
    return {name.partition(".")[0] for name in python("-c", code + report).split()}


def loaded_by_command(*words: str) -> set[str]:
    """The top-level modules that a command loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nssbackup", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
        cwd=Path.home(),
        # Measuring coverage loads modules of its own.
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
    )
    modules = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert "typer" in modules  # the report is what it is taken for
    return {name.partition(".")[0] for name in modules}


def test_importing_the_package_loads_little() -> None:
    heavy = {*HEAVY, "typer", "click", "nss", "asyncio", "argparse"}
    assert not loaded_by("import nssbackup") & heavy


def test_the_command_line_loads_only_what_help_needs() -> None:
    assert not loaded_by("import nssbackup.cli") & {*HEAVY, "nss"}


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_and_version_load_nothing_heavy(words: tuple[str, ...]) -> None:
    assert loaded_by_command(*words) & {*HEAVY, "nss"} == set()


@pytest.mark.parametrize("command", ["export", "repassword"])
def test_what_starts_derivations_loads_only_what_they_need(command: str) -> None:
    # They need cryptography, and Typer needs pydantic for the parameters of a command.
    needed = {"pydantic", "cryptography"}
    assert loaded_by_command(command, "--help") & {*HEAVY - needed, "nss"} == set()


def test_every_public_name_is_there() -> None:
    code = (
        "import nssbackup; names = nssbackup.__all__; assert names;"
        "[getattr(nssbackup, name) for name in names];"
        "assert len(set(names)) == len(names); assert set(names) <= set(dir(nssbackup))"
    )
    python("-c", code)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    isolation = ["--no-isolation"] if find_spec("hatchling") else []
    python("-m", "build", "--wheel", *isolation, "--outdir", str(target), str(PROJECT))
    (built,) = target.iterdir()
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    metadata = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/"
    foreign = [name for name in names if not name.startswith(("nssbackup/", metadata))]
    assert foreign == []
    inside = {name for name in names if name.startswith("nssbackup/")}
    sources = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "nssbackup").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == sources
    assert {Path(name).suffix for name in inside} <= {
        *(".css", ".jinja", ".js", ".md", ".py", ".typed", ".yml"),
    }


def test_the_wheel_says_that_it_is_typed_and_free(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        (points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "nssbackup = nssbackup.__main__:main" in archive.read(points).decode()
    assert "nssbackup/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: MIT" in text
    required = [line for line in text.splitlines() if line.startswith("Requires-Dist:")]
    facts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {line.split(": ")[1] for line in required if "extra ==" not in line} == {
        re.sub(r"\s", "", one) for one in facts["project"]["dependencies"]
    }


def test_the_command_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import nssbackup; print(nssbackup.__file__)"
    assert python("-c", code, path=tmp_path / "site").startswith(str(tmp_path))
    said = python("-m", "nssbackup", "--version", path=tmp_path / "site", cwd=tmp_path)
    assert said == f"nssbackup {wheel.name.split('-')[1]}\n"
