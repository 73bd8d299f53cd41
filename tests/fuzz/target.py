"""Target: a parser as a function of bytes, and where its seeds come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nssbackup.errors import NssBackupError
from nssbackup.pkcs12 import kdf
from nssbackup.printable import printable
from nssbackup.stores.native import pbe

# What a derivation costs is bounded, said and tested elsewhere (tests/unit/test_bounds.py): here it
# would only take the time of other inputs.
_ROUNDS = 20_000


@dataclass(frozen=True, slots=True)
class Target:
    """A parser under test.

    Attributes:
        name: by which the driver knows it.
        run: gives it some bytes, and asks for all there is to ask of what comes of them.
        seeds: inputs to begin with, made of the fixtures.
        size: the most bytes that an input has.
        errors: what `run` may raise beside our own errors.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    size: int
    errors: tuple[type[Exception], ...] = ()


def expose(target: Target, data: bytes) -> None:
    """Run a target on some bytes; whatever comes out is a finding."""
    try:
        with few_rounds():
            target.run(data)
    except NssBackupError as error:
        if error.exit_status == 1:
            raise
        # A message has to be fit for a terminal, a file and JSON, whatever it quotes.
        printable(f"{error.message} {error.hint}").encode()
    except target.errors:
        pass


@contextmanager
def few_rounds() -> Iterator[None]:
    """No input may cost more than a few rounds of key derivation."""
    before = pbe.MAX_ROUNDS, kdf.ROUNDS, kdf.ROUNDS_IN_ALL
    pbe.MAX_ROUNDS = kdf.ROUNDS = kdf.ROUNDS_IN_ALL = _ROUNDS
    try:
        yield
    finally:
        pbe.MAX_ROUNDS, kdf.ROUNDS, kdf.ROUNDS_IN_ALL = before
