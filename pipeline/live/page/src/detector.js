// Where the hand is in a depth image: the geometry around the two networks of the book's hand
// detector, as in handpose_lib/hand_detection/hand_detector.py.

import {project, roundEven, unproject, window} from "./crop.js";
import {length, minus, plus} from "./vectors.js";

/** @typedef {import("./types.js").Camera} Camera */
/** @typedef {import("./types.js").Detector} Detector */

/**
 * @typedef {object} Runs The two networks of the detector; see pipeline/live/detector.py.
 * @property {(depth: Float32Array, height: number, width: number) => Promise<Maps>} maps
 * @property {(views: Float32Array, count: number) => Promise<{place: Float32Array, odds: Float32Array}>} look
 *
 * @typedef {object} Maps
 * @property {Float32Array} heat (joints, rows, columns)
 * @property {Float32Array} behind (rows, columns) how far the hand's centre is behind the surface, 100 mm
 * @property {number} rows
 * @property {number} columns
 *
 * @typedef {{point: number[], top: number, sees: boolean}} Joint pixel and depth of a peak; its height
 *
 * @typedef {{centre: number[], rotation: number, mirror: number}} Cube a cube, and how it is seen
 */

/**
 * Return the centre of the hand, mm, and the probability that a hand is there.
 *
 * @param {Float32Array} depth mm
 * @param {Camera} camera
 * @param {Detector} about
 * @param {Runs} runs
 * @returns {Promise<{centre: number[], probability: number}>}
 */
export async function find(depth, camera, about, runs) {
  /** @param {Cube[]} cubes */
  const look = async (cubes) => {
    const {size} = about;
    const views = new Float32Array(cubes.length * size * size);
    cubes.forEach((cube, i) => view(depth, camera, cube, about, views, i * size * size));
    const {place, odds} = await runs.look(views, cubes.length);
    return cubes.map((cube, i) => ({
      centre: fromView(camera, cube, [...place.subarray(3 * i, 3 * i + 3)], about),
      odds: odds[i],
    }));
  };
  const still = (/** @type {number[]} */ centre) => ({centre, rotation: 0, mirror: 1});
  const candidates = await look((await places(depth, camera, about, runs)).map(still));
  let {centre} = candidates.reduce((best, other) => (other.odds > best.odds ? other : best));
  for (let pass = 0; pass < about.passes; pass++) {
    const cubes = Array.from({length: about.views}, (_, i) => ({
      centre: inFront(
        centre.map((value, axis) => value + about.aside * (2 * ((i >> axis) & 1) - 1)),
        about,
      ),
      rotation: i % 4,
      mirror: i < about.views / 2 ? 1 : -1,
    }));
    const seen = await look(cubes);
    centre = [0, 1, 2].map((axis) => middle(seen.map((one) => one.centre[axis])));
  }
  const [{odds}] = await look([still(centre)]);
  return {centre, probability: 1 / (1 + Math.exp(-odds))};
}

// --- the first look ---------------------------------------------------------------

/**
 * Return candidates for the hand's centre, mm: the median of the joints, then where most agree.
 *
 * @param {Float32Array} depth
 * @param {Camera} camera
 * @param {Detector} about
 * @param {Runs} runs
 */
async function places(depth, camera, about, runs) {
  const step = Math.max(1, roundEven(camera.fx / about.focal));
  const height = Math.ceil(camera.height / step);
  const width = Math.ceil(camera.width / step);
  const thin = new Float32Array(height * width);
  for (let v = 0, i = 0; v < height; v++) {
    for (let u = 0; u < width; u++, i++) thin[i] = depth[v * step * camera.width + u * step];
  }
  const maps = await runs.maps(thin, height, width);
  const surface = nearest(thin, height, width, maps, about);
  const joints = jointPoints(maps, surface, step, about);
  const median = medianPoint(joints, surface, camera, about);
  return [median, ...agreements(joints, camera, about, median)];
}

/**
 * Return the nearest surface, mm, in each pixel of the maps; infinite if there is none.
 *
 * @param {Float32Array} thin
 * @param {number} height
 * @param {number} width
 * @param {Maps} maps
 * @param {Detector} about
 */
function nearest(thin, height, width, {rows, columns}, {far}) {
  const found = new Float64Array(rows * columns).fill(Infinity);
  for (let v = 0, i = 0; v < height; v++) {
    for (let u = 0; u < width; u++, i++) {
      const z = thin[i];
      const place = (v >> 2) * columns + (u >> 2);
      if (z > 0 && z < far && z < found[place]) found[place] = z;
    }
  }
  return found;
}

/**
 * Return what the maps say about each joint.
 *
 * @param {Maps} maps
 * @param {Float64Array} surface
 * @param {number} step
 * @param {Detector} about
 * @returns {Joint[]}
 */
function jointPoints({heat, behind, rows, columns}, surface, step, {radius}) {
  const size = rows * columns;
  return Array.from({length: heat.length / size}, (_, j) => {
    const map = heat.subarray(j * size, (j + 1) * size);
    const {column, row, top} = peak(map, columns, radius);
    const index = Math.min(size - 1, Math.max(0, roundEven(row) * columns + roundEven(column)));
    const d = surface[index] + 100 * behind[index];
    // A pixel of a map covers four pixels of the thinned image and stands for their middle.
    const point = [(4 * column + 1.5) * step, (4 * row + 1.5) * step, d];
    return {point, top, sees: Number.isFinite(d)};
  });
}

/**
 * Return the peak of a map to a fraction of a pixel, as handpose_lib/nets/heatmap.py.
 *
 * @param {Float32Array} map
 * @param {number} columns
 * @param {number} radius
 */
