/* @ts-self-types="./teamcast.d.ts" */
/*
 * Teamcast's client: one ES module without dependencies, for browsers, Node 22 and later, Deno and Bun.
 *
 * It speaks the subprotocol teamcast.v1, keeps a copy of what the server knows of each team, and comes back by itself where it
 * was: every event of a subscribed team once and in order, or a gap and a fresh snapshot, never a silent hole.
 * Types are in teamcast.d.ts, how to use it in README.md.
 */

const PROTOCOL = "teamcast.v1";

/** First and longest step of the back-off, in milliseconds. */
const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 30_000;
/** A connection that lasted this long was a good one: the next loss starts at the first step again. */
const STABLE_MS = 10_000;
/** From dialling to the welcome. The server itself gives up after 20 s, with 4006. */
const WELCOME_MS = 30_000;
/** Longest wait for a token callback, and for the answer to a command. */
const TOKEN_MS = 30_000;
const ANSWER_MS = 45_000;
/** Between pings when the server is silent, unless its welcome says otherwise, and how long it has to answer one. */
const HEARTBEAT_MS = 25_000;
const PONG_MS = 10_000;
/** How long it has when there is reason to doubt the connection: the device slept, or changed its network. */
const PROBE_MS = 5_000;
/** A token is renewed this long before it expires; a short one in its last third. */
const REFRESH_LEAD_MS = 60_000;
const REFRESH_MIN_MS = 5_000;
/** Commands a second, and at once: half of what a server takes by default (COMMANDS_PER_SECOND). */
const COMMANDS_PER_SECOND = 25;
const COMMANDS_BURST = 50;
/** A command has at most 64 KiB, and by default 1,000 teams; what a server of other settings refuses is halved. */
const COMMAND_BYTES = 60_000;
const COMMAND_TEAMS = 1_000;
/** What is sent besides teams and positions. */
const COMMAND_FRAME_BYTES = 200;
/** Messages that an iterator holds for a consumer that is slower than they come. */
const BUFFER = 1_000;
/** Timers of every engine hold 31 bits. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const REASONS = new Map([
  [1001, "the server is going away"],
  [1002, "this client sent what is no WebSocket frame"],
  [1003, "this client sent a binary message"],
  [1006, "the connection broke off, or could not be made"],
  [1007, "this client sent what is no UTF-8"],
  [1009, "this client sent more than a message may have"],
  [4001, "this client did not read what it was sent"],
  [4004, "the server did not hear from this client"],
  [4005, "the token expired"],
  [4006, "the server cannot reach the log, the key server or a team's owner"],
  [4501, "no token or a bad one, or without authentication no valid userId"],
  [4502, "an administrator ended the connection"],
  [4503, "the server did not understand this client"],
  [4504, "a limit of the server is reached"],
]);

/** What these mean as the code of an error. */
const STOPS = new Map([
  [4501, "unauthenticated"],
  [4502, "disconnected"],
  [4503, "protocol_violation"],
  [4504, "limit"],
]);

/** What went wrong: `code` for programs, `message` for developers. */
export class TeamcastError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = "TeamcastError";
    this.code = code;
  }
}

/** Full jitter: anything between nothing and a step that doubles, so that thousands of clients do not come back at once. */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt);
}

// --- the copy of what the server knows

const TASK_FIELDS = ["title", "description", "completed", "priority", "due", "creatorId", "assigneeId"];
const TEAM_FIELDS = ["name", "description", "ownerId"];
const USER_FIELDS = ["username", "email"];

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const empty = (fields) => Object.fromEntries(fields.map((name) => [name, null]));
const picked = (data, fields) => Object.fromEntries(fields.filter((name) => name in data).map((name) => [name, data[name]]));
const byId = (name) => (one, other) => one[name] - other[name];

/**
 * One team, or the user's own stream (key "me"), as far as this client has read the log. To be read, not written:
 * a change puts a new task, member or team in place of the old one, which stays as it was.
 */
export class Stream {
  constructor(key) {
    /** The team's id, or "me". */
    this.key = key;
    /** The team; null where nothing is known of it, and for "me". */
    this.team = null;
    /** The user, for "me". */
    this.user = null;
    /** Members by user id. A team of more than 5,000 has only those of later events here, and `membersTotal`. */
    this.members = new Map();
    /** How many members there were at the last snapshot, where the list was too long for it; else null. */
    this.membersTotal = null;
    /** Tasks by task id. */
    this.tasks = new Map();
    /** Of the last event that is in all this; null before the first snapshot. */
    this.position = null;
    /** Whether a snapshot has come. */
    this.loaded = false;
    /** Ids of the members who are online; null while that is not known, or they are too many to be listed. */
    this.online = null;
    /** How many members are online; null while that is not known. */
    this.onlineTotal = null;
  }

  /** The same in the shape of a snapshot, as GET /api/teams/{id} has it. */
  toJSON() {
    const tasks = [...this.tasks.values()].sort(byId("taskId"));
    if (this.key === "me") return { user: this.user, tasks, position: this.position };
    const members = [...this.members.values()].sort(byId("userId"));
    const listed = this.membersTotal === null ? { members } : { membersTotal: this.membersTotal };
    return { teamId: this.key, team: this.team, ...listed, tasks, position: this.position };
  }
}

/** Puts a whole snapshot in place of everything a stream had. */
export function replace(stream, snapshot) {
  stream.team = snapshot.team ?? null;
  stream.user = snapshot.user ?? null;
  stream.members = new Map((snapshot.members ?? []).map((member) => [member.userId, member]));
  stream.membersTotal = snapshot.membersTotal ?? null;
  stream.tasks = new Map((snapshot.tasks ?? []).map((task) => [task.taskId, task]));
  stream.position = snapshot.position ?? null;
  stream.loaded = true;
}

/**
 * Applies one event: its `state` in place of what was there, where it carries one, else its `data`.
 * Gives {subject, id, before, after}; null for a type that this version does not know, which changes nothing.
 */
