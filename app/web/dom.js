/** Small things that every part of the page does with its elements. */

/** @param {string} id @returns {HTMLElement} */
export const $ = (id) => document.getElementById(id);

/** Show words beside what failed, or hide them. @param {HTMLElement} place @param {string} [words] */
export function say(place, words = "") {
  place.hidden = !words;
  if (place.textContent !== words) place.textContent = words; // what is said already is not spoken again
}

/** The value of the radio of this name that is chosen. @param {string} name */
export const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

/**
 * Call `then` with a slider's value now and at every change, at most once a picture; its track is filled up to there.
 * @param {HTMLInputElement} input @param {(value: number) => void} then
 */
export function onSlide(input, then) {
  let asked = 0;
  const report = () => {
    asked = 0;
    input.style.setProperty("--at", (input.value - input.min) / (input.max - input.min));
    then(Number(input.value));
  };
  input.addEventListener("input", () => (asked ||= requestAnimationFrame(report)));
  report();
}

/** Move a slider as if by hand. @param {HTMLInputElement} input @param {number} value */
export function slideTo(input, value) {
  input.value = value;
  input.dispatchEvent(new Event("input"));
}

/** An element with properties and children. @param {string} tag @param {object} [properties] */
export const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

/** Fill a picker. @param {HTMLSelectElement} select @param {string[]} values @param {string} [value] */
export function offer(select, values, value = values[0]) {
  select.replaceChildren(...values.map((text) => new Option(text, text, false, text === value)));
  select.disabled = values.length === 0;
}

/** Save bytes as a file. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Let files be dropped. @param {HTMLElement} zone @param {(file: File) => void} then */
export function onDrop(zone, then) {
  const over = (event, is) => {
    event.preventDefault();
    zone.classList.toggle("over", is);
  };
  zone.addEventListener("dragover", (event) => over(event, true));
  zone.addEventListener("dragleave", (event) => over(event, false));
  zone.addEventListener("drop", (event) => {
    over(event, false);
    if (event.dataTransfer.files[0]) then(event.dataTransfer.files[0]);
  });
}

/** A file that is dropped where none is taken opens nothing: the browser would leave the page for it. */
export function holdDrops() {
  for (const type of ["dragover", "drop"]) {
    addEventListener(type, (event) => {
      if (event.defaultPrevented || !event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "none";
    });
  }
}

/** Let a button choose a file. @param {HTMLElement} button @param {HTMLInputElement} input @param {(file: File) => void} then */
export function onChoose(button, input, then) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files[0]) then(input.files[0]);
    input.value = ""; // the same file may be chosen again
  });
}
