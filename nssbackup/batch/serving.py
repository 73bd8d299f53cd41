"""Serving: the inside of a worker process, one user at a time."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from typing import BinaryIO

from nssbackup.batch.orders import Orders
from nssbackup.batch.report import Outcome
from nssbackup.batch.rows import failed, item_of
from nssbackup.batch.users import User
from nssbackup.batch.work import back_up_user
from nssbackup.errors import InternalError
from nssbackup.system.hardening import keep_memory_private


def serve() -> None:
    """Answer requests until the end of the input; at that nothing is finished any more.

    The input ends when the parent does, and then the next run may be waiting for the folder.
    """
    keep_memory_private()
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    orders = Orders.from_wire(requests.get().decode("ascii"))
    while True:
        user = User.from_wire(json.loads(requests.get()))
        document = _outcome(user, orders).to_json()
        with contextlib.suppress(BrokenPipeError):  # then `_listen` ends it all
            answers.write(json.dumps(document).encode("ascii") + b"\n")
            answers.flush()


def _outcome(user: User, orders: Orders) -> Outcome:
    try:
        return back_up_user(user, orders)
    except (MemoryError, Exception) as error:  # noqa: BLE001 - one user's trouble is not the others'
        # Its kind only: a message could hold anything.
        fault = InternalError(f"a fault of nssbackup itself ({type(error).__name__})")
        rows = (failed(item_of(orders.host, one, None), fault) for one in user.members)
        return Outcome(tuple(rows))


def _listen(stream: BinaryIO, requests: queue.Queue[bytes]) -> None:
    for line in stream:
        requests.put(line)
    os._exit(0)
