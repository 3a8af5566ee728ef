// ONNX Runtime Web: `open` gives what it runs on and `load`; a loaded model is fed, invoked and closed.

const FOLDER = new URL("libraries/onnxruntime-web/dist/", document.baseURI).href;

export async function open({ accelerator, threads }) {
  const onGpu = accelerator === "webgpu";
  const ort = await import(`${FOLDER}${onGpu ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs"}`);
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = FOLDER;
  ort.env.wasm.numThreads = threads;
  return { backend: onGpu ? "WebGPU" : "WASM, SIMD", load: (bytes) => load(ort, bytes, onGpu, threads) };
}

async function load(ort, bytes, onGpu, threads) {
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: [onGpu ? "webgpu" : "wasm"],
    extra: onGpu ? { session: { disable_cpu_ep_fallback: "1" } } : {},
  });
  if (ort.env.wasm.numThreads !== threads)
    throw new Error(`ONNX Runtime Web chose ${ort.env.wasm.numThreads} threads, not ${threads}`);
  let feeds;
  return {
    async feed(inputs) {
      feeds = {};
      for (const [place, { array, shape, dtype }] of inputs.entries()) {
        const tensor = new ort.Tensor(dtype, array, shape);
        feeds[session.inputNames[place]] = onGpu ? await onDevice(ort, tensor) : tensor;
      }
    },
    // Outputs arrive in the memory of the page, also those of WebGPU: the result is there.
    async invoke() {
      await session.run(feeds);
    },
    async close() {
      Object.values(feeds ?? {}).forEach((tensor) => tensor.dispose());
      await session.release();
    },
  };
}

// The tensor on the GPU, so that an operation pays no upload that it would not pay inside a network.
async function onDevice(ort, tensor) {
  const device = await ort.env.webgpu.device;
  const bytes = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
  const buffer = device.createBuffer({
    size: Math.ceil(bytes.byteLength / 16) * 16,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    mappedAtCreation: true,
  });
  new Uint8Array(buffer.getMappedRange()).set(bytes);
  buffer.unmap();
  const { type: dataType, dims } = tensor;
  return ort.Tensor.fromGpuBuffer(buffer, { dataType, dims, dispose: () => buffer.destroy() });
}
