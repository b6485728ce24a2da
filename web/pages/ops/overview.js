import { byId, h, icon, setAttribute, setText } from "/shared/dom.js";
import { get } from "./api.js";
import { Chart } from "./charts.js";
import { Standstill, findings, total } from "./findings.js";
import { Grid } from "./grid.js";
import { Series } from "./series.js";
import { count, duration, host, many, rate, short } from "./words.js";

/** How often the workers are asked, in milliseconds: as often as they measure. */
const POLL_MS = 5_000;
/** What is kept, in points: an hour. */
const KEPT = 3_600_000 / POLL_MS;
const UNIFIED = "team.events";

/** Lag, flow, connections and workers, asked again and again for as long as the page is open. */
export class Overview {
  #app;
  #seconds = 900;
  #timer = null;
  #standstill = new Standstill();
  #started = Date.now() / 1000;
  #series = { flow: new Series(KEPT), lag: new Series(KEPT), connections: new Series(KEPT), delivery: new Series(KEPT) };
  #charts;
  #grids;
  #said = null;

  constructor(app) {
    this.#app = app;
    const make = (name, options) => new Chart(byId(`chart-${name}`), options);
    this.#charts = {
      flow: make("flow", { label: "Events read a second, by topic", format: rate, least: 1, empty: "Nothing came in." }),
      lag: make("lag", { label: "Records not read, by group", format: count, axis: short, least: 10, empty: "No lag is known." }),
      connections: make("connections", { label: "Open sockets and streams, by worker", format: count, axis: short, least: 4, empty: "No worker has told." }),
      delivery: make("delivery", { label: "From the source record to the socket", format: duration, least: 0.05, empty: "Nothing was delivered." }),
    };
    this.#grids = grids();
    byId("ranges").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      this.#seconds = Number(button.dataset.seconds);
      for (const other of byId("ranges").children) setAttribute(other, "aria-pressed", String(other === button));
      this.#draw();
    });
  }

  /** Begins to ask; goes on until `stop`. */
  async start() {
    if (this.#timer !== null) return;
    this.#timer = 0;
    await this.#poll();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  repaint() {
    for (const chart of Object.values(this.#charts)) chart.repaint();
  }

  async #poll() {
    const began = Date.now();
    // One after the other where the second rests on the same measurement.
    const [lag, connections, cluster] = await Promise.allSettled([get("/api/lag"), get("/api/connections"), get("/api/cluster")]);
    const [flow] = await Promise.allSettled([lag.status === "fulfilled" ? get("/api/flow") : Promise.reject(lag.reason)]);
    if (this.#timer === null) return;
    const answers = { lag, connections, cluster, flow };
    const refused = Object.values(answers).find(({ reason }) => reason?.status === 401 || reason?.status === 403);
    if (refused) {
      this.stop();
      this.#app.signIn(refused.reason);
      return;
    }
    this.#take(answers);
    this.#timer = setTimeout(() => this.#poll(), Math.max(500, POLL_MS - (Date.now() - began)));
  }

  #take(answers) {
    const value = (name) => (answers[name].status === "fulfilled" ? answers[name].value : null);
    const [lag, connections, cluster, flow] = ["lag", "connections", "cluster", "flow"].map(value);
    const now = Date.now() / 1000;
    const silent = [...new Set([lag, connections, cluster, flow].flatMap((one) => one?.unreachable ?? []))].sort();
    const failed = Object.values(answers).find(({ status }) => status === "rejected")?.reason ?? null;
    const nobody = [lag, connections, cluster].every((one) => one === null);
    const problem = failed && { title: nobody ? "This worker does not answer" : "Not everything is known", text: failed.message };
    this.#app.state(nobody ? "offline" : silent.length || problem ? "reconnecting" : "live", nobody ? "No answer" : silent.length ? `${silent.length} silent` : problem ? "Incomplete" : "Live");
    this.#note(now, { lag, connections, flow });
    this.#draw();
    this.#figures({ lag, connections, flow });
    this.#findings(findings({ lag, flow, cluster, silent, stuck: lag && this.#standstill.note(lag.groups, now), problem }));
    this.#grids({ lag, connections, cluster, flow, silent });
    byId("overview").dataset.loaded = "true";
  }

  #note(now, { lag, connections, flow }) {
    this.#series.flow.push(now, flow ? Object.fromEntries(flow.topics.filter(({ perSecond }) => perSecond > 0).map(({ topic, perSecond }) => [topic, perSecond])) : {});
    this.#series.lag.push(now, lag ? Object.fromEntries(lag.groups.flatMap(lagLines)) : {});
    this.#series.connections.push(now, connections ? Object.fromEntries(connections.workers.map(({ worker, connections: open }) => [host(worker), open])) : {});
    this.#series.delivery.push(now, flow ? { p50: flow.delivery.p50, p99: flow.delivery.p99 } : {});
  }

  #draw() {
    const to = Date.now() / 1000;
    // A page that has just been opened shows what it has, not an empty quarter of an hour.
    const from = Math.max(to - this.#seconds, Math.min(this.#started, to - 120));
    for (const [name, chart] of Object.entries(this.#charts)) chart.update(this.#series[name].since(from, name === "delivery" ? ["p50", "p99"] : []), from, to);
  }

  #figures({ lag, connections, flow }) {
    const sum = (list) => list.reduce((all, one) => all + one, 0);
    setText(byId("figure-flow"), flow ? rate(sum(flow.topics.map(({ perSecond }) => perSecond ?? 0))) : "–");
    const behind = lag && total(lag.groups.flatMap(({ partitions }) => partitions));
    setText(byId("figure-lag"), behind ? short(behind.lag) : "–");
    setText(byId("unit-lag"), behind?.seconds ? `records, oldest ${duration(behind.seconds)}` : behind?.lag === 1 ? "record" : "records");
    setText(byId("figure-connections"), connections ? short(sum(connections.workers.map((one) => one.connections))) : "–");
    setText(byId("figure-delivery"), flow ? duration(flow.delivery.p99) : "–");
  }

  #findings(found) {
    const list = byId("findings");
    const said = JSON.stringify(found);
    if (said === this.#said) return;
    const titles = found.map(({ title }) => title).join(". ");
    if (titles !== list.dataset.titles) setText(byId("announcer"), titles || "All is well");
    list.dataset.titles = titles;
    this.#said = said;
    const rows = found.map(({ level, title, text, href }) =>
      h("li", { "data-level": level, "data-testid": "finding" }, icon("warn"), h("b", { text: title }), h("span", { text }), href ? h("a", { href, text: "Look at them" }) : null),
    );
    const well = h("li", { "data-level": "good", "data-testid": "all-well" }, icon("check"), h("b", { text: "All is well" }), h("span", { text: "Every worker answers, the groups read, nothing waits." }));
    list.replaceChildren(...(rows.length ? rows : [well]));
  }
}

/** A group's lag by line: the realtime service reads twice, and it matters which of the two waits. */
function lagLines({ group, partitions }) {
  const unified = partitions.filter(({ topic }) => topic === UNIFIED);
  if (unified.length === 0) return [[group, total(partitions).lag]];
  const sources = partitions.filter(({ topic }) => topic !== UNIFIED);
  return [["source topics", total(sources).lag], [UNIFIED, total(unified).lag]];
}

function grids() {
  const age = (seconds) => ({ text: duration(seconds), level: seconds > 30 ? "bad" : seconds > 5 ? "warn" : null });
  const lagCell = (lag) => ({ text: count(lag), level: lag > 0 ? "some" : "none" });
  const workers = new Grid(byId("workers"), "Workers", [
    { head: "Worker", wide: true, cell: ({ url }) => host(url) },
    { head: "State", cell: ({ silent }) => (silent ? { text: "No answer", level: "bad" } : { text: "Answers", level: "good" }) },
    { head: "Version", cell: ({ version }) => version },
    { head: "Owns", cell: ({ partitions }) => ({ text: ranges(partitions), title: partitions.length ? `Partitions ${ranges(partitions)}` : "A gateway owns none" }) },
    { head: "Stands by", cell: ({ standbys }) => ranges(standbys) },
    { head: "Connections", number: true, cell: ({ connections }) => count(connections) },
  ], ({ url }) => url, "No worker has told of itself yet.");
  const groups = new Grid(byId("groups"), "Consumer groups", [
    { head: "Group", wide: true, cell: ({ group }) => group },
    { head: "Members", number: true, cell: ({ members }) => ({ text: count(members), level: members === 0 ? "bad" : null }) },
    { head: "Partitions", number: true, cell: ({ partitions }) => count(partitions.length) },
    { head: "Lag", number: true, cell: ({ partitions }) => lagCell(total(partitions).lag) },
    { head: "Oldest unread", number: true, cell: ({ partitions }) => age(total(partitions).seconds) },
  ], ({ group }) => group, "No group is known.");
  const partitions = new Grid(byId("partitions"), "Partitions of team.events", [
    { head: "Partition", number: true, cell: ({ partition }) => String(partition) },
    { head: "Owner", wide: true, cell: ({ owner, silent }) => (owner ? { text: host(owner), level: silent ? "bad" : null } : { text: "nobody", level: "bad" }) },
    { head: "Standby", cell: ({ standby }) => standby.map(host).join(", ") },
    { head: "End", number: true, cell: ({ end }) => count(end) },
    { head: "Lag", number: true, cell: ({ lag }) => lagCell(lag) },
    { head: "Oldest unread", number: true, cell: ({ seconds }) => age(seconds) },
    { head: "Headroom", cell: ({ seconds, keeps }) => headroom(seconds === null || keeps === null ? null : keeps - seconds, keeps) },
  ], ({ partition }) => partition, "team.events is not there yet.");
  const hot = new Grid(byId("hot"), "Hot teams", [
    { head: "Team", wide: true, cell: ({ teamId }) => ({ text: String(teamId), href: `#/teams/${teamId}` }) },
    { head: "Events/s", number: true, cell: ({ perSecond }) => rate(perSecond ?? 0) },
    { head: "Connections", number: true, cell: ({ connections }) => count(connections ?? 0) },
    { head: "Behind", number: true, cell: ({ ageSeconds }) => age(ageSeconds ?? null) },
  ], ({ teamId }) => teamId, "No team had an event in the last minute.");
  const topics = new Grid(byId("topics"), "Topics", [
    { head: "Topic", wide: true, cell: ({ topic }) => topic },
    { head: "Events/s", number: true, cell: ({ perSecond }) => rate(perSecond) },
    { head: "Dead letters/s", number: true, cell: ({ dead }) => ({ text: rate(dead), level: dead > 0 ? "warn" : "none" }) },
    { head: "Partitions", number: true, cell: ({ partitions: list }) => count(list.length) },
    { head: "Lag", number: true, cell: ({ partitions: list }) => lagCell(total(list).lag) },
    { head: "Oldest unread", number: true, cell: ({ partitions: list }) => age(total(list).seconds) },
    { head: "Headroom", cell: ({ left, keeps }) => headroom(left, keeps) },
  ], ({ topic }) => topic, "No topic is there yet.");

  return ({ lag, connections, cluster, flow, silent }) => {
    if (cluster) {
      const open = new Map(connections?.workers.map(({ worker, connections: number }) => [worker, number]));
      const known = new Map(cluster.workers.map((one) => [one.url, one]));
      for (const url of silent) if (!known.has(url)) known.set(url, { url, version: "", partitions: [], standbys: [] });
      workers.update([...known.values()].sort((a, b) => a.url.localeCompare(b.url)).map((one) => ({ ...one, silent: silent.includes(one.url), connections: open.get(one.url) ?? null })));
    }
    if (!lag) return;
    groups.update(lag.groups);
    const all = lag.groups.flatMap((group) => group.partitions);
    const retention = new Map(flow?.topics.map((one) => [one.topic, one]));
    const keeps = retention.get(UNIFIED)?.retentionSeconds ?? null;
    partitions.update(all.filter(({ topic }) => topic === UNIFIED).map((one) => {
      const owner = cluster?.workers.find((worker) => worker.partitions.includes(one.partition))?.url ?? null;
      const standby = (cluster?.workers ?? []).filter((worker) => worker.standbys.includes(one.partition)).map(({ url }) => url);
      return { ...one, owner, standby, silent: silent.includes(owner), keeps };
    }));
    topics.update([...Map.groupBy(all, ({ topic }) => topic)].map(([topic, list]) => {
      const known = retention.get(topic);
      return { topic, partitions: list, perSecond: known?.perSecond ?? null, dead: known?.deadLettersPerSecond ?? null, left: known?.headroomSeconds ?? null, keeps: known?.retentionSeconds ?? null };
    }));
    hot.update(hotTeams(lag, connections, flow));
  };
}

const HOT_TEAMS = 12;

/** Teams with most events, then those behind, then those with most listeners: {teamId, perSecond, connections, ageSeconds}. */
export function hotTeams(lag, connections, flow) {
  const found = new Map();
  const of = (teamId) => found.get(teamId) ?? found.set(teamId, { teamId }).get(teamId);
  for (const { teamId, ageSeconds } of lag?.teams ?? []) if (ageSeconds > 0) of(teamId);
  for (const { teamId, perSecond } of flow?.teams ?? []) of(teamId).perSecond = perSecond;
  for (const { teamId, ageSeconds } of lag?.teams ?? []) if (found.has(teamId)) of(teamId).ageSeconds = ageSeconds;
  for (const { teamId, connections: number } of connections?.teams ?? []) if (found.has(teamId)) of(teamId).connections = number;
  const behind = ({ ageSeconds = 0 }) => (ageSeconds > 30 ? ageSeconds : 0);
  return [...found.values()]
    .sort((a, b) => behind(b) - behind(a) || (b.perSecond ?? 0) - (a.perSecond ?? 0) || a.teamId - b.teamId)
    .slice(0, HOT_TEAMS);
}

/** Numbers as ranges: 0–3, 5. */
export function ranges(numbers) {
  const parts = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([from, to]) => (from === to ? String(from) : `${from}–${to}`)).join(", ");
}

function headroom(left, keeps) {
  if (keeps === null) return { text: "kept for ever", level: "none" };
  if (left === null) return { text: "not known" };
  const part = left / keeps;
  return { text: left <= 0 ? "expires now" : duration(left), part, level: part < 0.25 ? "bad" : part < 0.5 ? "warn" : null, title: `${many(Math.round(part * 100), "percent").replace("percents", "percent")} of ${duration(keeps)}` };
}
