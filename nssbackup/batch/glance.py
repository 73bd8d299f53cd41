"""Glance: whether anything of a user's can have changed since the last run, by a look from outside.

No database is opened and nothing is loaded that could: most nights most users have nothing new.
"""

from __future__ import annotations

import os
import time

from nssbackup.batch import state as states
from nssbackup.batch.facts import unchanged
from nssbackup.batch.orders import Orders
from nssbackup.batch.report import Outcome
from nssbackup.batch.users import User

# So often everything is looked at anyway: what a glance can't see, as a folder that another one was
# mounted over, is seen then. Not for all users in the same night.
_DAYS = 7
_DAY = 86_400


def glance(user: User, orders: Orders, wanted: str) -> Outcome | None:
    """What there is of a user of whom nothing has changed; None where it has to be looked at.

    Args:
        user: whose files and profiles are looked at.
        orders: say where the files are.
        wanted: what is asked for this time, as a hash.
    """
    if orders.force:
        return None
    state = states.load(states.state_path(orders.folder, user.folder))
    now = time.time()
    if (
        state is None
        or not state.facts
        or state.wanted != wanted
        or state.places != user.places
        or not state.looked <= now < min(state.until, state.looked + _patience(user))
        or not unchanged(state.facts)
    ):
        return None
    folder = os.path.join(orders.folder, user.folder)  # noqa: PTH118 - as text: thousands
    kept = [state.files[key] for key in state.selected]
    if not all(states.is_intact(folder, one) for one in kept):
        return None
    return Outcome(tuple(states.item_of(one, orders.host) for one in kept), state.notes, profiles=1)


def _patience(user: User) -> float:
    return (_DAYS - sum(user.folder.encode("utf-8", "replace")) % _DAYS / _DAYS) * _DAY
