// From the state of the page to a depth image, its joints and the cube of the crop.

import {posed, rotation, surface, turned} from "./hand.js";
import {addPlane, depth} from "./render.js";
import {measured} from "./sensor.js";
import {mean, plus} from "./vectors.js";

/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").View} View */
/** @typedef {import("./state.js").State} State */

/**
 * @typedef {object} Scene
 * @property {Float32Array} depth image in mm as the camera measures it
 * @property {number[][]} joints mm; empty where the truth is unknown
 * @property {View} view
 */

const RAD = Math.PI / 180;
/** Tilt of the table against the image plane. */
const TABLE = [0, -Math.sin(20 * RAD), -Math.cos(20 * RAD)];

/**
 * Return the 26 numbers of a pose: the middle of the joints is where the state says.
 *
 * @param {Model} model
 * @param {State} state
 */
export function pose(model, {angles, subject, side, yaw, pitch, roll, x, y, z}) {
  const turn = [yaw, pitch, roll].map((angle) => angle * RAD);
  const bent = angles.map((angle) => angle * RAD);
  const {joints} = posed(model, model.subjects[subject], [0, 0, 0, ...turn, ...bent], side);
  return [...plus([x, y, z], mean(joints), -1), ...turn, ...bent];
}

/**
 * Return what the camera sees.
 *
 * @param {Model} model
 * @param {State} state
 * @param {import("./sensor.js").Fields} noise
 * @param {number} cube side in mm of the network's test, for a state without one of its own
 * @returns {Scene}
 */
export function scene(model, state, noise, cube) {
  const {camera} = model;
  const whole = pose(model, state);
  const {spheres, joints} = posed(model, model.subjects[state.subject], whole, state.side);
  const parts = [surface(model, spheres)];
  if (state.ball > 0) parts.push({cones: [ball(model, state, whole, spheres)], triangles: []});
  const exact = depth(parts, camera);
  if (state.table >= 0) {
    const reaches = spheres.map((sphere) => {
      const at = TABLE[1] * sphere[1] + TABLE[2] * sphere[2];
      return {at: at - sphere[3], sphere};
    });
    const {sphere} = reaches.reduce((one, other) => (other.at < one.at ? other : one));
    addPlane(exact, camera, TABLE, plus(sphere, TABLE, -sphere[3] - state.table));
  }
  return {
    depth: measured(exact, noise, state.noise, state.holes / 100),
    joints,
    view: {
      camera,
      centre: plus(mean(joints), [state.dx, state.dy, state.dz]),
      cube: state.cube || cube,
      mirror: state.side,
    },
  };
}

/**
 * Return a ball that touches the palm below the knuckle of the middle finger, as a round cone.
 *
 * @param {Model} model
 * @param {State} state
 * @param {number[]} whole pose
 * @param {number[][]} spheres
 */
function ball(model, state, whole, spheres) {
  const out = turned(rotation(whole[3], whole[4], whole[5]), [0, 0, -1]);
  const knuckle = spheres[model.palm.indexOf("middle")];
  const heel = spheres[model.palm.indexOf("heel")];
  const palm = plus(plus([0, 0, 0], knuckle, 0.65), heel, 0.35);
  const centre = plus(palm, out, knuckle[3] + state.ball);
  return [...centre, state.ball, ...centre, state.ball];
}
