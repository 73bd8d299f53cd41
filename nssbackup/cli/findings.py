"""Findings as text: a section for each profile, short sentences, and the verdict last."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

from nssbackup.cli.output import Output
from nssbackup.diagnosis import DoctorReport, Finding, ProfileFindings
from nssbackup.printable import printable
from nssbackup.profiles.locate import UNKNOWN_APPLICATION

# Longer lines are hard to read, however wide the terminal is.
_WIDEST = 100
_INDENT = "  "
_LABELS = {"problem": "Problem", "warning": "Warning", "note": "Note"}


def show_findings(
    report: DoctorReport, words: Sequence[str], output: Output, *, quiet: bool, verbose: bool
) -> None:
    """The report on stdout; with `quiet` without notes, with `verbose` with versions.

    Args:
        report: what was found.
        words: the arguments that make `nssbackup export` do what was asked about.
        output: where it goes.
        quiet: whether only problems and warnings are wanted.
        verbose: whether everything is wanted.
    """
    for one in report.profiles:
        findings = _shown(one.findings, quiet=quiet)
        if findings or not quiet:
            _paragraph(output, _title(one))
            _show(output, findings)
            output.data("")
    general = _shown(report.findings, quiet=quiet)
    if general:
        _paragraph(output, "In general")
        _show(output, general)
        output.data("")
    if not quiet:
        for engine in report.engines:
            state = "works here" if engine.reason is None else f"not available: {engine.reason}"
            _paragraph(output, f"Engine `{engine.name}`: {state}.")
        if verbose:
            versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
            _paragraph(output, f"Versions: {versions}.")
        output.data("")
    _paragraph(output, _verdict(report, words))


def _shown(findings: Iterable[Finding], *, quiet: bool) -> list[Finding]:
    return [one for one in findings if not quiet or one.severity != "note"]


def _title(one: ProfileFindings) -> str:
    profile = one.profile
    marks = [
        mark
        for mark, holds in (
            ("default", profile.default),
            ("left behind by a refresh", one.left_behind),
        )
        if holds
    ]
    after = f" ({', '.join(marks)})" if marks else ""
    known = profile.application != UNKNOWN_APPLICATION
    what = f"{profile.application} profile" if known else "Profile"
    return f"{what} `{profile.name}`{after}: {profile.path}"


def _show(output: Output, findings: Iterable[Finding]) -> None:
    for one in findings:
        _paragraph(output, f"{_LABELS[one.severity]}: {one.message}", _INDENT)
        if one.hint:
            _paragraph(output, f"What to do: {one.hint}", _INDENT * 2)


def _verdict(report: DoctorReport, words: Sequence[str]) -> str:
    verdict = report.verdict
    if not verdict.possible:
        return f"No backup is possible yet: {verdict.reason}. {verdict.next_step}".rstrip()
    command = _command(("nssbackup", "export", *words))
    asked = "; the Primary Password will be asked for" if verdict.password_needed else ""
    return f"A backup is possible now: run `{command}`{asked}."


def _command(words: Sequence[str]) -> str:
    """Words as they are typed on this system."""
    if sys.platform == "win32":
        from subprocess import list2cmdline

        return list2cmdline(words)
    from shlex import join

    return join(words)


def _paragraph(output: Output, text: str, indent: str = "") -> None:
    """A paragraph, wrapped for a terminal; for a file or a pipe it stays one line."""
    text = indent + printable(text)
    if not sys.stdout.isatty():
        output.data(text)
        return
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    # Paths and commands stay whole, so that they can be copied.
    for line in textwrap.wrap(
        text,
        max(width - 1, 20),
        subsequent_indent=indent + _INDENT if indent else "",
        break_long_words=False,
        break_on_hyphens=False,
    ):
        output.data(line)
