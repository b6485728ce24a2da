// A server, a clock, a page and a device that do what a test says.
import { Teamcast } from "/sdk/teamcast.js";

/** Lets everything run that waits for nothing but its turn. */
export const turn = () => new Promise((resolve) => setTimeout(resolve));

/** Time that passes only when told to. */
export class Clock {
  now = 1_800_000_000_000;
  #timers = new Map();
  #next = 1;

  setTimeout = (run, ms) => {
    const id = this.#next++;
    this.#timers.set(id, { at: this.now + Math.max(0, ms), run });
    return id;
  };

  clearTimeout = (id) => this.#timers.delete(id);

  /** How many timers wait. */
  get waiting() {
    return this.#timers.size;
  }

  /** Lets so much time pass, timer by timer. */
  async pass(ms) {
    const end = this.now + ms;
    await turn();
    for (;;) {
      const [id, due] = [...this.#timers].sort(([, one], [, other]) => one.at - other.at)[0] ?? [];
      if (!due || due.at > end) break;
      this.#timers.delete(id);
      this.now = Math.max(this.now, due.at);
      due.run();
      await turn();
    }
    this.now = end;
  }

  /** Lets time pass in which nothing runs, as when a device sleeps. */
  sleep(ms) {
    this.now += ms;
  }
}

/** A WebSocket whose server is the test. */
export class Socket extends EventTarget {
  sent = [];
  protocol = "";
  closedWith = null;

  constructor(url, protocols) {
    super();
    this.url = url;
    this.protocols = protocols;
  }

  send(text) {
    if (this.closedWith !== null) throw new Error("sent on a closed socket");
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closedWith ??= code;
  }

  accept(protocol = "teamcast.v1") {
    this.protocol = protocol;
    this.dispatchEvent(new Event("open"));
  }

  raw(data) {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }

  say(...messages) {
    for (const message of messages) this.raw(JSON.stringify(message));
  }

  welcome(more = {}) {
    this.accept();
    this.say({ type: "welcome", session: "s", userId: 7, teams: [42], heartbeat: 25, version: "1", ...more });
  }

  lose(code = 1006, reason = "") {
    this.closedWith ??= code;
    this.dispatchEvent(new CloseEvent("close", { code, reason }));
  }

  /** The commands of a type that came so far. */
  commands(type) {
    return this.sent.filter((command) => command.type === type);
  }

  /** Answers the newest command of a type. */
  reply(type, more = {}) {
    this.say({ type: "reply", id: this.commands(type).at(-1).id, ok: true, ...more });
  }

  refuse(type, code) {
    this.reply(type, { ok: false, error: { code, message: `no: ${code}` } });
  }
}

/** A client among fakes. `told(type)` gives the details of what it dispatched. */
export function made(options = {}, { random = () => 0.5 } = {}) {
  const clock = new Clock();
  const sockets = [];
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { hidden: false });
  const device = { online: true };
  const platform = {
    WebSocket: class extends Socket {
      constructor(url, protocols) {
        super(url, protocols);
        sockets.push(this);
      }
    },
    setTimeout: clock.setTimeout,
    clearTimeout: clock.clearTimeout,
    now: () => clock.now,
    random,
    online: () => device.online,
    page,
    document,
  };
  const client = new Teamcast({ url: "ws://here/ws", ...(options.token ? {} : { userId: 7 }), ...options, platform });
  const log = [];
  for (const type of ["status", "sync", "event", "snapshot", "gap", "joined", "left", "presence", "delayed", "error"]) {
    client.addEventListener(type, ({ detail }) => log.push([type, detail]));
  }
  const told = (type) => log.filter(([one]) => one === type).map(([, detail]) => detail);
  const errors = () => told("error").map((error) => error.code);
  return { client, platform, clock, sockets, page, document, device, log, told, errors, socket: () => sockets.at(-1) };
}

/** A client that is connected, and has asked for `teams`. */
export async function connected(teams = "all", options = {}) {
  const world = made(options);
  world.client.connect();
  if (teams !== null) world.asked = world.client.subscribe(teams);
  await turn();
  world.socket().welcome();
  await turn();
  return world;
}

/** A client that follows team 42, which has `tasks`, at position 10, and the user's own stream. */
export async function following(tasks = [1], options = {}, teams = "all") {
  const world = await connected(teams, options);
  world.socket().reply("subscribe", { positions: { 42: at(10), me: at(5) }, refused: [] });
  world.socket().say(snapshot(10, tasks), mine(5));
  await turn();
  return world;
}

/** Loses the connection, and lets the next one come up to its welcome. */
export async function again(world, code = 1006) {
  const before = world.sockets.length;
  world.socket().lose(code);
  await world.clock.pass(30_000);
  if (world.sockets.length === before) throw new Error("no new socket");
  world.socket().welcome();
  await turn();
}

export const AT = "2026-11-23T10:00:00.000000Z";
export const at = (n) => `p${String(n).padStart(4, "0")}`;
let number = 0;
export const event = (position, type, data, more = {}) => ({
  eventId: `e${(number += 1)}`, type, teamId: 42, actorId: 8, timestamp: AT, position: at(position), data: { teamId: 42, ...data }, ...more,
});
export const created = (position, taskId, more) => event(position, "task.created", { taskId, title: `Task ${taskId}` }, more);
export const task = (taskId) => ({
  taskId, title: `Task ${taskId}`, description: null, completed: null, priority: null, due: null, creatorId: 7, assigneeId: null, createdAt: AT, updatedAt: AT,
});
export const snapshot = (position, tasks = [], more = {}) => ({
  type: "snapshot", teamId: 42, position: at(position), part: 1, parts: 1,
  team: { teamId: 42, name: "Ops", description: null, ownerId: 7, updatedAt: AT }, members: [{ userId: 7, role: "owner" }], tasks: tasks.map(task), ...more,
});
export const mine = (position, tasks = []) => ({
  type: "snapshot", userId: 7, position: at(position), part: 1, parts: 1, user: { userId: 7, username: "ada", email: null }, tasks: tasks.map(task),
});
export const ids = (client, key = 42) => [...(client.streams.get(key)?.tasks.keys() ?? [])];

/** A token as far as a client can read it. */
export const jwt = (expiresAtMs, name = "a", more = {}) => {
  const claims = btoa(JSON.stringify({ sub: "7", exp: expiresAtMs / 1_000, name, ...more })).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `aaa.${claims}.zzz`;
};
