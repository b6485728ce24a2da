/** The element with this id; the page's shell has all of them. */
export const byId = (id) => document.getElementById(id);

/**
 * An element. `attributes` go through setAttribute, except `class`, `text` and `on<event>` functions.
 * Nothing is parsed as markup, so whatever an event's title says stays text.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** One icon of the sprite in index.html. */
export function icon(name, extra = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${extra}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Sets the text only when it differs: untouched text costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or (null, undefined, false) removes an attribute, only when it differs. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/** Moves or inserts `node` before `reference`; a move keeps focus and running transitions where the browser can. */
export function place(parent, node, reference) {
  if (node.parentNode === parent && node.nextSibling === reference) return;
  if (node.parentNode === parent && parent.moveBefore) {
    parent.moveBefore(node, reference);
    return;
  }
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(node, reference);
  focused?.focus({ preventScroll: true });
}

/** How long a drawing waits for its frame, in milliseconds: a covered window may get none without being hidden. */
const FRAME_MS = 250;

/**
 * Calls `flush` once in the next frame, however often it is asked; where frames stop, as in a hidden tab, by a timer.
 * `rest()` gives the milliseconds to wait before that frame: in a flood, drawing less often leaves room for the person.
 */
export function batched(flush, rest) {
  let due = false;
  let late = null;
  const run = () => {
    clearTimeout(late);
    if (!due) return;
    due = false;
    flush();
  };
  const draw = () => {
    if (!document.hidden) requestAnimationFrame(run);
    late = setTimeout(run, FRAME_MS);
  };
  document.addEventListener("visibilitychange", run);
  return () => {
    if (due) return;
    due = true;
    const pause = document.hidden ? 0 : rest();
    if (pause > 0) setTimeout(draw, pause);
    else draw();
  };
}
