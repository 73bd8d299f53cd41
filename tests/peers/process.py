"""Child processes: run one with a time limit, and hand it a password without showing it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

from tests import LIMIT

__all__ = ["PeerError", "end_group", "password_file", "run"]


class PeerError(Exception):
    """A peer refused, failed or took too long; the message holds what it said."""


def run(
    argv: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    timeout: float = LIMIT,
) -> bytes:
    """Run a program to its end and return its standard output.

    Args:
        argv: the program and its arguments; never a password among them.
        stdin: what the program reads; the empty default is an immediate end of file, so that a
            program that asks a question fails instead of waiting.
        env: variables to add to, or replace in, this process's environment.
        timeout: seconds until the program and its children are killed.

    Returns:
        Standard output, as bytes: some peers print DER.

    Raises:
        PeerError: the program is missing, exited with a status other than 0, or took too long.
    """
    words = [os.fspath(word) for word in argv]
    tool = Path(words[0]).name
    # A UTF-8 locale, because certutil, certtool and Java read names and passwords in the locale's
    # charset; English, because the output is parsed.
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "en", **(env or {})}
    try:
        # A session of its own: no controlling terminal to prompt on, and one group to kill.
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as exc:
        message = f"{tool} can't be started: {exc}"
        raise PeerError(message) from exc
    with process:
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as exc:
            message = f"{tool} took longer than {timeout:g} seconds"
            raise PeerError(message) from exc
        finally:
            end_group(process)
    if process.returncode != 0:
        said = (err + b"\n" + out).decode("utf-8", "replace").strip()
        message = f"{tool} ended with status {process.returncode}: {said[-2000:]}"
        raise PeerError(message)
    return out


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process started with `start_new_session` and every child left in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def password_file(password: str) -> Iterator[Path]:
    """Lend a file of mode 0600 whose first line is the password, in UTF-8.

    Every peer reads a password from a file or standard input, so that none is ever in the process
    list.
    """
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        path = Path(folder, "password")
        # `TemporaryDirectory` is 0700 already; the mode of the file is what is promised above.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(password.encode("utf-8") + b"\n")
        yield path
