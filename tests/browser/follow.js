// A program with a client: notes everything that the client tells it, for the test to read as window.followed.
async ([module, options, teams]) => {
  const { Teamcast } = await import(module);
  const client = new Teamcast({ ...options, ...(window.newToken ? { token: (why) => window.newToken(why.reason) } : {}) });
  const noted = { events: [], gaps: [], snapshots: [], states: [], left: [], errors: [], read: [] };
  const note = (type, list, what) => client.addEventListener(type, ({ detail }) => noted[list].push(what(detail)));
  note("event", "events", ({ key, event }) => [key, event.eventId, event.position]);
  note("gap", "gaps", ({ key, reason }) => [key, reason]);
  note("snapshot", "snapshots", ({ key }) => key);
  note("status", "states", ({ state, code }) => [state, code ?? null]);
  note("left", "left", ({ key, reason }) => [key, reason]);
  note("error", "errors", ({ code, message }) => [code, message]);
  (async () => {
    for await (const message of client) noted.read.push(message.eventId ?? message.type);
  })().catch(() => {}); // a stop is told as status
  client.connect();
  const answer = await client.subscribe(teams).catch((error) => error.code);
  window.followed = {
    client,
    noted,
    answer,
    look: () => ({ ...noted, synced: client.synced, positions: client.positions, userId: client.userId }),
    team: (key) => client.team(key)?.toJSON() ?? null,
  };
  return answer;
}
