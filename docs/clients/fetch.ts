// Asks, follows the answer through every cut, and stops it, with nothing but fetch. Explained in fetch.md.

export type Part = { type: string; [key: string]: any };
export type Api = { url: string; token: string; refreshToken?: string };

const AGAIN = [429, 502, 503, 504];
const LONGEST_WAIT = 60; // seconds. A quota that is used up asks to wait until midnight.

/** Sends a message and follows its answer. The message is accepted once: the POST that is repeated after a cut resumes. */
export async function ask(api: Api, chat: number, content: string, onPart: (part: Part) => void): Promise<void> {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() };
  await follow(api, `/api/chats/${chat}/messages`, onPart, { method: "POST", headers, body: JSON.stringify({ content }) });
}

/** Follows a stream to its end, whatever happens on the way: for example a reply's `generation.stream_url`. */
export async function follow(api: Api, path: string, onPart: (part: Part) => void, init: RequestInit = {}): Promise<void> {
  const headers = new Headers(init.headers);
  for (;;) {
    headers.set("Authorization", `Bearer ${api.token}`);
    const response = await fetch(api.url + path, { ...init, headers }).catch(() => null);
    const wait = Number(response?.headers.get("Retry-After")) || 1;
    if (response?.status === 204) return;
    let status = response?.status ?? 503; // nobody answered
    if (status === 401 && (status = await refresh(api)) === 200) continue;
    if (status >= 400 && (!AGAIN.includes(status) || wait > LONGEST_WAIT)) throw new Error(await response!.text());
    if (response?.ok && (await read(response, headers, onPart))) return;
    await new Promise((retry) => setTimeout(retry, wait * 1000));
  }
}

/** Gets the next tokens, and puts them into `api`. Returns the status: 401 means that one has to log in again. */
async function refresh(api: Api): Promise<number> {
  if (!api.refreshToken) return 401;
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ refresh_token: api.refreshToken }) };
  const response = await fetch(`${api.url}/api/auth/refresh`, init).catch(() => null);
  if (response?.ok) ({ access_token: api.token, refresh_token: api.refreshToken } = await response.json());
  return response?.status ?? 503;
}

/** Reads one response. Returns whether it was the end; a response that is cut before is none. */
async function read(response: Response, headers: Headers, onPart: (part: Part) => void): Promise<boolean> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, id, data] = ["", "", ""];
  for (;;) {
    const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }));
    if (done) return false;
    const lines = (rest + value).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith("id: ")) id = line.slice(4);
      if (line.startsWith("data: ")) data = line.slice(6);
      if (line !== "" || data === "") continue; // an event ends with an empty line
      if (data === "[DONE]") return true;
      if (id) headers.set("Last-Event-ID", id);
      onPart(JSON.parse(data));
      [id, data] = ["", ""];
    }
  }
}

/** Stops what the chat is generating. The stream then ends with an `abort` part. */
export async function stop(api: Api, chat: number): Promise<void> {
  const ask = () => fetch(`${api.url}/api/chats/${chat}/stop`, { method: "POST", headers: { Authorization: `Bearer ${api.token}` } });
  if ((await ask()).status === 401 && (await refresh(api)) === 200) await ask();
}
