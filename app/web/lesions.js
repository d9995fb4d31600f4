/** Lesions of a mask, as the service finds them: pixels that touch at a side or a corner, the largest first. */

/**
 * @typedef {object} Lesion
 * @property {number} label value in `labels` of its pixels
 * @property {number[]} box x, y, width, height in pixels
 * @property {number} area pixels
 * @property {number} fraction of the frame's pixels
 * @property {number} probability mean over its pixels
 */

/**
 * @param {Uint8Array} mask @param {Float32Array} probability of the same frame @param {number} width
 * @returns {{lesions: Lesion[], labels: Int32Array}}
 */
export function find(mask, probability, width) {
  const labels = label(mask, width);
  const found = new Map();
  for (let index = 0; index < mask.length; index++) {
    if (labels[index]) add(found, labels[index], index % width, (index / width) | 0, probability[index]);
  }
  const lesions = [...found.values()].map((lesion) => finish(lesion, mask.length));
  return { lesions: lesions.sort((a, b) => b.area - a.area), labels };
}

/** Two sweeps with union-find; 0 is background. Labels are not consecutive. */
function label(mask, width) {
  const labels = new Int32Array(mask.length);
  const parents = [0];
  const root = (of) => {
    while (parents[of] !== of) of = parents[of] = parents[parents[of]];
    return of;
  };
  for (let index = 0; index < mask.length; index++) {
    if (!mask[index]) continue;
    let own = 0;
    for (const neighbour of before(index, width)) {
      const other = labels[neighbour];
      if (!other) continue;
      if (own) parents[Math.max(root(own), root(other))] = Math.min(root(own), root(other));
      else own = other;
    }
    labels[index] = own || parents.push(parents.length) - 1;
  }
  for (let index = 0; index < mask.length; index++) if (labels[index]) labels[index] = root(labels[index]);
  return labels;
}

/** Neighbours that a sweep has met already: left, and the three above. */
function before(index, width) {
  const x = index % width;
  const found = x > 0 ? [index - 1] : [];
  if (index < width) return found;
  if (x > 0) found.push(index - width - 1);
  found.push(index - width);
  if (x < width - 1) found.push(index - width + 1);
  return found;
}

function add(found, label, x, y, probability) {
  let lesion = found.get(label);
  if (!lesion) found.set(label, (lesion = { label, left: x, right: x, top: y, bottom: y, area: 0, sum: 0 }));
  lesion.left = Math.min(lesion.left, x);
  lesion.right = Math.max(lesion.right, x);
  lesion.bottom = y;
  lesion.area += 1;
  lesion.sum += probability;
}

function finish({ label, left, right, top, bottom, area, sum }, pixels) {
  const box = [left, top, right - left + 1, bottom - top + 1];
  return { label, box, area, fraction: area / pixels, probability: Math.min(1, sum / area) };
}
