// What the canvases show: depth, the input of the network, skeletons in the image and in space.

import {project, toView} from "./crop.js";
import {mean, minus} from "./vectors.js";

/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").View} View */
/** @typedef {import("./types.js").Camera} Camera */

/** @typedef {{text: string, muted: string, surface: string, border: string}} Colours */

/** From near to far. */
const NEAR = [255, 241, 208];
const FAR = [38, 84, 124];
const HOT = [230, 60, 20];

/** @param {number[]} one @param {number[]} other @param {number} share */
const mix = (one, other, share) => one.map((value, k) => value + share * (other[k] - value));

/** @param {number[]} colour */
const css = ([r, g, b]) => `rgb(${r | 0} ${g | 0} ${b | 0})`;

/** @param {HTMLCanvasElement} canvas */
export function context(canvas) {
  const found = canvas.getContext("2d");
  if (!found) throw new Error("This browser draws no pictures: its canvas has no 2D context.");
  return found;
}

/**
 * Give a canvas as many pixels as it has on the screen, and return its side lengths there.
 *
 * @param {HTMLCanvasElement} canvas
 */
export function fit(canvas) {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  return {width, height, ratio};
}

/** A picture of numbers, drawn once and then stretched. @type {Map<string, HTMLCanvasElement>} */
const buffers = new Map();

/**
 * Draw a grid of colours over a rectangle of a canvas, its pixels as squares.
 *
 * @param {CanvasRenderingContext2D} on
 * @param {number} columns
 * @param {number} rows
 * @param {(index: number) => number[] | null} colour
 * @param {number} [opacity]
 * @param {boolean} [smooth]
 */
function grid(on, columns, rows, colour, opacity = 1, smooth = false) {
  const key = `${columns} ${rows}`;
  const buffer = buffers.get(key) ?? document.createElement("canvas");
  buffers.set(key, buffer);
  Object.assign(buffer, {width: columns, height: rows});
  const picture = new ImageData(columns, rows);
  for (let i = 0; i < columns * rows; i++) {
    const found = colour(i);
    if (!found) continue;
    picture.data.set([found[0], found[1], found[2], found[3] ?? 255], 4 * i);
  }
  context(buffer).putImageData(picture, 0, 0);
  on.save();
  on.globalAlpha = opacity;
  on.imageSmoothingEnabled = smooth;
  on.drawImage(buffer, 0, 0, on.canvas.width, on.canvas.height);
  on.restore();
}

/**
 * Draw a depth image, and the outline of the crop.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} depth
 * @param {View} view
 * @param {{u: number, v: number, halfU: number, halfV: number}} window
 * @param {Colours} colours
 */
export function depthImage(canvas, depth, view, window, colours) {
  const {camera, centre} = view;
  const {width, ratio} = fit(canvas);
  const on = context(canvas);
  on.clearRect(0, 0, canvas.width, canvas.height);
  const [low, high] = [centre[2] - 100, centre[2] + 130];
  grid(on, camera.width, camera.height, (i) => {
    const z = depth[i];
    if (z === 0) return null;
    return mix(NEAR, FAR, Math.min(1, Math.max(0, (z - low) / (high - low))));
  });
  const scale = width / camera.width;
  on.strokeStyle = colours.text;
  on.lineWidth = 1.5 * ratio;
  on.setLineDash([5 * ratio, 4 * ratio]);
  on.strokeRect(
    (window.u - window.halfU + 0.5) * scale,
    (window.v - window.halfV + 0.5) * scale,
    2 * window.halfU * scale,
    2 * window.halfV * scale,
  );
  on.setLineDash([]);
}

/**
 * Draw the joints that can be dragged.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Model} model
 * @param {number[][]} joints
 * @param {Camera} camera
 */
export function handles(canvas, model, joints, camera) {
  const on = context(canvas);
  const {width, ratio} = fit(canvas);
  const scale = width / camera.width;
  joints.forEach((joint, j) => {
    const [u, v] = project(camera, joint);
    on.beginPath();
    on.arc((u + 0.5) * scale, (v + 0.5) * scale, 3.5 * ratio, 0, 2 * Math.PI);
    on.fillStyle = css(model.joints[j].colour);
    on.strokeStyle = "#222";
    on.lineWidth = ratio;
    on.fill();
    on.stroke();
  });
}

