/** Reads `.npy` files (NumPy format versions 1 to 3) of little-endian float32. */

const MAGIC = "\x93NUMPY";

/**
 * @param {ArrayBuffer} buffer a whole file
 * @returns {{data: Float32Array, height: number, width: number}} row by row
 * @throws {Error} where it is not a C-ordered float32 array of two dimensions
 */
export function parse(buffer) {
  const view = new DataView(buffer);
  if (ascii(buffer, 0, 6) !== MAGIC) throw new Error("The service's answer is not a .npy file.");
  const long = view.getUint8(6) > 1; // version 1 gives the header's length in 2 bytes, 2 and 3 in 4
  const start = long ? 12 : 10;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = ascii(buffer, start, length);
  const [, kind] = header.match(/'descr':\s*'([^']+)'/) ?? [];
  const [, height, width] = header.match(/'shape':\s*\((\d+),\s*(\d+),?\s*\)/) ?? [];
  if (kind !== "<f4" || !width || /'fortran_order':\s*True/.test(header)) {
    throw new Error(`Expected a .npy of '<f4' [height, width], got ${header.trim()}.`);
  }
  return { data: floats(buffer, start + length, height * width), height: Number(height), width: Number(width) };
}

function floats(buffer, offset, count) {
  if (buffer.byteLength < offset + 4 * count) throw new Error("The .npy file ends too early.");
  if (offset % 4 === 0 && isLittleEndian()) return new Float32Array(buffer, offset, count);
  const view = new DataView(buffer, offset);
  return Float32Array.from({ length: count }, (_, index) => view.getFloat32(4 * index, true));
}

const isLittleEndian = () => new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

const ascii = (buffer, start, length) => String.fromCharCode(...new Uint8Array(buffer, start, length));
