// What the server streams: its status once a second, and events. The connection is made again when it breaks.

import * as api from "./api.js";
import { byId, setText } from "./dom.js";
import { clock } from "./format.js";

const WAIT_MAX_MS = 15000;
/** Without any message for so long, the connection is taken for dead: the status comes once a second. */
const SILENCE_MAX_MS = 20000;

/** The last status; `null` before the first. */
export let status = null;
/** When the server was last heard, and since when it is missed (0 while it is not). */
export const contact = { at: 0, lostAt: 0 };

const target = new EventTarget();
let controller = null;

/** Calls back with each message of this name. `status` is the most frequent one; `*` stands for all other events. */
export function on(name, listener) {
  target.addEventListener(name, (event) => listener(event.detail));
}

const emit = (name, detail) => target.dispatchEvent(new CustomEvent(name, { detail }));

function heard() {
  contact.at = Date.now();
  if (contact.lostAt) {
    contact.lostAt = 0;
    byId("lost").hidden = true;
    document.documentElement.classList.remove("stale");
    emit("back");
  }
}

function lost(waitMs, error) {
  if (!contact.lostAt) {
    contact.lostAt = Date.now();
    emit("lost");
  }
  document.documentElement.classList.add("stale");
  const banner = byId("lost");
  // A server that answers says why it sends no events.
  const what = error?.status ? `The server sends no events: ${error.message}` : `No connection to the server since ${clock(contact.lostAt)}`;
  setText(banner, waitMs ? `${what}. Trying again in ${Math.ceil(waitMs / 1000)} s.` : `${what}.`);
  banner.hidden = false;
}

async function follow(signal) {
  let silence;
  const watch = () => {
    clearTimeout(silence);
    silence = setTimeout(() => controller.abort(), SILENCE_MAX_MS);
  };
  watch();
  try {
    for await (const { event, data } of api.events("/v1/events", signal)) {
      watch();
      heard();
      const detail = JSON.parse(data);
      if (event === "status") status = detail;
      emit(event === "status" ? "status" : "*", detail);
    }
  } finally {
    clearTimeout(silence);
  }
}

let run = 0;

/** Follows the server from now on, in place of an earlier connection. */
export async function connect() {
  const mine = ++run;
  controller?.abort();
  let waitMs = 500;
  while (mine === run) {
    controller = new AbortController();
    const begun = Date.now();
    let failure = null;
    try {
      await follow(controller.signal);
    } catch (error) {
      failure = error;
    }
    // After a refusal of the key, the form asks for another one, and connects again.
    if (mine !== run || failure?.status === 401) return;
    if (failure?.status === 403) return lost(0, failure);
    // A stream that ended after a while had worked, as when a server restarts.
    waitMs = Date.now() - begun > 5000 ? 1000 : Math.min(waitMs * 2, WAIT_MAX_MS);
    const jittered = waitMs * (0.75 + Math.random() / 2);
    lost(jittered, failure);
    await new Promise((resolve) => setTimeout(resolve, jittered));
  }
}
