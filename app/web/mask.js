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
  const { depths, stride } = contour > 0 ? depthOf(mask, width, height) : {};
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      if (!mask[index]) continue;
      pixels[index] = depths && depths[(y + 1) * stride + x + 1] <= STEP * contour ? outline : inside;
    }
  }
  return image;
}

/**
 * How deep inside the mask each pixel lies, in thirds of a pixel: 0 outside, 3 at its rim. Chamfer 3-4 in two sweeps.
 * @param {Uint8Array} mask @param {number} width @param {number} height
 * @returns {{depths: Uint16Array, stride: number}} with a border of one pixel, which counts as outside
 */
function depthOf(mask, width, height) {
  const stride = width + 2;
  const depths = new Uint16Array(stride * (height + 2));
  for (let y = 0; y < height; y++) {
    for (let x = 0, at = (y + 1) * stride + 1; x < width; x++, at++) {
      if (mask[y * width + x]) depths[at] = nearest(depths, at, -1, -stride);
    }
  }
  for (let at = depths.length - stride - 2; at > stride; at--) {
    if (depths[at]) depths[at] = Math.min(depths[at], nearest(depths, at, 1, stride));
  }
  return { depths, stride };
}

/** Least way to the outside through the neighbours that a sweep has met: beside, and the three of the row before. */
function nearest(depths, at, side, row) {
  const straight = Math.min(depths[at + side], depths[at + row]) + STEP;
  return Math.min(straight, Math.min(depths[at + row + side], depths[at + row - side]) + CORNER);
}

function rgba([red, green, blue], opacity) {
  return new Uint32Array(new Uint8ClampedArray([red, green, blue, 255 * opacity]).buffer)[0];
}
