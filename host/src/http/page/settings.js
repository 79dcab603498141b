// The section "Settings": the settings of each image, their change by operators, and who changed what.

import * as api from "./api.js";
import { byId, cell, h, keyed, notify, setText, table } from "./dom.js";
import { bytes, moment } from "./format.js";
import * as live from "./live.js";
import { mayOperate } from "./session.js";

const panels = h("div", { class: "columns" });
const { element: list, body } = table(["When", "Image", "Who", "What"]);
const empty = h("p", { class: "empty" });
const AUTHORS = { operator: "operator", reload: "SIGHUP: the settings were read again" };
let isShown = false;

const readable = (setting, value) => (setting === "memory.limit" ? bytes(value) : String(value));

/** Changes one setting. The server takes it as text and says what it accepts. */
async function change(event, image, setting) {
  event.preventDefault();
  const form = event.currentTarget;
  const input = form.querySelector("input");
  try {
    await api.send(api.path("/v1/admin/policy", "", "", { image }), {
      method: "PATCH", body: JSON.stringify({ [setting]: input.value.trim() }), headers: { "content-type": "application/json" },
    });
    notify(`${setting} of ${image} is ${input.value.trim()} now.`);
    input.blur();
  } catch (error) {
    notify(error.message, "bad");
  }
}

function makeRow(image, setting) {
  const id = `setting-${image}-${setting}`;
  const input = h("input", { id, type: "text", spellcheck: "false", autocomplete: "off", size: 14 });
  const form = h("form", { class: "row", onsubmit: (event) => change(event, image, setting) }, input, h("button", { type: "submit" }, "Set"));
  return h("tr", {}, h("td", { class: "mono" }, h("label", { for: id }, setting)), h("td", {}, h("span"), form));
}

function updateRow(row, [setting, value]) {
  const [shown, form] = row.children[1].children;
  shown.hidden = mayOperate();
  form.hidden = !mayOperate();
  setText(shown, readable(setting, value));
  const input = form.firstChild;
  // What is being typed stays.
  if (document.activeElement !== input) input.value = String(value);
}

function draw(status) {
  keyed(panels, status.images, ({ name }) => name,
    ({ name }) => h("article", { class: "panel" }, h("h2", {}, name), h("table", { class: "settings" }, h("tbody"))),
    (panel, { name, policy }) => keyed(panel.querySelector("tbody"), Object.entries(policy), ([setting]) => setting,
      ([setting]) => makeRow(name, setting), updateRow));
}

async function refresh() {
  let changes;
  try {
    ({ changes } = await api.get("/v1/history/settings"));
  } catch (error) {
    setText(empty, error.message);
    return;
  }
  body.replaceChildren(...changes.map(({ at_ms: at, image, by, changed }) => h("tr", {},
    cell("When", {}, moment(at)), cell("Image", {}, image), cell("Who", {}, AUTHORS[by] ?? String(by)),
    cell("What", { class: "wrap" }, h("div", {}, Object.entries(changed).map(([setting, [from, to]]) =>
      h("div", {}, h("span", { class: "mono" }, setting), `: ${readable(setting, from ?? "not set")} → ${readable(setting, to ?? "not set")}`)))))));
  list.hidden = !changes.length;
  setText(empty, changes.length ? "" : "Nobody has changed a setting since the server started.");
}

export function prepare() {
  byId("view-settings").append(
    h("p", { class: "dim" }, "These settings can change while the server runs; docs/settings.md explains each. A change lasts until the next start or SIGHUP."),
    panels, h("article", { class: "panel" }, h("h2", {}, "Changes of settings"), h("div", { class: "scroll" }, list), empty));
  live.on("status", (status) => isShown && draw(status));
  live.on("*", (event) => isShown && event.event === "policy" && refresh());
}

export function show() {
  isShown = true;
  if (live.status) draw(live.status);
  return refresh();
}

export function hide() {
  isShown = false;
}
