// The images that are served, and their lanes: memory against its thresholds, standbys, and swaps as they happen.

import * as api from "./api.js";
import { spark } from "./charts.js";
import { act, h, keyed, notify, setText } from "./dom.js";
import { age, bytes, clock, milliseconds, plural, share, short } from "./format.js";
import * as live from "./live.js";
import { mayOperate } from "./session.js";

const SAMPLES = 120;
/** Standbys that are drawn; more are only counted. */
const PIPS = 3;
/** Memory in use by image and lane, one value a second. */
const memory = new Map();
/** The last swap by image and lane. */
const swaps = new Map();
const parts = new WeakMap();

const laneKey = (image, lane) => `${image} ${lane}`;

/** Whether the memory of an image has grown while the page watched. */
export function grows(image) {
  return [...memory].some(([key, values]) => key.startsWith(`${image} `) && values.length > 1 && values.at(-1) > values[0]);
}

async function swap(button, image, lane) {
  await act(button, async () => {
    const query = new URLSearchParams(lane === undefined ? { image } : { image, lane });
    await api.post(`/v1/admin/swap?${query}`);
    notify(lane === undefined ? `Every lane of ${image} swaps between two calls.` : `Lane ${lane} of ${image} swaps between two calls.`);
  });
}

function makeLane(image, lane) {
  const part = {
    used: h("span", { class: "used" }),
    limit: h("span", { class: "dim" }),
    fill: h("i"),
    warn: h("b"),
    critical: h("b"),
    pips: h("span", { class: "pips" }),
    standby: h("span"),
    served: h("span"),
    swapped: h("span"),
    spark: spark(),
    button: h("button", { type: "button", hidden: true, onclick: (event) => swap(event.currentTarget, image, lane) }, "Swap"),
  };
  part.gauge = h("div", { class: "gauge", role: "meter", "aria-label": `Memory of lane ${lane} of ${image}`, "aria-valuemin": 0 }, part.fill, part.warn, part.critical);
  const element = h("li", { class: "lane", onanimationend: (event) => event.currentTarget.classList.remove("swapped") },
    h("div", { class: "row" }, h("span", { class: "dim" }, `Lane ${lane}`), h("span", {}, part.used, " ", part.limit)),
    part.gauge, part.spark.element,
    h("div", { class: "row foot" }, h("span", {}, part.pips, " ", part.standby), part.served),
    h("div", { class: "row foot" }, part.swapped, part.button));
  parts.set(element, part);
  return element;
}

const STANDBY = { none: "no standby", preparing: "standby is being made", ready: "standby ready" };

function updateLane(element, image, lane) {
  const part = parts.get(element);
  const limit = image.policy["memory.limit"];
  const used = lane.used_bytes;
  element.dataset.pressure = lane.pressure;
  element.dataset.calls = lane.calls ?? "";
  setText(part.used, bytes(used));
  setText(part.limit, `of ${bytes(limit)}`);
  part.gauge.setAttribute("aria-valuemax", limit);
  part.gauge.setAttribute("aria-valuenow", used ?? 0);
  part.gauge.setAttribute("aria-valuetext", `${bytes(used)} of ${bytes(limit)}, ${lane.pressure}`);
  part.fill.style.width = `${Math.min(100, (100 * (used ?? 0)) / limit)}%`;
  part.warn.style.left = `${100 * share(image.policy["memory.warn"])}%`;
  part.critical.style.left = `${100 * share(image.policy["memory.critical"])}%`;
  setText(part.pips, "●".repeat(Math.min(lane.standbys_ready, PIPS)) + "○".repeat(Math.min(lane.standbys_ordered, PIPS)));
  setText(part.standby, lane.standbys_ready > 1 ? `${lane.standbys_ready} standbys ready` : STANDBY[lane.standby]);
  setText(part.served, lane.calls === null ? "no instance" : `${plural(lane.calls, "call")}, ${age(lane.age_seconds)} old`);
  const last = swaps.get(laneKey(image.name, lane.lane));
  setText(part.swapped, last ? `swapped ${clock(last.at_ms)}, ${last.reason}, ${milliseconds(last.took_us / 1000)}` : "no swap seen yet");
  part.button.hidden = !mayOperate();
  part.spark.draw(memory.get(laneKey(image.name, lane.lane)) ?? []);
}

function makeImage({ name }) {
  const part = {
    about: h("p", { class: "dim" }),
    breaker: h("span", { class: "badge" }),
    policy: h("span", { class: "badge accent" }),
    lanes: h("ul", { class: "lanes" }),
    swap: h("button", { type: "button", hidden: true, onclick: (event) => swap(event.currentTarget, name) }, "Swap all lanes"),
  };
  const element = h("article", { class: "panel", "aria-label": `Image ${name}` },
    h("div", { class: "head" }, h("h2", {}, name), part.policy, part.breaker, h("span", { class: "push" }, part.swap)), part.about, part.lanes);
  parts.set(element, part);
  return element;
}

const BREAKER = { closed: "ok", "half-open": "warn", open: "bad" };

function updateImage(element, image, status) {
  const part = parts.get(element);
  const circuits = image.circuits.length;
  setText(part.about, [
    image.guest === image.name ? "" : image.guest,
    `generation ${image.generation}`,
    `image ${short(image.digest)}`,
    circuits ? plural(circuits, "circuit") : "",
    `starts with ${bytes(image.memory_bytes)}`,
  ].filter(Boolean).join(" · "));
  part.breaker.className = `badge ${BREAKER[image.breaker]}`;
  setText(part.breaker, `breaker ${image.breaker}`);
  setText(part.policy, `swap ${image.policy["swap.policy"]}`);
  part.swap.hidden = !mayOperate();
  keyed(part.lanes, status.instances[image.name] ?? [], ({ lane }) => lane,
    ({ lane }) => makeLane(image.name, lane), (child, lane) => updateLane(child, image, lane));
}

/** Remembers what the lanes hold, also while another section is shown. */
export function remember(status) {
  for (const [image, lanes] of Object.entries(status.instances)) {
    for (const { lane, used_bytes: used } of lanes) {
      const key = laneKey(image, lane);
      const values = memory.get(key) ?? [];
      values.push(used ?? 0);
      if (values.length > SAMPLES) values.shift();
      memory.set(key, values);
    }
  }
}

export function draw(container, status) {
  keyed(container, status.images, ({ name }) => name, makeImage, (element, image) => updateImage(element, image, status));
}

/** Marks a lane that has swapped. */
export function watchSwaps(container) {
  live.on("*", (event) => {
    if (event.event !== "swap-complete") return;
    swaps.set(laneKey(event.image, event.lane), event);
    const image = [...container.children].find((child) => child.dataset.key === event.image);
    const lane = image && [...parts.get(image).lanes.children].find((child) => child.dataset.key === String(event.lane));
    if (lane) lane.classList.add("swapped");
  });
}
