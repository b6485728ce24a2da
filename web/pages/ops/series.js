/** A pause between two points longer than this, in seconds, breaks a line: nobody looked meanwhile. */
const GAP_SECONDS = 40;

/** Named numbers over time, the newest so many points; a point may lack some names. */
export class Series {
  #max;
  #times = [];
  #values = new Map();

  constructor(max) {
    this.#max = max;
  }

  /** Adds a point: `at` in seconds since 1970, later than the last one; values by name, null where there is none. */
  push(at, values) {
    const last = this.#times.at(-1);
    if (last !== undefined && at <= last) return;
    if (last !== undefined && at - last > GAP_SECONDS) this.#append((last + at) / 2, {});
    this.#append(at, values);
  }

  #append(at, values) {
    for (const name of Object.keys(values)) if (!this.#values.has(name)) this.#values.set(name, this.#times.map(() => null));
    this.#times.push(at);
    for (const [name, list] of this.#values) list.push(values[name] ?? null);
    if (this.#times.length <= this.#max) return;
    this.#times.shift();
    for (const [name, list] of this.#values) {
      list.shift();
      if (list.every((value) => value === null)) this.#values.delete(name);
    }
  }

  /** The points since a moment: {times, lines: [{name, values}]}; names by `order`, then as they came. Lines without a number are left out. */
  since(at, order = []) {
    const first = this.#times.findIndex((time) => time >= at);
    if (first < 0) return { times: [], lines: [] };
    const place = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
    const lines = [...this.#values]
      .map(([name, values]) => ({ name, values: values.slice(first) }))
      .filter(({ values }) => values.some((value) => value !== null))
      .sort((a, b) => place(a.name) - place(b.name));
    return { times: this.#times.slice(first), lines };
  }
}
