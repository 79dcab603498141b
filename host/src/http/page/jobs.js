// The section "Jobs": the list with its filters, results, and cancellation.

import * as api from "./api.js";
import { act, byId, cell, h, keyed, notify, setText, table } from "./dom.js";
import { download } from "./files.js";
import { bytes, count, moment, seconds } from "./format.js";
import * as live from "./live.js";

const STATES = ["queued", "claimed", "succeeded", "failed", "quarantined", "cancelled", "expired"];
const KINDS = { queued: "", claimed: "accent", succeeded: "ok", failed: "bad", quarantined: "bad", cancelled: "warn", expired: "warn" };
/** The priority of a job that asks for none. */
const PRIORITY = 5;
const PAGE = 100;
const PAGE_OLDER = 500;
const EVERY_MS = 2000;

const LABELS = ["State", "Call", "Submitted", "Took", "Attempts", "Size", ""];
const { element: list, body } = table(LABELS);
const summary = h("span", { class: "dim", role: "status" });
const empty = h("p", { class: "empty" });
const more = h("button", { type: "button", hidden: true, onclick: () => act(more, readMore) }, "Older jobs");
const filters = { state: h("select", { id: "job-state" }), image: h("select", { id: "job-image" }), circuit: h("input", { id: "job-circuit", type: "search", spellcheck: "false" }) };

/** The jobs that are shown, newest first, and where the next page begins. */
let jobs = [];
let next = null;
let generation = 0;
let isShown = false;

const isOver = ({ state }) => state !== "queued" && state !== "claimed";

function query(extra) {
  const pairs = Object.entries(filters).map(([key, input]) => [key, input.value.trim()]);
  return new URLSearchParams([...pairs, ...Object.entries(extra)].filter(([, value]) => value !== ""));
}

const page = (extra) => api.get(`/v1/jobs?${query(extra)}`);

/** Reads again what may have changed: the newest jobs, and all down to the last one that is not over. */
async function refresh() {
  const mine = generation;
  const wanted = Math.min(1000, Math.max(PAGE, jobs.findLastIndex((job) => !isOver(job)) + 1));
  const answer = await page({ limit: wanted });
  if (mine !== generation) return;
  const last = answer.jobs.at(-1)?.id;
  const rest = jobs.findIndex(({ id }) => id === last) + 1;
  if (rest > 0) jobs = answer.jobs.concat(jobs.slice(rest));
  else [jobs, next] = [answer.jobs, answer.next];
  if (jobs.length === answer.jobs.length) next = answer.next;
  draw();
}

async function readMore() {
  const mine = generation;
  const answer = await page({ limit: PAGE_OLDER, cursor: next });
  if (mine !== generation) return;
  const known = new Set(jobs.map(({ id }) => id));
  jobs = jobs.concat(answer.jobs.filter(({ id }) => !known.has(id)));
  next = answer.next;
  draw();
}

function restart() {
  generation += 1;
  jobs = [];
  return refresh().catch(fail);
}

function fail(error) {
  jobs = [];
  next = null;
  draw();
  setText(empty, error.code === "jobs_off" ? "Jobs are off for this client: see the setting jobs.accept." : error.message);
}

async function fetchResult(job) {
  const response = await api.send(`/v1/jobs/${job.id}/result`);
  const ending = job.result.media_type?.startsWith("application/json") ? "json" : "bin";
  download(await response.blob(), `${job.circuit ?? job.method}-${job.id.slice(0, 8)}.${ending}`);
}

async function cancel(job) {
  await api.send(`/v1/jobs/${job.id}`, { method: "DELETE" });
  notify("The job is cancelled.");
  await refresh();
}

function makeRow(job) {
  const take = h("button", { type: "button", onclick: () => act(take, () => fetchResult(jobs.find(({ id }) => id === job.id))) }, "Result");
  const stop = h("button", { type: "button", class: "danger", onclick: () => act(stop, () => cancel(job)) }, "Cancel");
  const what = [job.method, job.circuit].filter(Boolean).join(" ");
  return h("tr", {},
    cell("State", {}, h("span", { class: "badge" })),
    cell("Call", {}, h("div", {}, h("span", { class: "wrap" }, what), " ", h("span", { class: "dim wrap" }, job.priority === PRIORITY ? job.image : `${job.image}, priority ${job.priority}`), h("div", { class: "error wrap" }))),
    cell("Submitted", {}, moment(job.submitted)),
    cell("Took", {}), cell("Attempts", {}), cell("Size", {}), cell("", { class: "actions" }, take, stop));
}

function took(job) {
  if (job.state === "queued") return job.place === undefined ? "waits" : `${count(job.place)} before it`;
  if (!job.claimed) return "–";
  const end = job.finished ? Date.parse(job.finished) : Date.now();
  return seconds(Math.max(0, end - Date.parse(job.claimed)) / 1000);
}

function updateRow(row, job) {
  const [state, what, , time, attempts, size, actions] = row.children;
  state.firstChild.className = `badge ${KINDS[job.state] ?? ""}`;
  setText(state.firstChild, job.cancel_requested ? "stopping" : job.state);
  setText(what.firstChild.lastChild, job.error ? `${job.error.message} (${job.error.code})` : "");
  setText(time, took(job));
  setText(attempts, String(job.attempts));
  setText(size, job.result ? `${bytes(job.body_bytes)} → ${bytes(job.result.bytes)}` : bytes(job.body_bytes));
  actions.children[0].hidden = !(job.state === "succeeded" && job.result);
  actions.children[1].hidden = isOver(job);
}

function draw() {
  keyed(body, jobs, ({ id }) => id, makeRow, updateRow);
  list.hidden = !jobs.length;
  setText(empty, jobs.length ? "" : "No jobs match.");
  setText(summary, jobs.length ? `${count(jobs.length)} shown${next ? ", and older ones" : ""}` : "");
  more.hidden = !next;
}

export function prepare() {
  filters.state.append(h("option", { value: "" }, "all"), ...STATES.map((state) => h("option", {}, state)));
  for (const input of Object.values(filters)) input.addEventListener("change", restart);
  const labelled = (text, input) => h("label", { class: "row" }, text, input);
  byId("view-jobs").append(h("article", { class: "panel" },
    h("div", { class: "head" }, h("h2", {}, "Jobs"), summary,
      h("div", { class: "push row" }, labelled("State", filters.state), labelled("Image", filters.image), labelled("Circuit", filters.circuit))),
    h("div", { class: "scroll" }, list), empty, h("div", { class: "row end" }, more)));
  live.on("status", ({ images }) => {
    keyed(filters.image, [{ name: "" }, ...images], ({ name }) => name, ({ name }) => h("option", { value: name }, name || "all"), (option, { name }) => { if (option.value !== name) option.value = name; });
  });
  setInterval(() => {
    // Jobs that have ended do not change, and a list that is being read is left in peace.
    if (isShown && !document.hidden && !live.contact.lostAt && scrollY < 400) refresh().catch(() => {});
  }, EVERY_MS);
}

export function show() {
  isShown = true;
  return restart();
}

export function hide() {
  isShown = false;
}
