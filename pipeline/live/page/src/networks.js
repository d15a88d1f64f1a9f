// The networks: scripts with their weights are loaded one after the other, and run by ONNX Runtime.

import {input, viewInput} from "./crop.js";

/** @typedef {import("./types.js").Network} Network */
/** @typedef {import("./types.js").View} View */
/** @typedef {import("./types.js").Answer} Answer */

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

  /** @param {string} folder address of the scripts */
  constructor(folder) {
    this.folder = folder;
  }

  /** Load the runtime. Errors: one sentence. */
  async start() {
    await script(`${this.folder}/runtime.js`);
    await script(`${this.folder}/wasm.js`);
    const {env} = shared.ort;
    env.logLevel = "error";
    env.wasm.numThreads = 1;
    env.wasm.proxy = false;
    env.wasm.wasmBinary = await bytes(shared.wasm);
    delete shared.wasm;
  }

  /**
   * Load a network.
   *
   * @param {Network} network
   */
  async load({name}) {
    if (this.sessions.has(name)) return;
    await script(`${this.folder}/networks/${name}.js`);
    const model = await bytes(shared.models[name]);
    delete shared.models[name];
    const session = await shared.ort.InferenceSession.create(model, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
    });
    this.sessions.set(name, session);
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
    const {joints, inside} = await this.sessions.get(network.name).run({
      input: new Tensor("float32", seen, [1, 1, ...Array(axes).fill(network.size)]),
      view: new Tensor("float64", viewInput(view), [1, 9]),
    });
    const ms = performance.now() - start;
    const rows = Array.from({length: joints.dims[1]}, (_, j) => [
      ...joints.data.slice(3 * j, 3 * j + 3),
    ]);
    const [, count, size] = inside.dims;
    return {joints: rows, inside: {data: inside.data, count, size}, ms};
  }
}

export {input};
