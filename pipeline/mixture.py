"""Searches in which every step computes a mixture of all candidates: DARTS, FBNet and SNAS differ in the mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.alpha import Alpha
from pipeline.architecture import Architecture
from pipeline.bilevel import Loss, second_order
from pipeline.cell_supernet import CellSupernet
from pipeline.derivation import LogProbability
from pipeline.edges import Edges
from pipeline.learned import Learned, Moment, SplitName, alpha_of, choice_optimizer_of, weight_optimizer_of
from pipeline.search_task import SearchTask
from pipeline.searcher import Alternation, Batch, Judged, Outcome
from pipeline.supernet import Supernet, frozen_statistics, frozen_weights

Proposal = Callable[[Alpha, Moment, SplitName], Tensor]


@dataclass(slots=True, kw_only=True)
class Mixture:
    """Weights and alpha over a supernet, with shares of edges where it has `edges`.

    Of first order the gradient of alpha is taken at the weights as they are; of second order at those that a step on
    the training batch would make of them, which depend on alpha too.
    """

    alpha: Alpha
    supernet: Supernet | CellSupernet
    learned: Learned
    proposal: Proposal
    edges: Edges | None
    alternation: Alternation

    @staticmethod
    def begin(
        task: SearchTask,
        supernet: Supernet | CellSupernet,
        proposal: Proposal,
        *,
        betas: tuple[float, float],
        edges: Edges | None = None,
        alternation: Alternation = "choices first",
    ) -> Mixture:
        """`betas` are those of alpha's Adam."""
        alpha = alpha_of(task)
        choices = {"alpha": alpha.values} | ({} if edges is None else {"beta": edges.beta})
        learned = Learned(
            supernet=supernet,
            choices=choices,
            weight_optimizer=weight_optimizer_of(supernet, task.settings, nesterov=False),
            choice_optimizer=choice_optimizer_of(list(choices.values()), task.settings, betas),
        )
        return Mixture(
            alpha=alpha, supernet=supernet, learned=learned, proposal=proposal, edges=edges, alternation=alternation
        )

    def propose(self, moment: Moment, split: SplitName) -> Tensor:
        return self._shared(self.proposal(self.alpha, moment, split))

    def step(self, moment: Moment, train: Batch | None, validation: Batch | None) -> Outcome:
        """Alpha, on images that the weights never see; then the weights."""
        loss: Tensor | None = None
        judged: Judged | None = None
        if validation is not None:
            judged = self._step_choices(moment, train, validation), validation[1]
        if train is not None and self.alternation == "together":
            loss, judged = self._step_together(moment, *train)
        elif train is not None:
            loss, logits = self._step_weights(moment, *train)
            judged = (logits, train[1]) if moment.warming_up else judged
        return Outcome.of(loss, judged)

    def mixed(self, images: Tensor, mixture: Tensor) -> Tensor:
        """Logits of the mixture [L, K] of all candidates; with edges each row sums to the share of its edge."""
        if self.edges is None:
            return self.supernet.forward_mixed(images, self.alpha.by_decision(mixture))
        assert isinstance(self.supernet, CellSupernet)
        shares = mixture.sum(1)
        return self.supernet.forward_mixed(images, self.alpha.by_decision(mixture / shares[:, None]), shares)

    def distribution(self) -> Tensor:
        return self._shared(self.alpha.probability())

    def log_probability(self) -> LogProbability:
        if self.edges is None:
            return self.alpha.log_probability()
        shares = self.edges.shares().detach().double().log().tolist()
        rows = zip(self.alpha.log_probability().items(), shares, strict=True)
        return {name: {label: score + share for label, score in row.items()} for (name, row), share in rows}

    def derived(self, architecture: Architecture) -> nn.Module:
        return self.supernet.derived(architecture)

    def _shared(self, rows: Tensor) -> Tensor:
        return rows if self.edges is None else rows * self.edges.shares()[:, None]

    def _step_weights(self, moment: Moment, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the loss and the logits."""
        logits = self.mixed(images, self.propose(moment, "weights").detach())
        loss = cross_entropy(logits, labels, label_smoothing=moment.settings.label_smoothing)
        self.learned.step_weights(loss, moment)
        return loss, logits

    def _step_choices(self, moment: Moment, train: Batch | None, validation: Batch) -> Tensor:
        """Returns the logits of the mixture on the validation batch; of second order where there is one to train on."""
        told: list[Tensor] = []

        def judged() -> Tensor:
            mixture = self.propose(moment, "architecture")
            logits = self.mixed(validation[0], mixture)
            told.append(logits.detach())
            return moment.with_latency(cross_entropy(logits, validation[1]), mixture)

        self.learned.step_choices(self._choice_gradients(moment, train, judged), moment)
        return told[0]

    def _choice_gradients(self, moment: Moment, train: Batch | None, judged: Loss) -> Sequence[Tensor]:
        choices = list(self.learned.choices.values())
        if moment.settings.order == "first" or train is None:
            with frozen_statistics(self.supernet), frozen_weights(self.supernet):
                return torch.autograd.grad(judged(), choices)
        images, labels = train

        def learnt() -> Tensor:
            logits = self.mixed(images, self.propose(moment, "architecture"))
            return cross_entropy(logits, labels, label_smoothing=moment.settings.label_smoothing)

        return second_order(self.supernet, choices, self.learned.weight_optimizer, learnt, judged)

    def _step_together(self, moment: Moment, images: Tensor, labels: Tensor) -> tuple[Tensor, Judged]:
        """Weights and alpha down one loss of the same images; returns its cross entropy and what is judged."""
        mixture = self.propose(moment, "weights")
        logits = self.mixed(images, mixture.detach() if moment.warming_up else mixture)
        loss = entropy = cross_entropy(logits, labels, label_smoothing=moment.settings.label_smoothing)
        if not moment.warming_up:
            loss = moment.with_latency(entropy, mixture)
        self.learned.choice_optimizer.zero_grad(set_to_none=True)
        self.learned.step_weights(loss, moment)
        gradients = [choice.grad for choice in self.learned.choices.values() if choice.grad is not None]
        if gradients:
            self.learned.step_choices(gradients, moment)
        return entropy, (logits, labels)


def softmax(alpha: Alpha, _moment: Moment, _split: SplitName) -> Tensor:
    """The proposal of DARTS (arXiv:1806.09055): the same in every step."""
    return alpha.probability()


def relaxed_sample(alpha: Alpha, temperature: float, random: torch.Generator) -> Tensor:
    """A draw of the concrete distribution: [L, K] (arXiv:1611.00712, 1611.01144)."""
    uniform = torch.rand(alpha.values.shape, generator=random, dtype=torch.float64)
    gumbel = -(-uniform.clamp_min(1e-12).log()).log()
    return alpha.softmax((alpha.values + gumbel.to(alpha.values.dtype)) / temperature)


def passes(task: SearchTask) -> tuple[float, float]:
    """Every candidate is computed in both kinds of steps, where a network has one; what is fixed is let go.

    A step of second order takes four gradients instead of one.
    """
    rows = [[sum(op.macs for op in ops) for ops in decision.ops] for decision in task.space.decisions]
    times = sum(map(sum, rows)) / max(sum(sum(row) / len(row) for row in rows), 1.0)
    return times, times * (4 if task.settings.order == "second" else 1)
