/** The view of a benchmark: start one, follow it, and hand what it found to the parts that show it. */

import * as api from "./api.js";
import { $, say } from "./dom.js";
import { openFile } from "./frame.js";
import * as networks from "./networks.js";
import * as result from "./result.js";
import * as stored from "./stored.js";

const EVERY = 300; // ms between two looks at the progress

/** Wire the view. */
export function start() {
  $("benchmark-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  stored.start(open);
  result.start(() => {
    $("benchmark-results").hidden = true;
    $("benchmark-empty").hidden = false;
    stored.show();
  });
}

/** The view is looked at now. */
export const shown = () => stored.show();

async function open(id) {
  say($("benchmark-error"));
  try {
    show(await api.benchmark(id));
    $("benchmark-results").scrollIntoView({ block: "start" });
  } catch (error) {
    say($("benchmark-error"), error.message);
  }
}

function show(status) {
  if (status.result) {
    $("benchmark-empty").hidden = true;
    $("benchmark-results").hidden = false;
    result.show(status);
    stored.follow(status.result);
  }
  say($("benchmark-error"), status.error ?? "");
}

async function run() {
  say($("benchmark-error"));
  running(true, "Starting…");
  try {
    const status = await follow(await begin());
    running(false, outcome(status));
    show(status);
    stored.show();
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
  form.append("stages", $("whole-way").checked ? "network,end_to_end" : "network");
  if ($("concurrency").value) form.append("concurrency", $("concurrency").value);
  if ($("providers").value) form.append("providers", $("providers").value);
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
