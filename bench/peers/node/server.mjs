// Source topics to a team's WebSockets, on kafkajs and ws. It does not re-key, keeps no state, and checks no membership.
import { createServer } from "node:http";
import { Kafka, logLevel } from "kafkajs";
import { WebSocketServer } from "ws";

const { KAFKA_BROKERS, PORT, SOURCES, GROUP } = process.env;
const teams = new Map(); // team id -> Set of sockets
let joined = false;

const http = createServer((_request, response) => {
  response.statusCode = joined ? 200 : 503;
  response.end();
});

new WebSocketServer({ server: http, path: "/ws", perMessageDeflate: false }).on("connection", (socket, request) => {
  const team = Number(new URL(request.url, "http://localhost").searchParams.get("teamId"));
  if (!teams.has(team)) teams.set(team, new Set());
  teams.get(team).add(socket);
  socket.on("close", () => teams.get(team).delete(socket));
});

const kafka = new Kafka({ clientId: GROUP, brokers: KAFKA_BROKERS.split(","), logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: GROUP });
consumer.on(consumer.events.GROUP_JOIN, () => { joined = true; });

await consumer.connect();
await consumer.subscribe({ topics: SOURCES.split(",") });
await consumer.run({
  partitionsConsumedConcurrently: 8,
  eachBatch: async ({ batch, resolveOffset }) => {
    for (const message of batch.messages) {
      const event = JSON.parse(message.value);
      const text = JSON.stringify(event);
      for (const socket of teams.get(event.teamId) ?? []) socket.send(text);
      resolveOffset(message.offset);
    }
  },
});
http.listen(Number(PORT), "127.0.0.1");
process.on("SIGTERM", async () => { await consumer.disconnect(); process.exit(0); });
