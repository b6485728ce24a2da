import { again, at, connected, created, event, following, ids, made, mine, snapshot, turn } from "./fake.js";
import { equal, ok, test } from "./harness.js";

const bytes = (command) => new TextEncoder().encode(JSON.stringify(command)).length;
/** A position as long as the server's. */
const long = (n) => `${String(n).padStart(16, "0")}-942e71578d414dd8-289f52fdb99aaf79`;
const range = (count, from = 1) => Array.from({ length: count }, (_, index) => from + index);
const codeOf = (promise) => promise.then(() => "resolved", (error) => error.code);

test("everything that is asked for in one turn is one command", async () => {
  const world = await connected(null, { presence: true });
  const done = [world.client.subscribe(42), world.client.subscribe(["me", 42]), world.client.subscribe(new Set([43]))];
  await turn();
  equal(world.socket().sent, [{ id: 1, type: "subscribe", teams: [42, "me", 43], since: {}, snapshot: true, presence: true }]);
  world.socket().reply("subscribe", { positions: { 42: at(1), me: at(2) }, refused: [43] });
  equal(await done[0], { positions: { 42: at(1) }, refused: [] });
  equal(await done[1], { positions: { 42: at(1), me: at(2) }, refused: [] });
  equal(await codeOf(done[2]), "not_member");
});

test("what is asked for before there is a connection is asked for when there is one", async () => {
  const world = await connected([42]);
  equal(world.socket().commands("subscribe").map((command) => command.teams), [[42]]);
});

test("everything is asked for with all, and what comes later comes by itself", async () => {
  const world = await following([1]);
  equal(world.socket().sent, [{ id: 1, type: "subscribe", teams: "all", since: {}, snapshot: true, presence: false }]);
  equal(await world.asked, { positions: { 42: at(10), me: at(5) }, refused: [] });
  const joining = event(20, "team.member_added", { teamId: 43, userId: 7, role: "member" }, { teamId: 43 });
  world.socket().say({ type: "joined", teamId: 43 }, joining);
  equal(world.client.synced, false);
  world.socket().say(snapshot(20, [9], { teamId: 43 }));
  equal([ids(world.client, 43), world.client.synced, world.told("event").length, world.told("joined").length], [[9], true, 1, 1]);
});

test("a new connection goes on from every position", async () => {
  const world = await following([1]);
  world.socket().say(created(11, 2));
  await again(world);
  equal(world.socket().sent, [{ id: 2, type: "subscribe", teams: "all", since: { 42: at(11), me: at(5) }, snapshot: true, presence: false }]);
  equal([world.client.synced, ids(world.client)], [false, [1, 2]]);
  world.socket().reply("subscribe", { positions: { 42: at(11), me: at(5) }, refused: [] });
  equal(world.client.synced, true);
  world.socket().say(created(12, 3));
  equal([ids(world.client), world.told("event").map((one) => one.event.position)], [[1, 2, 3], [at(11), at(12)]]);
});

test("a list goes on from its positions too, and only from those", async () => {
  const world = await following([1], {}, [42, "me", 44]);
  equal(await world.asked, { positions: { 42: at(10), me: at(5) }, refused: [44] });
  await again(world);
  equal(world.socket().sent[0], { id: 2, type: "subscribe", teams: [42, "me", 44], since: { 42: at(10), me: at(5) }, snapshot: true, presence: false });
});

test("a snapshot that was cut off begins anew, since there is no position yet", async () => {
  const world = await connected([42]);
  world.socket().reply("subscribe", { positions: { 42: at(10) }, refused: [] });
  world.socket().say(snapshot(10, [1], { parts: 2 }));
  await again(world);
  equal(world.socket().sent[0].since, {});
  world.socket().reply("subscribe", { positions: { 42: at(12) }, refused: [] });
  world.socket().say(snapshot(12, [1], { parts: 2 }), snapshot(12, [2], { part: 2, parts: 2 }));
  equal(ids(world.client), [1, 2]);
});

