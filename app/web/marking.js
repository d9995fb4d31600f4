/** The sliders of a frame: from which probability on a pixel counts, and how probable an area has to be somewhere. */

import { $, onSlide, slideTo } from "./dom.js";
import { fixed } from "./format.js";
import * as networks from "./networks.js";
import { Peak } from "./peak.js";

const KINDS = ["dense", "pruned"];

let peak;
let ask;

/**
 * Wire both.
 * @param {() => void} onThreshold called now and at each change @param {() => void} again asks the networks once more
 */
export function start(onThreshold, again) {
  ask = again;
  peak = new Peak($("peak"), $("peak-value"), ask);
  onSlide($("threshold"), onThreshold);
  $("threshold").addEventListener("change", () => peak.value !== null && ask()); // the areas are others
  $("reset").addEventListener("click", reset);
}

/** @returns {{threshold: number, peak: ?number}} what the sliders say; a peak of null is each network's own */
export const values = () => ({ threshold: Number($("threshold").value), peak: peak.value });

/** What a request has to say: nothing, where every network keeps its own peak. @returns {object} */
export const query = () => (peak.value === null ? {} : values());

/** To the pruned network's own. */
export function rest() {
  slideTo($("threshold"), usual("threshold") ?? 0.5);
  restPeak();
}

/** Mark the networks' own on both. */
export function mark() {
  for (const what of ["threshold", "peak"]) {
    for (const kind of KINDS) {
      const place = $(`${what}-${kind}`);
      place.hidden = own(kind, what) === undefined;
      place.style.setProperty("--at", own(kind, what) ?? 0);
    }
  }
  const thresholds = [...new Set(KINDS.map((kind) => own(kind, "threshold")).filter((value) => value !== undefined))];
  if (thresholds.length) $("threshold-own").textContent = `The mark is the networks' own: ${thresholds.map((value) => fixed(value, 2)).join(" and ")}.`;
  if (peak.value === null) restPeak();
}

const restPeak = () => peak.own(usual("peak") ?? 0);

function reset() {
  const moved = peak.value !== null;
  rest();
  if (moved) ask();
}

/** @param {string} kind @param {"threshold"|"peak"} what @returns {?number} of the network that is picked */
const own = (kind, what) => networks.manifest(networks.picked()[kind])?.[what];

const usual = (what) => own("pruned", what) ?? own("dense", what);
