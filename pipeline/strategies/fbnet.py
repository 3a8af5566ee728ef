"""FBNet (arXiv:1812.03443): mixtures drawn from a Gumbel softmax whose temperature falls, one draw for a whole batch.

In each epoch the weights learn from all of their images, then alpha from all of the architecture split: 80 and 20 % of
the training images. One thing differs from its code: the loss is the paper's power of latency (`latency_loss: power`),
in a unit in which its logarithm is above zero.
"""

from __future__ import annotations

from torch import Tensor

from pipeline.alpha import Alpha
from pipeline.data.seeding import generator
from pipeline.learned import Moment, SplitName, mixed_supernet_of
from pipeline.mixture import Mixture, passes, relaxed_sample
from pipeline.search_loop import GradientSearch
from pipeline.search_task import SearchTask


def begin(task: SearchTask) -> Mixture:
    return Mixture.begin(task, mixed_supernet_of(task), _gumbel_softmax, betas=(0.9, 0.999), alternation="by pass")


def _gumbel_softmax(alpha: Alpha, moment: Moment, split: SplitName) -> Tensor:
    random = generator(moment.seed, "gumbel", split, moment.step)
    return relaxed_sample(alpha, moment.temperature("geometric"), random)


def _passes(task: SearchTask) -> tuple[float, float]:
    """Alpha goes over a smaller split than the weights do."""
    weights, choices = passes(task)
    return weights, choices * len(task.data.architecture) / len(task.data.weights)


STRATEGY = GradientSearch("fbnet", begin, _passes)
