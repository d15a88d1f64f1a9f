// The checks of browse.py that run in the open page. Each returns a list of problems.

window.reader = (() => {

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const short = text => text.trim().replace(/\s+/g, " ").slice(0, 60);
const path = element => element.tagName.toLowerCase() + (element.id ? `#${element.id}` : "")
  + [...element.classList].slice(0, 3).map(name => `.${name}`).join("");


// --- a page at rest -----------------------------------------------------------

// Opens folded parts and waits for all that a page does by itself: formulas, pictures, plotly's script.
async function settle() {
  for (const fold of all("details")) fold.open = true;
  for (const fold of all(".toggle-hidden")) fold.classList.remove("toggle-hidden");
  for (const picture of document.images) picture.loading = "eager";
  await Promise.all([...document.images].map(decoded));
  await window.MathJax?.startup?.promise;
  await window.plotlyOfTheBook?.catch(() => {});
}

// After a change of the window or of the colours: waits until figures have their final size and texts their final colour.
async function rest() {
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);  // the page receives the change, and answers it
  for (const figure of all(".js-plotly-plot")) await window.Plotly?.Plots.resize(figure).catch(() => {});
  for (const animation of document.getAnimations()) {
    try { animation.finish(); } catch { animation.cancel(); }  // an endless animation cannot be finished
  }
}

// Figures that plotly has not drawn yet. A 3D figure has a canvas.
function undrawn() {
  return all("[id^='plotly-']").filter(place =>
    !place.querySelector(".main-svg") || (place._fullLayout?.scene && !place.querySelector("canvas")))
    .map(place => `plotly did not draw a figure: ${short(place.getAttribute("aria-label") ?? place.id)}`);
}

async function decoded(picture) {
  try { await picture.decode(); } catch { return false; }
  return picture.naturalWidth > 0;
}


// --- content ------------------------------------------------------------------

function formulas() {
  const raw = all(".math").filter(place => !place.querySelector("mjx-container"));
  const wrong = all("mjx-merror, [data-mml-node='merror']");
  return [...raw.map(place => `a formula is not typeset: ${short(place.textContent)}`),
          ...wrong.map(place => `a formula is in error: ${short(place.dataset.mjxError || place.textContent)}`)];
}

async function pictures() {
  const problems = [];
  for (const picture of document.images) {
    const name = picture.src.startsWith("data:") ? "a picture within the page" : picture.getAttribute("src");
    if (!picture.alt.trim()) problems.push(`a picture without alt text: ${name}`);
    if (!await decoded(picture)) problems.push(`a picture cannot be shown: ${name}`);
  }
  return problems;
}

// A range input shows a picture at each of its values, and not the same picture at all of them. A page that is drawn later,
// in the next frame of the browser, is tried at its lowest, middle and highest value.
async function sliders() {
  const problems = [];
  for (const slider of all("input[type=range]")) {
    let book = slider.parentElement;
    while (book && !book.querySelector("img, canvas, svg")) book = book.parentElement;
    const words = slider.ariaLabel ?? slider.labels[0]?.textContent ?? "", name = `the slider '${short(words)}'`;
    if (!words.trim()) problems.push(`a slider has no name for those who cannot see it: ${slider.outerHTML}`);
    if (!book) {
      problems.push(`${name} belongs to no picture`);
      continue;
    }
    const start = slider.value, step = Number(slider.step) || 1;
    const different = new Set(), later = slider.closest("[data-drawn-later]"), [low, high] = [Number(slider.min), Number(slider.max)];
    for (let value = low; value <= high; value += later ? (high - low) / 2 : step) {
      slider.value = value;
      slider.dispatchEvent(new Event("input", {bubbles: true}));
      if (later) await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
      if (!(await Promise.all(all("img", book).map(decoded))).every(Boolean)) problems.push(`${name} shows no picture at ${value}`);
      different.add(shown(book));
    }
    if (different.size === 1) problems.push(`${name} does not change the picture`);
    slider.value = start;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
  }
  return problems;
}

function shown(book) {
  return JSON.stringify([all("img", book).map(picture => picture.src), all("canvas", book).map(canvas => canvas.toDataURL()),
                         all("svg", book).map(drawing => drawing.outerHTML)]);
}

// A window scrolls sideways if an element is wider than the window and no box around it scrolls by itself.
function sideways() {
  if (document.scrollingElement.scrollWidth <= innerWidth) return [];
  const free = element => !element || element === document.body
    || (getComputedStyle(element).overflowX === "visible" && free(element.parentElement));
  const out = all("body *").filter(element => element.getBoundingClientRect().right > innerWidth + 1 && free(element.parentElement));
  const widest = out.filter(element => !out.some(other => other !== element && element.contains(other)));
  return [`the page is ${document.scrollingElement.scrollWidth} pixels wide in a window of ${innerWidth}: ${widest.slice(0, 3).map(path).join(", ")}`];
}

// Code and printed text that its box cuts off. On a phone code may scroll.
function cut() {
  return all(".cell pre").filter(box => box.clientWidth && box.scrollWidth > box.clientWidth + 1)
    .map(box => `a line is cut off, ${box.scrollWidth} pixels in ${box.clientWidth}: ${short(box.textContent)}`);
}

// Code, printed text, tables and pictures stay in their boxes. A box may scroll if the keyboard can scroll it as well.
function boxes() {
  const problems = new Set();
  const scrolls = box => ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
  const reached = box => [box, ...all("a[href], button, input, summary, [tabindex]", box)].some(part => part.tabIndex >= 0 && visible(part));
  for (const part of all("pre, table, img, svg, canvas")) {
    if (!visible(part) || part.closest("mjx-container, .js-plotly-plot, button, .bd-sidebar")) continue;
    const name = `${path(part)} '${short(part.textContent || part.alt || part.ariaLabel || "")}'`;
    if (part.scrollWidth > part.clientWidth + 1 && part.matches("pre, table")) {
      if (scrolls(part) && !reached(part)) problems.add(`only a mouse can scroll ${name}`);
      if (["hidden", "clip"].includes(getComputedStyle(part).overflowX)) problems.add(`cut off: ${name}`);
    }
    for (let box = part.parentElement; box && box !== document.body; box = box.parentElement) {
      const over = part.getBoundingClientRect().right - box.getBoundingClientRect().right;
      if (over > 1 && scrolls(box) && !reached(box)) problems.add(`only a mouse can scroll the box of ${name}`);
      if (over > 1 && !scrolls(box)) problems.add(`${Math.round(over)} pixels of ${name} lie outside of ${path(box)}`);
      if (over > 1 || scrolls(box)) break;
    }
  }
  return [...problems];
}


// --- contrast -----------------------------------------------------------------

// WCAG 2.2, 1.4.3: a contrast of 4.5 between a text and its background, 3 where the letters are large.
// A formula counts as text: MathJax draws it in the text's colour.
function contrasts() {
  const found = new Map();
  for (const [element, text] of texts()) {
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const [ink, ground] = painted(element, colour(element instanceof SVGElement ? style.fill : style.color));
    const ratio = contrast(ink, ground);
    if (ratio >= needed - 0.005) continue;
    const key = `${hex(ink)} on ${hex(ground)}: contrast ${ratio.toFixed(2)}, needed is ${needed}`;
    if (!found.has(key)) found.set(key, {element, text, times: 0});
    found.get(key).times += 1;
  }
  return [...found].map(([key, {element, text, times}]) => `${key}: '${short(text)}' in ${path(element)}${times > 1 ? ` and ${times - 1} more` : ""}`);
}

function* texts() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (node.data.trim() && !element.closest("script, style, noscript, mjx-container, :disabled") && visible(element)) yield [element, node.data];
  }
  for (const formula of all("mjx-container")) if (visible(formula)) yield [formula, "a formula"];
}

