import { Connection, backoff } from "/board/connection.js";
import { equal, ok, test } from "./harness.js";

/** A WebSocket that does what the test says. */
class FakeSocket extends EventTarget {
  static opened = [];

  constructor(url) {
    super();
    this.url = String(url);
    FakeSocket.opened.push(this);
  }

  open = () => this.dispatchEvent(new Event("open"));
  say = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
  lose = (code) => this.dispatchEvent(new CloseEvent("close", { code }));
  close(code) {
    this.closedWith = code;
  }
}

function made() {
  FakeSocket.opened = [];
  globalThis.WebSocket = FakeSocket;
  const states = [];
  const events = [];
  let openings = 0;
  const connection = new Connection(7, { onState: (state) => states.push(state), onOpen: () => (openings += 1), onEvent: (event) => events.push(event) });
  connection.open();
  return { connection, states, events, openings: () => openings, socket: () => FakeSocket.opened.at(-1) };
}

test("the wait before another try is anything up to a step that doubles, and never over half a minute", () => {
  equal([0, 1, 2, 3, 10, 99].map((attempt) => backoff(attempt, () => 1)), [500, 1_000, 2_000, 4_000, 30_000, 30_000]);
  equal(backoff(5, () => 0), 0);
  equal(backoff(3, () => 0.5), 2_000);
});

test("it asks for its user", () => {
  const url = new URL(made().socket().url);
  equal([url.protocol, url.pathname, url.search], ["ws:", "/ws", "?userId=7"]);
});

test("only events are told: no control message, no nonsense", () => {
  const { socket, events } = made();
  socket().open();
  for (const text of ['{"type":"task.created","data":{}}', '{"type":"welcome"}', "{", "null", "7", '{"type":1}']) socket().say(text);
  equal(events.map((event) => event.type), ["task.created"]);
});

test("codes that mean stop stop, all others try again", () => {
  for (const [code, state] of [[4501, "stopped"], [4502, "stopped"], [4503, "stopped"], [4504, "stopped"], [1001, "reconnecting"], [1006, "reconnecting"], [4001, "reconnecting"], [4004, "reconnecting"], [4005, "reconnecting"], [4006, "reconnecting"], [1000, "reconnecting"]]) {
    const { connection, socket, states } = made();
    socket().open();
    socket().lose(code);
    equal(states.at(-1).state, state, String(code));
    equal(states.at(-1).code, code);
    ok(states.at(-1).reason, `a reason for ${code}`);
    ok((state === "stopped") === (states.at(-1).retryAt === undefined), `a time for ${code}`);
    connection.close();
  }
});

test("after a stop a person may try again", () => {
  const { connection, socket, states, openings } = made();
  socket().lose(4504);
  connection.open();
  socket().open();
  equal([states.map((one) => one.state), openings()], [["connecting", "stopped", "connecting", "open"], 1]);
  connection.close();
});

test("a socket that was given up is not listened to any more", () => {
  const { connection, socket, events, states } = made();
  const first = socket();
  first.open();
  connection.open();
  const second = socket();
  first.say('{"type":"task.created"}');
  first.lose(1006);
  second.open();
  equal([events.length, states.map((one) => one.state)], [0, ["connecting", "open", "connecting", "open"]]);
  equal(first.closedWith, 1_000);
  connection.close();
});

test("closed is closed", async () => {
  const { connection, socket, states } = made();
  const only = socket();
  only.open();
  connection.close();
  only.lose(1006);
  dispatchEvent(new Event("online"));
  equal([states.map((one) => one.state), FakeSocket.opened.length], [["connecting", "open"], 1]);
});

test("a network that comes back is used at once", () => {
  const { connection, socket, states } = made();
  socket().open();
  socket().lose(1006);
  dispatchEvent(new Event("online"));
  equal([FakeSocket.opened.length, states.at(-1).state], [2, "connecting"]);
  connection.close();
});
