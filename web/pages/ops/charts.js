import { h, setAttribute, setText } from "/shared/dom.js";
import { clock } from "./words.js";

/* global uPlot: /ops/vendor/uPlot.iife.min.js */

const HEIGHT = 168;
const COLOURS = 12;

/** A colour of the style sheet as it is now: what light-dark() comes to is known of elements alone. */
function colour(name) {
  const probe = h("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Lines over time with a legend that tells the newest values, or those under the pointer. */
export class Chart {
  #slot;
  #label;
  #format;
  #axis;
  #least;
  #empty;
  #plot = null;
  #names = [];
  #data = [[]];
  #colours = new Map();
  #box = h("div", { class: "plot" });
  #legend = h("ul", { class: "legend" });
  #time = h("span", { class: "legend-time" });
  #note;

  /** `format` says a value in the legend, `axis` one on the axis; `least` is the smallest top of the scale. */
  constructor(slot, { label, format, axis = format, least = 1, empty }) {
    this.#slot = slot;
    this.#label = label;
    this.#format = format;
    this.#axis = axis;
    this.#least = least;
    this.#empty = empty;
    this.#note = h("p", { class: "chart-note", text: "Waiting for the first figures…" });
    this.#box.setAttribute("role", "img");
    setAttribute(this.#box, "aria-label", label);
    slot.replaceChildren(this.#box, this.#note, this.#legend);
    new ResizeObserver(() => this.#plot?.setSize({ width: this.#width(), height: HEIGHT })).observe(slot);
  }

  /** Shows {times, lines} from `from` to `to`, in seconds since 1970. */
  update({ times, lines }, from, to) {
    const names = lines.map(({ name }) => name);
    this.#data = [times, ...lines.map(({ values }) => values)];
    if (this.#plot === null || names.join("\n") !== this.#names.join("\n")) {
      this.#names = names;
      this.#draw();
    }
    this.#plot.setData(this.#data, false);
    this.#plot.setScale("x", { min: from, max: to });
    setText(this.#note, lines.length ? "" : this.#empty);
    this.#tell(null);
    setAttribute(this.#box, "aria-label", `${this.#label}. ${lines.map(({ name, values }) => `${name}: ${this.#format(values.at(-1))}`).join(", ") || this.#empty}`);
  }

  /** Draws all anew, in the colours of another theme. */
  repaint() {
    if (this.#plot !== null) this.#draw();
  }

  #width() {
    return Math.max(120, Math.floor(this.#slot.getBoundingClientRect().width));
  }

  #colour(name) {
    // A name keeps its colour for as long as the page lives.
    if (!this.#colours.has(name)) this.#colours.set(name, this.#colours.size % COLOURS);
    return `--series-${this.#colours.get(name)}`;
  }

  #draw() {
    const scale = this.#plot === null ? null : { min: this.#plot.scales.x.min, max: this.#plot.scales.x.max };
    this.#plot?.destroy();
    const ink = colour("--muted");
    const line = colour("--line");
    const axis = { stroke: ink, font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: line, width: 1 } };
    const options = {
      width: this.#width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 }, sync: { key: "operations" } },
      padding: [10, 8, 0, 0],
      scales: { x: { time: true }, y: { range: (_plot, _low, high) => [0, Math.max(this.#least, (high ?? 0) * 1.12)] } },
      axes: [
        { ...axis, grid: { show: false }, size: 26, space: 64, values: (_plot, ticks) => ticks.map((tick) => clock(tick * 1000).slice(0, 5)), incrs: [60, 120, 300, 600, 900, 1800] },
        { ...axis, size: 52, space: 34, values: (_plot, ticks) => ticks.map((tick) => this.#axis(tick)) },
      ],
      series: [{}, ...this.#names.map((name) => {
        const stroke = colour(this.#colour(name));
        return { label: name, stroke, width: 1.75, points: { show: false, size: 4 }, fill: this.#names.length === 1 ? stroke.replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)") : undefined };
      })],
      hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx ?? null)] },
    };
    this.#box.replaceChildren();
    this.#plot = new uPlot(options, this.#data, this.#box);
    if (scale?.min != null) this.#plot.setScale("x", scale);
    this.#legend.replaceChildren(
      ...this.#names.map((name) => {
        const swatch = h("i", { "aria-hidden": "true" });
        swatch.style.background = `var(${this.#colour(name)})`;
        return h("li", {}, swatch, h("span", { text: name }), h("b"));
      }),
      h("li", {}, this.#time),
    );
    this.#tell(null);
  }

  #tell(index) {
    const at = index ?? this.#data[0].length - 1;
    this.#names.forEach((_name, number) => setText(this.#legend.children[number].lastChild, this.#format(this.#data[number + 1]?.[at] ?? null)));
    setText(this.#time, index === null ? "" : clock(this.#data[0][at] * 1000));
  }
}
