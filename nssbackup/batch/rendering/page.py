"""The report as one HTML page that needs nothing else: no network, no other file, no JavaScript.

Every text is made printable, cut and escaped on its way into the template, which can't forget it.
The policy of the page allows its own style and script by their hash and nothing else: a name that
got through would still not run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from nssbackup.batch.rendering.timeline import Timeline, count_ends, timeline_of
from nssbackup.batch.report import STATUSES, BatchItem, BatchReport, HomeResult, moment
from nssbackup.printable import printable
from nssbackup.report import Json

_LABELS = {
    "backed-up": "Backed up",
    "unchanged": "Unchanged",
    "planned": "Planned",
    "failed": "Failed",
    "expired": "Ended",
    "expiring": "Expiring",
}

# A name has at most 64 letters (X.520, ub-common-name), a folder's path rarely 200, a message with
# a path in it rarely 500. What is longer is cut; report.json has all of it.
_LONGEST_NAME, _LONGEST, _LONGEST_MESSAGE = 80, 200, 500
_MOST_ROOTS, _MOST_NOTES, _MOST_WARNINGS, _SHOWN_AT_ONCE = 6, 1_000, 20, 12
_DAYS, _MONTHS, _MONTH, _YEAR = 60, 24, 30.44, 365.25
_KILO = 1_000
_LITERAL = re.compile("`([^`]*)`")
_CODE, _KBD = Markup("<code>{}</code>"), Markup("<kbd>{}</kbd>")
_OPTION = re.compile(r"--[a-z-]{1,25}( \w{1,10})?")
# RFC 4514: `CN=` at the beginning of an attribute, `\` before what would end it.
_COMMON_NAME = re.compile(r"(?:^|[,+])\s*CN=((?:\\.|[^,+\\])*)", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([^0-9A-Fa-f])")


class Certificate(NamedTuple):
    """What the page says of a certificate beyond the document's IDENTITY."""

    name: str
    issuer_name: str
    ends: datetime
    identity: Json


class Row(NamedTuple):
    """An item and its certificate."""

    item: BatchItem
    certificate: Certificate | None


@dataclass(slots=True)
class FailureGroup:
    """Failures with the same advice; those without a hint have the same code."""

    code: str
    hint: str
    rows: list[Row] = field(default_factory=list)


class Split(NamedTuple):
    """A list of which the first rows are seen at once, and the rest on demand."""

    first: Sequence[Row]
    rest: Sequence[Row]


class Column(NamedTuple):
    """A column of the table of items: its title, and the name of its width in the style."""

    title: str
    width: str


def page(report: BatchReport) -> str:
    """Return the page."""
    rows = [Row(item, _certificate(item)) for item in report.items]
    columns = _columns(several_hosts=_has_several_hosts(report))
    timeline = _timeline(rows, report.finished)
    script = _asset("report.js")
    style = _asset("report.css") + _phone_titles(columns) + (timeline.rules if timeline else "")
    kind, sentence = _verdict(report)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            totals=report.totals,
            home_totals=report.home_totals,
            homes=_homes(report),
            ended=_ended(rows),
            notes=_notes(report),
            rows=rows,
            expiring=_split([row for row in rows if row.item.expiring]),
            failures=[(group, _split(group.rows)) for group in _failures(rows)],
            kind=kind,
            sentence=sentence,
            columns=columns,
            several_hosts=_has_several_hosts(report),
            labels=_LABELS,
            statuses=STATUSES,
            style=Markup(style),  # noqa: S704 - the package's own
            script=Markup(script),  # noqa: S704 - the package's own
            policy=(
                "default-src 'none'; base-uri 'none'; form-action 'none'; "
                f"script-src '{_hash(script)}'; style-src '{_hash(style)}'"
            ),
            timeline=timeline,
            relative=lambda time: _relative(time, report.finished),
            most_warnings=_MOST_WARNINGS,
            shown_at_once=_SHOWN_AT_ONCE,
            most_notes=_MOST_NOTES,
            most_roots=_MOST_ROOTS,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nssbackup.batch.rendering"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        amount=_amount,
        amounts=_amounts,
        day=lambda time: f"{time.date()}",
        literals=_literals,
        minute=lambda time: f"{time:%Y-%m-%d %H:%M} UTC",
        short=lambda text: _cut(text, _LONGEST_NAME),
        size=lambda number: f"{number / _KILO:,.1f} kB" if number >= _KILO else f"{number} bytes",
        spaced=lambda code: code.replace("-", " ").capitalize(),
    )
    return environment


def _asset(name: str) -> str:
    """Return a file beside the template as a browser reads it: with the line ends of HTML."""
    environment = _environment()
    loader = environment.loader
    source = loader.get_source(environment, name)[0] if loader else ""
    return source.replace("\r\n", "\n")


def _hash(text: str) -> str:
    """Return what the policy calls a style or a script by (CSP 3, section 2.3.1)."""
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


def _phone_titles(columns: Iterable[Column]) -> str:
    """Return rules for a narrow screen, where a row is a card and each cell says what it is."""
    rules = "".join(
        f'.items td:nth-child({place})::before{{content:"{column.title}"}}\n'
        for place, column in enumerate(columns, 1)
    )
    return f"@media screen and (max-width:60rem){{\n{rules}}}\n"


