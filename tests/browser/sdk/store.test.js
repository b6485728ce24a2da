import { Stream, apply, replace } from "/sdk/teamcast.js";
import { AT, again, at, connected, created, event, following, ids, made, mine, snapshot, task, turn } from "./fake.js";
import { equal, ok, test } from "./harness.js";

const LATER = "2026-11-23T11:00:00.000000Z";
const stream = (tasks = [], members = [[7, "owner"]]) => {
  const made = new Stream(42);
  replace(made, {
    position: at(1), tasks, members: members.map(([userId, role]) => ({ userId, role })),
    team: { teamId: 42, name: "Payments", description: "Money", ownerId: 7, updatedAt: AT },
  });
  return made;
};
const one = (type, data, more = {}) => event(2, type, data, more);
const roles = (s) => [...s.members.values()].map(({ userId, role }) => [userId, role]);

// --- one event

test("a task is created whole, with its time", () => {
  const s = stream();
  const change = apply(s, one("task.created", { taskId: 1, title: "A", completed: false, creatorId: 7, colour: "green" }));
  const after = { taskId: 1, title: "A", description: null, completed: false, priority: null, due: null, creatorId: 7, assigneeId: null, createdAt: AT, colour: "green", updatedAt: AT };
  equal(s.tasks.get(1), after);
  equal(change, { subject: "task", id: 1, before: null, after });
});

test("an update changes what it names and nothing else, and leaves the old task as it was", () => {
  const before = { ...task(1), description: "d", colour: "green" };
  const s = stream([before]);
  const change = apply(s, one("task.updated", { taskId: 1, title: "B", description: null }, { timestamp: LATER }));
  equal(s.tasks.get(1), { ...before, title: "B", description: null, updatedAt: LATER });
  equal([before.title, change.before === before], ["Task 1", true]);
});

test("an update of a task that is not here shows it", () => {
  const s = stream();
  apply(s, one("task.completed", { taskId: 1, completed: true }));
  equal([s.tasks.get(1).completed, s.tasks.get(1).createdAt], [true, null]);
});

test("a deleted task is gone, twice as well", () => {
  const s = stream([task(1)]);
  apply(s, one("task.deleted", { taskId: 1 }));
  equal(apply(s, one("task.deleted", { taskId: 1 })), { subject: "task", id: 1, before: null, after: null });
  equal(s.tasks.size, 0);
});

test("a state stands in place of the data, whatever the event's type", () => {
  const state = { ...task(1), title: "New" };
  for (const type of ["task.created", "task.updated", "task.completed", "task.deleted"]) {
    const there = stream([task(1)]);
    apply(there, one(type, { taskId: 1, title: "Old" }, { state }));
    equal(there.tasks.get(1), state, type);
    apply(there, one(type, { taskId: 1, title: "Old" }, { state: null }));
    equal(there.tasks.size, 0, type);
  }
});

test("members come, change and go, and a state stands in place of each", () => {
  const s = stream();
  apply(s, one("team.member_added", { userId: 8, role: "lead" }));
  apply(s, one("team.member_added", { userId: 9 }));
  equal(apply(s, one("team.member_role_updated", { userId: 9, role: "admin" })).before, { userId: 9, role: "member" });
  apply(s, one("team.member_removed", { userId: 8 }));
  equal(roles(s), [[7, "owner"], [9, "admin"]]);
  apply(s, one("team.member_removed", { userId: 9 }, { state: { userId: 9, role: "guest" } }));
  apply(s, one("team.member_role_updated", { userId: 10, role: "admin" }, { state: null }));
  equal(roles(s), [[7, "owner"], [9, "guest"]]);
});

test("a team's fields change one by one", () => {
  const s = stream();
  apply(s, one("team.updated", { name: "Billing", colour: "green" }, { timestamp: LATER }));
  equal(s.team, { teamId: 42, name: "Billing", description: "Money", ownerId: 7, updatedAt: LATER });
  apply(s, one("team.updated", {}, { state: { teamId: 42, name: "Now" } }));
  equal(s.team, { teamId: 42, name: "Now" });
});

