# ruff: noqa: ANN401 -- the driver, and what JavaScript returns, have no types
"""The report of a batch in a real Firefox: what a person sees, does and reads aloud there."""

from __future__ import annotations

import base64
import contextlib
import http.server
import re
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import pytest

from nssbackup.batch.rendering import write_reports
from nssbackup.batch.report import HostResult, totals_of
from tests.peers import need
from tests.peers.firefox import Firefox
from tests.unit.batch.rendering_documents import (
    HOSTILE,
    Document,
    expiring,
    failed,
    hostile,
    identity,
    item,
)
from tests.unit.batch.rendering_documents import (
    report as made_report,
)

STEP = 100
"""How many rows are laid out at once."""

PREFERS_DARK = "layout.css.prefers-color-scheme.content-override"  # 0 dark, 1 light
PREFERS_STILL = "ui.prefersReducedMotion"
PHONE, DESKTOP = 360, 1_400


class Browser(Firefox):
    """A Firefox with a page open."""

    def open(self, path: Path) -> None:
        """Open a file and forget what was complained of before."""
        self._chrome("Services.console.reset(); return true")
        with self._driver().using_context("content"):
            self._driver().navigate(path.resolve().as_uri())

    def read(self, script: str, *arguments: object) -> Any:
        """Run JavaScript in the page and return its value."""
        with self._driver().using_context("content"):
            return self._driver().execute_script(script, script_args=list(arguments))

    def wait_until(self, script: str) -> None:
        """Wait until JavaScript in the page returns something true."""
        self._wait_for(lambda: self.read(script), script)

    @contextmanager
    def element(self, selector: str) -> Iterator[Any]:
        """An element of the page, as a person or an assistive technology meets it."""
        with self._driver().using_context("content"):
            yield self._driver().find_element("css selector", selector)

    def click(self, selector: str) -> None:
        """Click on an element."""
        with self.element(selector) as element:
            element.click()

    def type(self, selector: str, keys: str) -> None:
        """Give an element the focus and press keys."""
        with self.element(selector) as element:
            element.send_keys(keys)

    def role(self, selector: str) -> str:
        """What an assistive technology takes an element for."""
        with self.element(selector) as element:
            return str(element.computed_role)

    def label(self, selector: str) -> str:
        """What an assistive technology calls an element."""
        with self.element(selector) as element:
            return str(element.computed_label)

    def prefer(self, name: str, value: int) -> None:
        """Set what its user prefers."""
        self._chrome(
            """
            Services.prefs.setIntPref(...arguments);
            Services.obs.notifyObservers(null, "look-and-feel-changed");
            return true""",
            name,
            value,
        )

    def widen(self, width: int) -> None:
        """Make the page so wide, which a window may not be."""
        self._driver().set_window_rect(width=DESKTOP, height=900)
        self._chrome("gBrowser.selectedBrowser.style.maxWidth = `${arguments[0]}px`", width)
        self._wait_for(lambda: self.read("return innerWidth") == width, f"a width of {width}")

    def allow_scripts(self, *, allowed: bool) -> None:
        """Turn JavaScript off, or on again, for the pages opened from now on."""
        self._chrome(
            "gBrowser.selectedBrowser.browsingContext.allowJavascript = arguments[0]", allowed
        )

    def complaints(self) -> list[str]:
        """What the console says of the page: errors of its script, offences against its policy."""
        said = self._chrome("""
            return Services.console.getMessageArray()
                .filter(one => one instanceof Ci.nsIScriptError)
                .filter(one => one.sourceName.startsWith("file:") || one.category.startsWith("CSP"))
                .map(one => `${one.category}: ${one.errorMessage}`)""")
        return [str(each) for each in said]

    def pages_on_paper(self) -> int:
        """Print, and count."""
        with self._driver().using_context("content"):
            pdf = base64.b64decode(
                self._driver()._send_message("WebDriver:Print", {}, key="value")  # noqa: SLF001 - the driver has no name for it
            )
        assert pdf.startswith(b"%PDF")
        pages = 0
        for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
            with contextlib.suppress(zlib.error):
                pages += len(re.findall(rb"/Type */Page\b(?!s)", zlib.decompress(stream)))
        return pages

    # --- this page

    def rows(self) -> list[str]:
        """The users of the rows that are shown, in their order."""
        return [
            str(user)
            for user in self.read("""
                return Array.from(document.querySelectorAll("#items tbody tr"))
                    .filter(row => row.checkVisibility())
                    .map(row => row.cells[4].textContent)""")
        ]

    def counted(self) -> str:
        """What it says how many rows there are."""
        return str(self.read("return document.getElementById('count').textContent"))

    def sorted_by(self) -> list[tuple[str, str]]:
        """The columns that say that the table is sorted by them, and how."""
        found = self.read("""
            return Array.from(document.querySelectorAll("#items th[aria-sort]"))
                .map(head => [head.textContent, head.getAttribute("aria-sort")])""")
        return [(name, how) for name, how in found]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, require_peers: bool) -> Iterator[Browser]:
    need(Firefox.missing(), required=require_peers)
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as started:
        yield started