function peak(map, columns, radius) {
  let best = 0;
  for (let i = 1; i < map.length; i++) if (map[i] > map[best]) best = i;
  const [u0, v0, top] = [best % columns, Math.floor(best / columns), map[best]];
  let [total, column, row] = [0, 0, 0];
  const reach = (radius / 2 + 1) ** 2;
  for (let i = 0; i < map.length; i++) {
    const [u, v] = [i % columns, Math.floor(i / columns)];
    const weight = map[i] - top / 2;
    if (weight <= 0 || (u - u0) ** 2 + (v - v0) ** 2 > reach) continue;
    total += weight;
    column += weight * u;
    row += weight * v;
  }
  return total > 0 ? {column: column / total, row: row / total, top} : {column: u0, row: v0, top};
}

/**
 * Return the median of the joints with a high peak, mm.
 *
 * @param {Joint[]} joints
 * @param {Float64Array} surface
 * @param {Camera} camera
 * @param {Detector} about
 */
function medianPoint(joints, surface, camera, about) {
  const highest = Math.max(...joints.map(({top}) => top));
  const sure = joints.filter(({top}) => top >= Math.min(about.sure * highest, highest));
  const sees = sure.filter((joint) => joint.sees);
  const [u, v] = [0, 1].map((axis) => lower(sure.map(({point}) => point[axis])));
  const z = sees.length
    ? lower(sees.map(({point}) => point[2]))
    : Math.min(
        about.far,
        surface.reduce((one, other) => Math.min(one, other), Infinity),
      );
  return unproject(camera, inFront([u, v, z], about));
}

/**
 * Return the points, mm, where most joints agree, then where most others do.
 *
 * @param {Joint[]} joints
 * @param {Camera} camera
 * @param {Detector} about
 * @param {number[]} otherwise where no joint is left
 */
function agreements(joints, camera, about, otherwise) {
  const seen = joints.filter(({sees, top}) => sees && top > 0);
  const points = seen.map(({point}) => unproject(camera, inFront(point, about)));
  let weights = seen.map(({top}) => top);
  const apart = points.map((one) => points.map((other) => length(minus(one, other))));
  return Array.from({length: about.places}, () => {
    const scores = apart.map((row, i) =>
      weights[i] > 0
        ? row.reduce((sum, d, j) => sum + weights[j] * Math.max(0, 1 - d / about.agree), 0)
        : -1,
    );
    const best = scores.indexOf(Math.max(...scores));
    const near = points.map((_, j) => best >= 0 && apart[best][j] < about.agree);
    const total = weights.reduce((sum, weight, j) => sum + (near[j] ? weight : 0), 0);
    if (!(total > 1e-6)) return otherwise;
    const found = points.reduce(
      (sum, point, j) => (near[j] ? plus(sum, point, weights[j] / total) : sum),
      [0, 0, 0],
    );
    weights = weights.map((weight, j) => (near[j] ? 0 : weight));
    return found;
  });
}

// --- the second look --------------------------------------------------------------

/** Cosine and sine of quarter turns. */
const TURNS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];

/**
 * Write the view of a cube, depth in [-1, 1] and 1 for the background, into `to`.
 *
 * @param {Float32Array} depth
 * @param {Camera} camera
 * @param {Cube} cube
 * @param {Detector} about
 * @param {Float32Array} to
 * @param {number} start
 */
function view(depth, camera, {centre, rotation, mirror}, {cube, size}, to, start) {
  const {u, v, halfU, halfV} = window({camera, centre, cube, mirror});
  const [cos, sin] = TURNS[rotation];
  for (let row = 0, i = start; row < size; row++) {
    const y = (row + 0.5) * (2 / size) - 1;
    for (let column = 0; column < size; column++, i++) {
      const x = (column + 0.5) * (2 / size) - 1;
      const place = roundEven(u + halfU * mirror * (cos * x + sin * y));
      const line = roundEven(v + halfV * (cos * y - sin * x));
      to[i] = 1;
      if (place < 0 || line < 0 || place >= camera.width || line >= camera.height) continue;
      const d = depth[line * camera.width + place];
      const z = (d - centre[2]) / (cube / 2);
      if (d > 0 && z <= 1) to[i] = Math.max(-1, z);
    }
  }
}

/**
 * Return the point, mm, of a place in the view of a cube.
 *
 * @param {Camera} camera
 * @param {Cube} cube
 * @param {number[]} place
 * @param {Detector} about
 */
function fromView(camera, {centre, rotation, mirror}, [x, y, z], about) {
  const [cos, sin] = TURNS[rotation];
  const [u, v] = project(camera, centre);
  const half = about.cube / 2;
  const scale = half / centre[2];
  const pixel = [
    u + camera.fx * scale * mirror * (cos * x + sin * y),
    v + camera.fy * scale * (cos * y - sin * x),
  ];
  return inFront(unproject(camera, [...pixel, centre[2] + z * half]), about);
}

// --- helpers ----------------------------------------------------------------------

/** Return a point at least as far as a hand can be. @param {number[]} point @param {Detector} about */
const inFront = ([x, y, z], {near}) => [x, y, Math.max(z, near)];

/** Return the median, of an even number the lower one. @param {number[]} values */
const lower = (values) => values.toSorted((a, b) => a - b)[(values.length - 1) >> 1];

/** Return the median, of an even number the mean of both. @param {number[]} values */
const middle = (values) => (lower(values) - lower(values.map((value) => -value))) / 2;
