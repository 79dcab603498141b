// Which alerts of docs/alerts.yml would fire, as far as the page can tell: from the status and the history, over all images
// together where a rule looks at one.

import { bytes, digits, plural, seconds } from "./format.js";

const HOLDS = new Map();

const sum = (column, history, seconds) => {
  const buckets = Math.ceil(seconds / history.bucket_seconds);
  return history[column].slice(-buckets).reduce((total, value) => total + value, 0);
};

const MINUTE = 60;

/** Each rule returns what it found, or nothing. `hold` is how long that has to last before the alert fires. */
const RULES = [
  ["SnapbackCallsLost", "critical", 0, ({ history }) => sum("lost", history, 10 * MINUTE) > 0 && "calls that were admitted were lost"],
  ["SnapbackBreakerOpen", "critical", 15, ({ status }) => {
    const open = status.images.filter(({ breaker }) => breaker !== "closed").map(({ name }) => name);
    return open.length && `${open.join(", ")} fails its calls and gets none`;
  }],
  ["SnapbackLanesMissing", "critical", MINUTE, ({ status: { lanes } }) =>
    lanes.at_work < lanes.configured && `only ${lanes.at_work} of ${lanes.configured} lanes work`],
  ["SnapbackGrowthRefused", "warning", 5 * MINUTE, ({ history }) => {
    const ratio = sum("growth_refused", history, 10 * MINUTE) / sum("calls", history, 10 * MINUTE);
    return ratio > 0.05 && `${digits(100 * ratio)} % of the calls need more than memory.limit`;
  }],
  ["SnapbackGrowthWithoutSwaps", "warning", 5 * MINUTE, ({ status, history, grows }) => {
    if (sum("swaps", history, 15 * MINUTE) > 0) return false;
    const full = status.images.filter(({ name, policy }) =>
      grows(name) && Math.max(...status.instances[name].map((lane) => lane.used_bytes ?? 0)) / policy["memory.limit"] > 0.92);
    return full.length && `${full.map(({ name }) => name).join(", ")} grows towards memory.limit and is not swapped`;
  }],
  ["SnapbackSwapsPutOff", "warning", 15 * MINUTE, ({ history }) => {
    const putOff = sum("swaps_put_off", history, 10 * MINUTE);
    const done = sum("swaps", history, 10 * MINUTE);
    return putOff > 0 && 1 - putOff / (putOff + done) < 0.99 && `${plural(putOff, "swap")} due and put off`;
  }],
  ["SnapbackColdStartSlow", "warning", 0, ({ status: { start } }) =>
    start.seconds > 0.05 && `the start took ${seconds(start.seconds)}`],
  ["SnapbackColdStartAboveTarget", "warning", 0, ({ status: { start } }) =>
    start.seconds > start.target_seconds && Object.keys(start.native_code).every((origin) => origin === "cached") &&
    `the start took ${seconds(start.seconds)}, above its target of ${seconds(start.target_seconds)}`],
  ["SnapbackNativeCacheMiss", "warning", 0, ({ status: { start } }) => {
    const missed = Object.entries(start.native_code).filter(([origin, images]) => origin !== "cached" && images > 0);
    return missed.length && `images were compiled (${missed.map(([origin]) => origin).join(", ")})`;
  }],
  ["SnapbackSwapStorm", "warning", 0, ({ history }) => sum("swaps_refused", history, 5 * MINUTE) > 0 && "more swaps are needed than swap.per_minute_max"],
  ["SnapbackStandbysFail", "warning", 0, ({ history }) => sum("standby_failures", history, 5 * MINUTE) > 0 && "standbys cannot be made"],
  ["SnapbackProcessMemory", "critical", MINUTE, ({ status: { memory } }) =>
    memory.process_limit_bytes > 0 && memory.private_resident_bytes / memory.process_limit_bytes > 0.95 &&
    `${bytes(memory.private_resident_bytes)} of ${bytes(memory.process_limit_bytes)} are used`],
  ["SnapbackQueueFull", "warning", 5 * MINUTE, ({ history }) => sum("rejected", history, 5 * MINUTE) > 0 && "more calls arrive than the lanes finish"],
  ["SnapbackCircuitChangeFailed", "warning", 0, ({ history }) => sum("changes_failed", history, 15 * MINUTE) > 0 && "a change of circuits failed; the served generation stays"],
];

/** Returns the alerts that would fire, and those that would if what they found lasts. */
export function evaluate(facts) {
  const now = Date.now();
  const found = [];
  for (const [name, severity, hold, rule] of RULES) {
    const text = rule(facts);
    if (!text) {
      HOLDS.delete(name);
      continue;
    }
    if (!HOLDS.has(name)) HOLDS.set(name, now);
    const heldSeconds = (now - HOLDS.get(name)) / 1000;
    found.push({ name, severity, text, pendingSeconds: Math.max(0, hold - heldSeconds) });
  }
  return found;
}
