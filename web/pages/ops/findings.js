// What wants attention, worst first. The same bounds as the alert rules, but at once: whoever looks at this page is awake already.
import { duration, host, many, rate } from "./words.js";

/** A partition that is not read for so long, in seconds, while there is something to read, is stuck. */
export const STUCK_SECONDS = 30;
const OLD_SECONDS = 30;
const SLOW_SECONDS = 2;
const HEADROOM = 0.25;
const REALTIME = "realtime-service";

/** Remembers since when each partition with unread records has stood still. */
export class Standstill {
  #since = new Map();

  /** Notes the groups of /api/lag at a moment, in seconds; gives [{group, topic, partition, lag, seconds}] of those that stand still. */
  note(groups, now) {
    const before = this.#since;
    this.#since = new Map();
    const found = [];
    for (const { group, partitions } of groups) {
      for (const { topic, partition, committed, lag } of partitions) {
        if (lag === 0) continue;
        const key = `${group} ${topic} ${partition}`;
        const known = before.get(key);
        const since = known && known.committed === committed ? known.since : now;
        this.#since.set(key, { committed, since });
        if (now - since >= STUCK_SECONDS) found.push({ group, topic, partition, lag, seconds: now - since });
      }
    }
    return found;
  }
}

/** Sums a group's partitions: {lag, seconds} with the age of the oldest unread record, null where it is not known. */
export function total(partitions) {
  const behind = partitions.filter(({ lag }) => lag > 0);
  const ages = behind.map(({ seconds }) => seconds).filter((seconds) => seconds !== null);
  return { lag: behind.reduce((sum, { lag }) => sum + lag, 0), seconds: behind.length ? (ages.length ? Math.max(...ages) : null) : 0 };
}

/** What is wrong: [{level: bad|warn, title, text}]. Any of the answers may be missing (null). */
export function findings({ lag, flow, cluster, silent, stuck, problem }) {
  const found = [];
  const say = (level, title, text, href = null) => found.push({ level, title, text, href });
  if (problem) say("bad", problem.title, problem.text);
  for (const url of silent) say("bad", `${host(url)} does not answer`, "What it has is missing from the figures below.");
  for (const { group, members, partitions } of lag?.groups ?? []) {
    const { lag: records, seconds } = total(partitions);
    if (members === 0 && group === REALTIME) say("bad", "Nobody reads", `${group} has no members: nothing that comes in is delivered. ${many(records, "record")} wait.`);
    else if (members === 0 && records > 0) say("warn", `${group} does not run`, `${many(records, "record")} wait for it${seconds ? `, the oldest for ${duration(seconds)}` : ""}.`);
    else if (members > 0 && seconds > OLD_SECONDS) say("warn", `${group} is behind`, `${many(records, "record")} wait, the oldest for ${duration(seconds)}.`);
  }
  const running = new Set((lag?.groups ?? []).filter(({ members }) => members > 0).map(({ group }) => group));
  for (const [group, list] of Map.groupBy((stuck ?? []).filter(({ group }) => running.has(group)), ({ group }) => group)) {
    const names = list.slice(0, 3).map(({ topic, partition }) => `${topic}-${partition}`).join(", ");
    const more = list.length > 3 ? ` and ${list.length - 3} more` : "";
    say("bad", `${group} is stuck`, `Nothing was read of ${names}${more} for ${duration(Math.max(...list.map(({ seconds }) => seconds)))}, and there is something to read.`);
  }
  if (cluster && lag) {
    const owned = new Set(cluster.workers.flatMap(({ partitions }) => partitions));
    const there = new Set(lag.groups.flatMap(({ partitions }) => partitions.filter(({ topic }) => topic === "team.events").map(({ partition }) => partition)));
    const free = [...there].filter((partition) => !owned.has(partition));
    if (free.length && running.has(REALTIME)) say("warn", "Partitions without an owner", `${free.join(", ")} of team.events: they are being moved or recovered, or a worker just went.`);
  }
  for (const { topic, headroomSeconds: left, retentionSeconds: keeps } of flow?.topics ?? []) {
    if (left !== null && keeps !== null && left < keeps * HEADROOM) say("bad", `Unread records of ${topic} expire`, left <= 0 ? "The oldest may be gone already." : `The oldest in ${duration(left)}.`);
  }
  const dead = (flow?.topics ?? []).filter(({ deadLettersPerSecond }) => deadLettersPerSecond > 0);
  if (dead.length) {
    const sum = dead.reduce((all, { deadLettersPerSecond }) => all + deadLettersPerSecond, 0);
    say("warn", "Dead letters come in", `${rate(sum)} a second, of ${dead.map(({ topic }) => topic).join(", ")}.`, "#/letters");
  }
  if (flow?.delivery.p99 > SLOW_SECONDS) say("warn", "Delivery is slow", `One event in a hundred takes ${duration(flow.delivery.p99)} or more to a socket.`);
  return found.sort((a, b) => (a.level === b.level ? 0 : a.level === "bad" ? -1 : 1));
}
