"""The manual page, built from the commands.

`python -m nssbackup.cli.manual > nssbackup/nssbackup.1` writes it.

What the commands and their options say about themselves is not said here again; what stands here
is what only a manual has. The same commands give the same page, on any day and any machine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from textwrap import wrap
from typing import Any, cast

import typer
from typer.core import TyperArgument, TyperGroup

from nssbackup.cli.statuses import exit_statuses
from nssbackup.profiles.roots import candidate_roots
from nssbackup.profiles.system import Platform, System

# When this text was last changed by hand; a page has to have a date.
_DATE = "2026-11-23"

_NAME = "back up a client certificate and its key from a Firefox profile"

_WIDTH = 78
_LONGEST_TERM = 60

# No word is parted, because many are to be typed as they stand.
_RAGGED = (".nh", ".ad l")

_FIREFOX = "Firefox"

_WORDS = """\
CERT is matched against nickname, common name, e-mail address, issuer, serial number (hex, colons
optional) and SHA-1 or SHA-256 fingerprint, or the first 8 hex digits or more of one. An exact match
of one field wins over a part match. Without it the certificate that WIPO issued is meant; `list`
shows all that have their key, and WIPO's without it. Of several renewals the one that is valid now
and ends last is taken; where it is not clear which certificate is meant, they are listed and none
is guessed.

Data goes to stdout, everything else to stderr. No question is asked without a terminal."""

_STORE = "The certificates and the keys of a profile."

_SECURITY = """\
Only `nssbackup restore` writes to a profile. Every other command only reads, changes not a byte,
and Firefox may be running.

A backup is written with mode 0600 to a file that has no name yet, or a temporary one where the
system or the drive has no such files. It is read back from the disk, opened with its password and
compared with what went in, and only then gets its name.

Passwords are asked for without echo or read from a file. No option and no environment variable
holds one. Do not reset Firefox's Primary Password to get at a certificate: the reset deletes every
certificate and key.

