// Changes of circuits as they are baked, and the generations that can be served again.

import * as api from "./api.js";
import { act, cell, confirm, h, keyed, notify, setText, table } from "./dom.js";
import { bytes, moment, seconds, short } from "./format.js";
import * as live from "./live.js";
import { mayChange } from "./session.js";
import * as store from "./store.js";

const EVERY_MS = 1000;
const CHANGES_SHOWN = 12;

const changeTable = table(["Change", "Image", "State", ""]);
const generationTable = table(["Generation", "Image", "Published", "Circuits", "On disk", ""]);
const changePanel = h("article", { class: "panel", "aria-label": "Changes", hidden: true }, h("h2", {}, "Changes"), h("div", { class: "scroll" }, changeTable.element));
const generationPanel = h("article", { class: "panel", "aria-label": "Generations", hidden: true }, h("h2", {}, "Generations"), h("div", { class: "scroll" }, generationTable.element));

let known = [];
let isShown = false;

/** The images that take circuits as data. */
export const images = () => known.map(({ image }) => image);
export const takes = (image) => images().includes(image);

const isOpen = ({ state }) => state === "waiting" || state === "baking";

function describe({ change }) {
  if (typeof change === "string") return change;
  const [[kind, what]] = Object.entries(change);
  return `${kind} ${what?.name ?? ""}`.trim();
}

const KINDS = { waiting: "", baking: "accent", done: "ok", failed: "bad", cancelled: "warn" };

async function cancel({ id, image }) {
  await api.send(api.path("/v1/changes/", id, "", { image }), { method: "DELETE" });
  notify("The change is cancelled.");
  await refresh();
}

function makeChange(change) {
  const stop = h("button", { type: "button", class: "danger", onclick: () => act(stop, () => cancel(change)) }, "Cancel");
  return h("tr", {}, cell("Change", { class: "wrap" }, `${change.id}: ${describe(change)}`), cell("Image", {}, change.image),
    cell("State", {}, h("div", {}, h("span", { class: "badge" }), " ", h("span", { class: "wrap" }), h("div", { class: "progress", role: "progressbar", "aria-label": "Share of the bake that is done" }, h("i")))),
    cell("", { class: "actions" }, stop));
}

function updateChange(row, change) {
  const [badge, , text, progress] = row.children[2].firstChild.childNodes;
  badge.className = `badge ${KINDS[change.state]}`;
  setText(badge, change.state);
  const stage = [change.stage, change.left_s && `${seconds(change.left_s)} left`].filter(Boolean).join(", ");
  setText(text, change.reason ?? (change.generation ? `generation ${change.generation}` : stage));
  progress.hidden = !isOpen(change);
  progress.setAttribute("aria-valuenow", change.percent);
  progress.firstChild.style.width = `${change.percent}%`;
  row.children[3].firstChild.hidden = !isOpen(change) || !mayChange();
}

async function activate({ id, image }) {
  const text = "Lanes move over at their next call, and calls that run end where they began. The generation that is served now stays in this list.";
  if (!(await confirm(`Serve generation ${id} of ${image} again?`, text, "Serve it"))) return;
  await api.post(api.path("/v1/generations/", id, "/activate", { image }));
  notify(`Generation ${id} of ${image} is served.`);
  await refresh();
}

function makeGeneration(generation) {
  const back = h("button", { type: "button", onclick: () => act(back, () => activate(generation)) });
  return h("tr", {}, cell("Generation", {}, h("span", {}, h("strong", {}, String(generation.id)), " ", h("span", { class: "badge ok" }, "active"))),
    cell("Image", {}, h("span", {}, generation.image, " ", h("span", { class: "dim mono" }, short(generation.digest)))),
    cell("Published", {}, moment(generation.created * 1000)),
    cell("Circuits", { class: "wrap" }, Object.keys(generation.circuits).join(", ") || "none"),
    cell("On disk", {}), cell("", { class: "actions" }, back));
}

function updateGeneration(row, generation) {
  row.dataset.active = generation.isActive;
  row.children[0].firstChild.lastChild.hidden = !generation.isActive;
  setText(row.children[4], bytes(generation.disk_bytes));
  const back = row.children[5].firstChild;
  back.hidden = generation.isActive || !mayChange();
  setText(back, generation.isOlder ? "Roll back" : "Serve again");
}

function draw(changes) {
  const generations = known.flatMap(({ image, active, generations: list }) =>
    list.map((generation) => ({ ...generation, digest: generation.image, image, isActive: generation.id === active, isOlder: generation.id < active })));
  keyed(generationTable.body, generations.reverse(), ({ image, id }) => `${image} ${id}`, makeGeneration, updateGeneration);
  generationPanel.hidden = !generations.length;
  keyed(changeTable.body, changes, ({ image, id }) => `${image} ${id}`, makeChange, updateChange);
  changePanel.hidden = !changes.length;
}

let last = [];

/** Reads the changes and the generations again. */
export async function refresh() {
  const names = await store.images();
  known = (await Promise.all(names.map(store.generations))).filter((answer) => answer !== null);
  const lists = await Promise.all(known.map(({ image }) => api.get(api.path("/v1/changes", "", "", { image }))));
  last = lists.flatMap(({ changes }) => changes.toReversed()).sort((a, b) => isOpen(b) - isOpen(a)).slice(0, CHANGES_SHOWN);
  draw(last);
}

export function prepare(view) {
  view.append(changePanel, generationPanel);
  setInterval(() => {
    if (isShown && !document.hidden && !live.contact.lostAt && last.some(isOpen)) refresh().catch(() => {});
  }, EVERY_MS);
}

export function setShown(is) {
  isShown = is;
}
