"""How many guesses at a password one core makes in a second against each kind of file.

    python -m tests.benchmarks.guessing [SECONDS]

Two figures for each, per second of the processor, so that other work does not count. The first is
measured with the code that opens such a file here. The second is what the hashes alone would take:
how often OpenSSL computes the hash in a second on one core, measured as well, over the hashes that
one guess needs at least. It is the one to reckon with, as the first has Python in it. Who hashes
several guesses side by side on one core, or on graphics cards, is faster by a factor that is not
measured here: multiply.

The last columns are core-years for half of all passwords of so many bits, which is what finding one
takes on average: 40 bits are some eight letters by chance, 52 four words by chance out of 7,776,
138 is what `--generate-password` makes.
"""

from __future__ import annotations

import hmac
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from nssbackup.pkcs12 import COMPATIBLE, MODERN, Format, kdf, protection
from nssbackup.secret import Secret
from nssbackup.stores.legacy import key3
from nssbackup.stores.native import pbe
from nssbackup.stores.native.database import KeyDatabase
from tests.builders.legacy import LegacyBuilder
from tests.builders.store import StoreBuilder

_BITS = (40, 52, 138)
_YEAR = 365.25 * 24 * 3600
# What NSS writes for a store with a Primary Password.
_NSS_ROUNDS = 10_000

Hash = Literal["sha1", "sha256"]


@dataclass(frozen=True)
class Target:
    """What is guessed at: a guess as it is made here, and the hashes that it needs at least."""

    name: str
    guess: Callable[[str], bool]
    hash_name: Hash
    hashes: int


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    speeds: dict[Hash, float] = {name: _hashes_per_second(name) for name in ("sha1", "sha256")}
    for name, speed in speeds.items():
        print(f"{name}: {speed / 1e6:.2f} million blocks of 64 bytes a second, one after the other")
    heads = "".join(f"{f'{bits} bits':>12}" for bits in _BITS)
    print(f"\n{'':34}{'guesses a second':>26}{'core-years for':>20}")
    print(f"{'':34}{'here':>13}{'by hashes':>13}{heads}")
    with tempfile.TemporaryDirectory(prefix="guessing-") as folder:
        for target in _targets(Path(folder)):
            measured = _rate(target.guess, seconds)
            bound = speeds[target.hash_name] / target.hashes
            years = "".join(f"{2 ** (b - 1) / max(measured, bound) / _YEAR:12.2g}" for b in _BITS)
            print(f"{target.name:34}{measured:13,.1f}{bound:13,.1f}{years}", flush=True)


def _targets(folder: Path) -> list[Target]:
    return [
        _mac("modern, 600,000 rounds", MODERN, 600_000),
        _mac("modern for .NET, 300,000 rounds", MODERN, 300_000),
        _mac("compatible, 600,000 rounds", COMPATIBLE, 600_000),
        _mac("modern of a batch, 2,048 rounds", MODERN, 2_048),
        _encryption("key alone of `modern`, 600,000", 600_000),
        _key4(folder),
        _key3(folder),
    ]


def _mac(name: str, format_: Format, rounds: int) -> Target:
    """The MAC: of all that the password protects it needs the fewest hashes."""
    checked = protection.new_mac(format_, rounds)
    content = bytes(4_000)
    digest = checked.digest(checked.kdf.derive(kdf.encoded(Secret("the password")).bmp), content)

    def guess(password: str) -> bool:
        key = checked.kdf.derive(kdf.encoded(Secret(password)).bmp)
        return hmac.compare_digest(checked.digest(key, content), digest)

    # A round is one block: the hash of the round before. The HMAC over the file comes on top.
    return Target(name, guess, "sha1" if format_ is COMPATIBLE else "sha256", rounds)


def _encryption(name: str, rounds: int) -> Target:
    salt = bytes(16)

    def guess(password: str) -> bool:
        return PBKDF2HMAC(hashes.SHA256(), 32, salt, rounds).derive(password.encode()) == salt

    # An HMAC is two blocks where the padded key has been hashed once.
    return Target(name, guess, "sha256", 2 * rounds)


def _key4(folder: Path) -> Target:
    """The password record of key4.db: PBKDF2, then one block of AES."""
    builder = StoreBuilder(folder / "key4", password="the password", rounds=_NSS_ROUNDS)
    with closing(sqlite3.connect(builder.write() / "key4.db")) as connection:
        record = KeyDatabase(connection).password_record()
    assert record is not None
    check = pbe.parse_ciphertext(record.check, "the password record")
    assert check.rounds == _NSS_ROUNDS

    def guess(password: str) -> bool:
        try:
            return check.decrypt(pbe.intermediate_key(record.global_salt, password)) == b"-"
        except pbe.DecryptionError:
            return False

    return Target("key4.db, 10,000 rounds", guess, "sha256", 2 * _NSS_ROUNDS)


def _key3(folder: Path) -> Target:
    """The password record of key3.db: one round, whatever the password."""
    builder = LegacyBuilder(folder / "key3", password="the password")
    database = key3.KeyDatabase.read((builder.write() / "key3.db").read_bytes())

    def guess(password: str) -> bool:
        return database.unlock(password) is not None

    # SHA-1 of salt and password, SHA-1 of that and a salt, and three HMACs with one key.
    return Target("key3.db (Firefox 57 and earlier)", guess, "sha1", 1 + 1 + 2 + 3 * 2)


def _rate(guess: Callable[[str], bool], seconds: float) -> float:
    """Guesses in a second of one processor."""
    assert not guess("warm up")
    count, start = 0, time.process_time()
    while (taken := time.process_time() - start) < seconds:
        assert not guess(f"guess {count}")
        count += 1
    return count / taken


def _hashes_per_second(name: Hash) -> float:
    """Blocks hashed one after the other by OpenSSL: two for each round of PBKDF2."""
    algorithm = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}[name]  # noqa: S303 - measured
    rounds, start = 3_000_000, time.process_time()
    PBKDF2HMAC(algorithm, 16, bytes(16), rounds).derive(b"a guess")
    return 2 * rounds / (time.process_time() - start)


if __name__ == "__main__":
    main()
