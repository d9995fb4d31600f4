/** Masks in the browser: threshold, overlap, outline, and painting them. A mask is a Uint8Array of 0 and 1. */

const STEP = 3; // chamfer distance of neighbours at a side; at a corner it is 4 (Borgefors 1986, section 4)
const CORNER = 4;

/**
 * @param {Float32Array} probability @param {number} threshold
 * @returns {Uint8Array} 1 where the probability is at least the threshold
 */
export function maskOf(probability, threshold) {
  // The service compares float32 with float32, so that a threshold of 0.3 has to lose its tail here as well.
  const limit = Math.fround(threshold);
  const mask = new Uint8Array(probability.length);
  for (let index = 0; index < mask.length; index++) mask[index] = probability[index] >= limit ? 1 : 0;
  return mask;
}

/** @param {Uint8Array} mask @returns {number} pixels that are set */
export function area(mask) {
  let count = 0;
  for (let index = 0; index < mask.length; index++) count += mask[index];
  return count;
}

/** 2 |A and B| / (|A| + |B|); 1 where both are empty. @param {Uint8Array} a @param {Uint8Array} b */
export function dice(a, b) {
  let shared = 0;
  for (let index = 0; index < a.length; index++) shared += a[index] & b[index];
  const sizes = area(a) + area(b);
  return sizes ? (2 * shared) / sizes : 1;
}

/**
 * The mask as pixels to lay over the frame.
 * @param {{mask: Uint8Array, width: number, height: number}} layer
 * @param {{colour: number[], fill: number, contour: number}} style
 *   red, green, blue of 255; opacity of the inside, 0 to 1; width of the outline in pixels, inwards, 0 for none
 * @returns {ImageData}
 */
export function paint({ mask, width, height }, { colour, fill, contour }) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const inside = rgba(colour, fill);
  const outline = rgba(colour, 1);
  const depths = contour > 0 ? depthOf(mask, width, height) : null;
  for (let index = 0; index < mask.length; index++) {
    if (mask[index]) pixels[index] = depths && depths[index] <= STEP * contour ? outline : inside;
  }
  return image;
}

/**
 * How deep inside the mask each pixel lies, in thirds of a pixel: 0 outside, 3 at its rim. Chamfer 3-4 in two sweeps.
 * The frame's border counts as outside.
 * @param {Uint8Array} mask @param {number} width @param {number} height @returns {Uint16Array}
 */
export function depthOf(mask, width, height) {
  const depths = new Uint16Array(mask.length);
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : depths[y * width + x]);
  const nearest = (x, y, way) =>
    Math.min(
      at(x - way, y) + STEP, at(x, y - way) + STEP, at(x - way, y - way) + CORNER, at(x + way, y - way) + CORNER,
    );
  const last = mask.length - 1;
  for (let index = 0; index <= last; index++) {
    if (mask[index]) depths[index] = nearest(index % width, (index / width) | 0, 1);
  }
  for (let index = last; index >= 0; index--) {
    if (mask[index]) depths[index] = Math.min(depths[index], nearest(index % width, (index / width) | 0, -1));
  }
  return depths;
}

function rgba([red, green, blue], opacity) {
  return new Uint32Array(new Uint8ClampedArray([red, green, blue, 255 * opacity]).buffer)[0];
}
