/** One frame with its masks laid over it, on a canvas of the frame's own size. */

import { around } from "./lesions.js";
import { paint } from "./mask.js";

const SHADE = { colour: [6, 9, 12], fill: 0.62, contour: 0 }; // around a lesion that is pointed at
/** Colours of the masks: what mucosa is not, and apart from each other in light as well as in hue. */
export const COLOURS = { dense: [238, 242, 246], pruned: [90, 209, 184] };

/**
 * @typedef {object} Layer
 * @property {Uint8Array} mask 0 and 1, row by row
 * @property {number} from @property {number} to what share of the width it covers, 0 to 1
 * @property {number[]} colour red, green, blue
 */

export class Picture {
  #figure;
  #canvas;
  #context;
  #source = null;
  #layers = [];
  #spot = null;

  /** @param {HTMLElement} figure holds the canvas */
  constructor(figure) {
    this.#figure = figure;
    this.#canvas = figure.querySelector("canvas");
    this.#context = this.#canvas.getContext("2d");
  }

  /** Show this frame without any mask. @param {CanvasImageSource} source @param {number} width @param {number} height */
  show(source, width, height) {
    this.#source = source;
    this.#layers = [];
    this.#spot = null;
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
    this.#figure.style.setProperty("--aspect", width / height);
    this.#figure.hidden = false;
    this.draw();
  }

  /** Lay these masks over it. @param {Layer[]} layers @param {{fill: number, contour: number}} style */
  lay(layers, style) {
    const { width, height } = this.#canvas;
    this.#layers = layers.map((layer) => {
      const canvas = new OffscreenCanvas(width, height);
      canvas.getContext("2d").putImageData(paint({ ...layer, width, height }, { ...style, colour: layer.colour }), 0, 0);
      return { canvas, from: layer.from, to: layer.to };
    });
    this.draw();
  }

  /** Let each layer cover another share of the width. @param {{from: number, to: number}[]} spans */
  divide(spans) {
    this.#layers.forEach((layer, index) => Object.assign(layer, spans[index]));
    this.draw();
  }

  /** Darken all but one lesion; null for none. @param {?import("./lesions.js").Lesion} lesion */
  point(lesion) {
    this.#spot = lesion && this.#shade(lesion);
    this.draw();
  }

  /** What the picture says to those who do not see it. @param {string} words */
  describe(words) {
    this.#canvas.setAttribute("aria-label", words);
  }

  /** @returns {Promise<Blob>} what is shown, as PNG, without a lesion being pointed at */
  async png() {
    const spot = this.#spot;
    this.point(null);
    const blob = new Promise((resolve) => this.#canvas.toBlob(resolve, "image/png"));
    this.#spot = spot;
    this.draw();
    return blob;
  }

  /** Draw again. */
  draw() {
    if (!this.#source) return;
    const { width, height } = this.#canvas;
    this.#context.drawImage(this.#source, 0, 0, width, height);
    for (const { canvas, from, to } of this.#layers) {
      const left = Math.round(from * width);
      const wide = Math.round(to * width) - left;
      if (wide > 0) this.#context.drawImage(canvas, left, 0, wide, height, left, 0, wide, height);
    }
    if (this.#spot) this.#context.drawImage(this.#spot, 0, 0);
  }

  #shade(lesion) {
    const { width, height } = this.#canvas;
    const canvas = new OffscreenCanvas(width, height);
    const layer = { mask: around(lesion, width, height), width, height };
    canvas.getContext("2d").putImageData(paint(layer, SHADE), 0, 0);
    return canvas;
  }
}
