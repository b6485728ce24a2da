// A test is a name and a function that throws; the suite runs each by its name.
const tests = new Map();

export function test(name, run) {
  if (tests.has(name)) throw new Error(`two tests are called: ${name}`);
  tests.set(name, run);
}

/** A test that waits for what never comes fails after ten seconds. */
export const run = (name) =>
  Promise.race([tests.get(name)(), new Promise((_, reject) => setTimeout(() => reject(new Error("did not end")), 10_000))]);

/** As JSON would tell it, with maps as lists of pairs, so that what differs can be read. */
const told = (value) =>
  JSON.stringify(value, (_, part) => (part instanceof Map ? [...part] : part instanceof Set ? [...part] : part === undefined ? "undefined" : part), 1);

export function equal(actual, expected, what = "") {
  if (told(actual) !== told(expected)) throw new Error(`${what}\nis:       ${told(actual)}\nexpected: ${told(expected)}`);
}

export function ok(value, what) {
  if (!value) throw new Error(what);
}
