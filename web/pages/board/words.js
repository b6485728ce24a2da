// How events and values are said to people.
import { personName } from "./people.js";

const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const DAY_AND_YEAR = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", year: "numeric" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** An event's time of day here. */
export function clock(timestamp) {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? "" : CLOCK.format(date);
}

/** The calendar day of a due text as YYYY-MM-DD, or null when it is no date: `due` is whatever a producer wrote. */
export function dueDay(due) {
  const match = /^(\d{4}-\d{2}-\d{2})(?:$|[T ])/.exec(due ?? "");
  return match && !Number.isNaN(Date.parse(match[1])) ? match[1] : null;
}

/** A due text for a card: short where it is a date, as it is otherwise. */
export function dueWords(due) {
  const day = dueDay(due);
  if (day === null) return due;
  const [year, month, date] = day.split("-").map(Number);
  const local = new Date(year, month - 1, date);
  return (year === new Date().getFullYear() ? DAY : DAY_AND_YEAR).format(local);
}

/** True when the due day lies before today here. */
export function overdue(due) {
  const day = dueDay(due);
  if (day === null) return false;
  const now = new Date();
  const today = [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
  return day < today;
}

const LEVELS = new Map([
  ["urgent", "urgent"], ["critical", "urgent"], ["highest", "urgent"], ["high", "high"],
  ["medium", "medium"], ["normal", "medium"], ["low", "low"], ["lowest", "low"],
]);

/** The level that colours a priority: urgent, high, medium, low, or other for words of the producer's own. */
export const priorityLevel = (priority) => LEVELS.get(String(priority).toLowerCase()) ?? "other";

/** A priority for people; numbers become P1, P2. */
export function priorityWords(priority) {
  if (typeof priority === "number") return `P${priority}`;
  return priority.charAt(0).toUpperCase() + priority.slice(1);
}

/** What somebody did to a card, short. */
export function deed(event) {
  if (event.type === "task.completed") return event.data.completed === false ? "reopened" : "completed";
  return { "task.created": "created", "task.updated": "edited", "task.deleted": "deleted" }[event.type] ?? "changed";
}

/** Why a connection was lost or ended, by close code, for people. */
const CLOSED = new Map([
  [1001, "The server is restarting."],
  [4001, "This page could not keep up."],
  [4004, "The server did not hear from this page."],
  [4005, "The sign-in expired."],
  [4006, "The server cannot reach the log at the moment."],
  [4501, "The server does not accept this user. Choose a valid one."],
  [4502, "An administrator disconnected this page."],
  [4503, "The server refused how this page speaks to it."],
  [4504, "A limit of connections is reached. Close other windows of this user."],
]);

/** Why there is no connection. */
export function whyClosed({ state, code, reason }) {
  return CLOSED.get(code) ?? (state === "stopped" && reason ? `The connection ended: ${reason}.` : "The connection was lost.");
}

/** A feed line in parts: who, did what, to what. */
export function sentence(event, titleOf) {
  const { type, data } = event;
  const who = personName(event.actorId ?? data.actorId ?? data.userId ?? data.creatorId);
  const subject = personName(data.userId);
  switch (type) {
    case "task.created":
    case "task.updated":
    case "task.completed":
    case "task.deleted":
      return [who, deed(event), data.title || titleOf(event) || `task ${data.taskId}`];
    case "team.created":
      return [who, "created the team", data.name ?? `team ${event.teamId}`];
    case "team.updated":
      return [who, "changed the team", data.name ?? ""];
    case "team.deleted":
      return [who, "deleted the team", ""];
    case "team.member_added":
      return [who, "added", subject];
    case "team.member_removed":
      return event.actorId === data.userId ? [who, "left the team", ""] : [who, "removed", subject];
    case "team.member_role_updated":
      return [who, `made ${subject}`, data.role ?? ""];
    case "user.created":
      return [data.username ?? subject, "joined Teamcast", ""];
    default:
      return [who, type, ""];
  }
}
