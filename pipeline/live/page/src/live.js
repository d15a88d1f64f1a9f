// The page: its controls, its pictures, and the loop from a change to the network's answer.

import {input, project, window as cropWindow} from "./crop.js";
import {find} from "./detector.js";
import * as draw from "./draw.js";
import {button, choice, element, identifier, slider} from "./elements.js";
import {cameraOf, nearestObject, read, toMillimetres} from "./images.js";
import {Networks} from "./networks.js";
import {reach} from "./reach.js";
import {scene} from "./scene.js";
import {fields} from "./sensor.js";
import {SLIDERS, fromAddress, limits, poseOf, start, toAddress} from "./state.js";
import {STEPS} from "./tour.js";
import {length, mean, minus} from "./vectors.js";

/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").Network} Network */
/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("./scene.js").Scene} Scene */

/** @type {{model: Model, networks: Network[], detector: import("./types.js").Detector}} */
const {model, networks, detector} = /** @type {any} */ (globalThis).handLive;
const folder = /** @type {HTMLScriptElement} */ (document.currentScript).src.replace(
  /\/[^/]*$/,
  "",
);
const root = /** @type {HTMLElement} */ (document.querySelector(".hand-live"));
root.dataset.drawnLater = ""; // a change is drawn in the next frame

const first = start(model, networks);
let state = fromAddress(location.hash.slice(1), first, model, networks);
let noise = fields(state.seed, model.camera.width, model.camera.height);
/** A depth image of the reader's own, instead of the rendered one. @type {Scene | null} */
let own = null;
/**
 * How often the cube of such an image moves to the answer, how often it still will, and how far at
 * most, in sides of the cube: an answer farther away may be on something else.
 */
const LOOKS = 2;
let looks = 0;
let farthest = Infinity;
/** What the pictures show now. @type {Scene} */
let shown;
/** The answer for `shown`, or for the scene before it. @type {Answer | null} */
let answer = null;
let turn = {yaw: 0.5, pitch: 0.25};
let joint = 0;
let mapShown = false;
let offsetsShown = false;

const running = new Networks(folder);
const network = () => /** @type {Network} */ (networks.find(({name}) => name === state.network));
const ready = () => running.sessions.has(state.network);

// --- the loop -----------------------------------------------------------------
// A change marks the page as due; the next frame of the browser draws it. One answer is computed at
// a time, and always for the newest scene: a change while the network runs replaces those before.

let due = false;
let busy = false;
let since = 0;
let version = 0;
let answered = 0;

/** Note a change of the scene. @param {boolean} [fresh] whether the answer is out of date */
function changed(fresh = true) {
  if (fresh) {
    version++;
    if (!since) since = performance.now();
  }
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    render();
    void ask();
  });
}

function render() {
  shown = own ?? scene(model, state, noise, network().cube);
  if (own) Object.assign(own.view, {mirror: state.side, cube: state.cube || network().cube});
  paint();
}

async function ask() {
  if (busy || !ready() || answered === version) return;
  busy = true;
  const [asked, about, from] = [version, network(), since];
  since = 0;
  const {view, depth} = shown;
  try {
    answer = await running.answer(about, input(depth, view, about), view);
    answered = asked;
    paint();
    tell(about, performance.now() - from);
    if (own && looks > 0) {
      looks--;
      const [next, {centre, cube}] = [mean(answer.joints), own.view];
      if (length(minus(next, centre)) <= farthest * cube) own.view.centre = next;
      else looks = 0;
      changed();
    }
  } catch (error) {
    status(`${about.title} failed: ${sentence(error)}`);
    answered = asked;
  } finally {
    busy = false;
  }
  if (answered !== version) changed(false);
}

// --- pictures -----------------------------------------------------------------

