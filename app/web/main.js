/** The only place where the parts of the page meet. */

import * as api from "./api.js";
import * as benchmark from "./benchmark.js";
import { $, holdDrops } from "./dom.js";
import * as frame from "./frame.js";
import * as live from "./live.js";
import * as networks from "./networks.js";
import { refresh } from "./plot.js";
import * as still from "./still.js";
import { lasting } from "./storage.js";

const VIEWS = ["frame", "live", "benchmark"];
const THEME = "polyprune.theme";
const AGAIN = 3000; // ms between two looks for a service that is away
let asking = false; // which networks there are
let away = false; // the service, when it was asked last
let again = 0; // timer of the next look

function show(view) {
  for (const name of VIEWS) {
    const tab = $(`tab-${name}`);
    tab.ariaSelected = name === view;
    tab.tabIndex = name === view ? 0 : -1;
    $(name).hidden = name !== view;
  }
  if (view !== "frame") still.close();
  if (view === "benchmark") benchmark.shown();
}

/** Tabs as in the ARIA practices: arrow keys move and show at once. */
function tabs() {
  VIEWS.forEach((view, index) => {
    $(`tab-${view}`).addEventListener("click", () => show(view));
    $(`tab-${view}`).addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = VIEWS[(index + step + VIEWS.length) % VIEWS.length];
      show(next);
      $(`tab-${next}`).focus();
    });
  });
}

/** Dark, since the room is, until someone asks for light. */
function theme() {
  const set = (name) => {
    document.documentElement.dataset.theme = name;
    $("theme").textContent = name === "dark" ? "Light" : "Dark";
    $("theme").ariaLabel = name === "dark" ? "Use the light theme" : "Use the dark theme";
    lasting.setItem(THEME, name);
    refresh();
  };
  $("theme").addEventListener("click", () => set(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  set(lasting.getItem(THEME) ?? "dark");
}

function key() {
  api.onKeyWanted(() => {
    if (!$("key").hidden) return;
    $("key").hidden = false;
    $("key-value").focus();
  });
  $("key").addEventListener("submit", async (event) => {
    event.preventDefault();
    api.setKey($("key-value").value.replace(/[^!-~]/g, "")); // a header takes no others, and a paste may bring some
    $("key-value").value = "";
    $("key").hidden = true;
    await connect();
    frame.retry();
  });
}

/** Ask which networks there are until the service answers, and then what could not be asked meanwhile. */
async function connect() {
  if (asking) return;
  asking = true;
  clearTimeout(again);
  const there = await networks.load();
  asking = false;
  if (there && away) frame.retry();
  away = !there;
  if (away) again = setTimeout(connect, AGAIN);
}

tabs();
theme();
key();
api.onOutdated(connect);
document.addEventListener("visibilitychange", () => document.hidden || connect());
holdDrops();
frame.start(
  (video) => {
    show("live");
    live.play(video);
  },
  () => show("frame"),
);
live.start();
benchmark.start();
await connect();
