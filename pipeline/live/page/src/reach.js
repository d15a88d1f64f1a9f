// Dragging a joint in the picture: the finger's angles that bring it to a pixel.

import {project} from "./crop.js";
import {posed} from "./hand.js";
import {pose} from "./scene.js";
import {limits} from "./state.js";

/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./state.js").State} State */

const STEPS = 4;
const SMALL = 0.5; // degrees, for the derivatives
const DAMPING = 0.02; // pixels² per degree²: keeps the angles where they have little effect

/**
 * Return the state in which a joint is as near to a pixel as its finger allows. A joint of the
 * palm takes the whole hand along.
 *
 * @param {Model} model
 * @param {State} state
 * @param {number} joint
 * @param {number[]} target [u, v]
 * @returns {State}
 */
export function reach(model, state, joint, target) {
  const {name} = model.joints[joint];
  const finger = model.fingers.indexOf(name.split(" ")[0]);
  const [u, v, d] = at(model, state, joint);
  if (finger < 0 || name.endsWith("mcp")) {
    const {fx, fy} = model.camera;
    const x = Math.round(state.x + ((target[0] - u) * d) / fx);
    const y = Math.round(state.y + ((target[1] - v) * d) / fy);
    return {...state, x: between(x, -300, 300), y: between(y, -300, 300)};
  }
  // The fingers move the mean of the joints, which the state fixes: the palm would move instead.
  // So the hand stays where it is, and the state's position follows.
  const fixed = pose(model, state);
  const range = limits(model);
  const own = [0, 1, 2, 3].map((i) => 4 * finger + i);
  let angles = [...state.angles];
  const seen = (/** @type {number[]} */ bent) => {
    const rad = bent.map((angle) => (angle * Math.PI) / 180);
    const {joints} = posed(
      model,
      model.subjects[state.subject],
      [...fixed.slice(0, 6), ...rad],
      state.side,
    );
    return {place: project(model.camera, joints[joint]), joints};
  };
  for (let step = 0; step < STEPS; step++) {
    const {place} = seen(angles);
    const wanted = [target[0] - place[0], target[1] - place[1]];
    const columns = own.map((i) => {
      const moved = seen(angles.map((angle, k) => (k === i ? angle + SMALL : angle))).place;
      return [(moved[0] - place[0]) / SMALL, (moved[1] - place[1]) / SMALL];
    });
    // Damped least squares: J^T (J J^T + damping)^-1 wanted, a system of two equations.
    const dot = (/** @type {number} */ i, /** @type {number} */ k) =>
      columns.reduce((sum, column) => sum + column[i] * column[k], 0);
    const [a, b, c] = [dot(0, 0) + DAMPING, dot(0, 1), dot(1, 1) + DAMPING];
    const [p, q] = [c * wanted[0] - b * wanted[1], a * wanted[1] - b * wanted[0]];
    const determinant = a * c - b * b;
    own.forEach((i, k) => {
      const change = (columns[k][0] * p + columns[k][1] * q) / determinant;
      angles[i] = between(angles[i] + change, range[i].low, range[i].high);
    });
  }
  angles = angles.map((angle) => Math.round(angle * 10) / 10);
  const {joints} = seen(angles);
  const middle = [0, 1, 2].map((k) => joints.reduce((sum, one) => sum + one[k], 0) / joints.length);
  const [x, y, z] = middle.map((value) => Math.round(value * 10) / 10);
  return {
    ...state,
    angles,
    x: between(x, -300, 300),
    y: between(y, -300, 300),
    z: between(z, 250, 1000),
  };
}

/** @param {Model} model @param {State} state @param {number} joint */
function at(model, state, joint) {
  const {joints} = posed(model, model.subjects[state.subject], pose(model, state), state.side);
  return project(model.camera, joints[joint]);
}

/** @param {number} value @param {number} low @param {number} high */
const between = (value, low, high) => Math.min(high, Math.max(low, value));
