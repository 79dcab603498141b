// Requests to the server, with the key of the tab; and server-sent events, which need a header that EventSource cannot send.

const KEY = "snapback.key";
let onUnauthorised = () => {};

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** Sets what happens when a request is refused for want of a key. */
export function whenUnauthorised(handler) {
  onUnauthorised = handler;
}

/** Why a request was not carried out, as the server put it. `status` is 0 if there was no answer. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function errorOf(response) {
  const text = await response.text().catch(() => "");
  try {
    const { code, message } = JSON.parse(text);
    return new ApiError(response.status, String(code), `${message} (${code})`);
  } catch {
    return new ApiError(response.status, "unknown", `the server answered ${response.status}`);
  }
}

/** Sends a request; returns the response, or throws an `ApiError`. */
export async function send(path, options = {}) {
  const headers = new Headers(options.headers);
  const used = key.get();
  if (used) headers.set("authorization", `Bearer ${used}`);
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "the server does not answer");
  }
  if (response.ok) return response;
  const error = await errorOf(response);
  if (response.status === 401) onUnauthorised(used);
  throw error;
}

export const get = async (path) => (await send(path)).json();

export async function post(path, body, headers) {
  return send(path, { method: "POST", body, headers });
}

/** Splits a stream of server-sent events into `{ event, data }`. */
export async function* events(path, signal) {
  const response = await send(path, { signal, headers: { accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      let event = "message";
      const data = [];
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) event = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      if (data.length) yield { event, data: data.join("\n") };
    }
  }
}

/** A path with its segment and query encoded: `path("/v1/circuits/", name, "/prove", { image })`. */
export function path(before, segment, after = "", query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(pairs).toString();
  return before + encodeURIComponent(segment) + after + (text ? `?${text}` : "");
}
