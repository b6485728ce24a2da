import { byId, h, setAttribute, setText } from "/shared/dom.js";

const LABELS = { idle: "Not connected", connecting: "Connecting…", live: "Live", offline: "Offline", stopped: "Stopped" };

/** How long a notice stays, in milliseconds. */
const TOAST_MS = 6_000;

/** The connection's pill, what screen readers are told of it, and short notices. */
export class Status {
  #pill = byId("connection");
  #countdown = null;

  /**
   * Shows {state, retryAt?, reason?, delayed?}; states: idle, connecting, live, reconnecting, offline, stopped. A live page whose
   * server is `delayed` by so many seconds says so.
   */
  show({ state, retryAt = null, reason = "", delayed = 0 }) {
    clearInterval(this.#countdown);
    const before = this.#pill.dataset.state;
    const wasDelayed = "delayed" in this.#pill.dataset;
    this.#pill.dataset.state = state;
    const canRetry = ["reconnecting", "offline", "stopped"].includes(state);
    setAttribute(this.#pill, "aria-disabled", canRetry ? null : "true");
    setAttribute(this.#pill, "title", canRetry ? `${reason} Press to connect now.`.trim() : reason);
    const seconds = () => Math.max(1, Math.ceil((retryAt - Date.now()) / 1_000));
    setAttribute(this.#pill, "data-delayed", delayed > 0 ? delayed : null);
    const behind = delayed > 0 ? `Live, ${Math.round(delayed)} s behind` : LABELS.live;
    const label = () => (state === "reconnecting" && retryAt ? `Reconnecting in ${seconds()} s` : state === "live" ? behind : LABELS[state]);
    setText(byId("connection-label"), label());
    if (state === "reconnecting") this.#countdown = setInterval(() => setText(byId("connection-label"), label()), 250);
    // A countdown read aloud every second would drown everything else: states are announced, seconds are not.
    const spoken = { live: "Live", reconnecting: "Connection lost, reconnecting", offline: "Offline", stopped: `Stopped. ${reason}` }[state];
    if (spoken && state !== before) setText(byId("announcer"), spoken);
    else if (state === "live" && delayed > 0 !== wasDelayed) setText(byId("announcer"), delayed > 0 ? "The server is behind" : "Live");
  }

  /** A short notice; kind: info or error. `action` is {text, run}. */
  toast(text, kind = "info", action = null) {
    const toast = h("div", { class: "toast", role: kind === "error" ? "alert" : "status", "data-kind": kind, "data-testid": "toast" }, h("span", { text }));
    const remove = () => toast.remove();
    if (action) {
      toast.append(h("button", { type: "button", text: action.text, onclick: () => (remove(), action.run()) }));
    } else {
      setTimeout(remove, TOAST_MS);
    }
    byId("toasts").append(toast);
    while (byId("toasts").children.length > 3) byId("toasts").firstElementChild.remove();
    return remove;
  }
}
