import { h, setAttribute, setText } from "/shared/dom.js";

/**
 * A table that is kept up to date in place: rows stay the same elements, so that what is focused or selected stays so.
 * Columns are {head, number?, wide?, cell(row)}; a cell is a text, or {text, href?, title?, level?, part?} where `part` (0 to 1) draws a bar.
 */
export class Grid {
  #columns;
  #key;
  #rows = new Map();
  #body = h("tbody");
  #empty;
  #scroll;

  constructor(slot, label, columns, key, empty) {
    this.#columns = columns;
    this.#key = key;
    const heads = columns.map(({ head, number }) => h("th", { scope: "col", class: number ? "number" : null, text: head }));
    const table = h("table", { "aria-label": label }, h("thead", {}, h("tr", {}, ...heads)), this.#body);
    this.#scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
    this.#empty = h("p", { class: "empty", text: empty });
    this.#scroll.hidden = true;
    this.#empty.hidden = true;
    slot.replaceChildren(this.#scroll, this.#empty);
  }

  /** Shows these rows, in this order. */
  update(rows) {
    const gone = new Set(this.#rows.keys());
    rows.forEach((row, index) => {
      const key = String(this.#key(row));
      gone.delete(key);
      let element = this.#rows.get(key);
      if (!element) {
        element = h("tr", { "data-key": key }, ...this.#columns.map(({ number, wide }) => h("td", { class: [number && "number", wide && "wide"].filter(Boolean).join(" ") || null })));
        this.#rows.set(key, element);
      }
      this.#columns.forEach(({ cell }, column) => show(element.children[column], cell(row)));
      if (this.#body.children[index] !== element) this.#body.insertBefore(element, this.#body.children[index] ?? null);
    });
    for (const key of gone) {
      this.#rows.get(key).remove();
      this.#rows.delete(key);
    }
    this.#scroll.hidden = rows.length === 0;
    this.#empty.hidden = rows.length > 0;
  }
}

function show(cell, content) {
  const { text, href = null, title = null, level = null, part = null } = typeof content === "object" && content !== null ? content : { text: content };
  setAttribute(cell, "data-level", level);
  setAttribute(cell, "title", title);
  let target = cell;
  if (href !== null) {
    target = cell.querySelector("a") ?? cell.appendChild(h("a"));
    setAttribute(target, "href", href);
  }
  if (part !== null) {
    let bar = cell.querySelector(".bar-cell");
    if (!bar) {
      bar = h("span", { class: "bar-cell" }, h("span", { class: "meter", "aria-hidden": "true" }, h("i")), h("span"));
      cell.replaceChildren(bar);
    }
    bar.querySelector("i").style.setProperty("--part", String(Math.max(0, Math.min(1, part))));
    setText(bar.lastChild, text ?? "");
    return;
  }
  setText(target, text ?? "");
}
