// Follows a user's teams as the board does, without drawing: the board's own store and connection.
async (userId) => {
  const { Store } = await import("/board/store.js");
  const { Connection } = await import("/board/connection.js");
  const states = [];
  const nothing = () => {};
  const store = new Store(userId, {
    columns: nothing, team: nothing, task: nothing, user: nothing, synced: nothing, trouble: nothing,
    event: (event) => { if (event.state !== undefined) states.push([event.type, event.state === null]); },
  });
  const connection = new Connection(userId, { onState: nothing, onOpen: () => store.sync(), onEvent: (event) => store.receive(event) });
  connection.open();
  window.replica = {
    synced: () => store.synced,
    states: () => states,
    has: (eventId) => store.recent.has(eventId),
    team: (key) => {
      const stream = store.streams.get(key);
      if (!stream || !stream.loaded || stream.buffer) return null;
      return {
        team: stream.team,
        members: [...stream.members].map(([userId, role]) => ({ userId, role })).sort((a, b) => a.userId - b.userId),
        tasks: [...stream.tasks.values()].sort((a, b) => a.taskId - b.taskId),
      };
    },
  };
}