test("more teams than one command takes are asked for in several", async () => {
  const world = await connected(range(2_500));
  const sent = world.socket().commands("subscribe");
  equal([sent.map((command) => command.teams.length), new Set(sent.flatMap((command) => command.teams)).size], [[1_000, 1_000, 500], 2_500]);
  for (const { id, teams } of sent) world.socket().say({ type: "reply", id, ok: true, positions: Object.fromEntries(teams.map((team) => [team, at(1)])), refused: [] });
  equal(Object.keys((await world.asked).positions).length, 2_500);
});

test("no command is longer than the server takes, and no position is forgotten", async () => {
  const since = Object.fromEntries(range(1_900, 10 ** 15).map((team) => [team, long(team % 1_000)]));
  const world = made({ snapshot: false, since });
  world.client.connect();
  world.client.subscribe(range(1_900, 10 ** 15));
  world.socket().welcome();
  await turn();
  const sent = world.socket().commands("subscribe");
  ok(sent.length > 2 && sent.every((command) => bytes(command) <= 65_536), sent.map(bytes).join());
  equal(Object.assign({}, ...sent.map((command) => command.since)), since);
  for (const command of sent) equal(Object.keys(command.since).map(Number), command.teams);
});

test("a server that takes fewer teams at once is asked for fewer", async () => {
  const world = await connected(range(1_000));
  const given = [];
  for (let count = 0; count < 12; count += 1) {
    for (const { id, teams } of world.socket().commands("subscribe").filter((command) => !given.includes(command.id))) {
      given.push(id);
      if (teams.length > 300) world.socket().say({ type: "reply", id, ok: false, error: { code: "limit", message: "at most 300" } });
      else world.socket().say({ type: "reply", id, ok: true, positions: Object.fromEntries(teams.map((team) => [team, at(1)])), refused: [] });
    }
    await turn();
  }
  equal(Object.keys((await world.asked).positions).length, 1_000);
  equal(world.errors(), []);
});

test("a single team that is over a limit is said, and not asked for for ever", async () => {
  const world = await connected([42]);
  world.socket().refuse("subscribe", "limit");
  await turn();
  equal([await codeOf(world.asked), world.errors(), world.socket().sent.length, world.client.synced], ["limit", ["limit"], 1, true]);
});

test("with more positions than all takes the rest is asked for by name, and what comes of it before is not taken twice", async () => {
  const teams = range(1_500);
  const since = Object.fromEntries(teams.map((team) => [team, long(10)]));
  const world = made({ snapshot: false, since });
  world.client.connect();
  world.client.subscribe("all");
  world.socket().welcome();
  await turn();
  const [all, ...rest] = world.socket().commands("subscribe");
  const late = rest.flatMap((command) => command.teams);
  equal([all.teams, [...Object.keys(all.since).map(Number), ...late].sort((a, b) => a - b)], ["all", teams]);
  const first = Number(Object.keys(all.since)[0]);
  const last = late[0];
  const said = (team, n) => world.socket().say({ ...created(1, n), teamId: team, position: long(n) });
  world.socket().say({ type: "reply", id: all.id, ok: true, positions: Object.fromEntries(teams.map((team) => [team, team in all.since ? long(10) : long(15)])), refused: [] });
  said(first, 11);
  said(last, 16); // from where "all" began it
  for (const { id, teams: some } of rest) world.socket().say({ type: "reply", id, ok: true, positions: Object.fromEntries(some.map((team) => [team, long(10)])), refused: [] });
  for (const n of [11, 15, 16, 17]) said(last, n);
  const seen = world.told("event").map(({ key, event: { position } }) => [key, position]);
  equal(seen, [[first, long(11)], ...[11, 15, 16, 17].map((n) => [last, long(n)])]);
  equal([world.client.synced, world.client.positions[last]], [true, long(17)]);
});

test("teams that are none of the user's are refused, and are here no longer", async () => {
  const world = await following([1]);
  await again(world);
  world.socket().reply("subscribe", { positions: { me: at(5) }, refused: [42] });
  equal([[...world.client.streams.keys()], world.told("left"), world.client.positions], [["me"], [{ key: 42, type: "left", teamId: 42, reason: "refused" }], { me: at(5) }]);
});

