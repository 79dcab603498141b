// Files that come in by dropping or choosing them, and files that go out.

import { h } from "./dom.js";

const drags = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");

/** Calls back with the files that are dropped on an element. */
export function acceptDrops(element, take) {
  const over = (is) => element.classList.toggle("over", is);
  element.addEventListener("dragover", (event) => {
    if (!drags(event)) return;
    event.preventDefault();
    event.stopPropagation();
    over(true);
  });
  element.addEventListener("dragleave", () => over(false));
  element.addEventListener("drop", (event) => {
    over(false);
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    take([...event.dataTransfer.files]);
  });
}

/** A place to drop files on, which also opens the list of files, with the pointer and with the keyboard. */
export function dropZone(id, title, hint, take) {
  const input = h("input", { id, type: "file", multiple: true, class: "visually-hidden" });
  input.addEventListener("change", () => {
    const files = [...input.files];
    // The same file may be chosen again.
    input.value = "";
    if (files.length) take(files);
  });
  const zone = h("label", { class: "drop", for: id }, h("strong", {}, title), " ", hint, input);
  acceptDrops(zone, take);
  return zone;
}

// A file that misses its place must not replace the page.
export function refuseStrayDrops() {
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => drags(event) && event.preventDefault());
}

/** Hands a file to the browser's downloads. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

/** The name of a file without its last ending. */
export const stem = (name) => name.replace(/\.[^.]*$/, "");