test("who makes a team owns it; without an owner its actor does", () => {
  for (const [ownerId, owner] of [[9, 9], [null, 8], [undefined, 8]]) {
    const s = new Stream(42);
    apply(s, one("team.created", { name: "N", ...(ownerId === undefined ? {} : { ownerId }) }));
    equal([roles(s), s.team], [[[owner, "owner"]], { teamId: 42, name: "N", description: null, ownerId: ownerId ?? null, updatedAt: AT }]);
  }
});

test("a deleted team has nothing left, unless its state says that it lives on", () => {
  for (const more of [{}, { state: null }]) {
    const s = stream([task(1)]);
    equal(apply(s, one("team.deleted", {}, more)).after, null);
    equal([s.team, s.members.size, s.tasks.size], [null, 0, 0]);
  }
  const s = stream([task(1)]);
  apply(s, one("team.deleted", {}, { state: { teamId: 42, name: "Again" } }));
  equal([s.team.name, s.members.size, s.tasks.size], ["Again", 1, 1]);
});

test("a user's fields change one by one", () => {
  const s = new Stream("me");
  apply(s, one("user.created", { userId: 7, username: "ada" }));
  equal(s.user, { userId: 7, username: "ada", email: null });
  apply(s, one("user.created", { userId: 7, email: "a@example.org" }));
  equal(s.user, { userId: 7, username: "ada", email: "a@example.org" });
});

test("types of a later server change nothing", () => {
  const s = stream([task(1)]);
  for (const type of ["comment.created", "task.archived", "team.member_invited"]) equal(apply(s, one(type, { taskId: 1, userId: 7 })), null, type);
  equal([s.tasks.size, s.members.size], [1, 1]);
});

test("a producer's strange names are names, and nothing more", () => {
  const s = stream();
  apply(s, one("task.created", JSON.parse('{"taskId":1,"__proto__":{"polluted":true},"constructor":5,"toString":6}')));
  equal([{}.polluted, Object.getPrototypeOf(s.tasks.get(1)) === Object.prototype, s.tasks.get(1).toString], [undefined, true, 6]);
});

// --- a stream

test("events behind the snapshot are applied and told once, those that it has are not", async () => {
  const { client, socket, told } = await following([1]);
  const twice = created(11, 2);
  socket().say(created(9, 5), created(10, 6), twice, twice, created(10, 7), created(12, 3));
  equal([ids(client), told("event").map((detail) => detail.event.position), client.positions], [[1, 2, 3], [at(11), at(12)], { 42: at(12), me: at(5) }]);
});

test("an event is told when the copy has it, under its own type too", async () => {
  const { client, socket, told } = await following([1]);
  const heard = [];
  client.addEventListener("task.updated", ({ detail }) => heard.push([detail.before.title, detail.after.title, client.team(42).tasks.get(1).title]));
  socket().say(event(11, "task.updated", { taskId: 1, title: "New" }));
  equal([heard, told("event").length, told("event")[0].key], [[["Task 1", "New", "New"]], 1, 42]);
});

test("a later server's events are told, and move the position", async () => {
  const { client, socket, told } = await following([1]);
  socket().say(event(11, "comment.created", { text: "!" }));
  equal([told("event")[0].subject, client.positions[42]], [null, at(11)]);
});

test("an event without data or position is said, and not taken", async () => {
  const { client, socket, errors } = await following([1]);
  socket().say({ ...created(11, 2), data: null }, { ...created(11, 3), position: undefined });
  equal([ids(client), errors()], [[1], ["bad_message", "bad_message"]]);
});

test("a snapshot of several parts comes into sight with its last one", async () => {
  const { client, socket, told } = await following([1]);
  socket().say({ type: "gap", teamId: 42, reason: "far" });
  equal([client.synced, ids(client)], [false, [1]]);
  socket().say(snapshot(20, [2], { parts: 3 }), snapshot(20, [3], { part: 2, parts: 3, members: [{ userId: 8, role: "lead" }] }));
  equal([client.synced, ids(client), told("snapshot").length], [false, [1], 2]);
  socket().say(snapshot(20, [4], { part: 3, parts: 3, members: [] }));
  equal([client.synced, ids(client), roles(client.team(42)), client.positions[42]], [true, [2, 3, 4], [[7, "owner"], [8, "lead"]], at(20)]);
  equal([told("snapshot").at(-1).tasks.length, told("snapshot").at(-1).parts, told("gap")], [3, 1, [{ key: 42, type: "gap", teamId: 42, reason: "far" }]]);
});