test("a list that is refused whole rejects, and begins when the user joins", async () => {
  const world = await connected([42]);
  world.socket().refuse("subscribe", "not_member");
  await turn();
  equal([await codeOf(world.asked), world.client.synced, world.errors()], ["not_member", true, []]);
  world.socket().say({ type: "joined", teamId: 42 });
  await turn();
  equal(world.socket().commands("subscribe").length, 2);
  world.socket().reply("subscribe", { positions: { 42: at(3) }, refused: [] });
  world.socket().say(snapshot(3, [1]));
  equal(ids(world.client), [1]);
});

test("who joins while it is under way whether they are a member is asked for again", async () => {
  const world = await connected([42, 43]);
  world.socket().say({ type: "joined", teamId: 42 });
  world.socket().reply("subscribe", { positions: { 43: at(1) }, refused: [42] });
  await turn();
  equal(world.socket().commands("subscribe").map((command) => command.teams), [[42, 43], [42]]);
});

test("a team that is joined and was not asked for is only told", async () => {
  const world = await following([1], {}, [42, "me"]);
  world.socket().say({ type: "joined", teamId: 50 });
  await turn();
  equal([world.socket().sent.length, world.told("joined").map((one) => one.key), [...world.client.streams.keys()]], [1, [50], [42, "me"]]);
});

test("left takes the team away, and coming back begins anew", async () => {
  for (const teams of ["all", [42, "me"]]) {
    const world = await following([1], {}, teams);
    world.socket().say(event(11, "team.member_removed", { userId: 7 }), { type: "left", teamId: 42, reason: "removed" });
    await turn();
    equal([[...world.client.streams.keys()], world.told("left").length, world.client.synced, world.client.positions], [["me"], 1, true, { me: at(5) }]);
    equal(world.socket().sent.length, 1);
    world.socket().say({ type: "joined", teamId: 42 });
    await turn();
    equal(world.socket().commands("subscribe").length, teams === "all" ? 1 : 2);
    if (teams !== "all") world.socket().reply("subscribe", { positions: { 42: at(12) }, refused: [] });
    world.socket().say(snapshot(12, [2]));
    equal([ids(world.client), world.client.synced], [[2], true]);
  }
});

test("a loss between leaving and coming back asks for a fresh snapshot", async () => {
  const world = await following([1]);
  world.socket().say({ type: "left", teamId: 42, reason: "deleted" }, { type: "joined", teamId: 42 });
  await again(world);
  equal(world.socket().sent[0].since, { me: at(5) });
});

test("what is let go is gone at once, and what still comes of it is not looked at", async () => {
  const world = await following([1], {}, [42, "me"]);
  world.client.unsubscribe(42);
  equal([[...world.client.streams.keys()], world.client.positions], [["me"], { me: at(5) }]);
  world.socket().say(created(11, 2), snapshot(11, [2]), { type: "gap", teamId: 42, reason: "overflow" }, { type: "left", teamId: 42, reason: "removed" });
  await turn();
  equal([world.socket().commands("unsubscribe").map((command) => command.teams), world.told("event"), [...world.client.streams.keys()]], [[[42]], [], ["me"]]);
  await again(world);
  equal(world.socket().sent[0].teams, ["me"]);
});

test("who lets go and asks again in one turn keeps what there is on the server, and begins here anew", async () => {
  const world = await following([1], {}, [42]);
  world.client.unsubscribe(42);
  await turn();
  const done = world.client.subscribe(42);
  await turn();
  world.socket().say(created(11, 2)); // of the old subscription
  world.socket().reply("subscribe", { positions: { 42: at(11) }, refused: [] });
  world.socket().say(snapshot(11, [1, 2]), created(12, 3));
  equal([await done, ids(world.client), world.told("event").map((one) => one.event.position)], [{ positions: { 42: at(11) }, refused: [] }, [1, 2, 3], [at(12)]]);
});

