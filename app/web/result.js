/** What one benchmark found: ratios, distributions, costs; and its files. */

import * as api from "./api.js";
import { $, make, save, say } from "./dom.js";
import { fixed, ms, short } from "./format.js";
import { distributions } from "./plot.js";

const STAGES = { network: "network", end_to_end: "end to end" };
let shown = ""; // the id of what is shown

/** Wire the buttons. @param {() => void} gone is called when what was shown has been deleted */
export function start(gone) {
  for (const kind of ["csv", "html"]) {
    $(`benchmark-${kind}`).addEventListener("click", () => attempt(async () => save(await api.exported(shown, kind), `benchmark-${shown}.${kind}`)));
  }
  $("benchmark-delete").addEventListener("click", () => {
    if (!confirm("Delete this run and its samples from the service?")) return;
    attempt(async () => {
      await api.deleteBenchmark(shown);
      gone();
    });
  });
}

/** @param {object} status of `GET /benchmark/{id}`, with a result */
export function show({ id, created, warning, result }) {
  shown = id;
  $("benchmark-opened").textContent = `Run of ${moment(created)}`;
  say($("benchmark-warning"), warning ?? "");
  const first = result.models[0].stage;
  headline(result.comparisons.find(({ stage }) => stage === first), result.frame.endsWith("sent"));
  ratios(result);
  plots(result.models);
  $("benchmark-table").tBodies[0].replaceChildren(...result.models.map((model) => cost(model, result.pairs)));
  sweep(result);
  method(result);
}

/** A moment in the reader's own time. @param {string} iso */
export const moment = (iso) => new Date(iso).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });

async function attempt(work) {
  say($("benchmark-error"));
  await work().catch((error) => say($("benchmark-error"), error.message));
}

/** Masks are compared on a frame that was sent alone: on a model's own, which is noise, agreement means nothing. */
function headline(comparison, sent) {
  $("speedup").textContent = comparison ? `${fixed(comparison.speedup.mean, 2)}×` : "";
  if (!comparison) {
    $("speedup-words").textContent = "A speed-up needs a dense network and a pruned one.";
    $("speedup-interval").textContent = "";
    return;
  }
  const { dense, pruned, speedup, macs_ratio: macs, agreement } = comparison;
  $("speedup-words").textContent = `as fast: ${pruned} beside ${dense}`;
  $("speedup-interval").textContent =
    `95 % interval ${between(speedup)}, with ${fixed(macs, 2)} times fewer multiply-accumulates (MACs). ` +
    (sent ? `On this frame the masks agree with a Dice of ${fixed(agreement.dice, 3)}.` : "");
}

/** Every ratio with both names: of pruned networks, of precisions, of providers. */
function ratios({ comparisons, pairs }) {
  const rows = [
    ...comparisons.map(({ dense, pruned, provider, stage, speedup }) => ratio({ id: pruned, provider }, { id: dense, provider }, stage, speedup)),
    ...pairs.filter(({ differ }) => differ !== "stage").map(({ base, other, ratio: found }) => ratio(other, base, other.stage, found)),
  ];
  $("ratios").hidden = !rows.length;
  $("ratio-table").tBodies[0].replaceChildren(...rows);
}

const ratio = (one, beside, stage, found) => row(name(one), [name(beside), STAGES[stage], times(found)]);

/** Both stages over axes of one length, so that they can be compared. */
function plots(models) {
  const end = Math.max(...models.map(({ latency_ms: { histogram: { low, step, counts } } }) => low + step * counts.length));
  for (const stage of Object.keys(STAGES)) {
    const drawn = models.filter((model) => model.stage === stage);
    $(`figure-${stage}`).hidden = !drawn.length;
    if (drawn.length) distributions($(`plot-${stage}`), drawn.map(distribution), end);
  }
  const first = models.filter(({ stage }) => stage === models[0].stage);
  $("benchmark-legend").replaceChildren(...first.map(legend), slowest(models));
}

const distribution = ({ id, variant, latency_ms: { p50, histogram } }) => (
  { name: id, colour: variant === "dense" ? "--dense" : "--accent", p50, ...histogram }
);

const legend = (model) => make("span", {}, make("i", { className: `key ${model.variant}` }), name(model));

function slowest(models) {
  const beyond = models.reduce((sum, { latency_ms: { histogram } }) => sum + histogram.above, 0);
  return make("span", { textContent: `The slowest 1 % lie to the right of what is drawn (${beyond} runs).` });
}

function cost(model, pairs) {
  const { id, provider, stage, latency_ms: latency, macs, parameters } = model;
  const shown = [latency.p50, latency.p95, latency.p99].map(ms);
  const around = stage === "end_to_end" && pairs.find(({ differ, base }) => differ === "stage" && base.id === id && base.provider === provider);
  const over = around ? `${fixed(around.ratio.mean, 2)}×` : "";
  return row(name(model), [STAGES[stage], ...shown, fixed(latency.frames_per_second, 1), over, short(macs), short(parameters)]);
}

function sweep({ sweep: loads, workers }) {
  $("sweep").hidden = !loads.length;
  $("sweep-table").tBodies[0].replaceChildren(...loads.map(load));
  $("sweep-note").textContent =
    `Each client sends its next frame when it has its answer; ${workers === 1 ? "1 frame is" : `${workers} frames are`} ` +
    "worked on at once, the others wait, and the wait counts. Throughput beside the network that it was pruned from, with its 95 % interval.";
}

function load(one) {
  const { stage, concurrency, frames_per_second: rate, p50, p99, dense, speedup } = one;
  const over = speedup ? `${dense}: ${times(speedup)}` : "";
  return row(name(one), [STAGES[stage], concurrency, fixed(rate.mean, 1), ms(p50), ms(p99), over]);
}

function method({ method: words, iterations, batch, threads, frame, machine }) {
  $("benchmark-method").textContent =
    `${words} ${iterations} rounds, batch ${batch}, CPU threads: ${threads}. ` +
    `Frame: ${frame}. ${machine.processor}, ${machine.cores} cores, onnxruntime ${machine.onnxruntime}.`;
}

const times = (found) => `${fixed(found.mean, 2)}× (${between(found)})`;

const between = ({ low, high }) => `${fixed(low, 2)} to ${fixed(high, 2)}`;

/** The provider is named where it is not the usual one. */
const name = ({ id, provider }) => (provider.startsWith("CPU") ? id : `${id}, ${provider.replace("ExecutionProvider", "")}`);

const row = (head, cells) => make("tr", {}, make("th", { scope: "row", textContent: head }), ...cells.map((text) => make("td", { textContent: text })));
