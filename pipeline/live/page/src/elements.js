// Elements of the page from names, properties and children.

/**
 * Return a new element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties] attributes, and functions for events as `onclick`
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

let numbers = 0;

/** Return an identifier that no other element has. */
export const identifier = () => `hand-live-${++numbers}`;

/**
 * Return a labelled slider and a function that shows a value.
 *
 * @param {{label: string, low: number, high: number, step: number, unit: string}} about
 * @param {(value: number) => void} moved
 * @param {(value: number) => string} [words] how a value is written
 */
export function slider({label, low, high, step, unit}, moved, words) {
  const id = identifier();
  const write = words ?? ((value) => `${value} ${unit}`.replace(" °", "°"));
  const shown = element("span", {class: "hl-value", "aria-hidden": "true"});
  const input = element("input", {
    id,
    type: "range",
    min: low,
    max: high,
    step,
    oninput: () => {
      const value = Number(input.value);
      tell(value);
      moved(value);
    },
  });
  const tell = (/** @type {number} */ value) => {
    shown.textContent = write(value);
    input.setAttribute("aria-valuetext", write(value));
  };
  const row = element(
    "div",
    {class: "hl-slider"},
    element("label", {for: id}, label),
    input,
    shown,
  );
  const show = (/** @type {number} */ value) => {
    input.value = String(value);
    tell(value);
  };
  return {row, show};
}

/**
 * Return a labelled list and a function that shows a choice.
 *
 * @param {string} label
 * @param {[string, string][]} options value and words
 * @param {(value: string) => void} chosen
 */
export function choice(label, options, chosen) {
  const id = identifier();
  const list = element(
    "select",
    {id, onchange: () => chosen(list.value)},
    ...options.map(([value, words]) => element("option", {value}, words)),
  );
  const row = element("div", {class: "hl-choice"}, element("label", {for: id}, label), list);
  return {row, list, show: (/** @type {string} */ value) => (list.value = value)};
}

/**
 * Return a button.
 *
 * @param {string} words
 * @param {() => void} pressed
 * @param {Record<string, any>} [properties]
 */
export const button = (words, pressed, properties = {}) =>
  element("button", {type: "button", onclick: pressed, ...properties}, words);