function visible(element) {
  const box = element.getBoundingClientRect();  // one pixel or less: a text for screen readers
  return box.width > 1 && box.height > 1 && element.checkVisibility({opacityProperty: true, visibilityProperty: true});
}

// The colours of a text and of its background, through every layer from the text out to the page.
function painted(element, ink) {
  let ground = [0, 0, 0, 0];
  for (let layer = element; layer; layer = layer.parentElement) {
    const style = getComputedStyle(layer), paint = colour(style.backgroundColor), opacity = Number(style.opacity);
    [ink, ground] = [over(ink, paint), over(ground, paint)].map(([r, g, b, a]) => [r, g, b, a * opacity]);
  }
  return [ink, ground].map(pixel => over(pixel, [255, 255, 255, 1]));
}

function over([r, g, b, a], [R, G, B, A]) {
  const alpha = a + A * (1 - a), mix = (x, X) => alpha ? (x * a + X * A * (1 - a)) / alpha : 0;
  return [mix(r, R), mix(g, G), mix(b, B), alpha];
}

// Any CSS colour as red, green, blue up to 255 and alpha up to 1: the browser paints it.
const colours = new Map();
const pot = document.createElement("canvas").getContext("2d", {willReadFrequently: true});

function colour(text) {
  if (!colours.has(text)) {
    pot.clearRect(0, 0, 1, 1);
    pot.fillStyle = text;
    pot.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pot.getImageData(0, 0, 1, 1).data;
    colours.set(text, [r, g, b, a / 255]);
  }
  return colours.get(text);
}

function contrast(one, other) {
  const [dark, light] = [one, other].map(luminance).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(pixel) {
  const [r, g, b] = pixel.slice(0, 3).map(value => value / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const hex = pixel => "#" + pixel.slice(0, 3).map(value => Math.round(value).toString(16).padStart(2, "0")).join("");

return {settle, rest, undrawn, formulas, pictures, sliders, sideways, cut, boxes, contrasts};
})();
