// What the reader has set, as one object of numbers and names, and its form in a link.

/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").Network} Network */

/**
 * @typedef {object} State
 * @property {string} network
 * @property {number} subject
 * @property {number} side 1 for a right hand, -1 for a left one
 * @property {number[]} angles 20 in degrees
 * @property {number} yaw degrees
 * @property {number} pitch
 * @property {number} roll
 * @property {number} x of the middle of the joints, mm
 * @property {number} y
 * @property {number} z
 * @property {number} noise mm at 1 m
 * @property {number} holes percent
 * @property {number} table distance behind the hand in mm; -1 for none
 * @property {number} ball radius of a held ball in mm; 0 for none
 * @property {number} dx error of the reference point, mm
 * @property {number} dy
 * @property {number} dz
 * @property {number} cube side in mm; 0 for that of the network's test
 * @property {number} seed of the noise
 */

/** @typedef {{key: keyof State & string, label: string, low: number, high: number, step: number, unit: string}} Slider */

/** Sliders besides those of the fingers. @type {Record<string, Slider[]>} */
export const SLIDERS = {
  view: [
    {key: "yaw", label: "Yaw", low: -180, high: 180, step: 2, unit: "°"},
    {key: "pitch", label: "Pitch", low: -90, high: 90, step: 2, unit: "°"},
    {key: "roll", label: "Roll", low: -180, high: 180, step: 2, unit: "°"},
    {key: "z", label: "Distance", low: 250, high: 1000, step: 10, unit: "mm"},
    {key: "x", label: "To the right", low: -300, high: 300, step: 5, unit: "mm"},
    {key: "y", label: "Down", low: -300, high: 300, step: 5, unit: "mm"},
  ],
  camera: [
    {key: "noise", label: "Noise at 1 m", low: 0, high: 30, step: 1, unit: "mm"},
    {key: "holes", label: "Holes", low: 0, high: 60, step: 2, unit: "%"},
    {key: "table", label: "Gap to a table", low: -1, high: 100, step: 1, unit: "mm"},
    {key: "ball", label: "Held ball", low: 0, high: 60, step: 2, unit: "mm"},
  ],
  crop: [
    {key: "cube", label: "Side of the cube", low: 100, high: 400, step: 5, unit: "mm"},
    {key: "dx", label: "Reference, right", low: -80, high: 80, step: 2, unit: "mm"},
    {key: "dy", label: "Reference, down", low: -80, high: 80, step: 2, unit: "mm"},
    {key: "dz", label: "Reference, away", low: -80, high: 80, step: 2, unit: "mm"},
  ],
};

const degrees = (/** @type {number} */ rad) => Math.round((rad * 180) / Math.PI);

/**
 * Return the lowest and highest angle of each joint, degrees.
 *
 * @param {Model} model
 */
export const limits = (model) =>
  model.dof.slice(6).map(({low, high}) => ({low: degrees(low), high: degrees(high)}));

/**
 * Return the joint angles of a named pose, degrees.
 *
 * @param {Model} model
 * @param {string} name
 */
export const poseOf = (model, name) => model.poses[name].map(degrees);

/**
 * Return the state with which the page opens.
 *
 * @param {Model} model
 * @param {Network[]} networks
 * @returns {State}
 */
export function start(model, networks) {
  return {
    network: networks[0].name,
    subject: model.subjects.length - 1,
    side: 1,
    angles: poseOf(model, "5"),
    yaw: 20,
    pitch: 10,
    roll: -10,
    x: 0,
    y: 0,
    z: 400,
    noise: 2,
    holes: 0,
    table: -1,
    ball: 0,
    dx: 0,
    dy: 0,
    dz: 0,
    cube: 0,
    seed: 1,
  };
}

/**
 * Return a state as the part of an address after #: what differs from the first state.
 *
 * @param {State} state
 * @param {State} first
 */
export function toAddress(state, first) {
  const found = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    const text = Array.isArray(value) ? value.join("_") : String(value);
    const other = /** @type {any} */ (first)[key];
    if (text !== (Array.isArray(other) ? other.join("_") : String(other))) found.set(key, text);
  }
  return found.toString();
}

/**
 * Return the state of an address. Whatever is unknown or out of range is left as in `first`.
 *
 * @param {string} address the part after #
 * @param {State} first
 * @param {Model} model
 * @param {Network[]} networks
 * @returns {State}
 */
export function fromAddress(address, first, model, networks) {
  const given = new URLSearchParams(address);
  const state = {...first, angles: [...first.angles]};
  const every = Object.values(SLIDERS).flat();
  for (const {key, low, high} of every) {
    const value = number(given.get(key));
    if (value !== null && (inside(value, low, high) || (key === "cube" && value === 0))) {
      Object.assign(state, {[key]: value});
    }
  }
  const network = given.get("network");
  if (networks.some(({name}) => name === network)) state.network = /** @type {string} */ (network);
  const subject = number(given.get("subject"));
  if (subject !== null && Number.isInteger(subject) && model.subjects[subject]) {
    state.subject = subject;
  }
  if (given.get("side") === "-1") state.side = -1;
  const seed = number(given.get("seed"));
  if (seed !== null && Number.isInteger(seed) && inside(seed, 0, 2 ** 31)) state.seed = seed;
  const angles = given.get("angles")?.split("_").map(number) ?? [];
  const range = limits(model);
  if (
    angles.length === range.length &&
    angles.every((angle, i) => angle !== null && inside(angle, range[i].low, range[i].high))
  ) {
    state.angles = /** @type {number[]} */ (angles);
  }
  return state;
}

/** @param {number} value @param {number} low @param {number} high */
const inside = (value, low, high) => value >= low && value <= high;

/** @param {string | null} text */
const number = (text) => (text?.trim() && Number.isFinite(Number(text)) ? Number(text) : null);
