"""What a search by gradient is to the loop that it runs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor, nn

from pipeline.architecture import Architecture
from pipeline.derivation import LogProbability
from pipeline.learned import Learned, Moment, SplitName

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step gave: the loss of the weights, and how many of the images that it is judged by it got right."""

    loss: float
    correct: int = 0
    judged: int = 0

    @staticmethod
    def of(loss: Tensor, judged: tuple[Tensor, Tensor] | None) -> Outcome:
        """`judged` are logits and labels, None where this step is not to be judged."""
        if judged is None:
            return Outcome(loss=float(loss.detach()))
        logits, labels = judged
        correct = int((logits.argmax(1) == labels).sum())
        return Outcome(loss=float(loss.detach()), correct=correct, judged=len(labels))


# When alpha takes a step: before or after the weights do, on images that they never see; or with them, on theirs.
Alternation = Literal["choices first", "weights first", "together"]


class Searcher(Protocol):
    """A search by gradient: a supernet's weights and a distribution over choices, both taken further step by step."""

    learned: Learned
    alternation: Alternation

    def propose(self, moment: Moment, split: SplitName) -> Tensor:
        """The mixture that a step on that split computes, or draws its path from: [L, K], rows summing to one."""

    def step(self, moment: Moment, train: Batch, validation: Batch | None) -> Outcome:
        """One step of the weights on `train`; of alpha too where there is a `validation` batch.

        Where both step together there is never one. Raises SearchError where loss or gradients are no numbers.
        """

    def distribution(self) -> Tensor:
        """The probability of every candidate: [L, K]."""

    def log_probability(self) -> LogProbability:
        """What a network is derived from: decision -> label -> score, the sum of which is to be as large as can be."""

    def derived(self, architecture: Architecture) -> nn.Module:
        """The network of an architecture with a copy of the supernet's weights."""
