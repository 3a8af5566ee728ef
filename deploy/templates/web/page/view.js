// What the page shows.

import { centre } from "./image.js";

const ANSWERS = 5;
const PICTURE_SIDE = 480;

const element = (id) => document.getElementById(id);
const controls = ["file", "camera", "example", "measure", "verify"];

export function say(text) {
  element("status").textContent = text;
  element("status").classList.remove("problem");
}

export function fail(error) {
  element("status").textContent = String(error?.message ?? error);
  element("status").classList.add("problem");
}

export function enable() {
  for (const id of controls) element(id).disabled = false;
  element("camera").hidden = !navigator.mediaDevices; // there is none on addresses that are not secure
}

export function showModel(manifest, model) {
  document.title = `${manifest.name} · image classifier`;
  element("name").textContent = manifest.name;
  const { height, width, channels } = manifest.preprocessing;
  element("resolution").textContent = `What the model sees: ${width}\u00a0×\u00a0${height}, ${channels === 1 ? "grey" : "RGB"}`;
  showPromise(model.measured[0]);
  const measured = model.accuracy ?? manifest.accuracy;
  const facts = {
    Accuracy: `${percent(measured.top1, 2)} of ${count(measured.images)} test images (95 % interval ${percent(measured.low_95, 2)} to ${percent(measured.high_95, 2)})`,
    Parameters: count(manifest.network.params),
    MACs: `${count(manifest.network.macs)} an image`,
    File: `${model.path}, ${count(model.size_bytes)} bytes, ${model.precision}`,
    "Why this one": model.reason,
    Data: manifest.data ? `${manifest.data.name}; licence: ${manifest.data.licence || "not stated"}` : "not stated",
  };
  element("facts").replaceChildren(...Object.entries(facts).map(([name, text]) => pair(name, text)));
}

export function showRunning({ runtime, threads }) {
  element("facts").append(pair("Runs on", `${runtime}, ${plural(threads, "thread")}`));
}

function showPromise(promise) {
  if (!promise) {
    element("promised").textContent = "–";
    element("promised-how").textContent = "Nothing was measured where this was packed.";
    return;
  }
  element("promised").textContent = milliseconds(promise.measured_ms);
  const { cpu, device: phone, user_agent: browser } = promise.device;
  const device = [cpu, phone, browser].filter((told) => told && told !== "not told").join(", ");
  const elsewhere = promise.target.startsWith("browser") ? "" : " That is no browser, where it takes longer.";
  element("promised-how").textContent =
    `Measured on ${promise.target}${device ? ` (${device})` : ""} with ${promise.runtime_version}, ` +
    `${plural(promise.threads, "thread")}; 90 % of the inferences within ${milliseconds(promise.p90_ms)}.${elsewhere}`;
}

export function showMeasuring() {
  element("here").textContent = "…";
  element("here-how").textContent = "Measuring: one second.";
}

export function showLatency({ medianMs, runs, stepMs }, { threads }) {
  element("here").textContent = milliseconds(medianMs);
  element("here-how").textContent =
    `Median of ${count(runs)} timings on this page, ${plural(threads, "thread")}, clock step ${Math.round(1000 * stepMs)} µs.`;
}

export function showPicture(image, seen, spec) {
  const [width, height] = [image.videoWidth ?? image.width, image.videoHeight ?? image.height];
  const part = centre(width, height, spec);
  const picture = element("picture");
  picture.width = PICTURE_SIDE;
  picture.height = Math.round((PICTURE_SIDE * spec.height) / spec.width);
  const context = picture.getContext("2d");
  context.imageSmoothingEnabled = part.width > spec.width;
  context.drawImage(image, part.left, part.top, part.width, part.height, 0, 0, picture.width, picture.height);
  element("seen").width = spec.width;
  element("seen").height = spec.height;
  element("seen").getContext("2d").putImageData(imageData(seen, spec), 0, 0);
}

function imageData(planes, { width, height }) {
  const data = new ImageData(width, height);
  const [red, green, blue] = planes.length === 1 ? [planes[0], planes[0], planes[0]] : planes;
  for (let i = 0; i < width * height; i += 1) data.data.set([red[i], green[i], blue[i], 255], 4 * i);
  return data;
}

export function showAnswers(labels, probabilities) {
  const order = Array.from(labels.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  const best = order.slice(0, ANSWERS);
  element("answers").replaceChildren(...best.map((i) => answer(labels[i], probabilities[i])));
  element("picture").setAttribute("aria-label", `Classified as ${labels[best[0]]}, ${percent(probabilities[best[0]], 1)}`);
}

function answer(label, probability) {
  const item = document.createElement("li");
  const line = Object.assign(document.createElement("div"), { className: "answer" });
  const number = Object.assign(document.createElement("span"), { className: "number", textContent: percent(probability, 1) });
  line.append(Object.assign(document.createElement("span"), { textContent: label }), number);
  const bar = Object.assign(document.createElement("div"), { className: "bar" });
  bar.style.setProperty("--part", `${100 * probability}%`);
  item.append(line, bar);
  return item;
}

// The answers of a camera change too often to be read out.
export function showCamera(running) {
  element("camera").setAttribute("aria-pressed", String(running));
  element("camera").textContent = running ? "Stop the camera" : "Use the camera";
  element("answers").setAttribute("aria-live", running ? "off" : "polite");
  say(running ? "The camera is on." : "The camera is off.");
}

export function showVerification(checks) {
  element("checks").replaceChildren(...checks.map(checked));
  const failed = checks.filter(({ ok }) => ok === false).length;
  const open = checks.filter(({ ok }) => ok === null).length;
  const verdict = element("verdict");
  verdict.textContent = failed
    ? `${failed} of ${checks.length} checks failed: this is not what was shipped.`
    : `${checks.length - open} checks passed${open ? `, ${open} could not be done here` : ""}.`;
  verdict.className = failed ? "problem" : "good";
}

function checked({ name, ok, detail }) {
  const mark = { true: "✓", false: "✗", null: "–" }[ok];
  const className = ok === false ? "problem" : "";
  return Object.assign(document.createElement("li"), { className, textContent: `${mark} ${name}: ${detail}` });
}

export function showOffline(text) {
  element("offline").textContent = text;
}

function pair(name, text) {
  const line = document.createElement("div");
  line.append(
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: text }),
  );
  return line;
}

function milliseconds(ms) {
  return `${ms < 100 ? ms.toPrecision(3) : Math.round(ms)} ms`;
}

function percent(fraction, decimals) {
  return `${(100 * fraction).toFixed(decimals)} %`;
}

function count(number) {
  return number.toLocaleString("en");
}

function plural(number, thing) {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}
