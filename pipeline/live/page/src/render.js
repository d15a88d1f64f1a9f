// Depth images of round cones and triangles, by the equations of handpose_lib/synth/scene/raycast.py:
// a ray is z (x, y, 1), and the nearness q = 1 / z of the first surface is wanted in each pixel.

import {cross, dot, minus, plus} from "./vectors.js";

/** @typedef {import("./types.js").Camera} Camera */
/** @typedef {import("./types.js").Solids} Solids */

/**
 * Return the depth image of solids, row by row, in mm; 0 where a ray meets nothing.
 *
 * @param {Solids[]} parts
 * @param {Camera} camera
 * @returns {Float32Array}
 */
export function depth(parts, camera) {
  const nearest = new Float64Array(camera.width * camera.height);
  for (const {cones, triangles} of parts) {
    /** @type {Set<string>} */
    const drawn = new Set();
    for (const cone of cones) {
      const ends = [cone.slice(0, 4), cone.slice(4)];
      for (const end of ends) {
        const key = end.join();
        if (drawn.has(key)) continue;
        drawn.add(key);
        drawSphere(nearest, camera, end);
      }
      drawBody(nearest, camera, ends[0], ends[1]);
    }
    for (const triangle of triangles) drawTriangle(nearest, camera, triangle);
  }
  return Float32Array.from(nearest, (q) => (q > 0 ? 1 / q : 0));
}

/**
 * Add a plane n.X = n.point behind what an image shows, in place.
 *
 * @param {Float32Array} image
 * @param {Camera} camera
 * @param {number[]} normal
 * @param {number[]} point
 */
export function addPlane(image, camera, normal, point) {
  const far = dot(normal, point);
  for (let v = 0, i = 0; v < camera.height; v++) {
    for (let u = 0; u < camera.width; u++, i++) {
      const slope =
        (normal[0] * (u - camera.u0)) / camera.fx +
        (normal[1] * (v - camera.v0)) / camera.fy +
        normal[2];
      const z = far / slope;
      if (z > 0 && Number.isFinite(z) && (image[i] === 0 || z < image[i])) image[i] = z;
    }
  }
}

/**
 * Call `visit` for each row of pixels of a rectangle of rays, clipped to the image.
 *
 * @param {Camera} camera
 * @param {number[]} extent lowest and highest x / z, lowest and highest y / z
 * @param {(index: number, x: number, y: number, count: number) => void} visit index and ray of the
 *   row's first pixel, and the number of its pixels
 */
function rows(camera, [left, right, top, bottom], visit) {
  const u0 = Math.max(0, Math.floor(left * camera.fx + camera.u0));
  const u1 = Math.min(camera.width - 1, Math.ceil(right * camera.fx + camera.u0));
  const v0 = Math.max(0, Math.floor(top * camera.fy + camera.v0));
  const v1 = Math.min(camera.height - 1, Math.ceil(bottom * camera.fy + camera.v0));
  if (!(u1 >= u0)) return;
  for (let v = v0; v <= v1; v++) {
    visit(
      v * camera.width + u0,
      (u0 - camera.u0) / camera.fx,
      (v - camera.v0) / camera.fy,
      u1 - u0 + 1,
    );
  }
}

const EVERYWHERE = [-Infinity, Infinity, -Infinity, Infinity];

/**
 * Return the rays that may meet a sphere; null if it is behind the camera.
 *
 * @param {number[]} sphere
 */
function sphereExtent([x, y, z, r]) {
  if (z + r <= 0) return null;
  if (z <= r) return EVERYWHERE;
  const room = z * z - r * r;
  return [x, y].flatMap((c) => {
    const spread = r * Math.sqrt(Math.max(0, c * c + room));
    return [(c * z - spread) / room, (c * z + spread) / room];
  });
}

