"use strict";
// Sorts, filters and pages the table of items. Without this the page is complete, as plain tables.
// Only so many rows are laid out at a time: a browser takes seconds for ten thousand.
(() => {
  const STEP = 100;
  const root = document.documentElement;
  root.classList.add("js"); // the style hides the rows behind the first page while the page loads

  // Letters without their marks and in lower case: `muller` finds Müller.
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}+/gu, "").toLowerCase();
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  const start = () => {
    root.classList.add("ready");
    const table = document.getElementById("items");
    if (!table) return;
    const [text, status, count, more, everything] = ["text", "status", "count", "more", "everything"]
      .map((id) => document.getElementById(id));
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (element, place) => ({ element, place, words: null, keys: [] }));
    let ordered = rows;
    let matching = rows;
    let limit = STEP;

    // What a cell is sorted by: what it shows before its details are opened.
    const key = (row, column) => row.keys[column] ??= Array.from(row.element.cells[column].childNodes)
      .map((node) => (node.localName === "details" ? "" : node.textContent)).join("").trim();

    const show = () => {
      const shown = matching.slice(0, limit);
      const rest = matching.length - shown.length;
      const part = document.createDocumentFragment();
      for (const row of shown) part.append(row.element);
      body.replaceChildren(part);
      const number = (value) => value.toLocaleString("en");
      const amount = (value) => `${number(value)} ${value === 1 ? "row" : "rows"}`;
      count.textContent = [
        rest ? `First ${number(shown.length)} of ${amount(matching.length)}` : amount(shown.length),
        matching.length < rows.length ? `, of ${number(rows.length)} in all` : "",
      ].join("");
      more.hidden = everything.hidden = rest === 0;
      more.textContent = `Show ${number(Math.min(rest, STEP))} more`;
      everything.textContent = `Show all ${number(matching.length)}`;
    };

    const filter = () => {
      const wanted = fold(text.value).split(/\s+/u).filter(Boolean);
      matching = ordered.filter((row) => {
        const data = row.element.dataset;
        if (status.value === "expiring" ? !("expiring" in data) : status.value && status.value !== data.status) {
          return false;
        }
        if (!wanted.length) return true;
        row.words ??= fold(row.element.textContent);
        return wanted.every((word) => row.words.includes(word));
      });
      limit = STEP; // to lay out ten thousand once more would take seconds
      show();
    };

    const sort = (column, direction) => {
      ordered = [...rows].sort((one, other) => {
        const [a, b] = [key(one, column), key(other, column)];
        if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1) || one.place - other.place; // empty ones last
        return direction * collator.compare(a, b) || one.place - other.place;
      });
      filter();
    };

    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        for (const each of heads) each.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sort(column, descending ? -1 : 1);
      });
    });

    text.addEventListener("input", filter);
    status.addEventListener("change", filter);
    text.form.addEventListener("submit", (event) => event.preventDefault());

    // The rows that come new get the focus: what was pressed may be gone.
    const extend = (upTo) => {
      const first = Math.min(limit, matching.length);
      limit = upTo;
      show();
      const row = matching[first]?.element;
      if (row) {
        row.tabIndex = -1;
        row.focus({ preventScroll: true });
      }
    };
    more.addEventListener("click", () => extend(limit + STEP));
    everything.addEventListener("click", () => extend(Infinity));

    // A total leads to the rows that it counts.
    for (const link of document.querySelectorAll("a[data-filter]")) {
      link.addEventListener("click", () => {
        text.value = "";
        status.value = link.dataset.filter;
        filter();
      });
    }

    // Paper has room for all rows that match.
    let before = STEP;
    addEventListener("beforeprint", () => { before = limit; limit = Infinity; show(); });
    addEventListener("afterprint", () => { limit = before; show(); });

    // A browser fills in again what was typed before the page was loaded anew.
    filter();
  };
  document.addEventListener("DOMContentLoaded", start);
})();
