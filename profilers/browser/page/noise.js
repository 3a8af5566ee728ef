// Random data, the same on every call: zeros and denormals take other times than numbers do.

const ARRAYS = {
  float32: (size, random) => Float32Array.from({ length: size }, () => normal(random)),
  float16: (size, random) => halves(Uint16Array.from({ length: size }, () => halfBits(random))),
  int8: (size, random) => Int8Array.from({ length: size }, () => Math.floor(256 * random()) - 128),
  uint8: (size, random) => Uint8Array.from({ length: size }, () => Math.floor(256 * random())),
  // Wider integers are 0 or 1: in range for an index, an identifier or a mask.
  bool: (size, random) => Uint8Array.from({ length: size }, () => Math.round(random())),
  float64: (size, random) => Float64Array.from({ length: size }, () => normal(random)),
  int16: (size, random) => Int16Array.from({ length: size }, () => Math.round(random())),
  int32: (size, random) => Int32Array.from({ length: size }, () => Math.round(random())),
  int64: (size, random) => BigInt64Array.from({ length: size }, () => BigInt(Math.round(random()))),
  uint16: (size, random) => Uint16Array.from({ length: size }, () => Math.round(random())),
  uint32: (size, random) => Uint32Array.from({ length: size }, () => Math.round(random())),
  uint64: (size, random) => BigUint64Array.from({ length: size }, () => BigInt(Math.round(random()))),
};

export function noise(shape, dtype) {
  if (!(dtype in ARRAYS)) throw new Error(`no random data of type ${dtype}`);
  return ARRAYS[dtype](shape.reduce((product, size) => product * size, 1), generator(1));
}

// mulberry32: uniform in [0, 1)
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// A half-precision number of either sign between 1/4 and 2, as its bits.
function halfBits(random) {
  return (random() < 0.5 ? 0x8000 : 0) | (0x3400 + Math.floor(0x0c00 * random()));
}

function halves(bits) {
  return "Float16Array" in globalThis ? new Float16Array(bits.buffer) : bits;
}