/** @param {Float64Array} nearest @param {Camera} camera @param {number[]} sphere */
function drawSphere(nearest, camera, sphere) {
  const k0 = dot(sphere, sphere) - sphere[3] * sphere[3];
  const extent = sphereExtent(sphere);
  if (k0 <= 0 || !extent) return;
  const [px, py, pz] = sphere.map((value) => value / k0);
  const step = 1 / camera.fx;
  rows(camera, extent, (first, x0, y, count) => {
    for (let i = first, x = x0; i < first + count; i++, x += step) {
      const linear = px * x + py * y + pz;
      const h = linear * linear - (x * x + y * y + 1) / k0;
      if (h < 0) continue;
      const q = linear + Math.sqrt(h);
      if (q > nearest[i]) nearest[i] = q;
    }
  });
}

/**
 * Draw the lateral surface of a round cone, Eq. 1 to 3.
 *
 * @param {Float64Array} nearest
 * @param {Camera} camera
 * @param {number[]} a
 * @param {number[]} b
 */
function drawBody(nearest, camera, a, b) {
  const [ra, rb] = [a[3], b[3]];
  const axis = minus(b, a);
  const size = Math.sqrt(dot(axis, axis));
  // Where one sphere swallows the other there is no lateral surface.
  if (Math.abs(ra - rb) >= size * 0.99995 || Math.max(a[2] + ra, b[2] + rb) <= 0) return;
  const sine = (ra - rb) / size;
  const cosine = Math.sqrt(1 - sine * sine);
  const m = plus(a, axis, 0.5);
  const n = axis.map((value) => value / size / cosine);
  const r = (ra + rb) / 2;
  const half = (size * cosine) / 2;
  const e = dot(n, m) + (r * sine) / cosine;
  const k0 = dot(m, m) - e * e - r * r;
  if (Math.abs(k0) <= 1e-9) return;
  const over = 1 / k0;
  const sign = Math.sign(over);
  const [px, py, pz] = plus(m, n, -e).map((value) => value * over);
  const ends = [sphereExtent(a), sphereExtent(b)];
  const [one, two] = ends;
  const extent =
    one && two && a[2] > ra && b[2] > rb
      ? [0, 1, 2, 3].map((i) => (i % 2 ? Math.max : Math.min)(one[i], two[i]))
      : EVERYWHERE;
  const step = 1 / camera.fx;
  rows(camera, extent, (first, x0, y, count) => {
    for (let i = first, x = x0; i < first + count; i++, x += step) {
      const linear = px * x + py * y + pz;
      const along = n[0] * x + n[1] * y + n[2];
      const h = linear * linear - over * (x * x + y * y + 1 - along * along);
      if (h < 0) continue;
      const q = linear + sign * Math.sqrt(h);
      if (q > nearest[i] && Math.abs(along - q * e) <= q * half) nearest[i] = q;
    }
  });
}

/** @param {Float64Array} nearest @param {Camera} camera @param {number[][]} corners */
function drawTriangle(nearest, camera, corners) {
  const normal = cross(minus(corners[1], corners[0]), minus(corners[2], corners[0]));
  const volume = dot(normal, corners[0]);
  if (volume === 0 || corners.every((corner) => corner[2] <= 0)) return;
  // A ray is inside where it passes all three edges on the same side.
  const sign = Math.sign(volume);
  const edges = corners.map((corner, i) =>
    cross(corner, minus(corners[(i + 1) % 3], corner)).map((value) => sign * value),
  );
  const xs = corners.map((corner) => corner[0] / corner[2]);
  const ys = corners.map((corner) => corner[1] / corner[2]);
  const extent = corners.every((corner) => corner[2] > 0)
    ? [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)]
    : EVERYWHERE;
  const step = 1 / camera.fx;
  rows(camera, extent, (first, x0, y, count) => {
    for (let i = first, x = x0; i < first + count; i++, x += step) {
      if (edges.some((edge) => edge[0] * x + edge[1] * y + edge[2] < 0)) continue;
      const q = (normal[0] * x + normal[1] * y + normal[2]) / volume;
      if (q > nearest[i]) nearest[i] = q;
    }
  });
}
