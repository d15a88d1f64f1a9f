// TIFF depth images, by the package geotiff. A classic script of its own: only a reader who opens
// such an image loads it.

import {fromArrayBuffer, registerTag} from "geotiff";

/** @typedef {import("./images.js").Picture} Picture */

// These are read with the directory: read later, they would have the wrong byte order in a file
// whose numbers begin with the highest byte.
for (const [tag, name, many] of /** @type {[number, string, boolean][]} */ ([
  [273, "StripOffsets", true],
  [279, "StripByteCounts", true],
  [324, "TileOffsets", true],
  [325, "TileByteCounts", true],
  [274, "Orientation", false],
  [317, "Predictor", false],
])) {
  registerTag(tag, name, "LONG", many, true);
}

/** Compressions without loss, by their numbers in the file, and undefined for none. */
const COMPRESSIONS = [undefined, 1, 5, 8, 32773, 32946, 50000];
/** Kinds of numbers: 1 for whole ones, 2 for whole ones with a sign, 3 for floats. */
const FLOAT = 3;
const BITS = {1: [16, 32], 2: [16, 32], [FLOAT]: [16, 32, 64]};

/**
 * Return the numbers of a TIFF file with one image of one channel.
 *
 * Errors: one sentence for a file that is damaged or no depth image.
 *
 * @param {string} name
 * @param {ArrayBuffer} content
 * @returns {Promise<Picture>}
 */
export async function tiff(name, content) {
  /** @type {import("geotiff").GeoTIFFImage} */
  let image;
  try {
    image = await (await fromArrayBuffer(content)).getImage(0);
  } catch {
    throw damaged(name);
  }
  const tag = (/** @type {any} */ name) => image.fileDirectory.getValue(name);
  const [width, height] = [image.getWidth(), image.getHeight()];
  const [bits, kind] = [image.getBitsPerSample(), image.getSampleFormat()];
  if (![width, height, bits, kind].every((value) => value > 0)) throw damaged(name);
  if (image.fileDirectory.nextIFDByteOffset) {
    throw new Error(`${name} has several pages; accepted is one depth image per file.`);
  }
  if (image.getSamplesPerPixel() !== 1 || tag("PhotometricInterpretation") > 1) {
    throw new Error(
      `${name} is a colour picture; accepted is a depth image with one channel of 16 or 32 bits.`,
    );
  }
  if (!(/** @type {Record<number, number[]>} */ (BITS)[kind]?.includes(bits))) {
    const what = bits < 16 ? ", too few for depth in mm" : "";
    throw new Error(`${name} has ${bits} bits per pixel${what}; accepted are 16 or 32 bits.`);
  }
  if ((tag("Orientation") ?? 1) !== 1) {
    throw new Error(`${name} is stored turned or mirrored; save it upright.`);
  }
  // The decoder computes differences of neighbours in the byte order of the computer.
  const differences = (tag("Predictor") ?? 1) !== 1;
  if (!COMPRESSIONS.includes(tag("Compression")) || (differences && !image.littleEndian)) {
    throw new Error(
      `${name} is compressed in a way that this page cannot read; save it uncompressed or with LZW.`,
    );
  }
  if (!(width * height <= MOST)) {
    throw new Error(`${name} has ${width} × ${height} pixels; accepted are at most 16 million.`);
  }
  try {
    const values = await image.readRasters({interleave: true});
    return {width, height, values, whole: kind !== FLOAT};
  } catch {
    throw damaged(name);
  }
}

const MOST = 2 ** 24;

/** @param {string} name */
const damaged = (name) => new Error(`${name} is a damaged TIFF file; export it again.`);

/** @type {any} */ (globalThis).handLive.tiff = tiff;
