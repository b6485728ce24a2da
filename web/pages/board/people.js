import { h, setAttribute, setText } from "/shared/dom.js";

/** Largest id: every integer up to this one is exact in a browser. */
export const MAX_ID = Number.MAX_SAFE_INTEGER;

/** The id that a text spells, or null: whole, from 1 to 2^53-1, written plainly. */
export function parseId(text) {
  const trimmed = String(text).trim();
  if (!/^[1-9][0-9]{0,15}$/.test(trimmed)) return null;
  const id = Number(trimmed);
  return id <= MAX_ID ? id : null;
}

/** A fresh id, random over the whole range, so that nobody has to hand ids out. */
export function newId() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return Math.max(1, (high & 0x1fffff) * 2 ** 32 + low);
}

const names = new Map();
let me = null;

/** Who looks at the page; said as "You". */
export function setMe(userId) {
  me = userId;
}

/** Remembers a user's name where an event or an answer told it. */
export function learnName(userId, username) {
  if (typeof username === "string" && username !== "") names.set(userId, username);
}

/** The name to show for a user. */
export function personName(userId) {
  if (userId === null || userId === undefined) return "Someone";
  if (userId === me) return "You";
  return names.get(userId) ?? `User ${userId}`;
}

/** The user's name where it is known, without regard to who looks. */
export const knownName = (userId) => names.get(userId) ?? `User ${userId}`;

// Steps of the golden angle put neighbouring ids far apart on the colour circle.
const hueOf = (userId) => Math.round((userId * 137.508) % 360);

/** Shows a user in an avatar element: the id's last digits on a colour of their own; an empty ring for nobody. */
export function paintAvatar(element, userId) {
  const known = userId !== null && userId !== undefined;
  const digits = known ? String(userId) : "";
  setText(element, digits.length > 3 ? digits.slice(-3) : digits);
  setAttribute(element, "data-user-id", known ? userId : null);
  setAttribute(element, "data-long", digits.length > 2);
  if (known) element.style.setProperty("--hue", String(hueOf(userId)));
}

/** Marks an avatar as that of somebody who is online; where that is not known it has no mark, like somebody who is not. */
export function showOnline(element, online) {
  setAttribute(element, "data-online", online ? "true" : null);
}

/** A new avatar. It is decoration: the name stands beside it, or in the label of what holds it. */
export function avatar(userId, extra = "") {
  const element = h("span", { class: `avatar ${extra}`.trim(), "aria-hidden": "true" });
  paintAvatar(element, userId);
  return element;
}
