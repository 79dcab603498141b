// Starts the page: the sections, the connection, and what stands in the head.

import { byId, setText } from "./dom.js";
import { refuseStrayDrops } from "./files.js";
import { seconds } from "./format.js";
import * as live from "./live.js";
import * as session from "./session.js";
import * as circuits from "./circuits.js";
import * as jobs from "./jobs.js";
import * as overview from "./overview.js";
import * as prove from "./prove.js";
import * as settings from "./settings.js";
import * as verify from "./verify.js";

const SECTIONS = { now: overview, jobs, circuits, prove, verify, settings };
let shown = null;

/** Shows the section that the address names: `#jobs`, `#prove/CIRCUIT`. */
function route() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const next = SECTIONS[name] ? name : "now";
  if (shown !== next) {
    SECTIONS[shown]?.hide?.();
    shown = next;
    for (const key of Object.keys(SECTIONS)) byId(`view-${key}`).hidden = key !== next;
    for (const tab of byId("tabs").children) {
      if (tab.hash === `#${next}`) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
  }
  let argument = rest.join("/");
  try {
    argument = decodeURIComponent(argument);
  } catch {
    // Someone typed it; no circuit has such a name.
  }
  SECTIONS[next].show(argument);
}

const STATES = {
  ready: ["ready", "ok"],
  "lanes-missing": ["lanes missing", "bad"],
  "breaker-open": ["breaker open", "bad"],
  "swap-storm": ["swap storm", "warn"],
  "queue-full": ["queue full", "warn"],
  draining: ["draining", "warn"],
};

function showState(text, kind) {
  byId("state").className = `badge ${kind}`;
  setText(byId("state"), text);
}

function prepareTheme() {
  const NAMES = ["auto", "light", "dark"];
  const set = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    setText(byId("theme"), `◐ ${name}`);
    byId("theme").setAttribute("aria-label", `Theme: ${name}`);
    localStorage.setItem("snapback.theme", name);
  };
  const saved = localStorage.getItem("snapback.theme");
  set(NAMES.includes(saved) ? saved : "auto");
  byId("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "auto";
    set(NAMES[(NAMES.indexOf(now) + 1) % NAMES.length]);
  });
}

prepareTheme();
refuseStrayDrops();
for (const section of Object.values(SECTIONS)) section.prepare();

live.on("status", (status) => {
  showState(...(STATES[status.state] ?? [status.state, "warn"]));
  setText(byId("facts"), `${status.version}, up ${seconds(status.uptime_seconds)}`);
  // How long the page took until it showed what the server does, in milliseconds since the visit began.
  document.documentElement.dataset.readyMs ??= Math.round(performance.now());
});
live.on("lost", () => showState("unreachable", "bad"));

session.prepare(() => {
  live.connect();
  route();
});
addEventListener("hashchange", route);
live.connect();
route();
// A refusal has opened the form; a server that is gone is reported by the connection.
session.identify().catch(() => live.on("back", () => session.identify().catch(() => {})));
