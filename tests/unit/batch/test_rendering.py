from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nssbackup.batch.rendering import write_reports
from nssbackup.batch.report import HostResult, totals_of
from tests import LIMIT, PROJECT
from tests.unit.batch.rendering_documents import (
    HOSTILE,
    Document,
    expiring,
    failed,
    hostile,
    identity,
    item,
    report,
)

posix = pytest.mark.posix("a matter of POSIX file systems")


class Page(HTMLParser):
    """What a page consists of: its elements with their attributes, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.values: dict[str, list[str]] = {}
        self.texts: list[str] = []
        self.comments: list[str] = []
        self.feed(text)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        for name, value in attrs:
            self.values.setdefault(f"{tag} {name}", []).append(value or "")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def html(folder: Path, *items: Document, **changes: object) -> str:
    assert write_reports(report(items, folder, **changes))[1] is None
    return (folder / "report.html").read_bytes().decode()


def page(folder: Path, *items: Document, **changes: object) -> Page:
    return Page(html(folder, *items, **changes))


# --- the files

NAMES = ["report.json", "report.csv", "report.html"]


@posix
def test_the_reports_are_private_from_the_beginning(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        paths, unwritten = write_reports(report([item()], tmp_path))
    finally:
        os.umask(before)
    assert ([path.name for path in paths], unwritten) == (NAMES, None)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


def test_those_of_the_run_before_are_replaced(tmp_path: Path) -> None:
    write_reports(report([item(user="former")], tmp_path))
    for path in write_reports(report([item(user="present")], tmp_path))[0]:
        text = path.read_text("utf-8")
        assert "present" in text
        assert "former" not in text


def test_one_that_can_not_be_written_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "report.csv").mkdir()
    paths, unwritten = write_reports(report([item()], tmp_path))
    assert [path.name for path in paths] == ["report.json", "report.html"]
    assert unwritten is not None
    assert "report.csv" in unwritten.message


@posix
def test_a_full_disk_leaves_the_reports_of_the_run_before(tmp_path: Path) -> None:
    # A limit on the size of a file fails in the middle of a write, as a full disk does.
    code = """
import resource, signal, sys
from pathlib import Path
from nssbackup.batch.rendering import write_reports
from tests.unit.batch.rendering_documents import item, report
folder = Path(sys.argv[1])
write_reports(report([item(user="former")], folder))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
print(write_reports(report([item(n) for n in range(1_000)], folder)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
        cwd=PROJECT,
    )
    assert done.stdout.startswith("((), OutputError(")
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES)
    for path in tmp_path.iterdir():
        assert "former" in path.read_text("utf-8")


# --- what the page says


def test_it_says_first_whether_all_went_well(tmp_path: Path) -> None:
    def verdict(*items: Document, **changes: object) -> str:
        text = html(tmp_path, *items, **changes)
        (found,) = re.findall(r'<p class="verdict \w+">(.*?)</p>', text)
        return str(found)

    assert verdict() == "No certificate was found."
    assert verdict(item()) == "The certificate is backed up."
    assert verdict(item(), item(1, status="unchanged")) == "All 2 certificates are backed up."
    assert verdict(item(), failed(1)) == "1 failure. 1 certificate is backed up."
    assert verdict(item(status="planned"), dry_run=True) == "1 certificate would be backed up."
    away = [
        HostResult("a", True, None, totals_of(())),
        HostResult("b", False, "no route", totals_of(())),
    ]
    assert (
        verdict(item(), hosts=tuple(away))
        == "1 of 2 hosts was not reached. 1 certificate is backed up."
    )
    away[0] = HostResult("a", False, "no route", totals_of(()))
    assert verdict(failed(), hosts=tuple(away)) == "2 of 2 hosts were not reached. 1 failure."


