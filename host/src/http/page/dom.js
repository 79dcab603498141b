// Makes elements. Text becomes text nodes only, so that a name or a message is never taken for markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.setAttribute("class", value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Makes an element of HTML: `h("p", { class: "dim" }, "text", child)`. */
export const h = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);

/** Makes an element of SVG. */
export const svg = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

export const byId = (id) => document.getElementById(id);

/** Sets the text of an element, if it differs: a text that is set again would be read out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Keeps one child of `parent` for each item, in order; children keep their identity, and so the focus and animations. */
export function keyed(parent, items, keyOf, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (child) old.delete(key);
    else {
      child = make(item);
      child.dataset.key = key;
    }
    update?.(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  old.forEach((child) => child.remove());
}

/** A table whose cells carry their column's label, for narrow screens. Returns it with its body. */
export function table(labels, className = "cards") {
  const body = h("tbody");
  const head = h("tr", {}, labels.map((label) => h("th", { scope: "col" }, label)));
  return { body, element: h("table", { class: className }, h("thead", {}, head), body) };
}

export const cell = (label, properties, ...children) => h("td", { "data-label": label, ...properties }, ...children);

/** Shows a message for a while. */
export function notify(text, kind = "ok") {
  const notice = h("div", { class: `notice ${kind}` }, text);
  const notices = byId("notices");
  notices.append(notice);
  while (notices.children.length > 4) notices.firstChild.remove();
  setTimeout(() => notice.remove(), kind === "bad" ? 12000 : 5000);
}

/** Asks before something that is hard to take back. */
export function confirm(title, text, yes) {
  const dialog = byId("confirm");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Runs what a button does: the button waits, and an error is shown. */
export async function act(button, work) {
  button.disabled = true;
  try {
    return await work();
  } catch (error) {
    notify(error.message, "bad");
    return undefined;
  } finally {
    button.disabled = false;
  }
}