@pytest.fixture(autouse=True)
def quiet(browser: Browser) -> Iterator[None]:
    """Each test begins with what is usual, and no page may be complained of."""
    browser.prefer(PREFERS_DARK, 1)
    browser.prefer(PREFERS_STILL, 0)
    browser.widen(DESKTOP)
    yield
    assert browser.complaints() == []


def report(place: Path, items: Sequence[Document], **changes: object) -> Path:
    assert write_reports(made_report(items, place, **changes))[1] is None
    return place / "report.html"


PEOPLE = ("Zoë", "anna", "Émile", "Bob", "10", "9", "Ömer")


def people() -> list[Document]:
    """A few items of all kinds, in no order at all by any column."""
    items = []
    for n, name in enumerate(PEOPLE):
        known = identity(
            n,
            common_name=f"{name} Doe",
            issuer=f"CN=CA-{len(PEOPLE) - n}",
            not_after=f"20{27 + n * 5 % 7}-0{1 + n}-01T00:00:00Z",
        )
        one = item(
            n, user=name, identity=known, profile_name=f"p{n * 3 % 7}", file=f"f{n * 4 % 7}.pfx"
        )
        one["status"] = "unchanged" if n % 2 else "backed-up"
        one["warnings"] = [f"warning-{n * 2 % 7}"]
        items.append(one)
    return [*items, failed(7, message="all is lost")]


def many(count: int = 350) -> list[Document]:
    return [
        item(n, user=f"user{n:03}", status="unchanged" if n % 10 else "backed-up")
        for n in range(count)
    ]


# --- sorting and filtering


def test_every_column_sorts_both_ways_and_says_so(browser: Browser, tmp_path: Path) -> None:
    browser.open(report(tmp_path, people()))
    before = browser.rows()
    assert browser.sorted_by() == []
    # The failure has no certificate and no file: what is empty comes last, whichever way.
    orders = {
        "Status": ["10", "Zoë", "Émile", "Ömer", "user7", "9", "anna", "Bob"],
        "Ends": ["Zoë", "Bob", "Ömer", "Émile", "9", "anna", "10", "user7"],
        "Certificate": ["9", "10", "anna", "Bob", "Émile", "Ömer", "Zoë", "user7"],
        "Issuer": ["Ömer", "9", "10", "Bob", "Émile", "anna", "Zoë", "user7"],
        "User": ["9", "10", "anna", "Bob", "Émile", "Ömer", "user7", "Zoë"],
        "Profile": ["user7", "Zoë", "9", "Bob", "anna", "Ömer", "10", "Émile"],
        "File": ["Zoë", "Émile", "10", "Ömer", "anna", "Bob", "9", "user7"],
        "Notes": ["user7", "Zoë", "10", "anna", "9", "Émile", "Ömer", "Bob"],
    }
    heads = browser.read("""
        return Array.from(document.querySelectorAll("#items th"), head => head.textContent)""")
    assert heads == list(orders)
    for place, (name, expected) in enumerate(orders.items(), 1):
        browser.click(f"#items th:nth-child({place}) button")
        assert browser.sorted_by() == [(name, "ascending")]
        assert browser.rows() == expected, name
        browser.click(f"#items th:nth-child({place}) button")
        assert browser.sorted_by() == [(name, "descending")]
        if name == "Status":  # where they are alike, they stay as they were
            assert browser.rows() == ["9", "anna", "Bob", "user7", "10", "Zoë", "Émile", "Ömer"]
        elif expected[-1] == "user7":
            assert browser.rows() == [*expected[-2::-1], "user7"], name
        else:
            assert browser.rows() == expected[::-1], name
    assert sorted(before) == sorted(browser.rows())


