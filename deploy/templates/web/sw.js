// Answers for the network with what the page had it keep. The line above names the version of this bundle: with another
// version the browser sees another script, whose page then keeps its files anew.

const NAME = `millis ${registration.scope} `; // other pages of this origin have caches of their own
const CACHE = NAME + VERSION;

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});
addEventListener("message", (event) => {
  const [port] = event.ports;
  event.waitUntil(
    keep(event.data.keep).then(
      () => port.postMessage({}),
      (error) => port.postMessage({ problem: error.message }),
    ),
  );
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(request, { ignoreSearch: true })) ?? fetch(request);
}

async function keep(addresses) {
  const cache = await caches.open(CACHE);
  for (const address of addresses)
    if (!(await cache.match(address))) await cache.add(new Request(address, { cache: "no-cache" }));
  for (const name of await caches.keys())
    if (name.startsWith(NAME) && name !== CACHE) await caches.delete(name); // of an older version
}
