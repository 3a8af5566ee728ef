// The page's side of the conversation with profilers/browser_server.py: it is told to open a runtime, then to time one
// model after another, then how it ended. Each message is one JSON object with "do"; each answer, one with "type".

import { environment, graphicsAdapter, obstacle, state } from "./environment.js";
import { noise } from "./noise.js";
import { breathe, clockStep, shortestTiming, timeRuns } from "./timing.js";
import { addBurst, models, say, showFacts, showResults, showTarget } from "./view.js";

const RETRY_MS = 2000;
const KEEP_OPEN = "Keep this page in the foreground; the result appears here.";

let runtime; // a promise: a library is loaded once, however often the connection is lost
let shortestMs;
let ended = false;
let work = Promise.resolve(); // one model at a time, also where a lost connection has it asked for twice
let hiddenSeen = 0;

function connect() {
  const address = new URL("socket", document.baseURI);
  address.protocol = "ws:";
  const socket = new WebSocket(address);
  let refused = false;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.do === "refuse") refused = refuse(message);
    else if (message.do === "end") end(message);
    else work = work.then(() => answer(socket, message));
  };
  socket.onclose = () => {
    if (ended) return;
    if (!refused) say("Connection lost", "The command on the computer has ended, or is out of reach. Trying again.", true);
    setTimeout(connect, RETRY_MS);
  };
}

// One model at a time.
async function answer(socket, message) {
  if (socket.readyState !== WebSocket.OPEN) return;
  const told = await { open, burst }[message.do](message, socket);
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(told));
}

async function open(request) {
  showTarget(request.target);
  say("Preparing", `Loading ${request.runtime_version}.`);
  try {
    const problem = obstacle(request);
    if (problem) throw new Error(problem);
    runtime ??= start(request);
    const { facts } = await runtime;
    showFacts(request, facts);
    say("Measuring", KEEP_OPEN);
    stayAwake();
    return { type: "opened", environment: facts, state: await state() };
  } catch (error) {
    return failed(0, error);
  }
}

async function start(request) {
  const library = await import(`./${request.runtime}.js`);
  const opened = await library.open(request);
  const adapter = request.accelerator === "cpu" ? "" : `, ${await graphicsAdapter()}`;
  const stepMs = clockStep();
  shortestMs = shortestTiming(stepMs);
  return { load: opened.load, facts: await environment(opened.backend + adapter, stepMs, shortestMs) };
}

async function burst(job, socket) {
  try {
    await foreground(socket);
    const { load } = await runtime;
    const model = await load(await bytesOf(job.model));
    try {
      await model.feed(job.inputs.map((input) => ({ ...input, array: noise(input.shape, input.dtype) })));
      await painted();
      return await timed(job, model);
    } finally {
      await model.close();
    }
  } catch (error) {
    return failed(job.id, error);
  }
}

// The counterpart of `burst` in profilers/agent.py.
async function timed(job, model) {
  const seen = hiddenSeen;
  const warmup = await timeRuns(model.invoke, job.warmup_runs, job.warmup_ms, job.max_runs, shortestMs);
  const times = await timeRuns(model.invoke, job.runs, job.burst_ms, job.max_runs, shortestMs);
  await breathe(); // or the page would not know yet that it was hidden
  const disturbed = hiddenSeen !== seen || document.hidden ? "the page went into the background" : "";
  if (!disturbed && !ended) addBurst(job, times);
  return { type: "timed", id: job.id, warmup_ms: warmup, times_ms: times, disturbed };
}

function refuse({ why, again }) {
  say("Not measured here", why, true);
  ended = !again;
  return true;
}

function end({ why }) {
  ended = true;
  if (why) say("Stopped", why, true);
  else say("Done", `${models()} models measured. The table is on the computer; this page can be closed.`);
  showResults();
}

function failed(id, error) {
  const told = String(error?.message ?? error);
  say("Stopped", told, true);
  return { type: "failed", id, error: told };
}

async function bytesOf(model) {
  const response = await fetch(`models/${model}`);
  if (!response.ok) throw new Error(`the model did not arrive: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

// A page in the background is throttled: nothing is timed there.
async function foreground(socket) {
  if (!document.hidden) return;
  socket.send(JSON.stringify({ type: "waiting" }));
  say("Waiting", "This page is in the background: bring it to the front.", true);
  await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
  say("Measuring", KEEP_OPEN);
}

// What the page shows is drawn before a model is timed, not meanwhile.
function painted() {
  return new Promise((resolve) => {
    if (document.hidden) resolve();
    else requestAnimationFrame(() => setTimeout(resolve));
  });
}

async function stayAwake() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch {
    // The screen may go dark; a burst that this disturbs does not count.
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenSeen += 1;
  else if (runtime && !ended) stayAwake();
});

connect();
