// Pure: what one event does to what the page knows of a team, or of the user's own stream (key "me").

/** The key of an event's stream: its team, or "me" for what reaches this user alone. */
export const streamOf = (event) => event.teamId ?? "me";

/** True for the last event that this user gets of a team: their removal, or the team's deletion. */
export function isFarewell(event, me) {
  if (event.state !== undefined && event.state !== null) return false; // outranked: they stay
  if (event.type === "team.deleted") return true;
  return event.type === "team.member_removed" && event.data.userId === me;
}

/** An empty stream; `members` maps a user to a role, `tasks` an id to a task. */
export const emptyStream = (key) => ({ key, team: null, members: new Map(), tasks: new Map(), position: "" });

/** Puts a snapshot (of GET /api/teams/{id}, or the tasks of GET /api/users/{id}) in place of what was known. */
export function replace(stream, snapshot) {
  stream.team = snapshot.team ?? null;
  stream.members = new Map((snapshot.members ?? []).map((member) => [member.userId, member.role]));
  stream.tasks = new Map((snapshot.tasks ?? []).map((task) => [task.taskId, task]));
  stream.position = snapshot.position ?? "";
}

/**
 * Applies one event in place.
 *
 * Gives what changed: {kind: "task", taskId, moved} | {kind: "team"} | {kind: "user"} | {kind: "reload"} | null;
 * "reload" means that the event alone does not say what the team looks like now.
 */
export function apply(stream, event) {
  const family = event.type.split(".", 1)[0];
  if (family === "task") return applyTask(stream.tasks, event);
  if (family === "user") return { kind: "user" };
  if (family !== "team") return null;
  return event.type.startsWith("team.member_") ? applyMember(stream.members, event) : applyTeam(stream, event);
}

function applyTask(tasks, event) {
  const { taskId, ...data } = event.data;
  const before = tasks.get(taskId);
  let after;
  if (event.state !== undefined) {
    after = event.state;
  } else if (event.type === "task.deleted") {
    after = null;
  } else {
    if (!data.creatorId) delete data.creatorId; // an id's null says nothing; only an assignee can be cleared
    if (data.assigneeId === 0) data.assigneeId = null;
    after = { ...before, ...data, taskId, updatedAt: event.timestamp };
    if (event.type === "task.created") after.createdAt = event.timestamp;
  }
  if (after === null) tasks.delete(taskId);
  else tasks.set(taskId, after);
  const moved =
    !before || !after || Boolean(before.completed) !== Boolean(after.completed) || before.createdAt !== after.createdAt;
  return { kind: "task", taskId, moved };
}

function applyMember(members, event) {
  const { userId, role } = event.data;
  if (event.state !== undefined) {
    if (event.state === null) members.delete(userId);
    else members.set(userId, event.state.role);
  } else if (event.type === "team.member_removed") members.delete(userId);
  else if (event.type === "team.member_added") members.set(userId, role ?? "member");
  else if (members.has(userId)) members.set(userId, role);
  return { kind: "team" };
}

function applyTeam(stream, event) {
  const { name, description, ownerId } = event.data;
  if (event.state !== undefined) {
    // A late creation or deletion reaches further than the team's own fields.
    if (event.type !== "team.updated" || event.state === null) return { kind: "reload" };
    stream.team = event.state;
    return { kind: "team" };
  }
  const team = { ...stream.team, teamId: event.teamId, updatedAt: event.timestamp };
  if (name !== undefined) team.name = name;
  if (description !== undefined) team.description = description;
  if (ownerId) team.ownerId = ownerId;
  stream.team = team;
  const owner = ownerId || event.actorId;
  if (event.type === "team.created" && owner) stream.members.set(owner, "owner");
  return { kind: "team" };
}

/** Tasks as shown: open ones first, newest on top; then the done ones, the last change on top. */
export function ordered(tasks) {
  const born = (task) => task.createdAt ?? task.updatedAt ?? "";
  const newest = (a, b, left, right) => (left < right ? 1 : left > right ? -1 : b.taskId - a.taskId);
  const open = [];
  const done = [];
  for (const task of tasks.values()) (task.completed ? done : open).push(task);
  open.sort((a, b) => newest(a, b, born(a), born(b)));
  done.sort((a, b) => newest(a, b, a.updatedAt ?? "", b.updatedAt ?? ""));
  return { open, done };
}
