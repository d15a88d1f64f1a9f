// Computes what the page computes, for the tests in Python: reads a job as JSON from standard input,
// and writes the numbers as raw float64 to standard output.

import {readFileSync, writeSync} from "node:fs";

import * as crop from "../../../pipeline/live/page/src/crop.js";
import * as hand from "../../../pipeline/live/page/src/hand.js";
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

const job = JSON.parse(readFileSync(0, "utf-8"));
const parts = tasks[job.task](job);
const numbers = typeof parts[0] === "number" ? [parts] : parts;
for (const part of numbers) {
  let rest = Buffer.from(Float64Array.from(part).buffer);
  while (rest.length) rest = rest.subarray(writeSync(1, rest));
}
