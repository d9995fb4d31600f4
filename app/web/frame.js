/** The view of one frame: what is loaded, what both networks say about it, and all that follows from threshold and peak. */

import * as api from "./api.js";
import { $, chosen, make, onChoose, onDrop, onSlide, say } from "./dom.js";
import { figure, fixed } from "./format.js";
import { area, dice, maskOf } from "./mask.js";
import * as lesions from "./lesions.js";
import * as list from "./list.js";
import * as marking from "./marking.js";
import * as networks from "./networks.js";
import * as npy from "./npy.js";
import { COLOURS, Picture } from "./picture.js";
import * as still from "./still.js";
import { onPaste } from "./source.js";
import { Wipe } from "./wipe.js";

const KINDS = ["pruned", "dense"]; // asked in this order, one after the other: two at once would slow each other
const NAMES = { dense: "Dense", pruned: "Pruned" };

const picture = new Picture($("picture"));
const state = { file: null, bitmap: null, results: {}, masks: {}, found: {}, wanted: null, asked: null };
let wipe;

/** The file that is open, for the benchmark. @returns {?File} */
export const openFile = () => state.file;

/**
 * Wire the view.
 * @param {(video: File) => void} onVideo gets a video that was opened here
 * @param {() => void} onPasted called before what was pasted is opened, whichever view is shown
 */
export function start(onVideo, onPasted) {
  list.start({ picture, state });
  const take = (file) => (file.type.startsWith("video/") ? onVideo(file) : load(file));
  wipe = new Wipe($("picture"), divide);
  onChoose($("open"), $("file"), take);
  onDrop($("drop"), take);
  onPaste((file) => {
    onPasted();
    take(file);
  });
  still.start(take);
  $("sample").addEventListener("click", () => load(api.sample()));
  networks.onPick(() => {
    ready();
    retry();
  });
  marking.start(rethreshold, retry);
  for (const control of ["fill", "outline"]) $(control).addEventListener("change", restyle);
  onSlide($("opacity"), restyle);
  onSlide($("contour"), restyle);
  $("show").addEventListener("change", reshow);
  $("listed").addEventListener("change", relist);
}

/** Show the models' own thresholds and peaks on the sliders, and begin at those of the pruned one. */
function ready() {
  marking.mark();
  if (!state.file) marking.rest();
}

/** Ask again: there is a key now, the service itself, another network or another peak. */
export const retry = () => state.file && segment();

/** Open a file, or what will be one; what was open stays where this cannot be, or where another was chosen meanwhile. */
async function load(chosen) {
  state.wanted = chosen;
  say($("frame-error"));
  $("drop").classList.add("busy");
  try {
    const file = await copyOf(await chosen);
    const bitmap = await createImageBitmap(file).catch(async () => createImageBitmap(await api.decoded(file)));
    if (state.wanted === chosen) await open(file, bitmap);
  } catch (error) {
    if (state.wanted !== chosen) return;
    say($("frame-error"), error.message);
    $("drop").classList.remove("busy");
  }
}

/** A file in memory: what is asked of it later is asked of the same bytes, whatever becomes of it on the disk. */
const copyOf = async (file) => new File([await file.arrayBuffer()], file.name, { type: file.type });

function open(file, bitmap) {
  still.close();
  Object.assign(state, { file, bitmap, results: {}, masks: {}, found: {} });
  $("frame-empty").hidden = true;
  if ($("with-frame").disabled) $("with-frame").checked = true;
  $("with-frame").disabled = false;
  picture.show(bitmap, bitmap.width, bitmap.height);
  reshow(); // and nothing of the frame before
  rethreshold();
  const size = `, ${bitmap.width} × ${bitmap.height} pixels. Times are of one run each; Benchmark compares them properly.`;
  $("frame-note").replaceChildren(make("bdi", { textContent: file.name }), size);
  return segment();
}

