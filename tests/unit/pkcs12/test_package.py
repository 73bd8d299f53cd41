"""The package gives its names, and costs nothing until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nssbackup import pkcs12


def test_every_public_name_is_there() -> None:
    assert all(getattr(pkcs12, name) is not None for name in pkcs12.__all__)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'nssbackup\.pkcs12' has no attribute 'nonsense'"):
        _ = pkcs12.nonsense


def test_the_tables_load_no_cryptography() -> None:
    program = (
        "import sys, nssbackup.pkcs12 as p; p.DESTINATIONS;"
        "print([n for n in sys.modules if n.split('.')[0] in {'cryptography', 'ctypes'}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
