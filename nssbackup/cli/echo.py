"""Echo: a terminal shows again what is typed, even where a signal ends the command meanwhile."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform == "win32":

    @contextmanager
    def echo_put_back() -> Iterator[None]:
        """No terminal needs it."""
        yield

else:
    import os
    from contextlib import suppress
    from types import FrameType

    # Ctrl-C is an exception here, and whoever turned the echo off turns it on again.
    _ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

    @contextmanager
    def echo_put_back() -> Iterator[None]:
        """As long as this lasts, a signal that ends the process first puts the terminal in order.

        The process ends by the signal as it would without this. What somebody else handles or
        ignores is left to them; only the main thread may change handlers, in others nothing is
        done.
        """
        import termios

        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)  # as `getpass` does
        except OSError:
            terminal = os.dup(sys.stdin.fileno())
        try:
            before = termios.tcgetattr(terminal)
        except termios.error:  # no terminal: nothing to put in order
            os.close(terminal)
            yield
            return

        def end(number: int, _frame: FrameType | None) -> None:
            with suppress(termios.error):  # it may be gone
                termios.tcsetattr(terminal, termios.TCSANOW, before)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

        ours = []
        try:
            with suppress(ValueError):  # not the main thread
                for number in _ENDING:
                    if signal.getsignal(number) is signal.SIG_DFL:
                        signal.signal(number, end)
                        ours.append(number)
            yield
        finally:
            for number in ours:
                signal.signal(number, signal.SIG_DFL)
            os.close(terminal)