const canvases = {
  depth: canvas("hl-depth", "Depth image"),
  seen: canvas("hl-seen", "What the network sees, with the predicted skeleton"),
  space: canvas("hl-space", "True and predicted joints in space"),
};
const readout = element("p", {class: "hl-error", "aria-live": "polite"});
const chart = element("table", {class: "hl-chart"});
const mapChoice = choice("Inside of the network", [["", "not shown"]], (value) => {
  mapShown = value !== "";
  if (value !== "") joint = Number(value);
  changed(false);
});
const offsetsChoice = choice(
  "Drawn of it",
  [
    ["", "the map"],
    ["offsets", "the offsets"],
  ],
  (value) => {
    offsetsShown = value !== "";
    explainMap();
    changed(false);
  },
);
const mapText = element("p", {class: "hl-note"});

/** @param {string} name @param {string} label */
function canvas(name, label) {
  return element("canvas", {class: name, role: "img", "aria-label": label, tabindex: 0});
}

/** Return the colours of the theme. @returns {draw.Colours} */
function colours() {
  const style = getComputedStyle(root);
  const of = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    text: style.color,
    muted: of("--hl-muted") || style.color,
    surface: of("--hl-surface"),
    border: of("--hl-border"),
  };
}

function paint() {
  const [about, theme] = [network(), colours()];
  const {depth, joints, view} = shown;
  canvases.depth.ariaLabel = own
    ? "Your depth image. The arrow keys move the cube."
    : `Depth image of a ${state.side < 0 ? "left" : "right"} hand, ${poseList.list.selectedOptions[0]?.text}, at ${state.z} mm. The arrow keys move the hand.`;
  draw.depthImage(canvases.depth, depth, view, cropWindow(view), theme);
  if (joints.length) draw.handles(canvases.depth, model, joints, view.camera);
  const seen = input(depth, view, about);
  draw.networkInput(canvases.seen, seen, about);
  const inside =
    mapShown && ready() && answer && maps(about).length === answer.inside.count ? answer : null;
  const offsets = offsetsShown && inside ? inside.offsets : null;
  if (inside && !offsets) draw.insideMap(canvases.seen, inside.inside, joint, about.inside.per);
  const perspective = about.kind === "image";
  const marked = inside && about.inside.per === "joint" ? joint : -1;
  if (joints.length) {
    const how = {truth: true, selected: -1, perspective};
    draw.cropSkeleton(canvases.seen, model, joints, view, how);
  }
  if (answer) {
    const how = {truth: false, selected: marked, perspective};
    draw.cropSkeleton(canvases.seen, model, answer.joints, view, how);
  }
  if (offsets) draw.offsets(canvases.seen, offsets, joint, seen, about);
  draw.space(canvases.space, model, joints, answer?.joints ?? [], turn, theme);
}

/** Return the error of each joint, mm. @returns {number[]} */
const errors = () =>
  answer && shown.joints.length
    ? shown.joints.map((place, j) => length(minus(place, /** @type {Answer} */ (answer).joints[j])))
    : [];

const average = (/** @type {number[]} */ values) =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Show the errors of an answer.
 *
 * @param {Network} about
 * @param {number} ms from the change to the skeleton
 */
function tell(about, ms) {
  const found = errors();
  const text = found.length
    ? `Mean joint error ${average(found).toFixed(1)} mm`
    : "The true joints of this image are unknown";
  if (readout.textContent !== text) readout.textContent = text;
  timing.textContent = `${about.title}: ${Math.round(ms)} ms, of which the network ${Math.round(answer?.ms ?? 0)} ms`;
  bars.forEach(({bar, number}, j) => {
    const mm = found[j];
    bar.hidden = mm === undefined;
    bar.style.width = mm === undefined ? "0" : `${Math.min(100, mm)}%`;
    number.textContent = mm === undefined ? "" : `${Math.round(mm)}`;
  });
  Object.assign(root.dataset, {
    answered: about.name,
    version: answered,
    ms: ms.toFixed(1),
    network: (answer?.ms ?? 0).toFixed(1),
    error: found.length ? average(found).toFixed(3) : "",
  });
  if (found.length) watchTour({error: average(found), errors: found, state});
}

