"""Which precision of a network is shipped: the best by what was measured of each, on the device and on images."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from deploy.variant import Candidate, Verdict
from profilers.precision import Precision
from profilers.target import Target

# Latencies that differ by less are the same: then the smaller file is the better one.
SAME = 0.02


def choose(candidates: Sequence[Candidate], *, max_accuracy_drop: float) -> tuple[Verdict, ...]:
    """A verdict on each candidate of one runtime: those fit to ship, the best first, then the others.

    Not fit is what loses more than `max_accuracy_drop` points of validation accuracy against fp32, what is measured
    slower than fp32 (fp16: by more than SAME), what gives no numbers, and what one of its targets cannot run. Of the
    rest the fastest is best, or the smallest file of those that are as fast; where nothing was measured, the smallest
    of all. Latencies are compared on one device only, the first of those that any candidate was measured on.
    """
    found = _Comparison.of(candidates, max_accuracy_drop)
    flaws = [found.flaw(candidate) for candidate in candidates]
    fit = found.ranked([each for each, flaw in zip(candidates, flaws, strict=True) if not flaw])
    shipped = [Verdict(candidate=each, shipped=True, reason=found.merit(each, fit)) for each in fit]
    others = [
        Verdict(candidate=each, shipped=False, reason=flaw)
        for each, flaw in zip(candidates, flaws, strict=True)
        if flaw
    ]
    return (*shipped, *others)


def only_of(verdicts: Sequence[Verdict], precisions: Collection[Precision]) -> tuple[Verdict, ...]:
    """The same with nothing shipped of another precision, which was there to compare with."""
    named = ", ".join(precisions)
    kept = [
        each
        if not each.shipped or each.candidate.variant.precision in precisions
        else replace(each, shipped=False, reason=f"what the others are compared with; {named} is to be shipped")
        for each in verdicts
    ]
    return tuple(sorted(kept, key=lambda each: not each.shipped))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """What candidates are compared with, and where."""

    reference: Candidate | None
    place: Target | None
    max_accuracy_drop: float

    @staticmethod
    def of(candidates: Sequence[Candidate], max_accuracy_drop: float) -> _Comparison:
        running = [each for each in candidates if not each.failed]
        places = [Target.parse(each.target).place for candidate in running for each in candidate.measured[:1]]
        return _Comparison(
            reference=next((each for each in candidates if each.variant.precision == "fp32"), None),
            place=places[0] if places else None,
            max_accuracy_drop=max_accuracy_drop,
        )

    def ms(self, candidate: Candidate | None) -> float | None:
        """The latency that counts; None where it was not measured."""
        measured = () if candidate is None else candidate.measured
        return next((each.measured_ms for each in measured if Target.parse(each.target).place == self.place), None)

    def points_lost(self, candidate: Candidate) -> float | None:
        """Of validation accuracy against fp32; None where one of both is not known."""
        own = candidate.variant.validation
        fp32 = None if self.reference is None else self.reference.variant.validation
        if own is None or fp32 is None:
            return None
        if own.images != fp32.images:
            raise ValueError(f"{candidate.variant.name}: judged by {own.images} images, but fp32 by {fp32.images}")
        return 100 * (fp32.correct - own.correct) / own.images

    def flaw(self, candidate: Candidate) -> str:
        """Why a candidate is not shipped; empty where it may be."""
        parity = candidate.variant.parity
        flaws = [candidate.failed] if candidate.failed else []
        if parity is not None and not math.isfinite(parity.max_abs_difference):
            flaws.append("gives values that are not numbers")
        lost, ms, fp32_ms = self.points_lost(candidate), self.ms(candidate), self.ms(self.reference)
        if lost is not None and lost > self.max_accuracy_drop:
            allowed = f"{self.max_accuracy_drop:g} are allowed"
            flaws.append(f"loses {lost:.2f} points of validation accuracy against fp32, {allowed}")
        if ms is not None and fp32_ms is not None and ms > fp32_ms * (1 + _slack(candidate)):
            flaws.append(f"slower than fp32: {ms:.4g} ms against {fp32_ms:.4g} ms on {self.place}")
        return "; ".join(flaws)

    def ranked(self, fit: Sequence[Candidate]) -> list[Candidate]:
        """The best first, then by latency; what was not measured last, by size."""
        timed = [(ms, each) for each in fit if (ms := self.ms(each)) is not None]
        timed.sort(key=lambda pair: pair[0])
        untimed = [each for each in fit if self.ms(each) is None]
        untimed.sort(key=lambda each: each.variant.artifact.size_bytes)
        if not timed:
            return untimed
        level = [pair for pair in timed if pair[0] <= timed[0][0] * (1 + SAME)]
        best = min(level, key=lambda pair: (pair[1].variant.artifact.size_bytes, pair[0]))
        return [best[1], *(each for _, each in timed if each is not best[1]), *untimed]

    def merit(self, candidate: Candidate, fit: Sequence[Candidate]) -> str:
        """Why a candidate is shipped."""
        facts = [self._speed(candidate, fit)]
        lost = self.points_lost(candidate)
        if lost is None and candidate.variant.validation is None:
            facts.append("accuracy not evaluated: nothing on the machine that packed it runs it")
        if lost is not None and candidate is not self.reference:
            accuracy = f"{abs(lost):.2f} points of validation accuracy {'below' if lost > 0 else 'above'} fp32"
            facts.append(accuracy if lost else "validation accuracy as fp32")
        facts += self._slower_elsewhere(candidate)
        return "; ".join(facts)

    def _speed(self, candidate: Candidate, fit: Sequence[Candidate]) -> str:
        ms, fp32_ms = self.ms(candidate), self.ms(self.reference)
        if ms is None:
            return "not measured" + (", the smallest file" if candidate is fit[0] and len(fit) > 1 else "")
        told = f"{ms:.4g} ms on {self.place}"
        if candidate is fit[0]:
            fastest_ms = min(other for each in fit if (other := self.ms(each)) is not None)
            told += ", the fastest" if ms == fastest_ms else f", as fast as any within {SAME:.0%} and the smallest file"
        if fp32_ms is not None and candidate is not self.reference:
            told += f" (fp32: {fp32_ms:.4g} ms)"
        return told

    def _slower_elsewhere(self, candidate: Candidate) -> Iterator[str]:
        """The other places where a candidate was measured slower than fp32."""
        fp32 = {} if self.reference is None else _ms_by_place(self.reference)
        for place, ms in _ms_by_place(candidate).items():
            if place != self.place and ms > fp32.get(place, math.inf) * (1 + _slack(candidate)):
                yield f"slower than fp32 on {place}: {ms:.4g} ms against {fp32[place]:.4g} ms"


def _ms_by_place(candidate: Candidate) -> dict[Target, float]:
    return {Target.parse(each.target).place: each.measured_ms for each in candidate.measured}


def _slack(candidate: Candidate) -> float:
    """Where fp16 is computed as fp32, only chance says which is measured slower."""
    return SAME if candidate.variant.precision == "fp16" else 0
