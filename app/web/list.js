/** The list of lesions, and what can be saved of them. */

import { $, chosen, make, save } from "./dom.js";
import { fixed, percent } from "./format.js";
import * as marking from "./marking.js";

let view;

/** @param {{picture: import("./picture.js").Picture, state: object}} of the frame's view */
export function start(of) {
  view = of;
  $("save-mask").addEventListener("click", async () => save(await maskPng(), `${stem()}-mask-${chosen("listed")}.png`));
  $("save-overlay").addEventListener("click", async () => save(await view.picture.png(), `${stem()}-overlay.png`));
  $("save-json").addEventListener("click", () => save(json(), `${stem()}-lesions.json`));
}

/** Show the lesions of one network. @param {?object[]} found @param {string} kind */
export function show(found, kind) {
  const lesions = found ?? [];
  view.picture.point(null);
  $("lesions").replaceChildren(...lesions.map(entry));
  $("lesions-summary").textContent = found ? summary(lesions, kind) : "Nothing to list yet.";
  $("lesions-heads").hidden = !lesions.length;
  $("downloads").hidden = !found;
}

/** @param {object[]} lesions @returns {string} */
export function summary(lesions, kind) {
  if (!lesions.length) return `Nothing is marked by the ${kind} network at this threshold and peak.`;
  const share = lesions.reduce((sum, lesion) => sum + lesion.fraction, 0);
  return `${lesions.length === 1 ? "One area" : `${lesions.length} areas`}, ${percent(share)} of the frame.`;
}

function entry(lesion, index) {
  const { area, fraction, probability } = lesion;
  const button = make(
    "button", {},
    make("i", {}, away("Lesion "), `${index + 1}`),
    make("span", { textContent: `${fixed(area)} px` }),
    make("span", {}, percent(fraction), away(" of the frame,")),
    make("span", {}, away("mean probability "), fixed(probability, 2)),
  );
  for (const event of ["mouseenter", "focus"]) button.addEventListener(event, () => view.picture.point(lesion));
  for (const event of ["mouseleave", "blur"]) button.addEventListener(event, () => view.picture.point(null));
  return make("li", {}, button);
}

/** Words for those who do not see the columns' heads. */
const away = (words) => make("span", { className: "away", textContent: words });

const stem = () => view.state.file.name.replace(/\.\w+$/, "").replace(/[^\w-]+/g, "-");

/** The listed network's mask, 0 and 255, as the service's `output=mask` shows it. */
async function maskPng() {
  const { width, height } = view.state.results[chosen("listed")];
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  view.state.masks[chosen("listed")].forEach((set, index) => (pixels[index] = set ? 0xffffffff : 0xff000000));
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

function json() {
  const { bitmap, results, found } = view.state;
  const networks = Object.entries(results).map(([kind, { model, provider, timings }]) => ({
    model,
    provider,
    timings,
    lesions: found[kind].map(({ box, area, fraction, probability }) => ({ box, area, fraction, probability })),
  }));
  const report = {
    file: view.state.file.name,
    frame: { width: bitmap.width, height: bitmap.height },
    ...marking.values(),
    networks,
    notice: "Research use only. Not a medical device.",
  };
  return new Blob([JSON.stringify(report, null, 2)], { type: "application/json" });
}
