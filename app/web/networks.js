/** Which networks the service has, and which pair of them is picked. */

import * as api from "./api.js";
import { $, offer, say } from "./dom.js";

let ready = [];

/**
 * Fill the pickers from `/v1/models`; what was picked stays where it still serves.
 * @returns {Promise<boolean>} whether the service is there, if only to ask for a key
 */
export async function load() {
  try {
    const entries = await api.models();
    ready = entries.filter((entry) => entry.state === "ready");
    tell(entries, fill());
    return true;
  } catch (error) {
    service("failed", "Not connected");
    say($("models-error"), error.message);
    return ![0, 429, 503].includes(error.status);
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

/** @returns {string[]} what there is to say of networks that were picked and are gone */
function fill() {
  const ids = (variant) => ready.filter((entry) => entry.manifest.variant === variant).map((entry) => entry.id);
  const usual = ready.find((entry) => entry.default)?.id;
  const pruned = refill($("model-pruned"), ids("pruned"), [usual]);
  const dense = refill($("model-dense"), ids("dense"), [usual, manifest($("model-pruned").value)?.pruned_from]);
  const live = refill($("live-model"), ready.map((entry) => entry.id), [usual]);
  return [...new Set([pruned, dense, live])];
}

/** What is picked stays where it is offered still; else the first of these that is, as if picked by hand. */
function refill(select, values, usual) {
  const before = select.value;
  offer(select, values, [before, ...usual].find((id) => values.includes(id)));
  if (select.value === before) return "";
  select.dispatchEvent(new Event("change"));
  if (!before) return "";
  return `${before} does not serve any more${select.value ? `; ${select.value} is picked instead` : ""}.`;
}

function tell(entries, gone) {
  const refused = entries.filter((entry) => entry.state === "refused");
  const devices = [...new Set(ready.map((entry) => (/^(CPU|OpenVINO)/.test(entry.provider) ? "CPU" : "GPU")))].join(" and ");
  const networks = ready.length === 1 ? "1 network" : `${ready.length} networks`;
  service(ready.length ? "ready" : "failed", ready.length ? `${networks} on ${devices}` : "No network is ready");
  say($("models-error"), [...gone, ...refused.map((entry) => `${entry.id} was refused: ${entry.reason}`)].join(" ").trim());
}

function service(state, words) {
  $("service").className = `service ${state}`;
  say($("service"), words);
}
