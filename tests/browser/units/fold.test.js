import { apply, emptyStream, isFarewell, ordered, replace, streamOf } from "/board/fold.js";
import { equal, test } from "./harness.js";

const AT = "2026-11-23T10:00:00.000000Z";
const LATER = "2026-11-23T11:00:00.000000Z";
const event = (type, data, more = {}) => ({ eventId: "e", type, teamId: 42, actorId: 7, timestamp: AT, data, ...more });
const stream = (tasks = [], members = [[7, "owner"]]) => {
  const made = emptyStream(42);
  made.team = { teamId: 42, name: "Payments", description: "Money", ownerId: 7, updatedAt: AT };
  made.tasks = new Map(tasks.map((task) => [task.taskId, task]));
  made.members = new Map(members);
  return made;
};

test("an event is its team's, or the user's own", () => {
  equal(streamOf(event("task.created", {})), 42);
  equal(streamOf(event("task.created", {}, { teamId: null })), "me");
});

test("a task is created with its time", () => {
  const s = stream();
  const change = apply(s, event("task.created", { taskId: 1, title: "A", completed: false, creatorId: 7 }));
  equal(change, { kind: "task", taskId: 1, moved: true });
  equal(s.tasks.get(1), { title: "A", completed: false, creatorId: 7, taskId: 1, updatedAt: AT, createdAt: AT });
});

test("an update changes what it names and nothing else", () => {
  const s = stream([{ taskId: 1, title: "A", description: "d", completed: false, createdAt: AT, updatedAt: AT, colour: "green" }]);
  const change = apply(s, event("task.updated", { taskId: 1, title: "B", description: null }, { timestamp: LATER }));
  equal(change, { kind: "task", taskId: 1, moved: false });
  equal(s.tasks.get(1), { taskId: 1, title: "B", description: null, completed: false, createdAt: AT, updatedAt: LATER, colour: "green" });
});

test("a completed task moves", () => {
  const s = stream([{ taskId: 1, completed: false }]);
  equal(apply(s, event("task.completed", { taskId: 1, completed: true })).moved, true);
  equal(s.tasks.get(1).completed, true);
  equal(apply(s, event("task.completed", { taskId: 1, completed: true })).moved, false);
});

test("an assignee is cleared by null and by 0, a creator by neither", () => {
  for (const nobody of [null, 0]) {
    const s = stream([{ taskId: 1, assigneeId: 8, creatorId: 7 }]);
    apply(s, event("task.updated", { taskId: 1, assigneeId: nobody, creatorId: nobody }));
    equal([s.tasks.get(1).assigneeId, s.tasks.get(1).creatorId], [null, 7]);
  }
});

test("a deleted task is gone, twice as well", () => {
  const s = stream([{ taskId: 1 }]);
  apply(s, event("task.deleted", { taskId: 1 }));
  apply(s, event("task.deleted", { taskId: 1 }));
  equal(s.tasks, new Map());
});

test("a task's state stands in place of its data", () => {
  const s = stream([{ taskId: 1, title: "New", createdAt: AT }]);
  const state = { taskId: 1, title: "New", description: "late", createdAt: AT, updatedAt: LATER };
  const change = apply(s, event("task.updated", { taskId: 1, title: "Old", description: "late" }, { state }));
  equal(s.tasks.get(1), state);
  equal(change.moved, false);
});

test("a state of null takes the task away, whatever the event's type", () => {
  for (const type of ["task.created", "task.updated", "task.completed", "task.deleted"]) {
    const s = stream([{ taskId: 1, title: "T" }]);
    equal(apply(s, event(type, { taskId: 1, title: "Old" }, { state: null })), { kind: "task", taskId: 1, moved: true }, type);
    equal(s.tasks.size, 0, type);
  }
});

test("a late deletion may leave the task there", () => {
  const state = { taskId: 1, title: "Made again" };
  const s = stream([{ taskId: 1, title: "Made again" }]);
  apply(s, event("task.deleted", { taskId: 1 }, { state }));
  equal(s.tasks.get(1), state);
});

test("members come, change and go", () => {
  const s = stream();
  equal(apply(s, event("team.member_added", { userId: 8, role: "lead" })), { kind: "team" });
  apply(s, event("team.member_added", { userId: 9 }));
  apply(s, event("team.member_role_updated", { userId: 9, role: "admin" }));
  apply(s, event("team.member_removed", { userId: 8 }));
  equal(s.members, new Map([[7, "owner"], [9, "admin"]]));
});

