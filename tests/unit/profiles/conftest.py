from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.profiles.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "home")


@pytest.fixture
def public_machine() -> Iterator[Machine]:
    """A machine outside tmp_path, which no other user than the test's may enter."""
    if sys.platform == "win32":
        pytest.skip("a matter of Unix permissions")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Machine(Path(folder) / "home")


@pytest.fixture
def every_fault(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--every-fault"))
