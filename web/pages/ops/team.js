import { byId, h, icon, setAttribute, setText } from "/shared/dom.js";
import { get } from "./api.js";
import { Steps, family } from "./steps.js";
import { count, many, stamp } from "./words.js";

const PAGE = 200;

/** A team's events in the log, and its state after each of them. */
export class Team {
  #app;
  #key = null;
  #found = null;
  #steps = null;
  #index = -1;
  #asked = 0;

  constructor(app) {
    this.#app = app;
    const step = (name, label, go) => h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, "data-testid": `step-${name}`, onclick: go }, icon(name));
    byId("team").append(
      h("div", { class: "bar" },
        h("h2", { id: "team-title" }), h("span", { class: "muted", id: "team-note", "data-testid": "team-note" }), h("span", { class: "spacer" }),
        h("form", { class: "inline search", id: "team-form", role: "search", autocomplete: "off" }, h("label", { for: "team-key", class: "visually-hidden", text: "Team, or user:7" }), h("input", { id: "team-key", name: "key", placeholder: "Team 42, or user:7", spellcheck: "false" }), h("button", { type: "submit", text: "Show" })),
      ),
      h("div", { class: "replay", id: "replay", role: "group", "aria-label": "Replay" },
        step("first", "Before the first event", () => this.#go(-1)), step("back", "One event back", () => this.#go(this.#index - 1)),
        h("input", { type: "range", id: "step", min: "0", value: "0", "aria-label": "Event", "data-testid": "step" }),
        step("on", "One event on", () => this.#go(this.#index + 1)), step("last", "The newest event", () => this.#go(Infinity)),
        h("output", { id: "step-note", class: "muted", "data-testid": "step-note", for: "step" }),
      ),
      h("div", { class: "split" },
        h("section", { class: "panel", "aria-labelledby": "events-title" },
          h("header", {}, h("h2", { id: "events-title", text: "Events" }), h("span", { class: "muted", text: "as the log has them, oldest first" }), h("span", { class: "spacer" }), h("button", { type: "button", class: "small", id: "events-older", "data-testid": "events-older", hidden: true, text: "Older" }), h("button", { type: "button", class: "small", id: "events-newest", hidden: true, text: "Newest" })),
          h("p", { class: "empty", id: "events-empty", role: "status" }), h("ol", { class: "events", id: "events", "data-testid": "events" })),
        h("section", { class: "panel detail", "aria-labelledby": "state-title" }, h("header", {}, h("h2", { id: "state-title", text: "State" }), h("span", { class: "muted", id: "state-note" })), h("div", { id: "team-state", "data-testid": "team-state" }), h("div", { class: "raw" }, h("h3", { text: "The event" }), h("pre", { id: "event-text", "data-testid": "event-text", tabindex: "0", "aria-label": "The event" }))),
      ),
    );
    byId("step").addEventListener("input", () => this.#go(Number(byId("step").value) - 1));
    byId("team-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const key = byId("team-key").value.trim();
      if (key) location.hash = `#/teams/${encodeURIComponent(key)}`;
    });
    byId("events").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#go(Number(button.dataset.index));
    });
    byId("events").addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      this.#go(this.#index + by);
      byId("events").querySelector("[aria-current] button")?.focus();
    });
    byId("events-older").addEventListener("click", () => this.#load(this.#found.events[0].offset));
    byId("events-newest").addEventListener("click", () => this.#load(null));
  }

  /** Shows a history: #/teams/42 or #/teams/user%3A7. */
  open(key = "") {
    this.#key = key;
    setText(byId("team-title"), key.startsWith("user:") ? `User ${key.slice(5)}, their own stream` : `Team ${key}`);
    byId("team-key").value = "";
    this.#load(null);
  }

  async #load(before) {
    const asked = ++this.#asked;
    this.#use(null);
    setText(byId("events-empty"), "Reading the log…");
    const found = await this.#app.attempt(() => get(`/api/history/${encodeURIComponent(this.#key)}`, { limit: PAGE, before }));
    if (asked !== this.#asked) return;
    setText(byId("events-empty"), found === null ? "The history is not known now." : found.events.length ? "" : before === null ? "The log has no event of it." : "The log has no older event of it.");
    this.#use(found, before);
  }

  #use(found, before = null) {
    this.#found = found;
    this.#steps = found && new Steps(found.begin, found.events);
    const events = found?.events ?? [];
    byId("replay").hidden = events.length === 0;
    byId("events-older").hidden = !found || found.total <= events.length;
    byId("events-newest").hidden = before === null;
    setText(byId("team-note"), found ? `partition ${found.partition}, ${many(found.total, "event")}${found.whole ? ", from the log's beginning" : `; the log was read from offset ${count(found.fromOffset)} on, so what is older is missing from the state`}${found.skipped ? `; ${many(found.skipped, "record")} are no events` : ""}` : "");
    byId("events").replaceChildren(...events.map((event, index) =>
      h("li", { "data-testid": "event", "data-type": event.type }, h("button", { type: "button", "data-index": index, tabindex: "-1" }, h("span", { class: "event-type" }, h("b", { text: event.type }), event.repeat ? h("span", { class: "chip", text: "repeat" }) : null), h("span", { class: "event-time", text: stamp(event.writtenAt) }), h("code", { class: "event-where", title: event.position, text: event.position }), h("span", { class: "muted", text: event.actorId === null ? "" : `by ${event.actorId}` }))),
    ));
    setAttribute(byId("step"), "max", events.length);
    this.#go(Infinity);
  }

  #go(wanted) {
    const events = this.#found?.events ?? [];
    const index = Math.max(-1, Math.min(events.length - 1, wanted));
    this.#index = index;
    byId("step").value = String(index + 1);
    for (const [number, row] of [...byId("events").children].entries()) {
      setAttribute(row, "aria-current", number === index ? "step" : null);
      setAttribute(row.firstChild, "tabindex", number === Math.max(0, index) ? "0" : "-1");
    }
    const current = byId("events").children[index];
    // Only the list scrolls, not the page.
    if (current) byId("events").scrollTop = Math.max(0, Math.min(byId("events").scrollTop, current.offsetTop - 8), current.offsetTop + current.offsetHeight + 8 - byId("events").clientHeight);
    const event = events[index] ?? null;
    setText(byId("step-note"), events.length ? `${index + 1} of ${events.length}` : "");
    setText(byId("state-note"), !events.length ? "" : event ? `after ${event.type}, ${stamp(event.writtenAt)}` : "before the first event shown");
    setText(byId("event-text"), event ? JSON.stringify({ ...event, changes: undefined }, null, 2) : "No event yet.");
    byId("team-state").replaceChildren(...(this.#steps && events.length ? drawn(this.#steps.at(index), this.#steps.changed(index), this.#steps.at(index - 1)) : []));
  }
}

