"""Questions with numbered answers, for any terminal and for a screen reader."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nssbackup.cli.output import Output
from nssbackup.cli.tables import candidate_table
from nssbackup.errors import CancelledError
from nssbackup.identities import Select
from nssbackup.model import Identity


def select(output: Output) -> Select:
    """A question which of several identities is meant."""

    def ask(identities: Sequence[Identity], reason: str) -> Identity:
        output.question(f"{reason[:1].upper()}{reason[1:]}:")
        columns, rows = candidate_table(identities)
        numbered = [(str(number), *row) for number, row in enumerate(rows, 1)]
        output.table(("", *columns), numbered, data=False)
        return identities[_number(output, len(identities)) - 1]

    return ask


def _number(output: Output, most: int) -> int:
    while True:
        output.question(f"Which one? (1-{most}, empty to cancel) ", end="")
        answer = sys.stdin.readline().strip()
        if not answer:
            message = "cancelled at the choice of a certificate"
            raise CancelledError(message)
        if answer.isdecimal() and 1 <= int(answer) <= most:
            return int(answer)
