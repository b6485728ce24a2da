import { byId, setAttribute, setText } from "/shared/dom.js";
import { clearFaults, fillSelect, onSubmit, showFaults } from "/shared/forms.js";
import { newId, personName } from "./people.js";
import { dueDay, priorityWords } from "./words.js";

const PRIORITIES = ["low", "medium", "high", "urgent"];

/** Making, editing, completing and deleting tasks: the dialog, and the buttons on cards. */
export class Tasks {
  #app;
  #dialog = byId("task-dialog");
  #form = byId("task-form");
  #shown = null;

  constructor(app) {
    this.#app = app;
    onSubmit(this.#form, (fields) => this.#save(fields));
    byId("task-delete").addEventListener("click", () => {
      const { key, task } = this.#shown;
      this.#dialog.close();
      this.remove(key, task.taskId);
    });
  }

  /** Opens the form for a new task of a stream (a team's id, or "me"). */
  create(key) {
    this.#open(key, null);
  }

  edit(key, taskId) {
    const task = this.#app.task(key, taskId);
    if (task) this.#open(key, task);
  }

  /** Completes or reopens. */
  toggle(key, taskId) {
    const task = this.#app.task(key, taskId);
    if (!task) return;
    const completed = !task.completed;
    this.#sendForCard("task.completed", key, task, { payload: { completed } });
  }

  /** Deletes, once the person has said so. */
  async remove(key, taskId) {
    const task = this.#app.task(key, taskId);
    if (!task) return;
    const sure = await this.#app.confirm("Delete this task?", `“${task.title || "Untitled"}” disappears for everybody.`, "Delete");
    if (sure) this.#sendForCard("task.deleted", key, task, {});
  }

  #open(key, task) {
    const stream = this.#app.stream(key);
    if (!stream) return;
    // What the person saw when they began: only what they change is sent, so two people editing one task do not undo each other.
    this.#shown = { key, task: task ? { ...task } : null };
    clearFaults(this.#form);
    const { title, description, priority, due, assigneeId } = this.#form.elements;
    title.value = task?.title ?? "";
    description.value = task?.description ?? "";
    due.value = dueDay(task?.due) ?? "";
    const old = this.#priorityText(task);
    const levels = old === "" || PRIORITIES.includes(old) ? PRIORITIES : [...PRIORITIES, old];
    fillSelect(priority, [["", "None"], ...levels.map((level) => [level, level === old ? priorityWords(task.priority) : priorityWords(level)])], task ? old : "medium");
    const people = key === "me" ? [this.#app.userId] : [...stream.members.keys()].sort((a, b) => a - b);
    if (task?.assigneeId && !people.includes(task.assigneeId)) people.push(task.assigneeId);
    fillSelect(assigneeId, [["", "Nobody"], ...people.map((userId) => [String(userId), personName(userId)])], String(task?.assigneeId ?? ""));
    setText(byId("task-dialog-title"), task ? "Edit task" : `New task in ${this.#app.teamName(key)}`);
    setText(this.#form.querySelector("[type=submit]"), task ? "Save" : "Create task");
    byId("task-delete").hidden = !task;
    setAttribute(this.#dialog, "data-task-id", task?.taskId);
    setAttribute(this.#dialog, "data-team-id", key);
    this.#dialog.showModal();
    title.focus();
  }

  #priorityText = (task) => (task?.priority === null || task?.priority === undefined ? "" : String(task.priority));

  async #save(fields) {
    const { key, task } = this.#shown;
    if (fields.title === "") {
      showFaults(this.#form, [{ field: "title", message: "Give it a title." }]);
      return;
    }
    const { body, topic } = task ? this.#changes(task, fields) : this.#whole(fields);
    if (body === null || (await this.#app.send(topic, { ...this.#address(key, task), ...body }))) this.#dialog.close();
  }

  #whole(fields) {
    const payload = { title: fields.title, description: fields.description || null, completed: false, priority: fields.priority || null, due: fields.due || null };
    const body = { taskId: newId(), payload };
    if (fields.assigneeId) body.assigneeId = Number(fields.assigneeId);
    return { topic: "task.created", body };
  }

  #changes(task, fields) {
    const payload = {};
    for (const name of ["title", "description"]) {
      if (fields[name] !== (task[name] ?? "").trim()) payload[name] = fields[name] || null;
    }
    if (fields.priority !== this.#priorityText(task)) payload.priority = fields.priority || null;
    if (fields.due !== (dueDay(task.due) ?? "")) payload.due = fields.due || null;
    const body = { taskId: task.taskId, payload };
    const assignee = fields.assigneeId ? Number(fields.assigneeId) : null;
    if (assignee !== (task.assigneeId ?? null)) body.assigneeId = assignee;
    const nothing = Object.keys(payload).length === 0 && !("assigneeId" in body);
    return { topic: "task.updated", body: nothing ? null : body };
  }

  /** Whose the task is: its team, or its creator when it is personal. */
  #address(key, task) {
    const { userId } = this.#app;
    if (key === "me") return { actorId: userId, creatorId: userId };
    const creatorId = task ? task.creatorId : userId;
    return { actorId: userId, teamId: key, ...(creatorId ? { creatorId } : {}) };
  }

  async #sendForCard(topic, key, task, body) {
    const { taskId } = task;
    if (!this.#app.setPending(key, taskId, topic)) return;
    try {
      await this.#app.send(topic, { ...this.#address(key, task), taskId, ...body });
    } catch (problem) {
      this.#app.toast(problem.errors?.[0]?.message ?? problem.message, "error");
    } finally {
      this.#app.setPending(key, taskId, null);
    }
  }
}
