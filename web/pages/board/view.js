import { Column } from "./column.js";
import { batched, byId, h, icon, place, setAttribute } from "/shared/dom.js";

/** Pause between two drawings while events flood in, in milliseconds: still a blink. */
const FLOOD_MS = 80;

/**
 * Draws a store's streams as columns. What changes is noted, and drawn once in the next frame: the cost of a frame
 * grows with the cards that changed, not with the events that changed them.
 */
export class View {
  #store = null;
  #columns = new Map();
  #allColumns = false;
  #pointed = null;
  #heads = new Set();
  #orders = new Set();
  #cards = new Map();
  #flashes = new Map();
  #root = byId("columns");
  #newTeam = h("button", { type: "button", class: "new-team", "data-action": "new-team", "data-testid": "new-team" }, icon("plus"), h("span", { text: "New team" }));
  #welcome = h(
    "div",
    { class: "welcome", "data-testid": "welcome" },
    h("h2", { text: "Make it yours" }),
    h("p", { text: "You are in no team yet. Create one, add people by their user id, and watch the same board move on their screens." }),
    h("button", { type: "button", class: "primary", "data-action": "new-team", text: "Create a team" }),
  );

  constructor(feed) {
    const draw = () => {
      this.#flush();
      feed.flush();
    };
    this.request = batched(draw, () => (feed.fast ? FLOOD_MS : 0));
  }

  /** Shows another store, or none. */
  use(store) {
    this.#store = store;
    this.#columns.clear();
    this.#root.replaceChildren();
    this.#allColumns = true;
    this.request();
  }

  columnsChanged() {
    this.#allColumns = true;
    this.request();
  }

  /** The team's head and all its cards. */
  teamChanged(key) {
    this.#heads.add(key);
    this.#orders.add(key);
    this.request();
  }

  /** The team's head alone: its name, its members, who is online. */
  headChanged(key) {
    this.#heads.add(key);
    this.request();
  }

  /** One card; `moved` when its place in the column may be another. */
  taskChanged(key, taskId, moved, event = null) {
    if (moved) {
      this.#orders.add(key);
      this.#heads.add(key);
    } else {
      if (!this.#cards.has(key)) this.#cards.set(key, new Set());
      this.#cards.get(key).add(taskId);
    }
    if (event) {
      if (!this.#flashes.has(key)) this.#flashes.set(key, new Map());
      this.#flashes.get(key).set(taskId, event);
    }
    this.request();
  }

  /** Draws one more step of a long column. */
  showMore(key) {
    this.#columns.get(key)?.showMore();
    this.teamChanged(key);
  }

  /** Marks a column and brings it into sight, as soon as it is there; null: none. */
  point(key) {
    this.#pointed = key;
    this.request();
  }

  /** Brings a column into sight. */
  reveal(key) {
    this.#columns.get(key)?.element.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #flush() {
    const store = this.#store;
    if (!store) return;
    if (this.#allColumns) this.#flushColumns(store);
    for (const key of this.#heads) this.#with(key, (column, stream) => column.showHead(stream));
    for (const key of this.#orders) this.#with(key, (column, stream) => column.showTasks(stream, store.pending(key)));
    for (const [key, ids] of this.#cards) {
      if (!this.#orders.has(key)) this.#with(key, (column, stream) => ids.forEach((id) => column.showTask(stream, id, store.pending(key))));
    }
    for (const [key, events] of this.#flashes) {
      this.#with(key, (column) => events.forEach((event, id) => column.card(id)?.flash(event)));
    }
    if (this.#pointed !== null && this.#columns.has(this.#pointed)) {
      setAttribute(this.#columns.get(this.#pointed).element, "aria-current", "true");
      this.reveal(this.#pointed);
      this.#pointed = null;
    }
    this.#allColumns = false;
    for (const noted of [this.#heads, this.#orders, this.#cards, this.#flashes]) noted.clear();
  }

  #with(key, act) {
    const column = this.#columns.get(key);
    const stream = this.#store.streams.get(key);
    if (column && stream) act(column, stream);
  }

  #flushColumns(store) {
    // Before the list of teams is here the outline stands in; drawing Personal first would push it aside a moment later.
    if (!store.streams.has("me")) return;
    for (const [key, column] of this.#columns) {
      if (store.streams.has(key)) continue;
      column.element.remove();
      this.#columns.delete(key);
    }
    // Teams by their ids, and those that come later behind them.
    const fresh = [...store.streams.keys()].filter((key) => !this.#columns.has(key));
    fresh.sort((a, b) => (a === "me" ? -1 : b === "me" ? 1 : a - b));
    for (const key of fresh) {
      const column = new Column(key);
      this.#columns.set(key, column);
      place(this.#root, column.element, key === "me" ? null : this.#columns.get("me").element);
      this.#heads.add(key);
      this.#orders.add(key);
    }
    const alone = store.streams.size === 1 && store.streams.get("me").loaded;
    // Personal comes after the teams, and the way to another team last.
    if (alone) place(this.#root, this.#welcome, this.#columns.get("me").element);
    else this.#welcome.remove();
    if (this.#root.lastChild !== this.#newTeam) this.#root.append(this.#newTeam);
  }
}
