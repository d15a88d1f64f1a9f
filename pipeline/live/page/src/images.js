// Depth images of the reader's own: PNG with 16 bits, TIFF and NumPy arrays, read in the page.

import {decode} from "fast-png";

import {unproject} from "./crop.js";
import {mean} from "./vectors.js";

/** @typedef {import("./types.js").Camera} Camera */
/** @typedef {{width: number, height: number, values: ArrayLike<number>, whole: boolean}} Picture */

/** @typedef {(name: string, content: ArrayBuffer) => Promise<Picture>} Reader */

/**
 * Return the numbers of a file, row by row. Errors: one sentence for a file that is no depth image.
 *
 * @param {string} name
 * @param {ArrayBuffer} content
 * @param {() => Promise<Reader>} tiff obtains the reader of TIFF files, a script of its own
 * @returns {Promise<Picture>}
 */
export async function read(name, content, tiff) {
  const bytes = new Uint8Array(content);
  if (bytes[0] === 0x89 && bytes[1] === 0x50) return png(name, bytes);
  if (bytes[0] === 0x93 && ascii(bytes, 1, 6) === "NUMPY") return npy(name, content);
  if (["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(ascii(bytes, 0, 4))) {
    return (await tiff())(name, content);
  }
  throw new Error(
    `${name} is no PNG, TIFF or NPY file; accepted are depth images in these three formats.`,
  );
}

/** @param {string} name @param {Uint8Array} bytes @returns {Picture} */
function png(name, bytes) {
  /** @type {import("fast-png").DecodedPng} */
  let found;
  try {
    found = decode(bytes);
  } catch {
    throw new Error(`${name} is a damaged PNG file; export it again.`);
  }
  if (found.channels !== 1 || found.palette) {
    throw new Error(
      `${name} is a colour picture; accepted is a depth image with one channel of 16 bits.`,
    );
  }
  if (found.depth !== 16) {
    throw new Error(
      `${name} has ${found.depth} bits per pixel, too few for depth in mm; accepted are 16 bits.`,
    );
  }
  return {width: found.width, height: found.height, values: found.data, whole: true};
}

/** Readers of NumPy's types. @type {Record<string, (view: DataView, at: number, little: boolean) => number>} */
const TYPES = {
  u1: (view, at) => view.getUint8(at),
  u2: (view, at, little) => view.getUint16(at, little),
  i2: (view, at, little) => view.getInt16(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
};

/** @param {string} name @param {ArrayBuffer} content @returns {Picture} */
function npy(name, content) {
  const bytes = new Uint8Array(content);
  const view = new DataView(content);
  const long = bytes[6] >= 2;
  const begin = long ? 12 : 10;
  if (content.byteLength < begin) throw damaged(name);
  const size = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = ascii(bytes, begin, begin + size);
  const type = /'descr': *'([<>|=])([a-z]\d)'/.exec(header);
  const shape = /'shape': *\((\d+), *(\d+),?\)/.exec(header);
  const order = /'fortran_order': *(True|False)/.exec(header);
  if (!type || !TYPES[type[2]] || !order) {
    throw new Error(`${name} holds no array of numbers; accepted are whole numbers and floats.`);
  }
  if (!shape) {
    throw new Error(
      `${name} holds no array with two axes; accepted is one image, (height, width).`,
    );
  }
  const [height, width] = [Number(shape[1]), Number(shape[2])];
  const each = Number(type[2][1]);
  const start = begin + size;
  if (content.byteLength < start + width * height * each) throw damaged(name);
  const values = new Float64Array(width * height);
  const columns = order[1] === "True";
  for (let v = 0, i = 0; v < height; v++) {
    for (let u = 0; u < width; u++, i++) {
      const place = columns ? u * height + v : i;
      values[i] = TYPES[type[2]](view, start + place * each, type[1] !== ">");
    }
  }
  return {width, height, values, whole: type[2][0] !== "f"};
}

/** @param {string} name */
const damaged = (name) => new Error(`${name} ends before its last pixel; export it again.`);

/** @param {Uint8Array} bytes @param {number} from @param {number} to */
const ascii = (bytes, from, to) => String.fromCharCode(...bytes.slice(from, to));

/**
 * Return the depth of a picture in mm. Errors: one sentence if none of it can be a hand.
 *
 * @param {string} name
 * @param {Picture} picture
 * @param {number} unit mm that a value of 1 stands for
 */
export function toMillimetres(name, {values, width, height}, unit) {
  if (width < 16 || height < 16 || width * height > 2 ** 24) {
    throw new Error(
      `${name} has ${width} × ${height} pixels; accepted are 16 × 16 to 16 million pixels.`,
    );
  }
  const depth = Float32Array.from(values, (value) =>
    Number.isFinite(value) && value > 0 && value !== NOTHING ? value * unit : 0,
  );
  if (!depth.some((z) => z >= NEAR && z <= FAR)) {
    throw new Error(
      `${name} shows nothing between ${NEAR} and ${FAR} mm with this unit; choose another unit.`,
    );
  }
  return depth;
}

/** The largest number of 16 bits, by which some programs say that nothing was measured. */
const NOTHING = 65535;
const NEAR = 150;
const FAR = 1500;
/** Extent of a hand in mm, from its nearest point on. */
const HAND = 160;

/**
 * Return the camera of a preset for an image of this size; null if the image has another shape.
 *
 * @param {Camera[]} views
 * @param {number} width
 * @param {number} height
 * @returns {Camera | null}
 */
export function cameraOf(views, width, height) {
  const same = views.find((view) => view.width === width && view.height === height);
  if (same) return same;
  for (const view of views) {
    const scale = width / view.width;
    const rest = height - scale * view.height;
    if (Math.abs(rest) > 0.01 * height) continue;
    return {
      fx: scale * view.fx,
      fy: scale * view.fy,
      u0: scale * (view.u0 + 0.5) - 0.5,
      v0: scale * (view.v0 + 0.5) - 0.5 + rest / 2,
      width,
      height,
    };
  }
  return null;
}

/**
 * Return the middle of the nearest object, mm: a first guess of where the hand is. It is the mean
 * of the points near the nearest ones, improved in a few steps.
 *
 * @param {Float32Array} depth mm
 * @param {Camera} camera
 */
export function nearestObject(depth, camera) {
  const sorted = depth.filter((z) => z >= NEAR && z <= FAR).toSorted();
  // A few of the nearest pixels may be noise.
  const near = sorted[Math.floor(0.002 * sorted.length)];
  const chosen = (/** @type {(point: number[]) => boolean} */ accepted) => {
    /** @type {number[][]} */
    const points = [];
    for (let i = 0; i < depth.length; i++) {
      if (depth[i] < NEAR || depth[i] > near + HAND) continue;
      const point = unproject(camera, [i % camera.width, Math.floor(i / camera.width), depth[i]]);
      if (accepted(point)) points.push(point);
    }
    return points;
  };
  let middle = mean(chosen(([, , z]) => z <= near + 30));
  for (let step = 0; step < 5; step++) {
    const around = chosen(([x, y]) => Math.hypot(x - middle[0], y - middle[1]) < HAND / 1.6);
    if (around.length) middle = mean(around);
  }
  return middle;
}
