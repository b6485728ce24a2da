import { byId, h, setText } from "/shared/dom.js";
import { avatar } from "./people.js";
import { clock, sentence } from "./words.js";

/** Rows kept on the page. */
const ROWS = 200;

/** From so many events in a second on nothing glides or fades: motion would cost frames and tell the eye nothing. */
const FAST = 30;

/** Slots are numbered afresh after so many rows: far-away offsets lose their precision. */
const REBASE = 4_000;

/** Seconds shown by the sparkline. */
const SECONDS = 24;

/** The live event feed and the event rate; rows wait in `fresh` until the page's next frame. */
export class Feed {
  #fresh = [];
  #total = 0;
  #perSecond = new Array(SECONDS).fill(0);
  #bars;
  /** True while events come faster than the eye follows. */
  fast = false;
  #slots = 0;
  #rows = byId("feed-rows");
  #events = new WeakMap();

  constructor() {
    this.#bars = Array.from({ length: SECONDS }, () => h("i"));
    byId("sparkline").append(...this.#bars);
    setInterval(() => this.#tick(), 1_000);
    this.#rows.addEventListener("click", (event) => {
      const row = event.target.closest("li");
      if (row) this.#inspect(row);
    });
    byId("inspector-close").addEventListener("click", () => this.#inspect(null));
  }

  /** Notes one event; `context` has teamName and titleOf as known at that moment. */
  add(event, context) {
    this.#total += 1;
    this.#perSecond[SECONDS - 1] += 1;
    if (this.#perSecond[SECONDS - 1] === FAST) this.#pace(true);
    this.#fresh.push([event, context.teamName, sentence(event, context.titleOf)]);
    // In a burst the rows that would fall off again are never built.
    if (this.#fresh.length > ROWS) this.#fresh.shift();
  }

  /** A line that is no event: what the connection did. */
  note(text) {
    this.#fresh.push([null, text]);
  }

  /** Builds the rows that came since the last frame. */
  flush() {
    if (this.#fresh.length === 0) return;
    const built = document.createDocumentFragment();
    for (const [event, ...rest] of this.#fresh) {
      const row = event ? eventRow(event, ...rest) : noteRow(...rest);
      if (event) this.#events.set(row, event);
      row.style.setProperty("--slot", String(this.#slots++));
      built.prepend(row);
    }
    this.#fresh = [];
    this.#rows.prepend(built);
    while (this.#rows.children.length > ROWS) this.#rows.lastElementChild.remove();
    if (this.#slots > REBASE) this.#rebase();
    this.#rows.style.setProperty("--slots", String(this.#slots));
    this.#rows.style.setProperty("--rows", String(this.#rows.children.length));
    byId("feed-empty").hidden = true;
    setText(byId("feed-total"), `${this.#total.toLocaleString()} received`);
  }

  /** Empties the feed for another user. */
  clear() {
    this.#fresh = [];
    this.#total = 0;
    this.#rows.replaceChildren();
    this.#slots = 0;
    this.#inspect(null);
    byId("feed-empty").hidden = false;
    setText(byId("feed-total"), "0 received");
  }

  #pace(fast) {
    this.fast = fast;
    if (fast) document.documentElement.dataset.pace = "fast";
    else delete document.documentElement.dataset.pace;
  }

  #rebase() {
    const rows = [...this.#rows.children].reverse();
    rows.forEach((row, slot) => row.style.setProperty("--slot", String(slot)));
    this.#slots = rows.length;
  }

  /** Shows one row's event as received; none, or the same once more, closes it. */
  #inspect(row) {
    const before = this.#rows.querySelector('[aria-pressed="true"]');
    before?.setAttribute("aria-pressed", "false");
    const button = row?.querySelector("button") ?? null;
    const event = button !== before ? this.#events.get(row) : undefined;
    byId("inspector").hidden = !event;
    if (!event) return;
    button.setAttribute("aria-pressed", "true");
    setText(byId("inspector-text"), JSON.stringify(event, null, 2));
  }

  #tick() {
    const last = this.#perSecond[SECONDS - 1];
    setText(byId("rate"), last.toLocaleString());
    if (last < FAST) this.#pace(false);
    const top = Math.max(5, ...this.#perSecond);
    this.#perSecond.forEach((count, index) => {
      this.#bars[index].style.setProperty("--level", String(count === 0 ? 0.06 : 0.12 + (0.88 * count) / top));
    });
    this.#perSecond.shift();
    this.#perSecond.push(0);
  }
}

function eventRow(event, teamName, [who, did, what]) {
  const button = h(
    "button",
    { type: "button", class: "feed-row", "aria-pressed": "false" },
    avatar(event.actorId ?? event.data.userId ?? event.data.creatorId, "small"),
    h(
      "span",
      { class: "feed-text" },
      h("span", { class: "feed-line" }, h("b", { text: who }), ` ${did} `, h("span", { class: "what", text: what })),
      h(
        "span",
        { class: "feed-meta" },
        h("code", { text: event.type }),
        h("span", { class: "where", text: teamName }),
        h("time", { datetime: event.timestamp, text: clock(event.timestamp) }),
      ),
    ),
  );
  return h(
    "li",
    {
      "data-testid": "feed-row", "data-event-id": event.eventId, "data-type": event.type, "data-position": event.position,
      "data-team-id": event.teamId ?? "me",
    },
    button,
  );
}

const noteRow = (text) => h("li", { class: "feed-note", "data-testid": "feed-note", text });
