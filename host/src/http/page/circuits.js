// The section "Circuits": the list, and adding, replacing and removing by dropping files.

import * as api from "./api.js";
import * as changes from "./changes.js";
import { act, byId, cell, confirm, h, keyed, notify, setText, table } from "./dom.js";
import { acceptDrops, download, dropZone, stem } from "./files.js";
import { bytes, count, moment, plural, short } from "./format.js";
import * as live from "./live.js";
import { mayChange, whenKnown } from "./session.js";
import * as store from "./store.js";

/** The part of an upload that a file is, by its ending. */
const PARTS = { r1cs: "r1cs", wasm: "wasm", sym: "sym", zkey: "zkey", json: "vk" };

const { element: list, body } = table(["Circuit", "Image", "Size", "Signals", "Added", ""]);
const empty = h("p", { class: "empty" });
const form = {
  files: h("ul", { class: "files" }),
  name: h("input", { id: "circuit-name", type: "text", spellcheck: "false", autocomplete: "off", required: true }),
  image: h("select", { id: "circuit-image" }),
  replace: h("input", { id: "circuit-replace", type: "checkbox" }),
  submit: h("button", { type: "submit", class: "primary" }, "Add the circuit"),
  verdict: h("output", { class: "verdict", for: "circuit-files" }),
};
const details = h("form", { hidden: true }, form.files,
  h("div", { class: "fields" },
    h("div", { class: "field" }, h("label", { for: "circuit-name" }, "Name"), form.name),
    h("div", { class: "field", id: "circuit-image-field" }, h("label", { for: "circuit-image" }, "Image"), form.image)),
  h("label", { class: "row" }, form.replace, h("span", {}, "Replace all files of the circuit with this name")),
  h("div", { class: "row" }, form.submit, h("button", { type: "button", class: "quiet", onclick: () => clear() }, "Discard")));
const intake = h("article", { class: "panel" }, h("h2", {}, "Add or replace a circuit"),
  dropZone("circuit-files", "Drop the files of a circuit here", "or choose them: .r1cs or .zkey, with .wasm and .sym. A drop on a circuit below replaces it.", (files) => take(files)),
  details, form.verdict);

let circuits = [];
/** The files that wait to be sent, by their part. */
let pending = new Map();
let isShown = false;

function say(text, kind = "") {
  form.verdict.className = `verdict ${kind}`;
  setText(form.verdict, text);
}

function clear() {
  pending = new Map();
  details.hidden = true;
}

/** Takes files that were dropped, on the circuit `onto` or for a new one. */
function take(files, onto) {
  if (!mayChange()) return say("Your key does not permit changes of circuits.", "bad");
  if (onto) pending = new Map();
  const unknown = [];
  for (const file of files) {
    const part = PARTS[file.name.split(".").pop().toLowerCase()];
    if (part) pending.set(part, file);
    else unknown.push(file.name);
  }
  say(unknown.length ? `Not a file of a circuit: ${unknown.join(", ")}` : "", "bad");
  if (!pending.size) return undefined;
  const main = pending.get("r1cs") ?? pending.get("zkey");
  if (onto) {
    form.name.value = onto.name;
    form.image.value = onto.image;
  } else if (!form.name.value || details.hidden) {
    form.name.value = stem((main ?? [...pending.values()][0]).name).replace(/[^A-Za-z0-9._-]/g, "-");
  }
  form.replace.checked = Boolean(onto && main);
  details.hidden = false;
  showPending();
  form.name.focus();
  return undefined;
}

function showPending() {
  form.files.replaceChildren(...[...pending].map(([part, file]) => h("li", {}, h("strong", {}, part), ` ${file.name}, ${bytes(file.size)}`)));
  const isKnown = circuits.some(({ name }) => name === form.name.value);
  setText(form.submit, form.replace.checked && isKnown ? "Replace the circuit" : isKnown ? "Add these files to the circuit" : "Add the circuit");
}

