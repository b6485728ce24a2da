/** Longest wait for an answer, in milliseconds: who reads a long log takes a while. */
const TIMEOUT_MS = 30_000;
const TOKEN = "teamcast.ops.token";

/** An answer that is not a success: `status` (0: none came), the problem's text, and the faults of single fields. */
export class Problem extends Error {
  constructor(status, message, errors = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

let token = null;
try {
  token = sessionStorage.getItem(TOKEN);
} catch {
  // Storage may be forbidden: the token then lasts as long as the page.
}

/** Whether there is a token; with "" it is forgotten. It lives in this tab alone. */
export const hasToken = () => token !== null;

export function useToken(text) {
  token = text || null;
  try {
    if (token === null) sessionStorage.removeItem(TOKEN);
    else sessionStorage.setItem(TOKEN, token);
  } catch {
    // As above.
  }
}

async function request(path, options = {}) {
  const headers = { ...options.headers, ...(token === null ? {} : { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new Problem(0, error.name === "TimeoutError" ? "The worker did not answer in time." : "The worker cannot be reached.");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  if (response.ok) throw new Problem(0, "The worker's answer was cut off.");
  throw new Problem(response.status, body?.detail ?? body?.title ?? `The worker answered ${response.status}.`, Array.isArray(body?.errors) ? body.errors : []);
}

/** GET; `query` leaves out what is empty. Raises Problem. */
export function get(path, query = {}) {
  const asked = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return request(asked.length ? `${path}?${new URLSearchParams(asked)}` : path);
}

/** POST of a JSON body. Raises Problem. */
export const post = (path, body) => request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
