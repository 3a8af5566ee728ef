// Keeps what this page loaded, so that it works without a network from then on. Browsers allow that on https and on
// addresses of this machine.

const worker = navigator.serviceWorker;
const registration = worker?.register("sw.js");

// Says in a sentence what was achieved. `more` are paths that the page may need later.
export async function keep(more) {
  if (!registration) return "It needs the network each time: this address is not secure (https).";
  try {
    await registration;
    const { active } = await worker.ready;
    const problem = await told(active, { keep: [...new Set([...loaded(), ...more.map(absolute)])] });
    if (problem) throw new Error(problem);
  } catch (error) {
    return `It could not be kept for use without a network: ${error.message}`;
  }
  return "From now on this page works without a network, too.";
}

// Calls `then` when the server has another version than the one that was kept, which is the one that is shown.
export function whenRenewed(then) {
  if (worker?.controller) worker.addEventListener("controllerchange", then);
}

function loaded() {
  const addresses = performance.getEntriesByType("resource").map(({ name }) => absolute(name));
  const here = [absolute("."), absolute(location.pathname)];
  return [...here, ...addresses].filter((address) => address.startsWith(absolute(".")));
}

function absolute(path) {
  const { origin, pathname } = new URL(path, document.baseURI);
  return origin + pathname;
}

function told(active, message) {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => {
      port1.close();
      resolve(data.problem);
    };
    active.postMessage(message, [port2]);
  });
}
