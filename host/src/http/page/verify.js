// The section "Verify": a circuit, and a proof that is dropped.

import * as api from "./api.js";
import { byId, h, setText } from "./dom.js";
import { dropZone } from "./files.js";
import { milliseconds } from "./format.js";
import * as live from "./live.js";
import * as store from "./store.js";

const choice = h("select", { id: "verify-circuit" });
const verdict = h("output", { class: "verdict" });
let circuits = [];

function say(text, kind = "") {
  verdict.className = `verdict ${kind}`;
  setText(verdict, text);
}

/** One body of the files: a proof as it is, or the two files of snarkjs as one object. */
async function bodyOf(files) {
  if (files.length === 1) return files[0];
  const values = await Promise.all(files.map(async (file) => JSON.parse(await file.text())));
  const publicSignals = values.find(Array.isArray);
  const proof = values.find((value) => !Array.isArray(value));
  if (files.length !== 2 || !publicSignals || !proof) throw new Error("not a proof and its public signals");
  return new Blob([JSON.stringify({ proof, publicSignals })], { type: "application/json" });
}

async function take(files) {
  const circuit = circuits.find(({ name, image }) => choice.value === `${image} ${name}`);
  if (!circuit) return say("Choose a circuit first.", "bad");
  const names = files.map(({ name }) => name).join(" and ");
  say(`Verifying ${names}…`);
  let body;
  try {
    body = await bodyOf(files);
  } catch (error) {
    return say(`${names}: ${error.message}`, "bad");
  }
  const isJson = files.every(({ name }) => name.toLowerCase().endsWith(".json"));
  const begun = performance.now();
  try {
    await api.post(api.path("/v1/circuits/", circuit.name, "/verify", { image: circuit.image }), body, { "content-type": isJson ? "application/json" : "application/octet-stream" });
    return say(`Valid: ${names} is a proof of ${circuit.name}. Verified in ${milliseconds(performance.now() - begun)}.`, "ok");
  } catch (error) {
    return say(error.code === "refuted" ? `Not valid: ${names} is no proof of ${circuit.name}.` : error.message, "bad");
  }
}

async function refresh(wanted) {
  try {
    circuits = await store.circuits();
  } catch (error) {
    return say(error.message, "bad");
  }
  store.fillChoice(choice, circuits, wanted || undefined);
  return undefined;
}

export function prepare() {
  choice.addEventListener("change", () => say(""));
  byId("view-verify").append(h("article", { class: "panel narrow" }, h("h2", {}, "Verify"),
    h("div", { class: "field" }, h("label", { for: "verify-circuit" }, "Circuit"), choice),
    dropZone("verify-file", "Drop a proof here", "as the server returned it, or proof.json with public.json of snarkjs", take), verdict));
  live.on("*", (event) => event.event === "published" && !byId("view-verify").hidden && refresh());
}

export const show = refresh;