const bars = model.joints.map(({name, colour}) => {
  const bar = element("span", {class: "hl-bar", style: `background: rgb(${colour.join(" ")})`});
  const number = element("td", {class: "hl-number"});
  chart.append(
    element("tr", {}, element("th", {scope: "row"}, name), element("td", {}, bar), number),
  );
  return {bar, number};
});
chart.prepend(element("caption", {}, "Error per joint, mm"));

/** Return the names of the maps of a network's inside. @param {Network} about */
const maps = (about) =>
  about.inside.per === "joint"
    ? model.joints.map(({name}) => name)
    : ["first module", "second module", "third module"];

function listMaps() {
  const names = maps(network());
  if (joint >= names.length) joint = 0;
  mapChoice.list.replaceChildren(
    element("option", {value: ""}, "not shown"),
    ...names.map((name, i) => element("option", {value: i}, name)),
  );
  mapChoice.show(mapShown ? String(joint) : "");
  explainMap();
}

function explainMap() {
  const {text, offsets} = network().inside;
  offsetsChoice.row.hidden = !offsets;
  mapText.textContent = offsets && offsetsShown ? `Red: ${offsets}.` : `Red: ${text}.`;
}

// --- controls -----------------------------------------------------------------

const statusLine = element("p", {class: "hl-status", role: "status"});
const timing = element("p", {class: "hl-note"});
const status = (/** @type {string} */ text) => void (statusLine.textContent = text);
const sentence = (/** @type {unknown} */ error) =>
  error instanceof Error ? error.message : `${error}`;

/** What shows the state in the controls. @type {(() => void)[]} */
const shows = [];

/** Change the state. @param {Partial<State>} change */
function set(change) {
  const before = state;
  state = {...state, ...change};
  if (!linkField.hidden) {
    // The link is that of another hand now.
    linkField.hidden = true;
    status("");
  }
  if (state.seed !== before.seed) {
    noise = fields(state.seed, model.camera.width, model.camera.height);
  }
  if (state.network !== before.network) {
    // The skeleton of the other network leaves at once.
    answer = ready() ? answer : null;
    listMaps();
  }
  for (const show of shows) show();
  changed();
}

/** @param {import("./state.js").Slider[]} sliders */
const rows = (sliders) =>
  sliders.map((about) => {
    const words = WORDS[about.key];
    const {row, show} = slider(about, (value) => set({[about.key]: value}), words);
    shows.push(() =>
      show(
        about.key === "cube"
          ? state.cube || network().cube
          : /** @type {number} */ (state[about.key]),
      ),
    );
    return row;
  });

/** @type {Record<string, (value: number) => string>} */
const WORDS = {
  table: (value) => (value < 0 ? "none" : `${value} mm`),
  ball: (value) => (value ? `${value} mm` : "none"),
};

const ranges = limits(model);
/** Sliders of one finger, folded. @param {string} finger @param {number} number */
function fingerRows(finger, number) {
  const sliders = [0, 1, 2, 3].map((i) => {
    const place = 4 * number + i;
    const words = model.dof[6 + place].name.replace(`${finger} `, "");
    const label = words[0].toUpperCase() + words.slice(1);
    const about = {label, ...ranges[place], step: 1, unit: "°"};
    const {row, show} = slider(about, (value) => set({angles: state.angles.with(place, value)}));
    row.querySelector("input")?.setAttribute("aria-label", `${finger}, ${words}`);
    shows.push(() => show(Math.round(state.angles[place])));
    return row;
  });
  return element(
    "details",
    {},
    element("summary", {}, `The ${finger}${number ? " finger" : ""}`),
    ...sliders,
  );
}