# --- what the report says


def _certificate(item: BatchItem) -> Certificate | None:
    identity = item.identity
    if identity is None:
        return None
    names = (identity.get(key) for key in ("common_name", "nickname", "subject", "sha256"))
    issuer = str(identity.get("issuer") or "")
    found = _COMMON_NAME.search(issuer)
    return Certificate(
        name=next((str(name) for name in names if name), ""),
        issuer_name=_ESCAPED.sub(r"\1", found[1]).strip() if found else issuer,
        ends=moment(str(identity["not_after"])),
        identity=identity,
    )


def _has_several_hosts(report: BatchReport) -> bool:
    return report.host is None or len({item.host for item in report.items}) > 1


def _timeline(rows: Iterable[Row], now: datetime) -> Timeline | None:
    """Return the chart, in which each certificate counts once, in however many profiles it is."""
    ends = {
        str(row.certificate.identity.get("sha256")): (row.certificate.ends, row.item.expiring)
        for row in rows
        if row.certificate
    }
    return timeline_of(count_ends(ends, now), now)


def _homes(report: BatchReport) -> Sequence[tuple[str, str, Sequence[HomeResult]]]:
    """Return the sections about homes that nobody should miss."""
    titles = (
        ("gone", "Had a backup, no longer found"),
        ("expired", "Ended, nothing newer"),
        ("no-certificate", "Without a certificate"),
    )
    found = (
        (status, title, [home for home in report.homes if home.status == status])
        for status, title in titles
    )
    return [section for section in found if section[2]]


def _ended(rows: Iterable[Row]) -> Mapping[tuple[str, str], Sequence[Row]]:
    """Return the certificates that were left out because they have ended, by host and home."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.item.status == "expired" and row.certificate:
            home = row.item.home or row.item.profile or ""
            found.setdefault((row.item.host, home), []).append(row)
    return found


def _notes(report: BatchReport) -> Sequence[str]:
    """Return the notes that stand in no section of their own."""
    gone = {note for home in report.homes if home.status == "gone" for note in home.notes}
    return [note for note in report.notes if note not in gone]


def _failures(rows: Iterable[Row]) -> Sequence[FailureGroup]:
    """Group the failures by what to do about them, the most frequent first."""
    groups: dict[tuple[str, str], FailureGroup] = {}
    for row in rows:
        if row.item.status == "failed":
            error = row.item.error or {}
            key = str(error.get("code") or "failed"), str(error.get("hint") or "")
            groups.setdefault(key, FailureGroup(*key)).rows.append(row)
    return sorted(groups.values(), key=lambda group: -len(group.rows))


def _split(rows: Sequence[Row]) -> Split:
    return Split(rows[:_SHOWN_AT_ONCE], rows[_SHOWN_AT_ONCE:])


def _verdict(report: BatchReport) -> tuple[str, str]:
    """Return whether the report is "good", "bad" or neither ("none"), and it in one sentence."""
    totals, gone = report.totals, report.home_totals["gone"]
    away = sum(not host.reached for host in report.hosts)
    done = totals["backed-up"] + totals["unchanged"]
    sentences = []
    if away:
        were = "was" if away == 1 else "were"
        hosts = _amounts(len(report.hosts), "host")
        sentences.append(f"{_amount(away)} of {hosts} {were} not reached.")
    if totals["failed"]:
        sentences.append(f"{_amounts(totals['failed'], 'failure')}.")
    if gone:
        sentences.append(f"In {_amounts(gone, 'home')} a certificate is no longer found.")
    if sentences:
        if done:
            are = "is" if done == 1 else "are"
            sentences.append(f"{_amounts(done, 'certificate')} {are} backed up.")
        return "bad", " ".join(sentences)
    if report.dry_run and totals["planned"]:
        return "none", f"{_amounts(totals['planned'], 'certificate')} would be backed up."
    if not done:
        return "none", "No certificate was found."
    if done == 1:
        return "good", "The certificate is backed up."
    return "good", f"All {_amounts(done, 'certificate')} are backed up."


# --- what the template shows


def _shown(value: object) -> object:
    """Every value passes here on its way into the page; markup has passed before."""
    return _cut(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cut(text: str, longest: int = _LONGEST) -> str:
    if len(text) > longest:
        return f"{printable(text[:longest])}… ({_amount(len(text))} characters)"
    return printable(text)


def _literals(text: str) -> Markup:
    """Return a message or hint with what stands between backticks marked as code.

    An option stays on one line.
    """
    parts = _LITERAL.split(_cut(text, _LONGEST_MESSAGE))
    return Markup().join(
        (_KBD if _OPTION.fullmatch(part) else _CODE).format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


def _amount(number: int) -> str:
    return f"{number:,}"


def _amounts(number: int, thing: str) -> str:
    return f"{_amount(number)} {thing}{'' if number == 1 else 's'}"


def _relative(time: datetime, now: datetime) -> str:
    """Return how far a day is from another, as a person would say it."""
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
