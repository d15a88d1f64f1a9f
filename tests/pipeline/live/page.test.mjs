// Unit tests of the page's modules that need no browser: `node --test`.

import assert from "node:assert/strict";
import {test} from "node:test";

import * as crop from "../../../pipeline/live/page/src/crop.js";
import {rotation, turned} from "../../../pipeline/live/page/src/hand.js";
import {depth} from "../../../pipeline/live/page/src/render.js";
import {fields, measured} from "../../../pipeline/live/page/src/sensor.js";
import {fromAddress, start, toAddress} from "../../../pipeline/live/page/src/state.js";
import {length} from "../../../pipeline/live/page/src/vectors.js";

const CAMERA = {fx: 200, fy: 210, u0: 60, v0: 50, width: 120, height: 100};
const VIEW = {camera: CAMERA, centre: [10, -5, 400], cube: 200, mirror: 1};
const MODEL = /** @type {any} */ ({
  dof: Array.from({length: 26}, (_, i) => ({name: `${i}`, low: -Math.PI, high: Math.PI})),
  poses: {5: Array(20).fill(0)},
  subjects: [{}, {}, {}],
});
const NETWORKS = /** @type {any} */ ([{name: "one"}, {name: "two"}]);
const FIRST = start(MODEL, NETWORKS);

const close = (one, other, tolerance = 1e-9) =>
  one.forEach((value, i) => assert.ok(Math.abs(value - other[i]) <= tolerance, `${one} ${other}`));

test("projection is the inverse of back-projection", () => {
  const point = [30, -40, 512];
  close(crop.unproject(CAMERA, crop.project(CAMERA, point)), point);
});

test("the cube's centre is the origin of the view, and its side spans it", () => {
  close(crop.toView(VIEW, VIEW.centre), [0, 0, 0]);
  const [x, y, z] = VIEW.centre;
  close(crop.toView(VIEW, [x + 100, y - 100, z]), [1, -1, 0]);
  assert.equal(crop.toView({...VIEW, mirror: -1}, [x + 100, y, z])[0], -1);
});

test("rotations keep lengths, and their rows are perpendicular", () => {
  const turn = rotation(0.4, -0.7, 1.9);
  assert.ok(Math.abs(length(turned(turn, [3, 4, 12])) - 13) < 1e-12);
  close([turn[0][0] * turn[1][0] + turn[0][1] * turn[1][1] + turn[0][2] * turn[1][2]], [0]);
});

test("the nearest point of a ball on the optical axis is one radius before its centre", () => {
  const ball = [0, 0, 500, 40, 0, 0, 500, 40];
  const image = depth([{cones: [ball], triangles: []}], CAMERA);
  assert.ok(Math.abs(image[50 * 120 + 60] - 460) < 1e-3);
  // The outline of a ball is a cone around it: sin(angle) = r / distance.
  const radius = 200 * Math.tan(Math.asin(40 / 500));
  const across = image.slice(50 * 120, 51 * 120).filter((z) => z > 0).length;
  assert.ok(Math.abs(across - 2 * radius) <= 1);
});

test("a round cone of two equal spheres is a cylinder", () => {
  const image = depth([{cones: [[-80, 0, 400, 30, 80, 0, 400, 30]], triangles: []}], CAMERA);
  for (const u of [40, 55, 80]) assert.ok(Math.abs(image[50 * 120 + u] - 370) < 1e-3);
});

test("an empty image fills no voxel, and a plane one layer of them", () => {
  const network = /** @type {any} */ ({kind: "voxels", size: 8});
  const none = crop.input(new Float32Array(120 * 100), VIEW, network);
  assert.equal(
    none.reduce((sum, value) => sum + value, 0),
    0,
  );
  const wide = {...VIEW, centre: [0, 0, 400], cube: 100};
  const voxels = crop.input(new Float32Array(120 * 100).fill(405), wide, network);
  const layers = Array.from({length: 8}, (_, z) =>
    voxels.slice(64 * z, 64 * z + 64).reduce((sum, value) => sum + value, 0),
  );
  assert.deepEqual(layers, [0, 0, 0, 0, 64, 0, 0, 0]);
});

test("noise has the stated strength, grows with the square of the distance, and repeats", () => {
  const noise = fields(7, 160, 120);
  assert.deepEqual(fields(7, 160, 120).fine, noise.fine);
  assert.notDeepEqual(fields(8, 160, 120).fine, noise.fine);
  const deviation = (/** @type {number} */ z) => {
    const found = measured(new Float32Array(160 * 120).fill(z), noise, 10, 0);
    return Math.sqrt(found.reduce((sum, value) => sum + (value - z) ** 2, 0) / found.length);
  };
  assert.ok(Math.abs(deviation(1000) - 10) < 1);
  assert.ok(Math.abs(deviation(500) / deviation(1000) - 0.25) < 0.01);
});

test("holes take the stated share, and nothing is measured where nothing is", () => {
  const noise = fields(3, 160, 120);
  const exact = new Float32Array(160 * 120).fill(500);
  exact.fill(0, 0, 4000);
  const found = measured(exact, noise, 5, 0.3);
  assert.ok(found.subarray(0, 4000).every((z) => z === 0));
  const whole = measured(new Float32Array(160 * 120).fill(500), noise, 0, 0.3);
  const lost = whole.filter((z) => z === 0).length / whole.length;
  assert.ok(Math.abs(lost - 0.3) < 0.01);
});

test("a link gives the same state back, and holds only what was changed", () => {
  const state = {
    ...FIRST,
    network: "two",
    yaw: -44,
    cube: 180,
    side: -1,
    seed: 5,
    angles: FIRST.angles.with(3, 12),
  };
  const address = toAddress(state, FIRST);
  assert.deepEqual(fromAddress(address, FIRST, MODEL, NETWORKS), state);
  assert.equal(toAddress(FIRST, FIRST), "");
  assert.deepEqual([...new URLSearchParams(toAddress({...FIRST, z: 600}, FIRST))], [["z", "600"]]);
});

test("a damaged link changes nothing that it does not state well", () => {
  for (const address of [
    "yaw=999",
    "network=three",
    "subject=9",
    "subject=1.5",
    "angles=1_2_3",
    "angles=" + Array(20).fill("x").join("_"),
    "z=",
    "z=NaN",
    "cube=1",
    "seed=-1",
    "%%%=&&=",
    "__proto__=1",
  ]) {
    assert.deepEqual(fromAddress(address, FIRST, MODEL, NETWORKS), FIRST, address);
  }
});
