"""Shells: how each asks for proposals, and how it is told them.

Typer has scripts of its own for this. They are not used: bash and PowerShell would get what is
proposed on the command line unquoted, zsh would evaluate it, and the names of certificates and
profiles are whatever somebody chose to write into them.

The scripts here ask with environment variables and read lines: first the kind of the answer, then
a value and a few words about it in each, with a tab between them. "files" and "folders" have no
values: the shell knows how to complete them. bash and PowerShell insert a value as it is, so it
comes quoted; zsh and fish quote by themselves. Nothing that is read is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import dumps
from typing import Literal

Kind = Literal["values", "files", "folders"]

_LINE = "_NSSBACKUP_LINE"
_REPLACED = "_NSSBACKUP_REPLACED"
_WORDS = "_NSSBACKUP_WORDS"


@dataclass(frozen=True, slots=True)
class Line:
    """A command line as far as the cursor, nothing in it quoted any more.

    Attributes:
        before: the words in front of the one that is being typed, the program's name left out.
        current: the beginning of that one.
        kept: how many letters of `current` the shell keeps and wants no value for.
        quote: the quotation mark that is open, or "".
    """

    before: tuple[str, ...]
    current: str
    kept: int = 0
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Shell:
    """One shell.

    Attributes:
        script: makes the shell ask; to be run by it when it starts.
        asked: the command line, out of the environment that the script has set.
        told: one proposal as the script reads it, made of a value and what there is to say about
            it, both printable.
    """

    script: str
    asked: Callable[[Mapping[str, str]], Line]
    told: Callable[[Line, str, str], str]


def _words(environment: Mapping[str, str]) -> Line:
    """The line of a shell that splits it itself."""
    _, *before, current = environment[_WORDS].split("\n")
    return Line(tuple(before), current)


# --- bash

_BASH = r"""_nssbackup() {
    local line
    local -a lines=()
    COMPREPLY=()
    while IFS= read -r line; do
        lines+=("$line")
    done < <(_NSSBACKUP_COMPLETE=bash \
        _NSSBACKUP_LINE="${COMP_LINE:0:COMP_POINT}" _NSSBACKUP_REPLACED="$2" \
        "${1/#\~\//$HOME/}" 2>/dev/null </dev/null)
    case "${lines[0]-}" in
        files) compopt -o default ;;
        folders) compopt -o dirnames ;;
        values) COMPREPLY=("${lines[@]:1}") ;;
    esac
}
complete -F _nssbackup nssbackup
"""

# Outside of ASCII nothing means anything to bash.
_BASH_SIGN = re.compile(r"[^\w./+%,\u0080-\U0010ffff-]", re.ASCII)


def _bash_line(environment: Mapping[str, str]) -> Line:
    """The line as bash would split it; it shows it unsplit.

    What readline will replace is not the whole word: it begins behind an open quotation mark, and
    behind letters such as `=` and `:` (COMP_WORDBREAKS).
    """
    text = environment[_LINE]
    kept = text[: len(text) - len(environment[_REPLACED])]
    words, quote = _bash_split(text)
    return Line(tuple(words[1:-1]), words[-1], len(_bash_split(kept)[0][-1]), quote)


def _bash_split(text: str) -> tuple[list[str], str]:
    """The words of a line, the last one unfinished and perhaps empty; and the open quote."""
    words, word, started, quote = [], "", False, ""
    letters = iter(text)
    for letter in letters:
        if not quote and letter in " \t\n":
            words += [word] if started else []
            word, started = "", False
            continue
        started = True
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif letter == "\\" and quote != "'":
            escaped = next(letters, "")
            word += escaped if not quote or escaped in '$`"\\' else f"\\{escaped}"
        else:
            word += letter
    return [*words, word], quote


def _for_bash(line: Line, value: str, about: str) -> str:
    del about  # readline has no place for it
    rest = value[line.kept :]
    # readline takes a mark at the beginning for the one that is open, and one at the end for the
    # one that closes it, whatever they are meant to be. So both are there.
    if line.quote == "'":
        return "'" + rest.replace("'", "'\\''") + "'"
    if line.quote:
        # An exclamation mark can't be escaped between these, only outside of them.
        return '"' + re.sub(r'(["$`\\])', r"\\\1", rest).replace("!", '"\\!"') + '"'
    return _BASH_SIGN.sub(r"\\\g<0>", rest)


# --- zsh

_ZSH = r"""#compdef nssbackup
_nssbackup() {
    local -a before lines
    before=("${(@Q)words[1,CURRENT-1]}")
    lines=("${(@f)$(_NSSBACKUP_COMPLETE=zsh _NSSBACKUP_WORDS="${(F)before}"$'\n'"${(Q)PREFIX}" \
        "${before[1]/#\~\//$HOME/}" 2>/dev/null </dev/null)}")
    case "$lines[1]" in
        files) compset -P '--*='; _files ;;
        folders) compset -P '--*='; _files -/ ;;
        values) shift lines; _describe -t values value lines ;;
    esac
}
if [[ "$funcstack[1]" == _nssbackup ]]; then
    _nssbackup "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
    compdef _nssbackup nssbackup
