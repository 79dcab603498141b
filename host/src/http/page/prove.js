// The section "Prove": a form made of the inputs of a circuit, or files; and the proof to download. Inputs are secrets: they
// stay in the form and are kept nowhere.

import * as api from "./api.js";
import { act, byId, h, setText } from "./dom.js";
import { download, dropZone } from "./files.js";
import { bytes, milliseconds } from "./format.js";
import * as live from "./live.js";
import * as store from "./store.js";

const choice = h("select", { id: "prove-circuit" });
const fields = h("div", { class: "fields" });
const json = h("textarea", { id: "prove-json", spellcheck: "false", autocomplete: "off", placeholder: '{ "x": "7", "path": ["1", "2"] }' });
const jsonField = h("div", { class: "field" }, h("label", { for: "prove-json" }, "Inputs as JSON"), json);
const asJob = h("input", { id: "prove-job", type: "checkbox" });
const submit = h("button", { type: "submit", class: "primary" }, "Prove");
const stop = h("button", { type: "button", class: "quiet", hidden: true }, "Stop waiting");
const verdict = h("output", { class: "verdict" });
const result = h("div", { hidden: true });
const file = { list: h("ul", { class: "files" }), chosen: null };
const note = h("p", { class: "dim" });
const form = h("form", {},
  h("div", { class: "field" }, h("label", { for: "prove-circuit" }, "Circuit"), choice), note, fields, jsonField,
  dropZone("prove-file", "Drop a file instead", "a witness (.wtns), input.json, or the statement that the image takes", take), file.list,
  h("label", { class: "row" }, asJob, h("span", {}, "As a job, which outlives this page ", h("span", { class: "dim" }, "(its result is listed under Jobs)"))),
  h("div", { class: "row" }, submit, stop), verdict, result);

let circuits = [];
let circuit = null;

function say(text, kind = "") {
  verdict.className = `verdict ${kind}`;
  setText(verdict, text);
}

async function take([given]) {
  result.hidden = true;
  if (given.name.toLowerCase().endsWith(".json") && given.size < 1 << 20 && circuit?.circuit) {
    // Shown in the form, so that it can be read and changed.
    fill(await given.text());
    return;
  }
  file.chosen = given;
  const drop = h("button", { type: "button", class: "quiet", onclick: dropFile }, "Remove");
  file.list.replaceChildren(h("li", {}, `${given.name}, ${bytes(given.size)} `, drop));
  say("");
}

function dropFile() {
  file.chosen = null;
  file.list.replaceChildren();
}

