/** The state of a team step by step: where the events begin, and what each changed. Nothing here knows the page. */
export class Steps {
  #begin;
  #changes;

  /** `begin`: what there was before the first event, by name (team, member/7, task/1001, user); `events`: each with its changes. */
  constructor(begin, events) {
    this.#begin = new Map(Object.entries(begin));
    this.#changes = events.map(({ changes }) => Object.entries(changes));
  }

  get length() {
    return this.#changes.length;
  }

  /** Names that the event changed: name → "new" | "changed" | "gone". */
  changed(index) {
    const before = this.at(index - 1);
    return new Map((this.#changes[index] ?? []).map(([name, after]) => [name, after === null ? "gone" : before.has(name) ? "changed" : "new"]));
  }

  /** What there is after an event; -1: before the first. */
  at(index) {
    const state = new Map(this.#begin);
    for (const changes of this.#changes.slice(0, index + 1)) {
      for (const [name, after] of changes) {
        if (after === null) state.delete(name);
        else state.set(name, after);
      }
    }
    return state;
  }
}

/** The entries of a state that begin with a prefix, by their numbers: [[number, value]]. */
export const family = (state, prefix) =>
  [...state].filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [Number(name.slice(prefix.length)), value]).sort((a, b) => a[0] - b[0]);