def test_a_column_sorts_by_keyboard_and_keeps_the_focus(browser: Browser, tmp_path: Path) -> None:
    browser.open(report(tmp_path, people()))
    button = "#items th:nth-child(5) button"
    for key, order in (("\ue007", "ascending"), (" ", "descending")):  # enter, space
        browser.type(button, key)
        assert browser.sorted_by() == [("User", order)]
        assert browser.read("return document.activeElement.matches(arguments[0])", button)
    assert browser.rows()[0] == "Zoë"


def test_the_text_box_and_the_status_narrow_the_table(browser: Browser, tmp_path: Path) -> None:
    browser.open(report(tmp_path, people()))
    assert browser.counted() == "8 rows"
    for typed, expected in (
        ("zoe", ["Zoë"]),  # marks and case don't matter
        ("DOE  ca-3", ["10"]),  # every word, anywhere
        ("lost", ["user7"]),
        ("2028-", ["Bob"]),
        ("warning-6", ["Bob"]),
        ("nothing like this", []),
    ):
        browser.read("document.getElementById('text').value = ''")
        browser.type("#text", typed)
        assert browser.rows() == expected, typed
        rows = "1 row" if expected else "0 rows"
        assert browser.counted() == f"{rows}, of 8 in all"
    browser.read("document.getElementById('text').value = ''")
    browser.type("#text", "doe")
    browser.click("#status option[value=unchanged]")
    assert browser.rows() == ["9", "anna", "Bob"]
    browser.click("#items th:nth-child(5) button")
    assert browser.rows() == ["9", "anna", "Bob"]
    browser.type("#text", "\ue003\ue003\ue003")  # backspace
    browser.click("#status option[value=failed]")
    assert browser.rows() == ["user7"]


def test_a_total_leads_to_its_rows(browser: Browser, tmp_path: Path) -> None:
    browser.open(report(tmp_path, [*people(), expiring(9, 3)]))
    browser.type("#text", "nothing like this")
    for status, count in (("backed-up", 5), ("unchanged", 3), ("failed", 1), ("expiring", 1)):
        browser.click(f".tiles [data-filter={status}]")
        assert len(browser.rows()) == count
        assert browser.read("return document.getElementById('text').value") == ""
    browser.click(".tiles [data-filter='']")
    assert len(browser.rows()) == 9


def test_a_hundred_rows_are_laid_out_until_more_are_wanted(
    browser: Browser, tmp_path: Path
) -> None:
    browser.open(report(tmp_path, many(350)))
    assert len(browser.rows()) == STEP
    assert browser.counted() == "First 100 of 350 rows"
    browser.type("#more", " ")
    assert len(browser.rows()) == 2 * STEP
    # Who reads on with the keyboard goes on where the new rows begin.
    assert browser.read("return document.activeElement.cells[4].textContent") == "user100"
    browser.click("#everything")
    assert browser.rows() == [f"user{n:03}" for n in range(350)]
    assert browser.counted() == "350 rows"
    assert browser.read("return document.activeElement.cells[4].textContent") == "user200"
    assert not browser.read("return document.getElementById('more').checkVisibility()")
    # The rows that are not laid out are sorted and found all the same.
    browser.type("#text", "user349")
    assert browser.rows() == ["user349"]
    browser.type("#text", "\ue003" * 10)
    browser.click("#items th:nth-child(5) button")
    browser.click("#items th:nth-child(5) button")
    assert browser.rows()[:2] == ["user349", "user348"]
    assert len(browser.rows()) == STEP


