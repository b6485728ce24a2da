import { Store } from "/board/store.js";
import { equal, ok, settled, test, until } from "./harness.js";

const ME = 7;
const at = (n) => `p${String(n).padStart(4, "0")}`;
let number = 0;
const event = (position, type, data, more = {}) =>
  ({ eventId: `e${(number += 1)}`, type, teamId: 42, actorId: 8, timestamp: `t${position}`, position: at(position), data, ...more });
const created = (position, taskId, more) => event(position, "task.created", { taskId, title: `Task ${taskId}` }, more);
const removed = (position, userId = ME) => event(position, "team.member_removed", { teamId: 42, userId });
const added = (position, userId = ME) => event(position, "team.member_added", { teamId: 42, userId, role: "member" });
const task = (taskId) => ({ taskId, title: `Task ${taskId}`, createdAt: `t${taskId}` });
const user = (...teams) => ({ userId: ME, username: "Ada", teams: teams.map((teamId) => ({ teamId, role: "member" })), tasks: [], position: at(0) });
const snapshot = (position, tasks = [], teamId = 42) =>
  ({ teamId, position: at(position), team: { teamId, name: `Team ${teamId}` }, members: [{ userId: ME, role: "member" }], tasks: tasks.map(task) });

/** A server whose every answer is given by hand: `await server.asked(path)` gives the request's {answer(body), refuse(status), fail()}. */
function fakeServer() {
  const asked = [];
  globalThis.fetch = (path) =>
    new Promise((resolve, reject) => {
      const json = (status, body) => resolve(new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } }));
      asked.push({ path, answer: (body) => json(200, body), refuse: (status) => json(status, { title: `No: ${status}` }), fail: () => reject(new TypeError("net")) });
    });
  return {
    asked: async (path) => {
      await until(() => asked.some((one) => one.path === path), `GET ${path}`);
      return asked.splice(asked.findIndex((one) => one.path === path), 1)[0];
    },
    waiting: () => asked.map((one) => one.path),
  };
}

function made() {
  const server = fakeServer();
  const told = { events: [], trouble: [], synced: [], tasks: [] };
  const store = new Store(ME, {
    columns() {}, team() {}, user() {},
    task: (key, taskId, moved) => told.tasks.push([key, taskId, moved]),
    event: (one) => told.events.push(one.eventId),
    synced: (good) => told.synced.push(good),
    trouble: (text) => told.trouble.push(text),
  });
  return { store, server, told };
}

/** A store whose one team (42) is shown, as of position 10. */
async function shown(tasks = [1]) {
  const all = made();
  const done = all.store.sync();
  (await all.server.asked("/api/users/7")).answer(user(42));
  (await all.server.asked("/api/teams/42")).answer(snapshot(10, tasks));
  await done;
  return all;
}

const ids = (store, key = 42) => [...(store.streams.get(key)?.tasks.keys() ?? [])];
const keys = (store) => [...store.streams.keys()];

test("it starts from the user and the snapshots of their teams", async () => {
  const { store, told } = await shown([1, 2]);
  equal([keys(store), ids(store), store.user.username, told.synced], [["me", 42], [1, 2], "Ada", [true]]);
});

test("events after the snapshot are applied, those that it has are not", async () => {
  const { store } = await shown([1]);
  store.receive(created(9, 2));
  store.receive(created(10, 3));
  store.receive(created(11, 4));
  equal(ids(store), [1, 4]);
});

test("an event that comes between the socket's opening and the snapshot is not lost", async () => {
  const { store, server } = made();
  const done = store.sync();
  store.receive(created(11, 5)); // before even the user's answer
  (await server.asked("/api/users/7")).answer(user(42));
  const team = await server.asked("/api/teams/42");
  store.receive(created(12, 6));
  team.answer(snapshot(11, [5]));
  await done;
  equal(ids(store), [5, 6]);
});

test("an event that the snapshot has already does not count twice", async () => {
  const { store, server, told } = made();
  const done = store.sync();
  (await server.asked("/api/users/7")).answer(user(42));
  const team = await server.asked("/api/teams/42");
  store.receive(event(11, "task.deleted", { taskId: 5 }));
  team.answer(snapshot(12, [5])); // deleted at 11, made again at 12
  await done;
  equal([ids(store), told.tasks], [[5], []]);
});

