// Is this what was shipped? The files that are used against their checksums, the example's preprocessing and the
// model's outputs against the golden values.

import { pixelsOf, resized, values } from "./image.js";

const PREPROCESSING_TOLERANCE = 1e-4; // of a normalised pixel: one grey level is 4e-3 and more

// A list of { name, ok, detail }; ok is null for what this page cannot check.
export async function verify({ manifest, labels, model, running }, fetched) {
  const { inputs, outputs, tolerance, ran } = model.golden;
  const paths = [model.path, manifest.labels, manifest.example, inputs.path, outputs.path];
  const checks = [];
  for (const path of paths) checks.push(await sum(manifest, path, fetched));
  const images = await floats(inputs, fetched);
  const expected = await floats(outputs, fetched);
  checks.push(await preprocessing(manifest, model, images[0], fetched));
  for (const [i, image] of images.entries())
    checks.push(compared(`Golden image ${i + 1}`, await running.run(image), expected[i], tolerance));
  return checks;
}

async function sum(manifest, path, fetched) {
  const { sha256 } = manifest.files.find((file) => file.path === path);
  if (!crypto.subtle) return { name: path, ok: null, detail: "checksum not checked: this address is not secure (https)" };
  const digest = await crypto.subtle.digest("SHA-256", await (await fetched(path)).arrayBuffer());
  const found = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const ok = found === sha256;
  return { name: path, ok, detail: ok ? "sha256 as listed" : `sha256 ${found}, listed ${sha256}` };
}

async function preprocessing(manifest, model, expected, fetched) {
  const blob = await (await fetched(manifest.example)).blob();
  const image = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const spec = manifest.preprocessing;
  const found = values(resized(pixelsOf(image), spec), spec, model.inputs[0].layout);
  return compared("Preprocessing of the example", found, expected, PREPROCESSING_TOLERANCE);
}

function compared(name, found, expected, tolerance) {
  const difference = expected.reduce((worst, value, i) => Math.max(worst, Math.abs(found[i] - value)), 0);
  // Written so that a difference that is not a number fails too.
  const ok = found.length === expected.length && difference <= tolerance;
  return { name, ok, detail: `off by ${difference.toPrecision(2)} of ${tolerance.toPrecision(2)} allowed` };
}

// The values of a golden file, an array for each image.
async function floats({ path, shape }, fetched) {
  const view = new DataView(await (await fetched(path)).arrayBuffer());
  const size = shape.slice(1).reduce((product, count) => product * count);
  return Array.from({ length: shape[0] }, (_, image) =>
    Float32Array.from({ length: size }, (_, i) => view.getFloat32(4 * (image * size + i), true)),
  );
}
