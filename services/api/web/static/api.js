// Requests to the API, and its errors as exceptions. Source: docs/protocol.md §3.

/** What a login is refused with: nobody was signed in yet. */
const OF_LOGINS = new Set(["credentials_invalid", "second_factor_required", "code_invalid"]);
const ROOT = document.documentElement.dataset.root;

/** The API refused. `code` is stable. `retryAfter` is in seconds, 0 where none is said. */
export class Refused extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code ?? "";
    this.field = problem.field ?? null;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may work later. */
  get passes() {
    return this.status >= 500 || this.status === 429;
  }
}

/** No answer came: the network or the API is away. */
export class Unreachable extends Error {}

const listeners = new Set();

/** Calls `listener` when nobody is signed in (any more). */
export function onSignedOut(listener) {
  listeners.add(listener);
}

/** Tells those who listen that nobody is signed in. */
export function tellSignedOut() {
  for (const listener of listeners) listener();
}

/**
 * Sends a request. `body` becomes JSON. Returns the response, whatever body it has.
 *
 * Throws Refused, Unreachable, or the signal's reason.
 */
export async function send(method, path, { body, headers = {}, signal } = {}) {
  const init = { method, headers: { Accept: "application/json", ...headers }, signal, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(below(path), init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable("The server can't be reached.", { cause: error });
  }
  if (response.ok) return response;
  const refused = new Refused(response.status, await readProblem(response), Number(response.headers.get("Retry-After")) || 0);
  if (refused.status === 401 && !OF_LOGINS.has(refused.code)) tellSignedOut();
  throw refused;
}

/** Sends a request, and returns the JSON of the answer; null where the answer has no body. */
export async function call(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : readJson(response, options?.signal);
}

/** The JSON of a response. Throws Unreachable when the body breaks off, or the signal's reason. */
export async function readJson(response, signal) {
  try {
    return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable("The answer of the server broke off.", { cause: error });
  }
}

/** The path of the next page, from the `Link` header; null on the last page. */
export function nextPage(response) {
  return linked(response, "next");
}

/** The path of the page before, likewise. */
export function pageBefore(response) {
  return linked(response, "prev");
}

function linked(response, rel) {
  const links = (response.headers.get("Link") ?? "").matchAll(/<([^>]+)>; rel="(\w+)"/g);
  return [...links].find((link) => link[2] === rel)?.[1] ?? null;
}

/** A path as this page reaches it. Paths that answers name begin with the root already. */
export function below(path) {
  return path.startsWith(`${ROOT}/api/`) ? path : ROOT + path;
}

/** A new key for the Idempotency-Key header. `crypto.randomUUID` is not there on plain http. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function readProblem(response) {
  try {
    return (await response.json()) ?? {};
  } catch {
    return {}; // a proxy's own error page
  }
}