export function apply(stream, event) {
  switch (event.type) {
    case "task.created":
    case "task.updated":
    case "task.completed":
    case "task.deleted": {
      const id = event.data.taskId;
      return put(stream.tasks, "task", id, "state" in event ? event.state : taskAfter(stream.tasks.get(id), event));
    }
    case "team.member_added":
    case "team.member_role_updated":
    case "team.member_removed": {
      const { userId, role } = event.data;
      const removed = event.type === "team.member_removed";
      const after = "state" in event ? event.state : removed ? null : { userId, role: role ?? "member" };
      return put(stream.members, "member", userId, after);
    }
    case "team.created":
    case "team.updated":
    case "team.deleted":
      return applyTeam(stream, event);
    case "user.created": {
      const before = stream.user;
      const base = before ?? { userId: event.data.userId, ...empty(USER_FIELDS) };
      stream.user = "state" in event ? event.state : { ...base, ...picked(event.data, USER_FIELDS) };
      return { subject: "user", id: event.data.userId, before, after: stream.user };
    }
    default:
      return null;
  }
}

function put(map, subject, id, after) {
  const before = map.get(id) ?? null;
  if (after === null) map.delete(id);
  else map.set(id, after);
  return { subject, id, before, after };
}

function taskAfter(before, { type, timestamp, data }) {
  if (type === "task.deleted") return null;
  const { taskId, teamId: _itsColumn, ...given } = data;
  const after = { ...(before ?? { taskId, ...empty(TASK_FIELDS), createdAt: null }), ...given, updatedAt: timestamp };
  if (type === "task.created") after.createdAt = timestamp;
  return after;
}

function applyTeam(stream, event) {
  const { type, data, timestamp } = event;
  const before = stream.team;
  if ("state" in event) stream.team = event.state;
  else if (type === "team.deleted") stream.team = null;
  else stream.team = { ...(before ?? { teamId: data.teamId, ...empty(TEAM_FIELDS) }), ...picked(data, TEAM_FIELDS), updatedAt: timestamp };
  if (stream.team === null) {
    stream.members = new Map();
    stream.tasks = new Map();
  }
  const owner = data.ownerId ?? event.actorId;
  // Where that is wrong, because the event came late, a gap and a snapshot follow.
  if (type === "team.created" && owner && stream.team !== null) stream.members.set(owner, { userId: owner, role: "owner" });
  return { subject: "team", id: stream.key, before, after: stream.team };
}

// --- the connection: one socket after the other

/** A time that a JWT names, in milliseconds since 1970; null for what is no JWT, or names none. */
function timeOf(token, claim) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return Number.isFinite(claims[claim]) ? claims[claim] * 1_000 : null;
  } catch {
    return null;
  }
}

/** When a JWT expires, in milliseconds since 1970; null for what is no JWT, or never expires. */
export function expiryOf(token) {
  return timeOf(token, "exp");
}

/** How long a token is good that the server has just taken, in milliseconds; below 0 where that cannot be told. */
function lifetimeOf(token, now) {
  const expiry = timeOf(token, "exp");
  if (expiry === null) return Infinity;
  const issued = timeOf(token, "iat");
  const whole = issued === null ? expiry - now : expiry - issued;
  // By a clock that is ahead it has expired already, which the server would not have taken; by one that is behind it lives too long.
  return expiry > now ? Math.min(whole, expiry - now) : whole;
}

/** What of its surroundings the client uses, so that tests can put something else in its place. */
function platformOf(given = {}) {
  return {
    WebSocket: globalThis.WebSocket,
    setTimeout: (run, ms) => globalThis.setTimeout(run, ms),
    clearTimeout: (timer) => globalThis.clearTimeout(timer),
    now: () => Date.now(),
    random: Math.random,
    online: () => globalThis.navigator?.onLine !== false,
    page: typeof globalThis.addEventListener === "function" ? globalThis : null,
    document: globalThis.document ?? null,
    ...given,
  };
}

/**
 * Opens sockets, one at a time, and loses them: who this is, commands and their answers, heartbeat, back-off.
 *
 * `on`: status(status), welcome(message), message(message), lost(), drained(), error(error).
 */
class Connection {
  #options;
  #platform;
  #on;
  #socket = null;
  /** Numbers what was begun; what an older one brings is ignored. */
  #dial = 0;
  #attempt = 0;
  #timers = new Map();
  #welcomedAt = null;
  #heardAt = 0;
  #heartbeatMs = HEARTBEAT_MS;
  #queue = [];
  #answers = new Map();
  #nextId = 1;
  #allowance = COMMANDS_BURST;
  #allowedAt = 0;
  #token = null;
  #tokenGoodUntil = Infinity;
  #tokenReason = "connect";
  #refreshFailures = 0;
  #userId = null;
  status = Object.freeze({ state: "idle" });

  constructor(options, platform, on) {
    this.#options = options;
    this.#platform = platform;
    this.#on = on;
  }

  get welcomed() {
    return this.#welcomedAt !== null;
  }

  /** Whether everything that was to be sent has been. */
  get drained() {
    return this.#queue.length === 0;
  }

  // --- beginning

  /** Opens a socket now, whatever was planned. */
  open() {
    this.#hangUp();
    const dial = this.#dial;
    this.#tell({ state: "connecting" });
    this.#after("welcome", WELCOME_MS, () => this.#lose(0, `no welcome within ${WELCOME_MS / 1_000} s`));
    if (!this.#options.token) {
      this.#reach(null);
      return;
    }
    this.#ask(this.#tokenReason).then(
      (token) => dial === this.#dial && this.#reach(token),
      (error) => {
        if (dial !== this.#dial) return;
        this.#on.error(error);
        if (error.code === "no_token") this.stop(0, error.message, error);
        else this.#lose(0, error.message);
      },
    );
  }

