import { Teamcast } from "/sdk/teamcast.js";

/** How many event ids are kept to answer "was it here already?"; a POST's answer may come after its event. */
const RECENT = 2_000;

/**
 * One user's teams on this page: the client of the server, told as what is to be drawn anew.
 *
 * `observer` has: columns(), team(key), task(key, taskId, moved, event), head(key), user(), event(event, change), gap(key),
 * synced(ok), delayed(seconds), status(status).
 */
export class Store {
  #client;
  #recent = new Set();
  #waiting = new Map();
  #pending = new Map();
  #closed = false;

  constructor(userId, observer, platform = undefined) {
    this.#client = new Teamcast({ userId, presence: true, platform });
    const on = (type, act) => this.#client.addEventListener(type, ({ detail }) => this.#closed || act(detail));
    on("status", (status) => observer.status(status));
    on("delayed", ({ seconds }) => observer.delayed(seconds));
    on("error", (error) => console.warn(`Teamcast: ${error.message}`));
    on("presence", ({ key }) => observer.head(key));
    on("joined", () => observer.columns());
    on("left", ({ key }) => {
      this.#pending.delete(key);
      observer.columns();
    });
    on("gap", ({ key }) => observer.gap(key));
    on("snapshot", ({ key }) => {
      observer.columns();
      observer.team(key);
      if (key === "me") observer.user();
    });
    on("sync", ({ synced }) => {
      if (synced) for (const done of [...this.#waiting.values()]) done(); // a snapshot has what was waited for
      observer.columns(); // teams that the server refused came without a word of their own
      observer.synced(synced);
    });
    on("event", (change) => {
      const { key, event } = change;
      this.#note(event.eventId);
      observer.event(event, change);
      if (change.subject === "task") observer.task(key, change.id, moved(change), event);
      else if (change.subject === "user") observer.user();
      else if (change.subject !== null) observer.team(key);
      else observer.columns(); // of a team that is only just coming
      this.#waiting.get(event.eventId)?.();
    });
  }

  /** Connects, and follows everything of the user's; later: connects now, whatever was planned. */
  open() {
    this.#client.subscribe("all");
    this.#client.connect();
  }

  /** Teams by id, and "me" for the user's own tasks. */
  get streams() {
    return this.#client.streams;
  }

  get user() {
    return this.#client.me?.user ?? null;
  }

  get synced() {
    return this.#client.synced;
  }

  get delayed() {
    return this.#client.delayed;
  }

  get status() {
    return this.#client.status;
  }

  /** What was sent of a stream's tasks and has not come back yet: words by task. */
  pending(key) {
    return this.#pending.get(key);
  }

  /** Marks a task as waiting, or (null) as waiting no more; false when it is waiting already, or not here. */
  setPending(key, taskId, what) {
    if (!this.streams.has(key)) return false;
    if (!this.#pending.has(key)) this.#pending.set(key, new Map());
    const tasks = this.#pending.get(key);
    if (what && tasks.has(taskId)) return false;
    if (what) tasks.set(taskId, what);
    else tasks.delete(taskId);
    return true;
  }

  /** Resolves when the event has arrived (true), or after `ms` without it (false). */
  arrived(eventId, ms) {
    if (this.#recent.has(eventId)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const finish = (ok) => {
        clearTimeout(timer);
        this.#waiting.delete(eventId);
        resolve(ok);
      };
      const timer = setTimeout(() => finish(false), ms);
      this.#waiting.set(eventId, () => finish(true));
    });
  }

  /** Ends; nothing is told afterwards. */
  close() {
    this.#closed = true;
    for (const done of [...this.#waiting.values()]) done();
    this.#client.close();
  }

  #note(eventId) {
    this.#recent.add(eventId);
    if (this.#recent.size > RECENT) this.#recent.delete(this.#recent.values().next().value);
  }
}

/** Whether a task's place in its column may be another now. */
function moved({ before, after }) {
  return !before || !after || Boolean(before.completed) !== Boolean(after.completed) || before.createdAt !== after.createdAt;
}
