// The page: loads the model that the manifest names, classifies what it is shown, and tells how long that takes.

import { frames } from "./camera.js";
import { pixelsOf, resized, values } from "./image.js";
import { latency } from "./latency.js";
import { keep, whenRenewed } from "./offline.js";
import { probabilities } from "./probabilities.js";
import { verify } from "./verify.js";
import * as view from "./view.js";

const element = (id) => document.getElementById(id);

let bundle; // the manifest, its labels, the model of it that is used, and that model running
let stopCamera; // while the camera runs
let queue = Promise.resolve(); // the model does one thing at a time

// Queue something; where it fails the page says so and goes on.
function soon(task) {
  queue = queue.then(task).catch(view.fail);
  return queue;
}

// What was asked for by hand: the page says at once that it will come, for the model may be busy.
function soonShown(name, task) {
  view.say(`Opening ${name}.`);
  soon(task);
}

async function load() {
  const manifest = await (await fetched("manifest.json")).json();
  const labels = (await (await fetched(manifest.labels)).text()).trimEnd().split("\n");
  const [model] = manifest.models;
  view.showModel(manifest, model);
  const { open } = await import(`./${model.runtime}.js`);
  const bytes = new Uint8Array(await (await fetched(model.path)).arrayBuffer());
  const running = await open(bytes, model.inputs[0].shape, model.measured[0]?.threads ?? 1);
  view.showRunning(running);
  bundle = { manifest, labels, model, running };
}

async function classify(image) {
  const { manifest, labels, model, running } = bundle;
  const seen = resized(pixelsOf(image), manifest.preprocessing);
  view.showPicture(image, seen, manifest.preprocessing);
  const output = await running.run(values(seen, manifest.preprocessing, model.inputs[0].layout));
  view.showAnswers(labels, probabilities(output, model.answers));
}

async function classifyFile(blob, name) {
  stopCamera?.();
  let image;
  try {
    // As it lies in the file, upright: a colour profile plays no part in training either.
    image = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`This browser cannot read ${name} as an image; try a PNG or a JPEG.`);
  }
  await classify(image);
  image.close();
  view.say(`Shown: ${name}.`);
}

async function classifyExample() {
  const { example } = bundle.manifest;
  await classifyFile(await (await fetched(example)).blob(), example);
}

async function measure() {
  view.showMeasuring();
  const { model, running } = bundle;
  const zeros = new Float32Array(model.inputs[0].shape.reduce((product, size) => product * size));
  view.showLatency(await latency(() => running.run(zeros)), running);
}

async function check() {
  view.showVerification(await verify(bundle, fetched));
}

// Everything that was loaded, and what `check` will load.
async function keepAll() {
  const { inputs, outputs } = bundle.model.golden;
  view.showOffline(await keep([inputs.path, outputs.path, bundle.manifest.example]));
}

async function toggleCamera() {
  if (stopCamera) {
    stopCamera();
    return;
  }
  stopCamera = () => {}; // while the browser asks for permission
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    // A frame may wait for the model until the camera is off; then nothing is left of it.
    stopCamera = frames(stream, (video) => soon(() => video.srcObject && classify(video)), cameraEnded);
    view.showCamera(true);
  } catch (error) {
    cameraEnded();
    view.fail(error);
  }
}

function cameraEnded() {
  stopCamera = undefined;
  view.showCamera(false);
}

async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} did not arrive: ${response.status} ${response.statusText}`);
  return response;
}

element("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) soonShown(file.name, () => classifyFile(file, file.name));
  target.value = ""; // or the same file could not be chosen again
});
element("camera").addEventListener("click", toggleCamera);
element("example").addEventListener("click", () => soonShown(bundle.manifest.example, classifyExample));
element("measure").addEventListener("click", () => soon(measure));
element("verify").addEventListener("click", () => soon(check));

soon(async () => {
  await load();
  await classifyExample();
  view.enable();
  if (new URLSearchParams(location.search).has("verify")) await check();
  await keepAll();
  await measure();
});
whenRenewed(() =>
  soon(async () => {
    await keepAll();
    view.showOffline("A newer version is here: reload the page.");
  }),
);
