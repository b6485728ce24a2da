/** Longest wait for an answer, in milliseconds: a POST waits for the brokers' acknowledgement. */
const TIMEOUT_MS = 20_000;

/** An answer that is not a success: `status`, the problem's text, and the faults of single fields. */
export class Problem extends Error {
  constructor(status, message, errors = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Problem(0, "The server cannot be reached.");
  }
  const body = await response.json().catch(() => null);
  if (response.ok) {
    if (body === null) throw new Problem(0, "The server's answer was cut off.");
    return body;
  }
  const errors = Array.isArray(body?.errors) ? body.errors : [];
  const text = body?.detail ?? body?.title ?? `The server answered ${response.status}.`;
  throw new Problem(response.status, text, errors);
}

/** Writes one source event; gives {topic, partition, offset, eventId} once the brokers have it. Raises Problem. */
export const postEvent = (topic, value) =>
  request(`/api/events/${topic}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    // No timestamp: the record's own time then counts. With this device's clock, a slow one would lose against everybody's.
    body: JSON.stringify({ eventType: topic, ...value }),
  });
