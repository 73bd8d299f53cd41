"""The report as one HTML page that needs nothing else: no network, no other file, no JavaScript.

Everything that comes from the document is made printable, cut and escaped on its way into the
template; what the template can't forget. The page's own style and script are allowed by their hash,
and nothing else is: a name that got through would still not run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from nssbackup.batch.rendering import timeline
from nssbackup.batch.rendering.items import Item
from nssbackup.batch.rendering.survey import STATUSES, Survey
from nssbackup.printable import printable

LABELS = {
    "backed-up": "Backed up",
    "unchanged": "Unchanged",
    "planned": "Planned",
    "failed": "Failed",
    "expiring": "Expiring",
}
"""The statuses in words."""

# A name is at most 64 letters long (X.520, ub-common-name), a folder's path rarely 200, a message
# with one in it rarely 500. What is longer is cut; report.json has all of it.
_LONGEST_NAME, _LONGEST, _LONGEST_MESSAGE = 80, 200, 500
_DAYS, _MONTHS, _MONTH, _YEAR = 60, 24, 30.44, 365.25
_KILO = 1_000
_SHOWN_AT_ONCE = 12
_ROOTS = 6
_NOTES = 1_000
_LITERAL = re.compile("`([^`]*)`")


class Column(NamedTuple):
    """A column of the table of items: its title, and the name of its width in the style."""

    title: str
    width: str


class Verdict(NamedTuple):
    """The report in one sentence, and whether that is "good", "bad" or neither ("none")."""

    kind: str
    sentence: str


class Split(NamedTuple):
    """A list of items of which the first are seen at once, and the rest when asked for."""

    first: Iterator[Item]
    rest: Iterator[Item]
    remaining: int


def page(survey: Survey) -> Iterator[str]:
    """The page, piece by piece."""
    environment = _environment()
    columns = _columns(several_hosts=survey.several_hosts)
    script = _asset("report.js")
    style = _asset("report.css") + _phone_titles(columns)

    def split(places: Sequence[int]) -> Split:
        rest = places[_SHOWN_AT_ONCE:]
        return Split(survey.items(islice(places, _SHOWN_AT_ONCE)), survey.items(rest), len(rest))

    def relative(time: datetime) -> str:
        return _relative(time, survey.finished) if survey.finished else ""

    return environment.get_template(
        "report.html.jinja"
    ).generate(
        survey=survey,
        verdict=_verdict(survey),
        columns=columns,
        labels=LABELS,
        statuses=STATUSES,
        style=Markup(style),  # noqa: S704 - the package's own
        script=Markup(script),  # noqa: S704 - the package's own
        policy=(
            "default-src 'none'; base-uri 'none'; form-action 'none'; "
            f"script-src '{_hash(script)}'; style-src '{_hash(style)}'"
        ),
        chart=timeline,
        timeline=timeline.Timeline.of(survey.ends, survey.finished),
        split=split,
        relative=relative,
        notes=survey.notes[:_NOTES],
        more_notes=len(survey.notes) - _NOTES,
        roots=survey.roots[:_ROOTS],
        more_roots=len(survey.roots) - _ROOTS,
        past=lambda time: survey.finished is not None and time < survey.finished,
    )


@cache
def _loader() -> PackageLoader:
    return PackageLoader("nssbackup.batch.rendering")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=_loader(),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        amount=_amount,
        amounts=_amounts,
        day=_day,
        literals=_literals,
        minute=_minute,
        short=_short,
        size=_size,
        spaced=_spaced,
    )
    return environment


def _asset(name: str) -> str:
    """A file beside the template, as a browser reads it: with the line ends of HTML."""
    return _loader().get_source(_environment(), name)[0].replace("\r\n", "\n")


def _hash(text: str) -> str:
    """What the policy calls a style or a script by (CSP 3, section 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _columns(*, several_hosts: bool) -> tuple[Column, ...]:
    host = (Column("Host", "host"),) if several_hosts else ()
    return (
        Column("Status", "status"),
        Column("Ends", "ends"),
        Column("Certificate", "name"),
        Column("Issuer", "issuer"),
        Column("User", "user"),
        *host,
        Column("Profile", "profile"),
        Column("File", "file"),
        Column("Notes", "notes"),
    )


def _phone_titles(columns: tuple[Column, ...]) -> str:
    """On a narrow screen a row is a card, and each of its cells says what it is."""
    rules = "".join(
        f'.items td:nth-child({place})::before{{content:"{column.title}"}}\n'
        for place, column in enumerate(columns, 1)
    )
    return f"@media screen and (max-width:60rem){{\n{rules}}}\n"


def _verdict(survey: Survey) -> Verdict:
    items, failed = survey.totals["items"], survey.totals["failed"]
    away = sum(not host.reached for host in survey.hosts)
    sentences = []
    if away:
        hosts = _amounts(len(survey.hosts), "host")
        sentences.append(
            f"{_amount(away)} of {hosts} {'was' if away == 1 else 'were'} not reached."
        )
    if failed:
        sentences.append(f"{_amount(failed)} of {_amounts(items, 'item')} failed.")
    if sentences:
        return Verdict("bad", " ".join(sentences))
    if not items:
        return Verdict("none", "No certificate was found.")
    if survey.dry_run:
        planned = _amounts(survey.totals["planned"], "certificate")
        return Verdict("none", f"{planned} would be backed up.")
    if items == 1:
        return Verdict("good", "The certificate is backed up.")
    return Verdict("good", f"All {_amounts(items, 'certificate')} are backed up.")


# --- what the template shows


def _shown(value: object) -> object:
    """Every value on its way into the page; what is markup already came through here before."""
    if type(value) is not str:
        return _cut(value) if isinstance(value, str) and not isinstance(value, Markup) else value
    return value if len(value) <= _LONGEST and value.isprintable() else _cut(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else _cut(text, _LONGEST_NAME)


def _cut(text: str, longest: int = _LONGEST) -> str:
    if len(text) > longest:
        return f"{printable(text[:longest])}… ({_amount(len(text))} characters)"
    return printable(text)


def _literals(text: str) -> Markup:
    """A message or hint, with what stands between backticks in the type of code."""
    parts = _LITERAL.split(_cut(text, _LONGEST_MESSAGE))
    return Markup().join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


def _amount(number: int) -> str:
    return f"{number:,}"


def _amounts(number: int, thing: str) -> str:
    return f"{_amount(number)} {thing}{'' if number == 1 else 's'}"


def _size(number: int) -> str:
    if number < _KILO:
        return f"{number} bytes"
    return f"{number / _KILO:,.1f} kB"


def _day(time: datetime) -> str:
    return f"{time.date()}"


def _minute(time: datetime) -> str:
    return f"{time.replace(tzinfo=None):%Y-%m-%d %H:%M} UTC"


def _spaced(code: str) -> str:
    """The code of an error, as words."""
    words = code.replace("-", " ")
    return words[:1].upper() + words[1:]


def _relative(time: datetime, now: datetime) -> str:
    """How far a day is from another, as a person would say it."""
    days = (time.date() - now.date()).days
    if abs(days) <= 1:
        return ("yesterday", "today", "tomorrow")[days + 1]
    if abs(days) < _DAYS:
        words = f"{abs(days)} days"
    elif abs(days) < _MONTHS * _MONTH:
        words = f"{abs(days) / _MONTH:.0f} months"
    else:
        words = f"{abs(days) / _YEAR:.0f} years"
    return f"in {words}" if days > 0 else f"{words} ago"
