// Errors of a depth camera: noise that grows with the square of the distance, and holes in patches.
// The library's models of sensors have more errors; see handpose_lib/synth/scene/depth_camera.py.

/**
 * @typedef {object} Fields Noise of an image with mean 0 and standard deviation 1.
 * @property {Float32Array} fine
 * @property {Float32Array} broad
 * @property {Float32Array} patches
 * @property {Float32Array} sorted the values of `patches`, rising
 */

/**
 * Return the noise of one image.
 *
 * @param {number} seed
 * @param {number} width
 * @param {number} height
 * @returns {Fields}
 */
export function fields(seed, width, height) {
  const next = uniform(seed);
  const white = () => Float32Array.from({length: width * height}, () => normal(next));
  const patches = smooth(smooth(white(), width, height, 4), width, height, 4);
  return {
    fine: white(),
    broad: smooth(white(), width, height, 3),
    patches,
    sorted: patches.toSorted(),
  };
}

/**
 * Return what a camera measures of exact depth.
 *
 * @param {Float32Array} depth mm
 * @param {Fields} noise
 * @param {number} sigma standard deviation of the noise in mm at a distance of 1 m
 * @param {number} holes share of the image without a measurement
 */
export function measured(depth, noise, sigma, holes) {
  const found = depth.slice();
  const limit = holes > 0 ? noise.sorted[Math.floor(holes * (noise.sorted.length - 1))] : -Infinity;
  for (let i = 0; i < found.length; i++) {
    if (found[i] === 0) continue;
    if (noise.patches[i] < limit) {
      found[i] = 0;
      continue;
    }
    // Two thirds of the variance change slowly, as the wavy surfaces of stereo matching.
    const wave = 0.58 * noise.fine[i] + 0.81 * noise.broad[i];
    found[i] = Math.max(1, found[i] + wave * sigma * 1e-6 * found[i] * found[i]);
  }
  return found;
}

/**
 * Return a generator of uniform numbers (mulberry32).
 *
 * @param {number} seed
 */
function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** @param {() => number} next */
const normal = (next) => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());

/**
 * Return a field smoothed by a box of 2 reach + 1 pixels along both axes, scaled to a standard
 * deviation of 1.
 *
 * @param {Float32Array} field
 * @param {number} width
 * @param {number} height
 * @param {number} reach
 */
function smooth(field, width, height, reach) {
  let from = field;
  for (const [length, step, lines, jump] of [
    [width, 1, height, width],
    [height, width, width, 1],
  ]) {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      const start = line * jump;
      let sum = 0;
      for (let k = -reach; k < length; k++) {
        if (k + reach < length) sum += from[start + (k + reach) * step];
        if (k - reach - 1 >= 0) sum -= from[start + (k - reach - 1) * step];
        if (k >= 0) to[start + k * step] = sum;
      }
    }
    from = to;
  }
  const variance = from.reduce((sum, value) => sum + value * value, 0) / from.length;
  return from.map((value) => value / Math.sqrt(variance));
}