/** Puts inputs into the fields, or into the text where they do not fit. */
function fill(text) {
  dropFile();
  json.value = text;
  const inputs = parse(text);
  if (!inputs) return say("This file is no JSON object.", "bad");
  const plain = inputs.inputs && Object.keys(inputs).length === 1 ? inputs.inputs : inputs;
  for (const input of fields.querySelectorAll("input")) {
    const value = Object.hasOwn(plain, input.name) ? plain[input.name] : undefined;
    input.value = value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  }
  return say("");
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** Makes the form of the chosen circuit. */
function choose() {
  circuit = circuits.find(({ name, image }) => choice.value === `${image} ${name}`) ?? null;
  dropFile();
  say("");
  result.hidden = true;
  json.value = "";
  const names = circuit?.inputs ?? [];
  fields.replaceChildren(...names.map((name, index) => h("div", { class: "field" },
    h("label", { for: `input-${index}` }, name, " ", h("span", { class: "dim" }, circuit.public?.includes(name) ? "public" : "private")),
    h("input", { id: `input-${index}`, name, type: "text", spellcheck: "false", autocomplete: "off", placeholder: '7, 0x1f or ["1", "2"]' }))));
  const isData = Boolean(circuit?.circuit);
  jsonField.hidden = !isData || names.length > 0;
  setText(note, !circuit ? "There are no circuits to prove with."
    : !isData ? "This circuit is part of the image: drop the statement in the format of its guest."
      : names.length ? "Fields take a number in decimal or hexadecimal, or a JSON array."
        : "The names of the inputs are not known, because the circuit came without its .sym file.");
  submit.disabled = !circuit;
}

/** The body of the request: the file, or the inputs as JSON. */
function body() {
  if (file.chosen) return { body: file.chosen, headers: { "content-type": "application/octet-stream" } };
  const headers = { "content-type": "application/json" };
  const inputs = [...fields.querySelectorAll("input")];
  if (!inputs.length) {
    if (!parse(json.value)) throw new Error("The inputs are no JSON object.");
    return { body: json.value, headers };
  }
  const value = (text) => (/^\s*[[{]/.test(text) ? JSON.parse(text) : text.trim());
  const object = Object.create(null);
  for (const { name, value: text } of inputs) {
    if (!text.trim()) throw new Error(`The input ${name} is empty.`);
    try {
      object[name] = value(text);
    } catch {
      throw new Error(`The input ${name} is neither a number nor a JSON array.`);
    }
  }
  return { body: JSON.stringify(object), headers };
}

/** Follows a job to its end, and returns its result. */
async function follow(job, signal) {
  while (job.state === "queued" || job.state === "claimed") {
    say(`The job is ${job.state}${job.place ? `, ${job.place} before it` : ""}…`);
    job = await (await api.send(`/v1/jobs/${job.id}?wait=20s`, { signal })).json();
  }
  if (job.state !== "succeeded") throw new Error(job.error ? `${job.error.message} (${job.error.code})` : `The job is ${job.state}.`);
  return api.send(`/v1/jobs/${job.id}/result`, { signal });
}

async function prove(event) {
  event.preventDefault();
  const { name, image } = circuit;
  const controller = new AbortController();
  const begun = performance.now();
  stop.onclick = () => controller.abort();
  result.hidden = true;
  submit.disabled = true;
  stop.hidden = false;
  try {
    const sent = body();
    say("Proving…");
    const headers = { ...sent.headers, accept: "application/json, */*;q=0.5" };
    const query = asJob.checked ? { image, async: "true" } : { image };
    let response = await api.send(api.path("/v1/circuits/", name, "/prove", query), { method: "POST", body: sent.body, headers, signal: controller.signal });
    if (asJob.checked) response = await follow(await response.json(), controller.signal);
    await showProof(name, image, await response.blob(), performance.now() - begun);
  } catch (error) {
    say(error.name === "AbortError" ? "Stopped waiting. The server finishes what it has begun." : error.message, "bad");
  } finally {
    submit.disabled = false;
    stop.hidden = true;
  }
}

async function showProof(name, image, blob, tookMs) {
  const proof = blob.type.startsWith("application/json") ? parse(await blob.text()) : null;
  const signals = proof?.signals ? Object.entries(proof.signals) : (proof?.public ?? proof?.publicSignals ?? []).map((value, index) => [`public ${index}`, value]);
  say(`Proven in ${milliseconds(tookMs)}${proof?.timings ? `, of which the proof took ${milliseconds(proof.timings.proof_ms)}` : ""}.`, "ok");
  const save = h("button", { type: "button", id: "prove-download", onclick: () => download(blob, proof ? `${name}-proof.json` : `${name}.proof`) }, `Download the proof, ${bytes(blob.size)}`);
  const check = h("button", { type: "button", onclick: () => act(check, async () => {
    await api.post(api.path("/v1/circuits/", name, "/verify", { image }), blob, { "content-type": proof ? "application/json" : "application/octet-stream" });
    say("The server verified the proof.", "ok");
  }) }, "Verify it");
  const rows = signals.slice(0, 64).map(([signal, value]) => h("tr", {}, h("td", { class: "dim wrap" }, signal), h("td", { class: "mono wrap" }, JSON.stringify(value).replaceAll('"', ""))));
  result.replaceChildren(h("div", { class: "row" }, save, check), ...(rows.length ? [h("h3", {}, "Public signals"), h("table", {}, h("tbody", {}, rows))] : []));
  result.hidden = false;
}

async function refresh(wanted) {
  const before = choice.value;
  try {
    circuits = await store.circuits();
  } catch (error) {
    setText(note, error.message);
    return;
  }
  const chosen = store.fillChoice(choice, circuits, wanted || undefined);
  // The name may stand for another circuit by now, with other inputs.
  if (choice.value !== before || chosen?.vk_digest !== circuit?.vk_digest || chosen?.inputs?.join() !== circuit?.inputs?.join()) choose();
  else circuit = chosen;
}

export function prepare() {
  choice.addEventListener("change", choose);
  form.addEventListener("submit", prove);
  byId("view-prove").append(h("article", { class: "panel narrow" }, h("h2", {}, "Prove"), form));
  live.on("*", (event) => event.event === "published" && !byId("view-prove").hidden && refresh());
}

export const show = refresh;