def test_a_dry_run_says_that_nothing_was_written(tmp_path: Path) -> None:
    planned = item(status="planned")
    assert "nothing was written" in page(tmp_path, planned, dry_run=True).text
    assert "nothing was written" not in page(tmp_path, planned).text


def test_a_note_is_shown_and_acts_as_little_as_a_name(tmp_path: Path) -> None:
    notes = ["the key of `<script>x</script>` is in no profile", *("x" for _ in range(1_100))]
    shown = page(tmp_path, item(), notes=tuple(notes))
    assert "the key of <script>x</script> is in no profile" in shown.text
    assert "and 101 more: see report.json" in shown.text
    assert "To be looked at" not in page(tmp_path, item()).text


def test_what_ends_soon_is_on_top_the_soonest_first(tmp_path: Path) -> None:
    items = [item(0), failed(1), expiring(2, 20), item(3), expiring(4, 5)]
    text = html(tmp_path, *items)
    rows = re.findall(r"<tr data-status=.*?</tr>", text, re.DOTALL)
    assert [re.search(r">(user\d)<", row)[1] for row in rows] == [  # type: ignore[index]
        "user4",
        "user2",
        "user1",
        "user0",
        "user3",
    ]
    top = text[: text.index('<h2 id="all"')]
    assert top.index("Person 4") < top.index("Person 2") < top.index('id="failures"')
    assert "in 5 days" in top


def test_failures_with_one_hint_stand_together(tmp_path: Path) -> None:
    items = [failed(n) for n in range(20)]
    items.append(failed(20, code="damaged-store", message="`key4.db` is damaged", hint="mend it"))
    items.append(failed(21, code="mystery", message="nobody knows", hint=None))
    text = html(tmp_path, *items)
    part = text[text.index('id="failures"') : text.index('<h2 id="all"')]
    assert [re.sub("<.*?>", "", title) for title in re.findall("<h3.*?</h3>", part)] == [
        "Wrong primary password 20",
        "Damaged store 1",
        "Mystery 1",
    ]
    assert part.count("<kbd>--primary-passwords CSV</kbd>") == 1
    assert part.count("What to do:") == 2
    for n in range(20):  # complete: those that are not seen at once are there too
        assert f"<code>user{n}</code>" in part
    assert "<summary>8 more</summary>" in part


def test_a_row_says_what_there_is_to_know(tmp_path: Path) -> None:
    one = item(7, warnings=["the chain ends at `Some CA`"])
    text = page(tmp_path, one).text
    for part in (
        "Backed up",
        "2027-03-10 in 4 months",
        "Person 7",
        "WIPO Customer CA G2",
        "user7",
        "Firefox default",
        "user7/Person 7.pfx",
        "the chain ends at Some CA",
        "5.0 kB",
        str(one["sha256"]),
        str(one["profile"]),
        identity(7)["sha256"],
        identity(7)["subject"],
        identity(7)["serial"],
    ):
        assert str(part) in text


def test_the_host_is_a_column_where_there_are_several(tmp_path: Path) -> None:
    assert page(tmp_path, item()).count("col") == 8
    assert page(tmp_path, item(), item(1, host="ws-2")).count("col") == 9
    assert page(tmp_path, item(), host=None).count("col") == 9


def test_hosts_are_listed(tmp_path: Path) -> None:
    hosts = (
        HostResult("ws-1", True, None, {**totals_of(()), "items": 2, "backed-up": 1, "failed": 1}),
        HostResult("ws-3", False, "no route to `ws-3`", totals_of(())),
    )
    text = html(tmp_path, item(), failed(1), host=None, hosts=hosts)
    part = text[text.index('id="hosts"') : text.index('<h2 id="all"')]
    rows = [
        re.findall(r">([^<>\n]+)<", row) for row in re.findall(r"<tr><th scope=\"row.*?</tr>", part)
    ]
    assert rows == [
        ["ws-1", "Yes", "2", "1", "0", "1", "0", "0"],
        ["ws-3", "No", "0", "0", "0", "0", "0", "0", "no route to ", "ws-3"],
    ]


