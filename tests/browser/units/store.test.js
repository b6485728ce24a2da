import { Store } from "/board/store.js";
import { again, at, created, event, made, mine, snapshot, turn } from "../sdk/fake.js";
import { equal, ok, test } from "../sdk/harness.js";

/** A board's store whose server is the test; `told` has what it said to its observer. */
function board() {
  const told = [];
  const note = (name) => (...given) => told.push([name, ...given]);
  const observer = Object.fromEntries(["columns", "team", "task", "head", "user", "event", "gap", "synced", "delayed", "status"].map((name) => [name, note(name)]));
  const world = made();
  const store = new Store(7, observer, world.platform);
  store.open();
  return { ...world, store, told, of: (name) => told.filter(([one]) => one === name).map(([, ...given]) => given) };
}

/** The same with team 42 and task 1 at position 10. */
async function shown() {
  const world = board();
  world.socket().welcome();
  await turn();
  world.socket().reply("subscribe", { positions: { 42: at(10), me: at(5) }, refused: [] });
  world.socket().say(snapshot(10, [1]), mine(5));
  world.told.length = 0;
  return world;
}

test("it asks for everything of its user, and for who is online", async () => {
  const { socket, store } = board();
  ok(socket().url.startsWith(location.origin.replace("http", "ws") + "/ws?userId=7"), socket().url);
  socket().welcome();
  await turn();
  const { teams, snapshot: wanted, presence } = socket().sent[0];
  equal([teams, wanted, presence, store.synced, store.streams.size], ["all", true, true, false, 0]);
});

test("it is here when the snapshots are, and knows its user", async () => {
  const { store } = await shown();
  equal([store.synced, [...store.streams.keys()], store.user.username], [true, [42, "me"], "ada"]);
});

test("a card moves when it comes, goes, is done or undone, or is made again, and not otherwise", async () => {
  const { socket, of } = await shown();
  const changes = [
    ["task.updated", { taskId: 1, title: "New" }], ["task.completed", { taskId: 1, completed: true }], ["task.completed", { taskId: 1, completed: true }],
    ["task.created", { taskId: 2 }], ["task.deleted", { taskId: 1 }],
  ];
  changes.forEach(([type, data], index) => socket().say(event(11 + index, type, data)));
  equal(of("task").map(([key, taskId, moved]) => [key, taskId, moved]), [[42, 1, false], [42, 1, true], [42, 1, false], [42, 2, true], [42, 1, true]]);
});

test("an event is told with what was there before it", async () => {
  const { socket, of } = await shown();
  socket().say(event(11, "task.deleted", { taskId: 1 }));
  const [[told, change]] = of("event");
  equal([told.type, change.key, change.before.title, change.after], ["task.deleted", 42, "Task 1", null]);
});

test("teams and users are told as what they are", async () => {
  const { socket, of, store } = await shown();
  socket().say(event(11, "team.updated", { name: "New" }), event(12, "team.member_added", { userId: 8 }), event(6, "user.created", { userId: 7, username: "Augusta" }, { teamId: null }));
  equal([of("team"), of("user").length, store.user.username], [[[42], [42]], 1, "Augusta"]);
});

test("a POST's event is known whether it comes before or after the answer", async () => {
  const { socket, store } = await shown();
  const before = created(11, 2);
  socket().say(before);
  equal(await store.arrived(before.eventId, 1), true);
  const after = created(12, 3);
  const waiting = store.arrived(after.eventId, 2_000);
  socket().say(after);
  equal([await waiting, await store.arrived("never", 1)], [true, false]);
});

test("who waits for an event that a new snapshot contains is told", async () => {
  const world = await shown();
  const waiting = world.store.arrived("while away", 5_000);
  await again(world);
  world.socket().reply("subscribe", { positions: { 42: at(20), me: at(5) }, refused: [] });
  world.socket().say({ type: "gap", teamId: 42, reason: "far" }, snapshot(20, [1, 2]));
  equal([await waiting, world.of("gap"), world.of("synced")], [true, [[42]], [[false], [true]]]);
});

test("one thing at a time is under way for a task", async () => {
  const { store, socket } = await shown();
  equal([store.setPending(42, 1, "task.deleted"), store.setPending(42, 1, "task.completed"), store.pending(42)], [true, false, new Map([[1, "task.deleted"]])]);
  equal([store.setPending(42, 1, null), store.setPending(42, 1, "task.completed"), store.setPending(43, 1, "task.completed")], [true, true, false]);
  socket().say({ type: "left", teamId: 42, reason: "removed" });
  equal([store.pending(42), [...store.streams.keys()]], [undefined, ["me"]]);
});

test("who is online changes the head alone, and a server that is behind is told", async () => {
  const { socket, told } = await shown();
  socket().say({ type: "presence", teamId: 42, online: [7] }, { type: "delayed", seconds: 9 });
  equal(told, [["head", 42], ["delayed", 9]]);
});

test("a closed store tells nothing", async () => {
  const { socket, store, told } = await shown();
  const waiting = store.arrived("never", 5_000);
  store.close();
  socket().say(created(11, 2));
  equal([told, socket().closedWith, await waiting], [[], 1_000, true]);
});
