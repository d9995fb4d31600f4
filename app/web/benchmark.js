/** The view of a benchmark: start one, follow it, and show what it found. */

import * as api from "./api.js";
import { $, make, say } from "./dom.js";
import { fixed, short } from "./format.js";
import { openFile } from "./frame.js";
import * as networks from "./networks.js";
import { distributions } from "./plot.js";

const EVERY = 300; // ms between two looks at the progress

/** Wire the view. */
export function start() {
  $("benchmark-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
}

async function run() {
  say($("benchmark-error"));
  running(true, "Starting…");
  try {
    const status = await follow(await begin());
    running(false, outcome(status));
    if (status.result) show(status.result);
    if (status.error) say($("benchmark-error"), status.error);
  } catch (error) {
    running(false, "Nothing runs.");
    say($("benchmark-error"), error.message);
  }
}

/** The id of a new benchmark, or of the one that runs already. */
async function begin() {
  try {
    const { id } = await api.startBenchmark(form());
    $("benchmark-state").textContent = "Measuring. What else the service does meanwhile shares the machine with it.";
    return id;
  } catch (error) {
    if (error.status !== 409 || !error.problem.id) throw error;
    $("benchmark-state").textContent = "A benchmark was running already; this is that one, with its own settings.";
    return error.problem.id;
  }
}

function form() {
  const form = new FormData();
  const { dense, pruned } = networks.picked();
  for (const model of [dense, pruned].filter(Boolean)) form.append("models", model);
  for (const field of ["iterations", "warmup", "threads"]) form.append(field, $(field).value);
  if ($("with-frame").checked && openFile()) form.append("file", openFile(), "frame");
  return form;
}

async function follow(id) {
  for (;;) {
    const status = await api.benchmark(id);
    $("benchmark-progress").value = status.progress;
    if (status.state !== "running") return status;
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

function running(is, words) {
  $("run").disabled = is;
  $("benchmark-running").hidden = !is;
  $("benchmark-state").textContent = words;
}

const outcome = ({ state, result }) => (state === "done" ? `Done: ${result.iterations} rounds.` : `The benchmark ${state}.`);

function show(result) {
  $("benchmark-empty").hidden = true;
  $("benchmark-results").hidden = false;
  headline(result.comparisons[0], result.frame.endsWith("sent"));
  const drawn = result.models.map(({ id, variant, latency_ms: { p50, histogram } }) => (
    { name: id, colour: variant === "dense" ? "--dense" : "--accent", p50, ...histogram }
  ));
  distributions($("benchmark-plot"), drawn);
  $("benchmark-legend").replaceChildren(...result.models.map(legend), slowest(result.models));
  $("benchmark-table").tBodies[0].replaceChildren(...result.models.map(row));
  const { machine } = result;
  $("benchmark-method").textContent =
    `${result.method} ${result.iterations} rounds, batch ${result.batch}, CPU threads: ${result.threads}. ` +
    `Frame: ${result.frame}. ${machine.processor}, ${machine.cores} cores, onnxruntime ${machine.onnxruntime}.`;
}

/** Masks are compared on a frame that was sent alone: on a model's own, which is noise, agreement means nothing. */
function headline(comparison, sent) {
  $("speedup").textContent = comparison ? `${fixed(comparison.speedup.mean, 2)}×` : "";
  if (!comparison) {
    $("speedup-words").textContent = "A speed-up needs a dense network and a pruned one.";
    $("speedup-interval").textContent = "";
    return;
  }
  const { speedup, macs_ratio: macs, agreement } = comparison;
  $("speedup-words").textContent = speedup.mean >= 1 ? "as fast as the dense network" : "of the dense network's speed";
  $("speedup-interval").textContent =
    `95 % interval ${fixed(speedup.low, 2)} to ${fixed(speedup.high, 2)}, with ${fixed(macs, 2)} times fewer multiply-accumulates (MACs). ` +
    (sent ? `On this frame the masks agree with a Dice of ${fixed(agreement.dice, 3)}.` : "");
}

const legend = ({ id, variant }) => make("span", {}, make("i", { className: `key ${variant}` }), id);

function slowest(models) {
  const beyond = models.reduce((sum, { latency_ms: { histogram } }) => sum + histogram.above, 0);
  return make("span", { textContent: `The slowest 1 % lie to the right of what is drawn (${beyond} runs).` });
}

function row({ id, latency_ms: latency, macs, parameters }) {
  const times = [latency.p50, latency.p95, latency.p99].map((time) => `${fixed(time, 1)} ms`);
  const cells = [...times, fixed(latency.frames_per_second, 1), short(macs), short(parameters)];
  return make("tr", {}, make("th", { scope: "row", textContent: id }), ...cells.map((text) => make("td", { textContent: text })));
}
