import { Standstill, STUCK_SECONDS, findings, total } from "/ops/findings.js";
import { decode, dump, escaped, textOf } from "/ops/bytes.js";
import { hotTeams, ranges } from "/ops/overview.js";
import { Series } from "/ops/series.js";
import { Steps } from "/ops/steps.js";
import { duration, rate } from "/ops/words.js";
import { equal, ok, test } from "../sdk/harness.js";

const partition = (lag, committed = 5, more = {}) => ({ topic: "team.events", partition: 0, committed, end: committed + lag, lag, seconds: lag ? 1 : 0, ...more });
const group = (partitions, members = 1, name = "realtime-service") => ({ group: name, members, partitions });
const flow = (topics = [], p99 = null) => ({ topics, delivery: { p99 }, teams: [] });
const cluster = (...partitions) => ({ workers: [{ url: "http://a", partitions, standbys: [] }] });
const said = (what) => findings({ lag: null, flow: null, cluster: null, silent: [], stuck: [], problem: null, ...what }).map(({ level, title }) => `${level} ${title}`);

test("where nothing is wrong nothing is found", () => {
  equal(said({ lag: { groups: [group([partition(3)])] }, flow: flow(), cluster: cluster(0) }), []);
});

test("a group without members is the worst, one that nobody needs is none", () => {
  equal(said({ lag: { groups: [group([partition(3)], 0)] } }), ["bad Nobody reads"]);
  equal(said({ lag: { groups: [group([partition(3)], 0, "notification-service")] } }), ["warn notification-service does not run"]);
  equal(said({ lag: { groups: [group([partition(0)], 0, "notification-service")] } }), []);
});

test("a silent worker, old records, a free partition, an end of retention, dead letters and slowness are found, the worst first", () => {
  const topics = [{ topic: "task.created", retentionSeconds: 100, headroomSeconds: 20, deadLettersPerSecond: 0.5 }];
  equal(said({ lag: { groups: [group([partition(3, 5, { seconds: 40 })])] }, flow: flow(topics, 3), cluster: cluster(1), silent: ["http://b"] }), [
    "bad b does not answer", "bad Unread records of task.created expire", "warn realtime-service is behind", "warn Partitions without an owner",
    "warn Dead letters come in", "warn Delivery is slow",
  ]);
});

test("a partition is stuck when nothing is read for a while although there is something", () => {
  const standstill = new Standstill();
  equal(standstill.note([group([partition(3, 5)])], 100), []);
  equal(standstill.note([group([partition(9, 5)])], 100 + STUCK_SECONDS).map(({ lag, seconds }) => [lag, seconds]), [[9, STUCK_SECONDS]]);
  equal(standstill.note([group([partition(8, 6)])], 101 + STUCK_SECONDS), []);
  equal(standstill.note([group([partition(0, 14)])], 300), []);
});

test("an age that is not known is not made up", () => {
  equal(total([partition(3, 5, { seconds: null }), partition(0)]), { lag: 3, seconds: null });
  equal(total([partition(0)]), { lag: 0, seconds: 0 });
});

test("a series keeps the newest points, and names that have some", () => {
  const series = new Series(3);
  [[10, { a: 1 }], [15, { a: 2, b: 7 }], [20, { b: 8 }], [25, { b: 9 }]].forEach(([at, values]) => series.push(at, values));
  equal(series.since(0), { times: [15, 20, 25], lines: [{ name: "a", values: [2, null, null] }, { name: "b", values: [7, 8, 9] }] });
  equal(series.since(20, ["b"]), { times: [20, 25], lines: [{ name: "b", values: [8, 9] }] });
  equal(series.since(99), { times: [], lines: [] });
});

test("a series breaks where nobody looked, and never goes back in time", () => {
  const series = new Series(10);
  series.push(10, { a: 1 });
  series.push(10, { a: 5 });
  series.push(110, { a: 2 });
  equal(series.since(0), { times: [10, 60, 110], lines: [{ name: "a", values: [1, null, 2] }] });
});

test("steps come to each state, and say what an event made of it", () => {
  const steps = new Steps({ team: { name: "Ops" } }, [{ changes: { "task/1": { title: "One" } } }, { changes: { "task/1": { title: "Two" } } }, { changes: { "task/1": null } }]);
  equal(steps.at(-1), new Map([["team", { name: "Ops" }]]));
  equal(steps.at(1).get("task/1"), { title: "Two" });
  ok(!steps.at(2).has("task/1"), "it is gone");
  equal([0, 1, 2].map((index) => steps.changed(index).get("task/1")), ["new", "changed", "gone"]);
  equal(steps.changed(-1), new Map());
});

test("bytes are told as text where they are some, and as a dump always", () => {
  equal(textOf(decode(btoa("plain"))), "plain");
  const bytes = decode(btoa("\xff\xfe ab\n"));
  equal(textOf(bytes), null);
  equal(escaped(bytes), "\\xff\\xfe ab\n");
  equal(dump(decode(btoa("0123456789"))), "000000  30 31 32 33 34 35 36 37  01234567\n000008  38 39                    89");
  ok(dump(new Uint8Array(100), 16).endsWith("… and 84 more bytes"), "it says how much it leaves out");
});

test("hot teams: those behind first, then those with most events", () => {
  const lag = { teams: [{ teamId: 1, ageSeconds: 0 }, { teamId: 2, ageSeconds: 90 }, { teamId: 3, ageSeconds: 0 }] };
  const found = hotTeams(lag, { teams: [{ teamId: 3, connections: 5 }, { teamId: 9, connections: 7 }] }, { teams: [{ teamId: 3, perSecond: 2 }, { teamId: 1, perSecond: 1 }] });
  equal(found.map(({ teamId, connections }) => [teamId, connections ?? null]), [[2, null], [3, 5], [1, null]]);
});

test("numbers are said as people say them", () => {
  equal([0, 0.004, 0.063, 5.04, 75, 7_200, 604_800, -3, null].map(duration), ["0 s", "4 ms", "63 ms", "5.0 s", "75 s", "2.0 h", "7.0 d", "over", "–"]);
  equal([0, 0.004, 0.25, 5.04, 20.4, 12_345].map(rate), ["0", "<0.01", "0.25", "5.0", "20", "12.3K"]);
  equal(ranges([3, 0, 1, 2, 5]), "0–3, 5");
});
