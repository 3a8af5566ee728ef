"""A variant: the trained network as one compiled file, by one runtime, in one precision, and what was found of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.kind import Kind
from deploy.manifest import Accuracy, Answers, Measured
from deploy.parity import Parity
from profilers.artifact import Artifact
from profilers.precision import Precision
from profilers.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Inputs and outputs are float32 in every precision, so that an application swaps one for another.

    Its images are NHWC in LiteRT files and NCHW in ONNX ones. `parity` and both accuracies are None where nothing on
    this machine runs the file, as a Core ML one.
    """

    runtime: str  # litert, onnxruntime, coreml
    precision: Precision
    artifact: Artifact
    answers: Answers
    parity: Parity | None = None
    validation: Accuracy | None = None  # on the images by which a precision is chosen
    test: Accuracy | None = None

    @property
    def name(self) -> str:
        return Kind(self.runtime, self.precision).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A variant and its latency on the targets that it may be shipped for; none where no device was there."""

    variant: Variant
    measured: tuple[Measured, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)  # target that does not run it -> why

    @property
    def by_place(self) -> dict[Target, Measured]:
        """What was measured, by where it was, whatever the precision."""
        return {Target.parse(each.target).place: each for each in self.measured}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a candidate is shipped, and why."""

    candidate: Candidate
    shipped: bool
    reason: str
    groups: Mapping[str, str] = field(default_factory=dict)  # of devices that get this one as theirs -> why