/**
 * Draw the input of the network: the crop, or the nearest voxels along the depth.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} seen
 * @param {import("./types.js").Network} network
 */
export function networkInput(canvas, seen, {kind, size, background = 1, middle = 0, front = -1}) {
  fit(canvas);
  const on = context(canvas);
  on.clearRect(0, 0, canvas.width, canvas.height);
  grid(on, size, size, (i) => {
    if (kind === "image") {
      if (seen[i] === background) return null;
      const back = 2 * middle - front;
      return mix(NEAR, FAR, (seen[i] - front) / (back - front));
    }
    for (let z = 0; z < size; z++) {
      if (seen[z * size * size + i] > 0) return mix(NEAR, FAR, z / size);
    }
    return null;
  });
}

/**
 * Draw a map of the network's inside over its input.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {{data: Float32Array, count: number, size: number}} inside
 * @param {number} which
 * @param {"joint" | "module"} per a joint's map has one peak, which is small; a mask covers much
 */
export function insideMap(canvas, inside, which, per) {
  const own = inside.data.subarray(which * inside.size ** 2, (which + 1) * inside.size ** 2);
  const high = own.reduce((one, other) => Math.max(one, other), -Infinity);
  const low = Math.max(
    0,
    own.reduce((one, other) => Math.min(one, other), Infinity),
  );
  grid(
    context(canvas),
    inside.size,
    inside.size,
    (i) => {
      const share = high > low ? Math.max(0, (own[i] - low) / (high - low)) : 0;
      return [...HOT, per === "joint" ? 255 * share ** 0.4 : 200 * share];
    },
    0.9,
    true,
  );
}

/** Opacity of the offset of a pixel without weight. */
const FAINT = 0.25;

/**
 * Draw the offsets from the pixels of the hand to a joint over the input of the network, as lines
 * that end at the predicted place.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {import("./types.js").Maps} offsets
 * @param {number} which the joint
 * @param {Float32Array} seen the input
 * @param {import("./types.js").Network} network
 */
export function offsets(canvas, {data, size}, which, seen, network) {
  const {width, ratio} = fit(canvas);
  const on = context(canvas);
  const [x, y, , weight] = [0, 1, 2, 3].map((k) =>
    data.subarray((4 * which + k) * size ** 2, (4 * which + k + 1) * size ** 2),
  );
  const high = weight.reduce((one, other) => Math.max(one, other), 1e-9);
  const pixels = network.size;
  const stride = pixels / size;
  on.save();
  on.strokeStyle = on.fillStyle = css(HOT);
  for (let i = 0; i < size ** 2; i++) {
    // A pixel X of the maps shows the pixel `stride` X of the input.
    const [column, row] = [stride * (i % size), stride * Math.floor(i / size)];
    if (seen[row * pixels + column] === network.background) continue;
    const share = Math.max(0, weight[i]) / high;
    const from = [column, row].map((place) => ((place + 0.5) / pixels) * width);
    const to = [from[0] + (x[i] * width) / 2, from[1] + (y[i] * width) / 2];
    on.globalAlpha = FAINT + (1 - FAINT) * Math.sqrt(share);
    on.lineWidth = (0.8 + share) * ratio;
    on.beginPath();
    on.moveTo(from[0], from[1]);
    on.lineTo(to[0], to[1]);
    on.stroke();
    on.beginPath();
    on.arc(to[0], to[1], 1.8 * ratio, 0, 2 * Math.PI);
    on.fill();
  }
  on.restore();
}

/**
 * Draw a skeleton over the crop.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Model} model
 * @param {number[][]} joints mm
 * @param {View} view
 * @param {{truth: boolean, selected: number, perspective: boolean}} how
 */
export function cropSkeleton(canvas, model, joints, view, {truth, selected, perspective}) {
  const {width, ratio} = fit(canvas);
  const places = joints.map((joint) => {
    // Voxels span the cube in mm; an image spans it in pixels.
    const [x, y] = perspective
      ? toView(view, joint)
      : minus(joint, view.centre).map((value) => value / (view.cube / 2));
    return [((perspective ? x : view.mirror * x) + 1) * (width / 2), (y + 1) * (width / 2)];
  });
  bones(context(canvas), model, places, ratio, truth, selected);
}