Keep a copy of the backup outside the computer. If the profile is lost and there is no backup, the
certificate is gone: its issuer does not have the private key."""

EXAMPLES = (
    ("Back up the certificate that WIPO issued, to the current folder:", "nssbackup export"),
    (
        "Back up one certificate by name, with a second, verified copy on a USB drive:",
        "nssbackup export 'Jane Doe' -o ~/backups --copy-to /media/jane/USB",
    ),
    (
        "Without a question, for a script, to be opened on a Mac:",
        "nssbackup export --password-file password.txt --for macos --json",
    ),
    ("See which certificates there are, in one profile only:", "nssbackup list --profile work"),
    ("See what is in a backup, and whether it would work:", "nssbackup verify backup.pfx"),
    (
        "Let bash complete commands, options and names from now on:",
        "nssbackup --show-completion bash >> ~/.bashrc",
    ),
)

_SEE_ALSO = ("certutil", "firefox", "openssl-pkcs12", "pk12util")


def manual(group: TyperGroup) -> str:
    """The page about a tree of commands, in roff with the macros of man(7)."""
    root = _context(group, "nssbackup")
    commands = [(name, one) for name, one in group.commands.items() if not one.hidden]
    contexts = [_context(one, name, root) for name, one in commands]
    return "\n".join(
        [
            r".\" Built from the commands by `python -m nssbackup.cli.manual`; not to be edited.",
            f'.TH NSSBACKUP 1 {_DATE} nssbackup "User Commands"',
            *_RAGGED,
            ".SH NAME",
            rf"nssbackup \- {_NAME}",
            ".SH SYNOPSIS",
            *(line for one in (root, *contexts) for line in _synopsis(one)),
            ".SH DESCRIPTION",
            *_paragraphs(f"{group.help}\n\n{_WORDS}"),
            ".SH OPTIONS",
            *_parameters(root),
            ".SH COMMANDS",
            *(line for one in contexts for line in _command(one)),
            ".SH EXIT STATUS",
            *_terms((str(status), f"{what}.") for status, what in exit_statuses().items()),
            ".SH FILES",
            *_files(),
            ".SH SECURITY",
            *_paragraphs(_SECURITY),
            ".SH EXAMPLES",
            *_examples(),
            ".SH SEE ALSO",
            ",\n".join(rf"\fB{_escaped(one)}\fR(1)" for one in _SEE_ALSO),
            "",
        ]
    )


def _context(
    command: Any,  # noqa: ANN401 - Typer's class for any command is private
    name: str,
    parent: typer.Context | None = None,
) -> typer.Context:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    return cast("typer.Context", context)


def _synopsis(context: typer.Context) -> Iterator[str]:
    pieces = ["[OPTIONS]"]
    for one in context.command.get_params(context):
        if isinstance(one, TyperArgument):
            name = _argument(one)
            pieces.append(name if one.required else f"[{name}]")
    if context.parent is None:
        pieces.append("COMMAND ...")
    else:
        yield ".br"
    yield rf"\fB{context.command_path.partition('[')[0]}\fR \fI{' '.join(pieces)}\fR"


def _command(context: typer.Context) -> Iterator[str]:
    yield f".SS {context.info_name}"
    yield from _paragraphs(context.command.help or "")
    yield from _parameters(context)


def _argument(argument: TyperArgument) -> str:
    name = (argument.metavar or str(argument.name).upper()).strip("[]{}.")
    return f"{name}..." if argument.nargs < 0 else name


def _parameters(context: typer.Context) -> Iterator[str]:
    """The arguments and options of a command, as its help shows them."""
    for one in context.command.get_params(context):
        record = one.get_help_record(context)
        # What is the same for every command is said once.
        if record is None or (context.parent is not None and "--help" in one.opts):
            continue
        names, text = record
        if isinstance(one, TyperArgument):
            names = _argument(one)
        text = _as_sentences(text)
        if len(names) > _LONGEST_TERM:
            names, _, choices = names.partition(" ")
            names += " VALUE"
            text += f" One of {', '.join(choices.strip('<>').split('|'))}."
        yield from _terms([(names, text)])


def _as_sentences(text: str) -> str:
    """A help text, and what Typer puts in brackets behind it, all in sentences."""
    text, _, facts = text.removesuffix("]").partition("[")
    sentences = [text.strip()]
    for fact in facts.split("; "):
        if fact.startswith("default: "):
            sentences.append(f"Default: {fact.removeprefix('default: ').strip('()')}.")
        elif fact and fact != "required":
            sentences.append(f"Range: {fact}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _files() -> Iterator[str]:
    yield from _terms([("cert9.db, key4.db", _STORE)])
    others = set()
    systems: tuple[tuple[Platform, str], ...] = (("linux", "Linux"), ("darwin", "macOS"))
    for platform, name in systems:
        yield from (".PP", f"Where the profiles of {_FIREFOX} may be on {name}:")
        places = candidate_roots(System(platform, PurePosixPath("~"), {}))
        # Where a part of the name is not known, a person would not find it by the pattern either.
        own = [one for one in places if one.application == _FIREFOX and "*" not in one.below]
        yield from _as_typed(*(str(one.path) for one in own))
        others |= {one.application for one in places} - {_FIREFOX}
    *most, last = sorted(others)
    yield ".PP"
    yield from _filled(f"Also looked for are the profiles of {', '.join(most)} and {last}.")


def _examples() -> Iterator[str]:
    for number, (about, command) in enumerate(EXAMPLES):
        yield from (".PP",) if number else ()
        yield from (*_filled(about), *_as_typed(command))


def _as_typed(*lines: str) -> Iterator[str]:
    """Lines that stay as they are, for copying."""
    # A straight quotation mark, not the typographic one that the plain sign stands for.
    yield from (".PP", ".RS 4", ".EX")
    yield from (_escaped(line).replace("'", r"\(aq") for line in lines)
    yield from (".EE", ".RE", *_RAGGED)


def _terms(terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Words, and what each means."""
    for term, meaning in terms:
        yield ".TP"
        yield re.sub(r"[^\s,]+", lambda word: _marked(word[0]), term)
        yield from _filled(meaning)


def _marked(word: str) -> str:
    """What is typed as it stands in bold letters, what stands for something else in italic."""
    font = "B" if word.startswith("-") or word.isdigit() else "I"
    return rf"\f{font}{_escaped(word)}\fR"


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        yield from (".PP",) if number else ()
        yield from _filled(paragraph)


def _filled(text: str) -> Iterator[str]:
    """Running text in lines; options, and what is in backticks, in bold letters."""
    bold = re.sub(
        r"`([^`]*)`|(?<![\w-])(--?[a-z][\w-]*|-(?=\s))|(\\)",
        lambda found: r"\e" if found[3] else rf"\fB{_escaped(found[1] or found[2])}\fR",
        text,
    )
    for line in wrap(bold, _WIDTH, break_long_words=False, break_on_hyphens=False):
        yield rf"\&{line}" if line.startswith((".", "'")) else line


def _escaped(text: str) -> str:
    """Text as it is typed: nothing in it means anything to roff, and its hyphens can be copied."""
    return text.replace("\\", r"\e").replace("-", r"\-")


if __name__ == "__main__":
    from nssbackup.cli import app

    sys.stdout.write(manual(typer.main.get_group(app)))
