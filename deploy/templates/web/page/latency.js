// How long an inference takes in this browser, from the pixels in memory to the answer in memory.

import { breathe, clockStep, shortestTiming, timeRuns } from "./timing.js";

const WARM_UP = { runs: 10, ms: 200 };
const MEASUREMENT = { runs: 20, ms: 1000 };
const MOST_RUNS = 100_000;

export async function latency(run) {
  const stepMs = clockStep();
  for (;;) {
    await visible();
    let hidden = false;
    const note = () => {
      hidden = true;
    };
    document.addEventListener("visibilitychange", note);
    await timed(run, WARM_UP, stepMs);
    const times = await timed(run, MEASUREMENT, stepMs);
    await breathe(); // or the page would not know yet that it was hidden
    document.removeEventListener("visibilitychange", note);
    if (!hidden) return { medianMs: median(times), runs: times.length, stepMs };
  }
}

function timed(run, { runs, ms }, stepMs) {
  return timeRuns(run, runs, ms, MOST_RUNS, shortestTiming(stepMs));
}

// A page in the background is throttled: nothing is timed there.
function visible() {
  if (!document.hidden) return undefined;
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