const poseList = choice(
  "Pose",
  [
    ["", "of your own"],
    ...Object.keys(model.poses).map(
      (name) =>
        /** @type {[string, string]} */ ([
          name,
          model.gestures.includes(name) ? `gesture ${name}` : name,
        ]),
    ),
  ],
  (name) => name && set({angles: poseOf(model, name)}),
);
shows.push(() =>
  poseList.show(
    Object.keys(model.poses).find((name) => poseOf(model, name).join() === state.angles.join()) ??
      "",
  ),
);
const subjectList = choice(
  "Person",
  model.subjects.map((_, i) => [
    String(i),
    i === model.subjects.length - 1 ? `${i + 1} (held out)` : `${i + 1}`,
  ]),
  (value) => set({subject: Number(value)}),
);
shows.push(() => subjectList.show(String(state.subject)));
const sideList = choice(
  "Hand",
  [
    ["1", "right"],
    ["-1", "left"],
  ],
  (value) => set({side: Number(value)}),
);
shows.push(() => sideList.show(String(state.side)));

const networkButtons = networks.map((about) => {
  const made = button(about.title, () => set({network: about.name}), {
    title: `${about.parameters.toLocaleString("en")} parameters`,
  });
  shows.push(() => made.setAttribute("aria-pressed", String(state.network === about.name)));
  return made;
});
const about = element("p", {class: "hl-note"});
shows.push(() => {
  const {title, parameters, errorMm, kind, size, name} = network();
  const sees = kind === "image" ? `a crop of ${size} × ${size} pixels` : `${size}³ voxels`;
  const where =
    name === "real_hands" ? "rendered frames of its test" : "the held-out synthetic person";
  about.textContent = `${title} sees ${sees} and has ${parameters.toLocaleString("en")} parameters. Its mean error on ${where} is ${errorMm.toFixed(1)} mm.`;
});

const linkField = element("input", {
  class: "hl-link",
  readonly: true,
  "aria-label": "Link to this hand",
  hidden: true,
});
/** Show a link to this hand; nothing but the settings is in it. */
async function share() {
  const address = toAddress(state, first);
  history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
  linkField.value = location.href;
  linkField.hidden = false;
  linkField.select();
  try {
    await navigator.clipboard.writeText(location.href);
    status("The link is copied. It contains the settings of this page and nothing else.");
  } catch {
    status("Copy the link. It contains the settings of this page and nothing else.");
  }
}

// --- the reader's own image ---------------------------------------------------

const presets = Object.entries(model.cameras);
const cameraList = choice(
  "Camera",
  [
    ...presets.map(([name, {title}]) => /** @type {[string, string]} */ ([name, title])),
    ["", "numbers of your own"],
  ],
  () => void (numbersRow.hidden = cameraList.list.value !== ""),
);
cameraList.show("d435");
const fields4 = ["fx", "fy", "u0", "v0"].map((name) =>
  element("input", {
    type: "number",
    step: "any",
    "aria-label": `${name} in pixels`,
    placeholder: name,
  }),
);
const unitField = element("input", {
  type: "number",
  step: "any",
  min: 0,
  "aria-label": "Depth unit in mm",
  placeholder: "unit, mm",
  value: 1,
});
const numbersRow = element("div", {class: "hl-numbers", hidden: true}, ...fields4, unitField);
const fileField = element("input", {
  type: "file",
  accept: ".png,.tif,.tiff,.npy",
  id: identifier(),
  onchange: () => fileField.files?.[0] && void open(fileField.files[0]),
});
const back = button(
  "Back to the rendered hand",
  () => {
    leave();
    fileField.value = "";
    status("");
    changed();
  },
  {hidden: true},
);

/** Counts what replaces the image: the answer of a search that something else replaced is dropped. */
let openings = 0;

/** Show the rendered hand again. */
function leave() {
  openings++;
  own = null;
  back.hidden = true;
}

