"""What a search by gradient is to the loop that it runs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor, nn

from pipeline.architecture import Architecture
from pipeline.derivation import LogProbability
from pipeline.learned import Learned, Moment, SplitName

Batch = tuple[Tensor, Tensor]  # images and labels
Judged = tuple[Tensor, Tensor]  # logits and labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step gave: the loss of the weights, and how many of the images that it is judged by it got right."""

    loss: float | None  # None where the weights took no step
    correct: int = 0
    judged: int = 0

    @staticmethod
    def of(loss: Tensor | None, judged: Judged | None) -> Outcome:
        """`judged` is None where this step is not to be judged."""
        told = None if loss is None else float(loss.detach())
        if judged is None:
            return Outcome(loss=told)
        logits, labels = judged
        return Outcome(loss=told, correct=int((logits.argmax(1) == labels).sum()), judged=len(labels))


# When alpha takes a step: before or after the weights do, on images that they never see; with them, on theirs; or
# alone, going over all those images each time the weights have gone over all of theirs.
Alternation = Literal["choices first", "weights first", "together", "by pass"]


class Searcher(Protocol):
    """A search by gradient: a supernet's weights and a distribution over choices, both taken further step by step."""

    learned: Learned
    alternation: Alternation

    def propose(self, moment: Moment, split: SplitName) -> Tensor:
        """The mixture that a step on that split computes, or draws its path from: [L, K], rows summing to one."""

    def step(self, moment: Moment, train: Batch | None, validation: Batch | None) -> Outcome:
        """One step of the weights where there is a batch to `train` on, of alpha where there is one of `validation`.

        There is one of them at least, and where both step together it is the former alone. Raises SearchError where
        loss or gradients are no numbers.
        """

    def distribution(self) -> Tensor:
        """The probability of every candidate: [L, K]."""

    def log_probability(self) -> LogProbability:
        """What a network is derived from: decision -> label -> score, the sum of which is to be as large as can be."""

    def derived(self, architecture: Architecture) -> nn.Module:
        """The network of an architecture with a copy of the supernet's weights."""
