// What several sections need to know of the circuits.

import * as api from "./api.js";
import * as live from "./live.js";

/** Whether an image takes circuits as data, by its name: asked once. */
const takes = new Map();

/** The circuits of all images. */
export async function circuits() {
  return (await api.get("/v1/circuits")).circuits;
}

/** Generations of an image; `null` if it takes no circuits. */
export async function generations(image) {
  if (takes.get(image) === false) return null;
  try {
    const answer = await api.get(api.path("/v1/generations", "", "", { image }));
    takes.set(image, true);
    return answer;
  } catch (error) {
    if (error.code !== "no_circuits_as_data") throw error;
    takes.set(image, false);
    return null;
  }
}

/** The names of the images that are served. */
export async function images() {
  return (live.status ?? (await api.get("/v1/status"))).images.map(({ name }) => name);
}

/** Fills a list to choose a circuit from, and keeps the choice. Values are `IMAGE CIRCUIT`. */
export function fillChoice(select, list, wanted) {
  const chosen = wanted ?? select.value;
  select.replaceChildren(...list.map(({ name, image }) => new Option(`${name} (${image})`, `${image} ${name}`)));
  const match = list.find(({ name, image }) => chosen === name || chosen === `${image} ${name}`);
  if (match) select.value = `${match.image} ${match.name}`;
  return list.find(({ name, image }) => select.value === `${image} ${name}`) ?? null;
}