/** Show a depth image of the reader's own. @param {File} file */
async function open(file) {
  const opening = ++openings;
  try {
    const picture = await read(file.name, await file.arrayBuffer(), () => running.tiff());
    const preset = model.cameras[cameraList.list.value];
    const [fx, fy, u0, v0] = fields4.map((field) => Number.parseFloat(field.value));
    const {width, height} = picture;
    const camera = preset ? cameraOf(preset.views, width, height) : {fx, fy, u0, v0, width, height};
    if (!camera) {
      throw new Error(
        `${file.name} has ${width} × ${height} pixels, another shape than the images of ${preset.title}; choose another camera or give its numbers.`,
      );
    }
    if (!(camera.fx > 0 && camera.fy > 0 && Number.isFinite(camera.u0 + camera.v0))) {
      throw new Error("The camera needs fx, fy, u0 and v0 in pixels, with fx and fy above 0.");
    }
    const stated = preset ? (picture.whole ? preset.unit : 1) : Number.parseFloat(unitField.value);
    if (!(stated > 0)) throw new Error("The depth unit must be a number of mm above 0.");
    const depth = toMillimetres(file.name, picture, stated);
    status(`${file.name}: looking for the hand…`);
    const {centre, detected, words} = await located(depth, camera);
    if (opening !== openings) return;
    own = {depth, joints: [], view: {camera, centre, cube: network().cube, mirror: state.side}};
    looks = LOOKS;
    farthest = detected ? 0.25 : Infinity;
    back.hidden = false;
    root.dataset.found = detected ? "detector" : "nearest";
    status(`${file.name}: ${words}`);
    changed();
  } catch (error) {
    if (opening === openings) status(sentence(error));
  }
}

/**
 * Return where the hand is, whether the detector found it there, and words that say so. Without a
 * detected hand it is the nearest object.
 *
 * @param {Float32Array} depth
 * @param {import("./types.js").Camera} camera
 */
async function located(depth, camera) {
  let [why, click] = ["", ""];
  try {
    const runs = await running.detector();
    const {centre, probability} = await find(depth, camera, detector, runs);
    const percent =
      probability > 0.99 ? "over 99" : (100 * probability).toFixed(probability > 0.1 ? 0 : 1);
    if (probability >= detector.noHand) {
      const words = `the hand detector finds the hand at ${Math.round(centre[2])} mm, with a probability of ${percent} %. If that is wrong, click on the hand in the depth image.`;
      return {centre, detected: true, words};
    }
    why = `the hand detector finds no hand, only a place with a probability of ${percent} %`;
    click = "If there is a hand, click on it in the depth image.";
  } catch (error) {
    why = `the hand detector does not work here (${sentence(error).replace(/\.$/, "")})`;
    click = "If that is no hand, click on the hand in the depth image.";
  }
  const centre = nearestObject(depth, camera);
  const words = `${why}. The cube is at the nearest object, at ${Math.round(centre[2])} mm. ${click}`;
  return {centre, detected: false, words};
}

for (const type of ["dragover", "drop"]) {
  root.addEventListener(type, (event) => {
    event.preventDefault();
    const file = /** @type {DragEvent} */ (event).dataTransfer?.files[0];
    if (type === "drop" && file) void open(file);
  });
}

// --- dragging -----------------------------------------------------------------

/** Return the pixel of the depth image under the pointer. @param {PointerEvent} event */
function pixel(event) {
  const box = canvases.depth.getBoundingClientRect();
  const {camera} = shown.view;
  return [
    ((event.clientX - box.left) / box.width) * camera.width - 0.5,
    ((event.clientY - box.top) / box.height) * camera.height - 0.5,
  ];
}

let held = -1;
canvases.depth.addEventListener("pointerdown", (event) => {
  const [u, v] = pixel(event);
  if (own) {
    const {camera, centre} = own.view;
    const z = own.depth[Math.round(v) * camera.width + Math.round(u)] || centre[2];
    looks = LOOKS;
    farthest = Infinity;
    own.view.centre = [
      ((u - camera.u0) * z) / camera.fx,
      ((v - camera.v0) * z) / camera.fy,
      z + 10,
    ];
    changed();
    return;
  }
  const apart = shown.joints.map((place) => {
    const [x, y] = project(shown.view.camera, place);
    return Math.hypot(x - u, y - v);
  });
  const near = apart.indexOf(Math.min(...apart));
  if (apart[near] > 14) return;
  held = near;
  canvases.depth.setPointerCapture(event.pointerId);
  event.preventDefault();
});
canvases.depth.addEventListener("pointermove", (event) => {
  if (held >= 0) set(reach(model, state, held, pixel(event)));
});
for (const end of ["pointerup", "pointercancel"]) {
  canvases.depth.addEventListener(end, () => void (held = -1));
}

