import { byId, h, setAttribute, setText } from "/shared/dom.js";
import { fillSelect } from "/shared/forms.js";
import { get, post } from "./api.js";
import { decode, dump, escaped, textOf } from "./bytes.js";
import { confirm, toast } from "./notices.js";
import { count, many, stamp } from "./words.js";

const path = (letter, verb) => `/api/admin/deadletters/${encodeURIComponent(letter)}/${verb}`;

/** Dead letters: what was no event, why, and what is done about it. */
export class Letters {
  #app;
  #found = null;
  #letter = null;
  #bytes = null;
  #asked = 0;

  constructor(app) {
    this.#app = app;
    const field = (id, label, control) => h("div", { class: "field" }, h("label", { for: id, text: label }), control);
    byId("letters").append(
      h("div", { class: "bar filters" },
        field("letter-topic", "Topic", h("select", { id: "letter-topic", "data-testid": "letter-topic" })), field("letter-code", "Error", h("select", { id: "letter-code", "data-testid": "letter-code" })),
        field("letter-status", "Status", h("select", { id: "letter-status", "data-testid": "letter-status" }, ...[["open", "Open"], ["replayed", "Replayed"], ["discarded", "Discarded"], ["", "All"]].map(([value, text]) => h("option", { value, text })))),
        h("span", { class: "spacer" }), h("button", { type: "button", id: "letters-again", "data-testid": "letters-again", text: "Look again" })),
      h("div", { class: "split letters-split" },
        h("section", { class: "panel", "aria-labelledby": "letters-title" }, h("header", {}, h("h2", { id: "letters-title", text: "Dead letters" }), h("span", { class: "muted", id: "letters-note", "data-testid": "letters-note" })), h("p", { class: "empty", id: "letters-empty", role: "status", "data-testid": "letters-empty" }), h("ul", { class: "events letter-list", id: "letter-list", "data-testid": "letter-list" })),
        h("section", { class: "panel detail", "aria-labelledby": "letter-title" },
          h("header", {}, h("h2", { id: "letter-title", class: "mono", text: "One letter" }), h("span", { class: "chip", id: "letter-state", "data-testid": "letter-state", hidden: true })),
          h("p", { class: "empty", id: "letter-none", role: "status", text: "Choose a letter to see what was wrong with it." }),
          h("div", { id: "letter", class: "letter", "data-testid": "letter", hidden: true },
            h("p", { class: "letter-error", id: "letter-error", "data-testid": "letter-error" }), h("dl", { id: "letter-facts" }), h("ol", { class: "trail", id: "letter-trail", "data-testid": "letter-trail", "aria-label": "What was done about it" }),
            h("div", { class: "raw-pair" },
              h("div", { class: "field" }, h("label", { for: "letter-text", id: "letter-text-label", text: "Value" }), h("textarea", { id: "letter-text", class: "mono", rows: "14", spellcheck: "false", "data-testid": "letter-text" }), h("p", { class: "error", id: "letter-fault", role: "alert", "data-testid": "letter-fault" })),
              h("div", { class: "field" }, h("h3", { id: "hex-title", text: "Raw bytes" }), h("pre", { class: "hex", id: "letter-hex", tabindex: "0", "aria-labelledby": "hex-title", "data-testid": "letter-hex" }))),
            h("footer", { class: "acts" }, h("button", { type: "button", class: "danger quiet", id: "letter-discard", "data-testid": "letter-discard", text: "Discard" }), h("span", { class: "spacer" }), h("button", { type: "button", id: "letter-reset", text: "Undo my edit", hidden: true }), h("button", { type: "button", class: "primary", id: "letter-replay", "data-testid": "letter-replay", text: "Replay" }))))),
    );
    for (const name of ["topic", "code", "status"]) byId(`letter-${name}`).addEventListener("change", () => this.#draw());
    byId("letters-again").addEventListener("click", () => this.#load());
    byId("letter-text").addEventListener("input", () => this.#edited());
    byId("letter-reset").addEventListener("click", () => this.#fill());
    byId("letter-replay").addEventListener("click", () => this.#replay());
    byId("letter-discard").addEventListener("click", () => this.#discard());
  }

  /** Shows the letters: #/letters, or one of them: #/letters/task.created-3-17. */
  open(letter = "") {
    this.#load();
    this.#choose(letter || null);
  }

  async #load() {
    setText(byId("letters-empty"), this.#found ? "" : "Reading the log…");
    const found = await this.#app.attempt(() => get("/api/deadletters", { limit: 1000 }));
    if (found === null) {
      setText(byId("letters-empty"), this.#found ? "" : "The dead letters are not known now.");
      return;
    }
    this.#found = found;
    const options = (name, all) => {
      const known = [...new Set(found.counts.map((one) => one[name]))].sort();
      const chosen = byId(`letter-${name}`).value;
      fillSelect(byId(`letter-${name}`), [["", all], ...known.map((one) => [one, one])], known.includes(chosen) ? chosen : "");
    };
    options("topic", "All topics");
    options("code", "All errors");
    this.#draw();
  }

  #draw() {
    if (this.#found === null) return;
    const [topic, code, status] = ["topic", "code", "status"].map((name) => byId(`letter-${name}`).value);
    const rows = this.#found.letters.filter((one) => (!topic || one.topic === topic) && (!code || one.code === code) && (!status || one.status === status));
    const left = [this.#found.listed < this.#found.found && `${count(this.#found.found - this.#found.listed)} older ones are not listed`, this.#found.recordsNotRead && `${many(this.#found.recordsNotRead, "older record")} were not read`].filter(Boolean).join("; ");
    setText(byId("letters-note"), `${count(rows.length)} of ${count(this.#found.found)}${left ? `; ${left}` : ""}`);
    setText(byId("letters-empty"), rows.length ? "" : this.#found.found ? (status === "open" && !topic && !code ? "Nothing is open: something was done about every one." : "None is like this.") : "No dead letters. Every record was an event.");
    byId("letter-list").replaceChildren(...rows.map((one) =>
      h("li", { "data-testid": "letter-row", "data-letter": one.letter, "aria-current": one.letter === this.#letter?.letter ? "true" : null },
        h("a", { href: `#/letters/${encodeURIComponent(one.letter)}` }, h("span", { class: "event-type" }, h("b", { class: "mono", text: one.letter }), one.repeats > 1 ? h("span", { class: "chip", text: `${one.repeats} times` }) : null, one.status === "open" ? null : h("span", { class: "chip", "data-level": one.status === "replayed" ? "low" : null, text: one.status })), h("span", { class: "event-time", text: stamp(one.failedAt) }), h("span", { class: "letter-line" }, h("span", { class: "chip", "data-level": "high", text: one.code }), h("span", { text: one.error })))),
    ));
  }

  async #choose(name) {
    const asked = ++this.#asked;
    byId("letter").hidden = true;
    byId("letter-none").hidden = false;
    byId("letter-state").hidden = true;
    setText(byId("letter-title"), name ?? "One letter");
    setText(byId("letter-none"), name ? "Reading the log…" : "Choose a letter to see what was wrong with it.");
    this.#letter = null;
    this.#mark(name);
    if (name === null) return;
    const found = await this.#app.attempt(() => get(`/api/deadletters/${encodeURIComponent(name)}`));
    if (asked !== this.#asked) return;
    if (found === null) {
      setText(byId("letter-none"), "This letter cannot be shown. It may have expired.");
      return;
    }
    this.#letter = found;
    this.#bytes = decode(found.value);
    this.#show();
  }

  #mark(name) {
    for (const row of byId("letter-list").children) setAttribute(row, "aria-current", row.dataset.letter === name ? "true" : null);
  }

  #show() {
    const letter = this.#letter;
    byId("letter").hidden = false;
    byId("letter-none").hidden = true;
    byId("letter-state").hidden = false;
    setText(byId("letter-state"), letter.status);
    setAttribute(byId("letter-state"), "data-level", { open: "high", replayed: "low" }[letter.status] ?? null);
    byId("letter-error").replaceChildren(h("span", { class: "chip", "data-level": "high", text: letter.code }), h("span", { text: letter.error }));
    const said = (base64) => (base64 === null ? "none" : escaped(decode(base64)));
    const facts = [
      ["Source record", `${letter.topic}-${letter.partition} at ${count(letter.offset)}`], ["Stands at", letter.place], ["Failed at", stamp(letter.failedAt)],
      ["Repeats", letter.repeats === 1 ? "once" : `${letter.repeats} times`], ["Size", letter.bytes === null ? "no value" : many(letter.bytes, "byte")], ["Key", said(letter.key)],
      ...letter.headers.map(({ name, value }) => [`Header ${name}`, said(value)]),
    ];
    byId("letter-facts").replaceChildren(...facts.map(([name, text]) => h("div", {}, h("dt", { text: name }), h("dd", { class: "mono", text }))));
    byId("letter-trail").replaceChildren(...letter.steps.map((step) => h("li", { text: step.action === "replayed" ? `Replayed${step.edited ? ", edited," : ""} ${stamp(step.at)} to ${step.topic}-${step.partition} at ${count(step.offset)}; event id ${step.eventId}` : `Discarded ${stamp(step.at)}${step.reason ? `: ${step.reason}` : ""}` })));
    setText(byId("letter-hex"), this.#bytes === null ? (letter.valueWithheld ? "The cluster did not take the value into the dead letter." : "There is no value.") : dump(this.#bytes) || "The value has no bytes.");
    setText(byId("letter-replay"), letter.status === "open" ? "Replay" : "Replay again");
    this.#fill();
  }

  /** The value as it came, ready to be mended. */
  #fill() {
    const cut = this.#letter.bytes !== null && this.#bytes !== null && this.#bytes.length < this.#letter.bytes;
    byId("letter-text").value = this.#bytes === null ? "" : escaped(this.#bytes);
    byId("letter-text").readOnly = cut;
    setText(byId("letter-text-label"), cut ? "Value, its first 512 KiB" : this.#bytes !== null && textOf(this.#bytes) === null ? "Value; bytes that are no UTF-8 as \\xff" : "Value");
    this.#edited();
  }

  /** The mended value; null where it is as it was. */
  get #value() {
    const text = byId("letter-text").value;
    return text === (this.#bytes === null ? "" : escaped(this.#bytes).replaceAll("\r\n", "\n").replaceAll("\r", "\n")) ? null : text;
  }

  #edited() {
    const edited = this.#value !== null;
    setText(byId("letter-fault"), "");
    byId("letter-text").removeAttribute("aria-invalid");
    byId("letter-reset").hidden = !edited;
    setText(byId("letter-replay"), edited ? "Replay as edited" : this.#letter.status === "open" ? "Replay" : "Replay again");
  }

  async #replay() {
    const letter = this.#letter;
    const value = this.#value;
    if ((await confirm(value === null ? "Replay this record?" : "Replay it as edited?", `It goes to ${letter.topic} once more, with the event id and time that it would have had. Doing so twice delivers one event.`, "Replay")) === null) return;
    await this.#act(() => post(path(letter.letter, "replay"), value === null ? {} : { value }), ({ eventId, topic, partition, offset }) => `Replayed to ${topic}-${partition} at ${count(offset)}, event id ${eventId}`);
  }

  async #discard() {
    const letter = this.#letter;
    const reason = await confirm("Discard this letter?", "It stays in its topic, and is listed as discarded.", "Discard", { reason: true, danger: true });
    if (reason === null) return;
    await this.#act(() => post(path(letter.letter, "discard"), reason ? { reason } : {}), () => "Discarded");
  }

  async #act(send, told) {
    const buttons = [byId("letter-replay"), byId("letter-discard")];
    for (const button of buttons) button.disabled = true;
    const name = this.#letter.letter;
    const done = await this.#app.attempt(async () => {
      try {
        return await send();
      } catch (problem) {
        if (problem.status !== 400) throw problem;
        setText(byId("letter-fault"), problem.errors.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join(" ") || problem.message);
        byId("letter-text").setAttribute("aria-invalid", "true");
        setAttribute(byId("letter-text"), "aria-describedby", "letter-fault");
        byId("letter-text").focus();
        return null;
      }
    });
    for (const button of buttons) button.disabled = false;
    if (done === null) return;
    toast(told(done));
    await this.#load();
    await this.#choose(name);
  }
}
