// Who uses the page: the key, its role, and the form that asks for it.

import * as api from "./api.js";
import { byId, setText } from "./dom.js";

const RANKS = { prover: 1, registrar: 2, operator: 3 };
let me = { keys: "off", role: "registrar" };
const listeners = [];

/** Whether the key may change circuits. */
export const mayChange = () => RANKS[me.role] >= RANKS.registrar;
/** Whether the key may operate: swap instances, change settings. Without keys, that is left to the admin listener. */
export const mayOperate = () => me.keys === "required" && me.role === "operator";

/** Calls back now and whenever somebody else signs in. */
export function whenKnown(listener) {
  listeners.push(listener);
}

function show() {
  const needsKey = me.keys === "required";
  setText(byId("who"), needsKey ? [me.tenant, me.role].filter(Boolean).join(" · ") : "");
  byId("sign-out").hidden = !needsKey || !api.key.get();
  listeners.forEach((listener) => listener());
}

/** Asks the server who this is. A server without keys has no such route. */
export async function identify() {
  try {
    me = await api.get("/v1/whoami");
  } catch (error) {
    if (error.status !== 404) throw error;
    me = { keys: "off", role: "registrar" };
  }
  show();
}

function ask(error) {
  setText(byId("sign-in-error"), error);
  const dialog = byId("sign-in");
  if (!dialog.open) dialog.showModal();
  byId("key").select();
}

/** Prepares the form. `restart` is called when a key was accepted. */
export function prepare(restart) {
  api.whenUnauthorised((used) => {
    // Another request may have been answered with a newer key.
    if (used !== api.key.get()) return;
    const wasUsed = used !== null;
    api.key.forget();
    ask(wasUsed ? "The server does not accept this key." : "");
  });
  const dialog = byId("sign-in");
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  byId("sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = byId("key").value.trim();
    if (!given) return;
    api.key.set(given);
    try {
      await identify();
    } catch (error) {
      if (error.status !== 401) ask(error.message);
      return;
    }
    byId("key").value = "";
    setText(byId("sign-in-error"), "");
    dialog.close();
    restart();
  });
  byId("sign-out").addEventListener("click", () => {
    api.key.forget();
    location.reload();
  });
}