/** @type {{x: number, y: number} | null} */
let from = null;
canvases.space.addEventListener("pointerdown", (event) => {
  from = {x: event.clientX, y: event.clientY};
  canvases.space.setPointerCapture(event.pointerId);
});
canvases.space.addEventListener("pointermove", (event) => {
  if (!from) return;
  turnBy((event.clientX - from.x) / 120, (event.clientY - from.y) / 120);
  from = {x: event.clientX, y: event.clientY};
});
for (const end of ["pointerup", "pointercancel"]) {
  canvases.space.addEventListener(end, () => void (from = null));
}

/** @param {number} across @param {number} down */
function turnBy(across, down) {
  turn = {yaw: turn.yaw + across, pitch: Math.max(-1.5, Math.min(1.5, turn.pitch + down))};
  changed(false);
}

/** What the arrow keys do in a picture. @type {Record<string, [number, number]>} */
const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
canvases.space.addEventListener("keydown", (event) => {
  const way = ARROWS[event.key];
  if (!way) return;
  event.preventDefault();
  turnBy(0.1 * way[0], 0.1 * way[1]);
});
canvases.depth.addEventListener("keydown", (event) => {
  const way = ARROWS[event.key];
  if (!way) return;
  event.preventDefault();
  if (own) {
    looks = 0;
    own.view.centre = own.view.centre.map((value, k) => value + 5 * (way[k] ?? 0));
    changed();
  } else {
    const clip = (/** @type {number} */ value) => Math.max(-300, Math.min(300, value));
    set({x: clip(state.x + 5 * way[0]), y: clip(state.y + 5 * way[1])});
  }
});

// --- the tour -----------------------------------------------------------------

let step = -1;
/** @type {import("./tour.js").Moment | null} */
let began = null;
let waits = false;
const tourBox = element("section", {class: "hl-tour", "aria-label": "Guided tour", hidden: true});
const tourTitle = element("h2", {tabindex: -1});
const tourTask = element("p");
const tourWhy = element("p", {class: "hl-why", "aria-live": "polite", hidden: true});
const tourBack = button("Back", () => visit(step - 1));
const tourNext = button("Next step", () => visit(step + 1));
tourBox.append(
  tourTitle,
  tourTask,
  tourWhy,
  element(
    "div",
    {class: "hl-buttons"},
    tourBack,
    tourNext,
    button("Show the answer", explain),
    button("End the tour", () => visit(-1)),
  ),
);

/** Open a step of the tour; one that does not exist ends it. @param {number} number */
function visit(number) {
  step = number >= 0 && number < STEPS.length ? number : -1;
  tourBox.hidden = step < 0;
  began = null;
  if (step < 0) return;
  const {title, task, pose, scene: change} = STEPS[step];
  tourTitle.textContent = `${step + 1} of ${STEPS.length}: ${title}`;
  tourTask.textContent = task;
  tourWhy.hidden = true;
  tourBack.hidden = step === 0;
  tourNext.textContent = step === STEPS.length - 1 ? "Finish" : "Next step";
  leave();
  waits = true;
  set({...first, network: state.network, angles: poseOf(model, pose), ...change});
  tourTitle.focus({preventScroll: true});
  tourBox.scrollIntoView({block: "nearest"});
}

/** @param {import("./tour.js").Moment} now */
function watchTour(now) {
  if (step < 0) return;
  if (waits && answered === version) {
    began = now;
    waits = false;
  } else if (began && tourWhy.hidden && STEPS[step].solved(now, began)) explain();
}

function explain() {
  const {why, chapter} = STEPS[step];
  tourWhy.replaceChildren(why, " See ", element("a", {href: chapter[0]}, chapter[1]), ".");
  tourWhy.hidden = false;
}

// --- the page -----------------------------------------------------------------

