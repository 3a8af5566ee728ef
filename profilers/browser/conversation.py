"""One page at a time, told to open a runtime and then to time model after model; it may leave and come back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from profilers.browser.messages import Failed, Opened, PageEnvironment, Timed, parse_message, printable
from profilers.errors import DeviceError, DeviceLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

# How long something may be due without a sign of life from a page: to find the phone and open the address, to bring
# the page back; and longer than any burst takes.
PATIENCE_SECONDS = 900


class Conversation:
    """Lives in the loop of its server. What it owes to other threads are the futures that they wait for."""

    def __init__(self, opening: Mapping[str, object], notify: Callable[[str], None], address: str) -> None:
        self._opening = dict(opening)
        self._notify = notify
        self._address = address
        self._name = str(opening["target"])
        self._socket: web.WebSocketResponse | None = None
        self._environment: PageEnvironment | None = None  # of the first page: another must be equal
        self._ready = False  # the page that is there has opened its runtime
        self._opened: Future[Opened] = Future()
        self._due: tuple[Mapping[str, object], Future[Timed]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def expect(self) -> Future[Opened]:
        """The first page that has opened its runtime."""
        self._restart_timer()
        return self._opened

    async def give(self, job: Mapping[str, object], answer: Future[Timed]) -> None:
        """Have the page do a job, or the page that comes after it."""
        self._due = (job, answer)
        self._restart_timer()
        if self._ready:
            await self._send(job)

    async def hold(self, socket: web.WebSocketResponse) -> None:
        """Talk with a page until it leaves."""
        if self._socket is not None:
            await _refuse(socket, "Another tab is measuring. This one takes over when that one is closed.", again=True)
            return
        self._socket = socket
        try:
            await self._send({"do": "open"} | self._opening)
            async for message in socket:
                await self._hear(str(message.data))
        finally:
            self._socket, self._ready = None, False
            self._tell_of_leaving()

    async def end(self, why: str) -> None:
        """Tell the page that this was all, or why there will be no more."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._give_up(DeviceError(f"{self._name}: ended before the page answered"))
        if (page := self._socket) is not None:
            await self._send({"do": "end", "why": why})
            await page.close()

    async def _hear(self, text: str) -> None:
        self._restart_timer()
        assert self._socket is not None
        try:
            message = parse_message(text)
        except ValueError as error:
            await _refuse(self._socket, f"This is no answer of the page: {str(error).splitlines()[0]}", again=False)
            return
        if isinstance(message, Opened):
            await self._welcome(message)
        elif isinstance(message, Timed):
            self._take(message)
        elif isinstance(message, Failed):
            self._fail(message)
        else:
            self._notify(f"{self._name}: the page waits in the background; bring it to the front")

    async def _welcome(self, opened: Opened) -> None:
        assert self._socket is not None
        if self._environment not in {None, opened.environment}:
            why = "This browser differs from the one that began, and their times cannot stand in one table."
            await _refuse(self._socket, why, again=False)
            return
        self._ready = True
        if self._environment is None:
            self._environment = opened.environment
            self._opened.set_result(opened)
        else:
            self._notify(f"{self._name}: the page is back")
        if self._due is not None:
            await self._send(self._due[0])

    def _take(self, timed: Timed) -> None:
        if self._due is not None and self._due[0]["id"] == timed.id:
            (_, answer), self._due = self._due, None
            answer.set_result(timed)

    def _fail(self, failed: Failed) -> None:
        what = str(self._due[0]["name"]) if self._due is not None and failed.id else "the page"
        self._give_up(DeviceError(f"{self._name}: {what} failed: {printable(failed.error) or 'no reason given'}"))

    def _give_up(self, error: DeviceError) -> None:
        """Nothing will come of what is due."""
        if not self._opened.done():
            self._opened.set_exception(error)
        if self._due is not None:
            (_, answer), self._due = self._due, None
            answer.set_exception(error)

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._run_out_of_patience)

    def _run_out_of_patience(self) -> None:
        waited = f"for {PATIENCE_SECONDS // 60} minutes"
        if not self._opened.done():
            self._give_up(DeviceError(f"{self._name}: no browser has opened {self._address} {waited}"))
        else:
            self._give_up(DeviceLostError(f"{self._name}: nothing was heard of the page {waited}"))

    def _tell_of_leaving(self) -> None:
        if self._over or self._environment is None:
            return
        self._restart_timer()
        self._notify(f"{self._name}: the page is gone; to go on, open {self._address} again in the same browser")

    async def _send(self, message: Mapping[str, object]) -> None:
        assert self._socket is not None
        with suppress(ConnectionError):  # it has left, which `hold` is about to see
            await self._socket.send_json(message)


async def _refuse(socket: web.WebSocketResponse, why: str, *, again: bool) -> None:
    """Say why to a page, and whether it may ask again."""
    with suppress(ConnectionError):
        await socket.send_json({"do": "refuse", "why": why, "again": again})
    await socket.close()
