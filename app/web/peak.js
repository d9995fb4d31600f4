/** The slider of `peak`: how probable an area has to be somewhere to count. The networks' own until it is moved. */

import { onSlide, slideTo } from "./dom.js";
import { fixed } from "./format.js";

export class Peak {
  #input;
  #moved = false;

  /** @param {HTMLInputElement} input @param {HTMLOutputElement} output @param {() => void} then at each change by hand */
  constructor(input, output, then) {
    this.#input = input;
    input.addEventListener("input", () => (this.#moved = true));
    input.addEventListener("change", then);
    onSlide(input, () => (output.textContent = this.value === null ? "own" : fixed(this.value, 2)));
  }

  /** What was set by hand; null leaves each network its own. @returns {?number} */
  get value() {
    return this.#moved ? Number(this.#input.value) : null;
  }

  /** Back to the networks' own. @param {number} peak where the slider rests */
  own(peak) {
    slideTo(this.#input, peak);
    this.#moved = false;
  }
}