test("a snapshot older than the event that called for it is asked for again", async () => {
  const { store, server } = await shown();
  store.receive(added(20));
  store.receive({ ...created(21, 9), teamId: 43 });
  (await server.asked("/api/teams/43")).answer(snapshot(20, [], 43));
  const again = await server.asked("/api/teams/43");
  again.answer(snapshot(21, [9], 43));
  await until(() => store.streams.get(43)?.loaded, "team 43");
  equal(ids(store, 43), [9]);
});

test("a team that the user joins is brought with what happens meanwhile", async () => {
  const { store, server } = await shown();
  store.receive({ ...added(30), teamId: 43 });
  store.receive({ ...created(31, 3), teamId: 43 });
  (await server.asked("/api/teams/43")).refuse(404); // the table is a moment behind
  const again = await server.asked("/api/teams/43");
  store.receive({ ...created(32, 4), teamId: 43 });
  again.answer(snapshot(31, [3], 43));
  await until(() => ids(store, 43).length === 2, "both tasks");
  equal(ids(store, 43), [3, 4]);
});

test("a removed member's team goes, and stays gone when its snapshot comes afterwards", async () => {
  const { store, server } = made();
  const done = store.sync();
  (await server.asked("/api/users/7")).answer(user(42));
  const team = await server.asked("/api/teams/42");
  store.receive(removed(11));
  team.answer(snapshot(10, [1]));
  await done;
  equal(keys(store), ["me"]);
});

test("a team that the user left while the list of teams was under way is not shown", async () => {
  const { store, server } = await shown();
  const done = store.sync();
  const list = await server.asked("/api/users/7");
  store.receive(removed(11));
  list.answer(user(42)); // as it was before the removal
  await done;
  equal([keys(store), server.waiting()], [["me"], []]);
});

test("who left and came back while the list of teams was under way sees the team", async () => {
  const { store, server } = await shown();
  const done = store.sync();
  const list = await server.asked("/api/users/7");
  store.receive(removed(11));
  store.receive(added(12));
  (await server.asked("/api/teams/42")).answer(snapshot(12, [1]));
  list.answer(user());
  await done;
  equal([keys(store), ids(store)], [["me", 42], [1]]);
});

test("what came after a team that was joined during a start is not taken back by an older snapshot", async () => {
  const { store, server } = made();
  const done = store.sync();
  const list = await server.asked("/api/users/7");
  store.receive(added(12));
  (await server.asked("/api/teams/42")).answer(snapshot(12, [1]));
  await until(() => ids(store).length === 1, "the team");
  list.answer(user(42));
  await done;
  store.receive(created(13, 2));
  equal([ids(store), server.waiting()], [[1, 2], []]);
});

test("a late deletion that ends this user's membership alone takes the team away", async () => {
  const { store, server } = await shown([1]);
  store.receive(event(11, "team.deleted", { teamId: 42 }, { state: { teamId: 42, name: "Made again" } }));
  (await server.asked("/api/teams/42")).answer({ ...snapshot(11, [2]), members: [{ userId: 8, role: "owner" }] });
  await until(() => keys(store).length === 1, "without the team");
  equal(keys(store), ["me"]);
});

test("a farewell that the snapshot knows to be undone is none", async () => {
  const { store } = await shown();
  store.receive(removed(9));
  equal(keys(store), ["me", 42]);
});

test("other members' removals take nothing away", async () => {
  const { store } = await shown();
  store.receive(removed(11, 8));
  equal(keys(store), ["me", 42]);
});

test("a team that the list no longer has goes at the next start", async () => {
  const { store, server } = await shown();
  const done = store.sync();
  (await server.asked("/api/users/7")).answer(user());
  await done;
  equal(keys(store), ["me"]);
});

