// Forward kinematics of the synthetic hand: from a pose to spheres, joints and the surface. It
// follows handpose_lib/synth/hands/hand.py; all constants come from there through the model.

import {cross, dot, minus, plus} from "./vectors.js";

/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").Subject} Subject */
/** @typedef {import("./types.js").Solids} Solids */

/**
 * Return the spheres [x, y, z, r] and the joints [x, y, z] of a hand, mm in the camera frame.
 *
 * @param {Model} model
 * @param {Subject} subject
 * @param {number[]} pose 26 numbers in the order of `model.dof`: position in mm, angles in rad
 * @param {number} [side] 1 for a right hand, -1 for a left one
 */
export function posed(model, subject, pose, side = 1) {
  const {chains, tips} = fingers(model, subject, pose.slice(6));
  const spheres = [...subject.palm];
  chains.forEach((chain, finger) => spheres.push(chain[1], chain[2], tips[finger]));
  spheres.push(...derived(model, chains, subject.palm));
  const keypoints = [...chains.flat(), [0, 0, 0, 0]];
  const turn = rotation(pose[3], pose[4], pose[5]);
  /** @param {number[]} point */
  const place = ([x, y, z]) => plus(turned(turn, [side * x, y, z]), pose);
  return {
    spheres: spheres.map((sphere) => [...place(sphere), sphere[3]]),
    joints: model.joints.map(({keypoint}) => place(keypoints[keypoint])),
  };
}

/**
 * Return the rotation Rz(roll) Rx(pitch) Ry(yaw), row by row.
 *
 * @param {number} yaw
 * @param {number} pitch
 * @param {number} roll
 */
export function rotation(yaw, pitch, roll) {
  const [cy, cp, cr] = [yaw, pitch, roll].map(Math.cos);
  const [sy, sp, sr] = [yaw, pitch, roll].map(Math.sin);
  return [
    [cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy],
    [sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy],
    [-cp * sy, sp, cp * cy],
  ];
}

/** @param {number[][]} turn @param {number[]} point */
export const turned = (turn, point) => turn.map((row) => dot(row, point));

/**
 * Return the joints of each finger with radii, and the spheres in the tips, in the hand's frame.
 *
 * @param {Model} model
 * @param {Subject} subject
 * @param {number[]} angles 20
 */
function fingers(model, subject, angles) {
  /** @type {number[][][]} */
  const chains = [];
  /** @type {number[][]} */
  const tips = [];
  model.fingers.forEach((_, finger) => {
    const own = angles.slice(4 * finger, 4 * finger + 4);
    const thumb = finger === 0;
    // The base of a finger is Rz(a) Rx(e) Ry(c).
    const a = model.fan[finger] + (thumb ? -own[1] : model.outwards[finger] * own[0]);
    const e = thumb ? own[0] : 0;
    const c = model.twist[finger] + (thumb ? model.pronation * (own[0] + own[1]) : 0);
    const {along, out} = base(a, e, c);
    const flexions = thumb ? [0, own[2], own[3]] : own.slice(1);
    const radii = subject.radii[finger];
    let joint = subject.palm[finger].slice(0, 3);
    let direction = [0, 0, 0];
    let phi = 0;
    const chain = [[...joint, radii[0]]];
    flexions.forEach((flexion, bone) => {
      phi += flexion;
      direction = plus(
        along.map((value) => -Math.cos(phi) * value),
        out,
        -Math.sin(phi),
      );
      joint = plus(joint, direction, subject.bones[finger][bone]);
      chain.push([...joint, radii[bone + 1]]);
    });
    chains.push(chain);
    tips.push([...plus(joint, direction, -model.inside * radii[3]), radii[3]]);
  });
  return {chains, tips};
}

/**
 * Return the images of the y and the z axis under Rz(a) Rx(e) Ry(c).
 *
 * @param {number} a
 * @param {number} e
 * @param {number} c
 */
function base(a, e, c) {
  const [ca, ce, cc] = [a, e, c].map(Math.cos);
  const [sa, se, sc] = [a, e, c].map(Math.sin);
  return {
    along: [-sa * ce, ca * ce, se],
    out: [ca * sc + sa * cc * se, sa * sc - ca * cc * se, cc * ce],
  };
}

/**
 * Return the spheres that are linear in those of fingers and palm.
 *
 * @param {Model} model
 * @param {number[][][]} chains
 * @param {number[][]} palm
 */
function derived(model, chains, palm) {
  const vector = [...chains.flat(2), ...palm.flat(), 1];
  const values = model.derived.map((row) =>
    row.reduce((sum, [index, factor]) => sum + factor * vector[index], 0),
  );
  return Array.from({length: values.length / 4}, (_, i) => values.slice(4 * i, 4 * i + 4));
}

/**
 * Return the surface of a hand.
 *
 * @param {Model} model
 * @param {number[][]} spheres
 * @returns {Solids}
 */
export function surface(model, spheres) {
  return {
    cones: model.pairs.map(([a, b]) => [...spheres[a], ...spheres[b]]),
    triangles: model.triples.flatMap((triple) => flats(triple.map((index) => spheres[index]))),
  };
}

/**
 * Return the two triangles that touch three spheres; none where no plane touches them all.
 *
 * @param {number[][]} spheres three of them
 */
function flats(spheres) {
  const u = minus(spheres[1], spheres[0]);
  const v = minus(spheres[2], spheres[0]);
  const p = spheres[0][3] - spheres[1][3];
  const q = spheres[0][3] - spheres[2][3];
  const k = cross(u, v);
  const area = dot(k, k);
  if (area <= 1e-8 * dot(u, u) * dot(v, v)) return [];
  // n.u = p and n.v = q: the part of the normal in the plane of the centres, then the rest.
  const flat = plus(
    cross(v, k).map((value) => (p / area) * value),
    cross(k, u),
    q / area,
  );
  const rest = 1 - dot(flat, flat);
  if (rest <= 0) return [];
  return [1, -1].map((sign) => {
    const normal = plus(flat, k, sign * Math.sqrt(rest / area));
    return spheres.map((sphere) => plus(sphere, normal, sphere[3]));
  });
}
