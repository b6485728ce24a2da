import { h, icon, place, setAttribute, setText } from "/shared/dom.js";
import { Card } from "./card.js";
import { ordered } from "./order.js";
import { avatar, paintAvatar, showOnline } from "./people.js";

/** Cards shown at first, and more with each press of the button. */
const STEP = 200;

/** Members shown in a column's head. */
const FACES = 4;

/** One team (or the personal tasks) as a column. */
export class Column {
  #cards = new Map();
  #limit = STEP;
  #faces = [];

  constructor(key) {
    this.key = key;
    const personal = key === "me";
    const id = `column-${key}`;
    this.name = h("h2", { id, "data-testid": "column-name" });
    this.count = h("span", { class: "count", "data-testid": "column-count" });
    this.fill = h("span", { class: "progress-fill" });
    this.progress = h("div", { class: "progress", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "data-testid": "progress" }, this.fill);
    this.more = h("button", { type: "button", class: "more-cards", "data-action": "more" });
    this.membersText = h("span", { class: "visually-hidden" });
    this.members = h("button", { type: "button", class: "faces", "data-action": "members", "data-testid": "members-button" }, this.membersText);
    this.extra = h("span", { class: "extra" });
    this.add = h("button", { type: "button", class: "icon-button", "data-action": "add", "data-testid": "add-task" }, icon("plus"));
    this.divider = h("li", { class: "divider", "data-testid": "done-divider" });
    this.list = h("ul", { class: "tasks", "aria-labelledby": id });
    this.empty = h(
      "div",
      { class: "column-empty", "data-testid": "column-empty" },
      h("p", { text: personal ? "Yours alone: tasks here reach nobody else." : "No tasks yet. The first one shows up on everybody's page." }),
      h("button", { type: "button", "data-action": "add", text: "Add a task" }),
    );
    this.element = h(
      "section",
      { class: "column", "data-testid": "column", "data-team-id": key, "aria-labelledby": id },
      h(
        "header",
        {},
        h("div", { class: "column-title" }, personal ? icon("lock", "small") : null, this.name, this.count, h("span", { class: "spacer" }), personal ? null : this.members, this.add),
        this.progress,
      ),
      h("div", { class: "column-body" }, this.list, this.more, this.empty),
    );
  }

  /** The card of a task, where it is shown. */
  card(taskId) {
    return this.#cards.get(taskId);
  }

  showMore() {
    this.#limit += STEP;
  }

  /** Name, members, progress. */
  showHead(stream) {
    const name = this.key === "me" ? "Personal" : stream.team?.name || `Team ${this.key}`;
    setText(this.name, name);
    setAttribute(this.name, "title", stream.team?.description || name);
    setAttribute(this.element, "data-loading", !stream.loaded);
    setAttribute(this.add, "aria-label", `New task in ${name}`);
    let done = 0;
    for (const task of stream.tasks.values()) if (task.completed) done += 1;
    const total = stream.tasks.size;
    const percent = total === 0 ? 0 : Math.round((100 * done) / total);
    setText(this.count, total === 0 ? "" : `${done}/${total}`);
    setAttribute(this.count, "title", `${done} of ${total} done`);
    this.fill.style.setProperty("--part", String(total === 0 ? 0 : done / total));
    setAttribute(this.progress, "aria-valuenow", percent);
    setAttribute(this.progress, "aria-label", `${name}: ${done} of ${total} tasks done`);
    if (this.key !== "me") this.#showFaces(stream, name);
  }

  #showFaces(stream, name) {
    const users = [...stream.members.keys()].sort((a, b) => a - b);
    const shown = users.length > FACES ? users.slice(0, FACES - 1) : users;
    while (this.#faces.length > shown.length) this.#faces.pop().remove();
    while (this.#faces.length < shown.length) {
      const face = avatar(null, "small");
      this.#faces.push(face);
      this.members.append(face);
    }
    shown.forEach((userId, index) => {
      paintAvatar(this.#faces[index], userId);
      showOnline(this.#faces[index], stream.online?.has(userId));
    });
    const total = stream.membersTotal ?? users.length;
    setText(this.extra, `+${total - shown.length}`);
    this.extra.hidden = total === shown.length;
    this.members.append(this.extra);
    const online = stream.onlineTotal === null ? "" : `, ${stream.onlineTotal.toLocaleString()} online`;
    setText(this.membersText, `${total} ${total === 1 ? "member" : "members"} of ${name}${online}`);
    setAttribute(this.members, "title", `Members${online}`);
  }

  /** One task's card, in its place; `pending` has what is under way, by task. */
  showTask(stream, taskId, pending) {
    const task = stream.tasks.get(taskId);
    if (task) this.#cards.get(taskId)?.show(task, pending?.get(taskId));
  }

  /** All cards, in order. */
  showTasks(stream, pending) {
    const { open, done } = ordered(stream.tasks);
    const all = [...open, ...done];
    const shown = all.slice(0, this.#limit);
    const kept = new Set(shown.map((task) => task.taskId));
    for (const [taskId, card] of this.#cards) {
      if (kept.has(taskId)) continue;
      card.element.remove();
      this.#cards.delete(taskId);
    }
    const openShown = Math.min(open.length, shown.length);
    const divided = shown.length > openShown;
    let next = this.list.firstChild;
    const put = (element) => {
      if (element === next) next = next.nextSibling;
      else place(this.list, element, next);
    };
    shown.forEach((task, index) => {
      if (index === openShown) put(this.divider);
      let card = this.#cards.get(task.taskId);
      if (!card) {
        card = new Card(task.taskId);
        this.#cards.set(task.taskId, card);
      }
      card.show(task, pending?.get(task.taskId));
      card.at(index, index >= openShown);
      put(card.element);
    });
    if (!divided) this.divider.remove();
    setText(this.divider, `Done · ${done.length}`);
    this.divider.style.setProperty("--index", String(openShown));
    this.list.style.setProperty("--rows", String(shown.length));
    this.list.style.setProperty("--divided", divided ? "1" : "0");
    this.empty.hidden = all.length > 0 || !stream.loaded;
    this.list.hidden = all.length === 0;
    this.more.hidden = all.length <= this.#limit;
    setText(this.more, `Show ${Math.min(STEP, all.length - this.#limit)} more of ${all.length}`);
  }
}
