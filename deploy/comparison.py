"""Files of one network beside one another: what each took on the devices that decide, and what it lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from deploy.variant import Candidate
from profilers.target import Target

# Latencies that differ by less are the same: then the smaller file is the better one.
SAME = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What candidates are compared with, and where."""

    reference: Candidate | None  # fp32
    places: tuple[Target, ...]  # that decide
    shared: tuple[Target, ...]  # those of them by whose latencies candidates are ranked
    max_accuracy_drop: float

    @staticmethod
    def of(candidates: Sequence[Candidate], places: Sequence[Target], max_accuracy_drop: float) -> Comparison:
        """Ranked is by the places where every candidate was measured that runs; by the first where there is none."""
        running = [_ms_by_place(each) for each in candidates if not _failures(each, places)]
        measured = [times for times in running if any(place in times for place in places)]
        shared = tuple(place for place in places if all(place in times for times in measured))
        return Comparison(
            reference=next((each for each in candidates if each.variant.precision == "fp32"), None),
            places=tuple(places),
            shared=shared or tuple(places[:1]),
            max_accuracy_drop=max_accuracy_drop,
        )

    def flaw(self, candidate: Candidate) -> str:
        """Why a candidate is not fit to ship; empty where it is."""
        flaws = [f"does not run on {place}: {why}" for place, why in _failures(candidate, self.places).items()]
        parity, lost = candidate.variant.parity, self._points_lost(candidate)
        if parity is not None and not math.isfinite(parity.max_abs_difference):
            flaws.append("gives values that are not numbers")
        if lost is not None and lost > self.max_accuracy_drop:
            allowed = f"{self.max_accuracy_drop:g} are allowed"
            flaws.append(f"loses {lost:.2f} points of validation accuracy against fp32, {allowed}")
        return "; ".join([*flaws, *self.slower(candidate, self.places)])

    def slower(self, candidate: Candidate, places: Iterable[Target]) -> Iterator[str]:
        """Where a candidate was measured slower than fp32."""
        fp32, times = _ms_by_place(self.reference), _ms_by_place(candidate)
        # Where fp16 is computed as fp32, only chance says which is measured slower.
        slack = SAME if candidate.variant.precision == "fp16" else 0
        for place in places:
            if place in times and times[place] > fp32.get(place, math.inf) * (1 + slack):
                yield f"slower than fp32 on {place}: {times[place]:.4g} ms against {fp32[place]:.4g} ms"

    def ranked(self, fit: Sequence[Candidate]) -> list[Candidate]:
        """The best first, then by latency; what was not measured last, by size."""
        timed = [(ms, each) for each in fit if (ms := self._ms(each)) is not None]
        timed.sort(key=lambda pair: pair[0])
        untimed = [each for each in fit if self._ms(each) is None]
        untimed.sort(key=lambda each: each.variant.artifact.size_bytes)
        if not timed:
            return untimed
        level = [pair for pair in timed if pair[0] <= timed[0][0] * (1 + SAME)]
        best = min(level, key=lambda pair: (pair[1].variant.artifact.size_bytes, pair[0]))
        return [best[1], *(each for _, each in timed if each is not best[1]), *untimed]

    def merit(self, candidate: Candidate, fit: Sequence[Candidate]) -> str:
        """Why a candidate is shipped."""
        facts = [self._speed(candidate, fit)]
        lost = self._points_lost(candidate)
        if lost is None and candidate.variant.validation is None:
            facts.append("accuracy not evaluated: nothing on the machine that packed it runs it")
        if lost is not None and candidate is not self.reference:
            accuracy = f"{abs(lost):.2f} points of validation accuracy {'below' if lost > 0 else 'above'} fp32"
            facts.append(accuracy if lost else "validation accuracy as fp32")
        return "; ".join(facts)

    def _speed(self, candidate: Candidate, fit: Sequence[Candidate]) -> str:
        ms, times, fp32 = self._ms(candidate), self._times(candidate), self._times(self.reference)
        if ms is None:
            return "not measured" + (", the smallest file" if candidate is fit[0] and len(fit) > 1 else "")
        told = ", ".join(f"{each:.4g} ms on {place}" for each, place in zip(times, self.shared, strict=True))
        if candidate is fit[0]:
            fastest_ms = min(other for each in fit if (other := self._ms(each)) is not None)
            together = "together " if len(times) > 1 else ""
            best = "the fastest" if ms == fastest_ms else f"as fast as any within {SAME:.0%} and the smallest file"
            told += f", {together}{best}"
        if fp32 and candidate is not self.reference:
            told += f" (fp32: {', '.join(f'{each:.4g}' for each in fp32)} ms)"
        return told

    def _ms(self, candidate: Candidate) -> float | None:
        """The latency that ranks: the geometric mean over the places; None where it was not measured."""
        times = self._times(candidate)
        return math.prod(times) ** (1 / len(times)) if times else None

    def _times(self, candidate: Candidate | None) -> list[float]:
        """On each of the shared places; empty where one of them lacks."""
        measured = _ms_by_place(candidate)
        return [measured[place] for place in self.shared] if all(place in measured for place in self.shared) else []

    def _points_lost(self, candidate: Candidate) -> float | None:
        """Of validation accuracy against fp32; None where one of both is not known."""
        own = candidate.variant.validation
        fp32 = None if self.reference is None else self.reference.variant.validation
        if own is None or fp32 is None:
            return None
        if own.images != fp32.images:
            raise ValueError(f"{candidate.variant.name}: judged by {own.images} images, but fp32 by {fp32.images}")
        return 100 * (fp32.correct - own.correct) / own.images


def _ms_by_place(candidate: Candidate | None) -> dict[Target, float]:
    return {} if candidate is None else {place: each.measured_ms for place, each in candidate.by_place.items()}


def _failures(candidate: Candidate, places: Sequence[Target]) -> dict[Target, str]:
    """Which of these places do not run a candidate, and why."""
    failed = {Target.parse(target).place: why for target, why in candidate.failed.items()}
    return {place: failed[place] for place in places if place in failed}
