// Follows a user's teams as any program does: with the client, without drawing.
async (userId) => {
  const { Teamcast } = await import("/sdk/teamcast.js");
  const states = [];
  const seen = new Set();
  const client = new Teamcast({ userId });
  client.addEventListener("event", ({ detail: { event } }) => {
    seen.add(event.eventId);
    if (event.state !== undefined) states.push([event.type, event.state === null]);
  });
  client.subscribe("all");
  client.connect();
  window.replica = {
    synced: () => client.synced,
    states: () => states,
    has: (eventId) => seen.has(eventId),
    team: (key) => (client.synced ? (client.team(key)?.toJSON() ?? null) : null),
  };
}
