// LiteRT.js: `open` gives the model running, on as many threads as were measured where this page may have threads.

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor } from "@litertjs/core";

const WASM = new URL("../libraries/@litertjs/core/wasm/", import.meta.url).href;

export async function open(bytes, shape, threads) {
  const simd = await supportsFeature("relaxedSimd");
  const used = crossOriginIsolated && simd ? Math.min(threads, navigator.hardwareConcurrency) : 1;
  await loadLiteRt(WASM, { threads: used > 1 });
  const model = await loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: used } });
  return {
    runtime: `LiteRT.js, WebAssembly with ${simd ? "relaxed " : ""}SIMD`,
    threads: used,
    async run(values) {
      const input = new Tensor(values, shape);
      const [output] = await model.run(input);
      const result = await output.data();
      input.delete();
      output.delete();
      return result;
    },
  };
}
