// Tables sort by a click on a heading and show the rows that contain all words of the filter. What was chosen is kept when the page is loaded again.
"use strict";
for (const table of document.querySelectorAll("table[id]")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const filter = document.querySelector(`input[data-table="${table.id}"]`), count = document.querySelector(`[data-count="${table.id}"]`);
  const store = (key, value) => { try { sessionStorage.setItem(location.pathname + table.id + key, value); } catch (_) { /* without storage nothing is kept */ } };
  const stored = (key) => { try { return sessionStorage.getItem(location.pathname + table.id + key); } catch (_) { return null; } };
  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
  const sort = (column, way) => {
    // Empty cells go last either way; numbers before words.
    const compare = (a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const [p, q] = [Number(x), Number(y)];
      return way * (Number.isNaN(p) || Number.isNaN(q) ? Number.isNaN(p) - Number.isNaN(q) || x.localeCompare(y) : p - q || 0);
    };
    body.append(...rows.sort(compare));
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== column ? "none" : way > 0 ? "ascending" : "descending"));
    store("sort", `${column} ${way}`);
  };
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () =>
    sort(column, head.getAttribute("aria-sort") === "ascending" ? -1 : 1)));
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    // A number is looked for as a whole, a word anywhere in a cell.
    const found = (cell, word) => {
      const text = cell.textContent.toLowerCase().trim(), v = cell.dataset.v;
      return Number.isNaN(Number(word)) ? text.includes(word)
        : text.split(/[\s,;:=()]+/).includes(word) || (!!v && Number(v) === Number(word));
    };
    for (const row of rows) {
      row.hidden = !words.every((word) => [...row.cells].some((cell) => found(cell, word)));
      shown += !row.hidden;
    }
    count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    store("filter", filter.value);
  };
  filter?.addEventListener("input", show);
  const [column, way] = (stored("sort") ?? "").split(" ").map(Number);
  if (way) sort(column, way);
  if (filter) { filter.value = stored("filter") ?? ""; show(); }
}
// A link opens the folded part that it points to; the print has everything.
const unfold = (node) => { for (let at = node; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true; };
const target = () => unfold(document.getElementById(decodeURIComponent(location.hash.slice(1))));
addEventListener("hashchange", target);
target();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