fi
"""


def _for_zsh(line: Line, value: str, about: str) -> str:
    del line
    # `_describe` parts a value from what is said about it with a colon.
    value = re.sub(r"([\\:])", r"\\\1", value)
    return f"{value}:{about}" if about else value


# --- fish

_FISH = r"""function __nssbackup_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $before[1])
    set -l words (string join \n -- $before "$current" | string collect -N)
    set -l lines (_NSSBACKUP_COMPLETE=fish _NSSBACKUP_WORDS=$words $program 2>/dev/null </dev/null)
    switch "$lines[1]"
        case files
            complete -C "'' $current"
        case folders
            __fish_complete_directories "$current" ''
        case values
            test (count $lines) -gt 1; and printf '%s\n' $lines[2..]
    end
end
complete -c nssbackup -f -a '(__nssbackup_complete)'
"""


def _fish_line(environment: Mapping[str, str]) -> Line:
    _, *before, current, _ = environment[_WORDS].split("\n")
    # The word under the cursor comes as it was typed, and fish has its own quotes for what it gets.
    return Line(tuple(before), re.sub(r"\\(.)|['\"]", r"\1", current))


def _for_fish(line: Line, value: str, about: str) -> str:
    del line
    return f"{value}\t{about}"


# --- PowerShell

# What it takes for the encoding of programs is not what they write in, so all is ASCII, with the
# escapes of JSON.
_POWERSHELL = r"""Register-ArgumentCompleter -Native -CommandName nssbackup -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $before = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object {
            if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) {
                $_.Value
            } else {
                $_.Extent.Text
            }
        })
    try {
        $Env:_NSSBACKUP_COMPLETE = 'powershell'
        $Env:_NSSBACKUP_WORDS = ($before + @($wordToComplete)) -join "`n"
        & $before[0] 2>$null | Select-Object -Skip 1 | ForEach-Object {
            $value, $about = $_ -split "`t", 2 | ForEach-Object { [regex]::Unescape($_) }
            [System.Management.Automation.CompletionResult]::new(
                $value, $value, 'ParameterValue', $about)
        }
    } finally {
        $Env:_NSSBACKUP_COMPLETE = $null
        $Env:_NSSBACKUP_WORDS = $null
    }
}
"""

# PowerShell takes the typographic ones for quotation marks too.
_POWERSHELL_QUOTE = re.compile("['\u2018\u2019\u201a\u201b]")
_POWERSHELL_PLAIN = re.compile(r"[\w./\\:+=-]+", re.ASCII)


def _powershell_line(environment: Mapping[str, str]) -> Line:
    line = _words(environment)
    return Line(line.before, line.current.lstrip("'\""))


def _for_powershell(line: Line, value: str, about: str) -> str:
    del line
    if not _POWERSHELL_PLAIN.fullmatch(value):
        value = "'" + _POWERSHELL_QUOTE.sub(r"\g<0>\g<0>", value) + "'"
    return "\t".join(dumps(text)[1:-1] for text in (value, about or value))


SHELLS: Mapping[str, Shell] = {
    "bash": Shell(_BASH, _bash_line, _for_bash),
    "zsh": Shell(_ZSH, _words, _for_zsh),
    "fish": Shell(_FISH, _fish_line, _for_fish),
    "powershell": Shell(_POWERSHELL, _powershell_line, _for_powershell),
}