/** @param {HTMLCanvasElement} of @param {string} words */
const figure = (of, words) =>
  element("div", {class: "hl-figure"}, of, element("p", {class: "hl-note"}, words));

/** @param {string} title @param {(Node | string)[]} children */
const panel = (title, ...children) =>
  element("section", {class: "hl-panel"}, element("h2", {}, title), ...children);

const still = root.querySelector(".hl-still");
root.replaceChildren(
  ...(still ? [still] : []),
  element("div", {class: "hl-networks", role: "group", "aria-label": "Network"}, ...networkButtons),
  statusLine,
  element(
    "div",
    {class: "hl-pictures"},
    figure(canvases.depth, "Depth image. Drag a joint; the dashed square is the crop."),
    figure(
      canvases.seen,
      "What the network sees, the true skeleton (dashed) and the predicted one.",
    ),
    figure(canvases.space, "Both skeletons in space. Drag to turn, or use the arrow keys."),
  ),
  element("div", {class: "hl-result"}, readout, timing),
  tourBox,
  element(
    "div",
    {class: "hl-buttons"},
    button("Start the tour", () => visit(0), {class: "hl-main"}),
    button("Another noise", () => set({seed: state.seed + 1})),
    button("Start again", () => {
      leave();
      set({...first, network: state.network});
    }),
    button("Share this hand", () => void share()),
    back,
  ),
  linkField,
  element(
    "div",
    {class: "hl-panels"},
    panel(
      "Hand",
      poseList.row,
      subjectList.row,
      sideList.row,
      ...rows(SLIDERS.view),
      ...model.fingers.map(fingerRows),
    ),
    element(
      "div",
      {},
      panel("Camera and scene", ...rows(SLIDERS.camera)),
      panel("Crop", ...rows(SLIDERS.crop)),
      panel(
        "A depth image of your own",
        element(
          "p",
          {class: "hl-note"},
          "A PNG or TIFF with 16 bits or more, or an NPY file, chosen here or dropped on the page. ",
          "It is read in this page and never leaves your computer. The hand detector of the book ",
          "looks for the hand; where it finds none, the cube is placed at the nearest object.",
        ),
        cameraList.row,
        numbersRow,
        element(
          "div",
          {class: "hl-choice"},
          element("label", {for: fileField.id}, "File"),
          fileField,
        ),
      ),
    ),
    panel("Answer", about, mapChoice.row, offsetsChoice.row, mapText, chart),
  ),
);
listMaps();
for (const show of shows) show();
render();

new ResizeObserver(() => changed(false)).observe(root);
new MutationObserver(() => changed(false)).observe(document.documentElement, {
  attributes: true,
  attributeFilter: ["data-theme"],
});
addEventListener("hashchange", () => {
  state = fromAddress(location.hash.slice(1), first, model, networks);
  set({});
});

/** Load the runtime, the chosen network, then the others. */
async function load() {
  const wanted = () => [network(), ...networks].find(({name}) => !running.sessions.has(name));
  // What the page says about the reader's own image stays.
  const told = (/** @type {string} */ text) => void (openings || status(text));
  try {
    told("Loading the runtime (5 MB)…");
    await running.start();
    for (let next = wanted(); next; next = wanted()) {
      told(`Loading network ${running.sessions.size + 1} of ${networks.length}: ${next.title}…`);
      await running.load(next);
      changed();
      // Lets the page draw and answer between two networks.
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    told("Loading the hand detector…");
    await running.detector();
    told("");
    root.dataset.loaded = String(running.sessions.size);
  } catch (error) {
    status(sentence(error));
  }
}

// For the tests, and for the console of a curious reader: what is shown, and what was answered.
/** @type {any} */ (globalThis).handLive.now = () => ({
  state,
  depth: Array.from(shown.depth),
  joints: shown.joints,
  view: shown.view,
  network: network().name,
  answer: answer && answer.joints,
  fresh: answered === version,
});

// The first picture comes before the runtime.
requestAnimationFrame(() => setTimeout(() => void load()));
