// The types that the modules share. The hand's description comes from pipeline/live/hand_model.py,
// a network's from pipeline/live/networks.py, the detector's from pipeline/live/detector.py.

/**
 * @typedef {{fx: number, fy: number, u0: number, v0: number, width: number, height: number}} Camera
 *
 * @typedef {object} Subject
 * @property {number[][]} palm (8, 4) centre and radius of the spheres of the palm, mm
 * @property {number[][]} bones (5, 3) lengths, mm
 * @property {number[][]} radii (5, 4) radii, mm
 *
 * @typedef {object} Model The synthetic hand as `hand_model.described` returns it.
 * @property {{name: string, low: number, high: number}[]} dof
 * @property {string[]} fingers
 * @property {string[]} palm
 * @property {Record<string, number[]>} poses
 * @property {string[]} gestures
 * @property {Subject[]} subjects
 * @property {number[]} fan
 * @property {number[]} twist
 * @property {number[]} outwards
 * @property {number} pronation
 * @property {number} inside
 * @property {number[][][]} derived
 * @property {number[][]} pairs
 * @property {number[][]} triples
 * @property {{name: string, parent: number, keypoint: number, colour: number[]}[]} joints
 * @property {Camera} camera
 * @property {number[]} distance
 * @property {Record<string, {title: string, unit: number, views: Camera[]}>} cameras
 *
 * @typedef {object} Solids Round cones [ax, ay, az, ra, bx, by, bz, rb] and triangles of 3 corners, mm.
 * @property {number[][]} cones
 * @property {number[][][]} triangles
 *
 * @typedef {object} View Where the cube of a crop is.
 * @property {Camera} camera
 * @property {number[]} centre of the cube, mm in the camera frame
 * @property {number} cube side, mm
 * @property {number} mirror -1 for a left hand, otherwise 1
 *
 * @typedef {object} Network A network as `networks.described` returns it.
 * @property {string} name
 * @property {string} title
 * @property {number} parameters
 * @property {number} cube
 * @property {number} errorMm
 * @property {"image" | "voxels"} kind
 * @property {number} size
 * @property {number} [background]
 * @property {number} [middle]
 * @property {number} [front]
 * @property {{per: "joint" | "module", text: string, offsets: string}} inside
 *
 * @typedef {{data: Float32Array, count: number, size: number}} Maps count × size × size numbers
 *
 * @typedef {object} Detector Constants of the hand detector as `detector.described` returns them.
 * @property {number} focal
 * @property {number} near
 * @property {number} far
 * @property {number} radius
 * @property {number} sure
 * @property {number} agree
 * @property {number} places
 * @property {number} cube
 * @property {number} size
 * @property {number} views
 * @property {number} aside
 * @property {number} passes
 * @property {number} noHand
 *
 * @typedef {object} Answer
 * @property {number[][]} joints (21, 3) mm in the camera frame
 * @property {Maps} inside
 * @property {Maps | null} offsets four maps for each joint; null if the network predicts none
 * @property {number} ms time of the network alone
 */

export {};
