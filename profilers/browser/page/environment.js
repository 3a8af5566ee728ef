// What this browser tells of itself: facts that must agree before times are pooled, and the state of the moment.

export async function environment(backend, stepMs, shortestMs) {
  const microseconds = (ms) => Math.round(1000 * ms);
  return {
    user_agent: navigator.userAgent,
    device: await device(),
    cores: navigator.hardwareConcurrency,
    isolated: crossOriginIsolated,
    backend,
    clock_step_us: microseconds(stepMs),
    shortest_timing_us: microseconds(shortestMs),
  };
}

// The model of a phone, where the browser tells: Chromium does, on addresses that it trusts.
async function device() {
  const asked = ["model", "platformVersion", "architecture"];
  const hints = await navigator.userAgentData?.getHighEntropyValues(asked);
  const words = hints ? [hints.model, hints.platform, hints.platformVersion, hints.architecture] : [];
  return words.filter(Boolean).join(" ") || "not told";
}

export async function graphicsAdapter() {
  const adapter = await navigator.gpu?.requestAdapter();
  const { vendor, architecture, device: model, description } = adapter?.info ?? {};
  return [vendor, architecture, model, description].filter(Boolean).join(" ") || "not told";
}

export async function state() {
  const battery = await navigator.getBattery?.();
  return {
    page: document.visibilityState,
    battery: battery ? `${Math.round(100 * battery.level)} %, ${battery.charging ? "" : "not "}charging` : "not told",
    time: new Date().toISOString(),
  };
}

// Why this browser cannot measure what is asked, or nothing.
export function obstacle({ runtime, accelerator, threads, port }) {
  const untrusted =
    `this browser does not trust http://${location.host}. For Android over USB: run adb reverse tcp:${port} tcp:${port} and ` +
    `profile without --lan; or list the address in chrome://flags/#unsafely-treat-insecure-origin-as-secure`;
  if (accelerator !== "cpu" && !navigator.gpu)
    return isSecureContext ? "this browser has no WebGPU" : `WebGPU is not available: ${untrusted}`;
  if (accelerator === "cpu" && threads > 1 && !crossOriginIsolated)
    return `${threads} threads are not available: ${isSecureContext ? "the page is not isolated" : untrusted}`;
  if (accelerator === "cpu" && threads > navigator.hardwareConcurrency)
    return `${threads} threads asked, but this browser has ${navigator.hardwareConcurrency} cores`;
  return "";
}
