// What a network sees: the crop and the voxels of a cube, and the input `view` of its model. It
// follows handpose_lib/prepare/view.py and voxels.py.

/** @typedef {import("./types.js").Camera} Camera */
/** @typedef {import("./types.js").View} View */
/** @typedef {import("./types.js").Network} Network */

/**
 * Return the pixel [u, v] and the depth of a point.
 *
 * @param {Camera} camera
 * @param {number[]} point mm
 */
export const project = (camera, [x, y, z]) => [
  camera.u0 + (camera.fx * x) / z,
  camera.v0 + (camera.fy * y) / z,
  z,
];

/**
 * Return the point of a pixel with depth.
 *
 * @param {Camera} camera
 * @param {number[]} uvd
 */
export const unproject = (camera, [u, v, d]) => [
  ((u - camera.u0) * d) / camera.fx,
  ((v - camera.v0) * d) / camera.fy,
  d,
];

/**
 * Return the middle of the cube's image in pixels, and half its side along both axes.
 *
 * @param {View} view
 */
export function window(view) {
  const [u, v] = project(view.camera, view.centre);
  const scale = view.cube / 2 / view.centre[2];
  return {u, v, halfU: view.camera.fx * scale, halfV: view.camera.fy * scale};
}

/**
 * Return coordinates in [-1, 1]³ of the image view for a point in mm.
 *
 * @param {View} view
 * @param {number[]} point
 */
export function toView(view, point) {
  const [u, v, d] = project(view.camera, point);
  const {u: middleU, v: middleV, halfU, halfV} = window(view);
  return [
    (view.mirror * (u - middleU)) / halfU,
    (v - middleV) / halfV,
    (d - view.centre[2]) / (view.cube / 2),
  ];
}

/**
 * Return the input of a network, row by row: the depth of the nearest pixels for an image, which
 * voxels hold a point for voxels.
 *
 * @param {Float32Array} depth image in mm
 * @param {View} view
 * @param {Network} network
 */
export function input(depth, view, network) {
  return network.kind === "image" ? crop(depth, view, network) : occupancy(depth, view, network);
}

/** @param {Float32Array} depth @param {View} view @param {Network} network */
function crop(depth, view, {size, background = 1, middle = 0, front = -1}) {
  const {camera, centre, cube, mirror} = view;
  const {u, v, halfU, halfV} = window(view);
  const values = new Float32Array(size * size).fill(background);
  for (let row = 0; row < size; row++) {
    const line = roundEven(((row + 0.5) * (2 / size) - 1) * halfV + v);
    if (line < 0 || line >= camera.height) continue;
    for (let column = 0; column < size; column++) {
      const place = roundEven(mirror * ((column + 0.5) * (2 / size) - 1) * halfU + u);
      if (place < 0 || place >= camera.width) continue;
      const d = depth[line * camera.width + place];
      const z = (d - centre[2]) / (cube / 2);
      // At -1 the value is `front`, at 0 `middle`.
      if (d > 0 && z <= 1)
        values[row * size + column] = middle + (middle - front) * Math.max(z, -1);
    }
  }
  return values;
}

/** @param {Float32Array} depth @param {View} view @param {Network} network */
function occupancy(depth, view, {size}) {
  const {camera, centre, cube, mirror} = view;
  const {u, v, halfU, halfV} = window(view);
  const values = new Float32Array(size ** 3);
  // A point of the cube's front face lies further out in the image than one at its centre.
  const wide = centre[2] / Math.max(1, centre[2] - cube / 2);
  const [left, right] = [u - wide * halfU, u + wide * halfU];
  const [top, bottom] = [v - wide * halfV, v + wide * halfV];
  const reach = [left, right, top, bottom].every(Number.isFinite);
  const lines = reach
    ? [Math.max(0, Math.floor(top)), Math.min(camera.height - 1, Math.ceil(bottom))]
    : [0, -1];
  const places = [Math.max(0, Math.floor(left)), Math.min(camera.width - 1, Math.ceil(right))];
  const scale = size / cube;
  const voxel = (/** @type {number} */ value) => Math.floor(value * scale + size / 2);
  for (let line = lines[0]; line <= lines[1]; line++) {
    for (let place = places[0]; place <= places[1]; place++) {
      const d = depth[line * camera.width + place];
      if (!(d > 0)) continue;
      const x = voxel(mirror * (((place - camera.u0) * d) / camera.fx - centre[0]));
      const y = voxel(((line - camera.v0) * d) / camera.fy - centre[1]);
      const z = voxel(d - centre[2]);
      if (x < 0 || y < 0 || z < 0 || x >= size || y >= size || z >= size) continue;
      values[(z * size + y) * size + x] = 1;
    }
  }
  return values;
}

/**
 * Return the input `view` of a model.
 *
 * @param {View} view
 */
export const viewInput = ({camera, centre, cube, mirror}) =>
  Float64Array.from([camera.fx, camera.fy, camera.u0, camera.v0, ...centre, cube, mirror]);

/** Round halves to even numbers, as PyTorch does. @param {number} value */
export function roundEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}
