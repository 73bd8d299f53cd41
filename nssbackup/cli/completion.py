"""Completion: what the word that is being typed in a shell may become.

It is asked while somebody types, so it reads little, asks for nothing, writes nothing, and keeps
silent about whatever goes wrong.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from nssbackup.printable import printable

if TYPE_CHECKING:
    from nssbackup.cli.shells import Kind, Line
    from nssbackup.identity.model import Identity, Profile

# A shell's script sets it to the name of its shell.
ASKED_BY = "_NSSBACKUP_COMPLETE"

ShellName = Literal["bash", "zsh", "fish", "powershell"]

# A shell waits for us, and so does the person before it: seconds, and profiles, at most.
_PATIENCE = 3.0
_PROFILES_READ = 50

# More than a screen is no help, and neither are lines longer than one.
_MOST = 100
_LONGEST_NAME = 120
_LONGEST_REMARK = 100
_FINGERPRINT_DIGITS = 16

Proposals = list[tuple[str, str]]
"""Values and what there is to say about each."""


def _show_script(shell: ShellName | None) -> None:
    if shell is not None:
        from nssbackup.cli.output import Output
        from nssbackup.cli.shells import SHELLS

        output = Output()
        for line in SHELLS[shell].script.splitlines():
            output.data(line)
        raise typer.Exit


ShowCompletion = Annotated[
    ShellName | None,
    typer.Option(
        "--show-completion",
        callback=_show_script,
        is_eager=True,
        show_default=False,
        help="Print the script that makes a shell complete commands, options and names.",
    ),
]


# --- what options and arguments may be; Typer is given these


def profiles(context: typer.Context) -> Proposals:
    """The names of the profiles found; of the applications named, where some were."""
    found = _profiles_found(context.params.get("app"))
    named: dict[str, list[Profile]] = {}
    for profile in found:
        named.setdefault(profile.name, []).append(profile)
    proposals = []
    for name, same in named.items():
        where = _below_home(same[0].path) if len(same) == 1 else f"{len(same)} profiles"
        applications = " and ".join(dict.fromkeys(profile.application for profile in same))
        proposals.append((name, f"{applications}: {where}"))
    return proposals


def applications(context: typer.Context) -> Proposals:
    """The applications whose profiles are looked for on this system."""
    del context
    from nssbackup.profiles import System
    from nssbackup.profiles.roots import candidate_roots

    names = sorted({one.application for one in candidate_roots(System.current())})
    return [(name.casefold().replace(" ", "-"), name) for name in names]


def certificates(context: typer.Context) -> Proposals:
    """The names of the certificates that `list` would show, each once."""
    from nssbackup.cli.output import Output
    from nssbackup.cli.scope import scope
    from nssbackup.identity.choosing import listed
    from nssbackup.stores.inventory import take_inventory

    given = context.params
    looked_at = scope(given.get("profile"), given.get("app"), Output(quiet=True))
    inventory = take_inventory(
        looked_at.profiles[:_PROFILES_READ], left_behind=looked_at.left_behind
    )
    named: dict[str, dict[str, Identity]] = {}
    for identity in listed(inventory.identities, everything=bool(given.get("everything"))):
        fingerprint = identity.certificate.sha256
        named.setdefault(identity.display_name, {}).setdefault(fingerprint, identity)
    proposals = []
    for name, same in named.items():
        if _can_be_typed(name):
            proposals.append((name, _remark(tuple(same.values()))))
        else:
            # It could be shown and not be typed; the beginning of the fingerprint can.
            proposals += [
                (fingerprint[:_FINGERPRINT_DIGITS], f"{name}, {_remark((identity,))}")
                for fingerprint, identity in same.items()
            ]
    return proposals


def _below_home(path: Path) -> str:
    with contextlib.suppress(ValueError, RuntimeError):  # it lies elsewhere; there is no home
        return str(Path("~") / path.relative_to(Path.home()))
    return str(path)


def _profiles_found(apps: Iterable[str] | None) -> list[Profile]:
    from nssbackup.profiles import applications_named, find_profiles

    wanted = applications_named(apps or ())
    return [one for one in find_profiles() if not wanted or one.application in wanted]


def _remark(same: tuple[Identity, ...]) -> str:
    """What there is to say about a certificate, or about several of one name."""
    certificate = same[0].certificate
    if len({(one.certificate.subject, one.certificate.issuer) for one in same}) > 1:
        issuers = dict.fromkeys(one.certificate.issuer_name for one in same)
        return f"{len(same)} certificates, of {' and '.join(issuers)}"
    remark = f"{certificate.issuer_name}, until {certificate.not_after:%Y-%m-%d}"
    if certificate.status() != "valid":
        remark += f" ({certificate.status()})"
    return remark if certificate.has_private_key else f"{remark}, without its key"


# --- what a shell asks


def answer(group: TyperGroup, environment: Mapping[str, str] = os.environ) -> None:
    """Print what the shell that asks by these variables is to propose; nothing if that fails."""
    import threading

    from nssbackup.cli.shells import SHELLS

    # A home folder on a server that is gone must not take the shell with it.
    patience = threading.Timer(_PATIENCE, os._exit, (0,))
    patience.daemon = True
    patience.start()
    try:
        shell = SHELLS[environment[ASKED_BY]]
        line = shell.asked(environment)
        kind, proposals = proposed(group, line)
        told = [kind, *(shell.told(line, value, about) for value, about in proposals)]
        patience.cancel()
        sys.stdout.buffer.write(b"".join(_encoded(one) for one in told))
        sys.stdout.flush()
    except Exception:  # noqa: BLE001, S110 - a message would land in the middle of what is typed
        pass
    finally:
        patience.cancel()


def _encoded(line: str) -> bytes:
    """A line in the letters that this terminal has; nothing where it lacks one."""
    try:
        return f"{line}\n".encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return b""


def proposed(group: TyperGroup, line: Line) -> tuple[Kind, Proposals]:
    """What the word at the end of a line may become.

    Returns: "values" and those that begin as the word does, or the kind of file that it may name.
    """
    command: Any = group
    context, given = _parsed(group, "nssbackup", ()), line.before
    place = next((n for n, word in enumerate(given) if word in group.commands), None)
    if place is not None:
        name, given = given[place], given[place + 1 :]
        command = group.commands[name]
        context = _parsed(command, name, given, context)
    parameters = command.get_params(context)
    if "--" not in given:
        options = [one for one in parameters if isinstance(one, TyperOption) and not one.hidden]
        taking = {name: one for one in options if not one.is_flag for name in one.opts}
        if given and given[-1] in taking:
            return _values(taking[given[-1]], context, line.current)
        name, sign, value = line.current.partition("=")
        if sign and name in taking:
            return _values(taking[name], context, value, f"{name}=")
        if name.startswith("-"):
            names = [(name, _summary(one.help)) for one in options for name in one.opts]
            return "values", _beginning(names, line.current)
    if place is None:
        visible = [(name, one) for name, one in group.commands.items() if not one.hidden]
        commands = [(name, _summary(one.help)) for name, one in visible]
        return "values", _beginning(commands, line.current)
    for one in parameters:
        if isinstance(one, TyperArgument) and (one.nargs < 0 or not context.params.get(one.name)):
            return _values(one, context, line.current)
    return "values", []


def _parsed(
    command: Any,  # noqa: ANN401 - Typer's class for any command is private
    name: str,
    words: Iterable[str],
    parent: typer.Context | None = None,
) -> typer.Context:
    """What the words behind a command say, as far as they can be understood."""
    context = command.make_context(name, [*words], parent=parent, resilient_parsing=True)
    return cast("typer.Context", context)


def _values(
    parameter: TyperOption | TyperArgument, context: typer.Context, word: str, prefix: str = ""
) -> tuple[Kind, Proposals]:
    items = [(item.value, item.help or "") for item in parameter.shell_complete(context, "")]
    found = _beginning((item for item in items if _can_be_typed(item[0])), word)
    if found:
        return "values", [(f"{prefix}{value}", about) for value, about in found]
    # What the help calls FILE or FOLDER is one.
    words = re.split(r"[^A-Z]+", parameter.metavar or "")
    if "FILE" in words:
        return "files", []
    return ("folders" if {"FOLDER", "PATH", "ROOT"} & set(words) else "values"), []


def _beginning(proposals: Iterable[tuple[str, str]], word: str) -> Proposals:
    """Those that begin as a word does, ready to be shown."""
    fitting = {
        value: printable(about)[:_LONGEST_REMARK]
        for value, about in proposals
        if value.casefold().startswith(word.casefold())
    }
    return list(islice(fitting.items(), _MOST))


def _can_be_typed(name: str) -> bool:
    """Whether a name is one line of letters that a keyboard may have, no option and no home."""
    fits = 0 < len(name) <= _LONGEST_NAME
    return fits and name.isprintable() and not name.startswith(("-", "~"))


def _summary(text: str | None) -> str:
    """The first sentence of a help text."""
    return re.split(r"\.(?:\s|$)", text or "", maxsplit=1)[0]
