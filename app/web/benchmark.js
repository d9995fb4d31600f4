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
export async function shown() {
  const { running: id } = (await stored.show()) ?? {};
  if (id && !$("run").disabled) run(id, "A benchmark runs already, since before this page was opened or from elsewhere.");
}

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
  $("benchmark-empty").hidden = Boolean(status.result);
  $("benchmark-results").hidden = !status.result;
  if (status.result) {
    result.show(status);
    stored.follow(status.result);
  }
  say($("benchmark-error"), status.error ?? "");
}

/** Start one and follow it, or follow the one that is named. */
async function run(id, words = "Starting…") {
  say($("benchmark-error"));
  running(true, words);
  try {
    id ??= await begin();
    const status = await follow(id);
    running(false, outcome(status));
    show(status);
    stored.show();
  } catch (error) {
    running(false, id ? "Not followed any more: it goes on, and is stored at its end." : "Nothing runs.");
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
    const status = await look(id);
    $("benchmark-progress").value = status.progress;
    if (status.state !== "running") return status;
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

/** It runs on where a look fails: only what would not pass by itself ends this. */
async function look(id, tries = 10) {
  try {
    return await api.benchmark(id);
  } catch (error) {
    if (!tries || ![0, 429, 503].includes(error.status)) throw error;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return look(id, tries - 1);
  }
}

function running(is, words) {
  $("run").disabled = is;
  $("benchmark-running").hidden = !is;
  $("benchmark-state").textContent = words;
}

const outcome = ({ state, result }) => (state === "done" ? `Done: ${result.iterations} rounds.` : `The benchmark ${state}.`);
