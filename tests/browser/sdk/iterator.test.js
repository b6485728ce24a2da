import { created, at, event, following, made, snapshot, turn } from "./fake.js";
import { equal, test } from "./harness.js";

const what = (message) => (message.type.includes(".") ? message.position : message.type);
/** Everything that an iterator gives, as it comes, until it ends. */
function reading(messages) {
  const found = [];
  const done = (async () => {
    for await (const message of messages) found.push(message);
  })();
  return { found, done };
}

test("it gives everything that happens to a team, in order", async () => {
  const { client, socket } = await following([1]);
  const { found, done } = reading(client);
  socket().say(created(11, 2), created(11, 2), { type: "gap", teamId: 42, reason: "far" }, snapshot(20, [3], { parts: 2 }), snapshot(20, [4], { part: 2, parts: 2 }));
  socket().say(event(21, "team.member_removed", { userId: 7 }), { type: "left", teamId: 42, reason: "removed" }, { type: "joined", teamId: 42 }, { type: "delayed", seconds: 9 });
  await turn();
  equal(found.map(what), [at(11), "gap", "snapshot", at(21), "left", "joined"]);
  equal(found[2].tasks.map((task) => task.taskId), [3, 4]);
  client.close();
  await done;
});

test("what came before it is not given, what comes while nobody reads is", async () => {
  const { client, socket } = await following([1]);
  socket().say(created(11, 2));
  const messages = client.events();
  socket().say(created(12, 3), created(13, 4));
  equal([what((await messages.next()).value), what((await messages.next()).value)], [at(12), at(13)]);
});

test("a reader that is too slow loses the oldest, and is told how many first", async () => {
  const { client, socket } = await following([1]);
  const messages = client.events({ capacity: 3 });
  for (let n = 11; n < 21; n += 1) socket().say(created(n, n));
  equal((await messages.next()).value, { type: "overflow", dropped: 7 });
  equal(what((await messages.next()).value), at(18));
  socket().say(created(21, 21), created(22, 22));
  const rest = [];
  for (let count = 0; count < 4; count += 1) rest.push((await messages.next()).value);
  equal(rest.map((message) => message.dropped ?? what(message)), [1, at(20), at(21), at(22)]);
});

test("each reader has what is theirs", async () => {
  const { client, socket } = await following([1]);
  const slow = client.events({ capacity: 1 });
  const quick = reading(client.events());
  socket().say(created(11, 2), created(12, 3));
  await turn();
  equal([quick.found.length, (await slow.next()).value.dropped], [2, 1]);
});

test("several who wait are served in turn", async () => {
  const { client, socket } = await following([1]);
  const messages = client.events();
  const waiting = Promise.all([messages.next(), messages.next()]);
  socket().say(created(11, 2), created(12, 3));
  equal((await waiting).map(({ value }) => what(value)), [at(11), at(12)]);
});

test("a loss of the connection does not end it", async () => {
  const world = await following([1]);
  const { found } = reading(world.client);
  world.socket().lose(1006);
  await world.clock.pass(1_000);
  world.socket().welcome();
  await turn();
  world.socket().reply("subscribe", { positions: { 42: at(10), me: at(5) }, refused: [] });
  world.socket().say(created(11, 2));
  await turn();
  equal(found.map(what), [at(11)]);
});

test("it ends when the client is closed, behind what waits", async () => {
  const { client, socket } = await following([1]);
  const messages = client.events();
  socket().say(created(11, 2));
  client.close();
  const { found, done } = reading(messages);
  await done;
  equal([found.length, (await client.events().next()).done], [1, true]);
});

test("it throws when the server says stop, once", async () => {
  const { client, socket } = await following([1]);
  const messages = client.events();
  const { done } = reading(messages);
  socket().lose(4502);
  equal(await done.catch((error) => error.code), "disconnected");
  equal((await messages.next()).done, true);
});

test("a reader that breaks off, or is told to, is forgotten", async () => {
  const { client, socket } = await following([1]);
  const abort = new AbortController();
  const aborted = reading(client.events({ signal: abort.signal }));
  socket().say(created(11, 2));
  const broken = client.events();
  socket().say(created(12, 3));
  for await (const message of broken) if (what(message) === at(12)) break;
  abort.abort();
  await aborted.done;
  socket().say(created(13, 4));
  equal([aborted.found.map(what), (await broken.next()).done], [[at(11), at(12)], true]);
  equal((await client.events({ signal: abort.signal }).next()).done, true);
});

test("a capacity is a whole number from 1 on", () => {
  const { client } = made();
  for (const capacity of [0, -1, 1.5, "9", NaN, Infinity]) {
    let error = null;
    try {
      client.events({ capacity });
    } catch (one) {
      error = one;
    }
    equal(error instanceof TypeError, true, String(capacity));
  }
});
