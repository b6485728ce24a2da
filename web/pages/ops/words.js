// How numbers and times are said to people.
const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const UNITS = [["d", 86_400], ["h", 3_600], ["min", 60]];

/** A count, whole. */
export const count = (number) => (number === null || number === undefined ? "–" : WHOLE.format(number));

/** A count where there is little room: 12.3K. */
export const short = (number) => (number === null || number === undefined ? "–" : Math.abs(number) < 10_000 ? WHOLE.format(Math.round(number)) : SHORT.format(number));

/** So many a second, with as many digits as mean something. */
export function rate(number) {
  if (number === null || number === undefined) return "–";
  if (number === 0) return "0";
  if (number < 0.01) return "<0.01";
  return number < 10 ? number.toFixed(number < 1 ? 2 : 1) : short(number);
}

/** Seconds, in the unit that people would say them in. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0) return "over";
  if (seconds === 0) return "0 s";
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  for (const [unit, size] of UNITS) if (seconds >= 2 * size) return `${(seconds / size).toFixed(seconds >= 20 * size ? 0 : 1)} ${unit}`;
  return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
}

/** A moment's time of day here; milliseconds, or RFC 3339. */
export function clock(moment) {
  const date = new Date(moment);
  return Number.isNaN(date.getTime()) ? "–" : CLOCK.format(date);
}

/** An RFC 3339 time to the second, in UTC as logs have it. */
export const stamp = (text) => (text ? text.replace("T", " ").replace(/(\.\d+)?Z$/, "Z") : "–");

/** A worker without what all have in common. */
export const host = (url) => url.replace(/^https?:\/\//, "");

/** "1 record", "2 records". */
export const many = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;
