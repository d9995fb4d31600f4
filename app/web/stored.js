/** Benchmarks that the service has kept: a list to open them from, and how the speed-up went on. */

import * as api from "./api.js";
import { $, make, say } from "./dom.js";
import { fixed } from "./format.js";
import * as networks from "./networks.js";
import { development } from "./plot.js";
import { moment } from "./result.js";

const LIMIT = 10;
const ANY = "all";
let offset = 0;
let open = () => {};

/** Wire the list. @param {(id: string) => void} then is called with what is to be opened */
export function start(then) {
  open = then;
  const turn = (by) => () => {
    offset = Math.max(0, offset + by);
    show();
  };
  $("stored-older").addEventListener("click", turn(LIMIT));
  $("stored-newer").addEventListener("click", turn(-LIMIT));
  $("stored-model").addEventListener("change", turn(-Infinity));
}

/** Ask again for the list. */
export async function show() {
  choices();
  const model = $("stored-model").value;
  try {
    const found = await api.benchmarks({ limit: LIMIT, offset, ...(model !== ANY && { model }) });
    if (offset && offset >= found.total) { // what was on this page is gone
      offset = Math.max(0, LIMIT * (Math.ceil(found.total / LIMIT) - 1));
      return show();
    }
    fill(found);
    return found;
  } catch (error) {
    $("stored-table").hidden = $("stored-pages").hidden = true;
    say($("stored-note"), error.message);
  }
}

/** Show how the first ratio of a result went on under the same conditions. @param {object} result */
export async function follow({ comparisons: [first], machine, batch, threads, frame }) {
  $("trend").hidden = true;
  if (!first) return;
  const alike = ({ kind, base, other, conditions }) =>
    kind === "pruned" && base.id === first.dense && other.id === first.pruned &&
    base.provider === first.provider && base.stage === first.stage &&
    conditions.processor === machine.processor && conditions.cores === machine.cores &&
    conditions.batch === batch && conditions.threads === threads && conditions.frame === frame;
  const trend = (await api.trends(first.pruned).catch(() => [])).find(alike);
  if (!trend || trend.points.length < 2) return;
  $("trend").hidden = false;
  development($("trend-plot"), trend.points.map(({ ratio }) => ratio));
  $("trend-words").textContent =
    `${first.pruned} beside ${first.dense} on this machine, with the same frame, batch and threads: ${trend.points.length} runs ` +
    `since ${moment(trend.points[0].created)}. Bars are 95 % intervals.`;
}

function choices() {
  const select = $("stored-model");
  const wanted = select.value || ANY;
  select.replaceChildren(...[ANY, ...networks.ids()].map((id) => new Option(id, id, false, id === wanted)));
}

function fill({ total, benchmarks, persistent, providers }) {
  const kept = persistent ? "" : " They are kept until the service ends: POLYPRUNE_DATA_DIR keeps them longer.";
  say($("stored-note"), (total ? `${total} ${total === 1 ? "run" : "runs"}.` : "None yet.") + kept);
  $("stored-table").hidden = !benchmarks.length;
  $("stored-table").tBodies[0].replaceChildren(...benchmarks.map(row));
  $("stored-pages").hidden = total <= LIMIT;
  $("stored-newer").disabled = offset === 0;
  $("stored-older").disabled = offset + LIMIT >= total;
  offer(providers);
}

function row({ id, created, state, models, ratios: [first] }) {
  const { mean, low, high } = first?.ratio ?? {};
  const speedup = first ? `${fixed(mean, 2)}× (${fixed(low, 2)} to ${fixed(high, 2)})` : state === "done" ? "" : state;
  const button = make("button", { textContent: "Open", ariaLabel: `Open the run of ${moment(created)}` });
  button.addEventListener("click", () => open(id));
  return make("tr", {}, make("th", { scope: "row", textContent: moment(created) }),
    ...[models.join(", "), speedup].map((text) => make("td", { textContent: text })), make("td", {}, button));
}

/** Providers to choose from, where there is a choice. */
function offer(providers) {
  if (providers.length < 2 || $("providers").options.length) return;
  $("providers-field").hidden = false;
  const all = providers.join(",");
  $("providers").replaceChildren(new Option("the service's own", ""), ...[...providers, all].map((value) => new Option(value.replaceAll(",", " and "), value)));
}
