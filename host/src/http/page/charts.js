// Charts of the last hour, drawn as SVG. A pointer or the arrow keys read a value.

import { h, setText, svg } from "./dom.js";
import { clock } from "./format.js";

/** Buckets that a chart shows at least and at most; it grows in steps of ten minutes. */
const STEP = 60;
const POINTS_MAX = 360;
const HEIGHT = 100;

/** A path through the points that have a value; gaps stay gaps. */
function line(values, offset, scale) {
  let text = "";
  let isDown = false;
  values.forEach((value, index) => {
    if (value === null) {
      isDown = false;
      return;
    }
    const at = `${(offset + index).toFixed(1)} ${scale(value).toFixed(2)}`;
    // A point between two gaps is a dot.
    text += isDown ? `L${at}` : `M${at}h.01L${at}`;
    isDown = true;
  });
  return text;
}

/** A number at least as large that is round: 1, 2 or 5 times a power of ten. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((round) => round >= value * 0.999);
}

/** A chart: `series` names the lines and the function of the history that returns their values. */
export function chart(title, series, format, scaleName = "linear") {
  const paths = series.map((_, index) => svg("path", { class: `s${index}` }));
  const fill = svg("path", { class: "fill" });
  const cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
  const grid = [0, 0.5, 1].map((share) => svg("line", { class: "grid", x1: 0, x2: POINTS_MAX, y1: share * HEIGHT, y2: share * HEIGHT }));
  const drawing = svg("svg", { viewBox: `0 -2 ${STEP} ${HEIGHT + 4}`, preserveAspectRatio: "none", "aria-hidden": true }, grid, fill, paths, cursor);
  const topMark = h("span", { class: "top-mark" });
  const readout = h("span", { class: "readout" });
  const box = h("div", { class: "chart", tabindex: 0, role: "img" }, drawing, topMark);
  const legend = h("div", { class: "legend" }, series.map(({ name }, index) => h("span", { class: `s${index}` }, name)));
  const axis = h("div", { class: "axis", "aria-hidden": true }, [0, 1, 2, 3, 4].map(() => h("span")));
  const element = h("article", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, title), readout, h("div", { class: "push" }, legend)), box, axis);

  let lines = [];
  let at = null;
  let bucketSeconds = 10;
  let points = STEP;

  const length = () => lines[0]?.length ?? 0;
  const read = (index) => {
    const values = series.map(({ name }, i) => `${name} ${format(lines[i][index])}`).join(", ");
    return `${clock(Date.now() - (length() - 1 - index) * bucketSeconds * 1000)}: ${values}`;
  };
  const point = (index) => {
    at = index === null || !length() ? null : Math.min(Math.max(index, 0), length() - 1);
    if (at === null) {
      cursor.setAttribute("visibility", "hidden");
      setText(readout, "");
      return;
    }
    const x = points - length() + at + 0.5;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    setText(readout, read(at));
    box.setAttribute("aria-label", `${title}, ${read(at)}`);
  };
  box.addEventListener("pointermove", (event) => {
    const { left, width } = box.getBoundingClientRect();
    point(Math.floor(((event.clientX - left) / width) * points) - (points - length()));
  });
  box.addEventListener("pointerleave", () => point(null));
  box.addEventListener("blur", () => point(null));
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
    if (!step) return;
    event.preventDefault();
    point((at ?? length() - 1 - step) + step);
  });

  const draw = (history) => {
    bucketSeconds = history.bucket_seconds;
    lines = series.map(({ of }) => of(history));
    points = Math.min(POINTS_MAX, Math.ceil(length() / STEP) * STEP);
    drawing.setAttribute("viewBox", `0 -2 ${points} ${HEIGHT + 4}`);
    const minutes = (points * bucketSeconds) / 60;
    [...axis.children].forEach((mark, index) => setText(mark, index === 4 ? "now" : `${Number((minutes * (1 - index / 4)).toFixed(1))}${index ? "" : " min ago"}`));
    const known = lines.flat().filter((value) => value !== null && value > 0);
    const top = known.length ? roundUp(Math.max(...known)) : 1;
    const bottom = scaleName === "log" && known.length ? Math.min(...known) / 2 : 0;
    const y = scaleName === "log"
      ? (value) => HEIGHT * (1 - Math.max(0, Math.log(Math.max(value, bottom) / bottom) / Math.log(top / bottom)))
      : (value) => HEIGHT * (1 - value / top);
    const offset = points - length() + 0.5;
    paths.forEach((path, index) => path.setAttribute("d", line(lines[index], offset, y)));
    const first = scaleName === "log" ? "" : line(lines[0], offset, y);
    fill.setAttribute("d", first && `${first}L${points - 0.5} ${HEIGHT}L${offset} ${HEIGHT}Z`);
    setText(topMark, known.length ? format(top) : "");
    if (at === null) box.setAttribute("aria-label", `${title} of the last hour. ${length() ? `Now: ${read(length() - 1)}` : ""}`);
    else point(at);
  };
  return { element, draw };
}

/** A small line of the last values, without axes. */
export function spark() {
  const path = svg("path");
  const area = svg("path", { class: "area" });
  const element = svg("svg", { class: "spark", viewBox: "0 0 120 26", preserveAspectRatio: "none", "aria-hidden": true }, area, path);
  const draw = (values) => {
    const top = Math.max(...values, 1) * 1.08;
    const y = (value) => 25 - (24 * value) / top;
    const offset = 120 - values.length;
    const text = values.map((value, index) => `${index ? "L" : "M"}${offset + index} ${y(value).toFixed(2)}`).join("");
    path.setAttribute("d", values.length > 1 ? text : "");
    area.setAttribute("d", values.length > 1 ? `${text}L119 26L${offset} 26Z` : "");
  };
  return { element, draw };
}
