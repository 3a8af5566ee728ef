// ONNX Runtime Web: `open` gives the model running, on as many threads as were measured where this page may have threads.

const FOLDER = new URL("../libraries/onnxruntime-web/dist/", import.meta.url).href;

export async function open(bytes, shape, threads) {
  const ort = await import(`${FOLDER}ort.wasm.min.mjs`);
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = FOLDER;
  ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(threads, navigator.hardwareConcurrency) : 1;
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const [given, taken] = [session.inputNames[0], session.outputNames[0]];
  return {
    runtime: "ONNX Runtime Web, WebAssembly with SIMD",
    threads: ort.env.wasm.numThreads,
    async run(values) {
      const results = await session.run({ [given]: new ort.Tensor("float32", values, shape) });
      return results[taken].data;
    },
  };
}
