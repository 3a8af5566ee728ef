from __future__ import annotations

import signal
from threading import Barrier, current_thread, main_thread

import pytest

from pipeline.side_by_side import side_by_side
from pipeline.watcher import Watcher
from profilers.errors import DeviceLostError
from profilers.target import Target

HERE = Target(runtime="litert")
ONE, OTHER = Target(device="adb:ONE", runtime="litert"), Target(device="adb:OTHER", runtime="litert")
ONE_AGAIN = Target(device="adb:ONE", runtime="litert", threads=2)


class Notes:
    def __init__(self) -> None:
        self.told: list[str] = []

    def progress(self, part: str, done: int, planned: int) -> None:
        self.told.append(part)

    def note(self, text: str) -> None:
        self.told.append(text)


def test_two_phones_are_measured_at_once() -> None:
    meeting = Barrier(2)

    def meet(target: Target, _watch: Watcher) -> str:
        meeting.wait(timeout=10)  # passes only when both are there
        return target.device

    assert side_by_side([ONE, OTHER], meet, Notes()) == {ONE: "adb:ONE", OTHER: "adb:OTHER"}


def test_the_targets_of_one_phone_come_one_after_another_and_this_machine_last_by_itself() -> None:
    order: list[Target] = []
    threads = {}

    def note(target: Target, _watch: Watcher) -> None:
        order.append(target)
        threads[target] = current_thread()

    side_by_side([HERE, ONE, ONE_AGAIN, OTHER], note, Notes())
    assert order[-1] == HERE
    assert order.index(ONE) < order.index(ONE_AGAIN)
    assert threads[ONE] is threads[ONE_AGAIN]
    assert threads[HERE] is main_thread()


def test_one_device_needs_no_thread() -> None:
    assert side_by_side([ONE], lambda target, watch: current_thread(), Notes()) == {ONE: main_thread()}


def test_a_lost_phone_stops_no_other_and_is_told_at_the_end() -> None:
    made: list[Target] = []

    def lose_one(target: Target, _watch: Watcher) -> None:
        if target == ONE:
            raise DeviceLostError("unplugged")
        made.append(target)

    with pytest.raises(DeviceLostError, match="unplugged"):
        side_by_side([ONE, OTHER, HERE], lose_one, Notes())
    assert made == [OTHER, HERE]


def test_an_interrupt_ends_the_others_at_their_next_burst() -> None:
    told = Notes()

    def measure(target: Target, watch: Watcher) -> None:
        if target == ONE:
            signal.pthread_kill(main_thread().ident or 0, signal.SIGINT)  # what Ctrl-C is
        while True:
            watch.progress("bursts", 1, 2)

    with pytest.raises(KeyboardInterrupt):
        side_by_side([ONE, OTHER], measure, told)
    assert set(told.told) <= {"bursts"}
