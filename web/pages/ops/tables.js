import { byId, h, setAttribute, setText } from "/shared/dom.js";
import { get } from "./api.js";
import { count, host, stamp } from "./words.js";

const PAGE = 100;
/** How long a person types before the rows are asked for, in milliseconds. */
const TYPING_MS = 250;

const done = (value) => (value === true ? "yes" : value === false ? "no" : "–");
const or = (value) => (value === null || value === undefined || value === "" ? "–" : String(value));
/** What a row of each table shows beside its key. */
const COLUMNS = {
  teams: [["Name", ({ name }) => or(name)], ["Owner", ({ ownerId }) => or(ownerId)], ["Changed", ({ updatedAt }) => stamp(updatedAt)]],
  members: [["User", ({ userId }) => or(userId)], ["Role", ({ role }) => or(role)]],
  tasks: [["Title", ({ title }) => or(title)], ["Done", ({ completed }) => done(completed)], ["Priority", ({ priority }) => or(priority)], ["Assignee", ({ assigneeId }) => or(assigneeId)], ["Changed", ({ updatedAt }) => stamp(updatedAt)]],
  users: [["Username", ({ username }) => or(username)], ["E-mail", ({ email }) => or(email)]],
};
const HINTS = { teams: "42", members: "42/", tasks: "42/ or user:7/", users: "7" };

/** The history that a row belongs to: 42, or user:7. */
const historyOf = (table, key) => (table === "users" ? `user:${key}` : table === "teams" ? key : key.slice(0, key.lastIndexOf("/")));

/** Looks into the tables of all workers. */
export class Tables {
  #app;
  #table = "teams";
  #cursor = null;
  #rows = [];
  #asked = 0;
  #typing = null;

