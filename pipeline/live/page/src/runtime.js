// ONNX Runtime Web, bundled as a classic script: a browser loads no modules from file://.

import * as ort from "onnxruntime-web/wasm";

/** @type {any} */ (globalThis).handLive.ort = ort;
