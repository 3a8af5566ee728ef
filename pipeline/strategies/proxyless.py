"""ProxylessNAS (arXiv:1812.00332): weights and architecture in turn, on splits that share no image.

A weight step trains one sampled path. An architecture step samples binary gates, and its loss is the cross entropy of
the active path together with the latency that the distribution expects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.alpha import Alpha
from pipeline.architecture import Architecture
from pipeline.autocast import computed
from pipeline.cell_paths import CellPaths
from pipeline.data.seeding import generator
from pipeline.derivation import LogProbability
from pipeline.gates import rescale, sample_gates, sample_path
from pipeline.learned import (
    Learned,
    Moment,
    SplitName,
    alpha_of,
    choice_optimizer_of,
    path_supernet_of,
    weight_optimizer_of,
)
from pipeline.search_loop import GradientSearch
from pipeline.search_task import SearchTask
from pipeline.searcher import Alternation, Batch, Judged, Outcome
from pipeline.supernet import Supernet, frozen_statistics, frozen_weights


@dataclass(slots=True, kw_only=True)
class Proxyless:
    """One path at a time, of a chain or of cells."""

    alpha: Alpha
    supernet: Supernet | CellPaths
    learned: Learned
    alternation: Alternation = "weights first"

    @staticmethod
    def begin(task: SearchTask) -> Proxyless:
        supernet, alpha = path_supernet_of(task), alpha_of(task)
        learned = Learned(
            supernet=supernet,
            choices={"alpha": alpha.values},
            weight_optimizer=weight_optimizer_of(supernet, task.settings, nesterov=True),
            # No first moment: an alpha that took no part in a step must not move in it.
            choice_optimizer=choice_optimizer_of([alpha.values], task.settings, betas=(0.0, 0.999)),
        )
        return Proxyless(alpha=alpha, supernet=supernet, learned=learned)

    def propose(self, moment: Moment, split: SplitName) -> Tensor:
        """Any path while warming up, then those that alpha prefers."""
        if moment.warming_up:
            return self.alpha.exists / self.alpha.exists.sum(1, keepdim=True)
        return self.alpha.probability()

    def step(self, moment: Moment, train: Batch | None, validation: Batch | None) -> Outcome:
        """The weights of one path; then alpha, on images that the weights never see."""
        loss: Tensor | None = None
        judged: Judged | None = None
        if train is not None:
            loss, logits = self._step_weights(moment, *train)
            judged = (logits, train[1]) if moment.warming_up else None
        if validation is not None:
            judged = self._step_alpha(moment, *validation), validation[1]
        return Outcome.of(loss, judged)

    def distribution(self) -> Tensor:
        return self.alpha.probability()

    def log_probability(self) -> LogProbability:
        return self.alpha.log_probability()

    def derived(self, architecture: Architecture) -> nn.Module:
        return self.supernet.derived(architecture)

    def _step_weights(self, moment: Moment, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the loss and the logits of the path."""
        path = sample_path(self.propose(moment, "weights"), generator(moment.seed, "path", moment.step))
        logits = computed(self.supernet, moment.settings.compute, images, path)
        loss = cross_entropy(logits, labels, label_smoothing=moment.settings.label_smoothing)
        self.learned.step_weights(loss, moment)
        return loss, logits

    def _step_alpha(self, moment: Moment, images: Tensor, labels: Tensor) -> Tensor:
        """Returns the logits of the active path."""
        random = generator(moment.seed, "gates", moment.architecture_step)
        sample = sample_gates(self.alpha, moment.settings.paths, random)
        with frozen_statistics(self.supernet), frozen_weights(self.supernet):
            logits = computed(self.supernet.forward_gated, moment.settings.compute, images, sample.gates())
            loss = moment.with_latency(cross_entropy(logits, labels), sample.probability)
            gradients = torch.autograd.grad(loss, [self.alpha.values])
        before = self.alpha.values.detach().clone()
        self.learned.step_choices(gradients, moment)
        if moment.settings.paths == "two":
            with torch.no_grad():
                self.alpha.values.copy_(rescale(self.alpha.values, before, sample.candidates))
        return logits.detach()


def passes(_: SearchTask) -> tuple[float, float]:
    """A step of two gates, two passes forward and one backward to the activations, costs about what one of a path does.

    That is one pass forward, and one backward to activations and weights.
    """
    return 1.0, 1.0


STRATEGY = GradientSearch("proxyless", Proxyless.begin, passes)
