// The networks: scripts with their weights are loaded one after the other, and run by ONNX Runtime.

import {input, viewInput} from "./crop.js";

/** @typedef {import("./types.js").Network} Network */
/** @typedef {import("./types.js").View} View */
/** @typedef {import("./types.js").Answer} Answer */

/** @typedef {import("./detector.js").Runs} Runs */

/** What the scripts of the page share. @type {any} */
const shared = /** @type {any} */ (globalThis).handLive;

/**
 * Load a classic script, which works from file:// as well.
 *
 * @param {string} address
 * @returns {Promise<void>}
 */
export function script(address) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = address;
    element.onload = () => {
      element.remove();
      resolve();
    };
    element.onerror = () => {
      element.remove();
      reject(
        new Error(`${address.split("/").pop()} cannot be loaded: reload the page to try again.`),
      );
    };
    document.head.append(element);
  });
}

/**
 * Return the bytes of a script's text: base 64 of gzip.
 *
 * @param {string} text
 * @returns {Promise<Uint8Array>}
 */
async function bytes(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export class Networks {
  /** @type {Map<string, any>} */
  sessions = new Map();
  /** @type {Promise<void> | null} */
  starting = null;
  /** @type {Promise<Runs> | null} */
  detecting = null;

  /** @param {string} folder address of the scripts */
  constructor(folder) {
    this.folder = folder;
  }

  /** Load the runtime, once. Errors: one sentence. */
  start() {
    this.starting ??= this.#start();
    return this.starting;
  }

  async #start() {
    await script(`${this.folder}/runtime.js`);
    await script(`${this.folder}/wasm.js`);
    const {env} = shared.ort;
    env.logLevel = "error";
    env.wasm.numThreads = 1;
    env.wasm.proxy = false;
    env.wasm.wasmBinary = await bytes(shared.wasm);
    delete shared.wasm;
  }

  /** Load the hand detector, once. Errors: one sentence. @returns {Promise<Runs>} */
  detector() {
    this.detecting ??= this.#detector();
    return this.detecting;
  }

  async #detector() {
    await this.start();
    await script(`${this.folder}/networks/hand_detector.js`);
    return detector(
      shared.ort,
      await this.#session("hand_detector_maps"),
      await this.#session("hand_detector_look"),
    );
  }

  /** Load the reader of TIFF files, once. @returns {Promise<import("./images.js").Reader>} */
  async tiff() {
    if (!shared.tiff) await script(`${this.folder}/tiff.js`);
    return shared.tiff;
  }

  /**
   * Load a network.
   *
   * @param {Network} network
   */
  async load({name}) {
    if (this.sessions.has(name)) return;
    await script(`${this.folder}/networks/${name}.js`);
    this.sessions.set(name, await this.#session(name));
  }

  /** Return the session of a model whose script is loaded. @param {string} name */
  async #session(name) {
    const model = await bytes(shared.models[name]);
    delete shared.models[name];
    return shared.ort.InferenceSession.create(model, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
    });
  }

  /**
   * Return the answer of a network, which must be loaded.
   *
   * @param {Network} network
   * @param {Float32Array} seen its input
   * @param {View} view
   * @returns {Promise<Answer>}
   */
  async answer(network, seen, view) {
    const {Tensor} = shared.ort;
    const axes = network.kind === "image" ? 2 : 3;
    const start = performance.now();
    const {joints, inside, offsets} = await this.sessions.get(network.name).run({
      input: new Tensor("float32", seen, [1, 1, ...Array(axes).fill(network.size)]),
      view: new Tensor("float64", viewInput(view), [1, 9]),
    });
    const ms = performance.now() - start;
    const rows = Array.from({length: joints.dims[1]}, (_, j) => [
      ...joints.data.slice(3 * j, 3 * j + 3),
    ]);
    return {joints: rows, inside: maps(inside), offsets: offsets ? maps(offsets) : null, ms};
  }
}

/** Return an output of a model as maps. @param {any} tensor @returns {import("./types.js").Maps} */
function maps({data, dims}) {
  const size = dims.at(-1);
  return {data, count: data.length / size ** 2, size};
}

/**
 * Return the two networks of the hand detector as functions.
 *
 * @param {any} ort the runtime
 * @param {any} first session of the first look
 * @param {any} second session of the second look
 * @returns {Runs}
 */
export function detector(ort, first, second) {
  return {
    async maps(depth, height, width) {
      const {heat, behind} = await first.run({
        depth: new ort.Tensor("float32", depth, [1, height, width]),
      });
      const [rows, columns] = heat.dims.slice(-2);
      return {heat: heat.data, behind: behind.data, rows, columns};
    },
    async look(views, count) {
      const size = Math.sqrt(views.length / count);
      const input = new ort.Tensor("float32", views, [count, 1, size, size]);
      const {place, odds} = await second.run({input});
      return {place: place.data, odds: odds.data};
    },
  };
}

export {input};