/** A state as elements; what the event changed is marked. */
function drawn(state, changed, before) {
  const mark = (name) => changed.get(name) ?? null;
  const gone = (prefix) => [...changed].filter(([name, what]) => what === "gone" && name.startsWith(prefix)).map(([name]) => [Number(name.slice(prefix.length)), before.get(name)]);
  const team = state.get("team") ?? state.get("user") ?? null;
  const name = state.has("user") ? "user" : "team";
  const head = team
    ? h("p", { class: "state-head", "data-mark": mark(name) }, h("b", { text: team.name ?? team.username ?? "without a name" }), h("span", { class: "muted", text: team.description ?? team.email ?? "" }), team.ownerId ? h("span", { class: "chip", text: `owner ${team.ownerId}` }) : null)
    : h("p", { class: "state-head muted", "data-mark": mark("team") ?? mark("user"), text: mark("team") === "gone" ? "Deleted." : "Not there yet." });
  const members = [...family(state, "member/"), ...gone("member/")].map(([id, { role }]) => h("li", { class: "chip", "data-mark": mark(`member/${id}`), text: `${id} ${role}` }));
  const tasks = [...gone("task/"), ...family(state, "task/")].sort((a, b) => (mark(`task/${b[0]}`) ? 1 : 0) - (mark(`task/${a[0]}`) ? 1 : 0));
  const rows = tasks.map(([id, task]) => h("tr", { "data-mark": mark(`task/${id}`), "data-testid": "state-task" }, h("td", { class: "mono", text: String(id) }), h("td", { class: "clip", text: task.title ?? "–" }), h("td", { text: task.completed ? "done" : "open" }), h("td", { text: task.priority === null ? "–" : String(task.priority) }), h("td", { class: "number", text: task.assigneeId === null ? "–" : String(task.assigneeId) })));
  return [
    head,
    members.length ? h("ul", { class: "chips", "aria-label": "Members" }, ...members) : null,
    rows.length
      ? h("div", { class: "scroll state-tasks", tabindex: "0", role: "region", "aria-label": "Tasks" }, h("table", { "aria-label": "Tasks" }, h("thead", {}, h("tr", {}, ...["Task", "Title", "State", "Priority", "Assignee"].map((text) => h("th", { scope: "col", text })))), h("tbody", {}, ...rows)))
      : h("p", { class: "empty", text: "No tasks." }),
  ].filter(Boolean);
}
