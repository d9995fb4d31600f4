/** Small plots on a canvas, in the page's colours; drawn again when the size or the theme changes. */

import { fixed, ms, quantile } from "./format.js";

const drawings = new Map(); // canvas -> how to draw it
const GAP = { left: 8, right: 8, top: 10, bottom: 26 };
const BUDGET = 40; // ms between frames at 25 frames a second

const redraw = new ResizeObserver((entries) => entries.forEach(({ target }) => draw(target)));

/** Draw every plot again. */
export const refresh = () => drawings.forEach((_, canvas) => draw(canvas));

/** Latencies one after the other, the newest to the right. @param {HTMLCanvasElement} canvas @param {number[]} values ms */
export function trace(canvas, values) {
  if (values.length) {
    const [p50, p95] = [0.5, 0.95].map((share) => quantile(values, share));
    canvas.setAttribute("aria-label", `Latency: half of the frames within ${fixed(p50)} ms, 95 % within ${fixed(p95)} ms`);
  }
  plot(canvas, (pen) => {
    const most = nice(Math.max(BUDGET * 1.25, ...values));
    const y = (value) => pen.height - GAP.bottom - (value / most) * (pen.height - GAP.bottom - GAP.top);
    const x = (index) => GAP.left + ((index + 120 - values.length) / 119) * (pen.width - GAP.left - GAP.right);
    pen.line([[0, y(0)], [pen.width, y(0)]], pen.colour("--line-strong"));
    pen.line([[0, y(BUDGET)], [pen.width, y(BUDGET)]], pen.colour("--line-strong"), { dash: [4, 4] });
    pen.line(values.map((value, index) => [x(index), y(value)]), pen.colour("--accent"), { wide: 1.75 });
    pen.text(`0 to ${fixed(most)} ms`, GAP.left, pen.height - 8);
  });
}

/**
 * How often each latency occurred, one area per network over one axis.
 * @param {HTMLCanvasElement} canvas
 * @param {{name: string, colour: string, p50: number, low: number, step: number, counts: number[]}[]} networks
 *   `colour` is the name of a style variable; times in ms
 * @param {number} slowest where the axis ends, about
 */
export function distributions(canvas, networks, slowest) {
  canvas.setAttribute("aria-label", networks.map(({ name, p50 }) => `${name}: half within ${ms(p50)}`).join(". "));
  const end = slowest * 1.06;
  plot(canvas, (pen) => {
    const base = pen.height - GAP.bottom;
    const x = (value) => GAP.left + (value / end) * (pen.width - GAP.left - GAP.right);
    axis(pen, end, x, base);
    networks.forEach((network, index) => area(pen, network, x, base, GAP.top + 8 + 15 * index));
  });
}

/**
 * A ratio from run to run, the newest to the right, each with its interval; 1 is dashed.
 * @param {HTMLCanvasElement} canvas @param {{mean: number, low: number, high: number}[]} ratios
 */
export function development(canvas, ratios) {
  const newest = ratios.at(-1);
  canvas.setAttribute("aria-label", `${ratios.length} runs, the newest ${fixed(newest.mean, 2)}, from ${fixed(newest.low, 2)} to ${fixed(newest.high, 2)}`);
  const [low, high] = [Math.min(1, ...ratios.map((ratio) => ratio.low)), Math.max(1, ...ratios.map((ratio) => ratio.high))];
  plot(canvas, (pen) => {
    const y = (value) => pen.height - GAP.bottom - ((value - low) / (high - low || 1)) * (pen.height - GAP.bottom - GAP.top);
    const x = (index) => 48 + (ratios.length > 1 ? index / (ratios.length - 1) : 0.5) * (pen.width - 64);
    pen.line([[40, y(1)], [pen.width, y(1)]], pen.colour("--line-strong"), { dash: [4, 4] });
    pen.text("1.00", GAP.left, y(1) + 4);
    if (high > 1) pen.text(fixed(high, 2), GAP.left, y(high) + 10);
    ratios.forEach((ratio, index) => pen.line([[x(index), y(ratio.low)], [x(index), y(ratio.high)]], pen.colour("--muted"), { wide: 1.5 }));
    pen.line(ratios.map((ratio, index) => [x(index), y(ratio.mean)]), pen.colour("--accent"), { wide: 1.75 });
    ratios.forEach((ratio, index) => pen.dot(x(index), y(ratio.mean), pen.colour("--accent")));
  });
}

function axis(pen, end, x, base) {
  const step = nice(end / 9);
  for (let value = 0; value <= end; value += step) {
    pen.line([[x(value), GAP.top], [x(value), base]], pen.colour("--line"));
    pen.text(value ? String(Number(value.toPrecision(3))) : "0 ms", x(value), pen.height - 8, value ? "center" : "left");
  }
  pen.line([[0, base], [pen.width, base]], pen.colour("--line-strong"));
}

/** Each area is as high as the plot at its most frequent latency: what is compared is place and width. */
function area(pen, { colour, p50, low, step, counts }, x, base, top) {
  const most = Math.max(...counts);
  const y = (count) => base - (count / most) * (base - GAP.top - 44);
  const steps = counts.flatMap((count, bin) => [[x(low + bin * step), y(count)], [x(low + (bin + 1) * step), y(count)]]);
  const outline = [[x(low), base], ...steps, [x(low + counts.length * step), base]];
  pen.fill(outline, pen.colour(colour));
  pen.line(outline, pen.colour(colour), { wide: 1.5 });
  pen.line([[x(p50), base], [x(p50), top + 5]], pen.colour(colour), { dash: [3, 3] });
  pen.text(ms(p50), x(p50), top, "center", pen.colour("--text"));
}

/** The next round number: one of these times a power of ten. @param {number} value */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= value) * power;
}

function plot(canvas, drawing) {
  if (!drawings.has(canvas)) redraw.observe(canvas);
  drawings.set(canvas, drawing);
  draw(canvas);
}

function draw(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  if (!width) return; // hidden; its observer tells when it shows
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  drawings.get(canvas)(new Pen(context, width, height));
}

class Pen {
  constructor(context, width, height) {
    Object.assign(this, { context, width, height });
    this.style = getComputedStyle(context.canvas);
  }

  colour(name) {
    return this.style.getPropertyValue(name);
  }

  line(points, colour, { wide = 1, dash = [] } = {}) {
    Object.assign(this.context, { strokeStyle: colour, lineWidth: wide, lineJoin: "round" });
    this.context.setLineDash(dash);
    this.#path(points);
    this.context.stroke();
  }

  fill(points, colour) {
    Object.assign(this.context, { fillStyle: colour, globalAlpha: 0.28 });
    this.#path(points);
    this.context.fill();
    this.context.globalAlpha = 1;
  }

  dot(x, y, colour) {
    this.context.fillStyle = colour;
    this.context.beginPath();
    this.context.arc(x, y, 3.5, 0, 2 * Math.PI);
    this.context.fill();
  }

  text(words, x, y, align = "left", colour = this.colour("--muted")) {
    Object.assign(this.context, { fillStyle: colour, textAlign: align, font: `12px ${this.style.fontFamily}` });
    this.context.fillText(words, x, y);
  }

  #path(points) {
    this.context.beginPath();
    points.forEach(([x, y]) => this.context.lineTo(x, y));
  }
}
