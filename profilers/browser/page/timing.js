// The timing loop of a browser: what `time_runs` in profilers/agent.py is to a process.

const FINEST_STEP_MS = 0.005; // what a browser gives at best
const STEPS_PER_TIME = 50; // so that the clock's step is at most 2 % of what is timed
const BREATH_EVERY_MS = 100; // so that the page stays alive in a long burst

// How far the clock moves at once, in ms: browsers coarsen it.
export function clockStep() {
  const begin = performance.now();
  let [last, step] = [begin, Infinity];
  for (let moves = 0; moves < 100 && last - begin < 300; ) {
    const now = performance.now();
    if (now > last) {
      step = Math.min(step, now - last);
      last = now;
      moves += 1;
    }
  }
  return Math.max(FINEST_STEP_MS, Math.round(step * 1000) / 1000);
}

// What is timed at once lasts this long or longer.
export function shortestTiming(step) {
  return STEPS_PER_TIME * step;
}

// Milliseconds of an inference, at least `runs` times and `minMs`, at most `maxRuns` times. Runs shorter than
// `shortestMs` are timed together, and each time is then their mean.
export async function timeRuns(invoke, runs, minMs, maxRuns, shortestMs) {
  const times = [];
  let [total, breath] = [0, performance.now()];
  while (times.length < maxRuns && (times.length < runs || total < minMs)) {
    if (performance.now() - breath > BREATH_EVERY_MS) {
      await breathe();
      breath = performance.now();
    }
    const start = performance.now();
    let [count, elapsed] = [0, 0];
    do {
      await invoke();
      count += 1;
      elapsed = performance.now() - start;
    } while (elapsed < shortestMs);
    total += elapsed;
    times.push(Math.round((1e6 * elapsed) / count) / 1e6); // to the nanosecond
  }
  return times;
}

// Let the browser do what has waited: a loop over promises never does. A timer would be throttled in time.
export function breathe() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
