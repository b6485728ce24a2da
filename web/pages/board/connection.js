/** First and longest step of the back-off, in milliseconds. */
const BASE_MS = 500;
const CAP_MS = 30_000;

/** A connection that lasted this long was a good one: the next loss starts at the first step again. */
const STABLE_MS = 10_000;

/** Close codes after which trying again cannot help, and what to tell the person. */
const FINAL = new Map([
  [4501, "The server does not accept this user. Choose a valid one."],
  [4502, "An administrator disconnected this page."],
  [4503, "The server refused how this page speaks to it."],
  [4504, "A limit of connections is reached. Close other windows of this user."],
]);

/** Close codes that have a reason worth showing while we try again. */
const PASSING = new Map([
  [1001, "The server is restarting."],
  [4001, "This page could not keep up."],
  [4004, "The server did not hear from this page."],
  [4005, "The sign-in expired."],
  [4006, "The server cannot reach the log at the moment."],
]);

/** Full jitter: anything between nothing and the step, so that thousands of pages do not come back at once. */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
}

/**
 * One user's socket in plain mode, opened again by itself.
 *
 * `onState({state, retryAt?, reason?, code?})`: connecting, open, reconnecting, offline or stopped.
 * `onOpen()` after every successful opening, `onEvent(event)` for every message.
 */
export class Connection {
  #url;
  #handlers;
  #socket = null;
  #timer = null;
  #attempt = 0;
  #openedAt = 0;
  #closed = false;
  #stopped = false;

  constructor(userId, handlers) {
    const url = new URL("/ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("userId", String(userId));
    this.#url = url;
    this.#handlers = handlers;
    // What stood open across a change of network is often dead without either side knowing.
    addEventListener("online", this.#renew);
    addEventListener("offline", this.#noteOffline);
  }

  /** Opens now, whatever was planned; also after a stop. */
  open() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#closed = false;
    this.#stopped = false;
    this.#handlers.onState({ state: "connecting" });
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      this.#openedAt = performance.now();
      this.#handlers.onState({ state: "open" });
      this.#handlers.onOpen();
    });
    socket.addEventListener("message", (message) => {
      if (socket === this.#socket) this.#receive(message.data);
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#lost(event);
    });
  }

  /** Ends for good; nothing is reported afterwards. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    removeEventListener("online", this.#renew);
    removeEventListener("offline", this.#noteOffline);
    this.#drop();
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #receive(text) {
    let event;
    try {
      event = JSON.parse(text);
    } catch {
      return; // no event of ours; the stream goes on
    }
    // Event types hold a dot, control messages do not: a later server may send some.
    if (typeof event?.type === "string" && event.type.includes(".")) this.#handlers.onEvent(event);
  }

  #lost(event) {
    this.#socket = null;
    if (this.#closed) return;
    const stable = this.#openedAt > 0 && performance.now() - this.#openedAt > STABLE_MS;
    this.#openedAt = 0;
    if (stable) this.#attempt = 0;
    if (FINAL.has(event.code)) {
      this.#stopped = true;
      this.#handlers.onState({ state: "stopped", code: event.code, reason: FINAL.get(event.code) });
      return;
    }
    const delay = backoff(this.#attempt);
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.open(), delay);
    this.#handlers.onState({
      // A machine without network may still reach a server of its own, so we go on trying.
      state: navigator.onLine ? "reconnecting" : "offline",
      retryAt: Date.now() + delay,
      code: event.code,
      reason: PASSING.get(event.code) ?? "The connection was lost.",
    });
  }

  #renew = () => {
    if (!this.#stopped) this.open();
  };

  #noteOffline = () => {
    if (this.#socket === null && !this.#stopped) this.#handlers.onState({ state: "offline", reason: "This device is offline." });
  };
}
