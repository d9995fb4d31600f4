/** Numbers as people read them. */

/** @param {number} value @param {number} [digits] */
export const fixed = (value, digits = 0) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Milliseconds with as many digits as say something: 0.046, 4.6, 46.1. @param {number} value */
export const ms = (value) => `${fixed(value, value < 1 ? 3 : 1)} ms`;

/** 0.0539 -> "5.4 %"; what is there but tiny is not called 0. @param {number} share */
export const percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : `${fixed(share * 100, 1)} %`);

/** 2539000000 -> "2.54 G". @param {number} value */
export function short(value) {
  const [unit, by] = value >= 1e9 ? ["G", 1e9] : value >= 1e6 ? ["M", 1e6] : ["k", 1e3];
  return `${fixed(value / by, 2)} ${unit}`;
}

/** A number and its unit, the unit smaller. @param {HTMLElement} place @param {string} number @param {string} unit */
export function figure(place, number, unit = "") {
  place.textContent = number;
  const small = document.createElement("small");
  small.textContent = unit;
  if (unit) place.append(" ", small);
}

/** Value below which a share of the values lie; linear between two, as numpy.percentile. @param {number[]} values */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}