test("parts of two streams may come between each other", async () => {
  const { client, socket } = await following([1]);
  socket().say(
    { type: "gap", teamId: 42, reason: "reset" }, { type: "gap", userId: 7, reason: "reset" },
    snapshot(20, [2], { parts: 2 }), { ...mine(9, [5]), parts: 2 }, snapshot(20, [3], { part: 2, parts: 2 }), { ...mine(9, [6]), part: 2, parts: 2 },
  );
  equal([ids(client), ids(client, "me"), client.synced], [[2, 3], [5, 6], true]);
});

test("a snapshot that has a hole is not shown: the client comes back from where it was", async () => {
  for (const parts of [[2], [1, 3], [1, 2, 2]]) {
    const world = await following([1]);
    for (const part of parts) world.socket().say(snapshot(20, [part + 10], { part, parts: 3 }));
    equal([ids(world.client), world.errors(), world.client.status.state], [[1], ["bad_message"], "reconnecting"], String(parts));
    await again(world);
    equal(world.socket().sent[0].since[42], at(10));
  }
  const world = await following([1]);
  world.socket().say(snapshot(20, [2], { parts: 2 }), snapshot(21, [3], { part: 2, parts: 2 }));
  equal(world.errors(), ["bad_message"]);
});

test("a snapshot of another log counts, although its position is smaller", async () => {
  const { client, socket } = await following([1]);
  socket().say({ type: "gap", teamId: 42, reason: "unknown" }, snapshot(2, [8]), created(3, 9));
  equal([ids(client), client.positions[42]], [[8, 9], at(3)]);
});

test("a position that does not lead on waits for its snapshot before it says that all is here", async () => {
  const world = await following([1]);
  await again(world);
  world.socket().reply("subscribe", { positions: { 42: at(99), me: at(5) }, refused: [] });
  equal(world.client.synced, false);
  world.socket().say({ type: "gap", teamId: 42, reason: "retention" }, snapshot(99, [7]));
  equal([world.client.synced, ids(world.client)], [true, [7]]);
});

test("a loss between a gap and its snapshot goes on from the old position, if that leads on after all", async () => {
  const world = await following([1]);
  world.socket().say({ type: "gap", teamId: 42, reason: "overflow" }, snapshot(20, [2], { parts: 2 }));
  await again(world);
  equal(world.socket().sent[0].since[42], at(10));
  world.socket().reply("subscribe", { positions: { 42: at(10), me: at(5) }, refused: [] });
  equal([world.client.synced, ids(world.client)], [true, [1]]);
  world.socket().say(snapshot(20, [3], { part: 2, parts: 2 }));
  equal([world.errors(), ids(world.client)], [["bad_message"], [1]]);
});

test("what comes before the first snapshot is told, and is in the snapshot", async () => {
  const world = await connected("all");
  world.socket().reply("subscribe", { positions: { me: at(5) }, refused: [] });
  world.socket().say({ type: "joined", teamId: 42 }, event(11, "team.member_added", { userId: 7 }));
  equal([world.told("event")[0].subject, world.client.team(42).loaded, world.client.positions], [null, false, {}]);
  world.socket().say(snapshot(11, [1]), created(12, 2));
  equal(ids(world.client), [1, 2]);
});

test("whatever a reader holds stays as it was", async () => {
  const { client, socket } = await following([1]);
  const team = client.team(42);
  const { tasks } = team;
  socket().say(snapshot(20, [2]));
  equal([[...tasks.keys()], [...team.tasks.keys()], client.team(42) === team], [[1], [2], true]);
});

test("a stream tells itself as the server would", async () => {
  const { client, socket } = await following([3, 1]);
  socket().say(event(11, "team.member_added", { userId: 2, role: "lead" }), created(12, 2));
  const told = JSON.parse(JSON.stringify(client.team(42)));
  equal([told.tasks.map((one) => one.taskId), told.members.map((one) => one.userId), told.position, told.team.name], [[1, 2, 3], [2, 7], at(12), "Ops"]);
  equal(JSON.parse(JSON.stringify(client.me)), { user: { userId: 7, username: "ada", email: null }, tasks: [], position: at(5) });
});