def test_without_items_there_is_a_page_and_no_table(tmp_path: Path) -> None:
    empty = page(tmp_path)
    assert empty.count("table") == 0
    assert empty.count("svg") == 0
    assert "There are none." in empty.text


def test_it_needs_nothing_else(tmp_path: Path) -> None:
    known = page(tmp_path, item(), failed(1), expiring(2, 3))
    addresses = [
        value
        for name, values in known.values.items()
        if name.rpartition(" ")[2] in {"href", "src", "action", "srcset", "data", "poster"}
        for value in values
    ]
    local = {"report.csv", "report.json"}
    assert {a for a in addresses if not a.startswith("#")} == local
    text = html(tmp_path, item())
    assert not re.findall(r"https?:|//[a-z]|url\(|@import|@font-face", text)


def test_links_within_the_page_lead_somewhere(tmp_path: Path) -> None:
    for items in ([item()], [item(), failed(1)], [expiring(2, 3)], []):
        known = page(tmp_path, *items)
        places = [
            value
            for name, values in known.values.items()
            if name.endswith(" id")
            for value in values
        ]
        assert len(places) == len(set(places))
        for link in known.values["a href"]:
            assert not link.startswith("#") or link[1:] in places


# --- what it does not do


def test_only_its_own_style_and_script_are_allowed(tmp_path: Path) -> None:
    from base64 import b64encode
    from hashlib import sha256

    text = html(tmp_path, item())
    (policy,) = re.findall('<meta http-equiv="Content-Security-Policy" content="(.*?)">', text)
    directives = dict(
        each.strip().split(" ", 1) for each in policy.replace("&#39;", "'").split(";")
    )
    for name in ("style", "script"):
        (content,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
        hashed = b64encode(sha256(content.encode()).digest()).decode()
        assert directives.pop(f"{name}-src") == f"'sha256-{hashed}'"
    assert directives == dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")
    # The policy rules over what stands behind it.
    assert text.index("Content-Security-Policy") < text.index("<title>")
    assert not re.search(r"<[^>]+\s(style|on\w+)=", text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_only_ever_text(text: str, tmp_path: Path) -> None:
    def made_of(word: str) -> Page:
        away = HostResult(word, False, word, totals_of(()))
        facts: Document = {"roots": (word,), "hosts": (away,), "host": None, "notes": (word,)}
        return page(tmp_path, *hostile(word), **facts)

    plain, other = made_of("`some` text`" if "`" in text else "some text"), made_of(text)
    assert other.elements == plain.elements
    assert other.comments == []
    assert other.values == plain.values  # but for that, no attribute holds anybody's text
    assert "hacked" not in "".join(
        "".join(v) for n, v in other.values.items() if n != "meta content"
    )


def test_what_can_not_be_seen_is_shown(tmp_path: Path) -> None:
    text = html(tmp_path, item(user="gnp.\u202eexe\x1b[31m\udc80\n"))
    assert "gnp.\\u202eexe\\x1b[31m\\udc80\\n" in text
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", text
    )


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    text = html(tmp_path, item(user="W" * 50_000))
    assert f">{'W' * 80}… (50,000 characters)<" in text
    assert len(text) < 100_000


def test_the_template_escapes_and_nothing_turns_that_off() -> None:
    import nssbackup.batch.rendering as package

    folder = Path(package.__path__[0], "templates")
    template = (folder / "report.html.jinja").read_text("utf-8")
    assert not re.findall(r"\|\s*safe|autoescape|Markup", template)
    # Without quotes round it, a blank would end an attribute.
    assert not re.findall(r"=\{\{", template)
    assert "innerHTML" not in (folder / "report.js").read_text("utf-8")
    assert not re.findall(
        "</|<!--", "".join((folder / f"report.{n}").read_text("utf-8") for n in ("js", "css"))
    )
