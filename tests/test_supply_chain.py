"""What the package is made of: the lock file, the wheel that anybody can make again, the SBOM."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests import LIMIT, PROJECT
from tests.peers import need

LOCK = PROJECT / "tests" / "requirements.txt"
# All that the wheel is made of, and what could get into it by mistake.
SOURCES = ("nssbackup", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")

# Without any extra.
PLAIN = {"extra": ""}

Lock = dict[str, list[Requirement]]


def project() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


def required() -> list[Requirement]:
    """Every direct dependency: at run time, of the extras, and of the tests."""
    facts = project()
    extras = facts["project"]["optional-dependencies"].values()
    tests = facts["dependency-groups"]["test"]
    direct = facts["project"]["dependencies"]
    return [
        Requirement(one) for one in (*direct, *(one for part in extras for one in part), *tests)
    ]


def locked() -> Lock:
    """The packages of the lock file, each with the versions for different systems."""
    found: Lock = {}
    lines = LOCK.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    for line in lines:
        if line and not line.lstrip().startswith("#"):
            requirement = Requirement(line.partition("--hash")[0].strip())
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def version_of(pinned: Requirement) -> Version:
    (one,) = pinned.specifier
    assert one.operator == "=="
    return Version(one.version)


def test_the_lock_has_every_dependency_at_an_allowed_version() -> None:
    lock = locked()
    for wanted in required():
        pinned = lock.get(canonicalize_name(wanted.name), [])
        assert pinned, f"{wanted.name} is not in the lock file"
        for one in pinned:
            assert wanted.specifier.contains(version_of(one), prereleases=True), str(one)


def test_the_lock_is_complete() -> None:
    # What is installed here tells of each package what that needs in turn.
    lock = locked()
    for name, pinned in lock.items():
        try:
            needed = distribution(name)
        except PackageNotFoundError:
            continue
        if Version(needed.version) not in {version_of(one) for one in pinned}:
            continue
        for text in needed.requires or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate(PLAIN):
                assert canonicalize_name(wanted.name) in lock, f"{name} needs {wanted.name}"


def test_every_file_in_the_lock_has_a_hash() -> None:
    lines = LOCK.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    pins = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert len(pins) >= len(required())
    for line in pins:
        assert re.search(r" --hash=sha256:[0-9a-f]{64}\b", line), line


def test_the_lock_names_no_registry() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"(?m)^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)", text)


def test_what_the_program_needs_is_locked_for_every_system() -> None:
    lock = locked()
    for wanted in map(Requirement, project()["project"]["dependencies"]):
        markers = [one.marker for one in lock[canonicalize_name(wanted.name)]]
        systems: list[Marker] = [one for one in markers if one is not None]
        for platform in ("linux", "darwin", "win32"):
            facts = {"sys_platform": platform, "python_version": "3.12"}
            assert not systems or any(one.evaluate(dict(facts)) for one in systems), str(wanted)


def made(place: Path, *, umask: int, when: int) -> dict[str, bytes]:
    """Wheel and source distribution, made of a copy of the project in a folder of its own."""
    copy = place / "project"
    copy.mkdir(parents=True)
    for name in SOURCES:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, copy / name)
    for path in sorted(copy.rglob("*"), reverse=True):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
        os.utime(path, (when, when))
    zone = "Asia/Tokyo" if umask else "UTC"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(place / "out")],
        check=True,
        capture_output=True,
        timeout=LIMIT,
        cwd=copy,
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": zone},
        umask=umask,
    )
    return {path.suffix: path.read_bytes() for path in (place / "out").iterdir()}


def test_two_builds_made_apart_are_equal_to_the_byte(tmp_path: Path, require_peers: bool) -> None:
    need(None if find_spec("hatchling") else "hatchling is missing", required=require_peers)
    first = made(tmp_path / "a", umask=0o000, when=1_000_000_000)
    second = made(tmp_path / "b" / "elsewhere", umask=0o077, when=1_700_000_001)
    assert set(first) == {".whl", ".gz"}
    assert first == second


def needed_to_run() -> dict[str, str]:
    """Every package that a run of the program needs, as installed here, with its version."""
    found: dict[str, str] = {}
    waiting = [Requirement(one) for one in project()["project"]["dependencies"]]
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name not in found:
            package = distribution(name)
            found[name] = package.version
            wanted = map(Requirement, package.requires or ())
            waiting += [one for one in wanted if one.marker is None or one.marker.evaluate(PLAIN)]
    return found


def test_the_sbom_is_valid_and_names_what_runs(tmp_path: Path, require_peers: bool) -> None:
    missing = None if find_spec("cyclonedx_py") else "cyclonedx-bom is not installed"
    need(missing, required=require_peers)
    # An environment with nothing in it but what the program needs, as far as its metadata go.
    venv.create(tmp_path / "env", symlinks=True)
    (site,) = (tmp_path / "env").rglob("site-packages")
    expected = needed_to_run()
    for name, version in expected.items():
        facts = site / f"{name}-{version}.dist-info" / "METADATA"
        facts.parent.mkdir()
        facts.write_text(distribution(name).read_text("METADATA") or "", encoding="utf-8")
    file = tmp_path / "sbom.json"
    # It checks what it writes against the schema of CycloneDX.
    subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--validate"),
            *("--pyproject", PROJECT / "pyproject.toml", "--output-file", file, tmp_path / "env"),
        ],
        check=True,
        capture_output=True,
        timeout=LIMIT,
    )
    sbom = json.loads(file.read_text(encoding="utf-8"))
    assert sbom["bomFormat"] == "CycloneDX"
    root = sbom["metadata"]["component"]
    assert root["name"] == "nssbackup"
    found = {canonicalize_name(one["name"]): one["version"] for one in sbom["components"]}
    assert found == expected
    (edges,) = (one["dependsOn"] for one in sbom["dependencies"] if one["ref"] == root["bom-ref"])
    direct = {Requirement(one).name for one in project()["project"]["dependencies"]}
    assert {canonicalize_name(one.partition("==")[0]) for one in edges} == direct
