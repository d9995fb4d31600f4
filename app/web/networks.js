/** Which networks the service has, and which pair of them is picked. */

import * as api from "./api.js";
import { $, offer, say } from "./dom.js";

let ready = [];

/** Fill the pickers from `/v1/models`; what was picked stays where it still serves. */
export async function load() {
  say($("models-error"));
  try {
    const entries = await api.models();
    ready = entries.filter((entry) => entry.state === "ready");
    fill();
    tell(entries);
  } catch (error) {
    service("failed", "Not connected");
    say($("models-error"), error.message);
  }
}

/** What a folder promises. @param {string} id @returns {?object} */
export const manifest = (id) => ready.find((entry) => entry.id === id)?.manifest;

/** The networks that are picked. @returns {{dense: string, pruned: string}} "" where there is none of the kind */
export const picked = () => ({ dense: $("model-dense").value, pruned: $("model-pruned").value });

/** @returns {string[]} every network that is ready */
export const ids = () => ready.map((entry) => entry.id);

/** @param {() => void} then gets called when another network is picked for the frame */
export function onPick(then) {
  for (const kind of ["dense", "pruned"]) $(`model-${kind}`).addEventListener("change", then);
}

function fill() {
  const ids = (variant) => ready.filter((entry) => entry.manifest.variant === variant).map((entry) => entry.id);
  const usual = ready.find((entry) => entry.default);
  const { dense, pruned } = picked();
  const kept = (value, values) => (values.includes(value) ? value : undefined);
  const prunedIds = ids("pruned");
  offer($("model-pruned"), prunedIds, kept(pruned, prunedIds) ?? kept(usual?.id, prunedIds));
  const origin = manifest($("model-pruned").value)?.pruned_from;
  const denseIds = ids("dense");
  offer($("model-dense"), denseIds, kept(dense, denseIds) ?? kept(usual?.id, denseIds) ?? kept(origin, denseIds));
  const live = ready.map((entry) => entry.id);
  offer($("live-model"), live, kept($("live-model").value, live) ?? usual?.id);
}

function tell(entries) {
  const refused = entries.filter((entry) => entry.state === "refused");
  const devices = [...new Set(ready.map((entry) => (/^(CPU|OpenVINO)/.test(entry.provider) ? "CPU" : "GPU")))].join(" and ");
  const networks = ready.length === 1 ? "1 network" : `${ready.length} networks`;
  service(ready.length ? "ready" : "failed", ready.length ? `${networks} on ${devices}` : "No network is ready");
  say($("models-error"), refused.map((entry) => `${entry.id} was refused: ${entry.reason}`).join(" "));
}

function service(state, words) {
  $("service").className = `service ${state}`;
  $("service").textContent = words;
}