test("an answer to what was let go meanwhile changes nothing", async () => {
  for (const teams of ["all", [42]]) {
    const world = await connected(teams);
    world.client.unsubscribe(teams);
    await turn();
    world.socket().reply("subscribe", { positions: { 42: at(10), me: at(5) }, refused: [] });
    world.socket().say(snapshot(10, [1]));
    world.client.subscribe([50]);
    await turn();
    equal([await codeOf(world.asked), world.client.streams.size], ["unsubscribed", 0]);
    equal(world.socket().sent.map(({ type, teams: named }) => [type, named]), [["subscribe", teams], ["unsubscribe", teams], ["subscribe", [50]]]);
  }
});

test("from all to a list: all is let go, and the list is asked for", async () => {
  const world = await following([1]);
  world.client.unsubscribe("all");
  world.client.subscribe([42]);
  await turn();
  equal(world.socket().sent.slice(1).map(({ type, teams }) => [type, teams]), [["unsubscribe", "all"], ["subscribe", [42]]]);
});

test("from a list to all: what is here goes on from its position", async () => {
  const world = await following([1], {}, [42]);
  const done = world.client.subscribe("all");
  await turn();
  equal(world.socket().sent[1], { id: 2, type: "subscribe", teams: "all", since: { 42: at(10) }, snapshot: true, presence: false });
  world.socket().say(created(11, 2)); // comes again behind the answer
  world.socket().reply("subscribe", { positions: { 42: at(10), me: at(5), 43: at(1) }, refused: [] });
  world.socket().say(created(11, 2), snapshot(1, [9], { teamId: 43 }));
  equal([Object.keys((await done).positions), ids(world.client), ids(world.client, 43), world.told("event").length], [["42", "43", "me"], [1, 2], [9], 1]);
});

test("one team cannot be taken out of all", async () => {
  const world = await following([1]);
  try {
    world.client.unsubscribe(42);
    throw new Error("nothing was thrown");
  } catch (error) {
    equal(error.code, "bad_request");
  }
});

test("what is here already is answered at once", async () => {
  const world = await following([1]);
  equal(await world.client.subscribe([42]), { positions: { 42: at(10) }, refused: [] });
  equal(await codeOf(world.client.subscribe([99])), "not_member");
  equal(await world.client.subscribe("all"), { positions: { 42: at(10), me: at(5) }, refused: [] });
  equal(world.socket().sent.length, 1);
});

test("a subscription that waits when the server says stop is rejected, and stands for the next connection", async () => {
  const world = await connected([42]);
  world.socket().lose(4504);
  equal(await codeOf(world.asked), "limit");
  world.client.connect();
  world.socket().welcome();
  await turn();
  equal(world.socket().sent.map((command) => command.teams), [[42]]);
});

test("a subscription that waits when the connection is lost is answered by the next one", async () => {
  const world = await connected([42]);
  await again(world);
  world.socket().reply("subscribe", { positions: { 42: at(1) }, refused: [] });
  equal((await world.asked).positions, { 42: at(1) });
});

test("a server that is not able to subscribe now is left, and asked again", async () => {
  const world = await connected([42]);
  world.socket().refuse("subscribe", "unavailable");
  equal(world.client.status.state, "reconnecting");
  await world.clock.pass(1_000);
  world.socket().welcome();
  await turn();
  equal(world.socket().sent.length, 1);
});

test("a command that the server does not understand is told", async () => {
  const world = await connected("all");
  world.socket().refuse("subscribe", "bad_request");
  equal([await codeOf(world.asked), world.errors()], ["bad_request", ["bad_request"]]);
});

test("the user's own stream has no members, and its own snapshot", async () => {
  const world = await connected(["me"]);
  world.socket().reply("subscribe", { positions: { me: at(5) }, refused: [] });
  world.socket().say(mine(5, [3]), created(6, 4, { teamId: null }));
  equal([world.client.me.user.username, ids(world.client, "me"), world.client.synced], ["ada", [3, 4], true]);
});
