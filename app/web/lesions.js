/** Lesions of a mask, as the service finds them: pixels that touch at a side or a corner, the largest first. */

/**
 * @typedef {object} Run neighbouring pixels of one row
 * @property {number} y row @property {number} from first column @property {number} to last column
 * @property {Run} parent another run of the same lesion, or itself
 */

/**
 * @typedef {object} Lesion
 * @property {number[]} box x, y, width, height in pixels
 * @property {number} area pixels
 * @property {number} fraction of the frame's pixels
 * @property {number} probability mean over its pixels
 * @property {Run[]} runs its pixels
 */

/**
 * @param {Uint8Array} mask @param {Float32Array} probability of the same frame @param {number} width
 * @returns {Lesion[]}
 */
export function find(mask, probability, width) {
  const runs = runsOf(mask, width);
  connect(runs);
  const found = new Map();
  for (const run of runs) {
    const root = rootOf(run);
    if (found.has(root)) found.get(root).push(run);
    else found.set(root, [run]);
  }
  const lesions = [...found.values()].map((own) => measure(own, probability, width));
  return lesions.sort((a, b) => b.area - a.area);
}

/** All that is not this lesion. @param {Lesion} lesion @param {number} width @param {number} height @returns {Uint8Array} */
export function around({ runs }, width, height) {
  const mask = new Uint8Array(width * height).fill(1);
  for (const { y, from, to } of runs) mask.fill(0, y * width + from, y * width + to + 1);
  return mask;
}

/** @returns {Run[]} row by row, from left to right */
function runsOf(mask, width) {
  const runs = [];
  for (let start = 0, y = 0; start < mask.length; start += width, y++) {
    for (let x = 0; x < width; x++) {
      if (!mask[start + x]) continue;
      const from = x;
      while (x + 1 < width && mask[start + x + 1]) x++;
      const run = { y, from, to: x };
      run.parent = run;
      runs.push(run);
    }
  }
  return runs;
}

/** Join runs that touch in neighbouring rows. Both sides move to the right only: one pass. */
function connect(runs) {
  let above = 0;
  for (const run of runs) {
    const row = run.y - 1;
    while (runs[above].y < row || (runs[above].y === row && runs[above].to < run.from - 1)) above++;
    for (let at = above; runs[at].y === row && runs[at].from <= run.to + 1; at++) {
      rootOf(run).parent = rootOf(runs[at]);
    }
  }
}

function rootOf(run) {
  while (run.parent !== run) run = run.parent = run.parent.parent;
  return run;
}

function measure(runs, probability, width) {
  let [left, right, area, sum] = [Infinity, 0, 0, 0];
  for (const { y, from, to } of runs) {
    left = Math.min(left, from);
    right = Math.max(right, to);
    area += to - from + 1;
    for (let index = y * width + from; index <= y * width + to; index++) sum += probability[index];
  }
  const top = runs[0].y;
  const box = [left, top, right - left + 1, runs.at(-1).y - top + 1];
  return { box, area, fraction: area / probability.length, probability: Math.min(1, sum / area), runs };
}
