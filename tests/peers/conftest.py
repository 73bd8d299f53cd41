"""What the tests with peers share beyond the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.readers import SHARED_FIREFOX


@pytest.fixture(scope="session", autouse=True)
def _no_firefox_is_left() -> Iterator[None]:
    yield
    SHARED_FIREFOX.quit()
