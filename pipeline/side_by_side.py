"""Several devices at work at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from pipeline.watcher import Watcher
from profilers.target import Target

Made = TypeVar("Made")


def side_by_side(
    targets: Sequence[Target], make: Callable[[Target, Watcher], Made], watch: Watcher
) -> dict[Target, Made]:
    """What `make` gives for each target: devices side by side, the targets of one device one after another.

    This machine comes by itself and last: driving other devices would disturb it. One that fails stops none of the
    others; then the first failure is raised. An interrupt ends each device's work at its next burst.
    """
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.device, []).append(target)
    if len(groups) == 1:
        return {target: make(target, watch) for target in targets}
    here = groups.pop("local", [])
    waiting = _all_at_once(list(groups.values()), make, watch)
    made = {target: make(target, watch) for target in here}
    for future in waiting:
        made |= future.result()
    return {target: made[target] for target in targets}


def _all_at_once(
    groups: Sequence[Sequence[Target]], make: Callable[[Target, Watcher], Made], watch: Watcher
) -> list[Future[Mapping[Target, Made]]]:
    """One thread a group, all of them done."""
    stopping = _Stoppable(watch, Event())

    def make_each(group: Sequence[Target]) -> Mapping[Target, Made]:
        return {target: make(target, stopping) for target in group}

    with ThreadPoolExecutor(max(1, len(groups)), thread_name_prefix="device") as pool:
        try:
            futures = [pool.submit(make_each, group) for group in groups]
            for future in futures:
                future.exception()  # waits
        except BaseException:
            stopping.stop.set()
            raise
    return futures


@dataclass(frozen=True, slots=True)
class _Stoppable:
    """A watcher that hands an interrupt of the main thread on to the thread that reports to it."""

    watch: Watcher
    stop: Event

    def progress(self, part: str, done: int, planned: int) -> None:
        self._go_on()
        self.watch.progress(part, done, planned)

    def note(self, text: str) -> None:
        self._go_on()
        self.watch.note(text)

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
