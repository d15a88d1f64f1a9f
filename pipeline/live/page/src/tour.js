// The guided tour: eight steps, each with a scene, a task, and the chapter that explains it.

/** @typedef {import("./state.js").State} State */

/**
 * @typedef {object} Step
 * @property {string} title
 * @property {string} task
 * @property {string} why shown once the task is solved
 * @property {[string, string]} chapter address from the page, and title
 * @property {string} pose
 * @property {Partial<State>} scene
 * @property {(now: Moment, start: Moment) => boolean} solved
 */

/** @typedef {{error: number, errors: number[], state: State}} Moment */

/** @type {Step[]} */
export const STEPS = [
  {
    title: "A network answers",
    task: "The network sees only the crop. Choose other poses, or drag a fingertip in the depth image, until the mean error changes by more than 3 mm.",
    why: "The network answers each depth image on its own. Poses that it often saw in its training are easier, and so are fingers that stand apart from each other.",
    chapter: ["../foundations/the_hand.html", "The hand"],
    pose: "5",
    scene: {},
    solved: (now, start) => Math.abs(now.error - start.error) > 3,
  },
  {
    title: "Turn the hand",
    task: "Turn the hand with yaw and pitch until the mean error doubles.",
    why: "In a side view, or along the fingers, some joints hide others. A depth image shows only the nearest surface, so the network must infer the hidden joints from the visible ones.",
    chapter: ["../foundations/rendering_depth.html", "Rendering depth"],
    pose: "5",
    scene: {yaw: 0, pitch: 0, roll: 0},
    solved: (now, start) => now.error > 2 * start.error,
  },
  {
    title: "Which joints are hard?",
    task: "A fist hides its fingertips. Find a view or a pose in which the worst joint has an error above 40 mm, and read its name in the chart.",
    why: "A mean hides such a joint. That is why papers also report errors per joint and the share of frames in which even the worst joint is good.",
    chapter: ["../foundations/measuring.html", "Measuring"],
    pose: "fist",
    scene: {yaw: 10, pitch: 10, roll: 0},
    solved: (now) => Math.max(...now.errors) > 40,
  },
  {
    title: "The reference point",
    task: "The cube of the crop is placed at a reference point. Move it until the mean error doubles.",
    why: "The network predicts positions relative to the cube. It was trained on cubes near the middle of the hand, and a cube elsewhere also cuts fingers off. Papers therefore refine the reference point first.",
    chapter: ["../foundations/crop_and_normalise.html", "Crop and normalise"],
    pose: "relaxed",
    scene: {yaw: 0, pitch: 0, roll: 0},
    solved: (now, start) =>
      now.error > 2 * start.error &&
      Math.hypot(now.state.dx, now.state.dy, now.state.dz) >
        Math.hypot(start.state.dx, start.state.dy, start.state.dz),
  },
  {
    title: "The side of the cube",
    task: "Make the cube smaller, then larger than in the training. Find a side with which the mean error is above 25 mm.",
    why: "A small cube cuts fingers off. In a large one the hand is smaller than any hand of the training, and each pixel of the crop stands for more millimetres.",
    chapter: ["../foundations/crop_and_normalise.html", "Crop and normalise"],
    pose: "spread",
    scene: {yaw: 0, pitch: 0, roll: 0},
    solved: (now) => now.error > 25 && now.state.cube > 0,
  },
  {
    title: "Noise and holes",
    task: "Add holes until the mean error grows by half. Which fails first, the fingertips or the wrist?",
    why: "A hole takes a thin finger away completely, while the palm keeps most of its pixels. The networks were trained with few holes.",
    chapter: ["../foundations/depth_cameras.html", "Depth cameras"],
    pose: "5",
    scene: {yaw: 0, pitch: 0, roll: 0, holes: 0, noise: 2},
    solved: (now, start) => now.error > 1.5 * start.error && now.state.holes > 0,
  },
  {
    title: "Perspective",
    task: "The hand is at the border of the image, where the camera sees it from the side. Compare a network on images with V2V-PoseNet, which sees voxels: open both on this hand.",
    why: "A crop of the image contains the slanted view of the camera. Voxels are computed from points in millimetres, which perspective does not distort; which side of the hand is seen still depends on the view.",
    chapter: ["../foundations/voxels.html", "Voxels"],
    pose: "flat",
    scene: {yaw: 0, pitch: 0, roll: 0, x: 110, y: 40, z: 300},
    solved: (now, start) => now.state.network !== start.state.network,
  },
  {
    title: "A table",
    task: "Networks that were trained on hands cut out clean now see a table. Choose the network “Real hands”, whose training frames had tables.",
    why: "A network can only ignore what it saw in its training. The network for real depth images was trained on rendered tables, objects, sleeves and errors of cameras.",
    chapter: ["real_hands.html", "Real hands"],
    pose: "flat",
    scene: {yaw: 0, pitch: 20, roll: 0, table: 10, network: "jgr_p2o"},
    solved: (now) => now.state.network === "real_hands" && now.state.table >= 0,
  },
];