  async #ask(reason) {
    const dial = this.#dial;
    let token;
    const limit = new Promise((_, reject) => {
      this.#after("token", TOKEN_MS, () => reject(new Error(`it took longer than ${TOKEN_MS / 1_000} s`)));
    });
    try {
      token = await Promise.race([this.#options.token({ reason }), limit]);
    } catch (error) {
      throw new TeamcastError("token_failed", `the token callback failed: ${error?.message ?? error}`, { cause: error });
    } finally {
      if (dial === this.#dial) this.#cancel("token");
    }
    if (token === null || token === undefined || token === "") throw new TeamcastError("no_token", "the token callback gave no token");
    // Nothing else fits into Sec-WebSocket-Protocol, and nothing else is in a JWT.
    if (typeof token !== "string" || !/^[\w.-]+$/.test(token)) throw new TeamcastError("no_token", "the token callback gave something that is no JWT");
    return token;
  }

  #reach(token) {
    const inHandshake = token !== null && this.#options.auth !== "command";
    this.#token = token;
    let socket;
    try {
      socket = new this.#platform.WebSocket(this.#options.url, inHandshake ? [PROTOCOL, `bearer.${token}`] : [PROTOCOL]);
    } catch (error) {
      this.stop(0, `the socket cannot be made: ${error.message}`, new TeamcastError("bad_options", error.message, { cause: error }));
      return;
    }
    this.#socket = socket;
    const mine = (act) => (event) => socket === this.#socket && act(event);
    socket.addEventListener("open", mine(() => this.#opened(socket, inHandshake)));
    socket.addEventListener("message", mine((event) => this.#receive(event.data)));
    socket.addEventListener("close", mine((event) => this.#lose(event.code || 1006, event.reason))); // some runtimes give none
    socket.addEventListener("error", () => {}); // the close that follows says what there is to say
  }

  #opened(socket, inHandshake) {
    if (socket.protocol && socket.protocol !== PROTOCOL) {
      const text = `the server speaks ${socket.protocol}, not ${PROTOCOL}`;
      this.stop(0, text, new TeamcastError("bad_protocol", text));
      return;
    }
    this.#allowance = COMMANDS_BURST;
    this.#allowedAt = this.#platform.now();
    if (this.#token !== null && !inHandshake) {
      this.command({ type: "auth", token: this.#token }, (reply) => {
        if (!reply.ok) this.#on.error(new TeamcastError(reply.error?.code ?? "bad_token", reply.error?.message ?? "the token was refused"));
      });
    }
  }

  #receive(data) {
    this.#heardAt = this.#platform.now();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      message = null;
    }
    if (!isObject(message) || typeof message.type !== "string") {
      this.#on.error(new TeamcastError("bad_message", "the server sent something that is no message of its protocol"));
      return;
    }
    if (message.type === "reply") this.#answered(message);
    else if (message.type === "welcome") this.#welcome(message);
    else if (message.type !== "pong" && this.welcomed) this.#on.message(message);
    else if (message.type === "error") this.#on.error(new TeamcastError(String(message.code), String(message.message)));
  }

  #welcome(message) {
    if (this.#userId !== null && message.userId !== this.#userId) {
      const text = `the token was user ${this.#userId}'s and is now user ${message.userId}'s: close this client and make another`;
      this.stop(0, text, new TeamcastError("wrong_user", text));
      return;
    }
    this.#userId = message.userId;
    this.#welcomedAt = this.#platform.now();
    this.#cancel("welcome");
    this.#tokenReason = "connect";
    this.#heartbeatMs = message.heartbeat > 0 ? Math.min(300, Math.max(1, message.heartbeat)) * 1_000 : HEARTBEAT_MS;
    this.#after("beat", this.#heartbeatMs, () => this.#beat());
    this.#tokenTaken();
    this.#planRefresh();
    this.#on.welcome(message);
    this.#tell({ state: "connected" });
  }

  // --- commands

  /** Sends a command, as soon as the pace allows it; `answered(reply)` is called in the same turn in which the reply comes. */
  command(body, answered = null) {
    const id = this.#nextId++;
    if (answered) this.#answers.set(id, answered);
    this.#queue.push(JSON.stringify({ id, ...body }));
    if (answered) this.#after(`answer ${id}`, ANSWER_MS, () => this.#lose(0, `no answer to ${body.type} within ${ANSWER_MS / 1_000} s`));
    this.#pump();
    return id;
  }

  #pump() {
    const now = this.#platform.now();
    const earned = (Math.max(0, now - this.#allowedAt) / 1_000) * COMMANDS_PER_SECOND;
    this.#allowance = Math.min(COMMANDS_BURST, this.#allowance + earned);
    this.#allowedAt = now;
    while (this.#queue.length > 0 && this.#allowance >= 1) {
      this.#allowance -= 1;
      this.#socket.send(this.#queue.shift());
    }
    if (this.#queue.length > 0) {
      this.#after("pace", 1_000 / COMMANDS_PER_SECOND, () => {
        this.#pump();
        if (this.drained) this.#on.drained();
      });
    }
  }

  #answered(reply) {
    const answered = this.#answers.get(reply.id);
    this.#answers.delete(reply.id);
    this.#cancel(`answer ${reply.id}`);
    answered?.(reply);
  }

  // --- heartbeat: browsers answer the server's pings unseen, so that only a ping of our own tells us of a dead line

  #beat() {
    const now = this.#platform.now();
    const silent = Math.max(0, now - this.#heardAt);
    if (silent < this.#heartbeatMs) this.#after("beat", this.#heartbeatMs - silent, () => this.#beat());
    else this.probe(PONG_MS);
  }

  /** Makes sure that the server is still there. */
  probe(limitMs = PROBE_MS) {
    if (!this.welcomed || this.#timers.has("pong")) return;
    const sentAt = this.#platform.now();
    // What was there before counts as an answer only when it comes from now on.
    this.#heardAt = Math.min(this.#heardAt, sentAt - 1);
    this.command({ type: "ping" });
    const judge = (dueAt, again) => {
      const now = this.#platform.now();
      if (this.#heardAt >= sentAt) this.#after("beat", this.#heartbeatMs, () => this.#beat());
      // A page that was held up finds its timer before the message that came meanwhile.
      else if (again && now - dueAt > 1_000) this.#after("pong", 1_000, () => judge(now, false));
      else this.#lose(0, "the server does not answer");
    };
    this.#after("pong", limitMs, () => judge(sentAt + limitMs, true));
  }

  // --- the token

  #tokenTaken() {
    const now = this.#platform.now();
    this.#tokenGoodUntil = this.#token === null ? Infinity : now + lifetimeOf(this.#token, now);
  }

  #planRefresh() {
    const left = this.#token === null ? Infinity : this.#tokenGoodUntil - this.#platform.now();
    if (left === Infinity) return;
    const lead = Math.min(REFRESH_LEAD_MS, left / 3);
    const jitter = this.#platform.random() * Math.min(REFRESH_LEAD_MS / 2, left / 10);
    const floor = REFRESH_MIN_MS * 2 ** Math.min(6, this.#refreshFailures);
    const wait = Math.max(this.#refreshFailures > 0 || left <= 0 ? floor : 0, left - lead - jitter);
    this.#after("refresh", wait, () => (wait > LONGEST_TIMER_MS ? this.#planRefresh() : this.#refresh()));
  }

  async #refresh() {
    const dial = this.#dial;
    const again = (error) => {
      if (dial !== this.#dial) return;
      this.#refreshFailures += 1;
      if (error) this.#on.error(error);
      this.#planRefresh();
    };
    let token;
    try {
      token = await this.#ask("refresh");
    } catch (error) {
      again(error);
      return;
    }
    if (dial !== this.#dial) return;
    if (token === this.#token) {
      again(null);
      return;
    }
    this.command({ type: "refresh", token }, (reply) => {
      if (!reply.ok) {
        again(new TeamcastError(reply.error?.code ?? "bad_token", `the newer token was refused: ${reply.error?.message}`));
        return;
      }
      this.#token = token;
      this.#tokenTaken();
      // One that has expired when it comes, by this clock, must not be renewed again and again.
      this.#refreshFailures = this.#tokenGoodUntil > this.#platform.now() ? 0 : this.#refreshFailures + 1;
      this.#planRefresh();
    });
  }

  // --- ending

  /** Something does not fit: give up this socket, and come back like after any loss. */
  fail(text) {
    this.#lose(0, text);
  }

  #lose(code, text) {
    const stable = this.welcomed && this.#platform.now() - this.#welcomedAt >= STABLE_MS;
    const reason = REASONS.get(code) ?? (text || "the connection was lost");
    if (code >= 4500) {
      this.stop(code, reason);
      return;
    }
    this.#hangUp();
    if (stable) this.#attempt = 0;
    if (code === 4005) this.#tokenReason = "expired";
    const delay = backoff(this.#attempt, this.#platform.random);
    this.#attempt += 1;
    this.#after("retry", delay, () => this.open());
    // Without a network there may still be a server on this machine, so we go on trying.
    const state = this.#platform.online() ? "reconnecting" : "offline";
    this.#tell({ state, code, reason, retryAt: this.#platform.now() + delay });
  }

  /** Ends, and tries no more until `open` is called. */
  stop(code, reason, error = null) {
    this.#hangUp();
    this.#attempt = 0;
    const found = error ?? new TeamcastError(STOPS.get(code) ?? "stopped", `stopped: ${reason} (close code ${code})`);
    this.#tell({ state: "stopped", code, reason, error: found });
  }

  /** Gives up the socket until `open` is called; `state` says why. */
  rest(state) {
    this.#hangUp();
    this.#tell({ state });
  }

  #hangUp() {
    this.#dial += 1;
    const socket = this.#socket;
    const wasWelcomed = this.welcomed;
    this.#socket = null;
    this.#welcomedAt = null;
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
    this.#queue = [];
    this.#answers.clear();
    this.#refreshFailures = 0;
    socket?.close(1000);
    if (wasWelcomed) this.#on.lost();
  }

  #tell(status) {
    this.status = Object.freeze(status);
    this.#on.status(this.status);
  }

  #after(name, ms, run) {
    this.#cancel(name);
    const timer = this.#platform.setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, Math.min(ms, LONGEST_TIMER_MS));
    this.#timers.set(name, timer);
  }

  #cancel(name) {
    this.#platform.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

// --- reading as an iterator

/** What waits for one consumer, at most `capacity` messages: beyond that the oldest go, and the consumer is told how many. */
class Inbox {
  #capacity;
  #forget;
  #waiting = [];
  #readers = [];
  #dropped = 0;
  #end = null;

  constructor(capacity, forget) {
    this.#capacity = capacity;
    this.#forget = forget;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  push(message) {
    if (this.#readers.length > 0) {
      this.#readers.shift().resolve({ value: message, done: false });
      return;
    }
    this.#waiting.push(message);
    if (this.#waiting.length > this.#capacity) {
      this.#waiting.shift();
      this.#dropped += 1;
    }
  }

  /** Ends once what waits has been read; with an error, if there is one. */
  finish(error = null) {
    if (this.#end) return;
    this.#end = { error: this.#readers.length > 0 ? null : error };
    this.#forget();
    const [first, ...others] = this.#readers.splice(0);
    if (error) first?.reject(error);
    else first?.resolve({ value: undefined, done: true });
    for (const { resolve } of others) resolve({ value: undefined, done: true });
  }

  next() {
    if (this.#dropped > 0) {
      const value = { type: "overflow", dropped: this.#dropped };
      this.#dropped = 0;
      return Promise.resolve({ value, done: false });
    }
    if (this.#waiting.length > 0) return Promise.resolve({ value: this.#waiting.shift(), done: false });
    if (this.#end) {
      const { error } = this.#end;
      this.#end.error = null;
      return error ? Promise.reject(error) : Promise.resolve({ value: undefined, done: true });
    }
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  return(value) {
    this.#waiting = [];
    this.#dropped = 0;
    this.finish();
    return Promise.resolve({ value, done: true });
  }
}

// --- the client

/** Where a subscription stands on this connection. A number above 0 is the command that asks for it. */
const GRANTED = 0;
const REFUSED = -1;

const isId = (value) => Number.isSafeInteger(value) && value > 0;
const keyOf = (message) => message.teamId ?? "me";
const nameOf = (key) => String(key);
const keyNamed = (name) => (name === "me" ? "me" : Number(name));

function urlOf(options) {
  const given = options.url ?? globalThis.location?.origin;
  if (given === undefined) throw new TypeError("url is needed outside a page, for example wss://teamcast.example.org/ws");
  let url;
  try {
    url = new URL(given, globalThis.location?.href);
  } catch {
    throw new TypeError(`url is no address: ${given}`);
  }
  const scheme = { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" }[url.protocol];
  if (!scheme) throw new TypeError(`url must begin with ws, wss, http or https: ${given}`);
  url.protocol = scheme;
  url.hash = ""; // which a WebSocket does not take
  if (url.pathname === "/") url.pathname = "/ws";
  if (options.userId !== undefined) url.searchParams.set("userId", String(options.userId));
  return url.href;
}

function checked(options) {
  const { token, userId, auth = "subprotocol", snapshot = true, presence = false, since = {}, pause = true } = options;
  if ((token === undefined) === (userId === undefined)) {
    throw new TypeError("give either token (an async function that gives a JWT) or, for a server without authentication, userId");
  }
  if (token !== undefined && typeof token !== "function") throw new TypeError("token must be a function that gives a JWT, or a promise of one: a token expires");
  if (userId !== undefined && !isId(userId)) throw new TypeError(`userId must be an integer from 1 to 2^53-1, not ${userId}`);
  if (auth !== "subprotocol" && auth !== "command") throw new TypeError(`auth must be "subprotocol" or "command", not ${auth}`);
  for (const [name, value] of Object.entries({ snapshot, presence, pause })) {
    if (typeof value !== "boolean") throw new TypeError(`${name} must be true or false, not ${value}`);
  }
  if (!isObject(since)) throw new TypeError("since must be an object of positions, as `positions` gives them");
  if (snapshot && Object.keys(since).length > 0) {
    throw new TypeError("since goes with snapshot: false; with snapshots a client begins with one, since it has no state to go on from");
  }
  for (const [name, position] of Object.entries(since)) {
    if (name !== "me" && !(isId(Number(name)) && /^[1-9]\d*$/.test(name))) throw new TypeError(`since: ${name} is neither a team's id nor "me"`);
    if (typeof position !== "string" || position.length > 200) throw new TypeError(`since: the position of ${name} is none`);
  }
  return { token, auth, snapshot, presence, since: { ...since }, pause, url: urlOf(options) };
}

function checkedTeams(teams) {
  if (teams === "all") return teams;
  const list = Array.isArray(teams) || teams instanceof Set ? [...teams] : [teams];
  if (list.length === 0) throw new TypeError('name at least one team, or "all"');
  for (const key of list) {
    if (key !== "me" && !isId(key)) throw new TypeError(`a team is an integer from 1 to 2^53-1, or "me": ${key} (${typeof key})`);
  }
  return new Set(list);
}

/** A promise that may be left alone: when nobody waits for it, its rejection ends no process. */
function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  made.promise.catch(() => {});
  return made;
}

/**
 * A client of one user. An EventTarget (`event`, the types of events themselves, `status`, `sync`, `snapshot`, `gap`, `joined`,
 * `left`, `presence`, `delayed`, `error`), and to be read with `for await`.
 */
export class Teamcast extends EventTarget {
  #options;
  #platform;
  #connection;
  #streams = new Map();
  /** What the caller wants, and where that stands on the present connection. */
  #all = false;
  #wanted = new Set();
  #allAsked = null;
  #asked = new Map();
  /** Teams that were joined while it was under way whether they are ours. */
  #rejoined = new Set();
  #teamsInCommand = COMMAND_TEAMS;
  #parts = new Map();
  /** Streams whose snapshot is yet to come, and subscribe commands whose answer is. */
  #due = new Set();
  #unanswered = 0;
  #since;
  #flushing = false;
  #synced = false;
  #delayed = 0;
  #welcome = null;
  #connecting = null;
  #waiters = new Set();
  #inboxes = new Set();
  #unwatch = null;

  constructor(options = {}) {
    super();
    this.#options = checked(options);
    this.#platform = platformOf(options.platform);
    if (typeof this.#platform.WebSocket !== "function") {
      throw new TypeError("there is no WebSocket here: Node has one from 22 on, or give one as platform.WebSocket");
    }
    this.#since = new Map(Object.entries(this.#options.since).map(([name, position]) => [keyNamed(name), position]));
    this.#connection = new Connection(this.#options, this.#platform, {
      status: (status) => this.#statusChanged(status),
      welcome: (message) => this.#welcomed(message),
      message: (message) => this.#take(message),
      lost: () => this.#lost(),
      drained: () => this.#flush(),
      error: (error) => this.#tell("error", error),
    });
  }

  // --- what is there to see

  /** {state, code?, reason?, retryAt?, error?}. */
  get status() {
    return this.#connection.status;
  }

  /** Whether everything that was subscribed to is here, and followed. */
  get synced() {
    return this.#synced;
  }

  /** So many seconds is this server behind the log; 0: it is not. */
  get delayed() {
    return this.#delayed;
  }

  /** Whose client this is; null before the first welcome. */
  get userId() {
    return this.#welcome?.userId ?? null;
  }

  /** Every stream here by its key: teams by id, and "me". */
  get streams() {
    return this.#streams;
  }

  /** A team as far as the log has been read; undefined where it is not here. */
  team(teamId) {
    return this.#streams.get(teamId);
  }

  /** The user's own stream; undefined where it is not here. */
  get me() {
    return this.#streams.get("me");
  }

  /** Where each stream has been read to, for `since` of a later client. */
  get positions() {
    const found = Object.fromEntries([...this.#since].map(([key, position]) => [nameOf(key), position]));
    for (const stream of this.#streams.values()) if (stream.position !== null) found[nameOf(stream.key)] = stream.position;
    return found;
  }

  // --- what to do

  /** Connects now, whatever was planned; after a stop as well. Resolves with the welcome, rejects when the server says stop. */
  connect() {
    const { state } = this.status;
    if (state === "closed") throw new TeamcastError("closed", "this client is closed: make another");
    this.#connecting ??= deferred();
    const { promise } = this.#connecting;
    if (state === "connected") {
      this.#connecting.resolve(this.#welcome);
      this.#connecting = null;
    } else if (state !== "connecting") {
      this.#watch();
      this.#connection.open();
    }
    return promise;
  }

  /** Ends for good. The copies stay as they are; iterators end. */
  close() {
    if (this.status.state === "closed") return;
    this.#unwatch?.();
    this.#connection.rest("closed");
    this.#giveUp(new TeamcastError("closed", "this client was closed"));
    for (const inbox of [...this.#inboxes]) inbox.finish();
  }

  /**
   * Follows teams (ids, "me" for the user's own stream, or "all" for everything, what comes later too), on this and every
   * later connection. Resolves with {positions, refused} once the server has answered; rejects with `not_member` when it refused all.
   */
  subscribe(teams) {
    const keys = checkedTeams(teams);
    this.#assertOpen();
    const asked = keys === "all" ? new Set(["all"]) : keys;
    if (keys === "all") this.#all = true;
    else for (const key of keys) this.#wanted.add(key);
    for (const key of asked) if (this.#asked.get(key) === REFUSED) this.#asked.delete(key);
    const waiter = { ...deferred(), keys: new Set(asked), positions: {}, refused: [] };
    this.#waiters.add(waiter);
    this.#settleKnown(waiter);
    this.#later();
    return waiter.promise;
  }

  /** Follows them no longer, and forgets them. */
  unsubscribe(teams) {
    const keys = checkedTeams(teams);
    this.#assertOpen();
    if (keys === "all") {
      this.#all = false;
      this.#wanted.clear();
    } else if (this.#all) {
      throw new TeamcastError("bad_request", 'after subscribe("all") only unsubscribe("all") ends a subscription');
    } else {
      for (const key of keys) this.#wanted.delete(key);
    }
    for (const key of [...this.#streams.keys()]) if (!this.#wants(key)) this.#drop(key);
    for (const key of [...this.#since.keys()]) if (!this.#wants(key)) this.#since.delete(key);
    const error = new TeamcastError("unsubscribed", "the subscription was ended before the server answered");
    for (const waiter of [...this.#waiters]) {
      if ([...waiter.keys].some((key) => (key === "all" ? !this.#all : !this.#wants(key)))) this.#settle(waiter, error);
    }
    this.#later();
  }

  /**
   * Events, and what happens between them ({type: "gap" | "snapshot" | "joined" | "left"}), from now on, for `for await`.
   * It ends when the client is closed, and throws when the server says stop. At most `capacity` messages wait: then the oldest are
   * dropped, and the next message is {type: "overflow", dropped}.
   */
  events({ capacity = BUFFER, signal } = {}) {
    if (!Number.isInteger(capacity) || capacity < 1) throw new TypeError(`capacity must be an integer from 1 on, not ${capacity}`);
    const abort = () => inbox.finish();
    const inbox = new Inbox(capacity, () => {
      this.#inboxes.delete(inbox);
      signal?.removeEventListener("abort", abort);
    });
    this.#inboxes.add(inbox);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted || this.status.state === "closed") inbox.finish();
    return inbox;
  }

  [Symbol.asyncIterator]() {
    return this.events();
  }

  // --- the connection comes and goes

  #statusChanged(status) {
    if (status.state === "connected") {
      this.#connecting?.resolve(this.#welcome);
      this.#connecting = null;
    } else if (status.state === "stopped") {
      this.#unwatch?.();
      this.#giveUp(status.error);
      for (const inbox of [...this.#inboxes]) inbox.finish(status.error);
    }
    this.#tell("status", status);
    if (status.state === "connected") this.#flush();
  }

  #welcomed(message) {
    this.#welcome = message;
  }

  #lost() {
    this.#allAsked = null;
    this.#asked.clear();
    this.#rejoined.clear();
    this.#parts.clear();
    this.#due.clear();
    this.#unanswered = 0;
    for (const stream of this.#streams.values()) stream.online = stream.onlineTotal = null;
    this.#setDelayed(0);
    this.#judgeSync();
  }

  #giveUp(error) {
    this.#connecting?.reject(error);
    this.#connecting = null;
    for (const waiter of [...this.#waiters]) this.#settle(waiter, error);
  }

  #assertOpen() {
    if (this.status.state === "closed") throw new TeamcastError("closed", "this client is closed: make another");
  }

  /** Notes what happens to the device and the page while the client is in use. */
  #watch() {
    if (this.#unwatch) return;
    const { page, document } = this.#platform;
    const again = () => {
      if (this.status.state === "paused") this.#connection.open();
      else this.#renew();
    };
    const pause = () => {
      if (this.#options.pause && ["connecting", "connected", "reconnecting", "offline"].includes(this.status.state)) this.#connection.rest("paused");
    };
    const watched = [
      [page, "online", () => this.#renew()],
      [page, "offline", () => this.#connection.probe()],
      // A page that is put aside whole keeps no sockets; one that is frozen would only be cut for not reading.
      [page, "pagehide", (event) => event.persisted && pause()],
      [page, "pageshow", (event) => event.persisted && again()],
      [document, "freeze", pause],
      [document, "resume", again],
      [document, "visibilitychange", () => !document.hidden && this.#renew()],
    ].filter(([target]) => typeof target?.addEventListener === "function");
    for (const [target, type, act] of watched) target.addEventListener(type, act);
    this.#unwatch = () => {
      for (const [target, type, act] of watched) target.removeEventListener(type, act);
      this.#unwatch = null;
    };
  }

  /** There is reason to look at once: what stood open across a change of network is often dead without either side knowing. */
  #renew() {
    const { state } = this.status;
    if (state === "reconnecting" || state === "offline") this.#connection.open();
    else if (state === "connected") this.#connection.probe();
  }

  // --- subscriptions: what is wanted is compared with what was asked for, and the difference is sent

  #wants(key) {
    return this.#all || this.#wanted.has(key);
  }

  /** Once for everything that is said in this turn. */
  #later() {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush() {
    // What the pace holds back goes first; then we are called again, and many wishes have become one.
    if (!this.#connection.welcomed || !this.#connection.drained) return;
    this.#unask();
    if (this.#all && this.#allAsked === null) this.#askAll();
    if (!this.#all) this.#askFor([...this.#wanted].filter((key) => !this.#asked.has(key)));
    this.#judgeSync();
  }

  #unask() {
    if (!this.#all && this.#allAsked !== null) {
      this.#connection.command({ type: "unsubscribe", teams: "all" }, () => {});
      this.#allAsked = null;
      this.#asked.clear(); // what is wanted by its name is asked for anew
      return;
    }
    const gone = [...this.#asked].filter(([key]) => !this.#wants(key)).map(([key, stands]) => [key, stands !== REFUSED]);
    for (const [key] of gone) this.#asked.delete(key);
    const told = gone.filter(([, there]) => there).map(([key]) => key);
    for (let at = 0; at < told.length; at += this.#teamsInCommand) {
      this.#connection.command({ type: "unsubscribe", teams: told.slice(at, at + this.#teamsInCommand) }, () => {});
    }
  }

  #positionOf(key) {
    const stream = this.#streams.get(key);
    if (stream) return stream.position ?? undefined;
    return this.#since.get(key);
  }

  #askAll() {
    const keys = new Set([...this.#streams.keys(), ...this.#since.keys()]);
    const since = {};
    const rest = [];
    let bytes = COMMAND_FRAME_BYTES;
    for (const key of keys) {
      const position = this.#positionOf(key);
      if (position === undefined) continue;
      bytes += nameOf(key).length + position.length + 6;
      if (bytes > COMMAND_BYTES) rest.push(key);
      else since[nameOf(key)] = position;
    }
    this.#asked.clear();
    const id = this.#subscribe("all", since, (reply) => {
      if (this.#allAsked !== id) return; // let go since then
      if (!reply.ok) {
        this.#refusedWhole("all", reply.error);
        return;
      }
      this.#allAsked = GRANTED;
      const late = new Set(rest);
      this.#granted(reply, since, [...keys].filter((key) => !late.has(key)), late);
      this.#settleAll(reply, late);
    });
    this.#allAsked = id;
    // More positions than one command takes: these are asked for again by name, and what "all" brings of them is not looked at until then.
    this.#askFor(rest);
  }

  #askFor(keys) {
    for (let at = 0; at < keys.length; ) {
      const chunk = [];
      const since = {};
      let bytes = COMMAND_FRAME_BYTES;
      for (; at < keys.length && chunk.length < this.#teamsInCommand; at += 1) {
        const name = nameOf(keys[at]);
        const position = this.#positionOf(keys[at]);
        bytes += name.length + 3 + (position === undefined ? 0 : name.length + position.length + 6);
        if (bytes > COMMAND_BYTES && chunk.length > 0) break;
        chunk.push(keys[at]);
        if (position !== undefined) since[name] = position;
      }
      const id = this.#subscribe(chunk, since, (reply) => this.#answeredFor(chunk, since, id, reply));
      for (const key of chunk) this.#asked.set(key, id);
    }
  }

  #subscribe(teams, since, answered) {
    const { snapshot, presence } = this.#options;
    this.#unanswered += 1;
    return this.#connection.command({ type: "subscribe", teams, since, snapshot, presence }, (reply) => {
      this.#unanswered -= 1;
      answered(reply);
      this.#judgeSync();
    });
  }

  #answeredFor(chunk, since, id, reply) {
    // Those that were let go, or asked for once more, since then.
    const mine = chunk.filter((key) => this.#asked.get(key) === id);
    if (!reply.ok && reply.error?.code === "limit" && chunk.length > 1) {
      this.#teamsInCommand = Math.ceil(chunk.length / 2);
      for (const key of mine) this.#asked.delete(key);
      if (this.#all) this.#askFor(mine);
      else this.#later();
      return;
    }
    if (!reply.ok && reply.error?.code === "unavailable") {
      this.#connection.fail(reply.error.message);
      return;
    }
    if (!reply.ok && reply.error?.code !== "not_member") {
      this.#refusedWhole(mine, reply.error);
      return;
    }
    for (const key of mine) this.#asked.set(key, GRANTED);
    this.#granted(reply, since, mine, new Set());
    for (const waiter of [...this.#waiters]) {
      for (const key of mine) {
        if (!waiter.keys.delete(key)) continue;
        const position = reply.positions?.[nameOf(key)];
        if (position === undefined) waiter.refused.push(key);
        else waiter.positions[nameOf(key)] = position;
      }
      this.#settleAnswered(waiter);
    }
  }

  /** Takes an answer in: what goes on, what begins, and what of `keys` is not ours. */
  #granted(reply, since, keys, except) {
    const positions = reply.positions ?? {};
    for (const [name, position] of Object.entries(positions)) {
      const key = keyNamed(name);
      if (except.has(key) || !this.#wants(key)) continue;
      const stream = this.#open(key);
      this.#since.delete(key);
      const anew = since[name] !== position;
      if (this.#options.snapshot ? anew || !stream.loaded : anew && since[name] !== undefined) this.#due.add(key);
      if (!this.#options.snapshot && stream.position === null) stream.position = position;
    }
    for (const key of keys) {
      if (nameOf(key) in positions) continue;
      this.#since.delete(key);
      const again = this.#rejoined.delete(key);
      if (this.#all || again) this.#asked.delete(key);
      else this.#asked.set(key, REFUSED);
      if (this.#drop(key)) this.#announce({ type: "left", teamId: key, reason: "refused" });
      // What "all" brought of it while the answer was under way was not looked at; a list brought nothing.
      if (again && this.#all) this.#askFor([key]);
      else if (again) this.#later();
    }
  }

  #refusedWhole(asked, error) {
    const found = new TeamcastError(error?.code ?? "bad_reply", `the server did not subscribe: ${error?.message ?? "it gave no reason"}`);
    this.#tell("error", found);
    const keys = asked === "all" ? ["all"] : asked;
    if (asked !== "all") for (const key of keys) this.#asked.set(key, REFUSED);
    for (const waiter of [...this.#waiters]) if (keys.some((key) => waiter.keys.has(key))) this.#settle(waiter, found);
  }

  #settleAll(reply, late) {
    for (const waiter of [...this.#waiters]) {
      if (waiter.keys.delete("all")) {
        Object.assign(waiter.positions, reply.positions);
        waiter.refused.push(...(reply.refused ?? []));
      }
      for (const key of [...waiter.keys]) {
        if (late.has(key)) continue;
        waiter.keys.delete(key);
        const position = reply.positions?.[nameOf(key)];
        if (position === undefined) waiter.refused.push(key);
        else waiter.positions[nameOf(key)] = position;
      }
      this.#settleAnswered(waiter);
    }
  }

  /** What is subscribed to already needs no answer. */
  #settleKnown(waiter) {
    for (const key of [...waiter.keys]) {
      if ((this.#asked.get(key) ?? this.#allAsked) !== GRANTED) continue;
      waiter.keys.delete(key);
      if (key === "all") Object.assign(waiter.positions, this.positions);
      else if (this.#streams.has(key)) waiter.positions[nameOf(key)] = this.#positionOf(key) ?? "";
      else waiter.refused.push(key);
    }
    this.#settleAnswered(waiter);
  }

  #settleAnswered(waiter) {
    if (waiter.keys.size > 0) return;
    const none = waiter.refused.length > 0 && Object.keys(waiter.positions).length === 0;
    this.#settle(waiter, none ? new TeamcastError("not_member", `none of these is a team of this user: ${waiter.refused.join(", ")}`) : null);
  }

  #settle(waiter, error) {
    this.#waiters.delete(waiter);
    if (error) waiter.reject(error);
    else waiter.resolve({ positions: waiter.positions, refused: waiter.refused });
  }

  // --- what the server says

  #take(message) {
    const { type } = message;
    if (type.includes(".")) this.#takeEvent(message);
    else if (type === "snapshot") this.#takePart(message);
    else if (type === "gap") this.#takeGap(message);
    else if (type === "joined") this.#takeJoined(message);
    else if (type === "left") this.#takeLeft(message);
    else if (type === "presence") this.#takePresence(message);
    else if (type === "delayed") this.#setDelayed(message.seconds);
    else if (type === "error") this.#tell("error", new TeamcastError(message.code, message.message));
    // What a later server says besides is not for us.
  }

  /** Whether what comes of a stream is what we asked for: not of a subscription that was ended, or is about to begin anew. */
  #hears(key) {
    return this.#wants(key) && (this.#asked.get(key) ?? this.#allAsked) === GRANTED;
  }

  #takeEvent(event) {
    const key = keyOf(event);
    if (!this.#hears(key)) return;
    if (!isObject(event.data) || typeof event.position !== "string") {
      this.#tell("error", new TeamcastError("bad_message", `an event of type ${event.type} has no data or no position`));
      return;
    }
    const stream = this.#open(key);
    if (stream.position !== null && !(event.position > stream.position)) return;
    let change = null;
    if (!this.#options.snapshot) {
      stream.position = event.position;
    } else if (stream.loaded) {
      stream.position = event.position;
      change = apply(stream, event);
    } // else the snapshot that is under way has it
    const detail = Object.freeze({ key, event, ...(change ?? { subject: null, id: null, before: null, after: null }) });
    this.#tell("event", detail);
    this.#tell(event.type, detail);
    for (const inbox of this.#inboxes) inbox.push(event);
  }

  #takePart(message) {
    const key = keyOf(message);
    if (!this.#hears(key)) return;
    const { part, parts } = message;
    const before = part === 1 ? [] : this.#parts.get(key);
    if (before?.length !== part - 1 || (part > 1 && before[0].position !== message.position)) {
      this.#parts.delete(key);
      this.#tell("error", new TeamcastError("bad_message", `part ${part} of ${parts} of a snapshot of ${key} came alone`));
      this.#connection.fail("a snapshot came in pieces"); // the position that we hold, if any, is as good as before
      return;
    }
    before.push(message);
    this.#parts.set(key, before);
    if (part < parts) return;
    this.#parts.delete(key);
    const whole = { ...before[0], part: 1, parts: 1 };
    for (const name of ["members", "tasks"]) if (name in whole) whole[name] = before.flatMap((one) => one[name] ?? []);
    const stream = this.#open(key);
    if (this.#options.snapshot) replace(stream, whole);
    else stream.position = whole.position;
    this.#due.delete(key);
    this.#announce(whole);
    this.#judgeSync();
  }

  #takeGap(message) {
    const key = keyOf(message);
    if (!this.#hears(key)) return;
    this.#parts.delete(key);
    this.#open(key);
    this.#due.add(key);
    this.#announce(message);
    this.#judgeSync();
  }

  #takeJoined(message) {
    const key = message.teamId;
    const stands = this.#asked.get(key);
    if (stands === REFUSED) {
      this.#asked.delete(key);
      this.#later();
    } else if (stands > 0) {
      this.#rejoined.add(key);
    }
    this.#announce(message);
  }

  #takeLeft(message) {
    const key = message.teamId;
    this.#rejoined.delete(key);
    if (!this.#hears(key)) return;
    if (this.#asked.has(key)) this.#asked.set(key, REFUSED);
    if (this.#all) this.#asked.delete(key);
    this.#drop(key);
    this.#announce(message);
    this.#judgeSync();
  }

  #takePresence({ teamId, online, joined, left, count, onlineTotal }) {
    if (!this.#hears(teamId)) return;
    const stream = this.#open(teamId);
    if (Array.isArray(online)) {
      stream.online = new Set(online);
    } else if (count !== undefined) {
      stream.online = null;
      stream.onlineTotal = count;
    } else if (stream.online) {
      stream.online = new Set(stream.online);
      for (const userId of joined ?? []) stream.online.add(userId);
      for (const userId of left ?? []) stream.online.delete(userId);
    } else {
      return; // changes of a list that we do not have
    }
    if (stream.online) stream.onlineTotal = stream.online.size;
    this.#tell("presence", { key: teamId, online: stream.online, onlineTotal: stream.onlineTotal, joined: joined ?? [], left: left ?? [] });
  }

  // --- what that means here

  #open(key) {
    let stream = this.#streams.get(key);
    if (!stream) {
      stream = new Stream(key);
      stream.position = this.#options.snapshot ? null : (this.#since.get(key) ?? null);
      this.#streams.set(key, stream);
      if (this.#options.snapshot) this.#due.add(key);
      this.#judgeSync();
    }
    return stream;
  }

  #drop(key) {
    this.#parts.delete(key);
    this.#due.delete(key);
    return this.#streams.delete(key);
  }

  #judgeSync() {
    const { welcomed, drained } = this.#connection;
    const answered = this.#unanswered === 0 && !this.#flushing && drained;
    const synced = welcomed && answered && this.#due.size === 0 && (!this.#all || this.#allAsked === GRANTED);
    if (synced === this.#synced) return;
    this.#synced = synced;
    this.#tell("sync", { synced });
  }

  #setDelayed(seconds) {
    const before = this.#delayed;
    this.#delayed = Number.isFinite(seconds) && seconds > 0 ? seconds : 0;
    if (this.#delayed !== before) this.#tell("delayed", { seconds: this.#delayed });
  }

  /** Tells of what happens to a stream beside its events. */
  #announce(message) {
    this.#tell(message.type, { key: keyOf(message), ...message });
    for (const inbox of this.#inboxes) inbox.push(message);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