test("a role makes nobody a member", () => {
  const s = stream();
  apply(s, event("team.member_role_updated", { userId: 9, role: "admin" }));
  equal(s.members.has(9), false);
});

test("a member's state stands in place of the data", () => {
  const s = stream([], [[7, "owner"], [8, "lead"]]);
  apply(s, event("team.member_removed", { userId: 8 }, { state: { userId: 8, role: "guest" } }));
  equal(s.members.get(8), "guest");
  apply(s, event("team.member_added", { userId: 8, role: "lead" }, { state: null }));
  equal(s.members.has(8), false);
});

test("a team's fields change one by one; an owner's null says nothing", () => {
  const s = stream();
  apply(s, event("team.updated", { name: "Billing", ownerId: null }, { timestamp: LATER }));
  equal(s.team, { teamId: 42, name: "Billing", description: "Money", ownerId: 7, updatedAt: LATER });
  apply(s, event("team.updated", { description: null, ownerId: 8 }));
  equal([s.team.description, s.team.ownerId, s.members.has(8)], [null, 8, false]);
});

test("who makes a team owns it; without an owner its actor does", () => {
  for (const [ownerId, owner] of [[8, 8], [null, 7], [undefined, 7]]) {
    const s = emptyStream(42);
    apply(s, event("team.created", { teamId: 42, name: "N", ownerId }));
    equal(s.members, new Map([[owner, "owner"]]));
  }
});

test("a team's state is taken where it says all, and asked for where it does not", () => {
  const state = { teamId: 42, name: "Now" };
  const s = stream();
  equal(apply(s, event("team.updated", { name: "Then" }, { state })), { kind: "team" });
  equal(s.team, state);
  for (const type of ["team.created", "team.deleted"]) equal(apply(stream(), event(type, {}, { state })), { kind: "reload" }, type);
  equal(apply(stream(), event("team.updated", {}, { state: null })), { kind: "reload" });
});

test("types of a later server change nothing", () => {
  const s = stream([{ taskId: 1 }]);
  equal(apply(s, event("comment.created", { commentId: 1 })), null);
  equal([s.tasks.size, s.members.size], [1, 1]);
});

test("a user learns of themselves", () => {
  equal(apply(emptyStream("me"), event("user.created", { userId: 7, username: "Ada" }, { teamId: null })), { kind: "user" });
});

test("a removal of oneself and a team's end are farewells; others' removals and outranked ones are none", () => {
  const removed = (userId, more) => isFarewell(event("team.member_removed", { userId }, more), 7);
  equal([removed(7), removed(8), removed(7, { state: null }), removed(7, { state: { userId: 7, role: "owner" } })], [true, false, true, false]);
  const deleted = (more) => isFarewell(event("team.deleted", {}, more), 7);
  equal([deleted(), deleted({ state: null }), deleted({ state: { teamId: 42 } })], [true, true, false]);
  equal(isFarewell(event("task.deleted", { userId: 7 }), 7), false);
});

test("a snapshot replaces everything", () => {
  const s = stream([{ taskId: 1 }]);
  replace(s, { position: "p", team: { teamId: 42 }, members: [{ userId: 8, role: "lead" }], tasks: [{ taskId: 2 }] });
  equal([s.position, s.team, [...s.members], [...s.tasks.keys()]], ["p", { teamId: 42 }, [[8, "lead"]], [2]]);
  replace(s, {});
  equal([s.position, s.team, s.members.size, s.tasks.size], ["", null, 0, 0]);
});

test("open tasks stand newest first, done ones by their last change", () => {
  const task = (taskId, createdAt, updatedAt, completed) => [taskId, { taskId, createdAt, updatedAt, completed }];
  const { open, done } = ordered(new Map([
    task(1, "a", "z", false), task(2, "b", "b", false), task(3, "a", "b", true), task(4, "b", "a", true), task(5, "b", "c", null), task(6, null, "bb", undefined),
  ]));
  equal(open.map((one) => one.taskId), [6, 5, 2, 1]);
  equal(done.map((one) => one.taskId), [3, 4]);
});
