import { Teamcast, TeamcastError, backoff, expiryOf } from "/sdk/teamcast.js";
import { again, connected, jwt, made, turn } from "./fake.js";
import { equal, ok, test } from "./harness.js";

const states = (world) => world.told("status").map((status) => status.state);
const fails = (run) => {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
};

test("the wait before another try is anything up to a step that doubles, and never over half a minute", () => {
  equal([0, 1, 2, 3, 10, 99].map((attempt) => backoff(attempt, () => 1)), [500, 1_000, 2_000, 4_000, 30_000, 30_000]);
  equal([backoff(5, () => 0), backoff(3, () => 0.5)], [0, 2_000]);
});

test("it asks the server for its user, in rich mode", () => {
  const { client, socket } = made({ url: "ws://here/ws?x=1" });
  client.connect();
  equal([socket().url, socket().protocols], ["ws://here/ws?x=1&userId=7", ["teamcast.v1"]]);
});

test("an address may be written as people write it", () => {
  const given = ["https://here", "http://here/", "wss://here/live/ws", "ws://here/ws#top", new URL("https://here/ws"), "/ws"];
  const dialled = given.map((url) => {
    const { client, socket } = made({ url });
    client.connect();
    return socket().url.replace("?userId=7", "");
  });
  equal(dialled.slice(0, 5), ["wss://here/ws", "ws://here/ws", "wss://here/live/ws", "ws://here/ws", "wss://here/ws"]);
  equal(dialled[5], `ws://${location.host}/ws`);
});

test("what a developer got wrong is said at once, and how to do it", () => {
  const wrong = [
    [{}, "either token"], [{ userId: 7, token: async () => "" }, "either token"], [{ token: "ey" }, "function"], [{ userId: "7" }, "userId"], [{ userId: 0 }, "userId"],
    [{ userId: 2 ** 53 }, "userId"], [{ userId: 7, url: "ftp://here" }, "ws, wss"], [{ userId: 7, url: "http://" }, "address"], [{ userId: 7, auth: "cookie" }, "auth"],
    [{ userId: 7, snapshot: 1 }, "snapshot"], [{ userId: 7, since: { 42: "p" } }, "snapshot: false"], [{ userId: 7, snapshot: false, since: { x: "p" } }, "since"],
    [{ userId: 7, snapshot: false, since: { 42: 1 } }, "since"], [{ userId: 7, platform: { WebSocket: undefined } }, "Node"],
  ];
  for (const [options, words] of wrong) {
    const error = fails(() => new Teamcast(options));
    ok(error instanceof TypeError && error.message.includes(words), `${JSON.stringify(options)}: ${error.message}`);
  }
  const { client } = made();
  for (const teams of [[], [0], ["42"], [1.5], [null], "everything", undefined]) ok(fails(() => client.subscribe(teams)) instanceof TypeError, JSON.stringify(teams));
});

test("connecting resolves with the welcome", async () => {
  const world = made();
  const done = world.client.connect();
  equal(world.client.status.state, "connecting");
  world.socket().welcome();
  const welcome = await done;
  equal([welcome.userId, welcome.teams, world.client.userId, states(world)], [7, [42], 7, ["connecting", "connected"]]);
  equal(await world.client.connect(), welcome);
  equal(world.sockets.length, 1);
});

test("codes that mean stop stop, all others try again", async () => {
  const names = { 4501: "unauthenticated", 4502: "disconnected", 4503: "protocol_violation", 4504: "limit", 4599: "stopped" };
  for (const code of [4501, 4502, 4503, 4504, 4599, 1000, 1001, 1002, 1003, 1006, 1007, 1009, 1011, 4001, 4004, 4005, 4006, 4499]) {
    const world = made();
    const done = world.client.connect();
    world.socket().accept();
    world.socket().lose(code, "the server's words");
    const { status } = world.client;
    equal(status.state, code in names ? "stopped" : "reconnecting", String(code));
    ok(status.code === code && status.reason, `a reason for ${code}`);
    ok((status.state === "stopped") === (status.retryAt === undefined), `a time for ${code}`);
    await world.clock.pass(600_000);
    equal(world.sockets.length > 1, !(code in names), String(code));
    if (code in names) {
      const error = await done.catch((one) => one);
      equal([error instanceof TeamcastError, error.code, world.clock.waiting], [true, names[code], 0]);
    }
  }
});