async function submit(event) {
  event.preventDefault();
  const name = form.name.value.trim();
  const data = new FormData();
  pending.forEach((file, part) => data.append(part, file, part));
  say("Sending the files…");
  form.submit.disabled = true;
  try {
    const query = { image: form.image.value, replace: form.replace.checked ? "true" : "" };
    const response = await api.send(api.path("/v1/circuits/", name, "", query), { method: "PUT", body: data });
    const answer = await response.json();
    clear();
    if (answer.state === "unchanged") say(`${name} is served with these files already.`, "ok");
    else say(`Accepted as change ${answer.id}, which is on disk. Its state is below.`, "ok");
    await changes.refresh();
  } catch (error) {
    say(error.message, "bad");
  } finally {
    form.submit.disabled = false;
  }
}

async function remove(circuit) {
  const text = "Proofs can still be verified with its verifying key elsewhere. Earlier generations keep the circuit until they are forgotten.";
  if (!(await confirm(`Remove ${circuit.name}?`, text, "Remove"))) return;
  await api.send(api.path("/v1/circuits/", circuit.name, "", { image: circuit.image }), { method: "DELETE" });
  notify(`The removal of ${circuit.name} is accepted.`);
  await changes.refresh();
}

async function fetchKey({ name, image }) {
  const response = await api.post(api.path("/v1/methods/", "verifying_key", "", { image, circuit: name }));
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  download(await response.blob(), isJson ? `${name}-verification_key.json` : `${name}.vk`);
}

function makeRow(circuit) {
  const key = h("button", { type: "button", onclick: () => act(key, () => fetchKey(circuit)) }, "Key");
  const gone = h("button", { type: "button", class: "danger", onclick: () => act(gone, () => remove(circuit)) }, "Remove");
  const link = (section, text) => h("a", { class: "button", href: `#${section}/${encodeURIComponent(circuit.name)}` }, text);
  const row = h("tr", {},
    cell("Circuit", {}, h("div", {}, h("strong", { class: "wrap" }, circuit.name), h("div", { class: "dim mono" }))),
    cell("Image", {}), cell("Size", {}), cell("Signals", { class: "wrap" }), cell("Added", {}),
    cell("", { class: "actions" }, link("prove", "Prove"), link("verify", "Verify"), key, gone));
  acceptDrops(row, (files) => take(files, circuit));
  return row;
}

function updateRow(row, circuit) {
  const [name, image, size, signals, added, actions] = row.children;
  const isData = Boolean(circuit.circuit);
  setText(name.firstChild.lastChild, isData ? short(circuit.circuit) : "part of the image");
  setText(image, circuit.image);
  setText(size, circuit.constraints === undefined ? "" : `${count(circuit.constraints)} constraints, 2^${circuit.k} rows`);
  const counts = [["public signal", circuit.publics], ["output", circuit.outputs], ["public input", circuit.public_inputs], ["private input", circuit.private_inputs]];
  setText(signals, counts.filter(([, value]) => value !== undefined).map(([noun, value]) => plural(value, noun)).join(", "));
  setText(added, circuit.added ? moment(circuit.added.at * 1000) : "");
  actions.children[2].hidden = !isData;
  actions.children[3].hidden = !mayChange() || !changes.takes(circuit.image);
}

function draw() {
  keyed(body, circuits, ({ image, name }) => `${image} ${name}`, makeRow, updateRow);
  list.hidden = !circuits.length;
  const images = changes.images();
  intake.hidden = !mayChange() || !images.length;
  setText(empty, circuits.length ? "" : intake.hidden ? "There are no circuits." : "There are no circuits yet. Drop the files of one above.");
  keyed(form.image, images, (name) => name, (name) => h("option", {}, name));
  byId("circuit-image-field").hidden = images.length < 2;
}

async function refresh() {
  try {
    [circuits] = await Promise.all([store.circuits(), changes.refresh()]);
    draw();
  } catch (error) {
    setText(empty, error.message);
  }
}

export function prepare() {
  details.addEventListener("submit", submit);
  for (const input of [form.name, form.replace]) input.addEventListener("input", showPending);
  const view = byId("view-circuits");
  view.append(intake, h("article", { class: "panel" }, h("h2", {}, "Circuits"), h("div", { class: "scroll" }, list), empty));
  changes.prepare(view);
  live.on("*", (event) => isShown && event.event === "published" && refresh());
  live.on("back", () => isShown && refresh());
  whenKnown(() => isShown && draw());
}

export function show() {
  isShown = true;
  changes.setShown(true);
  return refresh();
}

export function hide() {
  isShown = false;
  changes.setShown(false);
}
