// Computes what the page computes, for the tests in Python: reads a job as JSON from standard input,
// and writes the numbers as raw float64 to standard output; of files, what they hold as JSON.

import {readFileSync, writeSync} from "node:fs";

import * as crop from "../../../pipeline/live/page/src/crop.js";
import {find} from "../../../pipeline/live/page/src/detector.js";
import * as hand from "../../../pipeline/live/page/src/hand.js";
import * as images from "../../../pipeline/live/page/src/images.js";
import * as render from "../../../pipeline/live/page/src/render.js";

const tasks = {
  spheres: ({model, poses, subjects, sides}) =>
    poses.flatMap((pose, i) =>
      hand.posed(model, model.subjects[subjects[i]], pose, sides[i]).spheres.flat(),
    ),
  joints: ({model, poses, subjects, sides}) =>
    poses.flatMap((pose, i) =>
      hand.posed(model, model.subjects[subjects[i]], pose, sides[i]).joints.flat(),
    ),
  depth: ({model, poses, subjects, sides}) =>
    poses.map((pose, i) => {
      const {spheres} = hand.posed(model, model.subjects[subjects[i]], pose, sides[i]);
      return render.depth([hand.surface(model, spheres)], model.camera);
    }),
  plane: ({camera, normal, point}) => {
    const image = new Float32Array(camera.width * camera.height);
    render.addPlane(image, camera, normal, point);
    return [image];
  },
  input: ({views, images, networks}) => {
    const depth = new Float32Array(readFileSync(images).buffer.slice(0));
    return networks.flatMap((network) =>
      views.map((view, i) => {
        const count = view.camera.width * view.camera.height;
        return crop.input(depth.subarray(i * count, (i + 1) * count), view, network);
      }),
    );
  },
};

/** The page loads the reader of TIFF files as a script of its own. */
const tiff = async () => {
  globalThis.handLive ??= {};
  return (await import("../../../pipeline/live/page/src/tiff.js")).tiff;
};

/** Return what the page reads from each file, or the sentence that it shows instead. */
const readFiles = ({files}) =>
  Promise.all(
    files.map(async ({name, path, bytes = Infinity}) => {
      const content = new Uint8Array(readFileSync(path)).subarray(0, bytes);
      try {
        const {width, height, values, whole} = await images.read(
          name,
          content.slice().buffer,
          tiff,
        );
        return {width, height, whole, values: Array.from(values, Number)};
      } catch (error) {
        return {error: error.message};
      }
    }),
  );

const write = (buffer) => {
  for (let rest = buffer; rest.length;) rest = rest.subarray(writeSync(1, rest));
};

/** Return the centre and the probability of the hand in each image, by the page's runtime. */
tasks.find = async ({images: path, cameras, models, binary, about}) => {
  globalThis.handLive ??= {};
  await import("../../../pipeline/live/page/src/runtime.js");
  const {detector} = await import("../../../pipeline/live/page/src/networks.js");
  const {ort} = globalThis.handLive;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = readFileSync(binary);
  const [first, second] = await Promise.all(
    models.map((model) => ort.InferenceSession.create(readFileSync(model))),
  );
  const runs = detector(ort, first, second);
  const depth = new Float32Array(readFileSync(path).buffer.slice(0));
  const found = [];
  let start = 0;
  for (const camera of cameras) {
    const end = start + camera.width * camera.height;
    const {centre, probability} = await find(depth.subarray(start, end), camera, about, runs);
    found.push([...centre, probability]);
    start = end;
  }
  return found;
};

const job = JSON.parse(readFileSync(0, "utf-8"));
if (job.task === "read") {
  write(Buffer.from(JSON.stringify(await readFiles(job))));
} else {
  const parts = await tasks[job.task](job);
  const numbers = typeof parts[0] === "number" ? [parts] : parts;
  for (const part of numbers) write(Buffer.from(Float64Array.from(part).buffer));
}