test("a loss of the connection in the middle of a start leaves the old picture and starts over", async () => {
  const { store, server, told } = await shown([1]);
  const first = store.sync();
  (await server.asked("/api/users/7")).answer(user(42));
  const old = await server.asked("/api/teams/42");
  store.lost();
  const second = store.sync();
  (await server.asked("/api/users/7")).answer(user(42));
  const fresh = await server.asked("/api/teams/42");
  old.answer(snapshot(11, [1, 2]));
  fresh.answer(snapshot(12, [3]));
  await Promise.all([first, second]);
  equal([ids(store), told.synced], [[3], [true, false, true]]);
});

test("a server that does not answer is asked again, and said after a while", async () => {
  const { store, server, told } = made();
  const done = store.sync();
  (await server.asked("/api/users/7")).fail();
  (await server.asked("/api/users/7")).answer(user(42));
  (await server.asked("/api/teams/42")).refuse(503);
  (await server.asked("/api/teams/42")).answer(snapshot(10, [1]));
  await done;
  equal([ids(store), told.trouble], [[1], []]);
});

test("an unknown user has an empty board", async () => {
  const { store, server } = made();
  const done = store.sync();
  (await server.asked("/api/users/7")).refuse(404);
  await done;
  equal([keys(store), store.user, store.synced], [["me"], null, true]);
  store.receive(created(1, 5, { teamId: null }));
  equal(ids(store, "me"), [5]);
});

test("a late creation of a team brings a new snapshot, and what comes meanwhile waits for it", async () => {
  const { store, server } = await shown([1]);
  store.receive(event(11, "team.created", { teamId: 42, name: "Old" }, { state: { teamId: 42, name: "New" } }));
  store.receive(created(12, 2));
  store.receive(created(13, 3));
  equal(ids(store), [1]);
  (await server.asked("/api/teams/42")).answer(snapshot(12, [1, 2]));
  await until(() => ids(store).length === 3, "the third task");
  equal(ids(store), [1, 2, 3]);
});

test("two events that each call for a snapshot end with a picture of the second", async () => {
  const { store, server } = await shown([1]);
  const late = (position) => event(position, "team.deleted", { teamId: 42 }, { state: { teamId: 42 } });
  store.receive(late(11));
  store.receive(late(12));
  store.receive(created(13, 2));
  (await server.asked("/api/teams/42")).answer(snapshot(11, [1]));
  (await server.asked("/api/teams/42")).answer(snapshot(12, []));
  await until(() => ids(store).includes(2), "the task");
  equal(ids(store), [2]);
});

test("a POST's event is known whether it comes before or after the answer", async () => {
  const { store } = await shown();
  const before = created(11, 2);
  store.receive(before);
  equal(await store.arrived(before.eventId, 1), true);
  const after = created(12, 3);
  const waiting = store.arrived(after.eventId, 2_000);
  store.receive(after);
  equal([await waiting, await store.arrived("never", 1)], [true, false]);
});

test("who waits for an event that the new snapshots contain is told after a reconnect", async () => {
  const { store, server } = await shown();
  const waiting = store.arrived("while away", 5_000);
  store.lost();
  const done = store.sync();
  (await server.asked("/api/users/7")).answer(user(42));
  (await server.asked("/api/teams/42")).answer(snapshot(20, [1, 2]));
  await done;
  equal(await waiting, true);
});

test("an event is told to the feed once", async () => {
  const { store, told } = await shown();
  const twice = created(11, 2);
  store.receive(twice);
  store.receive(twice);
  equal(told.events, [twice.eventId]);
});

test("personal events wait for the user's answer", async () => {
  const { store, server } = made();
  const done = store.sync();
  store.receive(created(1, 5, { teamId: null }));
  store.receive(event(2, "user.created", { userId: ME, username: "Augusta" }, { teamId: null }));
  equal(ids(store, "me"), []);
  (await server.asked("/api/users/7")).answer({ ...user(), position: at(0) });
  await done;
  equal([ids(store, "me"), store.user.username], [[5], "Augusta"]);
});

test("a closed store asks for nothing more and tells nothing", async () => {
  const { store, server, told } = made();
  store.sync();
  const list = await server.asked("/api/users/7");
  store.close();
  list.answer(user(42));
  await settled();
  equal([server.waiting(), told.synced], [[], []]);
  ok(store.streams.size === 0, "streams");
});
