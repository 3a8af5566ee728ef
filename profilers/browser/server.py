"""Serves the page that measures a browser: to one browser, that has an address nobody can guess."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from profilers.browser.conversation import Conversation
from profilers.browser.libraries import PAGE, library_files
from profilers.browser.messages import MESSAGE_BYTES, Opened, Timed
from profilers.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

    from profilers.artifact import Artifact

T = TypeVar("T")

PORT = 6455  # or any other where it is taken: a browser told to trust this address need not be told again
HEARTBEAT_SECONDS = 20.0  # a page that answers no ping for half as long is gone
_LET_IN_SECONDS = 0.1  # longer than a connection takes from its arrival until it is known
_COOKIE = "millis"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}
_FOREVER = "private, max-age=31536000, immutable"
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # with the next one: threads, and the finer clock
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address is a secret
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class PageServer:
    """An HTTP server with a thread and a loop of its own. Its methods are for the thread that made it."""

    def __init__(self, libraries: Path, opening: Mapping[str, object], notify: Callable[[str], None], *, lan: bool):
        self._listener = _listen(lan_address() if lan else "127.0.0.1")
        host, self.port = self._listener.getsockname()
        self._token = secrets.token_urlsafe(16)
        self.address = f"http://{host if lan else 'localhost'}:{self.port}/{self._token}/"
        self._hosts = {host} if lan else {host, "localhost"}
        self._files = {name: libraries / name for name in library_files()}
        self._models: dict[str, Path] = {}
        self._browser: str | None = None  # the cookie of the one that talks with us
        self._notify = notify
        self._notes: SimpleQueue[str | None] = SimpleQueue()  # None: what was waited for is there
        self._conversation = Conversation({**opening, "port": self.port}, self._notes.put, self.address)
        self._runner = web.AppRunner(self._application(), access_log=None, handle_signals=False, shutdown_timeout=1)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="millis page", daemon=True)
        self._thread.start()
        self._run(self._start())

    def wait_for_page(self) -> Opened:
        """The first page that opened its runtime; raises DeviceError where it cannot, or none comes."""
        return self._wait(self._run(self._expect()))

    def ask(self, job: Mapping[str, object], artifact: Artifact) -> Timed:
        """Have the page time a model. Raises DeviceError where it fails, DeviceLostError where it stays away."""
        self._models[artifact.sha256] = artifact.path
        answer: Future[Timed] = Future()
        self._run(self._conversation.give(job, answer))
        return self._wait(answer)

    def close(self, why: str) -> None:
        """Tell the page that this was all, or why there is no more, and stop serving."""
        self._run(self._stop(why))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, answer: Future[T]) -> T:
        """The answer. What there is to tell meanwhile is told by the thread that waits."""
        answer.add_done_callback(lambda _: self._notes.put(None))
        while (note := self._notes.get()) is not None:
            self._notify(note)
        return answer.result()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _start(self) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()

    async def _stop(self, why: str) -> None:
        await self._conversation.end(why)
        # Whoever came at this very moment is let in, nobody after that: a closed server would forget the connection.
        self._loop.remove_reader(self._listener)
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=_LET_IN_SECONDS)
        await self._runner.cleanup()

    async def _expect(self) -> Future[Opened]:
        return self._conversation.expect()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard], client_max_size=0)
        application.on_response_prepare.append(_add_headers)
        application.add_routes(
            [
                web.get("/{token}/", self._index),
                web.get("/{token}/socket", self._talk),
                web.get("/{token}/models/{sha256}", self._model),
                web.get("/{token}/libraries/{file:.+}", self._library),
                web.get("/{token}/{file}", self._file),
            ]
        )
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let nobody in who has not the token, nor a second browser that has it."""
        token = request.path.split("/")[1]
        if not hmac.compare_digest(token.encode(), self._token.encode()) or request.url.host not in self._hosts:
            raise web.HTTPForbidden(text="millis: this is not the address that was printed")
        if self._browser is not None and not self._is_known(request):
            told = "this address was opened in another browser, and works in that one only; run the command again"
            raise web.HTTPForbidden(text=f"millis: {told} for a new one")
        return await handler(request)

    def _is_known(self, request: web.Request) -> bool:
        return hmac.compare_digest(request.cookies.get(_COOKIE, "").encode(), (self._browser or "").encode())

    async def _index(self, request: web.Request) -> web.StreamResponse:
        response = _file_response(PAGE / "index.html", cache="no-store")
        if _COOKIE not in request.cookies:
            path = f"/{self._token}/"
            response.set_cookie(_COOKIE, secrets.token_urlsafe(16), path=path, httponly=True, samesite="Strict")
        return response

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if not name.endswith((".js", ".css")) or not (PAGE / name).is_file():
            raise web.HTTPNotFound
        return _file_response(PAGE / name, cache="no-store")

    async def _library(self, request: web.Request) -> web.StreamResponse:
        return _known_file(self._files, request.match_info["file"])

    async def _model(self, request: web.Request) -> web.StreamResponse:
        return _known_file(self._models, request.match_info["sha256"])

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        """The page's connection. The first one decides whose address this is: scripts run there, as no preview does."""
        cookie = request.cookies.get(_COOKIE)
        if not cookie or request.headers.get("Origin") != f"http://{request.host}":
            raise web.HTTPForbidden(text="millis: this is for the page only")
        self._browser = self._browser or cookie
        page = web.WebSocketResponse(timeout=2, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MESSAGE_BYTES)
        await page.prepare(request)
        await self._conversation.hold(page)
        return page


def lan_address() -> str:
    """This machine's address in its local network; raises DeviceError without one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            raise DeviceError("this machine is in no network that a phone could reach it by") from None
        return str(probe.getsockname()[0])


def _listen(host: str) -> socket.socket:
    try:
        return socket.create_server((host, PORT))
    except OSError:
        return socket.create_server((host, 0))


def _known_file(files: Mapping[str, Path], name: str) -> web.FileResponse:
    if name not in files:
        raise web.HTTPNotFound
    return _file_response(files[name], cache=_FOREVER)


def _file_response(path: Path, *, cache: str) -> web.FileResponse:
    kind = _TYPES.get(path.suffix, "application/octet-stream")
    return web.FileResponse(path, headers={"Content-Type": kind, "Cache-Control": cache})


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
