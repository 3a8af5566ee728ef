// LiteRT.js: `open` gives what it runs on and `load`; a loaded model is fed, invoked and closed.

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor } from "@litertjs/core";

export async function open({ accelerator, threads, precision }) {
  const onGpu = accelerator === "gpu";
  const library = await loadLiteRt("libraries/@litertjs/core/wasm/", { threads: threads > 1 });
  if (onGpu && !library.getWebGpuDevice()) throw new Error("LiteRT.js got no WebGPU device");
  const simd = (await supportsFeature("relaxedSimd")) ? "relaxed SIMD" : "SIMD";
  const options = onGpu
    ? { accelerator: "webgpu", gpuOptions: { precision: precision === "fp16" ? "fp16" : "fp32" } }
    : { accelerator: "wasm", cpuOptions: { numThreads: threads } };
  return { backend: onGpu ? "WebGPU" : `WASM, ${simd}`, load: (bytes) => load(bytes, options) };
}

async function load(bytes, options) {
  const model = await loadAndCompile(bytes, options);
  try {
    // LiteRT.js takes up on the CPU, with no more than a warning, what the GPU cannot compute.
    if (options.accelerator === "webgpu" && !(model.options.accelerator === "webgpu" && model.isFullyAccelerated))
      throw new Error("not fully on WebGPU: LiteRT.js would run some of it, or all, on the CPU");
  } catch (error) {
    model.delete();
    throw error;
  }
  let fed = [];
  return {
    async feed(inputs) {
      fed = inputs.map(({ array, shape }) => new Tensor(array, shape));
      if (options.accelerator === "webgpu") fed = await Promise.all(fed.map((tensor) => tensor.moveTo("webgpu")));
    },
    // Until the result is there: on WebGPU that is when it has been read back.
    async invoke() {
      for (const output of await model.run(fed)) {
        if (options.accelerator === "webgpu") await output.data();
        output.delete();
      }
    },
    close() {
      fed.forEach((tensor) => tensor.delete());
      model.delete();
    },
  };
}
