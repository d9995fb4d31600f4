/** The divider between dense, to its left, and pruned, to its right: a range input that lies over the picture. */

import { onSlide } from "./dom.js";

export class Wipe {
  #input;
  #divider;
  #figure;

  /** @param {HTMLElement} figure holds the range input and the line @param {() => void} moved */
  constructor(figure, moved) {
    this.#figure = figure;
    this.#input = figure.querySelector("input");
    this.#divider = figure.querySelector(".divider");
    onSlide(this.#input, () => {
      this.#figure.style.setProperty("--wipe", this.at);
      this.#input.setAttribute("aria-valuetext", `${Math.round(this.at * 100)} % dense`);
      moved();
    });
  }

  /** Share of the width that is dense, 0 to 1. */
  get at() {
    return Number(this.#input.value) / 100;
  }

  /** Hide it where only one network is shown. @param {boolean} is */
  set shown(is) {
    this.#input.hidden = this.#divider.hidden = !is;
  }
}
