// The section "Now": figures, alerts, lanes, charts, and what has just happened.

import { evaluate } from "./alerts.js";
import * as api from "./api.js";
import { chart } from "./charts.js";
import { byId, h, keyed, setText } from "./dom.js";
import { bytes, clock, count, digits, milliseconds, seconds } from "./format.js";
import * as lanes from "./lanes.js";
import * as live from "./live.js";

const EVENTS_KEPT = 100;
const HISTORY_EVERY_MS = 5000;

const figures = {};
const feed = h("ol", { class: "feed" });
const alertList = h("ul", { class: "alerts" });
const alertHead = h("span", { class: "badge", role: "status" });
const images = h("div", { class: "columns" });
let history = null;
let isShown = false;

const perSecond = (column) => (data) => data[column].map((value, index) =>
  value / (index === data[column].length - 1 ? Math.max(1, data.last_seconds) : data.bucket_seconds));

const charts = [
  chart("Calls a second", [{ name: "ended", of: perSecond("calls") }, { name: "refused", of: perSecond("refused") }, { name: "failed", of: perSecond("failed") }], digits),
  chart("Time on a lane", [{ name: "half within", of: (data) => data.p50_ms }, { name: "99 % within", of: (data) => data.p99_ms }], milliseconds, "log"),
  chart("Queue", [{ name: "longest", of: (data) => data.queue_max }], digits),
  chart("Swaps a second", [{ name: "swaps", of: perSecond("swaps") }], digits),
];

function tile(name, label) {
  figures[name] = { value: h("span"), note: h("p") };
  return h("dl", { class: "tile", id: `tile-${name}` }, h("dt", {}, label), h("dd", {}, figures[name].value), figures[name].note);
}

function figure(name, value, note) {
  setText(figures[name].value, value);
  setText(figures[name].note, note);
}

/** What happened in the last minute that is over, and in the bucket under way. */
function lastMinute(column) {
  const values = history[column].slice(-7);
  const time = (values.length - 1) * history.bucket_seconds + history.last_seconds;
  return { sum: values.reduce((total, value) => total + value, 0), time: Math.max(time, 1) };
}

function drawFigures(status) {
  const { queue, memory, lanes: work } = status;
  figure("queue", `${count(queue.length)}`, `of ${count(queue.depth)} places`);
  figure("lanes", `${work.at_work} of ${work.configured}`, work.at_work < work.configured ? "some stalled" : "all at work");
  const limit = memory.process_limit_bytes;
  figure("memory", bytes(memory.private_resident_bytes), limit ? `of ${bytes(limit)}` : "no limit is set");
  if (!history) return;
  const calls = lastMinute("calls");
  const failed = lastMinute("failed").sum;
  const refused = lastMinute("refused").sum;
  figure("calls", digits(calls.sum / calls.time), [`a second`, failed && `${count(failed)} failed`, refused && `${count(refused)} refused`].filter(Boolean).join(", "));
  const index = history.p99_ms.findLastIndex((value) => value !== null);
  figure("latency", milliseconds(history.p50_ms[index]), index < 0 ? "no calls in this hour" : `99 % within ${milliseconds(history.p99_ms[index])}`);
  const swaps = lastMinute("swaps");
  figure("swaps", count(status.swaps.total), `${digits(swaps.sum / swaps.time)} a second`);
}

function drawAlerts(status) {
  if (!history) return;
  const found = evaluate({ status, history, grows: lanes.grows });
  const firing = found.filter(({ pendingSeconds }) => pendingSeconds === 0);
  const worst = firing.some(({ severity }) => severity === "critical") ? "bad" : found.length ? "warn" : "ok";
  alertHead.className = `badge ${worst}`;
  setText(alertHead, found.length ? `${firing.length} would fire` : "none would fire");
  keyed(alertList, found, ({ name }) => name, () => h("li", {}, h("strong"), h("span"), h("div", { class: "dim" })), (item, alert) => {
    item.className = alert.severity;
    setText(item.children[0], alert.name);
    setText(item.children[1], alert.text);
    setText(item.children[2], alert.pendingSeconds ? `${alert.severity}, fires if it lasts another ${seconds(Math.ceil(alert.pendingSeconds))}` : `${alert.severity}, fires now`);
  });
}

const TEXTS = {
  "swap-complete": ({ reason, took_us: took }) => `swapped (${reason}) in ${milliseconds(took / 1000)}`,
  "swap-error": ({ reason, error }) => `swap (${reason}) put off: ${error}`,
  pressure: ({ from, to }) => `memory pressure: ${from}, now ${to}`,
  breaker: ({ to }) => `circuit breaker: ${to}`,
  stall: ({ after_ms: after }) => `a call stalled after ${milliseconds(after)}; the lane was replaced`,
  policy: () => "settings changed",
  published: ({ generation }) => `generation ${generation} is served`,
};

function addEvent(event) {
  const where = event.lane === null ? event.image : `${event.image}, lane ${event.lane}`;
  const text = TEXTS[event.event]?.(event) ?? event.event;
  feed.prepend(h("li", {}, h("time", {}, clock(event.at_ms)), h("span", { class: "dim" }, where), h("span", { class: "wrap" }, text)));
  while (feed.children.length > EVENTS_KEPT) feed.lastChild.remove();
}

async function readHistory() {
  try {
    history = await api.get("/v1/history");
  } catch {
    // The connection of the events says what is wrong.
    return;
  }
  charts.forEach(({ draw }) => draw(history));
  if (live.status) draw(live.status);
}

function draw(status) {
  drawFigures(status);
  drawAlerts(status);
  lanes.draw(images, status);
}

export function prepare() {
  byId("view-now").append(
    h("div", { class: "tiles" }, tile("calls", "Calls in the last minute"), tile("latency", "Time on a lane"), tile("queue", "Queue"),
      tile("lanes", "Lanes"), tile("memory", "Memory of the process"), tile("swaps", "Swaps so far")),
    h("article", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Alerts"), alertHead,
      h("span", { class: "dim" }, "by the rules of docs/alerts.yml, over all images together")), alertList),
    images,
    h("div", { class: "columns charts" }, charts.map(({ element }) => element)),
    h("article", { class: "panel" }, h("h2", {}, "Events"), feed),
  );
  lanes.watchSwaps(images);
  live.on("status", (status) => {
    lanes.remember(status);
    if (status.events_left_out) {
      addEvent({ at_ms: status.at_ms, image: "all images", lane: null, event: `${count(status.events_left_out)} more events are not listed` });
    }
    if (isShown) draw(status);
  });
  live.on("*", addEvent);
  live.on("back", readHistory);
  setInterval(() => isShown && !live.contact.lostAt && readHistory(), HISTORY_EVERY_MS);
}

export function show() {
  isShown = true;
  if (live.status) draw(live.status);
  return readHistory();
}

export function hide() {
  isShown = false;
}