async function segment() {
  state.asked?.abort();
  const { signal } = (state.asked = new AbortController());
  const before = { ...state.results };
  say($("frame-error"));
  $("drop").classList.add("busy");
  marking.mark();
  try {
    for (const kind of KINDS) await ask(kind, signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    say($("frame-error"), error.message);
    forget(before);
  } finally {
    if (!signal.aborted) $("drop").classList.remove("busy");
  }
}

/** What answered another question than the one that is on the page now. @param {object} results as they were before it */
function forget(results) {
  for (const kind of KINDS) if (state.results[kind] === results[kind]) delete state.results[kind];
  reshow();
  rethreshold();
}

async function ask(kind, signal) {
  const model = networks.picked()[kind];
  if (!model) delete state.results[kind];
  else {
    const answer = await api.probability(state.file, { model, ...marking.query() }, signal);
    state.results[kind] = { ...answer, ...npy.parse(answer.npy) };
  }
  reshow();
  rethreshold();
}

/** Masks, lesions, agreement and picture at the threshold of the slider. */
function rethreshold() {
  const { threshold } = marking.values();
  $("threshold-value").textContent = fixed(threshold, 2);
  state.masks = {};
  state.found = {};
  for (const [kind, { data, width }] of Object.entries(state.results)) {
    state.masks[kind] = maskOf(data, threshold);
    state.found[kind] = lesions.find(state.masks[kind], data, width);
  }
  restyle();
  relist();
  tell();
}

function restyle() {
  $("opacity").disabled = !$("fill").checked;
  $("contour").disabled = !$("outline").checked;
  $("opacity-value").textContent = `${Math.round($("opacity").value * 100)} %`;
  $("contour-value").textContent = `${$("contour").value} px`;
  if (!state.bitmap) return;
  const fill = $("fill").checked ? Number($("opacity").value) : 0;
  const scale = Math.max(1, Math.min(state.bitmap.width, state.bitmap.height) / 512); // as wide in a larger frame
  const contour = $("outline").checked ? Number($("contour").value) * scale : 0;
  const layers = shown().map((kind, index) => ({ mask: state.masks[kind], colour: COLOURS[kind], ...spans()[index] }));
  picture.lay(layers, { fill, contour });
}

/** Which networks the picture shows, from left to right. */
function shown() {
  const there = ["dense", "pruned"].filter((kind) => state.masks[kind]);
  return chosen("show") === "wipe" ? there : there.filter((kind) => kind === chosen("show"));
}

function spans() {
  if (shown().length < 2) return [{ from: 0, to: 1 }];
  return [{ from: 0, to: wipe.at }, { from: wipe.at, to: 1 }];
}

const divide = () => state.bitmap && picture.divide(spans());

/** Another choice of networks: dense, both or pruned. */
function reshow() {
  const kinds = Object.keys(state.results);
  $("show").disabled = $("listed").disabled = kinds.length < 2;
  const only = chosen("show") !== "wipe" ? chosen("show") : kinds.length === 1 ? kinds[0] : null;
  wipe.shown = !only && kinds.length === 2;
  if (only) document.querySelector(`input[name="listed"][value="${only}"]`).checked = true;
  for (const kind of ["dense", "pruned"]) label(kind, !only || only === kind ? state.results[kind] : null);
  restyle();
  relist();
}

function label(kind, result) {
  const tag = $(`tag-${kind}`);
  tag.textContent = "";
  if (result) tag.append(NAMES[kind], make("b", { textContent: `${fixed(result.timings.network, 1)} ms` }));
}

function relist() {
  const kind = chosen("listed");
  list.show(state.found[kind], kind);
}

function tell() {
  const { dense, pruned } = state.results;
  for (const kind of ["dense", "pruned"]) {
    const time = state.results[kind]?.timings.network;
    figure($(`ms-${kind}`), time === undefined ? "–" : fixed(time, 1), time === undefined ? "" : "ms");
  }
  const both = dense && pruned;
  figure($("agreement"), both ? fixed(dice(state.masks.dense, state.masks.pruned), 3) : "–", both ? "Dice" : "");
  picture.describe(words());
}

function words() {
  const parts = Object.entries(state.masks).map(
    ([kind, mask]) => `${NAMES[kind]}: ${state.found[kind].length} lesions, ${area(mask)} pixels`,
  );
  return [`Frame with masks at threshold ${marking.values().threshold}`, ...parts].join(". ");
}