/**
 * Draw lines and joints.
 *
 * @param {CanvasRenderingContext2D} on
 * @param {Model} model
 * @param {number[][]} places
 * @param {number} ratio
 * @param {boolean} truth
 * @param {number} selected
 * @param {string} [grey]
 */
function bones(on, model, places, ratio, truth, selected, grey = "#555") {
  on.lineCap = "round";
  for (const halo of truth ? [false] : [true, false]) {
    model.joints.forEach(({parent, colour}, j) => {
      if (parent < 0) return;
      on.beginPath();
      on.moveTo(places[parent][0], places[parent][1]);
      on.lineTo(places[j][0], places[j][1]);
      on.lineWidth = (truth ? 1.5 : halo ? 5 : 3) * ratio;
      on.strokeStyle = truth ? grey : halo ? "#222" : css(colour);
      on.setLineDash(truth ? [4 * ratio, 3 * ratio] : []);
      on.stroke();
    });
  }
  on.setLineDash([]);
  if (selected < 0) return;
  on.beginPath();
  on.arc(places[selected][0], places[selected][1], 6 * ratio, 0, 2 * Math.PI);
  on.lineWidth = 2 * ratio;
  on.strokeStyle = truth ? grey : "#222";
  on.stroke();
}

/**
 * Draw both skeletons in space, seen from the camera and turned.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Model} model
 * @param {number[][]} truth
 * @param {number[][]} found
 * @param {{yaw: number, pitch: number}} turn rad
 * @param {Colours} colours
 */
export function space(canvas, model, truth, found, turn, colours) {
  const {width, height, ratio} = fit(canvas);
  const on = context(canvas);
  on.clearRect(0, 0, width, height);
  const every = truth.length ? truth : found;
  if (!every.length) return;
  const middle = mean(every);
  const scale = Math.min(width, height) / 270;
  const [cy, sy] = [Math.cos(turn.yaw), Math.sin(turn.yaw)];
  const [cp, sp] = [Math.cos(turn.pitch), Math.sin(turn.pitch)];
  const place = (/** @type {number[]} */ point) => {
    const [x, y, z] = minus(point, middle);
    const across = cy * x + sy * z;
    const depth = -sy * x + cy * z;
    const down = cp * y - sp * depth;
    const away = 1 + (sp * y + cp * depth) / 1200;
    return [width / 2 + (scale * across) / away, height / 2 + (scale * down) / away];
  };
  // Lines between the true joints and the predicted ones.
  if (truth.length && found.length) {
    on.strokeStyle = colours.muted;
    on.lineWidth = ratio;
    truth.forEach((joint, j) => {
      on.beginPath();
      on.moveTo(...pair(place(joint)));
      on.lineTo(...pair(place(found[j])));
      on.stroke();
    });
  }
  if (truth.length) bones(on, model, truth.map(place), ratio, true, -1, colours.text);
  if (found.length) bones(on, model, found.map(place), ratio, false, -1);
  // The axes of the camera.
  const corner = [26 * ratio, height - 26 * ratio];
  on.font = `${11 * ratio}px sans-serif`;
  on.fillStyle = on.strokeStyle = colours.muted;
  on.lineWidth = 1.5 * ratio;
  for (const [name, axis] of /** @type {[string, number[]][]} */ ([
    ["x", [1, 0, 0]],
    ["y", [0, 1, 0]],
    ["z", [0, 0, 1]],
  ])) {
    const across = cy * axis[0] + sy * axis[2];
    const depth = -sy * axis[0] + cy * axis[2];
    const down = cp * axis[1] - sp * depth;
    const end = [corner[0] + 18 * ratio * across, corner[1] + 18 * ratio * down];
    on.beginPath();
    on.moveTo(...pair(corner));
    on.lineTo(...pair(end));
    on.stroke();
    on.fillText(name, end[0] + 2 * ratio, end[1] - 2 * ratio);
  }
}

/** @param {number[]} point @returns {[number, number]} */
const pair = ([x, y]) => [x, y];
