import { h, icon, setAttribute, setText } from "/shared/dom.js";
import { avatar, paintAvatar, personName } from "./people.js";
import { deed, dueWords, overdue, priorityLevel, priorityWords } from "./words.js";

/** A task as a card of fixed height: cards are placed by transform, so none ever shifts another. */
export class Card {
  #flashes = 0;

  constructor(taskId) {
    this.check = h("button", { type: "button", class: "check", role: "checkbox", "data-action": "complete" }, icon("check"));
    this.title = h("span", { class: "card-title" });
    this.text = h("span", { class: "card-description" });
    this.open = h("button", { type: "button", class: "card-open", "data-action": "edit" }, this.title, this.text);
    this.priority = h("span", { class: "chip", "data-testid": "priority" });
    this.dueText = h("span");
    this.due = h("span", { class: "due", "data-testid": "due" }, icon("calendar", "small"), this.dueText);
    this.who = h("span", { class: "who", "data-testid": "changed-by" });
    this.remove = h("button", { type: "button", class: "icon-button card-delete", "data-action": "delete" }, icon("trash"));
    this.assignee = avatar(null, "assignee");
    this.assigneeText = h("span", { class: "visually-hidden" });
    this.element = h(
      "li",
      { class: "card", "data-testid": "task-card", "data-task-id": taskId },
      this.check,
      this.open,
      this.remove,
      h("div", { class: "card-meta" }, this.priority, this.due, this.who, h("span", { class: "spacer" }), this.assignee, this.assigneeText),
    );
  }

  /** Shows the task; `pending` names what was sent and has not come back yet. */
  show(task, pending) {
    const title = task.title || "Untitled";
    const done = Boolean(task.completed);
    const told = String(done);
    setAttribute(this.element, "data-completed", told);
    setAttribute(this.element, "data-pending", pending);
    setAttribute(this.element, "aria-busy", pending ? "true" : null);
    setAttribute(this.check, "aria-checked", told);
    setAttribute(this.check, "aria-label", `Completed: ${title}`);
    setAttribute(this.remove, "aria-label", `Delete: ${title}`);
    setText(this.title, title);
    setText(this.text, task.description ?? "");
    setAttribute(this.open, "title", title);
    const { priority, due } = task;
    this.priority.hidden = priority === null || priority === undefined || priority === "";
    if (!this.priority.hidden) {
      setText(this.priority, priorityWords(priority));
      setAttribute(this.priority, "data-level", priorityLevel(priority));
    }
    this.due.hidden = !due;
    if (due) {
      setText(this.dueText, dueWords(due));
      setAttribute(this.due, "data-overdue", !done && overdue(due));
    }
    paintAvatar(this.assignee, task.assigneeId ?? null);
    setAttribute(this.assignee, "title", task.assigneeId ? `Assigned to ${personName(task.assigneeId)}` : "Nobody assigned");
    setText(this.assigneeText, task.assigneeId ? `Assigned to ${personName(task.assigneeId)}` : "");
  }

  /** Puts the card at its place: `index` among all, below the divider when done. */
  at(index, below) {
    this.element.style.setProperty("--index", String(index));
    this.element.style.setProperty("--below", below ? "1" : "0");
  }

  /** Lights the card up for a moment and says who did it. Two names of one animation take turns, so that it restarts. */
  flash(event) {
    setText(this.who, `${personName(event.actorId)} ${deed(event)}`);
    this.#flashes += 1;
    this.element.dataset.flash = this.#flashes % 2 ? "a" : "b";
  }
}
