import { fetchTeam, fetchUser } from "./api.js";
import { apply, emptyStream, isFarewell, replace, streamOf } from "./fold.js";

/** How long a team may stay unknown (404) or behind after the event that made the user a member, in milliseconds. */
const JOIN_MS = 15_000;

/** How many event ids are kept to answer "was it here already?"; a POST's answer may come after its event. */
const RECENT = 2_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * What the page knows of one user's teams, kept equal to the server's.
 *
 * The socket opens first, then snapshots are fetched; what arrives meanwhile waits and is applied where its position
 * is greater than the snapshot's. So nothing falls between the two, and nothing counts twice.
 *
 * `observer` has: columns(), team(key), task(key, taskId, moved, event), user(), event(event), synced(ok), trouble(text).
 */
export class Store {
  constructor(userId, observer) {
    this.userId = userId;
    this.user = null;
    this.streams = new Map([["me", { ...emptyStream("me"), buffer: [], loaded: false }]]);
    this.synced = false;
    this.observer = observer;
    this.epoch = 0;
    this.recent = new Set();
    this.waiting = new Map();
    /** What the socket told of a team since it opened: true for any event, false once the last was a farewell. */
    this.heard = new Map();
  }

  /** Starts over from snapshots; call it each time the socket has opened. */
  async sync({ expectUser = false } = {}) {
    const epoch = ++this.epoch;
    this.synced = false;
    this.heard.clear();
    for (const stream of this.streams.values()) stream.buffer = [];
    const user = await this.#persist(() => epoch === this.epoch, () => fetchUser(this.userId), expectUser ? JOIN_MS : 0);
    if (epoch !== this.epoch) return;
    this.#takeUser(user);
    // The list may be older than what the socket has told since it opened: a team joined or left meanwhile.
    const listed = (user?.teams ?? []).map((team) => team.teamId);
    const teams = new Set(listed.filter((teamId) => this.heard.get(teamId) !== false));
    for (const key of [...this.streams.keys()]) {
      if (key === "me") continue;
      if (this.heard.get(key)) teams.add(key);
      else if (!teams.has(key)) this.#forget(key);
    }
    const loads = [...teams].map((teamId) => {
      const stream = this.streams.get(teamId) ?? this.#open(teamId);
      if (stream.load?.epoch === epoch) return stream.load.done;
      // Joined since the socket opened, and here already: an older snapshot must not take back what came after it.
      return stream.buffer === null ? null : this.#load(stream, null);
    });
    this.observer.columns();
    await Promise.all(loads);
    if (epoch !== this.epoch) return;
    this.synced = true;
    for (const done of this.waiting.values()) done(); // a snapshot has what was waited for
    this.observer.synced(true);
  }

  /** The socket is gone: what is shown may be old. Snapshots still under way are ignored. */
  lost() {
    this.epoch += 1;
    this.synced = false;
    this.observer.synced(false);
  }

  /** One event from the socket. */
  receive(event) {
    const seen = `${event.eventId} ${event.position}`;
    if (!this.recent.has(seen)) {
      this.#note(seen);
      this.#note(event.eventId);
      this.observer.event(event);
    }
    const key = streamOf(event);
    const stream = this.streams.get(key);
    const farewell = key !== "me" && isFarewell(event, this.userId);
    this.heard.set(key, !farewell);
    if (farewell) {
      if (stream && (stream.buffer || event.position > stream.position)) this.#forget(key);
    } else if (!stream) {
      const fresh = this.#open(key);
      fresh.buffer.push(event);
      this.observer.columns();
      this.#load(fresh, event.position);
    } else if (stream.buffer) {
      stream.buffer.push(event);
    } else {
      this.#take(stream, event);
    }
    this.waiting.get(event.eventId)?.();
  }

  /** Resolves when the event has arrived (true), or after `ms` without it (false). */
  arrived(eventId, ms) {
    if (this.recent.has(eventId)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const finish = (ok) => {
        clearTimeout(timer);
        this.waiting.delete(eventId);
        resolve(ok);
      };
      const timer = setTimeout(() => finish(false), ms);
      this.waiting.set(eventId, () => finish(true));
    });
  }

  /** Forgets everything under way; the store is not used afterwards. */
  close() {
    this.epoch += 1;
    for (const done of this.waiting.values()) done();
    this.streams.clear();
  }

  #note(text) {
    this.recent.add(text);
    if (this.recent.size > RECENT) this.recent.delete(this.recent.values().next().value);
  }

  #open(key) {
    const stream = { ...emptyStream(key), buffer: [], loaded: false };
    this.streams.set(key, stream);
    return stream;
  }

  #forget(key) {
    this.streams.delete(key);
    this.observer.columns();
  }

  #takeUser(user) {
    this.user = user;
    const me = this.streams.get("me");
    replace(me, { tasks: user?.tasks, position: user?.position });
    this.#release(me);
    this.observer.user();
  }

  /** Brings a team's snapshot, at the position `from` or later; the newest load of a stream has the word. */
  #load(stream, from) {
    const load = { epoch: this.epoch };
    stream.load = load;
    load.done = this.#bring(stream, load, from);
    return load.done;
  }

  async #bring(stream, load, from) {
    const patient = from === null ? 0 : JOIN_MS;
    const good = (snapshot) => from === null || !(snapshot.position < from);
    const current = () => load.epoch === this.epoch && stream.load === load && this.streams.get(stream.key) === stream;
    const snapshot = await this.#persist(current, () => fetchTeam(stream.key), patient, good);
    if (!current()) return;
    stream.load = null;
    // A deletion that came late leaves the team to those who joined after it; the others got it as their last event.
    const out = from !== null && snapshot?.members && !snapshot.members.some((member) => member.userId === this.userId);
    if (snapshot === null || out) {
      this.heard.set(stream.key, false);
      this.#forget(stream.key);
      return;
    }
    replace(stream, snapshot);
    this.#release(stream);
  }

  #release(stream) {
    const events = stream.buffer ?? [];
    stream.buffer = null;
    stream.loaded = true;
    for (const event of events) {
      if (stream.buffer) stream.buffer.push(event); // an event before it asked for a new snapshot
      else this.#take(stream, event);
    }
    this.observer.columns();
    this.observer.team(stream.key);
  }

  #take(stream, event) {
    if (!(event.position > stream.position)) return;
    stream.position = event.position;
    const change = apply(stream, event);
    if (change?.kind === "task") this.observer.task(stream.key, change.taskId, change.moved, event);
    else if (change?.kind === "team") this.observer.team(stream.key);
    else if (change?.kind === "user") {
      this.user = { ...this.user, ...event.data };
      this.observer.user();
    } else if (change?.kind === "reload") {
      stream.buffer = [];
      this.#load(stream, event.position);
    }
  }

  /** Asks until there is an answer that is `good`; null when it is refused, or 404 for longer than `patienceMs`. */
  async #persist(current, ask, patienceMs, good = () => true) {
    const started = performance.now();
    for (let attempt = 0; current(); attempt += 1) {
      const patient = performance.now() - started < patienceMs;
      let wait = Math.random() * Math.min(5_000, 100 * 2 ** attempt);
      try {
        const answer = await ask();
        if (!patient || good(answer)) return answer;
      } catch (problem) {
        const refused = problem.status === 401 || problem.status === 403;
        if (refused || attempt === 2) this.observer.trouble(problem.message);
        if (refused || (problem.status === 404 && !patient)) return null;
        if (problem.status !== 404) wait = Math.max(wait, Math.min(30, problem.retryAfterSeconds ?? 0.25) * 1_000);
      }
      await pause(wait);
    }
    return null;
  }
}