def test_paper_gets_every_row_that_matches(browser: Browser, tmp_path: Path) -> None:
    browser.open(report(tmp_path, many(350)))
    all_pages = browser.pages_on_paper()
    assert len(browser.rows()) == STEP  # as it was
    browser.type("#text", "user34")
    few_pages = browser.pages_on_paper()
    assert few_pages < 5
    assert all_pages > few_pages * 3
    browser.read("document.getElementById('text').value = ''")
    browser.type("#text", "user")
    browser.read("dispatchEvent(new Event('beforeprint'))")
    assert len(browser.rows()) == 350
    browser.read("dispatchEvent(new Event('afterprint'))")
    assert len(browser.rows()) == STEP


def test_without_javascript_all_is_there_that_works(browser: Browser, tmp_path: Path) -> None:
    path = report(tmp_path, many(350))
    browser.allow_scripts(allowed=False)
    try:
        browser.open(path)
        assert browser.rows() == [f"user{n:03}" for n in range(350)]
        assert (
            browser.read("""
            return document.querySelectorAll("#items button").length
                + Array.from(document.querySelectorAll("input, select, button"))
                    .filter(one => one.checkVisibility()).length""")
            == 0
        )
    finally:
        browser.allow_scripts(allowed=True)


# --- what others named


class Listener(http.server.ThreadingHTTPServer):
    """Counts what is fetched from it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listener.asked.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def payloads(url: str) -> list[str]:
    """Names that run or fetch something, where they are not taken for names."""
    # Short: what is longer than a name is cut.
    run = "document.documentElement.dataset.hacked=1"
    return [
        f"<script>{run}</script>",
        f"<img src={url}img>",
        f"<img src=x: onerror={run}>",
        f"<link rel=stylesheet href={url}style>",
        f"<script src={url}script></script>",
        f"<iframe src={url}frame></iframe>",
        f"<svg onload={run}>",
        f"<p style='background:url({url}inline)'>x",
    ]


def hacked(browser: Browser) -> object:
    return browser.read("return document.documentElement.dataset.hacked || null")


def fetched(browser: Browser) -> object:
    return browser.read("return performance.getEntriesByType('resource').map(one => one.name)")


def test_what_others_named_does_nothing(
    browser: Browser, tmp_path: Path, listener: Listener
) -> None:
    names = [*HOSTILE, *payloads(listener.url), "more than are laid out at once"]
    items = [each for name in names for each in hostile(name)]
    path = report(tmp_path, items, roots=tuple(names))
    elements = "return document.querySelectorAll('#items *').length"
    browser.open(path)
    browser.click("#everything")
    for place in range(1, 10):
        browser.click(f"#items th:nth-child({place}) button")
    assert hacked(browser) is None
    assert fetched(browser) == []
    assert listener.asked == []
    browser.click("#everything")
    assert len(browser.rows()) == len(items)
    found = browser.read(elements)
    plain = [each for name in names for each in hostile("`x` `" if "`" in name else "plain")]
    browser.open(report(tmp_path, plain, roots=("x",) * len(names)))
    browser.click("#everything")
    assert browser.read(elements) == found


def test_a_page_that_forgot_to_escape_would_run_nothing(
    browser: Browser, tmp_path: Path, listener: Listener
) -> None:
    names = payloads(listener.url)
    path = report(tmp_path, [item(n, user=name) for n, name in enumerate(names)])
    text = path.read_text("utf-8")
    for name in names:
        written = escape(name).replace("&#x27;", "&#39;")  # as Jinja writes it
        assert written in text, name
        text = text.replace(written, name)
    path.write_text(text, "utf-8")
    browser.open(path)
    assert hacked(browser) is None
    assert listener.asked == []
    complaints = browser.complaints()
    assert sum("CSP" in said for said in complaints) >= len(names) - 1
    # And without the policy all of that would have been: what is looked for here can be seen.
    start = text.index('<meta http-equiv="Content-Security-Policy"')
    path.write_text(text[:start] + text[text.index("\n", start) :], "utf-8")
    browser.open(path)
    assert hacked(browser) == "1"
    assert {"/img", "/style", "/script", "/frame", "/inline"} <= set(listener.asked)
    path.write_text("<script>nowhere.to.be.found</script>", "utf-8")
    browser.open(path)
    assert any("nowhere" in said for said in browser.complaints())
    browser.open(report(tmp_path, []))


# --- for everybody

CONTRAST = """
    // WCAG 2.2, "relative luminance" and "contrast ratio"; backgrounds laid over one another.
    const parse = text => {
        const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const luminance = ([r, g, b]) => {
        const part = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const over = (top, below) =>
        below.map((v, i) => i == 3 ? 1 : top[i] * top[3] + v * (1 - top[3]));
    const behind = element => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) {
            layers.push(parse(getComputedStyle(one).backgroundColor));
        }
        return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    };
    const contrast = (a, b) => {
        const [x, y] = [luminance(a), luminance(b)].sort((m, n) => n - m);
        return (x + 0.05) / (y + 0.05);
    };
    for (const one of document.querySelectorAll("details")) one.open = true;
    const low = [];
    let seen = 0;
    for (const one of document.body.querySelectorAll("*")) {
        const words = Array.from(one.childNodes).some(n => n.nodeType === 3 && n.data.trim());
        const bar = one.matches("rect:not(.hit)");
        if (!(words || bar) || one.localName === "title" || !one.checkVisibility()) continue;
        const style = getComputedStyle(one);
        const back = behind(one);
        const colour = over(parse(one instanceof SVGElement ? style.fill : style.color), back);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        const ratio = contrast(colour, back);
        seen += 1;
        if (ratio < (bar || large ? 3 : 4.5)) {
            low.push([one.outerHTML.slice(0, 80), ratio, colour.join(), back.join()]);
        }
    }
    return [low, seen, behind(document.body)];
