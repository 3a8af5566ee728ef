"""The choice of a precision: by what was measured, and with a reason."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import choice
from deploy.comparison import SAME
from deploy.manifest import Accuracy, Measured
from deploy.parity import Parity
from deploy.variant import Candidate, Variant, Verdict
from profilers.artifact import Artifact
from profilers.precision import Precision
from profilers.target import Target

IMAGES = 1000
NAMES: tuple[Precision, ...] = ("fp32", "fp16", "int8")
DEVICES = ("local:litert", "adb:PHONE:litert")
BOARDS = ("ssh:a:litert", "ssh:b:litert")


def measured(ms: float, precision: Precision, target: str = "local:litert") -> Measured:
    return Measured(
        target=str(replace(Target.parse(target), precision=precision)),
        runtime="litert",
        runtime_version="2.3",
        threads=1,
        precision=precision,
        budget_ms=1.0,
        predicted_ms=None,
        measured_ms=ms,
        p90_ms=ms * 1.1,
        spread=0.01,
        samples=100,
        protocol="quick",
        device={},
    )


def candidate(
    precision: Precision,
    *ms: float,
    correct: int | None = 900,
    size: int = 100,
    difference: float = 0.1,
    on: Sequence[str] = DEVICES,
) -> Candidate:
    """A file of that precision, `ms` on as many devices, right on `correct` of 1,000 validation images."""
    parity = Parity(images=8, max_abs_difference=difference, max_abs_logit=9, tolerance=None, top1_agreement=1)
    variant = Variant(
        runtime="litert",
        precision=precision,
        artifact=Artifact(path=Path("m"), format="tflite", inputs=(), outputs=(), size_bytes=size, sha256=""),
        answers="probabilities",
        parity=parity,
        validation=None if correct is None else Accuracy.of(correct=correct, images=IMAGES),
    )
    return Candidate(
        variant=variant, measured=tuple(measured(each, precision, d) for each, d in zip(ms, on, strict=False))
    )


def choose(
    candidates: Sequence[Candidate],
    *,
    max_accuracy_drop: float = 0.5,
    on: Sequence[str] = DEVICES,
    among: Collection[Precision] = NAMES,
    alone: Sequence[str] = (),
) -> tuple[Verdict, ...]:
    """On these devices, those that are `alone` each a group."""
    return choice.choose(
        candidates,
        on=[Target.parse(each) for each in on],
        max_accuracy_drop=max_accuracy_drop,
        among=among,
        group_of=lambda measured: next((each for each in alone if measured.target.startswith(each)), None),
    )


def told(verdicts: Sequence[Verdict]) -> list[tuple[str, bool]]:
    return [(verdict.candidate.variant.precision, verdict.shipped) for verdict in verdicts]


def reason_of(verdicts: Sequence[Verdict], precision: Precision) -> str:
    return next(each.reason for each in verdicts if each.candidate.variant.precision == precision)


def test_the_fastest_that_is_accurate_enough_is_shipped_first() -> None:
    found = choose(
        [candidate("fp32", 0.40), candidate("fp16", 0.35, correct=901), candidate("int8", 0.20, correct=896)],
    )
    assert told(found) == [("int8", True), ("fp16", True), ("fp32", True)]
    assert found[0].reason == (
        "0.2 ms on local:litert, the fastest (fp32: 0.4 ms); 0.40 points of validation accuracy below fp32"
    )


@pytest.mark.parametrize(("correct", "shipped"), [(895, True), (894, False)])
def test_exactly_the_allowed_drop_is_allowed_and_an_image_more_is_not(correct: int, shipped: bool) -> None:
    found = choose([candidate("fp32", 0.4), candidate("int8", 0.2, correct=correct)])
    assert ("int8", shipped) in told(found)
    if not shipped:
        assert reason_of(found, "int8") == "loses 0.60 points of validation accuracy against fp32, 0.5 are allowed"


def test_int8_that_is_slower_is_never_shipped_and_the_figures_say_so() -> None:
    found = choose([candidate("fp32", 0.4), candidate("int8", 0.401, size=25)], max_accuracy_drop=100)
    assert told(found) == [("fp32", True), ("int8", False)]
    assert reason_of(found, "int8") == "slower than fp32 on local:litert: 0.401 ms against 0.4 ms"


@pytest.mark.parametrize(("ms", "first"), [(0.407, "fp16"), (0.409, "fp32")])
def test_fp16_that_is_slower_by_chance_alone_is_shipped_for_its_size(ms: float, first: Precision) -> None:
    found = choose([candidate("fp32", 0.4), candidate("fp16", ms, size=50)])
    assert told(found)[0] == (first, True) and ("fp16", first == "fp16") in told(found)


@pytest.mark.parametrize("difference", [math.nan, math.inf])
def test_a_file_that_gives_no_numbers_is_never_shipped(difference: float) -> None:
    found = choose([candidate("fp32", 0.4), candidate("fp16", 0.1, difference=difference)], max_accuracy_drop=100)
    assert ("fp16", False) in told(found) and "not numbers" in reason_of(found, "fp16")


def test_of_files_as_fast_as_each_other_the_smallest_is_first() -> None:
    found = choose(
        [candidate("fp32", 0.4), candidate("fp16", 0.398, size=50), candidate("int8", 0.391, size=70)],
    )
    assert told(found)[0] == ("fp16", True)
    assert "as fast as any within 2% and the smallest file" in found[0].reason


def test_of_files_that_were_not_measured_anywhere_the_smallest_is_first() -> None:
    found = choose([candidate("fp32"), candidate("fp16", size=50)])
    assert told(found) == [("fp16", True), ("fp32", True)] and "not measured, the smallest file" in found[0].reason


def test_without_fp32_and_without_a_runtime_here_the_reason_says_that_nothing_was_evaluated() -> None:
    (only,) = choose([candidate("fp16", correct=None)])
    assert only.shipped and "accuracy not evaluated" in only.reason


def test_latencies_of_different_devices_are_not_compared() -> None:
    fp32 = replace(candidate("fp32"), measured=(measured(0.1, "fp32", "adb:PHONE:litert"),))
    found = choose([candidate("int8", 0.4), fp32])
    assert ("int8", True) in told(found)


def test_the_first_device_decides() -> None:
    found = choose([candidate("fp32", 0.4, 0.1), candidate("int8", 0.3, 0.9)])
    assert told(found)[0] == ("int8", True)


def test_where_another_device_was_slower_than_with_fp32_the_reason_says_so() -> None:
    found = choose([candidate("fp32", 0.4, 0.1), candidate("int8", 0.3, 0.9)])
    assert found[0].reason.endswith("; slower than fp32 on adb:PHONE:litert: 0.9 ms against 0.1 ms")
    quicker = choose([candidate("fp32", 0.4, 0.9), candidate("int8", 0.3, 0.1)])
    assert all("slower" not in each.reason for each in quicker)


def test_what_one_of_its_devices_does_not_run_is_not_shipped_and_decides_nothing() -> None:
    failed = replace(candidate("int8"), failed={"local:litert": "no such op"})
    elsewhere = replace(failed, measured=(measured(0.1, "int8", "adb:PHONE:litert"),))
    found = choose([elsewhere, candidate("fp32", 0.4, 0.5)])
    assert told(found) == [("fp32", True), ("int8", False)]
    assert reason_of(found, "int8") == "does not run on local:litert: no such op"
    assert "0.4 ms on local:litert" in found[0].reason


def test_what_only_a_less_likely_device_does_not_run_is_shipped() -> None:
    failed = replace(candidate("int8", 0.3), failed={"adb:PHONE:litert": "no such op"})
    assert told(choose([candidate("fp32", 0.4, 0.5), failed]))[0] == ("int8", True)


def test_one_file_for_several_devices_of_a_kind_is_slower_on_none_and_fastest_on_average() -> None:
    fp32 = candidate("fp32", 0.4, 4.0, on=BOARDS)
    slow_on_one = candidate("int8", 0.1, 4.1, on=BOARDS)
    assert told(choose([fp32, slow_on_one], on=BOARDS)) == [("fp32", True), ("int8", False)]
    fp16, int8 = candidate("fp16", 0.3, 2.0, on=BOARDS), candidate("int8", 0.2, 3.5, on=BOARDS)
    found = choose([fp32, fp16, int8], on=BOARDS)
    assert told(found)[0] == ("fp16", True)  # 0.3 x 2.0 is less than 0.2 x 3.5
    assert found[0].reason.startswith(
        "0.3 ms on ssh:a:litert, 2 ms on ssh:b:litert, together the fastest (fp32: 0.4, 4 ms)"
    )


def test_of_several_settings_of_a_device_the_first_decide() -> None:
    settings = ("ssh:a:litert", "ssh:a:litert?threads=2")
    found = choose([candidate("fp32", 0.4, 0.2, on=settings), candidate("fp16", 0.3, 0.3, on=settings)], on=settings)
    assert told(found)[0] == ("fp16", True)
    assert found[0].reason.endswith("slower than fp32 on ssh:a:litert?threads=2: 0.3 ms against 0.2 ms")


def test_each_group_of_devices_gets_its_own_best_and_the_others_what_is_best_for_all() -> None:
    fp32 = candidate("fp32", 0.4, 0.5, on=BOARDS)
    int8 = replace(candidate("int8", 0.2, on=BOARDS), failed={"ssh:b:litert": "no such op"})
    found = choose([fp32, int8], on=BOARDS, alone=["ssh:a", "ssh:b"])
    assert told(found) == [("fp32", True), ("int8", True)]
    assert {each.candidate.variant.precision: list(each.groups) for each in found} == {
        "fp32": ["ssh:b"],
        "int8": ["ssh:a"],
    }
    assert reason_of(found, "int8") == (
        "the best for ssh:a: 0.2 ms on ssh:a:litert, the fastest (fp32: 0.4 ms); validation accuracy as fp32; "
        "not for every device: does not run on ssh:b:litert: no such op"
    )


def test_a_group_gets_what_is_slower_elsewhere() -> None:
    fp32, int8 = candidate("fp32", 0.4, 0.5, on=BOARDS), candidate("int8", 0.2, 0.6, on=BOARDS)
    found = choose([fp32, int8], on=BOARDS, alone=["ssh:a"])
    assert told(found) == [("fp32", True), ("int8", True)] and list(found[1].groups) == ["ssh:a"]
    assert "not for every device: slower than fp32 on ssh:b:litert: 0.6 ms against 0.5 ms" in found[1].reason


def test_a_lone_group_that_gets_what_all_get_is_none() -> None:
    found = choose([candidate("fp32", 0.4), candidate("int8", 0.2)], alone=["local"])
    assert all(not each.groups for each in found)


def test_groups_get_only_what_is_asked_for() -> None:
    fp32, int8 = candidate("fp32", 0.1, 0.5, on=BOARDS), candidate("int8", 0.2, 0.2, on=BOARDS)
    found = choose([fp32, int8], on=BOARDS, among=["int8"], alone=["ssh:a", "ssh:b"])
    assert not any(each.shipped for each in found)


def test_accuracies_on_other_images_are_not_compared() -> None:
    other = candidate("int8", 0.1)
    fewer = replace(other.variant, validation=Accuracy.of(correct=9, images=10))
    with pytest.raises(ValueError, match="judged by 10 images, but fp32 by 1000"):
        choose([candidate("fp32", 0.4), replace(other, variant=fewer)])


def test_what_was_only_there_to_compare_with_is_not_shipped() -> None:
    found = choose([candidate("fp32", 0.3), candidate("fp16", 0.3, size=50)], among=["fp16"])
    assert told(found) == [("fp16", True), ("fp32", False)]
    assert "what the others are compared with" in reason_of(found, "fp32")


@given(
    found=st.lists(st.tuples(st.floats(0.01, 10), st.integers(0, IMAGES), st.integers(1, 100)), min_size=3, max_size=3),
    allowed=st.floats(0, 20),
)
def test_whatever_was_measured_the_choice_keeps_its_rules(found: list[tuple[float, int, int]], allowed: float) -> None:
    candidates = [
        candidate(name, ms, correct=correct, size=size) for name, (ms, correct, size) in zip(NAMES, found, strict=True)
    ]
    verdicts = choose(candidates, max_accuracy_drop=allowed)
    fp32_ms, fp32_correct, _ = found[0]
    assert sorted(each.candidate.variant.precision for each in verdicts) == sorted(NAMES)
    assert [each.shipped for each in verdicts] == sorted((each.shipped for each in verdicts), reverse=True)
    assert all(each.reason for each in verdicts)
    by_name = dict(zip(NAMES, found, strict=True))
    shipped = [each.candidate.variant.precision for each in verdicts if each.shipped]
    for name in shipped:
        ms, correct, _ = by_name[name]
        assert ms <= fp32_ms * (1 + SAME if name == "fp16" else 1)
        assert 100 * (fp32_correct - correct) / IMAGES <= allowed
    assert by_name[shipped[0]][0] <= min(by_name[name][0] for name in shipped) * (1 + SAME)


def test_every_flaw_is_told() -> None:
    found = choose([candidate("fp32", 0.4), candidate("int8", 0.5, correct=800)])
    assert reason_of(found, "int8") == (
        "loses 10.00 points of validation accuracy against fp32, 0.5 are allowed; "
        "slower than fp32 on local:litert: 0.5 ms against 0.4 ms"
    )