test("a team with too many members to be listed has their number", async () => {
  const { client, socket } = await following([1]);
  const { members: _, ...rest } = snapshot(20, [1]);
  socket().say({ ...rest, membersTotal: 6_000 });
  const told = client.team(42).toJSON();
  equal([client.team(42).membersTotal, client.team(42).members.size, told.membersTotal, "members" in told], [6_000, 0, 6_000, false]);
});

test("without snapshots it is a feed that goes on where it was, and keeps nothing else", async () => {
  const world = made({ snapshot: false, since: { 42: at(3) } });
  world.client.connect();
  world.client.subscribe([42, 43]);
  equal(world.client.positions, { 42: at(3) });
  world.socket().welcome();
  await turn();
  equal([world.socket().sent[0].since, world.socket().sent[0].snapshot], [{ 42: at(3) }, false]);
  world.socket().reply("subscribe", { positions: { 42: at(3), 43: at(8) }, refused: [] });
  equal([world.client.synced, world.client.positions], [true, { 42: at(3), 43: at(8) }]);
  world.socket().say(created(3, 1), created(4, 2), { type: "gap", teamId: 43, reason: "far" }, snapshot(20, [9], { teamId: 43 }), created(21, 5, { teamId: 43 }));
  equal([world.told("event").map((one) => one.event.position), ids(world.client), ids(world.client, 43), world.client.positions], [[at(4), at(21)], [], [], { 42: at(4), 43: at(21) }]);
});

// --- who is online, and how far the server is

test("who is online is a list first, and then who comes and goes", async () => {
  const { client, socket, told } = await following([1], { presence: true });
  equal([client.team(42).online, client.team(42).onlineTotal], [null, null]);
  socket().say({ type: "presence", teamId: 42, online: [7, 8] }, { type: "presence", teamId: 42, joined: [9], left: [7, 5] });
  equal([client.team(42).online, client.team(42).onlineTotal], [new Set([8, 9]), 2]);
  equal(told("presence").at(-1), { key: 42, online: new Set([8, 9]), onlineTotal: 2, joined: [9], left: [7, 5] });
});

test("too many to be listed are counted", async () => {
  const { client, socket } = await following([1], { presence: true });
  socket().say({ type: "presence", teamId: 42, online: [7] }, { type: "presence", teamId: 42, count: 1_234 }, { type: "presence", teamId: 42, joined: [9], left: [] });
  equal([client.team(42).online, client.team(42).onlineTotal], [null, 1_234]);
  socket().say({ type: "presence", teamId: 42, online: [7] });
  equal([client.team(42).online, client.team(42).onlineTotal], [new Set([7]), 1]);
});

test("who is online is not known without a connection, nor of a team that is not here", async () => {
  const world = await following([1], { presence: true });
  world.socket().say({ type: "presence", teamId: 42, online: [7] });
  world.socket().lose(1006);
  equal([world.client.team(42).online, world.client.team(42).onlineTotal], [null, null]);
  const list = await following([1], { presence: true }, [42]);
  list.socket().say({ type: "presence", teamId: 50, online: [7] });
  equal(list.client.team(50), undefined);
});

test("a server that is behind says so, until it has caught up or is gone", async () => {
  const world = await following([1]);
  world.socket().say({ type: "delayed", seconds: 12 }, { type: "delayed", seconds: 12 }, { type: "delayed", seconds: 14 }, { type: "delayed", seconds: 0 });
  equal(world.told("delayed").map((one) => one.seconds), [12, 14, 0]);
  world.socket().say({ type: "delayed", seconds: 7 });
  equal(world.client.delayed, 7);
  world.socket().lose(1006);
  equal(world.client.delayed, 0);
});

test("an error that answers no command is told", async () => {
  const world = await following([1]);
  world.socket().say({ type: "error", code: "limit", message: "too many commands" });
  equal([world.errors(), world.told("error")[0].message], [["limit"], "too many commands"]);
});

test("sync is told when it changes, and not otherwise", async () => {
  const world = await following([1]);
  world.socket().lose(1006);
  await world.clock.pass(1_000);
  world.socket().welcome();
  await turn();
  world.socket().reply("subscribe", { positions: { 42: at(10), me: at(5) }, refused: [] });
  equal(world.told("sync").map((one) => one.synced), [true, false, true]);
  ok(world.client.synced, "synced");
});