"""


def everything(folder: Path) -> Path:
    """A report that has every part that there is."""
    items = [
        *people(),
        *(expiring(n, n) for n in range(8, 30)),
        *(failed(n) for n in range(30, 50)),
        item(50, status="planned", host="ws-2"),
        item(51, identity=identity(51, not_after="2026-01-01T00:00:00Z")),
    ]
    hosts = (
        HostResult("ws-1", reached=True, error=None, totals=totals_of(())),
        HostResult("ws-2", reached=False, error="no route to `ws-2`", totals=totals_of(())),
    )
    return report(folder, items, hosts=hosts, dry_run=True)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_all_of_it_can_be_read_in_light_and_dark(
    browser: Browser, tmp_path: Path, width: int, dark: bool
) -> None:
    browser.prefer(PREFERS_DARK, 0 if dark else 1)
    browser.open(everything(tmp_path))
    browser.widen(width)
    is_dark = "matchMedia('(prefers-color-scheme: dark)').matches"
    browser.wait_until(f"return {is_dark if dark else '!' + is_dark}")
    low, seen, (red, green, blue, _) = browser.read(CONTRAST)
    assert low == []
    assert seen > 500
    assert (red + green + blue < 150) == dark


def test_what_is_too_pale_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    browser.open(everything(tmp_path))
    browser.read("document.querySelector('h1').style.color = '#999'")
    ((where, ratio, *_),) = browser.read(CONTRAST)[0]
    assert where.startswith("<h1")
    assert 2 < ratio < 3


def test_its_parts_have_a_role_and_a_name(browser: Browser, tmp_path: Path) -> None:
    browser.open(everything(tmp_path))
    roles = {
        "header": "banner",
        "main": "main",
        "footer": "contentinfo",
        "form": "search",
        "#items": "table",
        "#items th": "columnheader",
        "#count": "status",
        "section": "region",
        "article": "article",
    }
    for selector, role in roles.items():
        assert browser.role(selector) == role, selector
    assert browser.role(".chart") in {"img", "image", "graphics-document"}
    names = {
        "form": "Filter the table",
        "#text": "Contains",
        "#status": "Status",
        "#items th:nth-child(2) button": "Ends",
        "section:nth-of-type(2)": "To be renewed soon",
        "#items": "Every certificate and failure",
        "article": "Wrong primary password 21",
    }
    for selector, name in names.items():
        assert browser.label(selector).startswith(name), selector
    assert "by the month in which they end" in browser.label(".chart")
    assert browser.read("""
        const levels = Array.from(document.querySelectorAll("h1,h2,h3"), one => +one.localName[1]);
        return levels[0] === 1 && levels.filter(level => level === 1).length === 1
            && levels.every((level, place) => place === 0 || level <= levels[place - 1] + 1)
            && document.documentElement.lang === "en"
            && Array.from(document.querySelectorAll("th")).every(one => one.scope)
            && Array.from(document.querySelectorAll("table")).every(one => one.caption)""")


def test_on_a_phone_nothing_is_cut_off_and_a_row_is_still_a_row(
    browser: Browser, tmp_path: Path
) -> None:
    long = "W" * 300
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    browser.open(everything(tmp_path))
    for width in (PHONE, 700, 960, 961, DESKTOP):
        browser.widen(width)
        assert browser.read(wide) == 0, width
    browser.open(report(tmp_path, [*hostile(long), *hostile("a;b c" * 60)]))
    browser.widen(PHONE)
    assert browser.read(wide) == 0
    assert browser.role("#items") == "table"
    assert browser.role("#items tbody tr") == "row"
    assert browser.role("#items tbody td") == "cell"
    assert browser.role("#items th") == "columnheader"
    title = "return getComputedStyle(document.querySelector(arguments[0]), '::before').content"
    assert browser.read(title, "#items td:nth-child(3)") == '"Certificate"'
    browser.click("#items th:nth-child(3) button")
    assert browser.sorted_by() == [("Certificate", "ascending")]
    browser.widen(DESKTOP)
    assert browser.read(title, "#items td:nth-child(3)") == "none"


def test_who_goes_by_keyboard_sees_where(browser: Browser, tmp_path: Path) -> None:
    browser.prefer(PREFERS_STILL, 1)
    browser.open(everything(tmp_path))
    met = []
    for _ in range(30):
        browser.type(":focus, :root:not(:has(:focus)) body", "\ue004")  # tabulator
        name, outline, top, bottom, height = browser.read("""
            const one = document.activeElement;
            const style = getComputedStyle(one);
            const place = one.getBoundingClientRect();
            return [one.id || one.dataset.filter || one.className || one.textContent,
                style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
                place.top, place.bottom, innerHeight]""")
        assert outline >= 2, name
        assert bottom > 0, name
        assert top < height, name
        met.append(name)
    assert met[0] == "skip"
    assert {"failed", "10 more", "scroll", "text", "status", "Ends", "Notes", "Details"} <= set(met)
    browser.read("document.body.focus(); document.activeElement.blur()")
    browser.type(".skip", "\ue007")
    assert browser.read("return document.activeElement.id") == "all"


def test_nothing_moves_for_whom_it_should_not(browser: Browser, tmp_path: Path) -> None:
    browser.open(everything(tmp_path))
    behaviour = "return getComputedStyle(document.documentElement).scrollBehavior"
    assert browser.read(behaviour) == "smooth"
    browser.prefer(PREFERS_STILL, 1)
    browser.wait_until(f"{behaviour} === 'auto'")
