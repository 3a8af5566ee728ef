"""Which precision of a network is shipped: the best by what was measured of each, on its devices and on images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import get_args

from deploy.comparison import Comparison
from deploy.manifest import Measured
from deploy.variant import Candidate, Verdict
from profilers.precision import Precision
from profilers.target import Target

# The group of devices that one is of, where each group gets a file of its own.
GroupOf = Callable[[Measured], str | None]


def ungrouped(measured: Measured) -> None:
    """One file for all devices."""


def choose(
    candidates: Sequence[Candidate],
    *,
    on: Sequence[Target],
    max_accuracy_drop: float,
    among: Collection[Precision] = get_args(Precision),
    group_of: GroupOf = ungrouped,
) -> tuple[Verdict, ...]:
    """A verdict on each candidate of one runtime: those to ship, the best for all devices first, then the others.

    Devices of one kind decide, that of the first of `on`; each with the settings that were named for it first. Not fit
    is what one of them does not run or measured slower than fp32 (fp16: by more than SAME), what loses more than
    `max_accuracy_drop` points of validation accuracy against fp32, and what gives no numbers. Of the rest the fastest
    is best, by the geometric mean over these devices, or the smallest file of those that are as fast; where nothing was
    measured, the smallest of all. Precisions that are not `among` are only compared with.

    The best for each group of devices, by the same rules on these alone, is shipped, too.
    """
    places = deciding(on)
    judge = partial(_judged, candidates, max_accuracy_drop=max_accuracy_drop, among=among)
    general = judge(places, told=[each.place for each in on if each.place not in places])
    groups = _groups(candidates, places, group_of) if any(each.shipped for each in general) else {}
    best = {name: judge(own)[0] for name, own in groups.items()}
    if len(best) == 1 and all(each.candidate is general[0].candidate for each in best.values()):
        return general
    verdicts = [_for_groups(each, _reasons(each, best)) for each in general]
    return tuple(sorted(verdicts, key=lambda each: not each.shipped))


def deciding(on: Sequence[Target]) -> tuple[Target, ...]:
    """Each device of the kind that is named first, with its first settings; whatever the precision."""
    first: dict[str, Target] = {}
    for target in on:
        if target.kind == on[0].kind:
            first.setdefault(target.device, target.place)
    return tuple(first.values())


def _judged(
    candidates: Sequence[Candidate],
    places: Sequence[Target],
    told: Sequence[Target] = (),
    *,
    max_accuracy_drop: float,
    among: Collection[Precision],
) -> tuple[Verdict, ...]:
    """By what was measured on these places; the others that are `told` are told of where fp32 is faster there."""
    found = Comparison.of(candidates, places, max_accuracy_drop)
    flaws = [found.flaw(each) or _not_among(each, among) for each in candidates]
    fit = found.ranked([each for each, flaw in zip(candidates, flaws, strict=True) if not flaw])
    shipped = [
        Verdict(candidate=each, shipped=True, reason="; ".join([found.merit(each, fit), *found.slower(each, told)]))
        for each in fit
    ]
    others = [
        Verdict(candidate=each, shipped=False, reason=flaw)
        for each, flaw in zip(candidates, flaws, strict=True)
        if flaw
    ]
    return (*shipped, *others)


def _not_among(candidate: Candidate, among: Collection[Precision]) -> str:
    if candidate.variant.precision in among:
        return ""
    return f"what the others are compared with; {', '.join(among)} is to be shipped"


def _groups(candidates: Sequence[Candidate], places: Sequence[Target], group_of: GroupOf) -> dict[str, list[Target]]:
    measured = {place: each for candidate in candidates for place, each in candidate.by_place.items()}
    groups: dict[str, list[Target]] = {}
    for place in places:
        name = group_of(measured[place]) if place in measured else None
        if name is not None:
            groups.setdefault(name, []).append(place)
    return groups


def _reasons(verdict: Verdict, best: Mapping[str, Verdict]) -> dict[str, str]:
    """The groups that a candidate is the best for, and why."""
    return {name: each.reason for name, each in best.items() if each.candidate is verdict.candidate}


def _for_groups(verdict: Verdict, groups: Mapping[str, str]) -> Verdict:
    """The verdict on what is also, or only, shipped as the best for these groups."""
    if verdict.shipped or not groups:
        return replace(verdict, groups=groups)
    told = "; ".join(f"the best for {name}: {why}" for name, why in groups.items())
    return replace(verdict, shipped=True, groups=groups, reason=f"{told}; not for every device: {verdict.reason}")
