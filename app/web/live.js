/** The view of a stream: frames of a video or of the camera, each with its own mask. */

import { $, onChoose, onDrop, onSlide, say, slideTo } from "./dom.js";
import { figure, fixed, quantile } from "./format.js";
import { summary } from "./list.js";
import { Peak } from "./peak.js";
import { COLOURS, Picture } from "./picture.js";
import * as networks from "./networks.js";
import { trace } from "./plot.js";
import { closeCamera, openCamera } from "./source.js";
import { Stream } from "./stream.js";

const KEPT = 120; // latencies, for the plot and the percentiles
const LONGEST = 1280; // pixels of a side that are sent: more is more than any network here looks at
const STYLE = { fill: 0.3, contour: 2 };

const picture = new Picture($("live-picture"));
const video = $("live-video");
let peak;
let stream = null;
let camera = null;
let turn = 0; // of the sources: what began with an earlier one has no say any more
let run = null; // {latencies, times, skipped, answered, dropped}

/** Wire the view. */
export function start() {
  trace($("live-plot"), []);
  onChoose($("video"), $("video-file"), play);
  onDrop($("live-drop"), play);
  $("live-camera").addEventListener("click", film);
  $("stop").addEventListener("click", stop);
  onSlide($("live-threshold"), (threshold) => {
    $("live-threshold-value").textContent = fixed(threshold, 2);
    stream?.change({ threshold });
  });
  peak = new Peak($("live-peak"), $("live-peak-value"), () => stream?.change({ peak: peak.value }));
  onSlide($("smooth"), (smooth) => {
    $("smooth-value").textContent = smooth ? fixed(smooth, 1) : "off";
    stream?.change({ smooth });
  });
  $("live-model").addEventListener("change", () => {
    own();
    if (stream) connect();
  });
}

/** Begin at the network's own threshold and peak. */
function own() {
  const manifest = networks.manifest($("live-model").value);
  slideTo($("live-threshold"), manifest?.threshold ?? 0.5);
  peak.own(manifest?.peak ?? 0);
}

/** Stream a video file. @param {File} file */
export async function play(file) {
  stop();
  say($("live-error"));
  video.src = URL.createObjectURL(file);
  await begin(`${file.name} is not a video that this browser plays. Try MP4 (H.264) or WebM.`);
}

async function film() {
  stop();
  say($("live-error"));
  try {
    const mine = turn;
    const opened = await openCamera($("live-camera"), fail);
    if (mine !== turn) return closeCamera(opened);
    video.srcObject = camera = opened;
    await begin("The camera gives no picture.");
  } catch (error) {
    say($("live-error"), error.message);
  }
}

async function begin(excuse) {
  const mine = turn;
  try {
    await video.play();
  } catch {
    if (mine !== turn) return; // it had to give way to another
    return fail(excuse);
  }
  if (mine !== turn) return;
  connect();
  each(mine);
}

function connect() {
  stream?.stop();
  run = { latencies: [], times: [], skipped: 0, answered: 0, dropped: 0 };
  const query = () => ({
    model: $("live-model").value, threshold: $("live-threshold").value, smooth: $("smooth").value, output: "mask",
    ...(peak.value !== null && { peak: peak.value }),
  });
  stream = new Stream(query, {
    answered,
    state: (words) => ($("live-state").textContent = words),
    problem: (words) => say($("live-error"), words),
    ended: stop,
  });
  $("stop").disabled = false;
}

/** At each frame of the video: send it, or count it as skipped. @param {number} mine the turn of its source */
function each(mine) {
  const again = video.requestVideoFrameCallback ?? requestAnimationFrame;
  again.call(video.requestVideoFrameCallback ? video : window, () => {
    if (mine !== turn) return;
    stream.wake();
    if (stream.free) stream.send(grab());
    else run.skipped += 1;
    each(mine);
  });
}

function grab() {
  const { videoWidth: width, videoHeight: height } = video;
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const canvas = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas;
}

async function answered({ header, mask, frame, latency }) {
  const of = run;
  const now = performance.now();
  of.latencies = [...of.latencies, latency].slice(-KEPT);
  of.times = [...of.times.filter((time) => now - time < 2000), now];
  Object.assign(of, { answered: of.answered + 1, dropped: header.dropped });
  const bits = await maskBits(mask);
  if (of !== run || !stream) return; // another stream by now, or none
  $("live-empty").hidden = true;
  picture.show(frame, header.width, header.height);
  picture.lay([{ mask: bits, colour: COLOURS[networks.manifest(header.model)?.variant ?? "pruned"], from: 0, to: 1 }], STYLE);
  tell(header);
}

async function maskBits(png) {
  const bitmap = await createImageBitmap(png);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, bitmap.width, bitmap.height).data.buffer);
  return Uint8Array.from(pixels, (pixel) => pixel & 1);
}

function tell(header) {
  const { latencies, times } = run;
  const seconds = (times.at(-1) - times[0]) / 1000;
  if (seconds) figure($("live-rate"), fixed((times.length - 1) / seconds, 1));
  figure($("live-p50"), fixed(quantile(latencies, 0.5)), "ms");
  figure($("live-p95"), fixed(quantile(latencies, 0.95)), "ms");
  for (const count of ["answered", "skipped", "dropped"]) figure($(`live-${count}`), fixed(run[count]));
  $("live-state").textContent = "Running.";
  $("live-tag").textContent = `${header.model}, network ${fixed(header.timings.network, 1)} ms`;
  $("live-summary").textContent = summary(header.lesions, "picked");
  trace($("live-plot"), latencies);
}

function fail(words) {
  stop();
  say($("live-error"), words);
}

/** End the stream and let the source go; the last frame stays. */
function stop() {
  turn += 1;
  const ending = stream;
  stream = null;
  ending?.stop();
  closeCamera(camera);
  camera = null;
  video.pause();
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute("src");
  video.srcObject = null;
  $("stop").disabled = true;
  $("live-state").textContent = run ? "Stopped." : "Nothing runs.";
}