test("a loss without a code is one of the network", () => {
  const world = made();
  world.client.connect();
  world.socket().lose(0);
  equal([world.client.status.state, world.client.status.code], ["reconnecting", 1006]);
});

test("after a stop it connects when told to", async () => {
  const world = made();
  world.client.connect();
  world.socket().lose(4504);
  const done = world.client.connect();
  world.socket().welcome();
  equal([(await done).userId, states(world)], [7, ["connecting", "stopped", "connecting", "connected"]]);
});

test("a loss is followed by longer and longer waits, a good connection by a short one", async () => {
  const world = made({}, { random: () => 1 });
  world.client.connect();
  const waits = [];
  const lose = async () => {
    const { now } = world.clock;
    world.socket().lose(1006);
    waits.push(world.client.status.retryAt - now);
    await world.clock.pass(waits.at(-1));
  };
  for (let count = 0; count < 8; count += 1) await lose();
  equal(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  world.socket().welcome();
  await world.clock.pass(9_000);
  await lose();
  world.socket().welcome();
  await world.clock.pass(10_000);
  await lose();
  equal(waits.slice(8), [30_000, 500]);
});

test("a server that says nothing for half a minute is tried again", async () => {
  const world = made();
  world.client.connect();
  world.socket().accept();
  await world.clock.pass(29_999);
  equal([world.sockets.length, world.client.status.state], [1, "connecting"]);
  await world.clock.pass(1_000);
  equal([world.sockets.length, world.sockets[0].closedWith], [2, 1_000]);
});

test("a server of another protocol stops it", async () => {
  const world = made();
  const done = world.client.connect();
  world.socket().accept("graphql-ws");
  equal((await done.catch((error) => error)).code, "bad_protocol");
  ok(world.client.status.reason.includes("graphql-ws"), world.client.status.reason);
});

test("a socket that was given up is not listened to any more", async () => {
  const world = await connected();
  const [first] = world.sockets;
  first.lose(1006);
  world.client.connect();
  first.say({ type: "welcome", userId: 9 });
  first.lose(4501);
  world.socket().welcome();
  equal([world.client.status.state, world.client.userId], ["connected", 7]);
});

test("nonsense is told, and nothing else happens", async () => {
  const world = await connected();
  for (const text of ["{", "null", "7", "[]", '{"type":1}', '{"type":"later","x":1}', '{"type":"pong","id":99}', '{"type":"reply","id":99,"ok":true}']) world.socket().raw(text);
  equal([world.errors(), world.client.status.state], [Array(5).fill("bad_message"), "connected"]);
});

test("closed is closed", async () => {
  const world = await connected();
  world.client.close();
  world.socket().lose(1000);
  world.page.dispatchEvent(new Event("online"));
  world.document.dispatchEvent(new Event("resume"));
  await world.clock.pass(100_000);
  equal([world.client.status.state, world.sockets.length, world.socket().closedWith, world.clock.waiting], ["closed", 1, 1_000, 0]);
  for (const act of ["connect", "subscribe", "unsubscribe"]) equal(fails(() => world.client[act]("all")).code, "closed", act);
  world.client.close();
});

test("closing while it connects rejects who waits", async () => {
  const world = made();
  const done = world.client.connect();
  world.client.close();
  equal((await done.catch((error) => error)).code, "closed");
});

// --- tokens

test("a token goes with the handshake, fresh for each", async () => {
  const reasons = [];
  const world = made({ token: async ({ reason }) => `t.${reasons.push(reason)}.x` });
  world.client.connect();
  await turn();
  equal([world.socket().url, world.socket().protocols], ["ws://here/ws", ["teamcast.v1", "bearer.t.1.x"]]);
  world.socket().welcome();
  await again(world);
  await again(world, 4005);
  equal([world.socket().protocols[1], reasons], ["bearer.t.3.x", ["connect", "connect", "expired"]]);
});

test("a token may go into the auth command instead, before anything else", async () => {
  const world = made({ token: () => "t.1.x", auth: "command" });
  world.client.connect();
  world.client.subscribe([42]);
  await turn();
  equal(world.socket().protocols, ["teamcast.v1"]);
  world.socket().accept();
  await turn();
  equal(world.socket().sent, [{ id: 1, type: "auth", token: "t.1.x" }]);
  world.socket().say({ type: "welcome", userId: 7, teams: [42], heartbeat: 25, version: "1", session: "s" });
  world.socket().reply("auth");
  await turn();
  equal(world.socket().sent.map((command) => command.type), ["auth", "subscribe"]);
});

test("an auth command that is refused is told, and the close code stops it", async () => {
  const world = made({ token: () => "t.1.x", auth: "command" });
  world.client.connect();
  await turn();
  world.socket().accept();
  world.socket().refuse("auth", "bad_token");
  world.socket().lose(4501);
  equal([world.errors(), world.client.status.state], [["bad_token"], "stopped"]);
});

test("a token callback that fails is asked again", async () => {
  let count = 0;
  const world = made({ token: () => { if ((count += 1) < 3) throw new Error("offline"); return "t.1.x"; } });
  world.client.connect();
  await world.clock.pass(5_000);
  equal([count, world.sockets.length, world.errors()], [3, 1, ["token_failed", "token_failed"]]);
  ok(world.told("error")[0].message.includes("offline"), "the reason");
});

test("a token callback that never answers is given up after half a minute", async () => {
  const world = made({ token: () => new Promise(() => {}) });
  world.client.connect();
  await world.clock.pass(29_000);
  equal(world.client.status.state, "connecting");
  await world.clock.pass(1_001);
  ok(world.sockets.length === 0 && world.told("status").some((status) => status.state === "reconnecting"), "given up");
});

test("no token, or what is none, stops it", async () => {
  for (const nothing of ["", null, undefined, 7, "a b", "a,b", "ä"]) {
    const world = made({ token: async () => nothing });
    const done = world.client.connect();
    equal([(await done.catch((error) => error)).code, world.client.status.state, world.sockets.length], ["no_token", "stopped", 0], String(nothing));
  }
});

test("a token that comes when it is no longer waited for opens nothing", async () => {
  const given = [];
  const world = made({ token: () => new Promise((resolve) => given.push(resolve)) });
  world.client.connect();
  world.client.close();
  given[0]("t.1.x");
  await turn();
  equal(world.sockets.length, 0);
});

test("the expiry is read where there is one", () => {
  equal([expiryOf(jwt(5_000)), expiryOf("a.b.c"), expiryOf("opaque"), expiryOf(`a.${btoa('{"sub":"7"}')}.c`)], [5_000, null, null, null]);
});

test("a token is renewed before it expires, and so is the next", async () => {
  let lifetime = 600_000;
  const world = made({ token: () => jwt(world.clock.now + lifetime) }, { random: () => 0 });
  world.client.connect();
  await turn();
  const socket = world.socket();
  socket.welcome();
  const keep = setTalking(world);
  await world.clock.pass(539_000);
  equal(socket.commands("refresh").length, 0);
  lifetime = 90_000;
  await world.clock.pass(1_000);
  equal(socket.commands("refresh").length, 1);
  socket.reply("refresh");
  await world.clock.pass(59_000);
  equal(socket.commands("refresh").length, 1);
  await world.clock.pass(1_000);
  equal([socket.commands("refresh").length, world.sockets.length], [2, 1]);
  keep();
});

/** A server that says something every ten seconds, so that no ping is due. */
function setTalking(world) {
  let timer = null;
  const talk = () => {
    world.socket().say({ type: "later" });
    timer = world.clock.setTimeout(talk, 10_000);
  };
  talk();
  return () => world.clock.clearTimeout(timer);
}

test("a refresh that is refused, fails, or brings the old token is tried again, and not at once", async () => {
  const given = ["old", "old", "other", "fresh"];
  let calls = 0;
  let expiresAt = null;
  const world = made({
    token: () => {
      const name = given[calls++];
      expiresAt ??= world.clock.now + 90_000;
      if (name === undefined) throw new Error("gone");
      return jwt(name === "fresh" ? expiresAt + 600_000 : expiresAt, name);
    },
  }, { random: () => 0 });
  world.client.connect();
  await turn();
  const socket = world.socket();
  socket.welcome();
  const keep = setTalking(world);
  await world.clock.pass(60_000);
  equal([calls, socket.commands("refresh").length], [2, 0]);
  await world.clock.pass(25_000);
  equal([calls, socket.commands("refresh").length], [3, 1]);
  socket.refuse("refresh", "bad_token");
  await world.clock.pass(25_000);
  socket.reply("refresh");
  await world.clock.pass(400_000);
  equal([calls, socket.commands("refresh").length, world.errors(), world.sockets.length], [4, 2, ["bad_token"], 1]);
  keep();
});

/** How often a client asks for a token in 20 minutes; each is good for five, by a server whose clock is `ahead` of the client's. */
async function asks(ahead, more) {
  let calls = 0;
  const token = () => {
    calls += 1;
    const issuedAt = world.clock.now + ahead;
    return jwt(issuedAt + 300_000, `n${calls}`, more(issuedAt / 1_000));
  };
  const world = made({ token }, { random: () => 0 });
  world.client.connect();
  await turn();
  const socket = world.socket();
  socket.welcome();
  for (let step = 0; step < 60; step += 1) {
    const before = socket.commands("refresh").length;
    await world.clock.pass(20_000);
    if (socket.commands("refresh").length > before) socket.reply("refresh");
    else socket.say({ type: "later" });
  }
  equal([world.sockets.length, world.errors()], [1, []]);
  return calls;
}

test("a device whose clock is wrong renews its tokens in time, and no more often", async () => {
  for (const ahead of [0, 600_000, -600_000]) equal(await asks(ahead, (iat) => ({ iat })), 6, `${ahead}`);
});

test("a clock that is ahead, and tokens that do not say since when they are good, make no storm", async () => {
  const calls = await asks(-600_000, () => ({}));
  ok(calls < 12, `asked ${calls} times`);
});

test("nothing waits any more behind a client that is closed while it asks for a token", async () => {
  const world = made({ token: () => new Promise(() => {}) });
  world.client.connect();
  await turn();
  world.client.close();
  equal(world.clock.waiting, 0);
});

test("a client that was stopped holds on to no page, and one that connects again does", async () => {
  const world = made();
  let held = 0;
  for (const target of [world.page, world.document]) {
    const { addEventListener, removeEventListener } = target;
    target.addEventListener = (...given) => { held += 1; addEventListener.apply(target, given); };
    target.removeEventListener = (...given) => { held -= 1; removeEventListener.apply(target, given); };
  }
  world.client.connect();
  const watching = held;
  world.socket().lose(4502);
  equal([watching > 0, held], [true, 0]);
  world.client.connect();
  equal(held, watching);
  world.client.close();
  equal(held, 0);
});

test("a newer token that comes when its connection is gone is not sent on the next one", async () => {
  let give = null;
  const world = made({ token: ({ reason }) => (reason === "refresh" ? new Promise((resolve) => { give = resolve; }) : jwt(world.clock.now + 9_000)) });
  world.client.connect();
  await turn();
  world.socket().welcome();
  await world.clock.pass(7_000);
  world.socket().lose(1006);
  await world.clock.pass(1_000);
  world.socket().welcome();
  give("a.newer.one");
  await turn();
  equal([world.sockets.length, world.socket().commands("refresh")], [2, []]);
});

test("a token of another user stops it, because what is here is the first one's", async () => {
  const world = await connected();
  world.socket().lose(1006);
  await world.clock.pass(1_000);
  world.socket().welcome({ userId: 8 });
  equal([world.client.status.state, world.client.status.error.code, world.client.userId], ["stopped", "wrong_user", 7]);
});

// --- is the server still there?

test("a silent server is pinged, and kept when it answers", async () => {
  const world = await connected();
  const socket = world.socket();
  socket.reply("subscribe", { positions: {}, refused: [] });
  await world.clock.pass(24_999);
  equal(socket.commands("ping").length, 0);
  await world.clock.pass(1);
  equal(socket.commands("ping").length, 1);
  socket.say({ type: "pong", id: socket.commands("ping")[0].id });
  await world.clock.pass(10_000);
  equal([world.sockets.length, world.client.status.state], [1, "connected"]);
  await world.clock.pass(25_000);
  equal(socket.commands("ping").length, 2);
});

test("a server that does not answer a ping within ten seconds is left", async () => {
  const world = await connected(null);
  await world.clock.pass(34_999);
  equal(world.client.status.state, "connected");
  await world.clock.pass(1);
  equal([world.client.status.state, world.client.status.reason, world.sockets[0].closedWith], ["reconnecting", "the server does not answer", 1_000]);
});

test("whatever comes counts as an answer, and a talking server is not pinged", async () => {
  const world = await connected(null);
  const keep = setTalking(world);
  await world.clock.pass(300_000);
  equal([world.socket().commands("ping").length, world.sockets.length], [0, 1]);
  keep();
});

test("the server's own beat is taken over", async () => {
  const world = made();
  world.client.connect();
  world.socket().welcome({ heartbeat: 5 });
  await world.clock.pass(5_000);
  equal(world.socket().commands("ping").length, 1);
});

test("a page that was held up waits for what may lie before it", async () => {
  const world = await connected(null);
  await world.clock.pass(25_000);
  world.clock.sleep(60_000);
  await world.clock.pass(500);
  equal(world.client.status.state, "connected");
  world.socket().say({ type: "pong", id: 1 });
  await world.clock.pass(1_000);
  equal([world.client.status.state, world.sockets.length], ["connected", 1]);
});

test("a page that is seen again, or a device with another network, makes sure within five seconds", async () => {
  for (const [where, type] of [["document", "visibilitychange"], ["page", "online"], ["page", "offline"]]) {
    const world = await connected(null);
    world[where].dispatchEvent(new Event(type));
    equal(world.socket().commands("ping").length, 1, type);
    await world.clock.pass(5_000);
    equal(world.client.status.state, "reconnecting", type);
  }
});

test("a page that is hidden asks nothing", async () => {
  const world = await connected(null);
  world.document.hidden = true;
  world.document.dispatchEvent(new Event("visibilitychange"));
  equal(world.socket().sent, []);
});

test("a network that comes back is used at once", async () => {
  const world = await connected();
  world.device.online = false;
  world.socket().lose(1006);
  equal(world.client.status.state, "offline");
  world.device.online = true;
  world.page.dispatchEvent(new Event("online"));
  equal([world.sockets.length, world.client.status.state], [2, "connecting"]);
});

test("a stopped client is not woken by anything but its owner", async () => {
  const world = await connected();
  world.socket().lose(4502);
  world.page.dispatchEvent(new Event("online"));
  world.document.dispatchEvent(new Event("visibilitychange"));
  world.document.dispatchEvent(new Event("freeze"));
  world.document.dispatchEvent(new Event("resume"));
  equal([world.sockets.length, world.client.status.state], [1, "stopped"]);
});

test("a frozen page lets go, and comes back when it goes on", async () => {
  const put = (type, persisted) => Object.assign(new Event(type), { persisted });
  for (const [where, down, up] of [["document", new Event("freeze"), new Event("resume")], ["page", put("pagehide", true), put("pageshow", true)]]) {
    const world = await connected();
    world[where].dispatchEvent(down);
    equal([world.client.status.state, world.socket().closedWith, world.clock.waiting], ["paused", 1_000, 0], down.type);
    world.page.dispatchEvent(new Event("online"));
    equal(world.sockets.length, 1);
    world[where].dispatchEvent(up);
    world.socket().welcome();
    equal([world.sockets.length, world.client.status.state], [2, "connected"], up.type);
  }
});

test("a page that goes for good, or a client that shall not pause, keeps its socket", async () => {
  const leaving = await connected();
  leaving.page.dispatchEvent(new Event("pagehide"));
  const staying = await connected("all", { pause: false });
  staying.document.dispatchEvent(new Event("freeze"));
  equal([leaving.client.status.state, staying.client.status.state], ["connected", "connected"]);
});

// --- commands

test("a command that gets no answer within 45 seconds ends the connection", async () => {
  const world = await connected();
  const keep = setTalking(world);
  await world.clock.pass(44_999);
  equal(world.client.status.state, "connected");
  await world.clock.pass(1);
  equal([world.client.status.state, world.client.status.reason], ["reconnecting", "no answer to subscribe within 45 s"]);
  keep();
});

test("commands keep below the server's pace, and what is wanted in the end is what is asked for", async () => {
  const world = await connected(null);
  const socket = world.socket();
  for (let count = 0; count < 200; count += 1) {
    world.client.subscribe([count + 1]);
    await turn();
    world.client.unsubscribe([count + 1]);
    await turn();
  }
  world.client.subscribe([500]);
  await turn();
  ok(socket.sent.length <= 50, `${socket.sent.length} at once`);
  await world.clock.pass(2_000);
  ok(socket.sent.length <= 100, `${socket.sent.length} after two seconds`);
  const standing = new Set();
  for (const { type, teams } of socket.sent) for (const team of teams ?? []) type === "subscribe" ? standing.add(team) : standing.delete(team);
  equal([...standing], [500]);
});
