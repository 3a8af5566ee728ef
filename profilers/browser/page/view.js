// What the page shows. It changes between bursts only, and nothing on it moves.

const element = (id) => document.getElementById(id);
const bursts = new Map(); // model -> { name, medians }
let [round, inRound, modelsARound] = [-1, 0, 0];

export function say(title, note, problem = false) {
  element("title").textContent = title;
  element("note").textContent = note;
  element("note").classList.toggle("problem", problem);
  document.title = `${title} · millis`;
}

export function showTarget(target) {
  element("target").textContent = target;
}

export function showFacts({ runtime_version, threads, precision }, facts) {
  const shown = {
    Runtime: runtime_version,
    "Runs on": `${facts.backend}; ${threads} ${threads === 1 ? "thread" : "threads"}, ${precision}`,
    Device: `${facts.device === "not told" ? "" : `${facts.device}, `}${facts.cores} cores`,
    Browser: facts.user_agent,
    Clock: `steps of ${facts.clock_step_us} µs; shorter runs than ${facts.shortest_timing_us} µs are timed together`,
  };
  if (!facts.isolated) shown.Address = "not trusted by this browser: one thread, a coarse clock";
  element("device").hidden = false;
  element("facts").replaceChildren(...Object.entries(shown).map(([name, text]) => row("div", ["dt", name], ["dd", text])));
}

export function addBurst(job, times) {
  if (job.round !== round) {
    modelsARound = Math.max(modelsARound, inRound);
    [round, inRound] = [job.round, 0];
  }
  inRound += 1;
  if (!bursts.has(job.model)) bursts.set(job.model, { name: job.name, medians: [] });
  bursts.get(job.model).medians.push(median(times));
  showProgress(Math.max(job.rounds, round + 1));
}

export function showResults() {
  element("progress").hidden = true;
  element("results").hidden = bursts.size === 0;
  const shapes = new Map();
  for (const { name, medians } of bursts.values()) shapes.set(name, [...(shapes.get(name) ?? []), median(medians)]);
  const ranges = [...shapes].map(([name, all]) => [name, all.length, Math.min(...all), Math.max(...all)]);
  element("rows").replaceChildren(
    ...ranges
      .sort((a, b) => b[3] - a[3])
      .map(([name, count, fastest, slowest]) => row("tr", ["td", name], ["td", count], ["td", range(fastest, slowest)])),
  );
}

export function models() {
  return bursts.size;
}

function showProgress(rounds) {
  element("progress").hidden = false;
  const done = (number) => (number < round ? 100 : number > round ? 0 : modelsARound ? (100 * inRound) / modelsARound : 50);
  element("rounds").replaceChildren(
    ...Array.from({ length: rounds }, (_, number) => {
      const bar = document.createElement("li");
      bar.style.setProperty("--done", `${Math.min(100, done(number))}%`);
      return bar;
    }),
  );
  const of = modelsARound >= inRound ? ` of ${modelsARound}` : "";
  element("counts").textContent = `Round ${round + 1} of ${rounds} · burst ${inRound}${of}`;
}

function row(tag, ...cells) {
  const line = document.createElement(tag);
  for (const [name, text] of cells) line.append(Object.assign(document.createElement(name), { textContent: text }));
  return line;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Both with as many decimals as the larger one needs.
function range(fastest, slowest) {
  const decimals = Math.max(0, 3 - Math.max(-1, Math.floor(Math.log10(slowest))));
  const ends = new Set([fastest, slowest].map((value) => value.toFixed(decimals)));
  return [...ends].join(" – ");
}