  constructor(app) {
    this.#app = app;
    byId("tables").append(
      h("div", { class: "bar" },
        h("div", { class: "segments", id: "table-names", role: "group", "aria-label": "Table" }, ...Object.keys(COLUMNS).map((name) => h("a", { href: `#/tables/${name}`, "data-table": name, "data-testid": `table-${name}` }, h("span", { text: name }), " ", h("b", { class: "muted" })))),
        h("span", { class: "spacer" }),
        h("form", { class: "inline search", id: "prefix-form", role: "search", autocomplete: "off" }, h("label", { for: "prefix", class: "visually-hidden", text: "Keys that begin with" }), h("input", { id: "prefix", name: "prefix", type: "search", "data-testid": "prefix", spellcheck: "false" })),
      ),
      h("div", { class: "split tables-split" },
        h("section", { class: "panel", "aria-labelledby": "rows-title" }, h("header", {}, h("h2", { id: "rows-title" }), h("span", { class: "muted", id: "rows-note", "data-testid": "rows-note" })), h("div", { class: "scroll rows-scroll", tabindex: "0", role: "region", "aria-label": "Rows" }, h("table", { "aria-labelledby": "rows-title" }, h("thead", { id: "rows-head" }), h("tbody", { id: "rows", "data-testid": "rows" }))), h("p", { class: "empty", id: "rows-empty", "data-testid": "rows-empty", role: "status" }), h("footer", { class: "foot", id: "rows-foot", hidden: true }, h("button", { type: "button", id: "rows-more", "data-testid": "rows-more", text: "Show more" }))),
        h("section", { class: "panel detail", id: "row-detail", "data-testid": "row-detail", "aria-labelledby": "row-title" }, h("header", {}, h("h2", { id: "row-title", text: "One row" }), h("span", { class: "muted", id: "row-where" }), h("span", { class: "spacer" }), h("a", { id: "row-history", "data-testid": "row-history", hidden: true, text: "History in the log" })), h("p", { class: "empty", id: "row-empty", text: "Choose a row to see all of it." }), h("pre", { id: "row-text", "data-testid": "row-text", tabindex: "0", "aria-label": "The row", hidden: true })),
      ),
    );
    byId("prefix").addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#search(), TYPING_MS);
    });
    byId("prefix-form").addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(this.#typing);
      this.#search();
    });
    byId("rows-more").addEventListener("click", () => this.#load(true));
    byId("rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.#show(this.#rows[row.rowIndex - 1]);
    });
  }

  /** Shows a table: #/tables/tasks, or narrowed: #/tables/tasks/42%2F. */
  open(table = "teams", prefix = "") {
    this.#table = table in COLUMNS ? table : "teams";
    byId("prefix").value = prefix;
    setAttribute(byId("prefix"), "placeholder", `Keys that begin with ${HINTS[this.#table]}`);
    for (const link of byId("table-names").children) setAttribute(link, "aria-current", link.dataset.table === this.#table ? "page" : null);
    setText(byId("rows-title"), this.#table[0].toUpperCase() + this.#table.slice(1));
    byId("rows-head").replaceChildren(h("tr", {}, ...["Key", ...COLUMNS[this.#table].map(([head]) => head), "Partition", "Worker"].map((head) => h("th", { scope: "col", text: head }))));
    this.#show(null);
    this.#load(false);
    this.#count();
  }

  #search() {
    const prefix = byId("prefix").value.trim();
    // Replaced, not added: going back leads to what was before the search, not through every letter of it.
    history.replaceState(null, "", `#/tables/${this.#table}${prefix ? `/${encodeURIComponent(prefix)}` : ""}`);
    this.#show(null);
    this.#load(false);
  }

  async #count() {
    const found = await this.#app.attempt(() => get("/api/tables"));
    for (const { name, rows } of found?.tables ?? []) setText(byId("table-names").querySelector(`[data-table="${name}"] b`), count(rows));
  }

  async #load(more) {
    const asked = ++this.#asked;
    const panel = byId("rows").closest(".panel");
    panel.setAttribute("aria-busy", "true");
    if (!more) {
      this.#rows = [];
      setText(byId("rows-empty"), "Asking the workers…");
      byId("rows").replaceChildren();
    }
    const prefix = byId("prefix").value.trim();
    const found = await this.#app.attempt(() => get(`/api/tables/${this.#table}`, { prefix, limit: PAGE, cursor: more ? this.#cursor : "" }));
    if (asked !== this.#asked) return; // somebody has gone on typing
    panel.removeAttribute("aria-busy");
    setText(byId("rows-empty"), found === null ? "The rows are not known now." : this.#rows.length + found.rows.length === 0 ? (prefix ? `No key begins with ${prefix}.` : "No rows yet.") : "");
    if (found === null) return;
    this.#cursor = found.cursor;
    this.#rows.push(...found.rows);
    byId("rows-foot").hidden = found.cursor === null;
    setText(byId("rows-note"), this.#rows.length ? `${count(this.#rows.length)} shown${found.cursor === null ? "" : ", there are more"}` : "");
    byId("rows").append(...found.rows.map(({ key, value, partition, worker }) =>
      h("tr", { "data-key": key, "data-testid": "row" }, h("td", {}, h("button", { type: "button", class: "link mono", text: key })), ...COLUMNS[this.#table].map(([, cell]) => h("td", { class: "clip", text: cell(value) })), h("td", { class: "number", text: String(partition) }), h("td", { class: "muted", text: host(worker) })),
    ));
  }

  #show(row) {
    for (const element of byId("rows").children) setAttribute(element, "aria-selected", row && element.dataset.key === row.key ? "true" : null);
    byId("row-empty").hidden = row !== null;
    byId("row-text").hidden = row === null;
    byId("row-history").hidden = row === null;
    setText(byId("row-title"), row ? row.key : "One row");
    setText(byId("row-where"), row ? `partition ${row.partition}, ${host(row.worker)}` : "");
    if (!row) return;
    setText(byId("row-text"), JSON.stringify(row.value, null, 2));
    byId("row-history").href = `#/teams/${encodeURIComponent(historyOf(this.#table, row.key))}`;
  }
}
