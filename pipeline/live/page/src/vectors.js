// Vectors of three numbers.

/** @param {number[]} a @param {number[]} b */
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/** @param {number[]} a @param {number[]} b */
export const cross = (a, b) => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

/** @param {number[]} a @param {number[]} b */
export const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];

/** a + t b. @param {number[]} a @param {number[]} b @param {number} t */
export const plus = (a, b, t = 1) => [a[0] + t * b[0], a[1] + t * b[1], a[2] + t * b[2]];

/** @param {number[]} a */
export const length = (a) => Math.sqrt(dot(a, a));

/** @param {number[][]} points */
export const mean = (points) =>
  points.reduce((sum, point) => plus(sum, point, 1 / points.length), [0, 0, 0]);
