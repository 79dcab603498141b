// Numbers, sizes and times as people read them.

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  let unit = 0;
  while (count >= 999.5 && unit < UNITS.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${digits(count)} ${UNITS[unit]}`;
}

/** Three digits that count. */
export function digits(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en");
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export const count = (value) => Number(value).toLocaleString("en");

export function milliseconds(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0.001) return "< 1 µs";
  if (ms < 1) return `${digits(ms * 1000)} µs`;
  if (ms < 1000) return `${digits(ms)} ms`;
  return ms < 60000 ? `${digits(ms / 1000)} s` : seconds(ms / 1000);
}

export function seconds(time) {
  if (time < 0.0005) return "< 1 ms";
  if (time < 1) return `${Math.round(time * 1000)} ms`;
  if (time < 60) return `${time < 10 ? time.toFixed(1) : Math.round(time)} s`;
  if (time < 3600) return `${Math.floor(time / 60)} min ${Math.floor(time % 60)} s`;
  if (time < 86400) return `${Math.floor(time / 3600)} h ${Math.floor((time % 3600) / 60)} min`;
  return `${Math.floor(time / 86400)} d ${Math.floor((time % 86400) / 3600)} h`;
}

/** A time in its largest unit, for where there is little room. */
export function age(time) {
  if (time < 60) return `${Math.floor(time)} s`;
  if (time < 3600) return `${Math.floor(time / 60)} min`;
  return time < 86400 ? `${Math.floor(time / 3600)} h` : `${Math.floor(time / 86400)} d`;
}

/** `1 call`, `2 calls`. */
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

/** A time of this day as its time, and another one with its date. */
export function moment(at) {
  const time = new Date(at);
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? clock(at) : `${time.toLocaleDateString("en-CA")} ${clock(at).slice(0, 5)}`;
}

export const short = (digest) => (digest ? String(digest).slice(0, 10) : "");

/** A share such as `70%` as a number from 0 to 1. */
export const share = (text) => parseFloat(text) / 100;
